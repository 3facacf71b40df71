/* params.c - the list of params.h laid out for one config: offsets, what trains, hub tensors. */
#include <stdio.h>
#include <stdlib.h>
#include "params.h"

typedef struct ModuleShape {
    int64_t outputs, inputs;
    bool bias, present;
} ModuleShape;

typedef struct ModuleRow {
    const char *name;
    ModuleKind kind;
    bool in_layer;
    const char *hub[3]; /* GPT-2, GPT-NeoX, the others */
} ModuleRow;

static const ModuleRow module_rows[MODULES] = {
#define X(id, name, kind, in_layer, outputs, inputs, bias, present, gpt2, neox, llama)             \
    [MODULE_##id] = {name, KIND_##kind, in_layer, {gpt2, neox, llama}},
    PARAMS(X)
#undef X
};

static const struct {
    int hub; /* of ModuleRow.hub */
    const char *prefix, *layers;
    Placement products, qkv; /* weights of products; weight and bias of the fused q, k, v */
} families[] = {
    [FAMILY_GPT2] = {0, "transformer.", "h", TRANSPOSED, PLAIN},
    [FAMILY_NEOX] = {1, "gpt_neox.", "layers", PLAIN, INTERLEAVED},
    [FAMILY_LLAMA] = {2, "model.", "layers", PLAIN, PLAIN},
    [FAMILY_QWEN2] = {2, "model.", "layers", PLAIN, PLAIN},
    [FAMILY_QWEN3] = {2, "model.", "layers", PLAIN, PLAIN},
};

static ModuleShape module_shape(const ModelConfig *c, int32_t h, ModuleId id)
{
    switch (id) {
#define X(id, name, kind, in_layer, outputs, inputs, bias, present, gpt2, neox, llama)             \
    case MODULE_##id: return (ModuleShape){outputs, inputs, bias, present};
        PARAMS(X)
#undef X
    case MODULES: break;
    }
    return (ModuleShape){0};
}

const char *module_name(ModuleId id)
{
    return module_rows[id].name;
}

ModuleKind module_kind(ModuleId id)
{
    return module_rows[id].kind;
}

void module_hub_name(const ModelConfig *config, const Module *module, Role role, int32_t piece,
                     char *out, size_t size)
{
    const char *name = module_rows[module->id].hub[families[config->family].hub];
    for (; piece > 0; piece--) name = strchr(name, '|') + 1;
    int length = (int)strcspn(name, "|");
    const char *prefix = families[config->family].prefix;
    const char *end = role == ROLE_BIAS ? "bias" : "weight";
    if (module->layer < 0)
        snprintf(out, size, "%s%.*s.%s", prefix, length, name, end);
    else
        snprintf(out, size, "%s%s.%d.%.*s.%s", prefix, families[config->family].layers,
                 module->layer, length, name, end);
}

/* ---- the modules ---- */

static Param part(int64_t outputs, int64_t inputs, bool vector, bool trained)
{
    return (Param){.count = (size_t)(outputs * inputs),
                   .rows = outputs,
                   .columns = inputs,
                   .vector = vector,
                   .trained = trained};
}

static void module_add(Params *params, const ModelConfig *config, const ModelOptions *options,
                       ModuleId id, int32_t layer)
{
    ModuleShape shape = module_shape(config, options->heads, id);
    if (!shape.present) return;
    ModuleKind kind = module_rows[id].kind;
    bool full = options->mode == TRAIN_FULL;
    bool trained = full || (kind == KIND_HEAD && options->mode != TRAIN_NOTHING);
    Module *module = &params->modules[params->module_count++];
    *module = (Module){.id = id, .layer = layer};
    module->parts[ROLE_WEIGHT] = part(shape.outputs, shape.inputs, kind == KIND_NORM, trained);
    if (shape.bias) module->parts[ROLE_BIAS] = part(shape.outputs, 1, true, trained);
    if (options->mode == TRAIN_LORA && kind == KIND_PRODUCT) {
        module->parts[ROLE_LORA_A] = part(options->lora_rank, shape.inputs, false, true);
        module->parts[ROLE_LORA_B] = part(shape.outputs, options->lora_rank, false, true);
    }
}

static void modules_add(Params *params, const ModelConfig *config, const ModelOptions *options)
{
    int32_t id = 0;
    for (; !module_rows[id].in_layer; id++) module_add(params, config, options, (ModuleId)id, -1);
    int32_t layers_from = id, layers_to = id;
    while (module_rows[layers_to].in_layer) layers_to++;
    params->layer_first = params->module_count;
    for (int32_t layer = 0; layer < config->layers; layer++) {
        for (id = layers_from; id < layers_to; id++)
            module_add(params, config, options, (ModuleId)id, layer);
        if (layer == 0) params->layer_stride = params->module_count - params->layer_first;
    }
    for (; id < MODULES; id++) module_add(params, config, options, (ModuleId)id, -1);
}

/* Offsets, by what happens to a part: trained and decayed, trained, frozen. */
static void offsets_set(Params *params)
{
    size_t offset = 0;
    for (int pass = 0; pass < 3; pass++) {
        for (int32_t m = 0; m < params->module_count; m++)
            for (int role = 0; role < ROLES; role++) {
                Param *p = &params->modules[m].parts[role];
                int where = !p->trained ? 2 : p->vector ? 1 : 0;
                if (p->count == 0 || where != pass) continue;
                p->offset = offset;
                offset += param_room(p->count);
            }
        if (pass == 0) params->decayed = offset;
        if (pass == 1) params->trained = offset;
    }
    params->count = offset;
}

/* ---- hub tensors ---- */

/* Rows of the pieces of a fused part: q, k, v or gate, up. */
static int64_t piece_rows(const ModelConfig *config, const Module *module, int32_t piece)
{
    if (module->id == MODULE_UP) return config->hidden;
    return (piece == 0 ? config->query_heads : config->key_heads) * (int64_t)config->head_dim;
}

static Placement placement(const ModelConfig *config, ModuleId id, Role role)
{
    Placement products = families[config->family].products;
    if (module_rows[id].kind == KIND_PRODUCT && role == ROLE_WEIGHT && products != PLAIN)
        return products;
    return id == MODULE_QKV ? families[config->family].qkv : PLAIN;
}

static void hub_add(Params *params, const ModelConfig *config)
{
    for (int32_t m = 0; m < params->module_count; m++) {
        const Module *module = &params->modules[m];
        const char *name = module_rows[module->id].hub[families[config->family].hub];
        int32_t pieces = 1;
        for (const char *at = name; at && (at = strchr(at, '|')); at++) pieces++;
        int64_t row = 0;
        for (int32_t piece = 0; name && piece < pieces; piece++) {
            int64_t length =
                pieces > 1 ? piece_rows(config, module, piece) : module->parts[ROLE_WEIGHT].rows;
            for (Role role = ROLE_WEIGHT; role <= ROLE_BIAS; role++)
                if (module->parts[role].count > 0)
                    params->hub[params->hub_count++] =
                        (HubPart){m, role, piece, row, length, placement(config, module->id, role)};
            row += length;
        }
    }
}

bool params_build(Params *params, const ModelConfig *config, const ModelOptions *options)
{
    size_t most = (size_t)(config->layers + 1) * MODULES;
    *params = (Params){0};
    params->modules = calloc(most, sizeof(Module));
    params->hub = calloc(most * 6, sizeof(HubPart)); /* at most 3 pieces of weight and bias */
    if (!params->modules || !params->hub) {
        params_free(params);
        return false;
    }
    modules_add(params, config, options);
    offsets_set(params);
    hub_add(params, config);
    return true;
}

void params_free(Params *params)
{
    free(params->modules);
    free(params->hub);
    *params = (Params){0};
}

const Module *params_find(const Params *params, ModuleId id, int32_t layer)
{
    int32_t from = layer < 0 ? 0 : params->layer_first + layer * params->layer_stride;
    int32_t to = layer < 0 ? params->module_count : from + params->layer_stride;
    for (int32_t m = from; m < to; m++)
        if (params->modules[m].id == id && params->modules[m].layer == layer)
            return &params->modules[m];
    return NULL;
}

int64_t model_config_parameters(const ModelConfig *config)
{
    int64_t total = 0;
    for (int32_t id = 0; id < MODULES; id++) {
        ModuleShape shape = module_shape(config, 0, (ModuleId)id);
        if (!shape.present) continue;
        int64_t one = shape.outputs * (shape.inputs + (shape.bias ? 1 : 0));
        total += one * (module_rows[id].in_layer ? config->layers : 1);
    }
    return total;
}
