/* transfer_export.c - what an export is asked for, and the rows it is made of. See transfer.h. */
#include "transfer.h"

#include "../base/clock.h"

enum { MIN_JUDGMENTS_MAX = ROW_JUDGMENTS_MAX };

#define LIMIT_MAX 1000000000000

/* ---- the ask ---- */

static bool refuse(Arena *arena, Err *err, const char *pointer, const char *message)
{
    return err_set(err, arena, ERR_invalid, pointer, "%s", message);
}

static bool read_count(Str text, int64_t min, int64_t max, int64_t *out)
{
    int64_t value = 0;
    if (text.len == 0 || text.len > 12)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = value;
    return value >= min && value <= max;
}

static bool read_flag(Str text, bool *out)
{
    if (!text.ptr)
        return true;
    *out = str_is(text, "true") || str_is(text, "1");
    return *out || str_is(text, "false") || str_is(text, "0");
}

/* A time, or a date, which begins at midnight UTC. */
static bool read_since(Str text, int64_t *out)
{
    char moment[CLOCK_TEXT_CHARS];
    if (text.len != strlen("2026-11-21"))
        return clock_read(text, out);
    memcpy(moment, text.ptr, text.len);
    memcpy(moment + text.len, "T00:00:00Z", sizeof "T00:00:00Z");
    return clock_read(str_from(moment), out);
}

static bool plan_format(const ExportAsk *ask, ExportPlan *plan, Arena *arena, Err *err)
{
    ExporterOptions *options = &plan->options;
    options->format = format_find(ask->format.ptr ? ask->format : STR("aileron"));
    const Format *f = options->format;
    if (!f || (!f->write_row && !f->write_pair && !f->write_label))
        return refuse(arena, err, "?format",
                      "must be aileron, trl-preference, trl-implicit, trl-unpaired or hh");
    if (ask->text.ptr && !str_is(ask->text, "plain") && !str_is(ask->text, "messages"))
        return refuse(arena, err, "?text", "must be plain or messages");
    options->plain = str_is(ask->text, "plain");
    if (ask->ties.ptr && !str_is(ask->ties, "keep") && !str_is(ask->ties, "drop"))
        return refuse(arena, err, "?ties", "must be keep or drop");
    options->keep_ties = ask->ties.ptr ? str_is(ask->ties, "keep") : f->write_row != NULL;
    if (str_is(ask->aggregate, "majority"))
        options->aggregate = AGGREGATE_MAJORITY;
    else if (str_is(ask->aggregate, "model"))
        options->aggregate = AGGREGATE_MODEL;
    else if (ask->aggregate.ptr && !str_is(ask->aggregate, "each"))
        return refuse(arena, err, "?aggregate", "must be each, majority or model");
    if (!read_flag(ask->identify, &options->identify))
        return refuse(arena, err, "?identify", "must be true or false");
    if (!read_flag(ask->margin, &options->margin))
        return refuse(arena, err, "?margin", "must be true or false");
    if (ask->limit.ptr && !read_count(ask->limit, 1, LIMIT_MAX, &options->limit))
        return refuse(arena, err, "?limit", "must be a whole number from 1");
    return true;
}

static bool plan_split(const ExportAsk *ask, ExportPlan *plan, Arena *arena, Err *err)
{
    plan->bucket_end = SPLIT_BUCKETS;
    if (!ask->split.ptr)
        return true;
    if (str_is(ask->split, "train")) {
        plan->bucket_end = SPLIT_TRAIN_END;
    } else if (str_is(ask->split, "validation")) {
        plan->bucket_first = SPLIT_TRAIN_END;
        plan->bucket_end = SPLIT_VALIDATION_END;
    } else if (str_is(ask->split, "test")) {
        plan->bucket_first = SPLIT_VALIDATION_END;
    } else {
        return refuse(arena, err, "?split", "must be train, validation or test");
    }
    return true;
}

bool transfer_export_plan(const ExportAsk *ask, ExportPlan *plan, Arena *arena, Err *err)
{
    *plan = (ExportPlan){.tag = ask->tag, .source = "all", .snapshot = ask->snapshot};
    if (!plan_format(ask, plan, arena, err) || !plan_split(ask, plan, arena, err))
        return false;
    if (str_is(ask->source, "explicit"))
        plan->source = "explicit";
    else if (str_is(ask->source, "implicit"))
        plan->source = "implicit";
    else if (ask->source.ptr && !str_is(ask->source, "all"))
        return refuse(arena, err, "?source", "must be explicit, implicit or all");
    int64_t since_us;
    plan->rule = ask->rule;
    if (ask->rule.ptr && !transfer_snapshot_name(ask->rule))
        return refuse(arena, err, "?rule", "must be the name of a label rule");
    if (ask->since.ptr && !read_since(ask->since, &since_us))
        return refuse(arena, err, "?since", "must be a time like 2026-11-21T10:00:00Z or a date");
    if (ask->since.ptr)
        clock_write(plan->since, since_us);
    if (ask->min_judgments.ptr &&
        !read_count(ask->min_judgments, 0, MIN_JUDGMENTS_MAX, &plan->min_judgments))
        return refuse(arena, err, "?min_judgments", "must be a whole number from 0 to 10000");
    return true;
}

bool transfer_snapshot_name(Str name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";
    if (name.len == 0 || name.len > 100 || strchr("._-", name.ptr[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!name.ptr[i] || !strchr(allowed, name.ptr[i]))
            return false;
    return true;
}

static void put_filter(Buf *out, const char *name, Str value)
{
    if (!value.ptr)
        return;
    buf_put_char(out, out->len ? ',' : '{');
    json_put_key(out, name);
    json_put_text(out, value);
}

Str transfer_ask_write(const ExportAsk *ask, Arena *arena)
{
    Buf out;
    buf_init(&out, MiB(1));
#define X(member) put_filter(&out, #member, ask->member);
    EXPORT_ASKS(X)
#undef X
    if (out.len == 0)
        buf_put_char(&out, '{');
    buf_put_char(&out, '}');
    Str text = buf_ok(&out) ? arena_copy(arena, buf_str(&out)) : (Str){NULL, 0};
    buf_release(&out);
    return text;
}

bool transfer_snapshot_filters(Str filters, ExportAsk *ask, Arena *arena, Err *err)
{
    json_t *object = json_parse(filters, arena, err);
    const char *name;
    json_t *value;
    bool fits = json_is_object(object);
    json_object_foreach(object, name, value) {
        Str *place = NULL;
#define X(member)                                                                                  \
        if (strcmp(name, #member) == 0)                                                            \
            place = &ask->member;
        SNAPSHOT_FILTERS(X)
#undef X
        Str wanted = arena_copy(arena, json_str(value));
        if (!place || !wanted.ptr)
            continue;
        if (place->ptr && !str_equal(*place, wanted))
            fits = err_set(err, arena, ERR_invalid, arena_printf(arena, "?%s", name).ptr,
                           "the snapshot is limited to %s=" STR_FMT, name, STR_ARG(wanted));
        *place = wanted;
    }
    json_decref(object);
    return fits;
}

/* ---- the rows ---- */

bool transfer_export_pass(const ExportPlan *plan, ExportPass from, ExportPass *pass,
                          SqlId *statement, size_t *param_count)
{
    bool rules = strcmp(plan->source, "explicit") != 0 && !plan->tag.ptr &&
                 plan->min_judgments <= 1 && plan->options.aggregate == AGGREGATE_EACH;
    bool judged = !plan->rule.ptr;
    *pass = from == EXPORT_JUDGED && judged ? EXPORT_JUDGED : EXPORT_IMPLICIT;
    *statement = *pass == EXPORT_JUDGED ? SQL_export_rows : SQL_export_implicit;
    *param_count = *pass == EXPORT_JUDGED ? EXPORT_PARAMS : 6;
    return *pass == EXPORT_JUDGED || (from <= EXPORT_IMPLICIT && rules);
}

static void implicit_params(DbParam params[EXPORT_PARAMS], int64_t project_id,
                            const Uuid *principal, const ExportPlan *plan)
{
    /* a label is one completion: only formats that can say that get it, when it is asked for */
    const Format *format = plan->options.format;
    bool asked = strcmp(plan->source, "implicit") == 0;
    bool labels = asked && (format->write_row || format->write_label);
    params[0] = db_int(project_id);
    params[1] = principal ? db_uuid(*principal) : db_null();
    params[2] = plan->has_boundary ? db_int(plan->boundary) : db_null();
    params[3] = db_text(plan->rule);
    params[4] = plan->since[0] ? db_text(str_from(plan->since)) : db_null();
    params[5] = db_bool(!labels);
}

void transfer_export_params(DbParam params[EXPORT_PARAMS], ExportPass pass, int64_t project_id,
                            const Uuid *principal, const ExportPlan *plan)
{
    if (pass == EXPORT_IMPLICIT) {
        implicit_params(params, project_id, principal, plan);
        return;
    }
    bool whole = plan->options.format->write_row != NULL; /* a line a comparison */
    params[0] = db_int(project_id);
    params[1] = principal ? db_uuid(*principal) : db_null();
    params[2] = plan->has_boundary ? db_int(plan->boundary) : db_null();
    params[3] = db_int(plan->bucket_first);
    params[4] = db_int(plan->bucket_end);
    params[5] = db_text(plan->tag);
    params[6] = db_text(str_from(plan->source));
    params[7] = plan->since[0] ? db_text(str_from(plan->since)) : db_null();
    params[8] = db_int(plan->min_judgments > 0 || whole ? plan->min_judgments : 1);
    params[9] = db_bool(plan->options.identify);
    params[10] = whole && plan->options.limit ? db_int(plan->options.limit) : db_null();
}

/* The columns of export_rows, in its order. */
enum {
    COLUMN_KEY, COLUMN_MESSAGES, COLUMN_GROUP, COLUMN_TAGS, COLUMN_METADATA, COLUMN_GOLD,
    COLUMN_PRIORITY, COLUMN_MODELS, COLUMN_CONTENTS, COLUMN_COMPLETION_METADATA,
    COLUMN_ANNOTATORS, /* from here arrays with an element a judgment */
    COLUMN_NAMES, COLUMN_CHOICES, COLUMN_STRENGTHS, COLUMN_DETAILS, COLUMN_SHOWN,
    COLUMN_DURATIONS, COLUMN_SOURCES, COLUMN_TIMES, COLUMN_END,
    COLUMN_SPEAKER = COLUMN_END, /* of export_implicit */
};

static bool read_completions(const Rows *rows, Row *row)
{
    RowArray models, contents, metadata;
    if (!rows_array(rows, 0, COLUMN_MODELS, &models) ||
        !rows_array(rows, 0, COLUMN_CONTENTS, &contents) ||
        !rows_array(rows, 0, COLUMN_COMPLETION_METADATA, &metadata) ||
        contents.count > ROW_COMPLETIONS_MAX)
        return false;
    row->completion_count = contents.count;
    for (int i = 0; i < contents.count; i++) {
        RowCompletion *completion = &row->completions[i];
        if (!row_array_next(&models, &completion->model) ||
            !row_array_next(&contents, &completion->content) ||
            !row_array_next(&metadata, &completion->metadata))
            return false;
    }
    return true;
}

static bool read_tags(const Rows *rows, Row *row)
{
    RowArray tags;
    if (!rows_array(rows, 0, COLUMN_TAGS, &tags) || tags.count > ROW_TAGS_MAX)
        return false;
    row->tag_count = tags.count;
    for (int i = 0; i < tags.count; i++)
        if (!row_array_next(&tags, &row->tags[i]))
            return false;
    return true;
}

/* "{1,0}" -> shown */
static void read_shown(Str text, RowJudgment *judgment)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= '0' && text.ptr[i] <= '8' &&
            judgment->shown_count < ROW_COMPLETIONS_MAX)
            judgment->shown[judgment->shown_count++] = (int8_t)(text.ptr[i] - '0');
}

static bool read_judgment(RowArray columns[COLUMN_END], RowJudgment *judgment)
{
    Str value[COLUMN_END];
    for (int i = COLUMN_ANNOTATORS; i < COLUMN_END; i++)
        if (!row_array_next(&columns[i], &value[i]))
            return false;
    if (value[COLUMN_ANNOTATORS].len == sizeof judgment->annotator_id.bytes)
        memcpy(judgment->annotator_id.bytes, value[COLUMN_ANNOTATORS].ptr,
               sizeof judgment->annotator_id.bytes);
    judgment->annotator = value[COLUMN_NAMES];
    judgment->choice = value[COLUMN_CHOICES].ptr ? (int)row_element_int(value[COLUMN_CHOICES])
                                                 : CHOICE_NONE;
    judgment->strength = (int)row_element_int(value[COLUMN_STRENGTHS]);
    judgment->detail = value[COLUMN_DETAILS];
    read_shown(value[COLUMN_SHOWN], judgment);
    judgment->duration_ms = value[COLUMN_DURATIONS].ptr ? row_element_int(value[COLUMN_DURATIONS])
                                                        : -1;
    judgment->source = value[COLUMN_SOURCES];
    judgment->has_at = value[COLUMN_TIMES].ptr != NULL;
    judgment->at_us = judgment->has_at ? row_element_time(value[COLUMN_TIMES]) : 0;
    return judgment->choice >= CHOICE_NONE && judgment->choice < ROW_COMPLETIONS_MAX &&
           judgment->strength >= 0 && judgment->strength <= 3;
}

static bool read_judgments(const Rows *rows, Row *row, Arena *arena)
{
    RowArray columns[COLUMN_END];
    if (rows_is_null(rows, 0, COLUMN_ANNOTATORS))
        return true; /* nobody has judged it */
    for (int i = COLUMN_ANNOTATORS; i < COLUMN_END; i++)
        if (!rows_array(rows, 0, i, &columns[i]))
            return false;
    size_t count = (size_t)columns[COLUMN_ANNOTATORS].count;
    row->judgments = arena_alloc(arena, (count + 1) * sizeof *row->judgments);
    for (size_t i = 0; row->judgments && i < count; i++)
        if (!read_judgment(columns, &row->judgments[i]))
            return false;
    row->judgment_count = (int)count;
    return row->judgments != NULL;
}

/* The end user, under a pseudonym, is the group: one person's rows are never in two splits. */
static bool read_speaker(const Rows *rows, const ExportPlan *plan, Row *row, bool *wanted,
                         Arena *arena)
{
    char *name = arena_alloc(arena, CRYPTO_PSEUDONYM_CHARS + 1);
    if (!name)
        return false;
    annotator_pseudonym(name, rows_uuid(rows, 0, COLUMN_SPEAKER), (Str){NULL, 0},
                        plan->options.key);
    row->group = str_from(name);
    int bucket = group_bucket(row->group);
    *wanted = bucket >= plan->bucket_first && bucket < plan->bucket_end;
    return true;
}

bool transfer_export_row(const Rows *rows, ExportPass pass, const ExportPlan *plan, Row *row,
                         bool *wanted, Arena *arena)
{
    *row = (Row){0};
    *wanted = true;
    row->key = rows_text(rows, 0, COLUMN_KEY);
    row->prompt = rows_text(rows, 0, COLUMN_MESSAGES);
    row->group = rows_text(rows, 0, COLUMN_GROUP);
    row->metadata = rows_text(rows, 0, COLUMN_METADATA);
    row->gold = rows_text(rows, 0, COLUMN_GOLD);
    row->priority = (int)rows_int(rows, 0, COLUMN_PRIORITY);
    if (pass == EXPORT_IMPLICIT && !read_speaker(rows, plan, row, wanted, arena))
        return false;
    return read_completions(rows, row) && read_tags(rows, row) &&
           read_judgments(rows, row, arena);
}

/* ---- votes ---- */

bool transfer_vote_row(VoteReader *reader, const Rows *rows, Arena *arena)
{
    Verdict verdict;
    Uuid comparison = rows_uuid(rows, 0, 0), annotator = rows_uuid(rows, 0, 1);
    Str ranking = rows_text(rows, 0, 3);
    int count = (int)rows_int(rows, 0, 4);
    RowJudgment judgment = {
        .choice = rows_is_null(rows, 0, 2) ? CHOICE_NONE : (int)rows_int(rows, 0, 2),
        .detail = ranking.ptr ? arena_printf(arena, "{\"ranking\":" STR_FMT "}", STR_ARG(ranking))
                              : ranking};
    if (!reader->begun || memcmp(&comparison, &reader->comparison, sizeof comparison) != 0) {
        reader->begun = true;
        reader->comparison = comparison;
        memset(reader->known, 0, sizeof reader->known);
    }
    if (count > ROW_COMPLETIONS_MAX)
        return false;
    judgment_verdict(&judgment, count, false, &verdict, arena);
    for (int i = 0; i < verdict.pair_count; i++) {
        int a = verdict.pairs[i].chosen, b = verdict.pairs[i].rejected;
        int low = a < b ? a : b, high = a < b ? b : a;
        if (!reader->known[low][high] &&
            !reliability_pair(reader->reliability, &reader->pairs[low][high]))
            return false;
        reader->known[low][high] = true;
        if (!reliability_vote(reader->reliability, reader->pairs[low][high], annotator, a == low))
            return false;
    }
    return true;
}

double transfer_weight(void *reliability, const RowJudgment *judgment)
{
    return reliability_weight(reliability, judgment->annotator_id);
}
