/* train_evaluate.c - how good the model is on what is held out, while it trains. See train.h. */
#include <math.h>
#include <stdlib.h>

#include "train.h"

enum { EVALUATIONS_A_RUN = 10, STEPS_BETWEEN_MIN = 5 };

/* What becomes of each pack of an evaluation. Several processes share the packs out and add up
 * their scores, zero where they are another's: so each has all scores, to the bit what one process
 * would compute. */
typedef enum Visit { VISIT_MEASURE, VISIT_COMPUTE, VISIT_RECALL } Visit;

typedef struct Evaluation {
    StoreName store;
    Visit visit;
    Quality *metrics;
    float *scores; /* of all packs */
    size_t count, room, at;
    int64_t packs;
} Evaluation;

/* Room for the scores of the pack, zero at first. */
static float *scores_place(Training *training, Evaluation *e, size_t count)
{
    if (e->count + count > e->room) {
        size_t room = 2 * e->room > e->count + count ? 2 * e->room : e->count + count;
        float *grown = realloc(e->scores, room * sizeof *grown);
        if (!grown) {
            err_set(&training->session.err, &training->scratch, ERR_unavailable, NULL,
                    "out of memory for the scores of an evaluation");
            return NULL;
        }
        e->scores = grown;
        e->room = room;
    }
    float *place = e->scores + e->count;
    memset(place, 0, count * sizeof *place);
    e->count += count;
    return place;
}

static bool visit_pack(Training *training, Evaluation *e)
{
    Session *s = &training->session;
    Pack *pack = &training->pack;
    int32_t world = parallel_world(training->parallel);
    size_t count = (size_t)(pack->sequence_count * training->rules.heads);
    bool mine = e->packs++ % world == parallel_rank(training->parallel);
    bool computes = e->visit == VISIT_MEASURE || (e->visit == VISIT_COMPUTE && mine);
    if (!pack_build(pack, computes && !training->features, &training->scratch, &s->err) ||
        (computes && !train_scores(training, pack, e->store, false)))
        return false;
    if (e->visit == VISIT_COMPUTE) {
        float *place = scores_place(training, e, count);
        if (place && mine) memcpy(place, pack->scores, count * sizeof *place);
        return place != NULL;
    }
    if (e->visit == VISIT_RECALL) {
        memcpy(pack->scores, e->scores + e->at, count * sizeof(float));
        e->at += count;
    }
    pack_measure(pack, e->metrics);
    return true;
}

static bool visit_all(Training *training, int64_t limit, Evaluation *e)
{
    Session *s = &training->session;
    Pack *pack = &training->pack;
    const Store *from =
        e->store == STORE_TRAIN ? training->dataset.train : training->dataset.heldout;
    int64_t all = store_elements(from), count = limit && limit < all ? limit : all;
    e->packs = 0;
    pack_clear(pack);
    for (int64_t i = 0; i < count; i++) {
        if (session_interrupted && !training->parallel)
            return err_set(&s->err, &training->scratch, ERR_unavailable, NULL, "interrupted");
        int64_t element = limit ? store_shuffled(i, all, 0) : i;
        if (!pack_add(pack, from, element, &training->scratch, &s->err)) return false;
        if (pack->packed_rows < s->micro_rows && i + 1 < count) continue;
        if (!visit_pack(training, e)) return false;
        pack_clear(pack);
    }
    return true;
}

bool train_measure(Training *training, StoreName store, int64_t limit, Quality *metrics)
{
    Session *s = &training->session;
    Evaluation e = {.store = store, .metrics = metrics};
    bool ok = true;
    if (training->parallel) {
        e.visit = VISIT_COMPUTE;
        ok =
            visit_all(training, limit, &e) &&
            parallel_sum_floats(training->parallel, e.scores, e.count, &training->scratch, &s->err);
        e.visit = VISIT_RECALL;
    }
    ok = ok && visit_all(training, limit, &e);
    free(e.scores);
    if (!ok) return false;
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
    return !train_writes(training) || checkpoint_keep_best(training);
}
