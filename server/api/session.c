/* session.c - signing in and out. */
#include "api.h"

#include "../http/limit.h"

typedef struct SignIn {
    Str login, password;
    Uuid account_id;
    bool found;
    char token[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
} SignIn;

static void shown(Req *req, const Rows *rows)
{
    int status = req->state ? *(const int *)req->state : 200;
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_unauthenticated, NULL, "this account is not there any more");
        return;
    }
    Buf out = reply_buf();
    buf_put_str(&out, rows_text(rows, 0, 0));
    reply_json(req, status, &out);
}

void session_reply(Req *req, Uuid account_id, int status)
{
    int *kept = arena_alloc(&req->arena, sizeof *kept);
    if (kept) *kept = status;
    req->state = kept;
    SEND(req, session_show, shown, db_uuid(account_id));
}

static void opened(Req *req, const Rows *rows)
{
    SignIn *in = req->state;
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_unauthenticated, NULL, "login or password is wrong");
        return;
    }
    if (req->caller.known) auth_forget(req->worker); /* the session that was replaced */
    auth_set_cookie(req, in->token);
    session_reply(req, rows_uuid(rows, 0, 0), 200);
}

/* A wrong login and a wrong password look the same and take the same time. */
static void verified(Req *req, bool right)
{
    SignIn *in = req->state;
    if (!right || !in->found) {
        reply_fail(req, ERR_unauthenticated, NULL, "login or password is wrong");
        return;
    }
    crypto_token_new(in->token, in->hash);
    SEND(req, session_add, opened, db_bytes(in->hash, sizeof in->hash), db_uuid(in->account_id),
         req->caller.known && !req->caller.is_key
             ? db_bytes(req->caller.token_hash, CRYPTO_HASH_BYTES)
             : db_null());
}

static void looked_up(Req *req, const Rows *rows)
{
    SignIn *in = req->state;
    const char *encoded = NULL;
    if (rows_count(rows) == 1 && !rows_is_null(rows, 0, 1) && !rows_bool(rows, 0, 2)) {
        in->found = true;
        in->account_id = rows_uuid(rows, 0, 0);
        encoded = arena_copy(&req->arena, rows_text(rows, 0, 1)).ptr;
    }
    account_verify_password(req, encoded, in->password, verified);
}

/* POST /session - login and password; the tries are limited per address (route) and per login. */
void session_create(Req *req)
{
    SignIn *in = arena_alloc(&req->arena, sizeof *in);
    if (!in) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    const JsonField fields[] = {
        {.name = "login",
         .kind = JSON_FIELD_TEXT,
         .out = &in->login,
         .required = REQUIRED,
         .min = 1,
         .max = 64},
        {.name = "password",
         .kind = JSON_FIELD_TEXT,
         .out = &in->password,
         .required = REQUIRED,
         .min = 1,
         .max = PASSWORD_BYTES_MAX},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    int retry_after_s = 0;
    if (!limit_take(limit_key("login", in->login), RATE_SIGN_IN, &retry_after_s)) {
        account_too_many_tries(req, retry_after_s);
        return;
    }
    req->state = in;
    SEND(req, account_find_login, looked_up, db_text(in->login));
}

static void link_used(Req *req, const Rows *rows)
{
    SignIn *in = req->state;
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_gone, "/token",
                   "this link has been used or has expired; ask for another");
        return;
    }
    auth_set_cookie(req, in->token);
    session_reply(req, rows_uuid(rows, 0, 0), 200);
}

/* POST /session/link - a one-time sign-in link. */
void session_link(Req *req)
{
    SignIn *in = arena_alloc(&req->arena, sizeof *in);
    Str token = {0};
    if (!in) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    const JsonField fields[] = {
        {.name = "token",
         .kind = JSON_FIELD_TEXT,
         .out = &token,
         .required = REQUIRED,
         .min = 1,
         .max = 200},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    uint8_t link_hash[CRYPTO_HASH_BYTES];
    crypto_token_hash(token, link_hash);
    crypto_token_new(in->token, in->hash);
    req->state = in;
    SEND(req, link_use, link_used, db_bytes(link_hash, sizeof link_hash),
         db_bytes(in->hash, sizeof in->hash));
}

/* GET /session - who am I. */
void session_show(Req *req)
{
    if (req->caller.is_key) {
        SEND(req, session_show_key, finish_body, db_uuid(req->caller.id),
             db_int(req->caller.project_id));
        return;
    }
    session_reply(req, req->caller.id, 200);
}

static void signed_out(Req *req, const Rows *rows)
{
    (void)rows;
    auth_forget(req->worker);
    auth_set_cookie(req, NULL);
    reply_empty(req, 204);
}

/* DELETE /session[?everywhere=true] */
void session_delete(Req *req)
{
    if (req->caller.is_key)
        return reply_fail(req, ERR_forbidden, NULL, "a key has no session to end");
    bool everywhere = str_is(req_query(req, "everywhere"), "true");
    SEND(req, session_delete, signed_out, db_bytes(req->caller.token_hash, CRYPTO_HASH_BYTES),
         db_uuid(req->caller.id), db_bool(everywhere));
}
