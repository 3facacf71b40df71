/* train_step.c - one training step: elements in the order of the seed, in packs that bound the
 * memory; scores, losses, gradients; one AdamW step. See train.h. */
#include <math.h>

#include "../../server/base/clock.h"
#include "train.h"

#define SCHEDULE_END 0.1 /* of the learning rate, where cosine and linear end (InstructGPT) */

double train_rate(const Training *training, int64_t step)
{
    const Options *o = &training->session.options;
    double warm = ceil(o->warmup * (double)training->steps), at = (double)step;
    if (at < warm) return training->learning_rate * (at + 1) / warm;
    double left = (double)training->steps - warm;
    double part = left > 1 ? (at - warm) / (left - 1) : 0, share = 1;
    if (o->schedule == SCHEDULE_COSINE) share = (1 + cos(acos(-1) * part)) / 2;
    if (o->schedule == SCHEDULE_LINEAR) share = 1 - part;
    return training->learning_rate * (SCHEDULE_END + (1 - SCHEDULE_END) * share);
}

bool train_scores(Training *training, Pack *pack, StoreName store, bool keep)
{
    Session *s = &training->session;
    if (!training->features)
        return model_forward(s->model, &pack->batch, keep, pack->scores, &training->scratch,
                             &s->err);
    features_scores(training->features, (int)store, pack);
    return true;
}

/* ---- a pack ---- */

static int64_t count_pairs(const Pack *pack)
{
    int64_t pairs = 0;
    for (int32_t i = 0; i < pack->item_count; i++) {
        const LossItem *item = &pack->items[i];
        pairs += item->kind == LOSS_LABEL ? 1 : (int64_t)item->count * (item->count - 1) / 2;
    }
    return pairs;
}

static bool run_pack(Training *training, LossTotals *totals, Quality *metrics, StepReport *report)
{
    Session *s = &training->session;
    Pack *pack = &training->pack;
    if (!pack_build(pack, !training->features, &training->scratch, &s->err) ||
        !pack_losses(pack, &training->scratch, &s->err) ||
        !train_scores(training, pack, STORE_TRAIN, true))
        return false;
    const LossBatch batch = {pack->items, pack->item_count, pack->members, pack->ranks};
    int32_t heads = training->rules.heads;
    loss_evaluate(&training->rules.loss, &training->losses, &batch, pack->scores,
                  pack->sequence_count, heads, heads > 1 ? pack->multipliers : NULL, pack->gradient,
                  totals);
    pack_measure(pack, metrics);
    report->pairs += count_pairs(pack);
    report->tokens += pack->tokens;
    report->computed_tokens += training->features ? 0 : pack->batch.rows;
    if (!training->features)
        return model_backward(s->model, &pack->batch, pack->gradient, NULL, &training->scratch, &s->err);
    features_backward(training->features, STORE_TRAIN, pack);
    return true;
}

/* ---- the step ---- */

/* The element trained at a place of the whole run: epoch by epoch, each in an order of its own. */
static int64_t element_at(const Training *training, int64_t place)
{
    int64_t elements = store_elements(training->dataset.train);
    uint64_t epoch = (uint64_t)(place / elements);
    uint64_t seed = (uint64_t)training->session.options.seed * 1000003u + epoch;
    return store_shuffled(place % elements, elements, seed);
}

/* Places of the step: a whole batch, or what is left of the epoch. */
static void step_places(const Training *training, int64_t *first, int64_t *end)
{
    int64_t elements = store_elements(training->dataset.train);
    int64_t epoch = training->state.step / training->steps_an_epoch;
    int64_t within = training->state.step % training->steps_an_epoch;
    *first = epoch * elements + within * training->elements_a_step;
    *end = *first + training->elements_a_step;
    if (*end > (epoch + 1) * elements) *end = (epoch + 1) * elements;
}

static bool take_step(Training *training, const LossTotals *totals, StepReport *report)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    if (totals->weight <= 0)
        return err_set(&s->err, &training->scratch, ERR_internal, NULL,
                       "a step has nothing to learn from");
    StepOptions options = {.learning_rate = (float)report->learning_rate,
                           .beta1 = (float)o->beta1,
                           .beta2 = (float)o->beta2,
                           .epsilon = (float)o->epsilon,
                           .weight_decay = (float)o->weight_decay,
                           .gradient_scale = (float)(1 / totals->weight),
                           .clip_norm = (float)o->clip};
    bool ok = training->features
                  ? features_step(training->features, &options, &report->norm, &training->scratch,
                                  &s->err)
                  : model_step(s->model, &options, &report->norm, &training->scratch, &s->err);
    if (ok)
        loss_parameters_step(&training->losses, &training->rules.loss,
                             o->loss_lr * report->learning_rate / training->learning_rate,
                             1 / totals->weight);
    return ok;
}

static double share_right(const Quality *metrics)
{
    double right = 0;
    for (size_t i = 0; i < metrics->count; i++) {
        double by = metrics->pairs[i].difference;
        right += by > 0 ? 1 : by < 0 ? 0 : 0.5;
    }
    return metrics->count ? right / (double)metrics->count : 0;
}

static bool run_packs(Training *training, LossTotals *totals, Quality *metrics, StepReport *report)
{
    Session *s = &training->session;
    int64_t place, end;
    step_places(training, &place, &end);
    pack_clear(&training->pack);
    for (; place < end && !session_interrupted; place++) {
        Pack *pack = &training->pack;
        if (!pack_add(pack, training->dataset.train, element_at(training, place),
                      &training->scratch, &s->err))
            return false;
        if (pack->packed_rows < s->options.micro_rows && place + 1 < end) continue;
        if (!run_pack(training, totals, metrics, report)) return false;
        pack_clear(pack);
    }
    return true;
}

StepResult train_step(Training *training, StepReport *report)
{
    LossTotals totals = {0};
    Quality metrics;
    int64_t begun_us = clock_monotonic_us();
    *report = (StepReport){.learning_rate = train_rate(training, training->state.step)};
    quality_init(&metrics);
    bool ok = run_packs(training, &totals, &metrics, report);
    report->accuracy = share_right(&metrics);
    report->loss = totals.weight > 0 ? totals.loss / totals.weight : 0;
    quality_release(&metrics);
    if (!ok) return STEP_FAILED;
    if (session_interrupted) return STEP_INTERRUPTED;
    if (!take_step(training, &totals, report)) return STEP_FAILED;
    report->seconds = (double)(clock_monotonic_us() - begun_us) / 1e6;
    training->state.step++;
    training->state.pairs += report->pairs;
    training->state.tokens += report->tokens;
    training->state.computed_tokens += report->computed_tokens;
    training->state.seconds += report->seconds;
    return STEP_DONE;
}
