/* send.c - from a request to a statement and back: the only glue between http/ and db/. */
#include "api.h"

#include "../base/log.h"

enum { REPLY_BYTES_MAX = 64 * 1024 * 1024 }; /* ten leases of the largest texts, rendered */

typedef struct Sent {
    Req *req;
    Finish finish;
} Sent;

static void sent_done(void *context, const Rows *rows, const Err *err)
{
    Sent *sent = context;
    if (err)
        reply_error(sent->req, err);
    else
        sent->finish(sent->req, rows);
}

void api_send(Req *req, SqlId id, Finish finish, const DbParam *params, size_t count)
{
    Sent *sent = arena_alloc(&req->arena, sizeof *sent);
    if (!sent) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    *sent = (Sent){req, finish};
    Err err = {0};
    if (!db_send(req->worker->db, id, params, count, sent_done, sent, &err)) reply_error(req, &err);
}

static void posted_done(void *context, const Rows *rows, const Err *err)
{
    (void)rows;
    if (err)
        log_event(LOG_WARN, "statement", "%s: %s", (const char *)context,
                  err->detail ? err->detail : err_title(err->code));
}

void api_post(Worker *worker, SqlId id, const DbParam *params, size_t count)
{
    Err err = {0};
    union {
        const char *name;
        void *context;
    } who = {.name = sql_name(id)};
    if (!db_send(worker->db, id, params, count, posted_done, who.context, &err))
        log_event(LOG_WARN, "statement", "%s: %s", who.name, err.detail ? err.detail : "not sent");
}

Buf reply_buf(void)
{
    Buf buf;
    buf_init(&buf, REPLY_BYTES_MAX);
    return buf;
}

static bool nothing(Req *req, const Rows *rows)
{
    if (rows_count(rows) > 0) return false;
    reply_fail(req, ERR_not_found, NULL, "there is no such thing here, or it is not yours");
    return true;
}

void finish_body(Req *req, const Rows *rows)
{
    if (nothing(req, rows)) return;
    Buf out = reply_buf();
    buf_put_str(&out, rows_text(rows, 0, rows_column(rows, "body")));
    reply_json(req, 200, &out);
}

static void finish_object(Req *req, const Rows *rows, int status)
{
    if (nothing(req, rows)) return;
    Buf out = reply_buf();
    rows_put_object(&out, rows, 0);
    reply_json(req, status, &out);
}

void finish_row(Req *req, const Rows *rows)
{
    finish_object(req, rows, 200);
}

void finish_created(Req *req, const Rows *rows)
{
    finish_object(req, rows, 201);
}

void finish_empty(Req *req, const Rows *rows)
{
    if (!nothing(req, rows)) reply_empty(req, 204);
}

void finish_empty_access(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    finish_empty(req, rows);
}

void finish_list(Req *req, const Rows *rows)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    Buf out = reply_buf();
    buf_put_text(&out, "{\"items\":[");
    int count = rows_count(rows);
    for (int row = 0; row < count; row++) {
        if (row) buf_put_char(&out, ',');
        rows_put_object(&out, rows, row);
    }
    buf_put_text(&out, "],\"next\":");
    Str next = {NULL, 0};
    if (count > 0 && count == limit) /* a full page: there may be more */
        next = rows_text(rows, count - 1, rows_column(rows, "_after"));
    json_put_text(&out, next);
    buf_put_char(&out, '}');
    reply_json(req, 200, &out);
}

bool list_range(Req *req, int64_t *limit, Str *after)
{
    if (!req_query_int(req, "limit", 1, LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT, limit)) return false;
    *after = req_query(req, "after");
    return true;
}

void api_list(Req *req, SqlId id, ListOrder order)
{
    int64_t limit = 0;
    Str after;
    Uuid last;
    if (!list_range(req, &limit, &after)) return;
    if (order == AFTER_ID && after.ptr && !uuid_read(after, &last)) {
        reply_fail(req, ERR_invalid, "?after", "must be the next of the page before");
        return;
    }
    const DbParam params[] = {db_int(req->caller.project_id), db_uuid(req->caller.id),
                              db_text(after), db_int(limit)};
    api_send(req, id, finish_list, params, LEN(params));
}

bool secret_new(Req *req, uint8_t hash[CRYPTO_HASH_BYTES])
{
    char *token = arena_alloc(&req->arena, CRYPTO_TOKEN_CHARS + 1);
    if (!token) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return false;
    }
    crypto_token_new(token, hash);
    req->state = token;
    return true;
}

void finish_secret(Req *req, const Rows *rows, const char *member, const char *prefix)
{
    Buf out = reply_buf();
    rows_put_object(&out, rows, 0);
    out.len--; /* the secret goes inside the object */
    buf_put_format(&out, ",\"%s\":\"%s%s\"}", member, prefix, (const char *)req->state);
    reply_json(req, 201, &out);
}

bool param_uuid(Req *req, int index, Uuid *out)
{
    if (uuid_read(req->params[index], out)) return true;
    reply_fail(req, ERR_not_found, NULL, "ids are UUIDs; there is nothing under this one");
    return false;
}
