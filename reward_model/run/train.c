/* train.c - `aileron-rm train`: options, data, model, the loop. See train.h for the parts. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "train.h"

enum { SCRATCH_MAX = 1 << 28 };

/* ---- options ---- */

/* "0.1" or "estimate" */
static bool read_noise(const char *text, PackRules *rules, double *noise)
{
    char *end;
    rules->loss.estimate_noise = strcmp(text, "estimate") == 0;
    *noise = rules->loss.estimate_noise ? 0.1 : strtod(text, &end);
    bool good = rules->loss.estimate_noise || (text[0] && *end == '\0');
    rules->loss.noise = *noise > 0;
    return good && *noise >= 0 && *noise < 1;
}

static int check_options(Training *training)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    double noise;
    if (!o->out[0]) return session_misuse(s, "--out is missing");
    if (!o->base[0] && !o->init[0]) return session_misuse(s, "--base is missing (or --init tiny)");
    if (o->base[0] && o->init[0]) return session_misuse(s, "--base and --init are alternatives");
    if (o->init[0] && strcmp(o->init, "tiny") != 0)
        return session_misuse(s, "--init is tiny, not \"%s\"", o->init);
    if (o->resume && o->overwrite)
        return session_misuse(s, "--resume and --overwrite are alternatives");
    if (o->allow_train_rows && o->skip_train_rows)
        return session_misuse(s, "--allow-train-rows and --skip-train-rows are alternatives");
    if (o->eval.count && o->eval_share < 1)
        return session_misuse(s, "--eval-share is of the validation split, which --eval replaces");
    if (!read_noise(o->noise, &training->rules, &noise))
        return session_misuse(s, "--noise is a share from 0 to below 1, or estimate, not \"%s\"",
                              o->noise);
    PackRules *rules = &training->rules;
    rules->loss.ties = (TieModel)o->ties;
    rules->loss.rankings = (RankingModel)o->rankings;
    rules->loss.centering = o->centering;
    rules->strength = (PackStrength)o->strength;
    rules->margin_unit = o->margin_unit;
    rules->implicit_weight = o->implicit_weight;
    rules->label_weight = o->label_weight;
    rules->gold = o->gold;
    rules->heads = (int32_t)o->heads;
    rules->seed = (uint64_t)o->seed;
    rules->share = o->share;
    loss_parameters_init(&training->losses, &rules->loss, noise);
    return session_check_sources(s);
}

/* ---- the model ---- */

static bool open_model(Training *training)
{
    static const TrainMode modes[] = {TRAIN_FULL, TRAIN_LORA, TRAIN_HEADS};
    Session *s = &training->session;
    const Options *o = &s->options;
    ModelOptions options = {.mode = modes[o->mode],
                            .heads = (int32_t)o->heads,
                            .lora_rank = (int32_t)o->lora_rank,
                            .lora_alpha = (float)o->lora_alpha,
                            .seed = (uint64_t)o->seed,
                            .trim_last_layer = true};
    if (o->mode != MODE_HEAD && !train_choose_recompute(training, &options)) return false;
    training->recompute = options.recompute;
    return session_open_model(s, &options);
}

/* trainers.md section 4: by mode and size. */
static double default_rate(const Options *o, const ModelConfig *config)
{
    int64_t size = model_config_parameters(config);
    if (o->lr > 0) return o->lr;
    if (o->mode == MODE_HEAD || o->init[0]) return 1e-3;
    if (o->mode == MODE_LORA) return 1e-4;
    return size < 1000000000 ? 1e-5 : size < 7000000000 ? 5e-6 : 2e-6;
}

/* The key: of weights, and what decides how they make features of tokens. */
static bool open_features(Training *training)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    uint8_t key[CRYPTO_HASH_BYTES];
    int64_t seed = o->init[0] ? o->seed : 0; /* of weights that are in no file */
    Str text = arena_printf(&s->arena, "%s %s %d %lld %.*s", s->hub.hash, s->ops->name,
                            (int)s->dtype, (long long)seed, STR_ARG(s->hub.config_text));
    if (!text.ptr) return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    crypto_hash(key, text, NULL);
    FeaturesOptions options = {.directory = o->out,
                               .key = key,
                               .stores = {training->dataset.train, training->dataset.heldout},
                               .model = s->model,
                               .rules = &training->rules,
                               .micro_rows = s->micro_rows,
                               .quiet = o->quiet,
                               .stop = &session_interrupted};
    training->features = features_open(&options, &s->arena, &s->err);
    return training->features != NULL;
}

/* ---- the loop ---- */

/* False, with an error that says how to go on. */
static bool nothing_to_train_on(Training *training)
{
    Session *s = &training->session;
    const DatasetCounts *c = &training->dataset.counts;
    if (c->lines == 0 && s->options.project[0])
        return err_set(
            &s->err, &s->arena, ERR_invalid, NULL,
            "there is nothing to train on: nothing has been judged in the project \"%s\" "
            "yet; judge some, or `aileron import --project %s FILE` brings judgments",
            s->options.project, s->options.project);
    int64_t elsewhere = c->left_alone + c->held_out;
    return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                   "there is nothing to train on: of %lld rows %lld are refused, %lld have no "
                   "judgment that counts, %lld no text, and %lld are in other splits%s",
                   (long long)c->lines, (long long)c->refused, (long long)c->unsaid,
                   (long long)c->without_text, (long long)elsewhere,
                   elsewhere ? " (--split all trains on those, too)" : "");
}

static bool plan(Training *training)
{
    Session *s = &training->session;
    const Options *o = &s->options;
    int64_t elements = store_elements(training->dataset.train);
    if (elements == 0) return nothing_to_train_on(training);
    if (o->early_stop && store_elements(training->dataset.heldout) == 0)
        return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                       "--early-stop needs rows that are held out, and there are none: --eval FILE "
                       "names some");
    training->elements_a_step = o->batch * o->accumulate;
    training->steps_an_epoch =
        (elements + training->elements_a_step - 1) / training->elements_a_step;
    training->steps = o->steps ? o->steps : training->steps_an_epoch * o->epochs;
    training->learning_rate = default_rate(o, &s->hub.config);
    return true;
}

/* After a step: its line, an evaluation or a checkpoint when one is due. */
static bool after_step(Training *training, const StepReport *report)
{
    const Options *o = &training->session.options;
    QualityResult heldout;
    bool evaluated = train_evaluation_due(training);
    train_show(training, report);
    if (evaluated && !train_evaluate(training, &heldout)) return false;
    if (evaluated && heldout.pairs > 0 && train_writes(training))
        meter_heldout(&training->meter, training->state.step, heldout.log_loss, heldout.accuracy,
                      training->state.best_step == training->state.step);
    if (!train_write_line(training, report, evaluated ? &heldout : NULL)) return false;
    bool due = o->checkpoint_every && training->state.step % o->checkpoint_every == 0;
    bool ok = !(evaluated || due) || !train_writes(training) || checkpoint_save(training);
    arena_reset(&training->scratch);
    return ok;
}

static bool interrupted(Training *training)
{
    Session *s = &training->session;
    meter_end(&training->meter);
    if (training->state.step > 0 && train_writes(training) && !checkpoint_save(training))
        return false;
    if (!parallel_agree(training->parallel, NULL, &s->arena, &s->err)) return false;
    if (training->state.step == 0)
        return err_set(&s->err, &s->arena, ERR_unavailable, NULL,
                       "interrupted before the first step");
    return err_set(&s->err, &s->arena, ERR_unavailable, NULL,
                   "interrupted after step %lld of %lld; a checkpoint is kept, --resume goes on",
                   (long long)training->state.step, (long long)training->steps);
}

static bool open_feed(Training *training)
{
    Session *s = &training->session;
    const FeedOptions options = {.store = training->dataset.train,
                                 .rules = &training->rules,
                                 .micro_rows = s->micro_rows,
                                 .elements_a_step = training->elements_a_step,
                                 .steps_an_epoch = training->steps_an_epoch,
                                 .step = training->state.step,
                                 .steps = training->steps,
                                 .seed = (uint64_t)s->options.seed,
                                 .rank = parallel_rank(training->parallel),
                                 .world = parallel_world(training->parallel),
                                 .with_batch = !training->features};
    training->feed = feed_open(&options, &s->arena, &s->err);
    return training->feed != NULL;
}

static bool run_steps(Training *training)
{
    TrainState *state = &training->state;
    if (!open_feed(training)) return false;
    meter_begin(&training->meter, !training->session.options.quiet);
    while (state->step < training->steps && !state->stopped_early) {
        StepReport report;
        StepResult result = train_step(training, &report);
        if (result == STEP_INTERRUPTED) return interrupted(training);
        if (result == STEP_FAILED) {
            meter_end(&training->meter);
            return false;
        }
        if (!after_step(training, &report))
            return session_interrupted && !training->parallel ? interrupted(training) : false;
    }
    meter_end(&training->meter);
    return true;
}

/* ---- the command ---- */

static void say_what_there_is(const Training *training)
{
    const DatasetCounts *c = &training->dataset.counts, *e = &training->dataset.eval_counts;
    const Session *s = &training->session;
    if (s->options.quiet) return;
    fprintf(stderr,
            "%lld rows: %lld to train on (%lld prompts), %lld held out, %lld left alone, %lld "
            "without judgment, %lld refused, %lld cut to %d tokens\n",
            (long long)(c->lines + e->lines), (long long)c->trained,
            (long long)store_elements(training->dataset.train),
            (long long)(c->held_out + e->held_out), (long long)(c->left_alone + c->seen + e->seen),
            (long long)(c->unsaid + c->without_text), (long long)(c->refused + e->refused),
            (long long)(c->cut + e->cut), s->tokens.max_length);
    fprintf(stderr, "%s, %s, template %s, learning rate %g, %lld steps of %lld prompts\n",
            s->ops->name, s->dtype == DTYPE_BF16 ? "bf16" : "fp32", template_name(s->tokens.chat),
            training->learning_rate, (long long)training->steps,
            (long long)training->elements_a_step);
}

static bool open_log(Training *training)
{
    Session *s = &training->session;
    if (!train_writes(training)) return true;
    training->log = fopen(train_out_file(training, TRAIN_LOG), training->resumed ? "ae" : "we");
    return training->log ||
           err_set(&s->err, &s->arena, ERR_unavailable, NULL, "cannot write %s: %s",
                   train_out_file(training, TRAIN_LOG), strerror(errno));
}

static bool prepare(Training *training)
{
    Session *s = &training->session;
    bool reads = training->resumed && train_writes(training);
    if (!session_open_hub(s, s->options.init[0] ? NULL : s->options.base)) return false;
    hub_hash(&s->hub);
    if (!train_load_data(training) || (reads && !checkpoint_same_data(training)) ||
        !plan(training) || !open_model(training) ||
        (s->options.mode == MODE_HEAD && !open_features(training)) ||
        (reads && !checkpoint_load(training)) || !train_share_weights(training) ||
        !open_log(training))
        return false;
    pack_init(&training->pack, &training->rules);
    say_what_there_is(training);
    if (training->resumed && !s->options.quiet)
        fprintf(stderr, "going on after step %lld\n", (long long)training->state.step);
    return true;
}

static int run(Training *training)
{
    Session *s = &training->session;
    bool finished = false;
    session_catch_signals();
    if (!train_join(training) || !train_make_out(training)) return session_fail(s);
    bool looked = !train_writes(training) || train_look_at_out(training, &finished);
    if (!train_share_start(training, looked, &finished)) return session_fail(s);
    if (finished && train_writes(training))
        fprintf(stderr, "the run in %s is finished: there is nothing to go on with\n",
                s->options.out);
    if (finished) return STATUS_DONE;
    if (!prepare(training)) return session_fail(s);
    bool ran = run_steps(training);
    if (!ran || !train_finish(training)) {
        (void)session_fail(s);
        bool told = !ran && session_interrupted; /* interrupted() has */
        if (!told && train_writes(training)) train_say_what_is_kept(training);
        return STATUS_FAILED;
    }
    int64_t refused = training->dataset.counts.refused + training->dataset.eval_counts.refused;
    return refused ? STATUS_SOME_REFUSED : STATUS_DONE;
}

int train_command(int argc, char **argv)
{
    int status;
    Training *training = calloc(1, sizeof *training);
    if (!training) return STATUS_FAILED;
    Session *s = &training->session;
    const char *usage = "aileron-rm train --base DIR --out DIR (--data FILE... | --database URL "
                        "--project SLUG [--snapshot NAME]) [options]";
    if (session_begin(s, FOR_TRAIN, usage, argc, argv, &status)) {
        arena_init(&training->scratch, SCRATCH_MAX);
        training->state.best_loss = (double)INFINITY;
        training->state.last_accuracy = (double)NAN;
        training->out_lock = -1;
        status = check_options(training);
        if (status == STATUS_DONE) status = run(training);
        if (training->log) fclose(training->log);
        parallel_leave(training->parallel, status == STATUS_FAILED ? s->err.detail : NULL);
        feed_close(training->feed);
        pack_release(&training->pack);
        features_close(training->features);
        dataset_close(&training->dataset);
        arena_release(&training->scratch);
        if (training->out_lock >= 0) close(training->out_lock);
        status = session_end(s, status);
    }
    free(training);
    return status;
}
