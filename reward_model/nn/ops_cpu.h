/* ops_cpu.h - what the files of the CPU backend share: the device, its scratch memory, their names.
 *
 * The kernels (ops_cpu_*.c but device and dnnl) are compiled once for every level of processor:
 * by themselves for the baseline, and again by ops_cpu_v3.c (AVX2), ops_cpu_v4.c (AVX-512) and
 * ops_cpu_bf16.c (AVX-512 with its bf16), which set a target and include them. Each copy ends in
 * its own table of ops; ops.c picks one by what the processor is, so one binary runs everywhere and
 * tests can run every copy. */
#ifndef AILERON_RM_OPS_CPU_H
#define AILERON_RM_OPS_CPU_H

#include "ops.h"

/* Scratch memory by purpose: a slot lives until the device closes and only grows. */
typedef enum CpuSlot {
    SLOT_PARTIALS, /* sums by blocks of rows, before they are added in order */
    SLOT_THREADS,  /* a piece for every thread */
    SLOT_LEFT,     /* operands of a product converted to one dtype */
    SLOT_RIGHT,
    SLOT_RESULT,
    SLOT_LIBRARY, /* what oneDNN asks for */
    SLOTS,
} CpuSlot;

typedef struct Cpu {
    Device device;
    int threads;
    void *slots[SLOTS];
    size_t slot_bytes[SLOTS];
    char failure[160]; /* the first since the last sync; empty: none */
    struct Dnnl *dnnl; /* oneDNN's engine and primitives; NULL in the plain backends */
} Cpu;

static inline Cpu *cpu_of(Device *device)
{
    return (Cpu *)device;
}

/* Keeps the first failure for sync. */
void cpu_fail(Cpu *cpu, const char *format, ...) PRINTF_LIKE(2, 3);
/* `bytes` of scratch, 64-byte aligned, not cleared; NULL after cpu_fail: the op then does nothing.
 */
MUST_CHECK void *cpu_scratch(Cpu *cpu, CpuSlot slot, size_t bytes);

Device *cpu_open(const DeviceOptions *options, const Ops *ops, Arena *arena, Err *err);
void cpu_close(Device *device);
bool cpu_sync(Device *device, Arena *arena, Err *err);
void *cpu_alloc(Device *device, size_t bytes);
void cpu_release(Device *device, void *memory);
size_t cpu_memory_free(Device *device);
void cpu_upload(Device *device, void *to, const void *from, size_t bytes);
void cpu_zero(Device *device, void *memory, size_t bytes);

/* The score heads, alike at every level (ops_cpu_score.c). */
void cpu_score(Device *device, Tensor scores, Tensor features, const float *heads);
void cpu_score_backward(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                        Tensor features, const float *heads);

/* The tables, best first where the processor allows: see ops.c. */
extern const Ops cpu_plain_v1, cpu_plain_v3, cpu_plain_v4, cpu_plain_bf16;
extern const Ops cpu_dnnl_v1, cpu_dnnl_v3, cpu_dnnl_v4, cpu_dnnl_bf16;

/* Products by oneDNN (ops_cpu_dnnl.c), built with HAVE_DNNL. dnnl_linear_dw leaves dbias to the
 * caller. */
bool dnnl_multiplies_bf16(void); /* by instructions that the processor has and it may use */
MUST_CHECK bool dnnl_open(Cpu *cpu, Arena *arena, Err *err);
void dnnl_close(Cpu *cpu);
Matrix *dnnl_matrix_new(Device *device, int64_t outputs, int64_t inputs);
size_t dnnl_matrix_bytes(const Device *device, const Matrix *matrix);
void dnnl_matrix_free(Device *device, Matrix *matrix);
void dnnl_matrix_set(Device *device, Matrix *matrix, const float *master, float scale);
void dnnl_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                 Accumulate mode);
void dnnl_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode);
void dnnl_linear_dw(Device *device, float *dw, Tensor dy, Tensor x, float scale);

/* ---- names that carry the level: cpu_norm is cpu_norm_v1, cpu_norm_v3 or cpu_norm_v4 ---- */

#ifndef CPU_LEVEL
#define CPU_LEVEL v1
#endif
#define CPU_JOIN(name, level) name##_##level
#define CPU_NAME(name, level) CPU_JOIN(name, level)
#define AT_LEVEL(name)        CPU_NAME(name, CPU_LEVEL)

#define cpu_convert             AT_LEVEL(cpu_convert)
#define cpu_add                 AT_LEVEL(cpu_add)
#define cpu_gather              AT_LEVEL(cpu_gather)
#define cpu_scatter_add         AT_LEVEL(cpu_scatter_add)
#define cpu_embed               AT_LEVEL(cpu_embed)
#define cpu_embed_backward      AT_LEVEL(cpu_embed_backward)
#define cpu_norm                AT_LEVEL(cpu_norm)
#define cpu_norm_backward       AT_LEVEL(cpu_norm_backward)
#define cpu_turn_heads          AT_LEVEL(cpu_turn_heads)
#define cpu_turn_heads_backward AT_LEVEL(cpu_turn_heads_backward)
#define cpu_attention           AT_LEVEL(cpu_attention)
#define cpu_attention_backward  AT_LEVEL(cpu_attention_backward)
#define cpu_activate            AT_LEVEL(cpu_activate)
#define cpu_activate_backward   AT_LEVEL(cpu_activate_backward)
#define cpu_square_sum          AT_LEVEL(cpu_square_sum)
#define cpu_adamw               AT_LEVEL(cpu_adamw)
#define cpu_matrix_new          AT_LEVEL(cpu_matrix_new)
#define cpu_matrix_free         AT_LEVEL(cpu_matrix_free)
#define cpu_matrix_set          AT_LEVEL(cpu_matrix_set)
#define cpu_matrix_bytes        AT_LEVEL(cpu_matrix_bytes)
#define cpu_linear              AT_LEVEL(cpu_linear)
#define cpu_linear_dx           AT_LEVEL(cpu_linear_dx)
#define cpu_linear_dw           AT_LEVEL(cpu_linear_dw)
#define cpu_column_sums         AT_LEVEL(cpu_column_sums)

void cpu_convert(Device *device, Tensor to, Tensor from);
void cpu_add(Device *device, Tensor to, Tensor from);
void cpu_gather(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cpu_scatter_add(Device *device, Tensor to, Tensor from, const int32_t *rows);
void cpu_embed(Device *device, Tensor out, const int32_t *ids, const float *table,
               const int32_t *positions, const float *places);
void cpu_embed_backward(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                        const int32_t *positions, float *dplaces);
void cpu_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
              const float *weight, const float *bias);
void cpu_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                       float *dbias, Tensor dy, Tensor x, const float *stats, const float *weight);
void cpu_turn_heads(Device *device, int32_t head_dim, float epsilon, const Rotary *rotary,
                    const HeadTurn *q, const HeadTurn *k);
void cpu_turn_heads_backward(Device *device, int32_t head_dim, const Rotary *rotary,
                             const HeadTurn *q, const HeadTurn *k);
void cpu_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                   float *lse, Tensor q, Tensor k, Tensor v);
void cpu_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                            Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                            const float *lse, Tensor q, Tensor k, Tensor v);
void cpu_activate(Device *device, Activation kind, Tensor y, Tensor x);
void cpu_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x);
double cpu_square_sum(Device *device, const float *x, size_t count);
void cpu_adamw(Device *device, const AdamW *step, float *master, float *first, float *second,
               const float *gradient, size_t count);
Matrix *cpu_matrix_new(Device *device, int64_t outputs, int64_t inputs);
size_t cpu_matrix_bytes(const Device *device, const Matrix *matrix);
void cpu_matrix_free(Device *device, Matrix *matrix);
void cpu_matrix_set(Device *device, Matrix *matrix, const float *master, float scale);
void cpu_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                Accumulate mode);
void cpu_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode);
void cpu_linear_dw(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale);
void cpu_column_sums(Device *device, float *to, Tensor x, float scale);

#endif
