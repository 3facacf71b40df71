/* edit.c - POST /chat/edits: a person's better text for an answer that was shown. The next message
 * goes on from it by its id, so that nothing has to be guessed from texts. */
#include "chat.h"

#include "../base/markdown.h"

enum { EDIT_BYTES_MAX = 1048576, REPLY_ROOM_BYTES = 16777216 };

typedef struct Edit {
    Gateway *gateway;
    Req *req;
    Str answer, content;
    Uuid id;
} Edit;

static void kept(void *context, const Rows *rows, const Err *err)
{
    Edit *edit = context;
    char id[UUID_CHARS + 1];
    Buf out;
    (void)rows;
    if (err != NULL) {
        reply_error(edit->req, err);
        return;
    }
    uuid_write(edit->id, id);
    buf_init(&out, REPLY_ROOM_BYTES);
    buf_put_format(&out, "{\"id\":\"%s\",\"html\":", id);
    markdown_put_json(&out, edit->content);
    buf_put_char(&out, '}');
    reply_json(edit->req, 201, &out);
}

static void found(void *context, const Rows *rows, const Err *err)
{
    Edit *edit = context;
    Req *req = edit->req;
    Err wrong = {0};
    if (err != NULL) {
        reply_error(req, err);
        return;
    }
    if (rows_count(rows) == 0) {
        reply_fail(req, ERR_not_found, "/answer_id",
                   "there is no such answer, or it is not in a conversation of yours");
        return;
    }
    if (rows_bool(rows, 0, rows_column(rows, "ended"))) {
        reply_fail(req, ERR_conflict, NULL, "this conversation has ended; begin another");
        return;
    }
    Str shown = rows_text(rows, 0, rows_column(rows, "content"));
    Uuid digest = thread_text_digest(edit->content), before = thread_text_digest(shown);
    if (memcmp(digest.bytes, before.bytes, sizeof digest.bytes) == 0) {
        reply_fail(req, ERR_invalid, "/content", "is the text that was shown");
        return;
    }
    const DbParam params[] = {
        db_int(req->caller.project_id),
        db_uuid(edit->id),
        db_uuid(rows_uuid(rows, 0, rows_column(rows, "id"))),
        db_text(edit->content),
        db_uuid(digest),
        db_uuid(req->caller.id),
        db_uuid(uuid_new()),
        db_real(similar_texts(shown, edit->content)),
        db_real(1),
        db_text(rows_text(rows, 0, rows_column(rows, "surface"))),
    };
    if (!db_send(edit->gateway->options.db, SQL_edit_put, params, LEN(params), kept, edit,
                 &wrong)) {
        reply_error(req, &wrong);
    }
}

void gateway_edit(Gateway *gateway, Req *req)
{
    Err err = {0};
    Edit *edit = arena_alloc(&req->arena, sizeof *edit);
    if (edit == NULL) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    *edit = (Edit){.gateway = gateway, .req = req, .id = uuid_new()};
    const JsonField fields[] = {
        {.name = "answer_id", .kind = JSON_FIELD_UUID, .out = &edit->answer, .required = REQUIRED},
        {.name = "content",
         .kind = JSON_FIELD_TEXT,
         .out = &edit->content,
         .required = REQUIRED,
         .min = 1,
         .max = EDIT_BYTES_MAX},
    };
    if (!req_decode(req, fields, LEN(fields))) return;
    const DbParam params[] = {db_int(req->caller.project_id), db_uuid(req->caller.id),
                              db_text(edit->answer)};
    if (!db_send(gateway->options.db, SQL_chat_answer, params, LEN(params), found, edit, &err)) {
        reply_error(req, &err);
    }
}
