/* model.c - a model's life: checked, allocated, drawn fresh, freed. */
#include <math.h>
#include <stdlib.h>
#include "model_internal.h"
#include "random.h"

static bool options_check(const ModelOptions *o, Arena *arena, Err *err)
{
    if (o->mode < TRAIN_NOTHING || o->mode > TRAIN_HEADS)
        return err_set(err, arena, ERR_invalid, NULL, "There is no such training mode.");
    if (o->heads < 1 || o->heads > MODEL_HEADS_SCORE_MAX)
        return err_set(err, arena, ERR_invalid, NULL, "heads is %d; it must be 1 to %d.", o->heads,
                       MODEL_HEADS_SCORE_MAX);
    if (o->recompute < 0 || o->recompute >= RECOMPUTE_LEVELS)
        return err_set(err, arena, ERR_invalid, NULL, "recompute is %d; it must be 0 to %d.",
                       o->recompute, RECOMPUTE_LEVELS - 1);
    if (o->mode != TRAIN_LORA) return true;
    if (o->lora_rank < 1 || o->lora_rank > LORA_RANK_MAX)
        return err_set(err, arena, ERR_invalid, NULL, "lora_rank is %d; it must be 1 to %d.",
                       o->lora_rank, LORA_RANK_MAX);
    if (!isfinite(o->lora_alpha) || o->lora_alpha <= 0)
        return err_set(err, arena, ERR_invalid, NULL, "lora_alpha must be more than 0.");
    return true;
}

/* ---- pointers into the flat arrays ---- */

static const float *master(const Model *model, const Module *module, Role role, int64_t row)
{
    const Param *p = module ? &module->parts[role] : NULL;
    return p && p->count ? model->masters + p->offset + row * p->columns : NULL;
}

static float *gradient(const Model *model, const Module *module, Role role, int64_t row)
{
    const Param *p = module ? &module->parts[role] : NULL;
    if (!p || !p->count || !p->trained) return NULL;
    return model->gradients + p->offset + row * p->columns;
}

static Norm norm_of(const Model *model, ModuleId id, int32_t layer)
{
    const Module *m = params_find(&model->params, id, layer);
    return (Norm){master(model, m, ROLE_WEIGHT, 0), master(model, m, ROLE_BIAS, 0),
                  gradient(model, m, ROLE_WEIGHT, 0), gradient(model, m, ROLE_BIAS, 0)};
}

static Matrix *matrix_of(Model *model, int64_t outputs, int64_t inputs, Arena *arena, Err *err)
{
    Matrix *matrix = model->ops->matrix_new(model->device, outputs, inputs);
    if (!matrix)
        err_set(err, arena, ERR_too_large, NULL,
                "The device has no memory left: a weight of %lld x %lld needs more, and %.3f GiB "
                "are held.",
                (long long)outputs, (long long)inputs,
                (double)model_use(model).bytes / (double)GiB(1));
    return matrix;
}

/* Rows [row, row + outputs) of a module's weight as a product of their own. */
static bool product_make(Model *model, Product *p, ModuleId id, int32_t layer, int64_t row,
                         int64_t outputs, Arena *arena, Err *err)
{
    const Module *m = params_find(&model->params, id, layer);
    const Param *weight = &m->parts[ROLE_WEIGHT], *a = &m->parts[ROLE_LORA_A];
    const float *bias = master(model, m, ROLE_BIAS, 0);
    float *dbias = gradient(model, m, ROLE_BIAS, 0);
    *p = (Product){
        .master = master(model, m, ROLE_WEIGHT, row),
        .bias = bias ? bias + row : NULL,
        .master_a = master(model, m, ROLE_LORA_A, 0),
        .master_b = master(model, m, ROLE_LORA_B, row),
        .dweight = gradient(model, m, ROLE_WEIGHT, row),
        .dbias = dbias ? dbias + row : NULL,
        .da = gradient(model, m, ROLE_LORA_A, 0),
        .db = gradient(model, m, ROLE_LORA_B, row),
    };
    p->weight = matrix_of(model, outputs, weight->columns, arena, err);
    if (!p->weight || !a->count) return p->weight != NULL;
    p->lora_a = matrix_of(model, a->rows, a->columns, arena, err);
    p->lora_b = p->lora_a ? matrix_of(model, outputs, a->rows, arena, err) : NULL;
    return p->lora_b != NULL;
}

static bool layer_make(Model *model, int32_t l, Arena *arena, Err *err)
{
    const ModelConfig *c = &model->config;
    Layer *layer = &model->layers[l];
    int64_t q = (int64_t)c->query_heads * c->head_dim;
    int64_t kv = 2 * (int64_t)c->key_heads * c->head_dim;
    int64_t up = params_find(&model->params, MODULE_UP, l)->parts[ROLE_WEIGHT].rows;
    bool trimmed = model->options.trim_last_layer && l == c->layers - 1;
    layer->trimmed = trimmed;
    layer->norm1 = norm_of(model, MODULE_NORM1, l);
    layer->norm2 = norm_of(model, MODULE_NORM2, l);
    layer->q_norm = norm_of(model, MODULE_Q_NORM, l);
    layer->k_norm = norm_of(model, MODULE_K_NORM, l);
    return product_make(model, &layer->qkv, MODULE_QKV, l, trimmed ? q : 0, trimmed ? kv : q + kv,
                        arena, err) &&
           (!trimmed || product_make(model, &layer->query, MODULE_QKV, l, 0, q, arena, err)) &&
           product_make(model, &layer->out, MODULE_OUT, l, 0, c->width, arena, err) &&
           product_make(model, &layer->up, MODULE_UP, l, 0, up, arena, err) &&
           product_make(model, &layer->down, MODULE_DOWN, l, 0, c->width, arena, err);
}

/* ---- fresh weights ---- */

static double fresh_deviation(const Model *model, const Module *module, Role role)
{
    ModuleKind kind = module_kind(module->id);
    if (role == ROLE_LORA_A) return sqrt(1.0 / model->options.lora_rank);
    if (role != ROLE_WEIGHT || kind == KIND_NORM) return 0;
    if (kind == KIND_HEAD) return sqrt(1.0 / (model->config.width + 1.0));
    return model->options.blank ? 0 : (double)model->config.initializer_range;
}

/* The stream names the parameter, so its draws depend on no other and on no option. */
static void part_fresh(Model *model, const Module *module, Role role)
{
    const Param *p = &module->parts[role];
    uint64_t stream = ((uint64_t)(module->layer + 1) * 64 + module->id) * ROLES + role;
    double deviation = fresh_deviation(model, module, role);
    bool ones = role == ROLE_WEIGHT && module_kind(module->id) == KIND_NORM;
    if (!ones && deviation == 0) return; /* zero already */
    for (size_t from = 0; from < p->count; from += STAGING_FLOATS) {
        size_t count = p->count - from < STAGING_FLOATS ? p->count - from : STAGING_FLOATS;
        if (ones)
            for (size_t i = 0; i < count; i++) model->staging[i] = 1;
        else
            random_normal(model->options.seed, stream, from, model->staging, count, deviation);
        model->ops->upload(model->device, model->masters + p->offset + from, model->staging,
                           count * sizeof(float));
    }
}

/* ---- memory and life ---- */

static size_t trained_bytes(const Model *model)
{
    return model->params.trained * sizeof(float);
}

static bool arrays_make(Model *model, Arena *arena, Err *err)
{
    size_t all = model->params.count * sizeof(float), trained = trained_bytes(model);
    const struct {
        float **array;
        size_t bytes;
        const char *what;
    } arrays[] = {
        {&model->masters, all, "the weights"},
        {&model->gradients, trained, "the gradients"},
        {&model->first, trained, "AdamW's first moments"},
        {&model->second, trained, "AdamW's second moments"},
    };
    for (size_t i = 0; i < LEN(arrays); i++) {
        if (arrays[i].bytes == 0) continue;
        *arrays[i].array = model_take(model, arrays[i].bytes, arrays[i].what, arena, err);
        if (!*arrays[i].array) return false;
        model->ops->zero(model->device, *arrays[i].array, arrays[i].bytes);
    }
    return true;
}

static bool host_make(Model *model, Arena *arena, Err *err)
{
    size_t layers = (size_t)model->config.layers, low_ranks = 1;
    bool built = params_build(&model->params, &model->config, &model->options);
    for (int32_t m = 0; m < model->params.module_count; m++) {
        const Param *a = &model->params.modules[m].parts[ROLE_LORA_A];
        size_t floats = a->count + (size_t)a->rows; /* A and a row of B */
        if (low_ranks < floats) low_ranks = floats;
    }
    model->layers = calloc(layers, sizeof(Layer));
    model->pass.layers = calloc(layers, sizeof(Kept));
    model->staging = malloc(STAGING_FLOATS * sizeof(float));
    model->low_ranks = malloc(low_ranks * sizeof(float));
    if (built && model->layers && model->pass.layers && model->staging && model->low_ranks)
        return true;
    return err_set(err, arena, ERR_too_large, NULL, "There is no memory for the model's tables.");
}

static bool model_make(Model *model, Arena *arena, Err *err)
{
    if (!host_make(model, arena, err) || !arrays_make(model, arena, err)) return false;
    const Module *embed = params_find(&model->params, MODULE_EMBED, -1);
    const Module *places = params_find(&model->params, MODULE_PLACES, -1);
    const Module *heads = params_find(&model->params, MODULE_HEADS, -1);
    model->embed = master(model, embed, ROLE_WEIGHT, 0);
    model->dembed = gradient(model, embed, ROLE_WEIGHT, 0);
    model->places = master(model, places, ROLE_WEIGHT, 0);
    model->dplaces = gradient(model, places, ROLE_WEIGHT, 0);
    model->heads = master(model, heads, ROLE_WEIGHT, 0);
    model->dheads = gradient(model, heads, ROLE_WEIGHT, 0);
    model->final_norm = norm_of(model, MODULE_FINAL_NORM, -1);
    for (int32_t l = 0; l < model->config.layers; l++)
        if (!layer_make(model, l, arena, err)) return false;
    for (int32_t m = 0; m < model->params.module_count; m++)
        for (Role role = ROLE_WEIGHT; role < ROLES; role++)
            part_fresh(model, &model->params.modules[m], role);
    model->stale = true;
    return model->ops->sync(model->device, arena, err);
}

Model *model_new(Device *device, const ModelConfig *config, const ModelOptions *options,
                 Arena *arena, Err *err)
{
    if (!model_config_check(config, arena, err) || !options_check(options, arena, err)) return NULL;
    Model *model = calloc(1, sizeof(Model));
    if (!model) {
        err_set(err, arena, ERR_too_large, NULL, "There is no memory for a model.");
        return NULL;
    }
    model->device = device;
    model->ops = device->ops;
    model->config = *config;
    model->options = *options;
    if (model_make(model, arena, err)) return model;
    model_free(model);
    return NULL;
}

/* Runs `each` over every matrix. */
static size_t matrices_walk(const Model *model, size_t (*each)(const Model *, Matrix *))
{
    size_t sum = 0;
    for (int32_t l = 0; model->layers && l < model->config.layers; l++) {
        const Layer *y = &model->layers[l];
        const Product *products[] = {&y->qkv, &y->query, &y->out, &y->up, &y->down};
        for (size_t i = 0; i < LEN(products); i++) {
            Matrix *matrices[] = {products[i]->weight, products[i]->lora_a, products[i]->lora_b};
            for (size_t m = 0; m < LEN(matrices); m++)
                if (matrices[m]) sum += each(model, matrices[m]);
        }
    }
    return sum;
}

static size_t matrix_give(const Model *model, Matrix *matrix)
{
    model->ops->matrix_free(model->device, matrix);
    return 0;
}

static size_t matrix_measure(const Model *model, Matrix *matrix)
{
    return model->ops->matrix_bytes(model->device, matrix);
}

void model_free(Model *model)
{
    if (!model) return;
    matrices_walk(model, matrix_give);
    void *memory[] = {model->masters, model->gradients, model->first,
                      model->second,  model->arena,     (void *)model->rotary.cosines};
    for (size_t i = 0; i < LEN(memory); i++)
        if (memory[i]) model->ops->release(model->device, memory[i]);
    params_free(&model->params);
    free(model->layers);
    free(model->pass.layers);
    free(model->staging);
    free(model->low_ranks);
    free(model);
}

const ModelConfig *model_config(const Model *model)
{
    return &model->config;
}

int32_t model_heads(const Model *model)
{
    return model->options.heads;
}

/* Matrices only grow (a backend may lay one out for dx when first asked), so they count whole in
 * the peak. */
ModelUse model_use(const Model *model)
{
    ModelUse use = model->use;
    size_t matrices = matrices_walk(model, matrix_measure);
    use.bytes += matrices;
    use.bytes_peak += matrices;
    return use;
}
