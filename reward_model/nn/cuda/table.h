/* table.h - the entries of the CUDA backend's table, by file; what they do stands in ../ops.h.
 * Included by cuda.h. */
#ifndef AILERON_RM_CUDA_TABLE_H
#define AILERON_RM_CUDA_TABLE_H

#include "cuda.h"

extern "C" {
/* device.cu */
Device *cuda_open(const DeviceOptions *options, Arena *arena, Err *err);
void cuda_close(Device *device);
bool cuda_sync(Device *device, Arena *arena, Err *err);
void *cuda_alloc(Device *device, size_t bytes);
void cuda_release(Device *device, void *memory);
size_t cuda_memory_free(Device *device);
void *cuda_stream(Device *device);
void cuda_upload(Device *device, void *to, const void *from_host, size_t bytes);
void cuda_download(Device *device, void *to_host, const void *from, size_t bytes);
void cuda_zero(Device *device, void *memory, size_t bytes);
/* matrix.cu; product.h has how */
Matrix *cuda_matrix_new(Device *device, int64_t outputs, int64_t inputs);
void cuda_matrix_free(Device *device, Matrix *matrix);
void cuda_matrix_set(Device *device, Matrix *matrix, const float *master, float scale);
size_t cuda_matrix_bytes(const Device *device, const Matrix *matrix);
void cuda_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                 Accumulate mode);
void cuda_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode);
void cuda_linear_dw(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale);
void cuda_linear_activate(Device *device, Activation kind, Tensor y, Tensor hidden, Tensor x,
                          const Matrix *w, const float *bias);
void cuda_linear_dx_activate(Device *device, Activation kind, Tensor dhidden, Tensor dactivated,
                             Tensor dy, const Matrix *w, Tensor hidden);
/* rows.cu */
void cuda_convert(Device *device, Tensor to, Tensor from);
void cuda_add(Device *device, Tensor to, Tensor from);
void cuda_gather(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cuda_scatter_add(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cuda_column_sums(Device *device, float *sums, Tensor x, float scale); /* sums += scale · Σ */
/* embed.cu */
void cuda_embed(Device *device, Tensor out, const int32_t *ids, const float *table,
                const int32_t *positions, const float *places);
void cuda_embed_backward(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                         const int32_t *positions, float *dplaces);
/* norm.cu, norm_backward.cu */
void cuda_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
               const float *weight, const float *bias);
void cuda_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                        float *dbias, Tensor dy, Tensor x, const float *stats, const float *weight);
/* turn.cu */
void cuda_turn_heads(Device *device, int32_t head_dim, float epsilon, const Rotary *rotary,
                     const HeadTurn *q, const HeadTurn *k);
void cuda_turn_heads_backward(Device *device, int32_t head_dim, const Rotary *rotary,
                              const HeadTurn *q, const HeadTurn *k);
/* attention_plan.cu, attention_forward.cu, attention_backward.cu */
bool cuda_plans_open(CudaDevice *cuda, Arena *arena, Err *err);
void cuda_plans_close(CudaDevice *cuda);
void cuda_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                    float *lse, Tensor q, Tensor k, Tensor v);
void cuda_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                             Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                             const float *lse, Tensor q, Tensor k, Tensor v);
/* activation.cu */
void cuda_activate(Device *device, Activation kind, Tensor y, Tensor x);
void cuda_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x);
/* score.cu */
void cuda_score(Device *device, Tensor scores, Tensor features, const float *heads);
void cuda_score_backward(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                         Tensor features, const float *heads);
/* step.cu */
double cuda_square_sum(Device *device, const float *x, size_t count);
void cuda_adamw(Device *device, const AdamW *step, float *master, float *first, float *second,
                const float *gradient, size_t count);
/* What ops.c asks for; NULL with an error that says why where no GPU works. */
const Ops *cuda_ops_find(Arena *arena, Err *err);
/* table.cu */
extern const Ops cuda_ops;
}

#endif
