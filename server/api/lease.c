/* lease.c - handing out tasks, and giving them back. */
#include "api.h"

#include "../base/metrics.h"

enum { TAKE_TRIES_MAX = 3 }; /* a person asking twice at once may meet itself in the unique key */

typedef struct Taking {
    int64_t count;
    int tries;
    char ids[LEASES_MAX * (UUID_CHARS + 1) + 3];
} Taking;

static void send_take(Req *req);

static void move_cursor(Req *req)
{
    DbParam params[] = {db_int(req->caller.project_id), db_uuid(req->caller.id)};
    api_post(req->worker, SQL_lease_cursor_move, params, LEN(params));
}

static void taken(Req *req, const Rows *rows)
{
    int count = rows_count(rows);
    int id = rows_column(rows, "id"), expires = rows_column(rows, "expires_at");
    int settings = rows_column(rows, "settings"), prompt = rows_column(rows, "prompt");
    int candidates = rows_column(rows, "candidates"), stale = rows_column(rows, "_stale");
    bool move = count == 0;
    bool ok = true;
    Buf out = reply_buf();
    buf_put_text(&out, "{\"leases\":[");
    for (int row = 0; row < count; row++) {
        move = move || rows_bool(rows, row, stale);
        buf_put_format(&out, "%s{\"id\":\"" STR_FMT "\",\"expires_at\":\"" STR_FMT "\",\"task\":",
                       row ? "," : "", STR_ARG(rows_text(rows, row, id)),
                       STR_ARG(rows_text(rows, row, expires)));
        ok = ok && task_put(&out, rows_text(rows, row, settings), rows_text(rows, row, prompt),
                            rows_text(rows, row, candidates), &req->arena);
        buf_put_char(&out, '}');
    }
    buf_put_text(&out, "]}");
    if (move) move_cursor(req);
    metric_add(METRIC_leases_granted_total, count);
    if (ok) {
        reply_json(req, 200, &out);
        return;
    }
    buf_release(&out);
    reply_fail(req, ERR_internal, NULL, "a task could not be written");
}

/* Nothing came back: really nothing left, or did this person's other request take the same rows? */
static void taken_or_again(Req *req, const Rows *rows)
{
    Taking *taking = req->state;
    if (rows_count(rows) == 0 && ++taking->tries < TAKE_TRIES_MAX)
        send_take(req);
    else
        taken(req, rows);
}

static void send_take(Req *req)
{
    Taking *taking = req->state;
    Buf ids;
    buf_init(&ids, sizeof taking->ids);
    buf_put_char(&ids, '{');
    for (int64_t i = 0; i < taking->count; i++) {
        char id[UUID_CHARS + 1];
        uuid_write(uuid_new(), id);
        buf_put_format(&ids, "%s%s", i ? "," : "", id);
    }
    buf_put_char(&ids, '}');
    Str list = arena_copy(&req->arena, buf_str(&ids));
    buf_release(&ids);
    if (!list.ptr)
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    else
        SEND(req, lease_take, taken_or_again, db_int(req->caller.project_id),
             db_uuid(req->caller.id), db_int(taking->count), db_text(list));
}

/* POST /projects/{slug}/leases {"count"} - the next tasks; [] when nothing is left for this person.
 */
void lease_create(Req *req)
{
    Taking *taking = arena_alloc(&req->arena, sizeof *taking);
    if (!taking) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    taking->count = 1;
    const JsonField fields[] = {
        {.name = "count",
         .kind = JSON_FIELD_INT,
         .out = &taking->count,
         .min = 1,
         .max = LEASES_MAX},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    req->state = taking;
    send_take(req);
}

static void skipped(Req *req, const Rows *rows)
{
    if (rows_count(rows) > 0 && rows_bool(rows, 0, rows_column(rows, "_answered")))
        reply_fail(req, ERR_conflict, NULL,
                   "this task has been answered; withdraw the answer instead");
    else
        finish_row(req, rows);
}

/* POST /leases/{id}/skip {"reason"} */
void lease_skip(Req *req)
{
    Uuid id;
    Str reason = STR("other");
    const JsonField fields[] = {
        {.name = "reason", .kind = JSON_FIELD_TEXT, .out = &reason, .min = 1, .max = 500},
    };
    if (!param_uuid(req, 0, &id) || !req_decode(req, fields, LEN(fields))) return;
    SEND(req, lease_skip, skipped, db_uuid(id), db_uuid(req->caller.id), db_uuid(uuid_new()),
         db_text(reason));
}

static void renewed(Req *req, const Rows *rows)
{
    if (rows_count(rows) > 0 && !rows_bool(rows, 0, rows_column(rows, "_held")))
        reply_fail(req, ERR_conflict, NULL, "this lease has run out or has been answered");
    else
        finish_row(req, rows);
}

/* POST /leases/{id}/renew */
void lease_renew(Req *req)
{
    Uuid id;
    if (param_uuid(req, 0, &id))
        SEND(req, lease_renew, renewed, db_uuid(id), db_uuid(req->caller.id));
}
