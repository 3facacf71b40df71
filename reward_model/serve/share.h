/* share.h - which sequences are computed together, so that what they begin with is computed once.
 *
 * Sequences come from any number of requests. Owns nothing. */
#ifndef AILERON_RM_SERVE_SHARE_H
#define AILERON_RM_SERVE_SHARE_H

#include "../nn/batch.h"

enum {
    SHARE_TOKENS_MIN = 16, /* a shorter common beginning is not worth a group */
    SHARE_WINDOW = 1024,   /* sequences of one group, at most */
};

typedef struct ShareRow {
    Sequence sequence;
    double *score; /* where its score goes */
} ShareRow;

/* Rows that are one Group of a batch. */
typedef struct ShareUnit {
    ShareRow *rows;
    int32_t count;
    int64_t tokens; /* to compute: the common beginning once */
} ShareUnit;

/* Sorts the rows and cuts them into units (room for `count`) so that the fewest tokens are
 * computed, none of several rows computing more than `most`; share false: each row by itself.
 * *unit_count gets their number. False: the arena has no room. */
MUST_CHECK bool share_rows(ShareRow *rows, int32_t count, bool share, int64_t most,
                           ShareUnit *units, int32_t *unit_count, Arena *arena);

#endif
