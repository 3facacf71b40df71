/* pack.h - elements of a store as one batch: the answers that are scored together, and the losses
 * on their scores.
 *
 * A Pack owns its memory, which it keeps from batch to batch; sequences point into the store. */
#ifndef AILERON_RM_PACK_H
#define AILERON_RM_PACK_H

#include "../data/store.h"
#include "quality.h"

typedef enum PackStrength {
    PACK_STRENGTH_NONE,
    PACK_STRENGTH_MARGIN,
    PACK_STRENGTH_SCALE
} PackStrength;

/* One score from those of the heads: their mean, their least, or mean - lambda · variance (the
 * "worst case" and "uncertainty weighted" rules of Coste et al., arXiv 2310.02743). */
typedef enum PackCombine { PACK_COMBINE_MEAN, PACK_COMBINE_MIN, PACK_COMBINE_UWO } PackCombine;

/* How opinions become losses. */
typedef struct PackRules {
    LossOptions loss;
    PackStrength strength;
    double margin_unit, implicit_weight, label_weight;
    bool gold; /* gold answers count as judgments */
    int32_t heads;
    uint64_t seed; /* of the bootstrap, when there are several heads */
    bool share;    /* compute shared prompts once */
    PackCombine combine;
    double lambda;
} PackRules;

typedef struct PackRow {
    StoredRow row;
    int32_t sequence[ROW_COMPLETIONS_MAX]; /* where each answer's score is */
} PackRow;

typedef struct Pack {
    const PackRules *rules;
    PackRow *rows;
    Sequence *sequences;
    Group *groups;
    int64_t *elements;        /* of the groups */
    float *scores, *gradient; /* [sequence_count, heads] */
    LossItem *items;
    int32_t *members, *ranks;
    float *multipliers; /* NULL with one head */
    int32_t row_count, sequence_count, group_count, item_count, member_count;
    int32_t row_room, sequence_room, group_room, item_room, member_room;
    int64_t packed_rows; /* tokens to compute */
    int64_t tokens;      /* of all sequences, each with its prompt */
    Batch batch;
} Pack;

void pack_init(Pack *pack, const PackRules *rules);
void pack_release(Pack *pack);
/* Empty, ready for the next batch. */
void pack_clear(Pack *pack);
/* Appends an element; answers that several of its rows share are scored once. */
MUST_CHECK bool pack_add(Pack *pack, const Store *store, int64_t element, Arena *arena, Err *err);
/* Appends a row that is in no store, as a group of its own. */
MUST_CHECK bool pack_add_row(Pack *pack, const StoredRow *row, Arena *arena, Err *err);
/* After the last of them: lays out the batch (unless only cached features are wanted) and makes
 * room for scores. */
MUST_CHECK bool pack_build(Pack *pack, bool with_batch, Arena *arena, Err *err);
/* The losses of the rows' opinions, by the rules. */
MUST_CHECK bool pack_losses(Pack *pack, Arena *arena, Err *err);
/* Would this opinion weigh anything? */
bool pack_counts(const PackRules *rules, const Opinion *opinion);
double pack_combine(PackCombine how, double lambda, const float *scores, int32_t heads);
/* An answer's scores, by the rule of the rules. */
double pack_score(const Pack *pack, int32_t sequence);
/* Adds all pairs, ties and answers of the pack to the metrics. */
void pack_measure(const Pack *pack, Quality *metrics);

#endif
