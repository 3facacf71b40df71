/* scorer.h - scores of any prompts and answers, in batches that bound the memory: for the commands
 * score and serve. */
#ifndef AILERON_RM_SCORER_H
#define AILERON_RM_SCORER_H

#include "../nn/model.h"
#include "pack.h"

typedef struct Scorer {
    Model *model; /* borrowed */
    PackCombine combine;
    double lambda;
    bool share;         /* compute a prompt once for its answers */
    int64_t micro_rows; /* tokens computed at once; a group that has more goes alone */
    Batch batch;
    float *scores; /* of one batch, by head */
    size_t room;
} Scorer;

/* out[i]: the score of the i-th sequence, groups one after the other. */
MUST_CHECK bool scorer_run(Scorer *scorer, const Group *groups, int32_t count, double *out,
                           Arena *arena, Err *err);
void scorer_release(Scorer *scorer);

#endif
