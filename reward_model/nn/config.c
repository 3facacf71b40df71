/* config.c - a decoder's sizes: a small one from nothing, and the check every other one passes. */
#include <math.h>
#include "config.h"

ModelConfig model_config_tiny(void)
{
    return (ModelConfig){
        .family = FAMILY_LLAMA,
        .vocabulary = 320, /* 256 bytes, then the special tokens; the rest is spare */
        .width = 128,
        .layers = 4,
        .query_heads = 4,
        .key_heads = 2,
        .head_dim = 32,
        .hidden = 384,
        .positions = 2048,
        .activation = ACT_SWIGLU,
        .norm = NORM_RMS,
        .norm_epsilon = 1e-5f,
        .rotary_dims = 32,
        .rope_theta = 10000,
        .rope_scaling = ROPE_PLAIN,
        .initializer_range = 0.02f,
        .pad_id = 256,
        .bos_id = 257,
        .eos_id = 258,
    };
}

typedef struct Range {
    const char *name;
    int64_t value, min, max;
} Range;

static bool ranges_check(const ModelConfig *c, Arena *arena, Err *err)
{
    const Range ranges[] = {
        {"family", c->family, FAMILY_GPT2, FAMILY_QWEN3},
        {"vocabulary (vocab_size)", c->vocabulary, 1, MODEL_VOCABULARY_MAX},
        {"width (hidden_size)", c->width, 1, MODEL_WIDTH_MAX},
        {"layers (num_hidden_layers)", c->layers, 1, MODEL_LAYERS_MAX},
        {"query_heads (num_attention_heads)", c->query_heads, 1, MODEL_HEADS_MAX},
        {"key_heads (num_key_value_heads)", c->key_heads, 1, c->query_heads},
        {"head_dim", c->head_dim, 1, MODEL_HEAD_DIM_MAX},
        {"hidden (intermediate_size)", c->hidden, 1, MODEL_HIDDEN_MAX},
        {"positions (max_position_embeddings)", c->positions, 1, MODEL_POSITIONS_MAX},
        {"activation", c->activation, ACT_GELU_TANH, ACT_SWIGLU},
        {"norm", c->norm, NORM_RMS, NORM_LAYER},
        {"rotary_dims", c->rotary_dims, 0, c->head_dim},
        {"rope_scaling", c->rope_scaling, ROPE_PLAIN, ROPE_LLAMA3},
        {"pad_id", c->pad_id, -1, c->vocabulary - 1},
        {"bos_id", c->bos_id, -1, c->vocabulary - 1},
        {"eos_id", c->eos_id, -1, c->vocabulary - 1},
    };
    for (size_t i = 0; i < LEN(ranges); i++) {
        const Range *r = &ranges[i];
        if (r->value < r->min || r->value > r->max)
            return err_set(err, arena, ERR_invalid, NULL,
                           "The model's %s is %lld; it must be %lld to %lld.", r->name,
                           (long long)r->value, (long long)r->min, (long long)r->max);
    }
    return true;
}

static bool is_positive(float x)
{
    return isfinite(x) && x > 0;
}

/* What one family can store: its tensors have names for nothing else. */
static bool family_fits(const ModelConfig *c)
{
    bool layer_norms = c->norm == NORM_LAYER && c->activation != ACT_SWIGLU;
    bool all_biases = c->qkv_bias && c->output_bias && c->mlp_bias;
    bool full_heads = c->key_heads == c->query_heads && c->query_heads * c->head_dim == c->width;
    switch (c->family) {
    case FAMILY_GPT2:
        return layer_norms && all_biases && full_heads && c->learned_positions &&
               c->rotary_dims == 0 && !c->parallel_residual && !c->head_norm;
    case FAMILY_NEOX:
        return layer_norms && full_heads && c->mlp_bias && c->qkv_bias == c->output_bias &&
               !c->learned_positions && !c->head_norm;
    case FAMILY_LLAMA:
    case FAMILY_QWEN2:
    case FAMILY_QWEN3:
        return c->norm == NORM_RMS && c->activation == ACT_SWIGLU && !c->learned_positions &&
               !c->parallel_residual && c->head_norm == (c->family == FAMILY_QWEN3);
    }
    return false;
}

bool model_config_check(const ModelConfig *c, Arena *arena, Err *err)
{
    if (!ranges_check(c, arena, err)) return false;
    const struct {
        const char *rule;
        bool holds;
    } rules[] = {
        {"query_heads must be a multiple of key_heads", c->query_heads % c->key_heads == 0},
        {"rotary_dims must be even", c->rotary_dims % 2 == 0},
        {"norm_epsilon must be more than 0", is_positive(c->norm_epsilon)},
        {"initializer_range must be more than 0", is_positive(c->initializer_range)},
        {"rope_theta must be more than 0", !c->rotary_dims || is_positive(c->rope_theta)},
        {"rope_factor must be more than 0",
         c->rope_scaling == ROPE_PLAIN || is_positive(c->rope_factor)},
        {"rope_low, rope_high and rope_original_positions must be more than 0, rope_high above "
         "rope_low",
         c->rope_scaling != ROPE_LLAMA3 ||
             (is_positive(c->rope_low) && is_positive(c->rope_high) && c->rope_high > c->rope_low &&
              c->rope_original_positions > 0)},
        {"norm, activation, biases, heads and positions must be those of its family",
         family_fits(c)},
    };
    for (size_t i = 0; i < LEN(rules); i++)
        if (!rules[i].holds)
            return err_set(err, arena, ERR_invalid, NULL, "The model's %s.", rules[i].rule);
    return true;
}
