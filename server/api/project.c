/* project.c - projects and their settings. */
#include "api.h"

/* GET /projects */
void project_list(Req *req)
{
    int64_t limit = 0;
    Str after;
    if (!list_range(req, &limit, &after)) return;
    SEND(req, project_list, finish_list, db_uuid(req->caller.id), db_text(after), db_int(limit));
}

static void finish_project(Req *req, const Rows *rows, int status)
{
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_forbidden, NULL, "only an owner of the project may do this");
        return;
    }
    Buf out = reply_buf();
    rows_put_object(&out, rows, 0);
    out.len--; /* settings go inside the object */
    buf_put_text(&out, ",\"settings\":");
    if (settings_put(&out, rows_text(rows, 0, rows_column(rows, "_settings")), &req->arena)) {
        buf_put_char(&out, '}');
        reply_json(req, status, &out);
        return;
    }
    buf_release(&out);
    reply_fail(req, ERR_internal, NULL, "stored settings do not parse");
}

static void shown(Req *req, const Rows *rows)
{
    finish_project(req, rows, 200);
}

static void created(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    finish_project(req, rows, 201);
}

/* The settings member as JSON text; ptr NULL when absent. False: answered. */
static bool settings_text(Req *req, json_t *settings, Str *out)
{
    Err err = {0};
    *out = (Str){NULL, 0};
    if (!settings) return true;
    if (!settings_check(settings, &req->arena, &err)) {
        reply_error(req, &err);
        return false;
    }
    Buf text = reply_buf();
    json_put_value(&text, settings);
    *out = arena_copy(&req->arena, buf_str(&text));
    buf_release(&text);
    if (!out->ptr) reply_fail(req, ERR_too_large, "/settings", "the settings are too large");
    return out->ptr != NULL;
}

/* POST /projects - whoever creates a project owns it. */
void project_create(Req *req)
{
    Str slug = {0}, title = {0}, text = {0};
    json_t *settings = NULL;
    const JsonField fields[] = {
        {.name = "slug",
         .kind = JSON_FIELD_TEXT,
         .out = &slug,
         .required = REQUIRED,
         .min = 1,
         .max = 63},
        {.name = "title", .kind = JSON_FIELD_TEXT, .out = &title, .min = 1, .max = 200},
        {.name = "settings", .kind = JSON_FIELD_OBJECT, .out = &settings},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    if (req->caller.is_key)
        return reply_fail(req, ERR_forbidden, NULL, "a project key cannot create projects");
    if (!settings_text(req, settings, &text)) return;
    SEND(req, project_add, created, db_text(slug), db_text(title.ptr ? title : slug),
         db_text(text.ptr ? text : STR("{}")), db_uuid(req->caller.id), db_uuid(uuid_new()));
}

/* GET /projects/{slug} */
void project_show(Req *req)
{
    SEND(req, project_show, shown, db_int(req->caller.project_id), db_uuid(req->caller.id));
}

static void overlap_changed(Req *req, const Rows *rows)
{
    (void)rows;
    project_show(req);
}

static void updated(Req *req, const Rows *rows)
{
    gateway_forget(req->worker->gateway); /* it goes by some of the settings */
    if (rows_count(rows) > 0 && req->state)
        SEND(req, project_overlap, overlap_changed, db_int(req->caller.project_id),
             db_int(rows_int(rows, 0, rows_column(rows, "_overlap"))));
    else
        shown(req, rows);
}

/* PATCH /projects/{slug} - only the given settings change; a new overlap reaches what is queued. */
void project_update(Req *req)
{
    Str title = {0}, text = {0};
    json_t *settings = NULL;
    const JsonField fields[] = {
        {.name = "title", .kind = JSON_FIELD_TEXT, .out = &title, .min = 1, .max = 200},
        {.name = "settings", .kind = JSON_FIELD_OBJECT, .out = &settings},
    };
    if (!req_decode(req, fields, LEN(fields)) || !settings_text(req, settings, &text)) return;
    req->state = json_object_get(settings, "overlap"); /* whether it is changed */
    SEND(req, project_update, updated, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(title), db_text(text), db_uuid(uuid_new()));
}
