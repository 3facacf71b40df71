/* key.c - API keys of a project, each with a role; and the project's audit log. */
#include "api.h"

static const char *const roles[] = {"annotator", "researcher", "owner", NULL};

enum { KEY_PREFIX_CHARS = 8 }; /* shown in lists, to tell keys apart */

/* GET /projects/{slug}/keys */
void key_list(Req *req)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    SEND(req, key_list, finish_list, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(after), db_int(limit));
}

static void created(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "only an owner of the project may do this");
        return;
    }
    Buf out = reply_buf();
    rows_put_object(&out, rows, 0);
    out.len--; /* the key goes inside the object, and is shown this once */
    buf_put_format(&out, ",\"key\":\"ak_%s\"}", (const char *)req->state);
    reply_json(req, 201, &out);
}

/* POST /projects/{slug}/keys */
void key_create(Req *req)
{
    Str role = STR("researcher"), name = STR("");
    const JsonField fields[] = {
        {.name = "role", .kind = JSON_FIELD_ENUM, .out = &role, .choices = roles},
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &name, .max = 100},
    };
    char *token = arena_alloc(&req->arena, CRYPTO_TOKEN_CHARS + 1);
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (!req_decode(req, fields, LEN(fields))) return;
    if (!token) return reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
    crypto_token_new(token, hash);
    req->state = token;
    Str prefix = arena_printf(&req->arena, "ak_%.*s", KEY_PREFIX_CHARS, token);
    SEND(req, key_add, created, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_uuid(uuid_new()), db_bytes(hash, sizeof hash), db_text(prefix), db_text(role),
         db_text(name), db_uuid(uuid_new()));
}

/* DELETE /projects/{slug}/keys/{id} */
void key_delete(Req *req)
{
    Uuid id;
    if (param_uuid(req, 1, &id))
        SEND(req, key_delete, finish_empty_access, db_int(req->caller.project_id),
             db_uuid(req->caller.id), db_uuid(id), db_uuid(uuid_new()));
}

/* GET /projects/{slug}/audit */
void audit_list(Req *req)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    SEND(req, audit_list, finish_list, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(after), db_int(limit));
}
