/* model_forward.c - tokens to scores. */
#include <math.h>
#include "model_internal.h"

static void copy(Model *model, Tensor to, Tensor from)
{
    if (to.data != from.data) model->ops->convert(model->device, to, from);
}

static void mlp_forward(Model *model, const Layer *layer, const Kept *kept, const Scratch *s)
{
    product_forward(model, &layer->up, kept->hidden, s->normed_asking, SET, s->low);
    model->ops->activate(model->device, model->config.activation, s->activated, kept->hidden);
    copy(model, kept->next, kept->mid);
    product_forward(model, &layer->down, kept->next, s->activated, ADD, s->low);
}

/* One layer, from kept->x to kept->next. */
static void layer_forward(Model *model, const Layer *layer, const Kept *kept,
                          const AttentionPlan *plan)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    const Scratch *s = &pass->scratch[layer->trimmed];
    bool parallel = model->config.parallel_residual;
    Heads heads = attention_heads(&model->config);

    norm_forward(model, &layer->norm1, s->normed, s->stats, kept->x);
    product_forward(model, &layer->qkv, kept->raw.fused, s->normed, SET, s->low);
    if (layer->trimmed) {
        ops->gather(model->device, s->normed_asking, s->normed, pass->scored_rows);
        product_forward(model, &layer->query, kept->raw.q, s->normed_asking, SET, s->low);
        ops->gather(model->device, kept->asking, kept->x, pass->scored_rows);
    }
    Projections p = heads_turn(model, layer, kept, s);
    ops->attention(model->device, plan, &heads, kept->attended, kept->lse, p.q, p.k, p.v);
    attention_count(model, plan, 2);

    if (parallel) norm_forward(model, &layer->norm2, s->normed_asking, s->stats, kept->asking);
    copy(model, kept->mid, kept->asking);
    product_forward(model, &layer->out, kept->mid, kept->attended, ADD, s->low);
    if (!parallel) norm_forward(model, &layer->norm2, s->normed_asking, s->stats, kept->mid);
    mlp_forward(model, layer, kept, s);
}

/* Every id and position must have a row in the tables. */
static bool batch_check(const Model *model, const Batch *batch, int32_t *positions, Arena *arena,
                        Err *err)
{
    const ModelConfig *c = &model->config;
    int32_t last = 0;
    for (int32_t i = 0; i < batch->rows; i++) {
        if (batch->ids[i] < 0 || batch->ids[i] >= c->vocabulary)
            return err_set(err, arena, ERR_invalid, NULL,
                           "Token %d of a sequence is %d; the model's vocabulary has %d.",
                           batch->positions[i], batch->ids[i], c->vocabulary);
        if (last < batch->positions[i]) last = batch->positions[i];
    }
    if (c->learned_positions && last >= c->positions)
        return err_set(err, arena, ERR_too_large, NULL,
                       "A sequence has %d tokens; the model has positions for %d.", last + 1,
                       c->positions);
    *positions = last + 1;
    return true;
}

/* Tokens to what the heads read: the final norm of the scored rows, fp32. */
static void features_forward(Model *model, const Batch *batch)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    const ModelConfig *c = &model->config;
    ops->embed(model->device, pass->layers[0].x, pass->ids, model->embed, pass->positions,
               model->places);
    for (int32_t l = 0; l < c->layers; l++) {
        const Layer *layer = &model->layers[l];
        layer_forward(model, layer, &pass->layers[l],
                      layer->trimmed ? &batch->scored_plan : &batch->plan);
    }
    Tensor top = pass->layers[c->layers - 1].next;
    if (model->layers[c->layers - 1].trimmed)
        ops->convert(model->device, pass->last, top);
    else
        ops->gather(model->device, pass->last, top, pass->scored_rows);
    norm_forward(model, &model->final_norm, pass->features, pass->last_stats, pass->last);
}

static bool features_run(Model *model, const Batch *batch, bool keep, Arena *arena, Err *err)
{
    int32_t positions = 0;
    if (!batch_check(model, batch, &positions, arena, err)) return false;
    if (model->stale) model_refresh(model);
    if (!rotary_grow(model, positions, arena, err)) return false;
    if (!pass_place(model, batch, keep, arena, err)) return false;
    features_forward(model, batch);
    return true;
}

bool model_forward(Model *model, const Batch *batch, bool keep, float *scores, Arena *arena,
                   Err *err)
{
    TrainMode mode = model->options.mode;
    bool keep_layers = keep && (mode == TRAIN_FULL || mode == TRAIN_LORA);
    Pass *pass = &model->pass;
    if (!features_run(model, batch, keep_layers, arena, err)) return false;
    size_t count = (size_t)batch->sequences * (size_t)model->options.heads;
    model->ops->score(model->device, pass->scores, pass->features, model->heads);
    model->ops->download(model->device, scores, pass->scores.data, count * sizeof(float));
    if (!model->ops->sync(model->device, arena, err)) return false;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(scores[i]))
            return err_set(err, arena, ERR_invalid, NULL,
                           "The score of sequence %zu is not a finite number.",
                           i / (size_t)model->options.heads);
    pass->kept = keep && mode != TRAIN_NOTHING;
    return true;
}

bool model_features(Model *model, const Batch *batch, float *features, Arena *arena, Err *err)
{
    if (!features_run(model, batch, false, arena, err)) return false;
    size_t count = (size_t)batch->sequences * (size_t)model->config.width;
    model->ops->download(model->device, features, model->pass.features.data, count * sizeof(float));
    if (!model->ops->sync(model->device, arena, err)) return false;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(features[i]))
            return err_set(err, arena, ERR_invalid, NULL,
                           "A feature of sequence %zu is not a finite number.",
                           i / (size_t)model->config.width);
    return true;
}
