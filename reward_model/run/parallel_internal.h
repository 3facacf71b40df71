/* parallel_internal.h - what the parallel_*.c files share: connections, frames, failure. */
#ifndef AILERON_RM_PARALLEL_INTERNAL_H
#define AILERON_RM_PARALLEL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "parallel.h"

typedef struct Peer {
    int fd;                  /* -1: none */
    pthread_mutex_t sending; /* a whole frame at a time */
} Peer;

typedef struct Bucket {
    size_t offset, count;
} Bucket;

struct ReduceNccl; /* parallel_nccl.c */

typedef struct Reduce { /* parallel_reduce.c */
    Buckets buckets;
    float *array;
    Bucket *queue;
    size_t queued, done, room;
    pthread_t thread;
    bool started, stopping, lost;
    pthread_mutex_t lock; /* of the queue's numbers */
    pthread_cond_t wake;
    struct ReduceNccl *nccl; /* NULL: over TCP */
} Reduce;

struct Parallel {
    ParallelPlace place;
    Peer *peers;       /* [world]; but on rank 0 only that of rank 0 is open */
    uint64_t sequence; /* of collective calls: the same on all ranks */
    Reduce reduce;
    pthread_t watcher;
    bool watching;
    atomic_bool leaving;
    pthread_mutex_t lock; /* of what follows */
    bool failed;
    char problem[PARALLEL_TEXT_BYTES];
};

typedef enum FrameKind { FRAME_DATA = 1, FRAME_PROBLEM } FrameKind;

typedef struct Frame {
    uint32_t magic, kind;
    uint64_t sequence, bytes;
} Frame;

enum { FRAME_MAGIC = 0x41524d31, PARALLEL_PIECE_FLOATS = 1 << 16 };

/* ---- parallel.c ---- */

/* The first problem is kept, told to the other ranks, and every connection is shut, so that whoever
 * waits on one wakes. Always false. */
bool parallel_fail(Parallel *parallel, const char *format, ...) PRINTF_LIKE(2, 3);
bool parallel_failed(Parallel *parallel);
/* The problem as an Err; always false. */
bool parallel_error(Parallel *parallel, Arena *arena, Err *err);
/* One frame to or from a rank; what is received must have that many bytes. False: it has failed. */
MUST_CHECK bool parallel_send(Parallel *parallel, int32_t rank, const void *bytes, size_t count);
MUST_CHECK bool parallel_receive_head(Parallel *parallel, int32_t rank, size_t count);
MUST_CHECK bool parallel_receive(Parallel *parallel, int32_t rank, void *bytes, size_t count);
MUST_CHECK bool parallel_read(Parallel *parallel, int32_t rank, void *bytes, size_t count);
/* In place, over TCP: at rank 0 in the order of the ranks, then to all. */
MUST_CHECK bool parallel_sum_over(Parallel *parallel, float *values, size_t count);

/* ---- parallel_join.c ---- */
MUST_CHECK bool parallel_connect(Parallel *parallel, Arena *arena, Err *err);

/* ---- parallel_reduce.c ---- */
void parallel_reduce_close(Parallel *parallel);

/* ---- parallel_nccl.c: only in builds with NCCL's header ---- */
struct ReduceNccl *reduce_nccl_open(Parallel *parallel, Device *device, Arena *arena, Err *err);
void reduce_nccl_close(struct ReduceNccl *nccl, bool failed);
MUST_CHECK bool reduce_nccl_sum(struct ReduceNccl *nccl, float *values, size_t count);
MUST_CHECK bool reduce_nccl_wait(struct ReduceNccl *nccl, Parallel *parallel);

#endif
