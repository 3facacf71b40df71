/* ops.h - the only seam between the model and the hardware: one table of functions per backend.
 *
 * Ownership: a Device owns its threads, streams, scratch and every Matrix; memory from alloc
 * belongs to the caller until release. All `void *` and Tensor data below are in the device's
 * memory. Errors: an op never reports failure itself. A backend keeps its first failure (op, shape,
 * line) and `sync` returns it; shapes that break an invariant drawn here are bugs and assert.
 * Determinism: the same calls with the same inputs, device and thread count give the same bits; no
 * op depends on the order in which threads finish (no atomics on floats). */
#ifndef AILERON_RM_OPS_H
#define AILERON_RM_OPS_H

#include "../../server/base/err.h"

typedef enum Dtype { DTYPE_F32, DTYPE_BF16 } Dtype;

/* rows x cols, row r begins at element r * stride; a view owns nothing. */
typedef struct Tensor {
    void *data;
    int64_t rows, cols, stride;
    Dtype dtype;
} Tensor;

typedef struct Device Device;
typedef struct Matrix
    Matrix; /* a weight [outputs, inputs] in the layout its backend multiplies fastest */

typedef enum Accumulate { SET = 0, ADD = 1 } Accumulate; /* y = … or y += … */
typedef enum NormKind { NORM_RMS, NORM_LAYER } NormKind;
typedef enum Activation { ACT_GELU_TANH, ACT_GELU_ERF, ACT_SWIGLU } Activation;

/* One run of queries that share what they see. Query i (0 ≤ i < queries) attends rows
 * context … context + context_length of the keys in full, then rows own … own + offset + i
 * (inclusive).
 *
 *   keys:  [ context: the shared prompt ][ … ][ own: this answer, causal ]
 *
 * A whole sequence: queries = its length, offset = 0. Only its last token (the trimmed last layer):
 * queries = 1, offset = length - 1. */
typedef struct Span {
    int32_t query, queries;          /* rows of the query tensor */
    int32_t own, offset;             /* rows of the key tensor */
    int32_t context, context_length; /* rows of the key tensor; length 0: none */
} Span;

/* Spans of one tree (a prompt and its answers) are consecutive: tree t is spans
 * tree_begin[t] … tree_begin[t + 1]. Trees share no rows, so a backend may run them side by side
 * and add up the gradients of a shared prompt in the order of the spans. Host memory; the backend
 * copies. */
typedef struct AttentionPlan {
    const Span *spans;
    const int32_t *tree_begin; /* trees + 1 entries */
    int32_t span_count, trees;
    int32_t query_rows, key_rows;
} AttentionPlan;

typedef struct Heads {
    int32_t query_heads, key_heads, head_dim; /* query_heads is a multiple of key_heads */
    float scale;                              /* of the logits, usually 1/sqrt(head_dim) */
} Heads;

/* cos and sin: [positions, rotary_dims / 2] fp32; the pairs are (j, j + rotary_dims/2) of each head
 * ("rotate half"). The other dims of a head pass unchanged. */
typedef struct Rotary {
    const float *cosines, *sines;
    int32_t rotary_dims;
} Rotary;

enum { TURN_HEAD_DIM_MAX = 256 }; /* head_dim that turn_heads takes */

/* q or k of a layer on its way to attention; the tensors are [rows, heads · head_dim]. */
typedef struct HeadTurn {
    Tensor x, y;              /* y may be x */
    Tensor dy, dx;            /* of turn_heads_backward alone; dx may be dy */
    const int32_t *positions; /* [rows]: rows of the rotary tables */
    const float *weight;      /* [head_dim] of the RMS norm; NULL: none, nor what follows */
    float *dweight;           /* [head_dim]; NULL: not wanted */
    float *stats;             /* [rows, heads] 1/deviation */
} HeadTurn;

typedef struct AdamW {
    float learning_rate, beta1, beta2, epsilon, weight_decay;
    float gradient_scale; /* multiplies every gradient first: clipping and averaging */
    int64_t step;         /* counted from 1, for the bias corrections */
} AdamW;

typedef struct DeviceOptions {
    int threads;   /* 0: as many as the process may use */
    Dtype compute; /* what activations and weights are held in; see ops_best_dtype */
} DeviceOptions;

typedef struct Ops {
    const char *name; /* "cpu", "cuda" */
    MUST_CHECK Device *(*open)(const DeviceOptions *options, Arena *arena, Err *err);
    void (*close)(Device *device);
    MUST_CHECK bool (*sync)(Device *device, Arena *arena,
                            Err *err); /* waits; the first failure since */

    /* Memory: aligned to 64 bytes (256 on a GPU); NULL when there is none left. */
    MUST_CHECK void *(*alloc)(Device *device, size_t bytes);
    void (*release)(Device *device, void *memory);
    size_t (*memory_free)(Device *device); /* that the process may still take */
    void *(*stream)(Device *device); /* its queue of work, a cudaStream_t; NULL: it has none */
    void (*upload)(Device *device, void *to, const void *from_host, size_t bytes);
    void (*download)(Device *device, void *to_host, const void *from, size_t bytes);
    void (*zero)(Device *device, void *memory, size_t bytes);
    void (*convert)(Device *device, Tensor to, Tensor from); /* between dtypes, same shape */
    void (*add)(Device *device, Tensor to, Tensor from); /* to += from, same shape, any dtypes */

    /* Weights. matrix_set copies the fp32 master [outputs, inputs], multiplied by scale. */
    MUST_CHECK Matrix *(*matrix_new)(Device *device, int64_t outputs, int64_t inputs);
    void (*matrix_free)(Device *device, Matrix *matrix);
    void (*matrix_set)(Device *device, Matrix *matrix, const float *master, float scale);
    size_t (*matrix_bytes)(const Device *device, const Matrix *matrix); /* of device memory held */

    /* y[M, out] = x[M, in] · Wᵀ + bias;  dx[M, in] = dy · W;  dW[out, in] += scale · dyᵀ · x (fp32,
     * always added), dbias[out] += scale · Σ dy. bias and dbias are fp32 or NULL. */
    void (*linear)(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                   Accumulate mode);
    void (*linear_dx)(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode);
    void (*linear_dw)(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale);
    /* Products with an activation beside them, shapes as activate has them:
     *   hidden = x · Wᵀ + bias, y = activation(hidden);   dhidden = (dy · W) ⊙ activation'(hidden).
     * All of one op are distinct. A backend may take the activation of the sums before they are
     * rounded to hidden's dtype, or multiply before dy · W is rounded; else the bits are those of
     * the two ops. `dactivated`, of the shape of dy · W, is room: its content is undefined
     * afterwards. */
    void (*linear_activate)(Device *device, Activation kind, Tensor y, Tensor hidden, Tensor x,
                            const Matrix *w, const float *bias);
    void (*linear_dx_activate)(Device *device, Activation kind, Tensor dhidden, Tensor dactivated,
                               Tensor dy, const Matrix *w, Tensor hidden);

    /* out[i] = table[ids[i]] (+ places[positions[i]]); tables fp32 masters; ids in device memory.
     * Backward adds into fp32 gradients, rows with equal ids in ascending i; NULL places: none. */
    void (*embed)(Device *device, Tensor out, const int32_t *ids, const float *table,
                  const int32_t *positions, const float *places);
    void (*embed_backward)(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                           const int32_t *positions, float *dplaces);
    /* to[i] = from[rows[i]], and back: to[rows[i]] += from[i] (rows distinct); any dtypes. */
    void (*gather)(Device *device, Tensor to, Tensor from, const int32_t *rows);
    void (*scatter_add)(Device *device, Tensor to, Tensor from, const int32_t *rows);

    /* y = norm(x) · weight (+ bias), statistics in fp32: stats[row] = {mean (0 for RMS),
     * 1/deviation}. RMS casts to the activation's dtype before multiplying by weight, as
     * transformers does. Backward: dx (mode) and, always added, dweight and dbias; bias and dbias
     * NULL for RMS; dweight NULL (then dbias too): not wanted. */
    void (*norm)(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
                 const float *weight, const float *bias);
    void (*norm_backward)(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                          float *dbias, Tensor dy, Tensor x, const float *stats,
                          const float *weight);

    /* y of x, each head of q and of k by itself: RMS norm (Qwen3; both have a weight, or neither),
     * then rotation (of none where rotary_dims is 0). q and k may differ in rows and heads. In
     * fp32, rounded to y's dtype three times: x · 1/deviation; that · weight, both as transformers
     * does; what has been rotated.
     * Backward: dy, turned back and rounded to dy's dtype, goes through the norm; x and stats as
     * forward had and left them. dx is set; dweight is always added. Without a norm it only turns
     * dy back, and reads no x. */
    void (*turn_heads)(Device *device, int32_t head_dim, float epsilon, const Rotary *rotary,
                       const HeadTurn *q, const HeadTurn *k);
    void (*turn_heads_backward)(Device *device, int32_t head_dim, const Rotary *rotary,
                                const HeadTurn *q, const HeadTurn *k);

    /* out[query_rows, Hq·e]; lse [query_rows, Hq] fp32, kept for the backward pass.
     * Backward sets dq, dk, dv (rows that nobody attends get 0). */
    void (*attention)(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                      float *lse, Tensor q, Tensor k, Tensor v);
    void (*attention_backward)(Device *device, const AttentionPlan *plan, const Heads *heads,
                               Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                               const float *lse, Tensor q, Tensor k, Tensor v);

    /* GELU: x and y [rows, f]. SwiGLU: x [rows, 2f] = (gate | up), y [rows, f] = silu(gate) · up.
     */
    void (*activate)(Device *device, Activation kind, Tensor y, Tensor x);
    void (*activate_backward)(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x);

    /* The score heads, fp32 on every device: scores[S, E] = features[S, d] · headsᵀ, heads [E, d].
     * Backward: dfeatures = dscores · heads (data NULL: not wanted), dheads += dscoresᵀ · features.
     */
    void (*score)(Device *device, Tensor scores, Tensor features, const float *heads);
    void (*score_backward)(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                           Tensor features, const float *heads);

    /* Optimiser. square_sum is exact to fp64 accumulation in a fixed order. */
    double (*square_sum)(Device *device, const float *x, size_t count);
    void (*adamw)(Device *device, const AdamW *step, float *master, float *first, float *second,
                  const float *gradient, size_t count);
} Ops;

struct Device {
    const Ops *ops; /* backends embed this struct at the start of their own */
    Dtype compute;
    size_t bytes, bytes_peak; /* held now and at most: alloc, matrices and scratch */
};

/* The backend of that name ("cpu", "cuda", "auto": cuda where one works, else cpu), or NULL with an
 * error that says what is missing. */
MUST_CHECK const Ops *ops_find(const char *name, Arena *arena, Err *err);
/* linear_activate and linear_dx_activate by the two ops each, for a backend that has no other. */
void ops_linear_activate(Device *device, Activation kind, Tensor y, Tensor hidden, Tensor x,
                         const Matrix *w, const float *bias);
void ops_linear_dx_activate(Device *device, Activation kind, Tensor dhidden, Tensor dactivated,
                            Tensor dy, const Matrix *w, Tensor hidden);
/* bf16 where the processor multiplies it in hardware (AMX, AVX512-BF16; every supported GPU). */
Dtype ops_best_dtype(const Ops *ops);

static inline size_t dtype_bytes(Dtype dtype)
{
    return dtype == DTYPE_F32 ? 4 : 2;
}

#endif
