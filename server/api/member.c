/* member.c - who belongs to a project, and in which role. */
#include "api.h"

const char *const project_roles[] = {"annotator", "researcher", "owner", NULL};

/* GET /projects/{slug}/members */
void member_list(Req *req)
{
    api_list(req, SQL_member_list, AFTER_NAME);
}

static void added(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    if (rows_count(rows) == 0)
        reply_fail(req, ERR_invalid, "/login", "there is no account of this login");
    else
        finish_created(req, rows);
}

/* POST /projects/{slug}/members - an account that exists. */
void member_create(Req *req)
{
    Str login = {0}, role = {0};
    const JsonField fields[] = {
        {.name = "login",
         .kind = JSON_FIELD_TEXT,
         .out = &login,
         .required = REQUIRED,
         .min = 1,
         .max = 64},
        {.name = "role",
         .kind = JSON_FIELD_ENUM,
         .out = &role,
         .required = REQUIRED,
         .choices = project_roles},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    SEND(req, member_add, added, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_text(login), db_text(role), db_uuid(uuid_new()));
}

static bool kept_owner(Req *req, const Rows *rows)
{
    auth_forget(req->worker);
    if (rows_count(rows) == 0)
        reply_fail(req, ERR_not_found, NULL, "this account is not a member of the project");
    else if (rows_bool(rows, 0, rows_column(rows, "_last_owner")))
        reply_fail(req, ERR_conflict, NULL,
                   "a project needs an owner: make somebody else one first");
    else
        return true;
    return false;
}

static void changed(Req *req, const Rows *rows)
{
    if (kept_owner(req, rows)) finish_row(req, rows);
}

static void removed(Req *req, const Rows *rows)
{
    if (kept_owner(req, rows)) reply_empty(req, 204);
}

static void change(Req *req, Str role, Finish finish)
{
    Uuid id;
    if (param_uuid(req, 1, &id))
        SEND(req, member_change, finish, db_int(req->caller.project_id), db_uuid(req->caller.id),
             db_uuid(id), db_text(role), db_uuid(uuid_new()));
}

/* PATCH /projects/{slug}/members/{id} */
void member_change(Req *req)
{
    Str role = {0};
    const JsonField fields[] = {
        {.name = "role",
         .kind = JSON_FIELD_ENUM,
         .out = &role,
         .required = REQUIRED,
         .choices = project_roles},
    };
    if (req_decode(req, fields, LEN(fields))) change(req, role, changed);
}

/* DELETE /projects/{slug}/members/{id} - their judgments stay. */
void member_delete(Req *req)
{
    change(req, (Str){NULL, 0}, removed);
}
