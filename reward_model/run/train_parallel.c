/* train_parallel.c - one training run by several processes: that they train the same thing, from
 * the same weights, and what they add up. See train.h and parallel.h.
 *
 * Rank 0 alone looks at --out, reads checkpoints and writes; what it found is sent to the others,
 * so that they need no common file system and a run resumes with any number of processes. */
#include <omp.h>
#include <stdlib.h>

#include "checkpoint.h"
#include "train.h"

enum { OPTIONS_BYTES = 1 << 16 };

/* ---- meeting ---- */

/* Processes of one machine share its processors, and each has a GPU of its own. */
static void settle(Training *training, const ParallelPlace *place)
{
    Options *o = &training->session.options;
    char number[16];
    snprintf(number, sizeof number, "%d", place->local_rank);
    setenv("LOCAL_RANK", number, 0); /* where the CUDA backend reads which GPU is meant */
    int threads = omp_get_num_procs() / place->local_world;
    if (o->threads == 0) o->threads = threads > 0 ? threads : 1;
    training->sharing = place->local_world;
    if (place->rank == 0) return;
    o->quiet = true;
    o->json = false;
}

/* Options that decide what is trained must be those of rank 0. */
static bool compare_options(Training *training)
{
    Session *s = &training->session;
    const char *differing = NULL, *problem = NULL;
    char build[65], first_build[65];
    char *text = calloc(1, OPTIONS_BYTES);
    Buf mine;
    buf_init(&mine, OPTIONS_BYTES - 1);
    options_write(&mine, &s->options, FOR_TRAIN);
    session_build_id(build);
    memcpy(first_build, build, sizeof build);
    bool ok = text && buf_ok(&mine);
    if (ok) memcpy(text, mine.data, mine.len);
    buf_release(&mine);
    ok = ok ? parallel_broadcast(training->parallel, text, OPTIONS_BYTES, &s->arena, &s->err) &&
                  parallel_broadcast(training->parallel, first_build, sizeof first_build, &s->arena,
                                     &s->err) &&
                  options_same_run(&s->options, str_from(text), &differing, &s->arena, &s->err)
            : err_set(&s->err, &s->arena, ERR_too_large, NULL, "the options are too long");
    free(text);
    if (!ok) return false;
    if (memcmp(build, first_build, sizeof build) != 0)
        problem = "another build of aileron-rm than rank 0 runs";
    if (differing)
        problem =
            arena_printf(&s->arena, "--%s differs from rank 0's; give all the same", differing).ptr;
    return parallel_agree(training->parallel, problem, &s->arena, &s->err);
}

bool train_join(Training *training)
{
    Session *s = &training->session;
    ParallelPlace place;
    training->sharing = 1;
    if (!parallel_place(&place, &s->arena, &s->err)) return false;
    if (place.world == 1) return true;
    if (s->options.mode == MODE_HEAD)
        return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                       "--mode head trains in one process: its steps are too short to share out");
    if (!s->options.quiet && place.rank == 0)
        fprintf(stderr, "rank 0 of %d (%s) waits for the others at %s port %d\n", place.world,
                place.launcher, place.address, place.port);
    training->parallel = parallel_join(&place, &s->arena, &s->err);
    if (!training->parallel || !compare_options(training)) return false;
    settle(training, &place);
    return true;
}

/* ---- the same start ---- */

typedef struct Start {
    bool finished, resumed;
    TrainState state;
    LossParameters losses;
    CheckpointOrigin origin;
} Start;

bool train_share_start(Training *training, bool ok, bool *finished)
{
    Session *s = &training->session;
    Parallel *parallel = training->parallel;
    if (!parallel) return ok;
    const char *detail = s->err.detail ? s->err.detail : "--out cannot be used";
    if (!parallel_agree(parallel, ok ? NULL : detail, &s->arena, &s->err)) return false;
    Start start = {*finished, training->resumed, training->state, training->losses,
                   training->origin};
    if (!parallel_broadcast(parallel, &start, sizeof start, &s->arena, &s->err)) return false;
    *finished = start.finished;
    training->resumed = start.resumed;
    training->state = start.state;
    training->losses = start.losses;
    training->origin = start.origin;
    return true;
}

/* A database may have grown between one rank's reading and another's: all read to where rank 0
 * did. */
bool train_load_data(Training *training)
{
    Session *s = &training->session;
    Parallel *parallel = training->parallel;
    const Options *o = &s->options;
    int64_t boundary = training->resumed ? training->origin.boundary : SOURCE_NO_BOUNDARY;
    bool database = o->data.count == 0, first = parallel_rank(parallel) == 0;
    struct {
        char data[65], heldout[65], base[65];
    } mine = {0}, theirs;
    if (database && !first &&
        !parallel_broadcast(parallel, &boundary, sizeof boundary, &s->arena, &s->err))
        return false;
    if (!dataset_load(&training->dataset, o, &s->tokens, &training->rules, boundary, &s->arena,
                      &s->err))
        return false;
    if (!parallel) return true;
    boundary = training->dataset.origin.boundary;
    if (database && first &&
        !parallel_broadcast(parallel, &boundary, sizeof boundary, &s->arena, &s->err))
        return false;
    snprintf(mine.data, sizeof mine.data, "%s", training->dataset.origin.hash);
    snprintf(mine.heldout, sizeof mine.heldout, "%s", training->dataset.eval_origin.hash);
    snprintf(mine.base, sizeof mine.base, "%s", s->hub.hash);
    theirs = mine;
    if (!parallel_broadcast(parallel, &theirs, sizeof theirs, &s->arena, &s->err)) return false;
    const char *problem = NULL;
    if (strcmp(mine.data, theirs.data) != 0) problem = "the data are not those of rank 0";
    if (strcmp(mine.heldout, theirs.heldout) != 0) problem = "--eval is not that of rank 0";
    if (strcmp(mine.base, theirs.base) != 0) problem = "--base is not that of rank 0";
    return parallel_agree(parallel, problem, &s->arena, &s->err);
}

bool train_share_weights(Training *training)
{
    Session *s = &training->session;
    size_t largest = 1;
    if (!training->parallel) return true;
    if (!training->parallel_open &&
        !parallel_reduce_open(training->parallel, s->device, &s->arena, &s->err))
        return false;
    training->parallel_open = true;
    int32_t states = model_states(s->model);
    for (int32_t i = 0; i < states; i++) {
        size_t count = model_state(s->model, i).count;
        if (largest < count) largest = count;
    }
    float *values = malloc(largest * sizeof *values);
    bool ok = values || err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    for (int32_t i = 0; ok && i < states; i++) {
        size_t bytes = model_state(s->model, i).count * sizeof *values;
        model_state_get(s->model, i, values);
        ok = parallel_broadcast(training->parallel, values, bytes, &s->arena, &s->err);
        if (ok && !train_writes(training)) model_state_set(s->model, i, values);
    }
    free(values);
    if (!ok) return false;
    model_step_count_set(s->model, training->state.step);
    model_refresh(s->model);
    return true;
}

/* ---- of a step ---- */

bool train_share_sums(Training *training, StepSums *sums)
{
    Session *s = &training->session;
    enum { OWN = sizeof *sums / sizeof(double) };
    double values[OWN + LOSS_PARAMETERS];
    if (!training->parallel) return true;
    memcpy(values, sums, sizeof *sums);
    memcpy(values + OWN, training->losses.gradient, sizeof training->losses.gradient);
    if (!parallel_sum(training->parallel, values, LEN(values), &training->scratch, &s->err))
        return false;
    memcpy(sums, values, sizeof *sums);
    memcpy(training->losses.gradient, values + OWN, sizeof training->losses.gradient);
    return true;
}

bool train_share_interrupted(Training *training, bool *interrupted)
{
    Session *s = &training->session;
    double flag = session_interrupted ? 1 : 0;
    *interrupted = false;
    if (!training->parallel) return true;
    if (!parallel_sum(training->parallel, &flag, 1, &training->scratch, &s->err)) return false;
    *interrupted = flag > 0;
    return true;
}
