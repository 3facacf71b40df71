/* batch.h - sequences packed without padding, each shared prefix laid out (and computed) once.
 *
 * The caller owns the token ids until batch_build returns; the Batch owns everything it points to
 * until batch_free (it keeps its memory for the next batch_build).
 *
 *   group 0: answers ABCx, ABCyz          rows:  A B C | x | y z     scored rows: x, z
 *   The shared prefix is the longest common token prefix of a group's sequences, found after
 *   tokenization, so a shared computation never sees other tokens than an unshared one. A sequence
 *   that is wholly a prefix of another keeps its last token as its own: every sequence scores a row
 *   of its own. */
#ifndef AILERON_RM_BATCH_H
#define AILERON_RM_BATCH_H

#include "ops.h"

typedef struct Sequence {
    const int32_t *ids;
    int32_t length; /* at least 1 */
} Sequence;

typedef struct Group { /* the answers to one prompt */
    const Sequence *sequences;
    int32_t count;
} Group;

typedef struct BatchOptions {
    bool share; /* compute common prefixes once; false: each sequence by itself */
} BatchOptions;

enum { BATCH_ROWS_MAX = 1 << 22 }; /* packed tokens of one batch */

typedef struct Batch {
    int32_t rows;              /* packed tokens, computed */
    int32_t sequences;         /* scored, in the order of groups and of sequences in them */
    int64_t tokens_in;         /* tokens of all sequences, as if nothing were shared */
    int32_t *ids;              /* [rows] */
    int32_t *positions;        /* [rows] position within its sequence */
    int32_t *scored;           /* [sequences] the row that scores each */
    int32_t *scored_positions; /* [sequences] and its position */
    AttentionPlan plan;        /* every row asks */
    AttentionPlan scored_plan; /* only the scored rows ask: the last layer */
    void *memory;
    size_t memory_bytes;
} Batch;

/* `batch` starts as {0}. Errors: no sequences, an empty sequence, more than BATCH_ROWS_MAX. */
MUST_CHECK bool batch_build(Batch *batch, const Group *groups, int32_t count, BatchOptions options,
                            Arena *arena, Err *err);
void batch_free(Batch *batch);
/* Rows a group would take, without building it: for filling batches to a token budget. */
int64_t batch_group_rows(const Group *group, BatchOptions options);

#endif
