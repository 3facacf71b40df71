/* model_memory.c - the model's device memory: counted, and laid out for a pass. */
#include "model_internal.h"

/* ---- counted memory ---- */

void *model_take(Model *model, size_t bytes, const char *what, Arena *arena, Err *err)
{
    void *memory = model->ops->alloc(model->device, bytes);
    if (!memory) {
        err_set(err, arena, ERR_too_large, NULL,
                "The device has no memory left: %s need %.3f GiB more, and %.3f GiB are held.",
                what, (double)bytes / (double)GiB(1),
                (double)model_use(model).bytes / (double)GiB(1));
        return NULL;
    }
    model->use.bytes += bytes;
    if (model->use.bytes_peak < model->use.bytes) model->use.bytes_peak = model->use.bytes;
    return memory;
}

void model_give(Model *model, void *memory, size_t bytes)
{
    if (!memory) return;
    model->ops->release(model->device, memory);
    model->use.bytes -= bytes;
}

/* ---- the layout: run once over NULL to count, once over the arena to place ---- */

typedef struct Layout {
    char *base;
    size_t used;
    Dtype dtype; /* of activations */
} Layout;

enum { LAYOUT_ALIGNMENT = 256 };

static void *take(Layout *layout, int64_t count, size_t size)
{
    void *at = layout->base ? layout->base + layout->used : NULL;
    size_t bytes = (size_t)count * size;
    layout->used += (bytes + LAYOUT_ALIGNMENT - 1) / LAYOUT_ALIGNMENT * LAYOUT_ALIGNMENT;
    return at;
}

static Tensor take_tensor(Layout *layout, int64_t rows, int64_t columns, Dtype dtype)
{
    void *data = take(layout, rows * columns, dtype_bytes(dtype));
    return (Tensor){data, rows, columns, columns, dtype};
}

static Tensor take_rows(Layout *layout, int64_t rows, int64_t columns)
{
    return take_tensor(layout, rows, columns, layout->dtype);
}

static Projections take_projections(Layout *layout, const ModelConfig *c, int64_t rows,
                                    int64_t asked, bool trimmed)
{
    int64_t q = (int64_t)c->query_heads * c->head_dim, k = (int64_t)c->key_heads * c->head_dim;
    Projections p = {.fused = take_rows(layout, rows, (trimmed ? 0 : q) + 2 * k)};
    p.q = trimmed ? take_rows(layout, asked, q) : tensor_columns(p.fused, 0, q);
    p.k = tensor_columns(p.fused, trimmed ? 0 : q, k);
    p.v = tensor_columns(p.fused, (trimmed ? 0 : q) + k, k);
    return p;
}

/* What a layer keeps (`lasting`), or what it shares with the others: see Kept. */
static void place_kept(Layout *layout, const Model *model, const Pass *pass, bool trimmed,
                       int32_t level, bool lasting, Kept *k)
{
    const ModelConfig *c = &model->config;
    int64_t rows = pass->rows, asked = trimmed ? pass->scored : rows;
    int64_t up = (int64_t)c->hidden * (c->activation == ACT_SWIGLU ? 2 : 1);
    if ((level <= 2) == lasting) {
        k->asking = trimmed ? take_tensor(layout, asked, c->width, k->x.dtype) : k->x;
        if (level == RECOMPUTE_ALL) k->next = k->asking; /* x is updated in place */
        k->mid = level == RECOMPUTE_ALL || c->parallel_residual
                     ? k->next
                     : take_rows(layout, asked, c->width);
        k->raw = take_projections(layout, c, rows, asked, trimmed);
        k->attended = take_rows(layout, asked, (int64_t)c->query_heads * c->head_dim);
        k->lse = take(layout, asked * c->query_heads, sizeof(float));
    }
    if ((level <= 1) == lasting) k->hidden = take_rows(layout, asked, up);
    if ((level <= 0) != lasting) return;
    k->normed = take_rows(layout, rows, c->width);
    k->queried = trimmed ? take_rows(layout, asked, c->width) : k->normed;
    k->normed2 = level == RECOMPUTE_ALL ? k->queried : take_rows(layout, asked, c->width);
    k->activated = take_rows(layout, asked, c->hidden);
    k->stats = take(layout, 2 * rows, sizeof(float));
    k->stats2 = take(layout, 2 * asked, sizeof(float));
    k->turned = k->raw;
    if (!c->head_norm) return;
    if (level != RECOMPUTE_ALL) {
        k->turned.q = take_rows(layout, asked, (int64_t)c->query_heads * c->head_dim);
        k->turned.k = take_rows(layout, rows, (int64_t)c->key_heads * c->head_dim);
    }
    k->q_stats = take(layout, asked * c->query_heads, sizeof(float));
    k->k_stats = take(layout, rows * c->key_heads, sizeof(float));
}

static void place_scratch(Layout *layout, const Model *model, const Pass *pass, bool trimmed,
                          int32_t level, Scratch *s)
{
    const ModelConfig *c = &model->config;
    int64_t rows = pass->rows, asked = trimmed ? pass->scored : rows;
    int64_t attended = (int64_t)c->query_heads * c->head_dim;
    int64_t up = (int64_t)c->hidden * (c->activation == ACT_SWIGLU ? 2 : 1);
    int64_t rank = model->options.mode == TRAIN_LORA ? model->options.lora_rank : 0;
    *s = (Scratch){0};
    s->low = take_rows(layout, rows, rank);
    if (level == RECOMPUTE_ALL) return;
    s->dnormed = take_rows(layout, rows, c->width);
    s->dqueried = trimmed ? take_rows(layout, asked, c->width) : s->dnormed;
    s->dnormed2 = s->dqueried; /* never in use at once */
    s->dactivated = take_rows(layout, asked, c->hidden);
    s->dhidden = take_rows(layout, asked, up);
    s->dattended = take_rows(layout, asked, attended);
    s->dlow = take_rows(layout, rows, rank);
    s->d = take_projections(layout, c, rows, asked, trimmed);
}

/* Of what layers add to, one after the other. Where nothing goes back it is fp32 on a CPU, whatever
 * products multiply: that costs no time that could be measured there, and what bf16 would round off
 * in every layer is most of the difference of its scores from those of fp32 (PERFORMANCE.md). On a
 * GPU the ops around it are bound by its bytes. */
static Dtype stream_dtype(const Model *model, int32_t level)
{
    bool wide = level == RECOMPUTE_ALL && !strcmp(model->ops->name, "cpu");
    return wide ? DTYPE_F32 : model->device->compute;
}

/* The stream from layer to layer, then what each layer keeps, then for one layer at a time what
 * they share and the scratch. */
static void place_layers(Layout *layout, const Model *model, Pass *pass, int32_t level)
{
    int32_t layers = model->config.layers;
    Dtype dtype = stream_dtype(model, level);
    Tensor x = take_tensor(layout, pass->rows, model->config.width, dtype);
    for (int32_t l = 0; l < layers; l++) {
        Kept *kept = &pass->layers[l];
        bool trimmed = model->layers[l].trimmed;
        *kept = (Kept){.x = x};
        if (level != RECOMPUTE_ALL)
            x = kept->next =
                take_rows(layout, trimmed ? pass->scored : pass->rows, model->config.width);
        place_kept(layout, model, pass, trimmed, level, true, kept);
    }
    size_t first = layout->used, most = first;
    for (int32_t l = 0; l < layers; l++) {
        bool trimmed = model->layers[l].trimmed;
        layout->used = first;
        place_kept(layout, model, pass, trimmed, level, false, &pass->layers[l]);
        place_scratch(layout, model, pass, trimmed, level, &pass->scratch[trimmed]);
        if (most < layout->used) most = layout->used;
    }
    layout->used = most;
}

static void place_pass(Layout *layout, const Model *model, Pass *pass, int32_t level)
{
    int64_t rows = pass->rows, scored = pass->scored, width = model->config.width;
    pass->ids = take(layout, rows, sizeof(int32_t));
    pass->positions = take(layout, rows, sizeof(int32_t));
    pass->scored_rows = take(layout, scored, sizeof(int32_t));
    pass->scored_positions = take(layout, scored, sizeof(int32_t));
    Tensor *wide[] = {&pass->last, &pass->features, &pass->dfeatures, &pass->dlast};
    for (size_t i = 0; i < LEN(wide); i++) *wide[i] = take_tensor(layout, scored, width, DTYPE_F32);
    pass->scores = take_tensor(layout, scored, model->options.heads, DTYPE_F32);
    pass->dscores = take_tensor(layout, scored, model->options.heads, DTYPE_F32);
    pass->last_stats = take(layout, 2 * scored, sizeof(float));
    if (level != RECOMPUTE_ALL) {
        pass->dx = take_rows(layout, rows, width);
        pass->dasking = take_rows(layout, scored, width);
    }
    place_layers(layout, model, pass, level);
}

size_t pass_bytes(const Model *model, int64_t rows, int64_t scored, int32_t level)
{
    Layout layout = {.dtype = model->device->compute};
    Pass pass = model->pass; /* pointers into nothing: only what they span is wanted */
    pass.rows = (int32_t)rows;
    pass.scored = (int32_t)scored;
    place_pass(&layout, model, &pass, level);
    return layout.used;
}

bool pass_place(Model *model, const Batch *batch, bool keep, Arena *arena, Err *err)
{
    const Ops *ops = model->ops;
    Pass *pass = &model->pass;
    int32_t level = keep ? model->options.recompute : RECOMPUTE_ALL;
    size_t needed = pass_bytes(model, batch->rows, batch->sequences, level);
    pass->rows = batch->rows;
    pass->scored = batch->sequences;
    pass->kept = false;
    if (needed > model->arena_bytes) {
        model_give(model, model->arena, model->arena_bytes);
        model->arena_bytes = 0;
        model->arena = model_take(model, needed, "the activations of this batch", arena, err);
        if (!model->arena) return false;
        model->arena_bytes = needed;
    }
    Layout layout = {.base = model->arena, .dtype = model->device->compute};
    place_pass(&layout, model, pass, level);
    size_t rows = (size_t)batch->rows, scored = (size_t)batch->sequences;
    ops->upload(model->device, pass->ids, batch->ids, rows * sizeof(int32_t));
    ops->upload(model->device, pass->positions, batch->positions, rows * sizeof(int32_t));
    ops->upload(model->device, pass->scored_rows, batch->scored, scored * sizeof(int32_t));
    ops->upload(model->device, pass->scored_positions, batch->scored_positions,
                scored * sizeof(int32_t));
    return true;
}
