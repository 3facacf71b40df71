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

/* The gradients that are final after the last pack begin to be summed over the processes. */
static GradientSink sink_of(Training *training)
{
    return (GradientSink){parallel_reduce_ready, training->parallel};
}

static bool run_pack(Training *training, FedPack *fed, StepSums *sums, LossTotals *totals,
                     Quality *metrics)
{
    Session *s = &training->session;
    Pack *pack = &fed->pack;
    GradientSink sink = sink_of(training);
    if (!train_scores(training, pack, STORE_TRAIN, true)) return false;
    const LossBatch batch = {pack->items, pack->item_count, pack->members, pack->ranks};
    int32_t heads = training->rules.heads;
    loss_evaluate(&training->rules.loss, &training->losses, &batch, pack->scores,
                  pack->sequence_count, heads, heads > 1 ? pack->multipliers : NULL, pack->gradient,
                  totals);
    pack_measure(pack, metrics);
    sums->pairs += (double)count_pairs(pack);
    sums->tokens += (double)pack->tokens;
    sums->computed_tokens += training->features ? 0 : (double)pack->batch.rows;
    if (!training->features)
        return model_backward(s->model, &pack->batch, pack->gradient,
                              training->parallel && fed->last ? &sink : NULL, &training->scratch,
                              &s->err);
    features_backward(training->features, STORE_TRAIN, pack);
    return true;
}

/* ---- the step ---- */

static bool take_step(Training *training, const StepSums *totals, StepReport *report)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    if (!isfinite(report->loss))
        return err_set(&s->err, &training->scratch, ERR_invalid, NULL,
                       "The loss is not a finite number; the step was not taken.");
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

static double count_right(const Quality *metrics)
{
    double right = 0;
    for (size_t i = 0; i < metrics->count; i++) {
        double by = metrics->pairs[i].difference;
        right += by > 0 ? 1 : by < 0 ? 0 : 0.5;
    }
    return right;
}

/* All packs of the step that are this process's, and the gradients' sum. */
static bool run_packs(Training *training, StepSums *sums, LossTotals *totals, Quality *metrics,
                      StepReport *report)
{
    Session *s = &training->session;
    Parallel *parallel = training->parallel;
    size_t count;
    if (parallel) parallel_reduce_begin(parallel, model_gradients(s->model, &count));
    for (bool last = false; !last;) {
        FedPack *fed = feed_next(training->feed, &report->wait_s, &training->scratch, &s->err);
        if (!fed) return false;
        assert(fed->step == training->state.step);
        last = fed->last;
        if (session_interrupted && !parallel) return true;
        bool empty = fed->pack.sequence_count == 0;
        bool ok = empty || run_pack(training, fed, sums, totals, metrics);
        feed_release(training->feed);
        if (!ok) return false;
        GradientSink sink = sink_of(training);
        if (empty && parallel) model_gradients_announce(s->model, &sink);
    }
    return !parallel ||
           parallel_reduce_end(parallel, &report->reduce_s, &training->scratch, &s->err);
}

static bool run_all(Training *training, StepSums *sums, StepReport *report)
{
    LossTotals totals = {0};
    Quality metrics;
    quality_init(&metrics);
    bool ok = run_packs(training, sums, &totals, &metrics, report);
    sums->loss = totals.loss;
    sums->weight = totals.weight;
    sums->right = count_right(&metrics);
    sums->measured = (double)metrics.count;
    quality_release(&metrics);
    if (!ok || !train_share_sums(training, sums)) return false;
    report->loss = sums->weight > 0 ? sums->loss / sums->weight : 0;
    report->accuracy = sums->measured > 0 ? sums->right / sums->measured : (double)NAN;
    report->pairs = (int64_t)sums->pairs;
    report->tokens = (int64_t)sums->tokens;
    report->computed_tokens = (int64_t)sums->computed_tokens;
    return true;
}

/* What the model refuses in a step is numbers that are not finite: nothing better would follow. */
static StepResult failed(Training *training, const StepReport *report)
{
    Session *s = &training->session;
    if (s->err.code != ERR_invalid) return STEP_FAILED;
    Str why = arena_copy(&s->arena, str_from(s->err.detail));
    err_set(&s->err, &s->arena, ERR_invalid, NULL,
            "step %lld diverged: " STR_FMT " A smaller --lr (it is %g), a longer --warmup or a "
            "smaller --clip may help.",
            (long long)training->state.step + 1, STR_ARG(why), report->learning_rate);
    return STEP_FAILED;
}

StepResult train_step(Training *training, StepReport *report)
{
    StepSums sums = {0};
    bool stop = false;
    int64_t begun_us = clock_monotonic_us();
    *report = (StepReport){.learning_rate = train_rate(training, training->state.step)};
    if (!train_share_interrupted(training, &stop)) return STEP_FAILED;
    if (stop) return STEP_INTERRUPTED;
    if (!run_all(training, &sums, report)) return failed(training, report);
    if (session_interrupted && !training->parallel) return STEP_INTERRUPTED;
    if (!take_step(training, &sums, report)) return failed(training, report);
    report->seconds = (double)(clock_monotonic_us() - begun_us) / 1e6;
    training->state.step++;
    training->state.pairs += report->pairs;
    training->state.tokens += report->tokens;
    training->state.computed_tokens += report->computed_tokens;
    training->state.seconds += report->seconds;
    return STEP_DONE;
}
