/* cuda.h - inside the CUDA backend: its device, scratch, launches and the entries of its table.
 *
 * A CudaDevice owns its stream, scratch, staging and handles. Every op enqueues on the one stream
 * and returns; nothing waits but sync, download, square_sum and memory that must grow. A failure is
 * kept (the first one) and told by sync, with op, shape and line. Kernels know their element type
 * as a template parameter; storage is `bf16` or `float`, arithmetic fp32.
 *
 * Every file uses of CUDA and cuBLASLt only what tests/cuda/ offers too (emulate.h, cublasLt.h), so
 * that a machine without a GPU runs them, thread by thread, on its processor. */
#ifndef AILERON_RM_CUDA_H
#define AILERON_RM_CUDA_H

#ifndef CUDA_EMULATED
#include <cuda_runtime.h>
#endif
extern "C" {
#include "../ops.h"
}

enum { CUDA_FAILURE_BYTES = 256, CUDA_WARP = 32, CUDA_ALIGNMENT = 16 };

struct CudaProducts; /* product.cu: cuBLASLt, its workspace, the chosen algorithms */
struct CudaBlocks;   /* device.cu: what alloc has given */
struct CudaPlans;    /* attention_plan.cu: the spans that lie on the device */

enum { STAGING_HALVES = 2 };

/* Pinned host memory in two halves, used in turn; see cuda_upload_small. */
struct CudaStaging {
    char *memory;
    size_t half_bytes, used; /* used: of the half in use */
    int half;
    cudaEvent_t left[STAGING_HALVES]; /* after the last copy out of each, when it was left */
};

struct CudaDevice {
    Device base;
    cudaStream_t stream;
    int processors;    /* streaming multiprocessors */
    size_t shared_max; /* bytes of shared memory a block may ask for */
    char *scratch;     /* see cuda_scratch */
    size_t scratch_bytes;
    int index; /* among the process's GPUs */
    CudaStaging staging;
    CudaBlocks *blocks;
    CudaProducts *products;
    CudaPlans *plans;
    char failure[CUDA_FAILURE_BYTES]; /* empty: none since the last sync */
};

/* ---- device.cu ---- */

/* The device, made the calling thread's current one: CUDA has one for each thread, at first GPU 0,
 * and refuses the stream of another. */
CudaDevice *cuda_of(Device *device);

typedef struct CudaPlace { /* what a failure is told with */
    const char *op;
    int line;
    int64_t rows, cols;
} CudaPlace;
#define CUDA_PLACE(rows, cols) (CudaPlace{__func__, __LINE__, (int64_t)(rows), (int64_t)(cols)})

/* Keeps the first failure; true when the status is success. */
bool cuda_check(CudaDevice *cuda, cudaError_t status, CudaPlace place);
/* Device memory that holds until the next cuda_scratch: one op's own, 256-byte aligned; NULL (and a
 * failure kept) when there is none. Grows only. */
void *cuda_scratch(CudaDevice *cuda, size_t bytes, CudaPlace place);
/* Copies a little host memory to device memory in the stream's order without waiting; the host
 * memory may change at once. */
void cuda_upload_small(CudaDevice *cuda, void *to, const void *from_host, size_t bytes,
                       CudaPlace place);

/* ---- launches ---- */

typedef struct CudaGrid {
    dim3 blocks, threads;
    size_t shared_bytes; /* dynamic; above 48 KiB the launch opts in by itself */
} CudaGrid;

#ifndef CUDA_EMULATED
#define CUDA_START(cuda, place, grid, kernel, ...)                                                 \
    kernel<<<(grid).blocks, (grid).threads, (grid).shared_bytes, (cuda)->stream>>>(__VA_ARGS__)
/* Dynamic shared memory: SHARED_DYNAMIC(name) declares `unsigned char *name`, 128-byte aligned. */
#define SHARED_DYNAMIC(name)                                                                       \
    extern __shared__ __align__(128) unsigned char name##_memory[];                                \
    unsigned char *name = name##_memory
#define CUDA_SCRATCH_TAKEN(cuda, bytes) ((void)0)
#endif

/* cuda_launch(cuda, CUDA_PLACE(rows, cols), {blocks, threads, shared}, kernel<float>, args…): the
 * arguments are converted to the kernel's parameter types. */
template <typename... Params, typename... Args>
void cuda_launch(CudaDevice *cuda, CudaPlace place, CudaGrid grid, void (*kernel)(Params...),
                 Args... args)
{
    static_assert(sizeof...(Params) == sizeof...(Args), "one argument a parameter");
    if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0) return;
    if (grid.shared_bytes > KiB(48) &&
        !cuda_check(cuda,
                    cudaFuncSetAttribute((const void *)kernel,
                                         cudaFuncAttributeMaxDynamicSharedMemorySize,
                                         (int)grid.shared_bytes),
                    place))
        return;
    CUDA_START(cuda, place, grid, kernel, static_cast<Params>(args)...);
    cuda_check(cuda, cudaGetLastError(), place);
}

#include "table.h"

#endif
