/* invite.c - links that let people into a project: they expire, and work a set number of times. */
#include "api.h"

typedef struct Acceptance {
    Str token, login, name, password;
    uint8_t token_hash[CRYPTO_HASH_BYTES];
    Uuid account_id;
    char session[CRYPTO_TOKEN_CHARS + 1];
    uint8_t session_hash[CRYPTO_HASH_BYTES];
} Acceptance;

/* GET /projects/{slug}/invites */
void invite_list(Req *req)
{
    api_list(req, SQL_invite_list, AFTER_ID);
}

static void created(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "only an owner of the project may do this");
        return;
    }
    finish_secret(req, rows, "link", "/join#");
}

/* POST /projects/{slug}/invites */
void invite_create(Req *req)
{
    Str role = STR("annotator"), name = STR("");
    int64_t hours = 168, uses = 1;
    const JsonField fields[] = {
        {.name = "role", .kind = JSON_FIELD_ENUM, .out = &role, .choices = project_roles},
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &name, .max = 100},
        {.name = "expires_hours", .kind = JSON_FIELD_INT, .out = &hours, .min = 1, .max = 2160},
        {.name = "uses", .kind = JSON_FIELD_INT, .out = &uses, .min = 1, .max = 1000},
    };
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (!req_decode(req, fields, LEN(fields))) return;
    if (!secret_new(req, hash)) return;
    SEND(req, invite_add, created, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_uuid(uuid_new()), db_bytes(hash, sizeof hash), db_text(role), db_text(name),
         db_int(hours), db_int(uses), db_uuid(uuid_new()));
}

/* DELETE /projects/{slug}/invites/{id} */
void invite_delete(Req *req)
{
    Uuid id;
    if (param_uuid(req, 1, &id))
        SEND(req, invite_delete, finish_empty, db_int(req->caller.project_id),
             db_uuid(req->caller.id), db_uuid(id), db_uuid(uuid_new()));
}

static void spent(Req *req)
{
    reply_fail(req, ERR_gone, "/token",
               "this invite has been used up or has expired; ask for another");
}

static void looked_up(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0)
        spent(req);
    else
        finish_body(req, rows);
}

/* POST /invites/lookup - what an invite offers, for somebody who is not signed in. */
void invite_lookup(Req *req)
{
    Str token = {0};
    uint8_t hash[CRYPTO_HASH_BYTES];
    const JsonField fields[] = {
        {.name = "token",
         .kind = JSON_FIELD_TEXT,
         .out = &token,
         .required = REQUIRED,
         .min = 1,
         .max = 200},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    crypto_token_hash(token, hash);
    SEND(req, invite_lookup, looked_up, db_bytes(hash, sizeof hash));
}

static void joined(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    if (rows_count(rows) == 0)
        spent(req);
    else
        session_reply(req, rows_uuid(rows, 0, 0), 201);
}

static void joined_new(Req *req, const Rows *rows)
{
    const Acceptance *in = req->state;
    if (rows_count(rows) > 0) auth_set_cookie(req, in->session);
    joined(req, rows);
}

static void hashed(Req *req, const char *encoded)
{
    Acceptance *in = req->state;
    crypto_token_new(in->session, in->session_hash);
    SEND(req, invite_accept_new, joined_new, db_bytes(in->token_hash, sizeof in->token_hash),
         db_uuid(uuid_new()), db_text(in->login), db_text(in->name.ptr ? in->name : in->login),
         db_text(str_from(encoded)), db_bytes(in->session_hash, sizeof in->session_hash),
         db_uuid(uuid_new()));
}

/* Only a live invite is worth an Argon2id. */
static void still_good(Req *req, const Rows *rows)
{
    const Acceptance *in = req->state;
    if (rows_count(rows) == 0)
        spent(req);
    else
        account_hash_password(req, in->password, hashed);
}

/* POST /invites/accept - signed in: the token; else a new account with login, name and password. */
void invite_accept(Req *req)
{
    Acceptance *in = arena_alloc(&req->arena, sizeof *in);
    if (!in) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    bool signed_in = req->caller.known && !req->caller.is_key;
    const JsonField fields[] = {
        {.name = "token",
         .kind = JSON_FIELD_TEXT,
         .out = &in->token,
         .required = REQUIRED,
         .min = 1,
         .max = 200},
        {.name = "login",
         .kind = JSON_FIELD_TEXT,
         .out = &in->login,
         .required = !signed_in,
         .min = 3,
         .max = 64},
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &in->name, .min = 1, .max = 100},
        {.name = "password",
         .kind = JSON_FIELD_TEXT,
         .out = &in->password,
         .required = !signed_in,
         .min = PASSWORD_BYTES_MIN,
         .max = PASSWORD_BYTES_MAX},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    req->state = in;
    crypto_token_hash(in->token, in->token_hash);
    if (signed_in && !in->login.ptr)
        SEND(req, invite_accept, joined, db_bytes(in->token_hash, sizeof in->token_hash),
             db_uuid(req->caller.id), db_uuid(uuid_new()));
    else if (!in->login.ptr || !in->password.ptr)
        reply_fail(req, ERR_invalid, in->login.ptr ? "/password" : "/login", "is required");
    else
        SEND(req, invite_lookup, still_good, db_bytes(in->token_hash, sizeof in->token_hash));
}
