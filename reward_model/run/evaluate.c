/* evaluate.c - `aileron-rm eval`: scores rows that the model was not trained on, and says how good
 * it is: accuracy, log-loss, calibration, against the simple baselines, and slice by slice. */
#include <math.h>
#include <stdlib.h>

#include "../../server/base/json.h"
#include "commands.h"
#include "dataset.h"
#include "labels.h"
#include "session.h"

enum { BATCH_ARENA_MAX = 1 << 29, PATH_BYTES = 4096, CONFIG_MAX = 1 << 24, TAGS_KEPT = 64 };

typedef struct EvaluatedRow { /* what slices need of a row, until it is scored */
    const Said *said;
    Str models[ROW_COMPLETIONS_MAX];
    const Str *tags;
    int tag_count;
} EvaluatedRow;

typedef struct Evaluation {
    Session session;
    ExampleReader reader;
    PackRules rules;
    Pack pack;
    Arena batch; /* of the rows that wait to be scored */
    EvaluatedRow *waiting;
    int waiting_room;
    Hashes *trained; /* NULL: the model does not say */
    DatasetCounts counts;
    SourceOrigin origin;
    Quality metrics;
    Slices slices;
    LabelScores labels;
    bool leaked;
    double temperature;
} Evaluation;

/* ---- scoring what waits ---- */

static void add_slices(Evaluation *e, const EvaluatedRow *row, const Said *said, int better,
                       int other, double difference, uint64_t group)
{
    static const char *const strengths[] = {NULL, "1", "2", "3"};
    Slices *slices = &e->slices;
    if (said->source.ptr) slices_add(slices, "source", said->source, difference, group);
    if (said->annotator.ptr) slices_add(slices, "annotator", said->annotator, difference, group);
    if (said->opinion.strength)
        slices_add(slices, "strength", str_from(strengths[said->opinion.strength]), difference,
                   group);
    if (row->models[better].ptr)
        slices_add(slices, "model", row->models[better], difference, group);
    if (row->models[other].ptr && !str_equal(row->models[better], row->models[other]))
        slices_add(slices, "model", row->models[other], difference, group);
    for (int i = 0; i < row->tag_count; i++)
        slices_add(slices, "tag", row->tags[i], difference, group);
}

static void slice_row(Evaluation *e, int32_t index)
{
    const EvaluatedRow *row = &e->waiting[index];
    const PackRow *packed = &e->pack.rows[index];
    for (int32_t i = 0; i < packed->row.opinions; i++) {
        const Said *said = &row->said[i];
        const Opinion *o = &said->opinion;
        if (o->kind == LOSS_LABEL) {
            double score = pack_score(&e->pack, packed->sequence[o->members[0]]);
            label_scores_add(&e->labels, &(LabelScore){score, o->label, o->target > 0.5f});
            continue;
        }
        for (int a = 0; a < o->count; a++)
            for (int b = 0; b < o->count; b++) {
                if (o->ranks[a] >= o->ranks[b]) continue;
                int better = o->members[a], other = o->members[b];
                double difference = pack_score(&e->pack, packed->sequence[better]) -
                                    pack_score(&e->pack, packed->sequence[other]);
                add_slices(e, row, said, better, other, difference, packed->row.group_hash);
            }
    }
}

static bool score_waiting(Evaluation *e, Arena *arena, Err *err)
{
    if (e->pack.row_count == 0) return true;
    if (!pack_build(&e->pack, true, arena, err) ||
        !model_forward(e->session.model, &e->pack.batch, false, e->pack.scores, arena, err))
        return false;
    pack_measure(&e->pack, &e->metrics);
    for (int32_t i = 0; i < e->pack.row_count; i++) slice_row(e, i);
    pack_clear(&e->pack);
    arena_reset(&e->batch);
    return true;
}

/* ---- rows ---- */

static bool wants(void *context, const Example *example, DatasetCounts *counts)
{
    const Evaluation *e = context;
    static const int from[] = {0, 0, SPLIT_TRAIN_END, SPLIT_VALIDATION_END, SPLIT_TRAIN_END};
    static const int end[] = {SPLIT_BUCKETS, SPLIT_TRAIN_END, SPLIT_VALIDATION_END, SPLIT_BUCKETS,
                              SPLIT_BUCKETS};
    int split = e->session.options.split;
    bool inside = example->bucket >= from[split] && example->bucket < end[split];
    counts->left_alone += !inside;
    counts->unsaid += inside && example->said_count == 0;
    return inside && example->said_count > 0;
}

static void *copy(Arena *arena, const void *from, size_t bytes)
{
    void *to = arena_alloc(arena, bytes + 1);
    if (to && bytes) memcpy(to, from, bytes);
    return to;
}

static Str keep(Arena *arena, Str text)
{
    return text.ptr ? arena_copy(arena, text) : text;
}

/* The row and all that slices ask, into the batch's arena: the reader forgets it. */
static bool keep_row(Evaluation *e, const Example *example, StoredRow *row, EvaluatedRow *out)
{
    Arena *a = &e->batch;
    size_t said = (size_t)example->said_count, tags = (size_t)example->tag_count;
    Said *all = copy(a, example->said, said * sizeof *all);
    Str *names = copy(a, example->tags, tags * sizeof *names);
    row->said = copy(a, row->said, (size_t)row->opinions * sizeof *row->said);
    bool ok = all && names && row->said;
    for (size_t i = 0; ok && i < said; i++) {
        all[i].source = keep(a, all[i].source);
        all[i].annotator = keep(a, all[i].annotator);
    }
    for (size_t i = 0; ok && i < tags; i++) names[i] = keep(a, names[i]);
    for (int i = 0; ok && i < example->answers; i++) {
        Sequence *sequence = &row->sequences[i];
        out->models[i] = keep(a, example->models[i]);
        sequence->ids = copy(a, sequence->ids, (size_t)sequence->length * sizeof *sequence->ids);
        ok = sequence->ids != NULL;
    }
    out->said = all;
    out->tags = names;
    out->tag_count = example->tag_count;
    return ok;
}

/* Rows that were trained on: an error, left out, or evaluated all the same. False: stop. */
static bool check_trained(Evaluation *e, const SourceLine *line, const StoredRow *row, bool *skip,
                          Arena *arena, Err *err)
{
    const Options *o = &e->session.options;
    *skip = false;
    if (!e->trained || !dataset_was_trained(e->trained, row)) return true;
    if (!o->allow_train_rows && !o->skip_train_rows)
        return err_set(err, arena, ERR_conflict, NULL,
                       "%s:%lld: the model was trained on this row's group, prompt or text; "
                       "--skip-train-rows leaves such rows out, --split heldout keeps to the rows "
                       "that training leaves alone, --allow-train-rows evaluates all the same",
                       line->file, (long long)line->number);
    *skip = o->skip_train_rows;
    e->counts.seen += *skip;
    e->leaked = e->leaked || !*skip;
    return true;
}

static bool take(void *context, const SourceLine *line, const Example *example,
                 const StoredRow *given, Arena *arena, Err *err)
{
    Evaluation *e = context;
    StoredRow row = *given;
    bool skip;
    if (!check_trained(e, line, &row, &skip, arena, err)) return false;
    if (skip) return true;
    e->counts.held_out++;
    if (e->pack.row_count == e->waiting_room) {
        int room = e->waiting_room ? 2 * e->waiting_room : 64;
        EvaluatedRow *grown = realloc(e->waiting, (size_t)room * sizeof *grown);
        if (!grown) return err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        e->waiting = grown;
        e->waiting_room = room;
    }
    if (!keep_row(e, example, &row, &e->waiting[e->pack.row_count]))
        return err_set(err, arena, ERR_unavailable, NULL, "out of memory for a batch");
    if (!pack_add_row(&e->pack, &row, arena, err)) return false;
    bool full = e->pack.packed_rows >= e->session.micro_rows || e->batch.used > BATCH_ARENA_MAX / 2;
    return !full || score_waiting(e, arena, err);
}

/* ---- results ---- */

static void write_result(Evaluation *e, const QualityResult *result, Buf *out)
{
    const Options *o = &e->session.options;
    static const char *const combines[] = {"mean", "min", "uwo"};
    buf_put_text(out, "{\"model\":");
    json_put_text(out, str_from(o->model));
    buf_put_format(out, ",\"heads\":%d,\"combine\":\"%s\",\"data\":{\"origin\":", e->rules.heads,
                   combines[o->combine]);
    dataset_write_origin(out, o, &o->data, &e->origin);
    buf_put_char(out, ',');
    dataset_write_counts(out, &e->counts);
    buf_put_format(out, "},\"training_data_known\":%s,\"trained_rows_evaluated\":%s,",
                   e->trained ? "true" : "false", e->leaked ? "true" : "false");
    quality_write(out, result);
    buf_put_text(out, ",\"labels\":");
    label_scores_write(out, &e->labels, &e->reader.labels);
    buf_put_text(out, ",\"slices\":");
    slices_write(out, &e->slices);
    buf_put_format(out, ",\"slices_left_out\":%lld}\n", (long long)e->slices.left_out);
}

static void print_result(Evaluation *e, const QualityResult *r)
{
    const DatasetCounts *c = &e->counts;
    printf("%lld rows: %lld evaluated, %lld of other splits, %lld without judgment, %lld refused, "
           "%lld cut, %lld left out because they were trained on\n",
           (long long)c->lines, (long long)c->held_out, (long long)c->left_alone,
           (long long)(c->unsaid + c->without_text), (long long)c->refused, (long long)c->cut,
           (long long)c->seen);
    if (!e->trained) printf("The model does not say what it was trained on.\n");
    if (e->leaked) printf("ROWS THAT THE MODEL WAS TRAINED ON ARE AMONG THEM.\n");
    if (r->pairs == 0) {
        printf("no pair of which one is preferred; %lld ties\n", (long long)r->ties);
        label_scores_print(&e->labels, &e->reader.labels);
        return;
    }
    printf("accuracy        %.4f  (95 %%: %.4f to %.4f; %lld pairs, %lld groups)\n", r->accuracy,
           r->lower, r->upper, (long long)r->pairs, (long long)r->groups);
    printf("  length only   %.4f  (the %s answer)\n", r->length_accuracy,
           r->longer ? "longer" : "shorter");
    printf("  majority      %.4f\n", r->majority_accuracy);
    if (r->matched_pairs)
        printf("  same length   %.4f  (%lld pairs within a tenth)\n", r->matched_accuracy,
               (long long)r->matched_pairs);
    printf("log-loss        %.4f  (%.4f at temperature %.3f)\n", r->log_loss, r->log_loss_tempered,
           r->temperature);
    printf("Brier score     %.4f\n", r->brier);
    printf("calibration     %.4f  (%.4f at that temperature), 15 bins\n", r->calibration_error,
           r->calibration_error_tempered);
    if (isfinite(r->length_correlation))
        printf("score, length   %.4f  (correlation)\n", r->length_correlation);
    printf("ties aside      %lld\n", (long long)r->ties);
    label_scores_print(&e->labels, &e->reader.labels);
    slices_print(&e->slices);
}

/* "aileron": {"temperature"} of the exported config.json; 1 where there is none. */
static double exported_temperature(Session *s)
{
    char path[PATH_BYTES];
    Err unused = {0};
    double temperature = 1;
    snprintf(path, sizeof path, "%s/config.json", s->options.model);
    FILE *file = fopen(path, "re");
    char *text = malloc(CONFIG_MAX);
    size_t count = file && text ? fread(text, 1, CONFIG_MAX, file) : 0;
    json_t *config = count ? json_parse((Str){text, count}, &s->arena, &unused) : NULL;
    const json_t *value = json_object_get(json_object_get(config, "aileron"), "temperature");
    if (json_is_number(value) && json_number_value(value) > 0)
        temperature = json_number_value(value);
    json_decref(config);
    free(text);
    if (file) fclose(file);
    return temperature;
}

/* ---- the command ---- */

static bool open_trained(Evaluation *e)
{
    Session *s = &e->session;
    Str path = arena_printf(&s->arena, "%s/" HASHES_FILE, s->options.model);
    if (!path.ptr) return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    e->trained = hashes_open(path.ptr, &s->arena, &s->err);
    if (e->trained || s->err.code == ERR_not_found) {
        s->err = (Err){0};
        return true;
    }
    return false;
}

static bool evaluate(Evaluation *e)
{
    Session *s = &e->session;
    const Options *o = &s->options;
    if (!session_open_scorer(s) || !open_trained(e)) return false;
    e->rules.heads = model_heads(s->model);
    e->rules.share = o->share;
    e->rules.combine = (PackCombine)o->combine;
    e->rules.lambda = o->lambda;
    pack_init(&e->pack, &e->rules);
    if (!slices_init(&e->slices))
        return err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
    DatasetScan scan = {.source = dataset_source(o, &o->data, SOURCE_NO_BOUNDARY),
                        .tokens = &s->tokens,
                        .limit = o->limit,
                        .quiet = o->quiet,
                        .reader = &e->reader,
                        .wants = wants,
                        .take = take,
                        .context = e};
    if (!dataset_scan(&scan, &e->counts, &e->origin, &s->arena, &s->err) ||
        !score_waiting(e, &s->arena, &s->err))
        return false;
    const DatasetCounts *c = &e->counts;
    if (c->held_out == 0)
        return err_set(&s->err, &s->arena, ERR_invalid, NULL,
                       "there is nothing to evaluate: of %lld rows %lld are refused, %lld have no "
                       "judgment or text, %lld are in other splits, and %lld were trained on",
                       (long long)c->lines, (long long)c->refused,
                       (long long)(c->unsaid + c->without_text), (long long)c->left_alone,
                       (long long)c->seen);
    return !(e->metrics.failed || e->labels.failed || e->slices.failed) ||
           err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
}

static int run(Evaluation *e)
{
    Session *s = &e->session;
    const Options *o = &s->options;
    if (!o->model[0]) return session_misuse(s, "--model is missing");
    int misuse = session_check_sources(s);
    if (misuse) return misuse;
    session_catch_signals();
    if (!evaluate(e)) return session_fail(s);
    QualityResult result;
    quality_result(&e->metrics, exported_temperature(s), &result);
    slices_sort(&e->slices);
    if (o->json) {
        Buf out;
        buf_init(&out, MiB(64));
        write_result(e, &result, &out);
        bool whole = buf_ok(&out) && fwrite(out.data, 1, out.len, stdout) == out.len;
        buf_release(&out);
        if (!whole) return STATUS_FAILED;
    } else {
        print_result(e, &result);
    }
    return e->counts.refused ? STATUS_SOME_REFUSED : STATUS_DONE;
}

int evaluate_command(int argc, char **argv)
{
    int status;
    Evaluation *e = calloc(1, sizeof *e);
    if (!e) return STATUS_FAILED;
    const char *usage = "aileron-rm eval --model DIR (--data FILE... | --database URL --project "
                        "SLUG [--snapshot NAME]) [options]";
    if (session_begin(&e->session, FOR_EVAL, usage, argc, argv, &status)) {
        example_reader_init(&e->reader);
        arena_init(&e->batch, BATCH_ARENA_MAX);
        quality_init(&e->metrics);
        status = run(e);
        pack_release(&e->pack);
        hashes_close(e->trained);
        quality_release(&e->metrics);
        slices_release(&e->slices);
        label_scores_release(&e->labels);
        arena_release(&e->batch);
        example_reader_release(&e->reader);
        free(e->waiting);
        status = session_end(&e->session, status);
    }
    free(e);
    return status;
}
