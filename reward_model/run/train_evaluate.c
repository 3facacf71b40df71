/* train_evaluate.c - how good the model is on what is held out, while it trains. See train.h. */
#include <math.h>

#include "train.h"

enum { EVALUATIONS_A_RUN = 10, STEPS_BETWEEN_MIN = 5 };

bool train_measure(Training *training, StoreName store, int64_t limit, Quality *metrics)
{
    Session *s = &training->session;
    const Store *from = store == STORE_TRAIN ? training->dataset.train : training->dataset.heldout;
    int64_t all = store_elements(from), count = limit && limit < all ? limit : all;
    Pack *pack = &training->pack;
    pack_clear(pack);
    for (int64_t e = 0; e < count; e++) {
        int64_t element = limit ? store_shuffled(e, all, 0) : e;
        if (session_interrupted)
            return err_set(&s->err, &training->scratch, ERR_unavailable, NULL, "interrupted");
        if (!pack_add(pack, from, element, &training->scratch, &s->err)) return false;
        if (pack->packed_rows < s->options.micro_rows && e + 1 < count) continue;
        if (!pack_build(pack, !training->features, &training->scratch, &s->err) ||
            !train_scores(training, pack, store, false))
            return false;
        pack_measure(pack, metrics);
        pack_clear(pack);
    }
    return !metrics->failed ||
           err_set(&s->err, &training->scratch, ERR_unavailable, NULL, "out of memory");
}

bool train_evaluation_due(const Training *training)
{
    int64_t every = training->session.options.eval_every;
    if (store_elements(training->dataset.heldout) == 0) return false;
    if (every == 0) {
        every = (training->steps + EVALUATIONS_A_RUN - 1) / EVALUATIONS_A_RUN;
        if (every < STEPS_BETWEEN_MIN) every = STEPS_BETWEEN_MIN;
    }
    return training->state.step % every == 0 || training->state.step == training->steps;
}

bool train_evaluate(Training *training, QualityResult *result)
{
    Quality metrics;
    TrainState *state = &training->state;
    quality_init(&metrics);
    bool ok = train_measure(training, STORE_HELDOUT, 0, &metrics);
    if (ok) quality_result(&metrics, 1, result);
    quality_release(&metrics);
    if (!ok) return false;
    state->evaluations++;
    state->evaluations_without_better++;
    if (result->pairs == 0 || !(result->log_loss < state->best_loss)) {
        int64_t patience = training->session.options.early_stop;
        state->stopped_early = patience && state->evaluations_without_better >= patience;
        return true;
    }
    state->evaluations_without_better = 0;
    state->best_loss = result->log_loss;
    state->best_step = state->step;
    return checkpoint_keep_best(training);
}
