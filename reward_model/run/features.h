/* features.h - `--mode head`: what the heads read, computed once and kept on disk, and the heads
 * trained on it by AdamW.
 *
 * File: a header with a key (hash of weights, data and options that matter), then [sequences,
 * width] fp32 in the order of the stores' elements. A file with another key is computed anew. */
#ifndef AILERON_RM_FEATURES_H
#define AILERON_RM_FEATURES_H

#include "pack.h"
#include "../nn/model.h"

#define FEATURES_FILE "features.f32"

typedef struct Features Features;

typedef struct FeaturesOptions {
    const char *directory;  /* where the file is, or will be */
    const uint8_t *key;     /* 32 bytes */
    const Store *stores[2]; /* train, held out */
    Model *model;
    const PackRules *rules;
    int64_t micro_rows;
    bool quiet;
    const volatile int *stop;
} FeaturesOptions;

/* Maps the file, computing it first when it is not there or of something else. */
MUST_CHECK Features *features_open(const FeaturesOptions *options, Arena *arena, Err *err);
void features_close(Features *features);
bool features_were_cached(const Features *features);
int64_t features_count(const Features *features); /* sequences */

/* Scores of a pack whose elements are of stores[which]; remembers them for the backward pass. */
void features_scores(Features *features, int which, Pack *pack);
/* Adds the gradients of Σ pack->gradient · scores. */
void features_backward(Features *features, int which, const Pack *pack);
/* As model_step, on the heads. */
MUST_CHECK bool features_step(Features *features, const StepOptions *options, double *norm,
                              Arena *arena, Err *err);
/* [heads, width]; the state arrays of a checkpoint: heads, first and second moments. */
enum { FEATURES_STATES = 3 };
float *features_state(Features *features, int index, size_t *count);
int64_t *features_steps(Features *features);

#endif
