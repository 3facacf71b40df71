/* model_forward.c - tokens to scores. */
#include <math.h>
#include "model_internal.h"

static void copy(Model *model, Tensor to, Tensor from)
{
    if (to.data != from.data) model->ops->convert(model->device, to, from);
}

/* x to the heads of every row, and what the asking rows attend to. */
static void attention_forward(Model *model, const Layer *layer, const Kept *kept,
                              const AttentionPlan *plan)
{
    const Ops *ops = model->ops;
    const Pass *pass = &model->pass;
    const Scratch *s = &pass->scratch[layer->trimmed];
    Heads heads = attention_heads(&model->config);

    norm_forward(model, &layer->norm1, kept->normed, kept->stats, kept->x);
    product_forward(model, &layer->qkv, kept->raw.fused, kept->normed, SET, s->low);
    if (layer->trimmed) {
        ops->gather(model->device, kept->queried, kept->normed, pass->scored_rows);
        product_forward(model, &layer->query, kept->raw.q, kept->queried, SET, s->low);
        ops->gather(model->device, kept->asking, kept->x, pass->scored_rows);
    }
    heads_turn(model, layer, kept);
    const Projections *p = &kept->turned;
    ops->attention(model->device, plan, &heads, kept->attended, kept->lse, p->q, p->k, p->v);
    attention_count(model, plan, 2);
}

static void mid_forward(Model *model, const Layer *layer, const Kept *kept)
{
    copy(model, kept->mid, kept->asking);
    product_forward(model, &layer->out, kept->mid, kept->attended, ADD,
                    model->pass.scratch[layer->trimmed].low);
}

static void norm2_forward(Model *model, const Layer *layer, const Kept *kept)
{
    Tensor before = model->config.parallel_residual ? kept->asking : kept->mid;
    norm_forward(model, &layer->norm2, kept->normed2, kept->stats2, before);
}

static void up_forward(Model *model, const Layer *layer, const Kept *kept)
{
    product_forward_activate(model, &layer->up, kept->activated, kept->hidden, kept->normed2,
                             model->pass.scratch[layer->trimmed].low);
}

/* One layer, from kept->x to kept->next. Without a backward pass a parallel layer's mid, and any
 * layer's next, is where its input was: hence norm2 before mid. */
static void layer_forward(Model *model, const Layer *layer, const Kept *kept,
                          const AttentionPlan *plan)
{
    bool parallel = model->config.parallel_residual;
    attention_forward(model, layer, kept, plan);
    if (parallel) norm2_forward(model, layer, kept);
    mid_forward(model, layer, kept);
    if (!parallel) norm2_forward(model, layer, kept);
    up_forward(model, layer, kept);
    copy(model, kept->next, kept->mid);
    product_forward(model, &layer->down, kept->next, kept->activated, ADD,
                    model->pass.scratch[layer->trimmed].low);
}

/* The same calls on the same operands as layer_forward, so the same bits; but RECOMPUTE_NORMS takes
 * the activation of the `hidden` that was kept, which a backend that makes both in one
 * (linear_activate) had not rounded yet. */
void layer_again(Model *model, const Layer *layer, const Kept *kept, const AttentionPlan *plan)
{
    int32_t level = model->options.recompute;
    if (level >= 3) {
        attention_forward(model, layer, kept, plan);
        if (!model->config.parallel_residual) mid_forward(model, layer, kept);
    } else if (level >= 1) {
        norm_forward(model, &layer->norm1, kept->normed, kept->stats, kept->x);
        if (layer->trimmed)
            model->ops->gather(model->device, kept->queried, kept->normed, model->pass.scored_rows);
        if (model->config.head_norm) heads_turn(model, layer, kept);
    }
    if (level >= 1) norm2_forward(model, layer, kept);
    if (level >= 2)
        up_forward(model, layer, kept);
    else if (level >= 1)
        model->ops->activate(model->device, model->config.activation, kept->activated,
                             kept->hidden);
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
