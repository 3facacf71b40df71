/* judgment.c - PUT /leases/{id}/judgment, history and withdrawal. */
#include "api.h"

#include "../base/metrics.h"

enum { JUDGE_TRIES_MAX = 100 };

static const char *const choices[] = {"A", "B", "C", "D",   "E",        "F",
                                      "G", "H", "I", "tie", "both_bad", "cannot_judge",
                                      NULL};

static bool fail(Req *req, const char *pointer, const char *reason)
{
    reply_fail(req, ERR_invalid, pointer, "%s", reason);
    return false;
}

/* {"NAME":{"choice","strength"}}: shapes here, names and slots in the statement. */
static bool criteria_valid(Req *req, json_t *criteria)
{
    const char *name;
    json_t *value;
    json_object_foreach(criteria, name, value)
    {
        Str base = arena_printf(&req->arena, "/criteria/%.60s", name);
        Str choice = {0};
        int64_t strength = 0;
        Err err = {0};
        const JsonField fields[] = {
            {.name = "choice",
             .kind = JSON_FIELD_ENUM,
             .out = &choice,
             .required = REQUIRED,
             .choices = choices},
            {.name = "strength", .kind = JSON_FIELD_INT, .out = &strength, .min = 1, .max = 3},
        };
        if (!base.ptr || !json_is_object(value))
            return fail(req, base.ptr, "must be an object with choice and strength");
        if (!json_decode(value, fields, LEN(fields), base.ptr, &req->arena, &err)) {
            reply_error(req, &err);
            return false;
        }
        if (str_is(choice, "both_bad") || str_is(choice, "cannot_judge"))
            return fail(req, base.ptr, "a criterion is judged for a candidate or as a tie");
    }
    return true;
}

/* {"A":{"overall":1..7}} within the widest range; judgment_problem knows the project's own. */
static bool ratings_valid(Req *req, json_t *ratings)
{
    const char *slot, *name;
    json_t *named, *value;
    json_object_foreach(ratings, slot, named)
    {
        if (!json_is_object(named))
            return fail(req, "/ratings", "must be an object of numbers for each candidate");
        json_object_foreach(
            named, name,
            value) if (!json_is_integer(value) || json_integer_value(value) < 0 ||
                       json_integer_value(value) >
                           100) return fail(req, "/ratings",
                                            "ratings must be whole numbers from 0 to 100");
    }
    return true;
}

static bool flags_valid(Req *req, json_t *flags)
{
    const char *slot;
    json_t *list, *flag;
    size_t i;
    json_object_foreach(flags, slot, list)
    {
        if (!json_is_array(list))
            return fail(req, "/flags", "must be a list of names for each candidate");
        json_array_foreach(list, i, flag) if (!json_is_string(flag)) return fail(
            req, "/flags", "must be a list of names for each candidate");
    }
    return true;
}

static bool edits_valid(Req *req, json_t *edits)
{
    const char *slot;
    json_t *text;
    json_object_foreach(edits, slot, text)
    {
        Str value = json_str(text);
        if (!value.ptr || value.len < 1 || value.len > TEXT_BYTES_MAX)
            return fail(req, "/edits", "must be a text of 1 byte to 1 MiB for each candidate");
    }
    return true;
}

static bool ranking_valid(Req *req, json_t *ranking)
{
    size_t i, k;
    json_t *rank, *slot;
    json_array_foreach(ranking, i, rank)
    {
        if (!json_is_array(rank) || json_array_size(rank) == 0)
            return fail(req, "/ranking", "must be a list of lists of candidates, best first");
        json_array_foreach(rank, k, slot) if (!json_is_string(slot)) return fail(
            req, "/ranking", "must be a list of lists of candidates, best first");
    }
    return true;
}

/* What is not choice, strength or duration, as one JSON object; ptr NULL when there is none. */
static bool detail_write(Req *req, json_t *body, Str *out)
{
    static const char *const members[] = {"ranking", "criteria", "ratings",
                                          "flags",   "edits",    "rationale"};
    Buf text = reply_buf();
    int written = 0;
    for (size_t i = 0; i < LEN(members); i++) {
        json_t *value = json_object_get(body, members[i]);
        if (!value || json_is_null(value) ||
            ((json_is_object(value) || json_is_array(value)) && json_object_size(value) == 0 &&
             json_array_size(value) == 0) ||
            (json_is_string(value) && json_string_length(value) == 0))
            continue; /* an empty member says nothing */
        buf_put_char(&text, written++ ? ',' : '{');
        json_put_key(&text, members[i]);
        json_put_value(&text, value);
    }
    buf_put_char(&text, '}');
    *out = (Str){NULL, 0};
    bool fits = true;
    if (written) {
        *out = arena_copy(&req->arena, buf_str(&text));
        fits = out->ptr != NULL;
    }
    buf_release(&text);
    if (!fits) reply_fail(req, ERR_too_large, NULL, "the judgment is too large");
    return fits;
}

static void reply_problem(Req *req, Str problem)
{
    const char *bar = memchr(problem.ptr, '|', problem.len);
    size_t n = bar ? (size_t)(bar - problem.ptr) : problem.len;
    Str pointer = arena_copy(&req->arena, (Str){problem.ptr, n});
    reply_fail(req, ERR_invalid, pointer.ptr, STR_FMT, STR_ARG(str_skip(problem, n + 1)));
}

/* What a PUT says, kept so that it can be sent again. */
typedef struct Judging {
    Uuid lease_id;
    Str choice, rationale, detail;
    int64_t strength, duration_ms;
    bool has_strength, has_duration;
    int tries;
} Judging;

static void send_judgment(Req *req);

static void judged(Req *req, const Rows *rows)
{
    Judging *judging = req->state;
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_not_found, NULL, "there is no such lease, or it is not yours");
        return;
    }
    Str outcome = rows_text(rows, 0, rows_column(rows, "_outcome"));
    if (str_is(outcome, "again") && ++judging->tries < JUDGE_TRIES_MAX) {
        send_judgment(req); /* met another answer to the same comparison in one statement */
    } else if (str_is(outcome, "invalid")) {
        reply_problem(req, rows_text(rows, 0, rows_column(rows, "_problem")));
    } else if (str_is(outcome, "lost")) {
        reply_fail(req, ERR_conflict, NULL,
                   "the lease went to someone else and has been answered; nothing was recorded");
    } else if (str_is(outcome, "again")) {
        req_add_header(req, "Retry-After", STR("1"));
        reply_fail(req, ERR_unavailable, NULL, "too many answers to one task at once");
    } else if (str_is(outcome, "same")) {
        finish_row(req, rows);
    } else {
        metric_add(METRIC_judgments_total, 1);
        finish_created(req, rows);
    }
}

static void send_judgment(Req *req)
{
    const Judging *judging = req->state;
    SEND(req, judgment_put, judged, db_uuid(judging->lease_id), db_uuid(req->caller.id),
         db_uuid(uuid_new()), db_text(judging->choice),
         judging->has_strength ? db_int(judging->strength) : db_null(), db_text(judging->detail),
         judging->has_duration ? db_int(judging->duration_ms) : db_null());
}

/* PUT /leases/{id}/judgment - idempotent: the same body again is the same judgment. */
void lease_judge(Req *req)
{
    Judging *judging = arena_alloc(&req->arena, sizeof *judging);
    if (!judging) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    json_t *criteria = NULL, *ranking = NULL, *ratings = NULL, *flags = NULL, *edits = NULL;
    const JsonField fields[] = {
        {.name = "choice", .kind = JSON_FIELD_ENUM, .out = &judging->choice, .choices = choices},
        {.name = "strength",
         .kind = JSON_FIELD_INT,
         .out = &judging->strength,
         .min = 1,
         .max = 3,
         .present = &judging->has_strength},
        {.name = "criteria", .kind = JSON_FIELD_OBJECT, .out = &criteria},
        {.name = "ranking", .kind = JSON_FIELD_ARRAY, .out = &ranking, .min = 1, .max = 9},
        {.name = "ratings", .kind = JSON_FIELD_OBJECT, .out = &ratings},
        {.name = "flags", .kind = JSON_FIELD_OBJECT, .out = &flags},
        {.name = "rationale",
         .kind = JSON_FIELD_TEXT,
         .out = &judging->rationale,
         .max = TEXT_BYTES_MAX},
        {.name = "edits", .kind = JSON_FIELD_OBJECT, .out = &edits},
        {.name = "duration_ms",
         .kind = JSON_FIELD_INT,
         .out = &judging->duration_ms,
         .min = 0,
         .max = INT32_MAX,
         .present = &judging->has_duration},
    };
    if (!param_uuid(req, 0, &judging->lease_id) || !req_decode(req, fields, LEN(fields))) return;
    if ((criteria && !criteria_valid(req, criteria)) || (ratings && !ratings_valid(req, ratings)) ||
        (flags && !flags_valid(req, flags)) || (edits && !edits_valid(req, edits)) ||
        (ranking && !ranking_valid(req, ranking)) ||
        !detail_write(req, req->json, &judging->detail))
        return;
    req->state = judging;
    send_judgment(req);
}

/* Everybody's answers: names for owners, pseudonyms for researchers. */
static void listed(Req *req, const Rows *rows)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    int count = rows_count(rows);
    Buf out = reply_buf();
    buf_put_text(&out, "{\"items\":[");
    for (int row = 0; row < count; row++) {
        char pseudonym[CRYPTO_PSEUDONYM_CHARS + 1];
        Str login = rows_text(rows, row, rows_column(rows, "_annotator_login"));
        Str name = rows_text(rows, row, rows_column(rows, "_annotator_name"));
        Str id = rows_text(rows, row, rows_column(rows, "_annotator_id"));
        crypto_pseudonym(pseudonym,
                         name.ptr ? name
                         : id.ptr ? id
                                  : STR(""),
                         req->worker->server->pseudonym_key);
        if (row) buf_put_char(&out, ',');
        rows_put_object(&out, rows, row);
        out.len--; /* the annotator goes inside the object */
        buf_put_text(&out, ",\"annotator\":");
        json_put_text(&out, login.ptr ? login : str_from(pseudonym));
        buf_put_char(&out, '}');
    }
    buf_put_text(&out, "],\"next\":");
    json_put_text(&out, count > 0 && count == limit
                            ? rows_text(rows, count - 1, rows_column(rows, "_after"))
                            : (Str){NULL, 0});
    buf_put_char(&out, '}');
    reply_json(req, 200, &out);
}

/* GET /projects/{slug}/judgments?mine=true - one's own; without mine, everybody's (researchers). */
void judgment_list(Req *req)
{
    int64_t limit = 0;
    Str after;
    Uuid before;
    if (!list_range(req, &limit, &after)) return;
    if (after.ptr && !uuid_read(after, &before))
        return reply_fail(req, ERR_invalid, "?after", "must be an id that a list gave");
    Str mine = req_query(req, "mine");
    if (mine.ptr && !str_is(mine, "true") && !str_is(mine, "false"))
        return reply_fail(req, ERR_invalid, "?mine", "must be true or false");
    bool own = str_is(mine, "true");
    if (!own && req->caller.role < ROLE_RESEARCHER)
        return reply_fail(req, ERR_forbidden, "?mine",
                          "annotators see their own answers: ?mine=true");
    const DbParam params[] = {db_int(req->caller.project_id), db_uuid(req->caller.id),
                              db_text(after), db_int(limit)};
    api_send(req, own ? SQL_judgment_list_own : SQL_judgment_list, own ? finish_list : listed,
             params, LEN(params));
}

static void shown(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_not_found, NULL, "there is no such answer, or it is not yours");
        return;
    }
    Buf out = reply_buf();
    rows_put_object(&out, rows, 0);
    out.len--; /* the task goes inside the object */
    buf_put_text(&out, ",\"task\":");
    if (task_put(&out, rows_text(rows, 0, rows_column(rows, "_settings")),
                 rows_text(rows, 0, rows_column(rows, "_prompt")),
                 rows_text(rows, 0, rows_column(rows, "_candidates")), &req->arena)) {
        buf_put_char(&out, '}');
        reply_json(req, 200, &out);
        return;
    }
    buf_release(&out);
    reply_fail(req, ERR_internal, NULL, "the task could not be written");
}

/* GET /judgments/{id} - one answer with its task, to look at or change. */
void judgment_show(Req *req)
{
    Uuid id;
    if (param_uuid(req, 0, &id))
        SEND(req, judgment_show, shown, db_uuid(id), db_uuid(req->caller.id));
}

static void retracted(Req *req, const Rows *rows)
{
    if (rows_count(rows) > 0 &&
        str_is(rows_text(rows, 0, rows_column(rows, "_outcome")), "superseded"))
        reply_fail(req, ERR_conflict, NULL,
                   "this answer has been changed since; withdraw the newer one");
    else
        finish_empty(req, rows);
}

/* DELETE /judgments/{id} - a retraction: a new row, nothing is removed. */
void judgment_delete(Req *req)
{
    Uuid id;
    if (param_uuid(req, 0, &id))
        SEND(req, judgment_retract, retracted, db_uuid(id), db_uuid(req->caller.id),
             db_uuid(uuid_new()));
}
