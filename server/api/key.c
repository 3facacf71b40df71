/* key.c - API keys of a project, each with a role; and the project's audit log. */
#include "api.h"

static const char *const key_roles[] = {"reporter", "annotator", "researcher", "owner", NULL};

enum { KEY_PREFIX_CHARS = 8 }; /* shown in lists, to tell keys apart */

/* GET /projects/{slug}/keys */
void key_list(Req *req)
{
    api_list(req, SQL_key_list, AFTER_ID);
}

static void created(Req *req, const Rows *rows)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "only an owner of the project may do this");
        return;
    }
    finish_secret(req, rows, "key", "ak_");
}

/* POST /projects/{slug}/keys */
void key_create(Req *req)
{
    Str role = STR("researcher"), name = STR("");
    const JsonField fields[] = {
        {.name = "role", .kind = JSON_FIELD_ENUM, .out = &role, .choices = key_roles},
        {.name = "name", .kind = JSON_FIELD_TEXT, .out = &name, .max = 100},
    };
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (!req_decode(req, fields, LEN(fields))) return;
    if (!secret_new(req, hash)) return;
    Str prefix = arena_printf(&req->arena, "ak_%.*s", KEY_PREFIX_CHARS, (const char *)req->state);
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
    api_list(req, SQL_audit_list, AFTER_ID);
}
