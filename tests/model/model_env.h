/* model_env.h - tiny models of every family with weights that matter, batches, and comparisons. */
#ifndef AILERON_TESTS_MODEL_ENV_H
#define AILERON_TESTS_MODEL_ENV_H

#include <math.h>
#include <stdio.h>
#include "../unit/unit.h"
#include "../../reward_model/nn/model.h"
#include "../../reward_model/nn/random.h"

#ifndef MODEL_BACKEND /* else what a build says, see reward_model/cuda.mk */
#define MODEL_BACKEND "cpu"
#endif

enum { HEADS = 2, VOCABULARY = 29 };

/* One config for each thing a family can be. */
static const ModelConfig CONFIGS[] = {
    {.family = FAMILY_GPT2,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 2,
     .query_heads = 4,
     .key_heads = 4,
     .head_dim = 4,
     .hidden = 24,
     .positions = 24,
     .activation = ACT_GELU_TANH,
     .norm = NORM_LAYER,
     .norm_epsilon = 1e-5f,
     .learned_positions = true,
     .qkv_bias = true,
     .output_bias = true,
     .mlp_bias = true,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_NEOX,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 2,
     .query_heads = 2,
     .key_heads = 2,
     .head_dim = 8,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_GELU_ERF,
     .norm = NORM_LAYER,
     .norm_epsilon = 1e-5f,
     .parallel_residual = true,
     .qkv_bias = true,
     .output_bias = true,
     .mlp_bias = true,
     .rotary_dims = 2,
     .rope_theta = 10000,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_NEOX,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 2,
     .query_heads = 2,
     .key_heads = 2,
     .head_dim = 8,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_GELU_ERF,
     .norm = NORM_LAYER,
     .norm_epsilon = 1e-5f,
     .mlp_bias = true,
     .rotary_dims = 8,
     .rope_theta = 10000,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_LLAMA,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 3,
     .query_heads = 4,
     .key_heads = 2,
     .head_dim = 4,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_SWIGLU,
     .norm = NORM_RMS,
     .norm_epsilon = 1e-5f,
     .rotary_dims = 4,
     .rope_theta = 500,
     .rope_scaling = ROPE_LLAMA3,
     .rope_factor = 4,
     .rope_low = 1,
     .rope_high = 4,
     .rope_original_positions = 16,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_LLAMA,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 1,
     .query_heads = 4,
     .key_heads = 1,
     .head_dim = 4,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_SWIGLU,
     .norm = NORM_RMS,
     .norm_epsilon = 1e-5f,
     .qkv_bias = true,
     .output_bias = true,
     .mlp_bias = true,
     .rotary_dims = 4,
     .rope_theta = 10000,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_QWEN2,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 2,
     .query_heads = 4,
     .key_heads = 2,
     .head_dim = 4,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_SWIGLU,
     .norm = NORM_RMS,
     .norm_epsilon = 1e-6f,
     .qkv_bias = true,
     .rotary_dims = 4,
     .rope_theta = 10000,
     .rope_scaling = ROPE_LINEAR,
     .rope_factor = 2,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
    {.family = FAMILY_QWEN3,
     .vocabulary = VOCABULARY,
     .width = 16,
     .layers = 2,
     .query_heads = 4,
     .key_heads = 2,
     .head_dim = 6,
     .hidden = 20,
     .positions = 64,
     .activation = ACT_SWIGLU,
     .norm = NORM_RMS,
     .norm_epsilon = 1e-6f,
     .head_norm = true,
     .rotary_dims = 6,
     .rope_theta = 10000,
     .initializer_range = 0.02f,
     .pad_id = -1,
     .bos_id = -1,
     .eos_id = -1},
};

/* Prompts with answers: shared in part, a prefix of another, identical, length 1. */
static const int32_t IDS[][10] = {
    {3, 1, 4, 1, 5, 9, 2},
    {3, 1, 4, 1, 5, 8},
    {3, 1, 4, 1, 5, 9, 2, 6, 5}, /* group 0 */
    {7, 7, 20, 28},
    {7, 7, 20, 28}, /* group 1: the same twice */
    {11},
    {11, 12},                            /* group 2 */
    {0, 13, 2, 13, 2, 13, 2, 13, 27, 1}, /* group 3: alone */
};
static const int32_t LENGTHS[] = {7, 6, 9, 4, 4, 1, 2, 10};
static const int32_t COUNTS[] = {3, 2, 2, 1};
enum { SEQUENCES = 8, GROUPS = 4 };

typedef struct World {
    Arena arena;
    Err err;
    Device *device;
    Batch batch;
} World;

static inline World world_open(Dtype compute, bool share)
{
    World w = {0};
    arena_init(&w.arena, MiB(1));
    const Ops *ops = ops_find(MODEL_BACKEND, &w.arena, &w.err);
    ck_assert_msg(ops != NULL, "%s", w.err.detail);
    w.device = ops->open(&(DeviceOptions){.compute = compute}, &w.arena, &w.err);
    if (!w.device && compute == DTYPE_BF16 && ops_best_dtype(ops) != DTYPE_BF16) {
        /* oneDNN has no bf16 for this one; the plain products have it for all */
        ops = ops_find("cpu-v1", &w.arena, &w.err);
        w.device = ops->open(&(DeviceOptions){.compute = compute}, &w.arena, &w.err);
    }
    ck_assert_msg(w.device != NULL, "%s", w.err.detail);
    Sequence sequences[SEQUENCES];
    Group groups[GROUPS];
    for (int i = 0; i < SEQUENCES; i++) sequences[i] = (Sequence){IDS[i], LENGTHS[i]};
    for (int g = 0, at = 0; g < GROUPS; at += COUNTS[g++])
        groups[g] = (Group){&sequences[at], COUNTS[g]};
    ck_assert(batch_build(&w.batch, groups, GROUPS, (BatchOptions){share}, &w.arena, &w.err));
    return w;
}

static inline void world_close(World *w)
{
    batch_free(&w->batch);
    w->device->ops->close(w->device);
    arena_release(&w->arena);
}

static inline size_t tensor_floats(HubTensor t)
{
    return (size_t)t.shape[0] * (size_t)(t.rank == 2 ? t.shape[1] : 1);
}

static inline float *floats(size_t count)
{
    float *x = calloc(count ? count : 1, sizeof(float));
    ck_assert_ptr_nonnull(x);
    return x;
}

/* Weights large enough that every parameter moves the scores; embeddings larger, or a norm of so
 * little would bend the scores too much for differences. */
static inline void model_scramble(Model *model, uint64_t seed)
{
    for (int32_t i = 0; i < model_tensors(model); i++) {
        HubTensor t = model_tensor(model, i);
        float *values = floats(tensor_floats(t));
        random_normal(seed, (uint64_t)i, 0, values, tensor_floats(t), i == 0 ? 1 : 0.3);
        bool norm = t.rank == 1 && strstr(t.name, "bias") == NULL;
        for (size_t k = 0; norm && k < tensor_floats(t); k++) values[k] += 1;
        model_tensor_set(model, i, values);
        free(values);
    }
    model_refresh(model);
}

static inline Model *model_open(World *w, const ModelConfig *config, ModelOptions options)
{
    if (options.heads == 0) options.heads = HEADS;
    if (options.seed == 0) options.seed = 42;
    Model *model = model_new(w->device, config, &options, &w->arena, &w->err);
    ck_assert_msg(model != NULL, "%s", w->err.detail);
    model_scramble(model, 7);
    return model;
}

static inline void scores_of(World *w, Model *model, bool keep, float *scores)
{
    bool ok = model_forward(model, &w->batch, keep, scores, &w->arena, &w->err);
    ck_assert_msg(ok, "%s", w->err.detail);
}

/* dscores: fixed numbers of both signs. */
static inline void weights_of_scores(float *out)
{
    random_normal(5, 0, 0, out, SEQUENCES * HEADS, 1);
}

static inline double weighted_scores(World *w, Model *model)
{
    float scores[SEQUENCES * HEADS], weights[SEQUENCES * HEADS];
    scores_of(w, model, false, scores);
    weights_of_scores(weights);
    double sum = 0;
    for (int i = 0; i < SEQUENCES * HEADS; i++) sum += (double)scores[i] * (double)weights[i];
    return sum;
}

static inline void backward(World *w, Model *model)
{
    float scores[SEQUENCES * HEADS], weights[SEQUENCES * HEADS];
    weights_of_scores(weights);
    scores_of(w, model, true, scores);
    bool ok = model_backward(model, &w->batch, weights, NULL, &w->arena, &w->err);
    ck_assert_msg(ok, "%s", w->err.detail);
}

/* ||a - b|| / ||b|| */
static inline double distance(const float *a, const float *b, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        size += (double)b[i] * (double)b[i];
    }
    return size > 0 ? sqrt(difference / size) : sqrt(difference);
}

static const StepOptions STEP = {.learning_rate = 1e-2f,
                                 .beta1 = 0.9f,
                                 .beta2 = 0.99f,
                                 .epsilon = 1e-8f,
                                 .weight_decay = 0.01f,
                                 .gradient_scale = 0.5f,
                                 .clip_norm = 1};

static inline double step(World *w, Model *model)
{
    double norm = 0;
    backward(w, model);
    bool ok = model_step(model, &STEP, &norm, &w->arena, &w->err);
    ck_assert_msg(ok, "%s", w->err.detail);
    return norm;
}

#endif
