/* params.h - THE list of what a decoder is made of; sizes, hub names, placement, decay and training
 * all come from it.
 *
 * A module is one line of the list in one layer: a weight [outputs, inputs], perhaps a bias, and
 * for products under LoRA the pair A [rank, inputs], B [outputs, rank]. All parameters lie in one
 * flat fp32 array, so that an optimiser step is two calls:
 *
 *   masters:   | trained, decayed | trained, not decayed | frozen |
 *   gradients, both moments:  the same offsets, only what trains
 */
#ifndef AILERON_RM_PARAMS_H
#define AILERON_RM_PARAMS_H

#include "model.h"

/* id, state name, kind, one a layer, outputs, inputs, has a bias, is there,
 * hub names: GPT-2, GPT-NeoX, Llama and Qwen ("|" between the parts of what we hold as one).
 * c is the ModelConfig, h the number of score heads. */
/* clang-format off */
#define PARAMS(X)                                                                                  \
    X(EMBED, "embed", TABLE, false, c->vocabulary, c->width, false, true,                          \
      "wte", "embed_in", "embed_tokens")                                                           \
    X(PLACES, "places", TABLE, false, c->positions, c->width, false, c->learned_positions,         \
      "wpe", NULL, NULL)                                                                           \
    X(NORM1, "norm1", NORM, true, c->width, 1, c->norm == NORM_LAYER, true,                        \
      "ln_1", "input_layernorm", "input_layernorm")                                                \
    X(QKV, "qkv", PRODUCT, true, (c->query_heads + 2 * c->key_heads) * c->head_dim, c->width,      \
      c->qkv_bias, true,                                                                           \
      "attn.c_attn", "attention.query_key_value",                                                  \
      "self_attn.q_proj|self_attn.k_proj|self_attn.v_proj")                                        \
    X(Q_NORM, "q_norm", NORM, true, c->head_dim, 1, false, c->head_norm,                           \
      NULL, NULL, "self_attn.q_norm")                                                              \
    X(K_NORM, "k_norm", NORM, true, c->head_dim, 1, false, c->head_norm,                           \
      NULL, NULL, "self_attn.k_norm")                                                              \
    X(OUT, "out", PRODUCT, true, c->width, c->query_heads * c->head_dim, c->output_bias, true,     \
      "attn.c_proj", "attention.dense", "self_attn.o_proj")                                        \
    X(NORM2, "norm2", NORM, true, c->width, 1, c->norm == NORM_LAYER, true,                        \
      "ln_2", "post_attention_layernorm", "post_attention_layernorm")                              \
    X(UP, "up", PRODUCT, true, c->hidden * (c->activation == ACT_SWIGLU ? 2 : 1), c->width,        \
      c->mlp_bias, true,                                                                           \
      "mlp.c_fc", "mlp.dense_h_to_4h", "mlp.gate_proj|mlp.up_proj")                                \
    X(DOWN, "down", PRODUCT, true, c->width, c->hidden, c->mlp_bias, true,                         \
      "mlp.c_proj", "mlp.dense_4h_to_h", "mlp.down_proj")                                          \
    X(FINAL_NORM, "final_norm", NORM, false, c->width, 1, c->norm == NORM_LAYER, true,             \
      "ln_f", "final_layer_norm", "norm")                                                          \
    X(HEADS, "heads", HEAD, false, h, c->width, false, h > 0, NULL, NULL, NULL)

typedef enum ModuleId {
#define X(id, ...) MODULE_##id,
    PARAMS(X)
#undef X
    MODULES
} ModuleId;
/* clang-format on */

typedef enum ModuleKind { KIND_TABLE, KIND_NORM, KIND_PRODUCT, KIND_HEAD } ModuleKind;
typedef enum Role { ROLE_WEIGHT, ROLE_BIAS, ROLE_LORA_A, ROLE_LORA_B, ROLES } Role;

typedef struct Param {
    size_t offset; /* in masters; in gradients and moments too when trained */
    size_t count;  /* rows · columns; 0: this module has no such part */
    int64_t rows, columns;
    bool vector;  /* a norm's weight or a bias: [rows, 1]; matrices decay, vectors do not */
    bool trained; /* has a gradient and moments */
} Param;

typedef struct Module {
    ModuleId id;
    int32_t layer; /* -1: one a model */
    Param parts[ROLES];
} Module;

/* How the hub lays a tensor out, beside our rows:
 *   plain        [outputs, inputs], some rows of a fused weight
 *   transposed   GPT-2's Conv1D: [inputs, outputs]
 *   interleaved  GPT-NeoX's query_key_value: rows (head, {q, k, v}, head_dim); ours ({q, k, v}, …)
 */
typedef enum Placement { PLAIN, TRANSPOSED, INTERLEAVED } Placement;

/* One hub tensor: `rows` of our part, from `row`. */
typedef struct HubPart {
    int32_t module;
    Role role;
    int32_t piece; /* of a name with "|" */
    int64_t row, rows;
    Placement placement;
} HubPart;

typedef struct Params {
    Module *modules; /* in the list's order: before the layers, layer by layer, after them */
    HubPart *hub;
    int32_t module_count, hub_count;
    int32_t layer_first, layer_stride; /* modules of layer l start at first + l · stride */
    size_t count, trained, decayed;    /* floats: all, the first that train, decay */
} Params;

/* Floats that a part takes in the flat arrays: 256 bytes are what a GPU likes. */
static inline size_t param_room(size_t count)
{
    return (count + 63) / 64 * 64;
}

/* The modules of a checked config. False when there is no host memory. */
MUST_CHECK bool params_build(Params *params, const ModelConfig *config,
                             const ModelOptions *options);
void params_free(Params *params);
/* NULL when the model has no such module; layer -1 for one a model. */
const Module *params_find(const Params *params, ModuleId id, int32_t layer);

const char *module_name(ModuleId id); /* as in states */
ModuleKind module_kind(ModuleId id);
/* "h.3.mlp.c_fc.bias" with the family's prefix. */
void module_hub_name(const ModelConfig *config, const Module *module, Role role, int32_t piece,
                     char *out, size_t size);

#endif
