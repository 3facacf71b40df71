/* model.h - one decoder with score heads: forward, backward, parameters by their hub names.
 *
 * The model owns its parameters, gradients, optimiser state and activations, all in its device's
 * memory; the device outlives it. Scores: [sequences, heads] fp32, row-major, host memory. */
#ifndef AILERON_RM_MODEL_H
#define AILERON_RM_MODEL_H

#include "batch.h"
#include "config.h"

typedef struct Model Model;

typedef enum TrainMode {
    TRAIN_NOTHING, /* scoring only: no gradients, no optimiser state, activations reused by layer */
    TRAIN_FULL,
    TRAIN_LORA,  /* rank-r additions to every product of the layers; heads too */
    TRAIN_HEADS, /* the backbone only gives features */
} TrainMode;

typedef struct ModelOptions {
    TrainMode mode;
    int32_t heads;        /* score heads (an ensemble); 1 … MODEL_HEADS_SCORE_MAX */
    int32_t lora_rank;    /* TRAIN_LORA */
    float lora_alpha;     /* additions are scaled by alpha / rank */
    uint64_t seed;        /* of fresh weights; the same seed gives the same bits */
    bool trim_last_layer; /* in the last layer compute only what scored rows need */
    int32_t recompute;    /* what a backward pass computes again, below RECOMPUTE_LEVELS */
    bool blank;           /* zeros for fresh weights: every tensor will be set (saves the draws) */
} ModelOptions;

/* Each level computes again what is named, and what the levels below it name: more time for less
 * memory. Scores are the same to the bit, and so are gradients; but for those of RECOMPUTE_NORMS on
 * a GPU, in bf16, of a model with GELU's tanh form (GPT-2) whose products have no LoRA: there the
 * product before the activation may make it, too, from sums that are not rounded to bf16 yet
 * (linear_activate of ops.h), while this level computes it from the rounded ones that it kept. */
enum {
    RECOMPUTE_NOTHING,
    RECOMPUTE_NORMS,  /* norms, head norms and activations: some percent of the time */
    RECOMPUTE_MLP,    /* the product before the activation */
    RECOMPUTE_LAYERS, /* whole layers, each from its input */
    RECOMPUTE_LEVELS,
};

enum { MODEL_HEADS_SCORE_MAX = 16 };

/* Fresh weights: N(0, initializer_range), norms 1, biases 0, heads N(0, 1/(width + 1)) as variance;
 * LoRA A N(0, 1/rank), B 0. NULL with an error that gives the bytes when memory does not suffice.
 */
MUST_CHECK Model *model_new(Device *device, const ModelConfig *config, const ModelOptions *options,
                            Arena *arena, Err *err);
void model_free(Model *model);
const ModelConfig *model_config(const Model *model);
int32_t model_heads(const Model *model);

/* Scores of the batch's sequences. `keep` holds what model_backward needs. */
MUST_CHECK bool model_forward(Model *model, const Batch *batch, bool keep, float *scores,
                              Arena *arena, Err *err);
/* Told of each part of the flat gradient array when nothing will be added to it any more (on a GPU:
 * when what adds to it is enqueued), from the top of the decoder down. */
typedef struct GradientSink {
    void (*ready)(void *context, size_t offset, size_t count);
    void *context;
} GradientSink;
/* Adds the gradients of Σ dscores · scores for the batch of the last model_forward(keep). The sink
 * (NULL: none) is for the last batch of a step. */
MUST_CHECK bool model_backward(Model *model, const Batch *batch, const float *dscores,
                               const GradientSink *sink, Arena *arena, Err *err);
/* The same parts in the same order, for a step without a batch. */
void model_gradients_announce(const Model *model, const GradientSink *sink);
/* The flat gradient array, in the device's memory. */
float *model_gradients(const Model *model, size_t *count);
/* What the heads read: final-norm output of each scored row, [sequences, width] fp32. */
MUST_CHECK bool model_features(Model *model, const Batch *batch, float *features, Arena *arena,
                               Err *err);

typedef struct StepOptions {
    float learning_rate, beta1, beta2, epsilon, weight_decay; /* decay: matrices only */
    float gradient_scale;                                     /* e.g. 1 / accumulated weight */
    float clip_norm;                                          /* of the scaled gradient; 0: never */
} StepOptions;
/* One AdamW step over everything that trains, then gradients are zero again. *norm gets the scaled
 * gradient's norm before clipping; a norm that is not finite is an error and changes nothing. */
MUST_CHECK bool model_step(Model *model, const StepOptions *options, double *norm, Arena *arena,
                           Err *err);

/* The parameters as the hub names them (a fused weight appears as its parts, a Conv1D transposed),
 * in a fixed order. Names carry the family's prefix ("model.layers.0.self_attn.q_proj.weight"); the
 * score heads are not among them, see model_heads_get. */
typedef struct HubTensor {
    char name[96];
    int32_t rank; /* 1 or 2 */
    int64_t shape[2];
} HubTensor;
int32_t model_tensors(const Model *model);
HubTensor model_tensor(const Model *model, int32_t index);
/* values: product(shape) floats in the hub's layout. LoRA: get merges the addition. */
void model_tensor_set(Model *model, int32_t index, const float *values);
void model_tensor_get(const Model *model, int32_t index, float *values);
void model_tensor_gradient(const Model *model, int32_t index, float *values); /* TRAIN_FULL */
/* Heads: [heads, width] fp32. */
void model_heads_set(Model *model, const float *values);
void model_heads_get(const Model *model, float *values);
void model_heads_gradient(const Model *model, float *values);
/* After the last set: copies masters into what the products use. */
void model_refresh(Model *model);

/* Everything a resumed run needs beside its base model, as named flat fp32 arrays: masters (or LoRA
 * pairs), heads and both moments of what trains. */
typedef struct StateArray {
    char name[96];
    size_t count;
} StateArray;
int32_t model_states(const Model *model);
StateArray model_state(const Model *model, int32_t index);
void model_state_get(const Model *model, int32_t index, float *values);
void model_state_set(Model *model, int32_t index, const float *values); /* then model_refresh */
int64_t model_step_count(const Model *model);
void model_step_count_set(Model *model, int64_t steps);

/* The lines of the list in params.h that this model has, for the report: all layers together. */
typedef struct ModelPart {
    const char *name; /* "embed", "qkv", … */
    int64_t parameters, trained;
} ModelPart;
int32_t model_parts(const Model *model);
ModelPart model_part(const Model *model, int32_t index);

typedef struct ModelPlan { /* bytes of device memory */
    size_t weights;        /* masters, and what products use */
    size_t optimiser;      /* gradients and moments */
    size_t scratch;        /* of single operations, about */
    size_t activations;    /* of a batch of `rows` packed tokens and `scored` sequences */
} ModelPlan;
/* What a model of this config would hold, computed without it. False: no host memory. */
MUST_CHECK bool model_plan(Device *device, const ModelConfig *config, const ModelOptions *options,
                           int64_t rows, int64_t scored, ModelPlan *plan);

typedef struct ModelUse { /* for progress, MFU and the memory message */
    size_t bytes;         /* held now */
    size_t bytes_peak;
    double flops; /* of products and attention, executed since model_new */
} ModelUse;
ModelUse model_use(const Model *model);

#endif
