/* event.c - what people do with answers, told by applications: batches of events with ids that the
 * client made, and single feedback on a completion. */
#include "api.h"

#include "../base/clock.h"

enum { EVENTS_MAX = 500, COMMENT_BYTES_MAX = 16384, BATCH_BYTES_MAX = 1048576, ID_DIGITS = 12 };
#define AHEAD_MS  (24 * 3600 * (int64_t)1000)      /* a clock that is wrong by a day */
#define BEHIND_MS (60 * 24 * 3600 * (int64_t)1000) /* an outbox that waited for two months */
#define VALUE_MAX 1e12

const char *const event_kinds[] = {"view",  "copy",     "share", "thumb_up", "thumb_down",
                                   "star",  "comment",  "dwell", "stop",     "leave",
                                   "retry", "continue", NULL};

typedef struct Event {
    Str id, completion, kind, comment, at;
    json_t *value;
    bool has_id;
} Event;

static bool fail(Arena *arena, Err *err, const char *base, const char *name, const char *reason)
{
    return err_set(err, arena, ERR_invalid, json_pointer(arena, base, name), "%s", reason);
}

/* The id carries its time, by which the ledger is partitioned, so the time must be plausible. */
static bool id_check(Str text, const char *base, Arena *arena, Err *err)
{
    Uuid id;
    int64_t ms = 0, now = clock_unix_ms();
    if (!uuid_read(text, &id)) return fail(arena, err, base, "id", "must be a UUID");
    for (int i = 0; i < 6; i++) ms = ms << 8 | id.bytes[i];
    if (id.bytes[6] >> 4 != 7 || ms > now + AHEAD_MS || ms < now - BEHIND_MS) {
        return fail(arena, err, base, "id",
                    "must be a UUID of version 7, of the last 60 days (RFC 9562)");
    }
    return true;
}

static bool event_read(json_t *object, const char *base, Event *out, Arena *arena, Err *err)
{
    int64_t time_us;
    *out = (Event){0};
    const JsonField fields[] = {
        {.name = "id", .kind = JSON_FIELD_UUID, .out = &out->id, .present = &out->has_id},
        {.name = "completion_id",
         .kind = JSON_FIELD_UUID,
         .out = &out->completion,
         .required = REQUIRED},
        {.name = "kind",
         .kind = JSON_FIELD_ENUM,
         .out = &out->kind,
         .required = REQUIRED,
         .choices = event_kinds},
        {.name = "value", .kind = JSON_FIELD_ANY, .out = &out->value},
        {.name = "comment",
         .kind = JSON_FIELD_TEXT,
         .out = &out->comment,
         .max = COMMENT_BYTES_MAX},
        {.name = "at", .kind = JSON_FIELD_TEXT, .out = &out->at, .max = 40},
    };
    if (!json_is_object(object)) {
        return err_set(err, arena, ERR_invalid, base, "must be an object");
    }
    if (!json_decode(object, fields, LEN(fields), base, arena, err)) return false;
    if (out->has_id && !id_check(out->id, base, arena, err)) return false;
    if (out->value != NULL && !(json_is_number(out->value) || json_is_boolean(out->value))) {
        return fail(arena, err, base, "value", "must be a number");
    }
    if (out->value != NULL &&
        (json_number_value(out->value) > VALUE_MAX || json_number_value(out->value) < -VALUE_MAX)) {
        return fail(arena, err, base, "value", "must be from -1e12 to 1e12");
    }
    if (out->at.ptr != NULL && !clock_read(out->at, &time_us)) {
        return fail(arena, err, base, "at", "must be a time like 2026-11-21T10:00:00Z");
    }
    return true;
}

static void event_put(Buf *out, const Event *event)
{
    buf_put_text(out, "{\"id\":");
    json_put_text(out, event->id);
    buf_put_text(out, ",\"completion_id\":");
    json_put_text(out, event->completion);
    buf_put_text(out, ",\"kind\":");
    json_put_text(out, event->kind);
    buf_put_text(out, ",\"value\":");
    if (json_is_boolean(event->value)) {
        buf_put_text(out, json_is_true(event->value) ? "1" : "0");
    } else if (event->value != NULL) {
        json_put_value(out, event->value);
    } else {
        buf_put_text(out, "null");
    }
    buf_put_text(out, ",\"comment\":");
    json_put_text(out, event->comment);
    buf_put_text(out, ",\"at\":");
    json_put_text(out, event->at);
    buf_put_char(out, '}');
}

static bool has_project(Req *req)
{
    if (req->caller.is_key && req->caller.project_id > 0) return true;
    reply_fail(req, ERR_unauthenticated, NULL,
               "send a project's key: Authorization: Bearer ak_… (or ?key= where headers cannot "
               "be set)");
    return false;
}

static void send_batch(Req *req, Buf *batch, Finish finish)
{
    Str text = buf_ok(batch) ? buf_str(batch) : (Str){NULL, 0};
    if (text.ptr == NULL) {
        reply_fail(req, ERR_too_large, NULL, "the batch is longer than 1 MiB");
    } else {
        SEND(req, event_put, finish, db_int(req->caller.project_id), db_uuid(req->caller.id),
             db_text(text));
    }
    buf_release(batch);
}

/* {"accepted":[ids in the ledger]}; the others are of answers that are not the project's. */
static void accepted(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "this key has been withdrawn");
        return;
    }
    Buf out = reply_buf();
    buf_put_text(&out, "{\"accepted\":");
    buf_put_str(&out, rows_text(rows, 0, rows_column(rows, "ids")));
    buf_put_char(&out, '}');
    reply_json(req, 200, &out);
}

static void batch_create(Req *req)
{
    json_t *events = NULL, *item;
    size_t i;
    Err err = {0};
    const JsonField fields[] = {{.name = "events",
                                 .kind = JSON_FIELD_ARRAY,
                                 .out = &events,
                                 .required = REQUIRED,
                                 .min = 1,
                                 .max = EVENTS_MAX}};
    if (!req_decode(req, fields, LEN(fields))) return;
    Buf batch;
    buf_init(&batch, BATCH_BYTES_MAX);
    buf_put_char(&batch, '[');
    json_array_foreach(events, i, item)
    {
        Event event;
        const char *base = json_pointer_index(&req->arena, "/events", i);
        bool ok = event_read(item, base, &event, &req->arena, &err);
        if (ok && !event.has_id) {
            ok = fail(&req->arena, &err, base, "id", "is required: made once by the client");
        }
        if (!ok) {
            buf_release(&batch);
            reply_error(req, &err);
            return;
        }
        if (i > 0) buf_put_char(&batch, ',');
        event_put(&batch, &event);
    }
    buf_put_char(&batch, ']');
    send_batch(req, &batch, accepted);
}

/* POST /events - from pages of other origins, too: only a key counts here, never a cookie. */
void event_create(Req *req)
{
    if (has_project(req)) batch_create(req);
}

/* POST /projects/{slug}/events - of our own pages; members tell of their own conversations only. */
void event_create_own(Req *req)
{
    batch_create(req);
}

static void recorded(Req *req, const Rows *rows)
{
    const Event *event = req->state;
    Str ids = rows_count(rows) > 0 ? rows_text(rows, 0, rows_column(rows, "ids")) : STR("[]");
    if (ids.len < UUID_CHARS) {
        reply_fail(req, ERR_not_found, "/completion_id", "the project has no such completion");
        return;
    }
    Buf out = reply_buf();
    buf_put_text(&out, "{\"id\":");
    json_put_text(&out, event->id);
    buf_put_char(&out, '}');
    reply_json(req, 201, &out);
}

/* POST /feedback - one thing, said explicitly about a completion; an id makes it idempotent. */
void feedback_create(Req *req)
{
    Err err = {0};
    Event *event = arena_alloc(&req->arena, sizeof *event);
    char *id = arena_alloc(&req->arena, UUID_CHARS + 1);
    if (event == NULL || id == NULL) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    if (!has_project(req)) return;
    json_t *body = req_json(req);
    if (body == NULL) return;
    if (!event_read(body, "", event, &req->arena, &err)) {
        reply_error(req, &err);
        return;
    }
    if (!event->has_id) {
        uuid_write(uuid_new(), id);
        event->id = str_from(id);
    }
    req->state = event;
    Buf batch;
    buf_init(&batch, BATCH_BYTES_MAX);
    buf_put_char(&batch, '[');
    event_put(&batch, event);
    buf_put_char(&batch, ']');
    send_batch(req, &batch, recorded);
}
