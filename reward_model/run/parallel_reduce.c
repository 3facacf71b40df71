/* parallel_reduce.c - the gradients' sum over all ranks, bucket by bucket in one order, by a thread
 * of its own while the backward pass goes on (CPU), or by NCCL in the device's own order (CUDA). */
#include "parallel_internal.h"

#include <stdlib.h>

#include "../../server/base/clock.h"

enum { BUCKET_FLOATS = 1 << 20 }; /* 4 MiB: some milliseconds on a 10 Gbit/s line */

/* A build without NCCL lacks these. */
#pragma weak reduce_nccl_open
#pragma weak reduce_nccl_close
#pragma weak reduce_nccl_sum
#pragma weak reduce_nccl_wait

/* The next bucket, or false at the end. */
static bool take(Reduce *r, Bucket *bucket)
{
    pthread_mutex_lock(&r->lock);
    while (r->done == r->queued && !r->stopping) pthread_cond_wait(&r->wake, &r->lock);
    bool there = r->done < r->queued;
    if (there) *bucket = r->queue[r->done];
    pthread_mutex_unlock(&r->lock);
    return there;
}

static void *work(void *context)
{
    Parallel *p = context;
    Reduce *r = &p->reduce;
    Bucket bucket;
    bool ok = true;
    while (take(r, &bucket)) {
        /* after a failure the rest is only counted */
        ok = ok && parallel_sum_over(p, r->array + bucket.offset, bucket.count);
        pthread_mutex_lock(&r->lock);
        r->done++;
        pthread_cond_broadcast(&r->wake);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

static void put(void *context, size_t offset, size_t count)
{
    Parallel *p = context;
    Reduce *r = &p->reduce;
    if (r->nccl) {
        r->lost = r->lost || !reduce_nccl_sum(r->nccl, r->array + offset, count);
        return;
    }
    pthread_mutex_lock(&r->lock);
    if (r->queued == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        Bucket *grown = realloc(r->queue, room * sizeof *grown);
        if (grown) {
            r->queue = grown;
            r->room = room;
        }
    }
    r->lost = r->lost || r->queued == r->room;
    if (!r->lost) r->queue[r->queued++] = (Bucket){offset, count};
    pthread_cond_broadcast(&r->wake);
    pthread_mutex_unlock(&r->lock);
}

bool parallel_reduce_open(Parallel *p, Device *device, Arena *arena, Err *err)
{
    if (!p) return true;
    Reduce *r = &p->reduce;
    r->buckets = (Buckets){.most = BUCKET_FLOATS, .full = put, .context = p};
    if (strcmp(device->ops->name, "cuda") == 0) {
        if (!reduce_nccl_open)
            return err_set(err, arena, ERR_unavailable, NULL,
                           "several processes on device cuda need NCCL, and this build has none; "
                           "build where nccl.h is installed");
        r->nccl = reduce_nccl_open(p, device, arena, err);
        return r->nccl != NULL;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->wake, NULL);
    r->started = pthread_create(&r->thread, NULL, work, p) == 0;
    return r->started || err_set(err, arena, ERR_unavailable, NULL, "no thread for sums");
}

void parallel_reduce_close(Parallel *p)
{
    Reduce *r = &p->reduce;
    if (r->nccl) reduce_nccl_close(r->nccl, p->failed);
    if (r->started) {
        pthread_mutex_lock(&r->lock);
        r->stopping = true;
        pthread_cond_broadcast(&r->wake);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
        pthread_mutex_destroy(&r->lock);
        pthread_cond_destroy(&r->wake);
    }
    free(r->queue);
    *r = (Reduce){0};
}

void parallel_reduce_begin(Parallel *p, float *array)
{
    Reduce *r = &p->reduce;
    if (r->started) pthread_mutex_lock(&r->lock);
    r->array = array;
    r->queued = r->done = 0; /* its thread waits for both to differ */
    r->buckets.open_count = 0;
    if (r->started) pthread_mutex_unlock(&r->lock);
}

void parallel_reduce_ready(void *context, size_t offset, size_t count)
{
    Parallel *p = context;
    buckets_add(&p->reduce.buckets, offset, count);
}

bool parallel_reduce_end(Parallel *p, double *waited_s, Arena *arena, Err *err)
{
    Reduce *r = &p->reduce;
    int64_t begun_us = clock_monotonic_us();
    buckets_end(&r->buckets);
    if (r->nccl) {
        if (!r->lost && !reduce_nccl_wait(r->nccl, p)) r->lost = true;
    } else {
        pthread_mutex_lock(&r->lock);
        while (r->done < r->queued) pthread_cond_wait(&r->wake, &r->lock);
        pthread_mutex_unlock(&r->lock);
    }
    *waited_s = (double)(clock_monotonic_us() - begun_us) / 1e6;
    if (parallel_failed(p)) return parallel_error(p, arena, err);
    return !r->lost ||
           err_set(err, arena, ERR_unavailable, NULL, "the gradients could not be summed");
}
