/* model_step.c - one optimiser step: clip, AdamW, and the new weights to where products read them.
 */
#include <math.h>
#include "model_internal.h"

void model_refresh(Model *model)
{
    for (int32_t l = 0; l < model->config.layers; l++) {
        const Layer *layer = &model->layers[l];
        const Product *products[] = {&layer->qkv, &layer->query, &layer->out, &layer->up,
                                     &layer->down};
        for (size_t i = 0; i < LEN(products); i++)
            product_refresh(model, products[i], model->stale);
    }
    model->stale = false;
}

/* Loshchilov and Hutter 2019, as torch.optim.AdamW: matrices decay, vectors do not. Clipping as
 * torch.nn.utils.clip_grad_norm_: by min(1, clip / (norm + 1e-6)). */
bool model_step(Model *model, const StepOptions *o, double *norm, Arena *arena, Err *err)
{
    const Ops *ops = model->ops;
    size_t all = model->params.trained, decayed = model->params.decayed;
    assert(all > 0);
    *norm = fabs((double)o->gradient_scale) *
            sqrt(ops->square_sum(model->device, model->gradients, all));
    if (!ops->sync(model->device, arena, err)) return false;
    if (!isfinite(*norm))
        return err_set(err, arena, ERR_invalid, NULL,
                       "The gradient's norm is not a finite number; the step was not taken.");
    double clip = o->clip_norm > 0 ? (double)o->clip_norm / (*norm + 1e-6) : 1;
    AdamW step = {.learning_rate = o->learning_rate,
                  .beta1 = o->beta1,
                  .beta2 = o->beta2,
                  .epsilon = o->epsilon,
                  .weight_decay = o->weight_decay,
                  .gradient_scale = (float)((double)o->gradient_scale * (clip < 1 ? clip : 1)),
                  .step = model->steps + 1};
    ops->adamw(model->device, &step, model->masters, model->first, model->second, model->gradients,
               decayed);
    step.weight_decay = 0;
    ops->adamw(model->device, &step, model->masters + decayed, model->first + decayed,
               model->second + decayed, model->gradients + decayed, all - decayed);
    ops->zero(model->device, model->gradients, all * sizeof(float));
    model->steps++;
    model_refresh(model);
    return ops->sync(model->device, arena, err);
}
