/* model_internal.h - what the files of the model share: its layers, and where a pass keeps what.
 *
 * One activation arena holds a pass: what each layer keeps for the backward pass, then what all
 * layers share, then scratch. How much is kept is ModelOptions.recompute; see Kept.
 *
 *   x ── norm1 ── q|k|v ── (head norms) ── rotation ── attention ── out ──(+x)── mid
 *   mid ── norm2 ── up ── activation ── down ──(+mid)── next        (GPT-NeoX: norm2 of x)
 *
 * In a trimmed last layer all rows give keys and values, and only the scored rows ask: their q,
 * attention, out and MLP. "asked" below is the number of rows that ask. */
#ifndef AILERON_RM_MODEL_INTERNAL_H
#define AILERON_RM_MODEL_INTERNAL_H

#include "params.h"
#include "tensor.h"

typedef struct Product { /* one linear product with its LoRA addition, if any */
    int64_t outputs, inputs;
    Matrix *weight, *lora_a, *lora_b; /* the last two NULL but for LoRA */
    const float *master, *bias, *master_a, *master_b;
    float *dweight, *dbias, *da, *db; /* NULL: frozen */
} Product;

typedef struct Norm {
    const float *weight, *bias;
    float *dweight, *dbias; /* NULL: frozen */
} Norm;

typedef struct Layer {
    Norm norm1, norm2, q_norm, k_norm;
    bool trimmed;
    Product qkv;   /* in a trimmed layer k and v only */
    Product query; /* of a trimmed layer */
    Product out, up, down;
} Layer;

typedef struct Projections {
    Tensor fused; /* q|k|v, or k|v where q is apart */
    Tensor q, k, v;
} Projections;

/* What a layer's forward pass leaves for its backward pass. The number is the last level of
 * ModelOptions.recompute that keeps it of every layer; above it the layers share one place, and
 * model_backward computes it again. Without a backward pass all is shared. */
typedef struct Kept {
    Tensor x, next;         /* 3: [rows, width]; [asked, width], x of the layer above */
    Tensor asking;          /* 2: x of the rows that ask; x itself unless trimmed */
    Tensor mid;             /* 2: [asked, width] */
    Projections raw;        /* 2 */
    Tensor attended;        /* 2: [asked, query_heads · head_dim] */
    float *lse;             /* 2 */
    Tensor hidden;          /* 1: [asked, up's outputs] */
    Tensor normed, queried; /* 0: norm1 of x; its rows that ask */
    Tensor normed2;         /* 0: [asked, width] */
    Tensor activated;       /* 0: [asked, hidden] */
    Projections turned; /* 0: as attention reads them; raw itself unless head norms want it again */
    float *stats, *stats2, *q_stats, *k_stats; /* 0 */
} Kept;

typedef struct Scratch { /* shared by the layers; one for full and one for trimmed layers */
    Tensor low, dnormed, dqueried, dnormed2, dactivated, dhidden, dattended, dlow;
    Projections d;
} Scratch;

typedef struct Pass {
    int32_t rows, scored;
    int32_t *ids, *positions, *scored_rows, *scored_positions; /* device */
    Kept *layers;                                              /* host */
    Scratch scratch[2];                                        /* [trimmed] */
    Tensor dx, dasking; /* the gradient going down the layers */
    Tensor last, features, scores, dscores, dfeatures, dlast; /* fp32, [scored, …] */
    float *last_stats;
    bool kept; /* model_backward may follow */
} Pass;

struct Model {
    Device *device;
    const Ops *ops;
    ModelConfig config;
    ModelOptions options;
    Params params;
    float *masters, *gradients, *first, *second; /* params.count, then params.trained floats */
    Layer *layers;
    Norm final_norm;
    const float *embed, *places, *heads;
    float *dembed, *dplaces, *dheads; /* NULL: frozen */
    Rotary rotary;
    int32_t rotary_positions; /* rows of its tables */
    void *arena;
    size_t arena_bytes;
    Pass pass;
    int64_t steps;
    bool stale;       /* masters have changed since model_refresh */
    float *staging;   /* host memory for placing tensors, STAGING_FLOATS */
    float *low_ranks; /* host memory for merging LoRA: A of one module and a row of B */
    ModelUse use;     /* without the matrices: see model_use */
};

enum {
    STAGING_FLOATS = 1 << 19, /* even, and at least a row of any weight: */
    LORA_RANK_MAX = 1024,
    RECOMPUTE_ALL = RECOMPUTE_LEVELS, /* nothing is kept: no backward pass follows */
};
static_assert((int)STAGING_FLOATS >= (int)MODEL_HIDDEN_MAX &&
                  (int)STAGING_FLOATS >= (int)MODEL_HEADS_MAX * (int)MODEL_HEAD_DIM_MAX &&
                  (int)STAGING_FLOATS >= (int)MODEL_WIDTH_MAX,
              "a row must fit in staging");
static_assert((int)MODEL_HEAD_DIM_MAX <= (int)TURN_HEAD_DIM_MAX, "every head can be turned");

/* ---- model_memory.c ---- */

/* Device memory, counted in model->use; NULL with an error that says for what, and how much. */
MUST_CHECK void *model_take(Model *model, size_t bytes, const char *what, Arena *arena, Err *err);
void model_give(Model *model, void *memory, size_t bytes);
/* Bytes of the arena for a batch of that size. */
size_t pass_bytes(const Model *model, int64_t rows, int64_t scored, int32_t level);
/* Lays the pass out for a batch in the arena, which grows when it must. */
MUST_CHECK bool pass_place(Model *model, const Batch *batch, bool keep, Arena *arena, Err *err);
/* cos and sin for at least `positions` positions. */
MUST_CHECK bool rotary_grow(Model *model, int32_t positions, Arena *arena, Err *err);

/* ---- model_product.c ---- */

/* y = x · Wᵀ + bias, or y += …; `low` is scratch for LoRA. */
void product_forward(Model *model, const Product *product, Tensor y, Tensor x, Accumulate mode,
                     Tensor low);
/* dx = dy · W (data NULL: not wanted) and the gradients of what trains. */
void product_backward(Model *model, const Product *product, Tensor dx, Tensor dy, Tensor x,
                      Tensor low, Tensor dlow);
/* The same with the activation beside: hidden = x · Wᵀ + bias, y = activation(hidden). */
void product_forward_activate(Model *model, const Product *product, Tensor y, Tensor hidden,
                              Tensor x, Tensor low);
/* dhidden = (dy · W) ⊙ activation'(hidden), and the gradients of what trains of the product that
 * takes x = activation(hidden); `dactivated` is room. */
void product_backward_activate(Model *model, const Product *product, Tensor dhidden,
                               Tensor dactivated, Tensor dy, Tensor x, Tensor hidden, Tensor low,
                               Tensor dlow);
void product_refresh(Model *model, const Product *product, bool all);
/* Head norms and rotation: kept->raw to kept->turned. Back: d, in place. */
void heads_turn(Model *model, const Layer *layer, const Kept *kept);
void heads_turn_back(Model *model, const Layer *layer, const Kept *kept, const Projections *d);
void norm_forward(Model *model, const Norm *norm, Tensor y, float *stats, Tensor x);
void norm_backward(Model *model, const Norm *norm, Tensor dx, Accumulate mode, Tensor dy, Tensor x,
                   const float *stats);
void attention_count(Model *model, const AttentionPlan *plan, double products);
Heads attention_heads(const ModelConfig *config);

/* ---- model_forward.c ---- */

/* What this level did not keep of a layer, from kept->x: for its backward pass. */
void layer_again(Model *model, const Layer *layer, const Kept *kept, const AttentionPlan *plan);

#endif
