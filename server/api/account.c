/* account.c - one's own account, and accounts as administrators see them. */
#include "api.h"

#include "../http/limit.h"

typedef struct AccountChange {
    Str name, password, current_password, preferences;
    char token[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
    const char *encoded;
} AccountChange;

static void changed(Req *req, const Rows *rows)
{
    const AccountChange *change = req->state;
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_unauthenticated, NULL, "this account is not there any more");
        return;
    }
    if (change->encoded) {
        auth_forget(req->worker);
        auth_set_cookie(req, change->token);
    }
    session_reply(req, req->caller.id, 200);
}

static void write_change(Req *req)
{
    AccountChange *change = req->state;
    DbParam token = db_null();
    if (change->encoded) {
        crypto_token_new(change->token, change->hash);
        token = db_bytes(change->hash, sizeof change->hash);
    }
    SEND(req, account_update, changed, db_uuid(req->caller.id), db_text(change->name),
         db_text(change->preferences), db_text(str_from(change->encoded)), token,
         db_uuid(uuid_new()));
}

static void hashed(Req *req, const char *encoded)
{
    AccountChange *change = req->state;
    change->encoded = encoded;
    write_change(req);
}

static void current_verified(Req *req, bool right)
{
    const AccountChange *change = req->state;
    if (!right)
        reply_fail(req, ERR_invalid, "/current_password", "the current password is wrong");
    else
        account_hash_password(req, change->password, hashed);
}

static void current_found(Req *req, const Rows *rows)
{
    const AccountChange *change = req->state;
    if (rows_count(rows) == 0)
        reply_fail(req, ERR_unauthenticated, NULL, "this account is not there any more");
    else if (rows_is_null(rows, 0, 1))
        account_hash_password(req, change->password, hashed);
    else if (!change->current_password.ptr)
        reply_fail(req, ERR_invalid, "/current_password", "is required to set a new password");
    else
        account_verify_password(req, arena_copy(&req->arena, rows_text(rows, 0, 1)).ptr,
                                change->current_password, current_verified);
}

static bool preferences_read(Req *req, json_t *preferences, AccountChange *change)
{
    Buf text;
    buf_init(&text, PREFERENCES_BYTES_MAX);
    json_put_value(&text, preferences);
    change->preferences = arena_copy(&req->arena, buf_str(&text));
    bool fits = buf_ok(&text) && change->preferences.ptr;
    buf_release(&text);
    if (!fits)
        reply_fail(req, ERR_invalid, "/preferences", "must be at most %d bytes",
                   PREFERENCES_BYTES_MAX);
    return fits;
}

/* PATCH /account - name, preferences, password. A new password ends every other session. */
void account_update(Req *req)
{
    AccountChange *change = arena_alloc(&req->arena, sizeof *change);
    json_t *preferences = NULL;
    if (req->caller.is_key)
        return reply_fail(req, ERR_forbidden, NULL, "a key has no account to change");
    if (!change) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    const JsonField fields[] = {
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &change->name, .min = 1, .max = 100},
        {.name = "preferences", .kind = JSON_FIELD_OBJECT, .out = &preferences},
        {.name = "password",
         .kind = JSON_FIELD_TEXT,
         .out = &change->password,
         .min = PASSWORD_BYTES_MIN,
         .max = PASSWORD_BYTES_MAX},
        {.name = "current_password",
         .kind = JSON_FIELD_TEXT,
         .out = &change->current_password,
         .min = 1,
         .max = PASSWORD_BYTES_MAX},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    if (preferences && !preferences_read(req, preferences, change)) return;
    req->state = change;
    int retry_after_s = 0;
    if (!change->password.ptr)
        write_change(req);
    else if (limit_take(limit_key("login", req->caller.login), RATE_SIGN_IN, &retry_after_s))
        SEND(req, account_find_password, current_found, db_uuid(req->caller.id));
    else
        account_too_many_tries(req, retry_after_s);
}

/* GET /accounts */
void account_list(Req *req)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    SEND(req, account_list, finish_list, db_uuid(req->caller.id), db_text(after), db_int(limit));
}

/* The row and the link; its token is in the fragment, so no log ever has it. */
static void linked(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_not_found, NULL, "there is no such account, or it is disabled");
        return;
    }
    finish_secret(req, rows, "link", "/signin#link=");
}

/* POST /accounts - with a one-time sign-in link instead of a password. */
void account_create(Req *req)
{
    Str login = {0};
    Str name = {0};
    bool admin = false;
    const JsonField fields[] = {
        {.name = "login",
         .kind = JSON_FIELD_TEXT,
         .out = &login,
         .required = REQUIRED,
         .min = 3,
         .max = 64},
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &name, .min = 1, .max = 100},
        {.name = "admin", .kind = JSON_FIELD_BOOL, .out = &admin},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (!secret_new(req, hash)) return;
    SEND(req, account_add, linked, db_uuid(uuid_new()), db_text(login),
         db_text(name.ptr ? name : login), db_bool(admin), db_bytes(hash, sizeof hash),
         db_uuid(uuid_new()), db_uuid(req->caller.id), db_null());
}

/* POST /accounts/{id}/link - a new sign-in link for somebody who lost theirs. */
void account_link(Req *req)
{
    Uuid id;
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (!param_uuid(req, 0, &id)) return;
    if (!secret_new(req, hash)) return;
    SEND(req, account_link, linked, db_uuid(id), db_bytes(hash, sizeof hash), db_uuid(uuid_new()),
         db_uuid(req->caller.id));
}

static void account_changed(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    if (rows_count(rows) == 0)
        reply_fail(req, ERR_conflict, NULL,
                   "there is no such account, or it is the last administrator");
    else
        finish_row(req, rows);
}

/* PATCH /accounts/{id} */
void account_change(Req *req)
{
    Uuid id;
    Str name = {0};
    bool admin = false, disabled = false, has_admin = false, has_disabled = false;
    const JsonField fields[] = {
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &name, .min = 1, .max = 100},
        {.name = "admin", .kind = JSON_FIELD_BOOL, .out = &admin, .present = &has_admin},
        {.name = "disabled", .kind = JSON_FIELD_BOOL, .out = &disabled, .present = &has_disabled},
    };
    if (!param_uuid(req, 0, &id) || !req_decode(req, fields, LEN(fields))) return;
    SEND(req, account_patch, account_changed, db_uuid(id), db_text(name),
         has_admin ? db_bool(admin) : db_null(), has_disabled ? db_bool(disabled) : db_null(),
         db_uuid(uuid_new()), db_uuid(req->caller.id));
}
