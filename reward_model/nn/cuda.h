/* cuda.h - inside the CUDA backend: its device, scratch, launches and the entries of its table.
 *
 * A CudaDevice owns its stream, scratch, staging and handles. Every op enqueues on the one stream
 * and returns; nothing waits but sync, download, square_sum and memory that must grow. A failure is
 * kept (the first one) and told by sync, with op, shape and line. Kernels know their element type
 * as a template parameter; storage is `bf16` or `float`, arithmetic fp32.
 *
 * The kernels (cuda_*.cu but cuda_product.cu) use of CUDA only what tests/cuda/emulate.h offers
 * too, so that a machine without a GPU runs them, thread by thread, on its processor. */
#ifndef AILERON_RM_CUDA_H
#define AILERON_RM_CUDA_H

#ifndef CUDA_EMULATED
#include <cuda_runtime.h>
#endif
extern "C" {
#include "ops.h"
}

enum { CUDA_FAILURE_BYTES = 256, CUDA_WARP = 32, CUDA_ALIGNMENT = 16 };

struct CudaProducts; /* cuda_product.cu: the cuBLASLt handle, its workspace, the tried algorithms */
struct CudaPlans;    /* cuda_attention_plan.cu: the spans that lie on the device */

struct CudaDevice {
    Device base;
    cudaStream_t stream;
    int processors;        /* streaming multiprocessors */
    size_t shared_max;     /* bytes of shared memory a block may ask for */
    char *scratch;         /* see cuda_scratch */
    size_t scratch_bytes;
    char *staging;         /* pinned host memory, see cuda_upload_small */
    size_t staging_bytes, staging_used;
    CudaProducts *products;
    CudaPlans *plans;
    char failure[CUDA_FAILURE_BYTES]; /* empty: none since the last sync */
};

static inline CudaDevice *cuda_of(Device *device)
{
    return (CudaDevice *)device;
}

/* ---- cuda_device.cu ---- */

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
    kernel<<<grid.blocks, grid.threads, grid.shared_bytes, cuda->stream>>>(
        static_cast<Params>(args)...);
    cuda_check(cuda, cudaGetLastError(), place);
}
/* Dynamic shared memory: SHARED_DYNAMIC(name) declares `unsigned char *name`, 128-byte aligned. */
#define SHARED_DYNAMIC(name)                                                                       \
    extern __shared__ __align__(128) unsigned char name##_memory[];                                \
    unsigned char *name = name##_memory
#endif

/* ---- the entries, see ops.h ---- */

extern "C" {
/* cuda_device.cu */
Device *cuda_open(const DeviceOptions *options, Arena *arena, Err *err);
void cuda_close(Device *device);
bool cuda_sync(Device *device, Arena *arena, Err *err);
void *cuda_alloc(Device *device, size_t bytes);
void cuda_release(Device *device, void *memory);
void cuda_upload(Device *device, void *to, const void *from_host, size_t bytes);
void cuda_download(Device *device, void *to_host, const void *from, size_t bytes);
void cuda_zero(Device *device, void *memory, size_t bytes);
/* cuda_product.cu */
bool cuda_products_open(CudaDevice *cuda, Arena *arena, Err *err);
void cuda_products_close(CudaDevice *cuda);
Matrix *cuda_matrix_new(Device *device, int64_t outputs, int64_t inputs);
void cuda_matrix_free(Device *device, Matrix *matrix);
void cuda_matrix_set(Device *device, Matrix *matrix, const float *master, float scale);
size_t cuda_matrix_bytes(const Device *device, const Matrix *matrix);
void cuda_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                 Accumulate mode);
void cuda_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode);
void cuda_linear_dw(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale);
/* cuda_rows.cu */
void cuda_convert(Device *device, Tensor to, Tensor from);
void cuda_add(Device *device, Tensor to, Tensor from);
void cuda_gather(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cuda_scatter_add(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cuda_column_sums(Device *device, float *sums, Tensor x, float scale); /* sums += scale · Σ */
/* cuda_embed.cu */
void cuda_embed(Device *device, Tensor out, const int32_t *ids, const float *table,
                const int32_t *positions, const float *places);
void cuda_embed_backward(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                         const int32_t *positions, float *dplaces);
/* cuda_norm.cu */
void cuda_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
               const float *weight, const float *bias);
void cuda_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                        float *dbias, Tensor dy, Tensor x, const float *stats,
                        const float *weight);
/* cuda_heads.cu */
void cuda_head_norm(Device *device, int32_t head_dim, float epsilon, Tensor y, float *stats,
                    Tensor x, const float *weight);
void cuda_head_norm_backward(Device *device, int32_t head_dim, Tensor dx, float *dweight, Tensor dy,
                             Tensor x, const float *stats, const float *weight);
void cuda_rotate(Device *device, Tensor x, int32_t head_dim, const int32_t *positions,
                 const Rotary *rotary, int direction);
/* cuda_attention_plan.cu, cuda_attention_forward.cu, cuda_attention_backward.cu */
bool cuda_plans_open(CudaDevice *cuda, Arena *arena, Err *err);
void cuda_plans_close(CudaDevice *cuda);
void cuda_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                    float *lse, Tensor q, Tensor k, Tensor v);
void cuda_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                             Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                             const float *lse, Tensor q, Tensor k, Tensor v);
/* cuda_activation.cu */
void cuda_activate(Device *device, Activation kind, Tensor y, Tensor x);
void cuda_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x);
/* cuda_score.cu */
void cuda_score(Device *device, Tensor scores, Tensor features, const float *heads);
void cuda_score_backward(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                         Tensor features, const float *heads);
/* cuda_step.cu */
double cuda_square_sum(Device *device, const float *x, size_t count);
void cuda_adamw(Device *device, const AdamW *step, float *master, float *first, float *second,
                const float *gradient, size_t count);
/* cuda_table.cu: what ops.c asks for; NULL with an error that says why where no GPU works. */
const Ops *cuda_ops_find(Arena *arena, Err *err);
}

#endif
