/* upstream.c - a project's model servers. Their keys go in, sealed, and never come out. */
#include "api.h"

#include "../gateway/target.h"

enum { MODELS_MAX = 64 };

/* GET /projects/{slug}/upstreams */
void upstream_list(Req *req)
{
    api_list(req, SQL_upstream_list, AFTER_NAME);
}

static void put(Req *req, const Rows *rows)
{
    gateway_forget(req->worker->gateway);
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "only an owner of the project may do this");
        return;
    }
    finish_created(req, rows);
}

/* ["a","b=c"] as the list that target.h takes. */
static bool models_join(Req *req, const json_t *models, Str *out)
{
    size_t i;
    json_t *name;
    *out = STR("");
    json_array_foreach(models, i, name)
    {
        Str text = json_str(name);
        if (text.ptr == NULL || text.len == 0 || memchr(text.ptr, ',', text.len) != NULL) {
            reply_fail(req, ERR_invalid, "/models", "must be a list of names without commas");
            return false;
        }
        *out = arena_printf(&req->arena, STR_FMT "%s" STR_FMT, STR_ARG(*out), i > 0 ? "," : "",
                            STR_ARG(text));
    }
    return true;
}

/* POST /projects/{slug}/upstreams - a new one, or another address, key or limit for that name. */
void upstream_create(Req *req)
{
    Err err = {0};
    json_t *models = NULL;
    DbParam params[TARGET_PARAMS];
    Target target = {.timeout_ms = TARGET_TIMEOUT_MS, .concurrency = TARGET_CONCURRENCY};
    const JsonField fields[] = {
        {.name = "name",
         .kind = JSON_FIELD_TEXT,
         .out = &target.name,
         .required = REQUIRED,
         .max = 63},
        {.name = "url",
         .kind = JSON_FIELD_TEXT,
         .out = &target.url,
         .required = REQUIRED,
         .max = 500},
        {.name = "key", .kind = JSON_FIELD_TEXT, .out = &target.key, .max = 4096},
        {.name = "models", .kind = JSON_FIELD_ARRAY, .out = &models, .max = MODELS_MAX},
        {.name = "priority", .kind = JSON_FIELD_INT, .out = &target.priority, .max = 1000},
        {.name = "timeout_ms",
         .kind = JSON_FIELD_INT,
         .out = &target.timeout_ms,
         .min = 100,
         .max = 3600000},
        {.name = "concurrency",
         .kind = JSON_FIELD_INT,
         .out = &target.concurrency,
         .min = 1,
         .max = 100000},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    if (!models_join(req, models, &target.models)) return;
    if (!target_check(&target, &req->arena, &err) ||
        !target_params(&target, req->caller.project_id, db_uuid(req->caller.id),
                       req->worker->server->seal_key, &req->arena, params, &err)) {
        reply_error(req, &err);
        return;
    }
    api_send(req, SQL_upstream_put, put, params, LEN(params));
}

static void deleted(Req *req, const Rows *rows)
{
    gateway_forget(req->worker->gateway);
    finish_empty(req, rows);
}

/* DELETE /projects/{slug}/upstreams/{id} */
void upstream_delete(Req *req)
{
    Uuid id;
    if (param_uuid(req, 1, &id)) {
        SEND(req, upstream_delete, deleted, db_int(req->caller.project_id), db_uuid(req->caller.id),
             db_uuid(id), db_null(), db_uuid(uuid_new()));
    }
}
