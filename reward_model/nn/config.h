/* config.h - what a decoder is made of: one struct for GPT-2, GPT-NeoX, Llama, Qwen2 and Qwen3.
 * Plain data; hub/config.c fills it from a config.json, model_config_tiny from nothing. */
#ifndef AILERON_RM_CONFIG_H
#define AILERON_RM_CONFIG_H

#include "ops.h"

typedef enum Family { FAMILY_GPT2, FAMILY_NEOX, FAMILY_LLAMA, FAMILY_QWEN2, FAMILY_QWEN3 } Family;
typedef enum RopeScaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 } RopeScaling;

typedef struct ModelConfig {
    Family family;
    int32_t vocabulary, width, layers, query_heads, key_heads, head_dim, hidden;
    int32_t positions; /* longest sequence: a hard limit for learned positions, advice for RoPE */
    Activation activation;
    NormKind norm;
    float norm_epsilon;
    bool learned_positions; /* GPT-2 */
    bool parallel_residual; /* GPT-NeoX: x + attention(norm1 x) + mlp(norm2 x) */
    bool head_norm;         /* Qwen3: q and k RMS norms per head, before RoPE */
    bool qkv_bias, output_bias, mlp_bias;
    int32_t rotary_dims; /* 0: none */
    float rope_theta;
    RopeScaling rope_scaling;
    float rope_factor, rope_low, rope_high;
    int32_t rope_original_positions;
    float initializer_range;        /* standard deviation of fresh weights */
    int32_t pad_id, bos_id, eos_id; /* -1: none */
} ModelConfig;

/* A small Llama-shaped decoder over a byte-level vocabulary (hub/tiny.c writes its tokenizer). */
ModelConfig model_config_tiny(void);
/* False, naming the member, when sizes do not fit together or exceed the limits below. */
MUST_CHECK bool model_config_check(const ModelConfig *config, Arena *arena, Err *err);
int64_t model_config_parameters(const ModelConfig *config); /* without score heads */

enum {
    MODEL_LAYERS_MAX = 256,
    MODEL_WIDTH_MAX = 32768,
    MODEL_VOCABULARY_MAX = 1 << 20,
    MODEL_HEAD_DIM_MAX = 256,
    MODEL_HEADS_MAX = 1024,
    MODEL_HIDDEN_MAX = 1 << 18,
    MODEL_POSITIONS_MAX = 1 << 24,
};

#endif
