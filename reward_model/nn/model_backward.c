/* model_backward.c - gradients of scores to gradients of parameters, layer by layer from the top.
 * What is not kept is computed again; see model_internal.h. */
#include "model_internal.h"

/* dx of the rows that ask: in, the gradient of kept->next; out, that of kept->asking but for what
 * comes through norm1. Leaves d. */
static void asking_backward(Model *model, const Layer *layer, const Kept *kept,
                            const AttentionPlan *plan, Tensor dx)
{
    const Ops *ops = model->ops;
    const Scratch *s = &model->pass.scratch[layer->trimmed];
    bool parallel = model->config.parallel_residual;
    Tensor before = parallel ? kept->asking : kept->mid;
    Heads heads = attention_heads(&model->config);

    product_backward_activate(model, &layer->down, s->dhidden, s->dactivated, dx, kept->activated,
                              kept->hidden, s->low, s->dlow);
    product_backward(model, &layer->up, s->dnormed2, s->dhidden, kept->normed2, s->low, s->dlow);
    if (!parallel) norm_backward(model, &layer->norm2, dx, ADD, s->dnormed2, before, kept->stats2);
    product_backward(model, &layer->out, s->dattended, dx, kept->attended, s->low, s->dlow);
    if (parallel) norm_backward(model, &layer->norm2, dx, ADD, s->dnormed2, before, kept->stats2);

    const Projections *p = &kept->turned, *d = &s->d;
    ops->attention_backward(model->device, plan, &heads, d->q, d->k, d->v, s->dattended,
                            kept->attended, kept->lse, p->q, p->k, p->v);
    attention_count(model, plan, 5);
    heads_turn_back(model, layer, kept, d);
}

/* Through norm1 to every row: pass->dx becomes the gradient of kept->x. `down`: it is wanted. */
static void rows_backward(Model *model, const Layer *layer, const Kept *kept, bool down)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    const Scratch *s = &pass->scratch[layer->trimmed];
    Tensor dnormed = down ? s->dnormed : (Tensor){0};
    Tensor dqueried = down ? s->dqueried : (Tensor){0};
    product_backward(model, &layer->qkv, dnormed, s->d.fused, kept->normed, s->low, s->dlow);
    if (layer->trimmed)
        product_backward(model, &layer->query, dqueried, s->d.q, kept->queried, s->low, s->dlow);
    if (!down) return;
    if (layer->trimmed) {
        ops->scatter_add(model->device, dnormed, dqueried, pass->scored_rows);
        norm_backward(model, &layer->norm1, pass->dx, SET, dnormed, kept->x, kept->stats);
        ops->scatter_add(model->device, pass->dx, pass->dasking, pass->scored_rows);
    } else {
        norm_backward(model, &layer->norm1, pass->dx, ADD, dnormed, kept->x, kept->stats);
    }
}

/* Scores to the top of the layers: heads, final norm. */
static void heads_backward(Model *model, bool down)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    Tensor dfeatures = down ? pass->dfeatures : (Tensor){0};
    ops->score_backward(model->device, dfeatures, model->dheads, pass->dscores, pass->features,
                        model->heads);
    if (!down) return;
    norm_backward(model, &model->final_norm, pass->dlast, SET, dfeatures, pass->last,
                  pass->last_stats);
    if (model->layers[model->config.layers - 1].trimmed) {
        ops->convert(model->device, pass->dasking, pass->dlast);
    } else {
        Tensor dx = pass->dx;
        ops->zero(model->device, dx.data, (size_t)(dx.rows * dx.cols) * dtype_bytes(dx.dtype));
        ops->scatter_add(model->device, dx, pass->dlast, pass->scored_rows);
    }
}

/* ---- what is final ---- */

/* Every trained part of modules [from, to), from the last: in the array they descend. */
static void modules_announce(const Model *model, int32_t from, int32_t to, const GradientSink *sink)
{
    for (int32_t m = to - 1; m >= from; m--)
        for (int role = ROLES - 1; role >= 0; role--) {
            const Param *p = &model->params.modules[m].parts[role];
            if (p->count && p->trained) sink->ready(sink->context, p->offset, param_room(p->count));
        }
}

/* layer: config.layers for what stands above the layers, -1 for what stands below. */
static void layer_announce(const Model *model, int32_t layer, const GradientSink *sink)
{
    const Params *p = &model->params;
    int32_t from = p->layer_first + layer * p->layer_stride;
    if (!sink) return;
    if (layer < 0)
        modules_announce(model, 0, p->layer_first, sink);
    else if (layer == model->config.layers)
        modules_announce(model, from, p->module_count, sink);
    else
        modules_announce(model, from, from + p->layer_stride, sink);
}

void model_gradients_announce(const Model *model, const GradientSink *sink)
{
    for (int32_t l = model->config.layers; l >= -1; l--) layer_announce(model, l, sink);
}

float *model_gradients(const Model *model, size_t *count)
{
    *count = model->params.trained;
    return model->gradients;
}

/* ---- all of it ---- */

bool model_backward(Model *model, const Batch *batch, const float *dscores,
                    const GradientSink *sink, Arena *arena, Err *err)
{
    Pass *pass = &model->pass;
    assert(pass->kept && pass->rows == batch->rows && pass->scored == batch->sequences);
    pass->kept = false;
    size_t count = (size_t)pass->scored * (size_t)model->options.heads;
    model->ops->upload(model->device, pass->dscores.data, dscores, count * sizeof(float));
    bool full = model->options.mode == TRAIN_FULL;
    bool layers = full || model->options.mode == TRAIN_LORA;
    heads_backward(model, layers);
    layer_announce(model, model->config.layers, sink);
    for (int32_t l = model->config.layers - 1; layers && l >= 0; l--) {
        const Layer *layer = &model->layers[l];
        const AttentionPlan *plan = layer->trimmed ? &batch->scored_plan : &batch->plan;
        Tensor dx = layer->trimmed ? pass->dasking : pass->dx;
        /* What the layers share is still the top layer's. */
        if (l < model->config.layers - 1) layer_again(model, layer, &pass->layers[l], plan);
        asking_backward(model, layer, &pass->layers[l], plan, dx);
        rows_backward(model, layer, &pass->layers[l], full || l > 0);
        layer_announce(model, l, sink);
    }
    if (full)
        model->ops->embed_backward(model->device, pass->dx, pass->ids, model->dembed,
                                   pass->positions, model->dplaces);
    layer_announce(model, -1, sink);
    return model->ops->sync(model->device, arena, err);
}
