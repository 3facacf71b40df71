/* parallel_nccl.c - sums of gradients over GPUs by NCCL, on a stream of their own: each waits for
 * what was enqueued before it on the device's stream and runs beside what comes after.
 *
 * Built where nccl.h and CUDA are; the library itself is looked for when it is first needed, so the
 * program starts without it. */
#include "parallel_internal.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <nccl.h>
#include <stdlib.h>
#include <time.h>

enum { POLL_NS = 50000 };

/* The functions used, by name. */
#define NCCL_FUNCTIONS(X)                                                                          \
    X(ncclGetUniqueId)                                                                             \
    X(ncclCommInitRank)                                                                            \
    X(ncclAllReduce)                                                                               \
    X(ncclCommGetAsyncError) X(ncclCommAbort) X(ncclCommDestroy) X(ncclGetErrorString)

typedef struct ReduceNccl {
    void *library;
#define X(name) __typeof__(&name) name;
    NCCL_FUNCTIONS(X)
#undef X
    ncclComm_t communicator;
    cudaStream_t stream, computing; /* computing is the device's */
    cudaEvent_t ready, done;
    Parallel *parallel;
} ReduceNccl;

static bool check_cuda(ReduceNccl *n, cudaError_t status, const char *what)
{
    return status == cudaSuccess ||
           parallel_fail(n->parallel, "rank %d: %s: %s", n->parallel->place.rank, what,
                         cudaGetErrorString(status));
}

static bool check_nccl(ReduceNccl *n, ncclResult_t status, const char *what)
{
    return status == ncclSuccess ||
           parallel_fail(n->parallel, "rank %d: NCCL, %s: %s", n->parallel->place.rank, what,
                         n->ncclGetErrorString(status));
}

static bool load(ReduceNccl *n, Arena *arena, Err *err)
{
    static const char *const names[] = {"libnccl.so.2", "libnccl.so"};
    for (size_t i = 0; i < LEN(names) && !n->library; i++)
        n->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "several processes on device cuda need NCCL: %s", dlerror());
        /* POSIX: what dlsym gives may be stored as a pointer to a function this way */
#define X(name)                                                                                    \
    *(void **)&n->name = dlsym(n->library, #name);                                                 \
    if (!n->name)                                                                                  \
        return err_set(err, arena, ERR_unavailable, NULL, "NCCL here is too old: it has no %s",    \
                       #name);
    NCCL_FUNCTIONS(X)
#undef X
    return true;
}

static bool start(ReduceNccl *n, Arena *arena, Err *err)
{
    Parallel *p = n->parallel;
    ncclUniqueId id = {0};
    bool ok =
        p->place.rank > 0 || check_nccl(n, n->ncclGetUniqueId(&id), "an id for the communicator");
    if (!ok) return parallel_error(p, arena, err);
    if (!parallel_broadcast(p, &id, sizeof id, arena, err)) return false;
    ok = check_cuda(n, cudaStreamCreateWithFlags(&n->stream, cudaStreamNonBlocking), "a stream") &&
         check_cuda(n, cudaEventCreateWithFlags(&n->ready, cudaEventDisableTiming), "an event") &&
         check_cuda(n, cudaEventCreateWithFlags(&n->done, cudaEventDisableTiming), "an event") &&
         check_nccl(n, n->ncclCommInitRank(&n->communicator, p->place.world, id, p->place.rank),
                    "joining");
    return ok || parallel_error(p, arena, err);
}

ReduceNccl *reduce_nccl_open(Parallel *parallel, Device *device, Arena *arena, Err *err)
{
    ReduceNccl *n = calloc(1, sizeof *n);
    if (!n) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    n->parallel = parallel;
    n->computing = device->ops->stream(device);
    if (load(n, arena, err) && start(n, arena, err)) return n;
    reduce_nccl_close(n, true);
    return NULL;
}

/* After a failure nobody is waited for. */
void reduce_nccl_close(ReduceNccl *n, bool failed)
{
    if (!n) return;
    if (n->communicator) (failed ? n->ncclCommAbort : n->ncclCommDestroy)(n->communicator);
    if (n->ready) cudaEventDestroy(n->ready);
    if (n->done) cudaEventDestroy(n->done);
    if (n->stream) cudaStreamDestroy(n->stream);
    if (n->library) dlclose(n->library);
    free(n);
}

bool reduce_nccl_sum(ReduceNccl *n, float *values, size_t count)
{
    return check_cuda(n, cudaEventRecord(n->ready, n->computing), "an event") &&
           check_cuda(n, cudaStreamWaitEvent(n->stream, n->ready, 0), "an event") &&
           check_nccl(n,
                      n->ncclAllReduce(values, values, count, ncclFloat, ncclSum, n->communicator,
                                       n->stream),
                      "a sum");
}

/* Looks again and again rather than sleeping in CUDA: a rank that is gone never finishes a sum. */
bool reduce_nccl_wait(ReduceNccl *n, Parallel *parallel)
{
    const struct timespec pause = {0, POLL_NS};
    if (!check_cuda(n, cudaEventRecord(n->done, n->stream), "an event")) return false;
    for (;;) {
        ncclResult_t other = ncclSuccess;
        cudaError_t status = cudaEventQuery(n->done);
        if (status == cudaSuccess) return true;
        if (status != cudaErrorNotReady) return check_cuda(n, status, "the sums of gradients");
        if (parallel_failed(parallel) ||
            !check_nccl(n, n->ncclCommGetAsyncError(n->communicator, &other), "its state") ||
            !check_nccl(n, other, "a sum"))
            return false;
        nanosleep(&pause, NULL);
    }
}
