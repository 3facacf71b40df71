/* features.h - `--mode head`: what the heads read, computed once for each sequence and kept on disk
 * (feature_file.h), and the heads trained on it by AdamW. */
#ifndef AILERON_RM_FEATURES_H
#define AILERON_RM_FEATURES_H

#include "pack.h"
#include "../nn/model.h"

#define FEATURES_FILE "features.f32"

typedef struct Features Features;

typedef struct FeaturesOptions {
    const char *directory;  /* where the file is, or will be */
    const uint8_t *key;     /* of the model, FEATURE_KEY_BYTES */
    const Store *stores[2]; /* train, held out */
    Model *model;
    const PackRules *rules;
    int64_t micro_rows;
    bool quiet;
    const volatile int *stop;
} FeaturesOptions;

/* Finds what the file has of the stores' sequences, computes the others, and maps them. What is
 * computed is kept even when an error or a signal ends it. */
MUST_CHECK Features *features_open(const FeaturesOptions *options, Arena *arena, Err *err);
void features_close(Features *features);
/* Sequences that had none yet. */
int64_t features_computed(const Features *features);

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
