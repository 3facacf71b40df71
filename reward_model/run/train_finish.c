/* train_finish.c - what a run leaves behind: the best weights as a directory others load, whether
 * they score the same token, a report, and the learning curve. See train.h. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "../../server/base/clock.h"
#include "../../server/base/json.h"
#include "train.h"

enum {
    TRAIN_SAMPLE_ELEMENTS = 512, /* for accuracy, mean and deviation on training data */
    CHECKED_SEQUENCES = 64,
};

typedef struct Finish {
    QualityResult train, heldout;
    bool has_heldout;
    HubExport export;
    int32_t checked, apart; /* sequences, and those whose last token not every rule scores */
    const char *why;        /* of the first of these */
} Finish;

static const char *out_path(Training *training, const char *name)
{
    Session *s = &training->session;
    Str path = arena_printf(&s->arena, "%s/%s", s->options.out, name);
    return path.ptr ? path.ptr : "";
}

/* ---- measuring ---- */

static bool measure(Training *training, Finish *finish)
{
    Quality metrics;
    quality_init(&metrics);
    finish->has_heldout = store_elements(training->dataset.heldout) > 0;
    bool ok = !finish->has_heldout || train_measure(training, STORE_HELDOUT, 0, &metrics);
    double temperature = quality_temperature(&metrics);
    quality_result(&metrics, temperature, &finish->heldout);
    quality_release(&metrics);
    ok = ok && train_measure(training, STORE_TRAIN, TRAIN_SAMPLE_ELEMENTS, &metrics);
    quality_result(&metrics, temperature, &finish->train);
    quality_release(&metrics);
    return ok;
}

/* ---- the directory ---- */

static void put_losses(Buf *out, const Training *training)
{
    static const char *const ties[] = {"half", "davidson", "rao-kupper", "drop"};
    const LossOptions *loss = &training->rules.loss;
    buf_put_format(out, "{\"ties\":\"%s\"", ties[loss->ties]);
    if (loss->ties == TIES_DAVIDSON || loss->ties == TIES_RAO_KUPPER) {
        buf_put_text(out, loss->ties == TIES_DAVIDSON ? ",\"nu\":" : ",\"theta\":");
        json_put_real(out, loss_tie_parameter(&training->losses, loss->ties));
    }
    if (loss->noise) {
        buf_put_format(out, ",\"noise_estimated\":%s,\"noise\":",
                       loss->estimate_noise ? "true" : "false");
        json_put_real(out, loss_noise(&training->losses));
    }
    buf_put_text(out, ",\"label_biases\":{");
    for (int i = 0; i < training->dataset.labels.count; i++) {
        if (i) buf_put_char(out, ',');
        json_put_key(out, training->dataset.labels.names[i]);
        json_put_real(out, training->losses.value[LOSS_PARAMETER_BIAS + i]);
    }
    buf_put_text(out, "}}");
}

/* What goes into config.json: nothing that differs between two runs with the same seed. */
static const char *config_block(Training *training, const Finish *finish)
{
    Session *s = &training->session;
    Buf out;
    buf_init(&out, MiB(1));
    buf_put_format(
        &out,
        "{\"version\":\"" AILERON_RM_VERSION "\",\"template\":\"%s\",\"append_eos\":%s,"
        "\"max_length\":%d,\"heads\":%d,\"data\":\"%s\",\"base\":\"%s\",\"temperature\":",
        template_name(s->tokens.chat), finish->export.append_eos ? "true" : "false",
        s->tokens.max_length, training->rules.heads, training->dataset.origin.hash, s->hub.hash);
    json_put_real(&out, finish->heldout.temperature);
    buf_put_text(&out, ",\"losses\":");
    put_losses(&out, training);
    buf_put_char(&out, '}');
    Str text = buf_ok(&out) ? arena_copy(&s->arena, buf_str(&out)) : (Str){NULL, 0};
    buf_release(&out);
    return text.ptr;
}

typedef bool (*SeeSequence)(Training *training, const Sequence *sequence, void *to);

/* All sequences of a store, until `see` says it has seen enough. */
static void each_sequence(Training *training, const Store *store, SeeSequence see, void *to)
{
    StoredRow rows[ELEMENT_ROWS_MAX];
    int64_t elements = store_elements(store);
    for (int64_t e = 0; e < elements; e++) {
        int found = store_element(store, e, rows);
        for (int i = 0; i < found; i++)
            for (int32_t a = 0; a < rows[i].answers; a++)
                if (!see(training, &rows[i].sequences[a], to)) return;
    }
}

static bool mark_used(Training *training, const Sequence *sequence, void *used)
{
    (void)training;
    for (int32_t i = 0; i < sequence->length; i++) ((bool *)used)[sequence->ids[i]] = true;
    return true;
}

/* The text of a row may hold any special token: one that none holds is free to pad. */
static bool choose_pad(Training *training, Finish *finish)
{
    Session *s = &training->session;
    bool *used = calloc((size_t)s->hub.config.vocabulary, sizeof *used);
    if (!used) return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    each_sequence(training, training->dataset.train, mark_used, used);
    each_sequence(training, training->dataset.heldout, mark_used, used);
    bool ok = hub_pad_id(&s->hub, used, &finish->export.pad_id, &s->arena, &s->err);
    free(used);
    return ok;
}

static bool check_sequence(Training *training, const Sequence *sequence, void *to)
{
    Session *s = &training->session;
    Finish *finish = to;
    Err why = {0};
    if (!hub_check_last_token(&s->hub, &finish->export, sequence, 1, &s->arena, &why) &&
        finish->apart++ == 0)
        finish->why = why.detail;
    return ++finish->checked < CHECKED_SEQUENCES;
}

/* Where every token that could pad is in the texts (of GPT-2, EOS itself), no export could have all
 * rules agree on them: that is said, and the run is not lost for it. */
static void check_last_token(Training *training, Finish *finish)
{
    each_sequence(training, training->dataset.train, check_sequence, finish);
    if (finish->apart > 0)
        fprintf(stderr,
                "aileron-rm: warning: %d of %d training texts hold what pads, themselves; others "
                "score them elsewhere than here (of the first, %s)\n",
                finish->apart, finish->checked, finish->why);
}

static bool export_model(Training *training, Finish *finish)
{
    Session *s = &training->session;
    int save = s->options.save_dtype;
    bool half = save == DTYPE_CHOICE_BF16 || (save == DTYPE_CHOICE_AUTO && s->dtype == DTYPE_BF16);
    if (training->features) {
        size_t count;
        model_heads_set(s->model, features_state(training->features, 0, &count));
        model_refresh(s->model);
    }
    finish->export = (HubExport){.chat = s->tokens.chat,
                                 .append_eos = s->tokens.eos_id >= 0,
                                 .mean = finish->train.mean,
                                 .deviation = finish->train.deviation,
                                 .type = half ? TENSOR_BF16 : TENSOR_F32};
    if (!choose_pad(training, finish)) return false;
    finish->export.report_key = config_block(training, finish);
    if (!finish->export.report_key)
        return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    if (!hashes_write(training->dataset.trained, out_path(training, HASHES_FILE), &s->arena,
                      &s->err) ||
        !hub_export(&s->hub, s->model, s->options.out, &finish->export, &s->arena, &s->err))
        return false;
    check_last_token(training, finish);
    return true;
}

/* ---- the report ---- */

static void put_data(Buf *out, const Training *training)
{
    const Options *o = &training->session.options;
    const Dataset *dataset = &training->dataset;
    buf_put_text(out, ",\"data\":{\"origin\":");
    dataset_write_origin(out, o, &o->data, &dataset->origin);
    buf_put_char(out, ',');
    dataset_write_counts(out, &dataset->counts);
    buf_put_format(out, ",\"prompts\":%lld}", (long long)store_elements(dataset->train));
    if (o->eval.count == 0) return;
    buf_put_text(out, ",\"eval_data\":{\"origin\":");
    dataset_write_origin(out, o, &o->eval, &dataset->eval_origin);
    buf_put_char(out, ',');
    dataset_write_counts(out, &dataset->eval_counts);
    buf_put_format(out, ",\"trained_rows_allowed\":%s}", dataset->leaked ? "true" : "false");
}

static void put_speed(Buf *out, const Training *training)
{
    const TrainState *state = &training->state;
    double seconds = state->seconds > 0 ? state->seconds : 1e-9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    ModelUse use = model_use(training->session.model);
    buf_put_format(out,
                   ",\"speed\":{\"seconds\":%.3f,\"pairs\":%lld,\"tokens\":%lld,"
                   "\"tokens_computed\":%lld,\"pairs_per_second\":%.3f,\"tokens_per_second\":",
                   state->seconds, (long long)state->pairs, (long long)state->tokens,
                   (long long)state->computed_tokens, (double)state->pairs / seconds);
    /* heads on cached features compute no tokens */
    json_put_real(out, training->features ? (double)NAN : (double)state->tokens / seconds);
    int64_t computed = training->features ? features_computed(training->features) : 0;
    buf_put_format(out,
                   ",\"features_computed\":%lld,\"features_cached\":%s},"
                   "\"memory\":{\"model_bytes_peak\":%zu,\"resident_bytes_peak\":%lld}",
                   (long long)computed, training->features && computed == 0 ? "true" : "false",
                   use.bytes_peak, (long long)usage.ru_maxrss * 1024);
}

static void put_metrics(Buf *out, const char *key, const QualityResult *result)
{
    buf_put_char(out, ',');
    json_put_key(out, key);
    buf_put_char(out, '{');
    quality_write(out, result);
    buf_put_char(out, '}');
}

static void put_report(Buf *out, Training *training, const Finish *finish)
{
    Session *s = &training->session;
    const TrainState *state = &training->state;
    char build[65], at[CLOCK_TEXT_CHARS];
    session_build_id(build);
    clock_write(at, clock_unix_ms() * 1000);
    buf_put_format(
        out,
        "{\"version\":\"" AILERON_RM_VERSION "\",\"build\":\"%s\",\"finished_at\":\"%s\","
        "\"steps\":%lld,\"steps_planned\":%lld,\"best_step\":%lld,\"stopped_early\":%s,"
        "\"resumed\":%s,\"processes\":%d,\"recompute\":%d,\"device\":\"%s\",\"dtype\":\"%s\"",
        build, at, (long long)state->step, (long long)training->steps,
        (long long)(isfinite(state->best_loss) ? state->best_step : state->step),
        state->stopped_early ? "true" : "false", training->resumed ? "true" : "false",
        parallel_world(training->parallel), training->recompute, s->ops->name,
        s->dtype == DTYPE_BF16 ? "bf16" : "fp32");
    buf_put_text(out, ",\"options\":");
    options_write(out, &s->options, FOR_TRAIN);
    buf_put_text(out, ",\"base\":{\"directory\":");
    json_put_text(out, str_from(s->hub.directory));
    buf_put_format(out,
                   ",\"hash\":\"%s\",\"parameters\":%lld},\"template\":\"%s\",\"learning_rate\":",
                   s->hub.hash, (long long)model_config_parameters(&s->hub.config),
                   template_name(s->tokens.chat));
    json_put_real(out, training->learning_rate);
    put_data(out, training);
    put_metrics(out, "train", &finish->train);
    if (finish->has_heldout) put_metrics(out, "heldout", &finish->heldout);
    buf_put_text(out, ",\"temperature\":");
    json_put_real(out, finish->heldout.temperature);
    buf_put_text(out, ",\"losses\":");
    put_losses(out, training);
    buf_put_format(out, ",\"last_token\":{\"pad_id\":%d,\"checked\":%d,\"apart\":%d}",
                   finish->export.pad_id, finish->checked, finish->apart);
    put_speed(out, training);
    buf_put_text(out, "}\n");
}

static void print_result(const Training *training, const Finish *finish)
{
    const Session *s = &training->session;
    const QualityResult *held = &finish->heldout;
    if (s->options.json) return;
    printf("%lld steps", (long long)training->state.step);
    if (finish->train.pairs) printf(", training accuracy %.3f", finish->train.accuracy);
    if (finish->has_heldout && held->pairs)
        printf("; held out: accuracy %.3f (95 %%: %.3f to %.3f, %lld pairs), log-loss %.4f, "
               "length-only %.3f",
               held->accuracy, held->lower, held->upper, (long long)held->pairs, held->log_loss,
               held->length_accuracy);
    printf("\nmodel and report in %s\n", s->options.out);
}

static bool write_all(Training *training, Finish *finish)
{
    Session *s = &training->session;
    if (!export_model(training, finish)) return false;
    Buf out;
    buf_init(&out, MiB(4));
    put_report(&out, training, finish);
    bool ok = plot_write(out_path(training, TRAIN_LOG), out_path(training, "learning_curve.svg"),
                         &s->arena, &s->err) &&
              session_write_file(out_path(training, TRAIN_REPORT), &out, &s->arena, &s->err);
    if (ok && s->options.json) fwrite(out.data, 1, out.len, stdout);
    buf_release(&out);
    if (!ok) return false;
    checkpoint_remove_all(training);
    print_result(training, finish);
    return true;
}

bool train_finish(Training *training)
{
    Session *s = &training->session;
    Finish finish = {.has_heldout = false};
    bool back =
        isfinite(training->state.best_loss) && training->state.best_step != training->state.step;
    if (back && train_writes(training) && !checkpoint_load_best(training)) return false;
    if ((back && !train_share_weights(training)) || !measure(training, &finish)) return false;
    if (train_writes(training) && !write_all(training, &finish)) return false;
    /* the others wait until all is written, or end with rank 0 */
    return parallel_agree(training->parallel, NULL, &s->arena, &s->err);
}
