/* chat.c - the chat and the arena of the pages: asking models is in gateway/, the rest of a
 * conversation is here. People see their own only. */
#include "api.h"

#include "../base/markdown.h"
#include "../gateway/gateway.h"

/* GET /projects/{slug}/chat/models */
void chat_models(Req *req)
{
    gateway_names(req->worker->gateway, req);
}

/* POST /projects/{slug}/chat/messages */
void chat_message(Req *req)
{
    gateway_message(req->worker->gateway, req);
}

/* POST /projects/{slug}/chat/edits */
void chat_edit(Req *req)
{
    gateway_edit(req->worker->gateway, req);
}

/* POST /projects/{slug}/chat/rounds */
void chat_round(Req *req)
{
    gateway_round(req->worker->gateway, req);
}

static void voted(Req *req, const Rows *rows)
{
    if (rows_count(rows) > 0 && rows_is_null(rows, 0, 0)) {
        reply_fail(req, ERR_conflict, NULL, "this conversation has ended: its models are known");
    } else {
        finish_row(req, rows);
    }
}

/* POST /projects/{slug}/chat/rounds/{id}/vote {"choice"} */
void chat_vote(Req *req)
{
    static const char *const choices[] = {"A", "B", "tie", "both_bad", NULL};
    Uuid id;
    Str choice;
    const JsonField fields[] = {{.name = "choice",
                                 .kind = JSON_FIELD_ENUM,
                                 .out = &choice,
                                 .required = REQUIRED,
                                 .choices = choices}};
    if (!param_uuid(req, 1, &id) || !req_decode(req, fields, LEN(fields))) return;
    SEND(req, round_vote, voted, db_int(req->caller.project_id), db_uuid(req->caller.id),
         db_uuid(id), db_text(choice), db_uuid(uuid_new()));
}

/* POST /projects/{slug}/chat/conversations/{id}/end */
void chat_end(Req *req)
{
    Uuid id;
    if (param_uuid(req, 1, &id) && req_decode(req, NULL, 0)) {
        SEND(req, chat_end, finish_row, db_int(req->caller.project_id), db_uuid(req->caller.id),
             db_uuid(id));
    }
}

/* GET /projects/{slug}/chat/conversations */
void chat_list(Req *req)
{
    api_list(req, SQL_chat_list, AFTER_ID);
}

/* ---- one conversation ---- */

typedef struct Member {
    const char *name; /* in the reply */
    const char *column;
    enum { MEMBER_TEXT, MEMBER_RAW, MEMBER_HTML } kind; /* raw: bool or number */
} Member;

static const Member turn_members[] = {
    {"id", "turn_id", MEMBER_TEXT},    {"parent_id", "parent_id", MEMBER_TEXT},
    {"content", "said", MEMBER_TEXT},  {"html", "said", MEMBER_HTML},
    {"at", "at", MEMBER_TEXT},         {"round_id", "round_id", MEMBER_TEXT},
    {"choice", "choice", MEMBER_TEXT},
};
static const Member answer_members[] = {
    {"id", "answer_id", MEMBER_TEXT},
    {"slot", "slot", MEMBER_TEXT},
    {"round_id", "answer_round_id", MEMBER_TEXT},
    {"content", "content", MEMBER_TEXT},
    {"html", "content", MEMBER_HTML},
    {"finish", "finish", MEMBER_TEXT},
    {"edit_of", "edit_of", MEMBER_TEXT},
    {"model", "model", MEMBER_TEXT},
    {"thumb", "thumb", MEMBER_TEXT},
    {"star", "star", MEMBER_RAW},
    {"vote", "vote", MEMBER_RAW},
};

static void put_members(Buf *out, const Rows *rows, int row, const Member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int column = rows_column(rows, members[i].column);
        Str text = rows_text(rows, row, column);
        if (i > 0) buf_put_char(out, ',');
        json_put_key(out, members[i].name);
        if (members[i].kind == MEMBER_HTML) {
            markdown_put_json(out, text);
        } else if (members[i].kind == MEMBER_TEXT || text.ptr == NULL) {
            json_put_text(out, text);
        } else if (str_is(text, "t") || str_is(text, "f")) {
            buf_put_text(out, str_is(text, "t") ? "true" : "false");
        } else {
            buf_put_str(out, text);
        }
    }
}

/* A row an answer, those of one turn together. */
static void shown(Req *req, const Rows *rows)
{
    int turn = rows_column(rows, "turn_id"), answer = rows_column(rows, "answer_id");
    Buf out = reply_buf();
    if (rows_count(rows) == 0) {
        finish_row(req, rows);
        return;
    }
    buf_put_text(&out, "{\"id\":");
    json_put_text(&out, rows_text(rows, 0, rows_column(rows, "id")));
    buf_put_text(&out, ",\"surface\":");
    json_put_text(&out, rows_text(rows, 0, rows_column(rows, "surface")));
    buf_put_format(&out, ",\"ended\":%s,\"turns\":[",
                   rows_bool(rows, 0, rows_column(rows, "ended")) ? "true" : "false");
    for (int row = 0; row < rows_count(rows) && !rows_is_null(rows, row, turn); row++) {
        bool same =
            row > 0 && str_equal(rows_text(rows, row - 1, turn), rows_text(rows, row, turn));
        if (!same) {
            buf_put_text(&out, row > 0 ? "]},{" : "{");
            put_members(&out, rows, row, turn_members, LEN(turn_members));
            buf_put_text(&out, ",\"answers\":[");
        }
        if (rows_is_null(rows, row, answer)) continue;
        buf_put_text(&out, same ? ",{" : "{");
        put_members(&out, rows, row, answer_members, LEN(answer_members));
        buf_put_char(&out, '}');
    }
    buf_put_text(&out, rows_is_null(rows, 0, turn) ? "]}" : "]}]}");
    reply_json(req, 200, &out);
}

/* GET /projects/{slug}/chat/conversations/{id} */
void chat_show(Req *req)
{
    Uuid id;
    if (param_uuid(req, 1, &id)) {
        SEND(req, chat_show, shown, db_int(req->caller.project_id), db_uuid(req->caller.id),
             db_uuid(id));
    }
}
