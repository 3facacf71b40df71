/* config_read.c - the table of config.json's keys, family by family; see config_read.h.
 *
 * Dropout is off in training here, so its keys are read by nobody. What concerns generation, labels
 * or bookkeeping changes no score. */
#include "config_read.h"

#include <math.h>

enum { /* families that know a key */
       G = 1 << FAMILY_GPT2,
       N = 1 << FAMILY_NEOX,
       L = 1 << FAMILY_LLAMA,
       Q2 = 1 << FAMILY_QWEN2,
       Q3 = 1 << FAMILY_QWEN3,
       Q = Q2 | Q3,
       LQ = L | Q,
       RO = N | LQ, /* rotary */
       ALL = G | RO,
};

typedef enum KeyKind {
    KEY_SIZE,     /* int32 ≥ 1, must be there */
    KEY_SIZE_OR,  /* the same, or absent or null: keeps the default */
    KEY_REAL,     /* float; null or absent keeps the default */
    KEY_FLAG,     /* bool; likewise */
    KEY_TOKEN,    /* a token id, or the first of a list; null, -1, absent or beyond: none */
    KEY_GELU,     /* activation of a plain MLP */
    KEY_SILU,     /* activation of a gated MLP */
    KEY_LAYERS,   /* layer_types: full attention everywhere */
    KEY_IS_FALSE, /* refused unless false, null, 0 or empty */
    KEY_IS_TRUE,  /* refused unless true or null */
    KEY_ROPE,     /* read by config_read_rope */
    KEY_ANY,      /* changes no score */
} KeyKind;

typedef struct Key {
    const char *name;
    int families;
    KeyKind kind;
    size_t offset; /* in ModelConfig */
} Key;

#define AT(member) offsetof(ModelConfig, member)

static const Key keys[] = {
    {"vocab_size", ALL, KEY_SIZE, AT(vocabulary)},
    {"n_embd", G, KEY_SIZE, AT(width)},
    {"hidden_size", RO, KEY_SIZE, AT(width)},
    {"n_layer", G, KEY_SIZE, AT(layers)},
    {"num_hidden_layers", RO, KEY_SIZE, AT(layers)},
    {"n_head", G, KEY_SIZE, AT(query_heads)},
    {"num_attention_heads", RO, KEY_SIZE, AT(query_heads)},
    {"num_key_value_heads", LQ, KEY_SIZE_OR, AT(key_heads)},
    {"head_dim", LQ, KEY_SIZE_OR, AT(head_dim)},
    {"n_inner", G, KEY_SIZE_OR, AT(hidden)},
    {"intermediate_size", RO, KEY_SIZE, AT(hidden)},
    {"n_positions", G, KEY_SIZE, AT(positions)},
    {"max_position_embeddings", RO, KEY_SIZE, AT(positions)},
    {"activation_function", G, KEY_GELU, AT(activation)},
    {"hidden_act", N, KEY_GELU, AT(activation)},
    {"hidden_act", LQ, KEY_SILU, AT(activation)},
    {"layer_norm_epsilon", G, KEY_REAL, AT(norm_epsilon)},
    {"layer_norm_eps", N, KEY_REAL, AT(norm_epsilon)},
    {"rms_norm_eps", LQ, KEY_REAL, AT(norm_epsilon)},
    {"initializer_range", ALL, KEY_REAL, AT(initializer_range)},
    {"use_parallel_residual", N, KEY_FLAG, AT(parallel_residual)},
    {"attention_bias", N | L | Q3, KEY_FLAG, AT(qkv_bias)},
    {"mlp_bias", L, KEY_FLAG, AT(mlp_bias)},
    {"pad_token_id", ALL, KEY_TOKEN, AT(pad_id)},
    {"bos_token_id", ALL, KEY_TOKEN, AT(bos_id)},
    {"eos_token_id", ALL, KEY_TOKEN, AT(eos_id)},
    {"rope_theta", RO, KEY_ROPE, 0},
    {"rope_scaling", RO, KEY_ROPE, 0},
    {"rope_parameters", RO, KEY_ROPE, 0},
    {"partial_rotary_factor", RO, KEY_ROPE, 0},
    {"rotary_pct", N, KEY_ROPE, 0},
    {"rotary_emb_base", N, KEY_ROPE, 0},
    {"rope_interleaved", LQ, KEY_IS_FALSE, 0},
    {"scale_attn_weights", G, KEY_IS_TRUE, 0},
    {"scale_attn_by_inverse_layer_idx", G, KEY_IS_FALSE, 0},
    {"reorder_and_upcast_attn", G, KEY_IS_FALSE, 0},
    {"use_sliding_window", Q, KEY_IS_FALSE, 0},
    {"use_mrope", Q, KEY_IS_FALSE, 0},
    {"layer_types", LQ, KEY_LAYERS, 0},
    {"is_encoder_decoder", ALL, KEY_IS_FALSE, 0},
    {"add_cross_attention", ALL, KEY_IS_FALSE, 0},
    {"pruned_heads", ALL, KEY_IS_FALSE, 0},
    {"quantization_config", ALL, KEY_IS_FALSE, 0},
    {"auto_map", ALL, KEY_IS_FALSE, 0},
    /* of one family, without effect here */
    {"n_ctx", G, KEY_ANY, 0},
    {"attn_pdrop", G, KEY_ANY, 0},
    {"embd_pdrop", G, KEY_ANY, 0},
    {"resid_pdrop", G, KEY_ANY, 0},
    {"summary_activation", G, KEY_ANY, 0},
    {"summary_first_dropout", G, KEY_ANY, 0},
    {"summary_proj_to_labels", G, KEY_ANY, 0},
    {"summary_type", G, KEY_ANY, 0},
    {"summary_use_proj", G, KEY_ANY, 0},
    {"attention_dropout", RO, KEY_ANY, 0},
    {"hidden_dropout", N, KEY_ANY, 0},
    {"classifier_dropout", N, KEY_ANY, 0},
    {"max_window_layers", Q, KEY_ANY, 0}, /* only with use_sliding_window, as the next */
    {"sliding_window", Q, KEY_ANY, 0},
    {"pretraining_tp", L, KEY_ANY, 0}, /* the same sums in slices */
    {"is_llama_config", L, KEY_ANY, 0},
};

static const struct {
    const char *type, *architecture;
} families[] = {
    [FAMILY_GPT2] = {"gpt2", "GPT2ForSequenceClassification"},
    [FAMILY_NEOX] = {"gpt_neox", "GPTNeoXForSequenceClassification"},
    [FAMILY_LLAMA] = {"llama", "LlamaForSequenceClassification"},
    [FAMILY_QWEN2] = {"qwen2", "Qwen2ForSequenceClassification"},
    [FAMILY_QWEN3] = {"qwen3", "Qwen3ForSequenceClassification"},
};

const char *config_architecture(Family family)
{
    return families[family].architecture;
}

bool config_int(const json_t *value, int32_t *out)
{
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(number >= 0 && number <= INT32_MAX) || trunc(number) != number) return false;
    *out = (int32_t)number;
    return true;
}

typedef struct Reading {
    ModelConfig *config;
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, name, ...)                                                                       \
    err_set((r)->err, (r)->arena, ERR_invalid, json_pointer((r)->arena, "", name),                 \
            "config.json: " __VA_ARGS__)

/* ---- one value ---- */

static bool read_size(const Reading *r, const Key *key, const json_t *value)
{
    int32_t size;
    if (value == NULL || json_is_null(value)) {
        if (key->kind == KEY_SIZE_OR) return true;
        return refuse(r, key->name, "%s is missing", key->name);
    }
    if (!config_int(value, &size) || size < 1)
        return refuse(r, key->name, "%s must be a whole number from 1 to %d", key->name, INT32_MAX);
    memcpy((char *)r->config + key->offset, &size, sizeof size);
    return true;
}

static bool read_token(const Reading *r, const Key *key, const json_t *value)
{
    int32_t id = -1;
    if (json_is_array(value)) value = json_array_get(value, 0);
    bool none = value == NULL || json_is_null(value) ||
                (json_is_number(value) && json_number_value(value) == -1);
    if (!none && !config_int(value, &id))
        return refuse(r, key->name, "%s must be a token id", key->name);
    if (id >= r->config->vocabulary) id = -1; /* the class's default, left behind */
    memcpy((char *)r->config + key->offset, &id, sizeof id);
    return true;
}

/* gelu_new, gelu_fast and gelu_pytorch_tanh are one formula; gelu is the exact one. */
static bool read_activation(const Reading *r, const Key *key, const json_t *value)
{
    static const struct {
        KeyKind kind;
        const char *name;
        Activation activation;
    } names[] = {
        {KEY_GELU, "gelu", ACT_GELU_ERF},       {KEY_GELU, "gelu_new", ACT_GELU_TANH},
        {KEY_GELU, "gelu_fast", ACT_GELU_TANH}, {KEY_GELU, "gelu_pytorch_tanh", ACT_GELU_TANH},
        {KEY_SILU, "silu", ACT_SWIGLU},         {KEY_SILU, "swish", ACT_SWIGLU},
    };
    Str name = json_str(value);
    if (value == NULL) return true;
    for (size_t i = 0; i < LEN(names); i++) {
        if (names[i].kind != key->kind || name.ptr == NULL || !str_is(name, names[i].name))
            continue;
        r->config->activation = names[i].activation;
        return true;
    }
    return refuse(r, key->name, "%s \"%.60s\" is not supported", key->name,
                  name.ptr ? name.ptr : "");
}

static bool read_layer_types(const Reading *r, const Key *key, const json_t *value)
{
    size_t i;
    json_t *type;
    if (value == NULL || json_is_null(value)) return true;
    if (!json_is_array(value)) return refuse(r, key->name, "%s must be a list", key->name);
    json_array_foreach(value, i, type)
    {
        Str name = json_str(type);
        if (name.ptr == NULL || !str_is(name, "full_attention"))
            return refuse(r, key->name, "%s: only full_attention is supported", key->name);
    }
    return true;
}

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static bool read_key(const Reading *r, const Key *key, const json_t *value)
{
    bool given = value != NULL && !json_is_null(value);
    void *to = (char *)r->config + key->offset;
    switch (key->kind) {
    case KEY_SIZE:
    case KEY_SIZE_OR: return read_size(r, key, value);
    case KEY_TOKEN: return read_token(r, key, value);
    case KEY_GELU:
    case KEY_SILU: return read_activation(r, key, value);
    case KEY_LAYERS: return read_layer_types(r, key, value);
    case KEY_REAL:
        if (given && !json_is_number(value))
            return refuse(r, key->name, "%s must be a number", key->name);
        if (given) *(float *)to = (float)json_number_value(value);
        return true;
    case KEY_FLAG:
        if (given && !json_is_boolean(value))
            return refuse(r, key->name, "%s must be true or false", key->name);
        if (given) *(bool *)to = json_is_true(value);
        return true;
    case KEY_IS_FALSE:
        return is_empty(value) || refuse(r, key->name, "%s is not supported", key->name);
    case KEY_IS_TRUE:
        return !given || json_is_true(value) || refuse(r, key->name, "%s must be true", key->name);
    case KEY_ROPE:
    case KEY_ANY: break;
    }
    return true;
}

/* ---- the whole ---- */

static bool is_known(const char *name, int family)
{
    if (name[0] == '_') return true; /* transformers' private notes */
    for (size_t i = 0; i < LEN(keys); i++)
        if (keys[i].families & family && strcmp(keys[i].name, name) == 0) return true;
    return config_is_harmless(name);
}

static bool read_family(const Reading *r, json_t *root)
{
    Str type = json_str(json_object_get(root, "model_type"));
    if (type.ptr == NULL) return refuse(r, "model_type", "model_type is missing");
    for (size_t i = 0; i < LEN(families); i++) {
        if (!str_is(type, families[i].type)) continue;
        r->config->family = (Family)i;
        return true;
    }
    return refuse(r, "model_type",
                  "model_type \"%.60s\" is not supported (gpt2, gpt_neox, llama, qwen2, qwen3 are)",
                  type.ptr);
}

/* What holds when a key is absent: the defaults of the transformers classes. */
static void set_defaults(ModelConfig *c)
{
    bool layer_norm = c->family == FAMILY_GPT2 || c->family == FAMILY_NEOX;
    c->norm = layer_norm ? NORM_LAYER : NORM_RMS;
    c->norm_epsilon = layer_norm ? 1e-5f : 1e-6f;
    c->activation = c->family == FAMILY_GPT2   ? ACT_GELU_TANH
                    : c->family == FAMILY_NEOX ? ACT_GELU_ERF
                                               : ACT_SWIGLU;
    c->initializer_range = 0.02f;
    c->learned_positions = c->family == FAMILY_GPT2;
    c->parallel_residual = c->family == FAMILY_NEOX;
    c->head_norm = c->family == FAMILY_QWEN3;
    c->qkv_bias = layer_norm || c->family == FAMILY_QWEN2;
    c->mlp_bias = layer_norm;
}

static bool derive(const Reading *r)
{
    ModelConfig *c = r->config;
    if (c->key_heads == 0) c->key_heads = c->query_heads;
    if (c->head_dim == 0 && c->family == FAMILY_QWEN3) c->head_dim = 128;
    if (c->head_dim == 0) {
        if (c->width % c->query_heads != 0)
            return refuse(r, "", "the width %d is no multiple of the %d heads", c->width,
                          c->query_heads);
        c->head_dim = c->width / c->query_heads;
    }
    if (c->hidden == 0) {
        if (c->width > MODEL_WIDTH_MAX) return refuse(r, "n_embd", "n_embd is too large");
        c->hidden = 4 * c->width;
    }
    c->output_bias = c->qkv_bias && c->family != FAMILY_QWEN2; /* Qwen2: q, k and v only */
    return true;
}

bool hub_config_read(json_t *root, ModelConfig *config, Arena *arena, Err *err)
{
    Err why = {0};
    const Reading r = {.config = config, .arena = arena, .err = err};
    const char *name;
    json_t *value;
    *config = (ModelConfig){.pad_id = -1, .bos_id = -1, .eos_id = -1};
    if (!json_is_object(root)) return refuse(&r, "", "must be an object");
    if (!read_family(&r, root)) return false;
    set_defaults(config);
    int family = 1 << config->family;
    for (size_t i = 0; i < LEN(keys); i++)
        if (keys[i].families & family &&
            !read_key(&r, &keys[i], json_object_get(root, keys[i].name)))
            return false;
    json_object_foreach(root, name, value)
    {
        if (!is_known(name, family))
            return refuse(&r, name,
                          "the key \"%.60s\" is not known for %s (if it changes no score, take it "
                          "out of the file)",
                          name, families[config->family].type);
    }
    if (!derive(&r) || !config_read_rope(root, config, arena, err)) return false;
    return model_config_check(config, arena, &why) ||
           err_set(err, arena, ERR_invalid, NULL, "config.json: %s", why.detail);
}
