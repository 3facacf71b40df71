/* model_backward.c - gradients of scores to gradients of parameters, layer by layer from the top.
 * Norms and activations are computed again; see model_internal.h for what is kept. */
#include "model_internal.h"

/* dx of the rows that ask: in, the gradient of kept->next; out, that of kept->asking but for what
 * comes through norm1. Leaves dturned and d.v. */
static void asking_backward(Model *model, const Layer *layer, const Kept *kept,
                            const AttentionPlan *plan, Tensor dx)
{
    const Ops *ops = model->ops;
    const Scratch *s = &model->pass.scratch[layer->trimmed];
    bool parallel = model->config.parallel_residual;
    Tensor before = parallel ? kept->asking : kept->mid;
    Heads heads = attention_heads(&model->config);

    norm_forward(model, &layer->norm2, s->normed_asking, s->stats, before);
    ops->activate(model->device, model->config.activation, s->activated, kept->hidden);
    product_backward(model, &layer->down, s->dactivated, dx, s->activated, s->low, s->dlow);
    ops->activate_backward(model->device, model->config.activation, s->dhidden, s->dactivated,
                           kept->hidden);
    product_backward(model, &layer->up, s->dnormed_asking, s->dhidden, s->normed_asking, s->low,
                     s->dlow);
    if (!parallel)
        norm_backward(model, &layer->norm2, dx, ADD, s->dnormed_asking, before, s->stats);
    product_backward(model, &layer->out, s->dattended, dx, kept->attended, s->low, s->dlow);
    if (parallel) norm_backward(model, &layer->norm2, dx, ADD, s->dnormed_asking, before, s->stats);

    Projections p = heads_turn_again(model, layer, kept, s);
    ops->attention_backward(model->device, plan, &heads, s->dturned.q, s->dturned.k, s->d.v,
                            s->dattended, kept->attended, kept->lse, p.q, p.k, p.v);
    attention_count(model, plan, 5);
    heads_turn_back(model, layer, kept, s);
}

/* Through norm1 to every row: pass->dx becomes the gradient of kept->x. `down`: it is wanted. */
static void rows_backward(Model *model, const Layer *layer, const Kept *kept, bool down)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    const Scratch *s = &pass->scratch[layer->trimmed];
    Tensor dnormed = down ? s->dnormed : (Tensor){0};
    Tensor dasking = down ? s->dnormed_asking : (Tensor){0};
    norm_forward(model, &layer->norm1, s->normed, s->stats, kept->x);
    product_backward(model, &layer->qkv, dnormed, s->d.fused, s->normed, s->low, s->dlow);
    if (layer->trimmed) {
        ops->gather(model->device, s->normed_asking, s->normed, pass->scored_rows);
        product_backward(model, &layer->query, dasking, s->d.q, s->normed_asking, s->low, s->dlow);
    }
    if (!down) return;
    if (layer->trimmed) {
        ops->scatter_add(model->device, dnormed, dasking, pass->scored_rows);
        norm_backward(model, &layer->norm1, pass->dx, SET, dnormed, kept->x, s->stats);
        ops->scatter_add(model->device, pass->dx, pass->dasking, pass->scored_rows);
    } else {
        norm_backward(model, &layer->norm1, pass->dx, ADD, dnormed, kept->x, s->stats);
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

bool model_backward(Model *model, const Batch *batch, const float *dscores, Arena *arena, Err *err)
{
    Pass *pass = &model->pass;
    assert(pass->kept && pass->rows == batch->rows && pass->scored == batch->sequences);
    pass->kept = false;
    size_t count = (size_t)pass->scored * (size_t)model->options.heads;
    model->ops->upload(model->device, pass->dscores.data, dscores, count * sizeof(float));
    bool full = model->options.mode == TRAIN_FULL;
    bool layers = full || model->options.mode == TRAIN_LORA;
    heads_backward(model, layers);
    for (int32_t l = model->config.layers - 1; layers && l >= 0; l--) {
        const Layer *layer = &model->layers[l];
        const AttentionPlan *plan = layer->trimmed ? &batch->scored_plan : &batch->plan;
        Tensor dx = layer->trimmed ? pass->dasking : pass->dx;
        asking_backward(model, layer, &pass->layers[l], plan, dx);
        rows_backward(model, layer, &pass->layers[l], full || l > 0);
    }
    if (full)
        model->ops->embed_backward(model->device, pass->dx, pass->ids, model->dembed,
                                   pass->positions, model->dplaces);
    return model->ops->sync(model->device, arena, err);
}
