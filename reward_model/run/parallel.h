/* parallel.h - one training by several processes, one a device: who they are, sums over them,
 * copies of what rank 0 has, and an end for all when one of them ends.
 *
 *   rank 0 ── one TCP connection to each other rank, open from joining to leaving
 *
 * Every sum is taken in the order of the ranks, so it does not depend on who is first. All
 * collective calls are made by every rank in the same order; a rank that is out of step, silent or
 * gone is an error that names it, on every rank. After such an error only parallel_leave is of use.
 * The transport is neither encrypted nor meant for a network one does not trust; a secret
 * (AILERON_PARALLEL_SECRET) keeps strangers from joining.  */
#ifndef AILERON_RM_PARALLEL_H
#define AILERON_RM_PARALLEL_H

#include "../../server/base/err.h"
#include "../nn/ops.h"

#include <stdio.h>

enum {
    PARALLEL_RANKS_MAX = 256,
    PARALLEL_PORT = 29500,     /* where MASTER_PORT is not set */
    PARALLEL_TIMEOUT_S = 300,  /* for all to join; AILERON_PARALLEL_TIMEOUT */
    PARALLEL_TEXT_BYTES = 480, /* of an error told to the others */
};

typedef struct ParallelPlace {
    int32_t rank, world;             /* world 1: alone */
    int32_t local_rank, local_world; /* among those on this machine */
    const char *launcher, *address;
    int32_t port;
    int64_t timeout_ms;
} ParallelPlace;

/* From the environment that the usual launchers set: see the table in parallel_place.c. */
MUST_CHECK bool parallel_place(ParallelPlace *place, Arena *arena, Err *err);

/* What each launcher sets, and what else may be set. */
void parallel_print_help(FILE *out);

typedef struct Parallel Parallel;

/* Waits for all ranks, at most place->timeout_ms. NULL with an error: a rank is missing (which),
 * the port is in use, sizes differ, the secret does. */
MUST_CHECK Parallel *parallel_join(const ParallelPlace *place, Arena *arena, Err *err);
/* Ends it; NULL is nobody. `problem` (NULL: none) is told to the others, who end with it. */
void parallel_leave(Parallel *parallel, const char *problem);
int32_t parallel_rank(const Parallel *parallel);  /* of NULL: 0 */
int32_t parallel_world(const Parallel *parallel); /* of NULL: 1 */

/* ---- collective calls ---- */

/* True when no rank has a problem (NULL: none); else the first's is every rank's error. */
MUST_CHECK bool parallel_agree(Parallel *parallel, const char *problem, Arena *arena, Err *err);
/* Rank 0's bytes become everybody's; the count is the same on all. */
MUST_CHECK bool parallel_broadcast(Parallel *parallel, void *bytes, size_t count, Arena *arena,
                                   Err *err);
MUST_CHECK bool parallel_sum(Parallel *parallel, double *values, size_t count, Arena *arena,
                             Err *err);
MUST_CHECK bool parallel_sum_floats(Parallel *parallel, float *values, size_t count, Arena *arena,
                                    Err *err);

/* ---- gradients, summed while the rest of them is computed ---- */

/* Between begin and end no other collective call is made. The array is in the device's memory. */
MUST_CHECK bool parallel_reduce_open(Parallel *parallel, Device *device, Arena *arena, Err *err);
void parallel_reduce_begin(Parallel *parallel, float *array);
/* A part of the array is final on this rank: for GradientSink. Parts, and their order, are the same
 * on all ranks. */
void parallel_reduce_ready(void *parallel, size_t offset, size_t count);
/* Waits until all that was ready is summed; *waited_s: for how long. */
MUST_CHECK bool parallel_reduce_end(Parallel *parallel, double *waited_s, Arena *arena, Err *err);

/* ---- parts to buckets ---- */

/* Parts that touch are gathered until a bucket is full: many small sums would be slow, and one
 * large one could not begin early. */
typedef struct Buckets {
    size_t most; /* floats in a bucket */
    void (*full)(void *context, size_t offset, size_t count);
    void *context;
    struct {
        size_t offset, count;
    } open[4];
    int open_count;
} Buckets;
void buckets_add(Buckets *buckets, size_t offset, size_t count);
void buckets_end(Buckets *buckets); /* what is left, in the order in which it was begun */

#endif
