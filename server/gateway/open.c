/* open.c - what a page asks, decoded, and looked up: see chat.h. */
#include "chat.h"

#include "../base/clock.h"

enum { TRIES_MAX = 20, TRY_US = 50000, MODEL_BYTES_MAX = 200 };
#define AHEAD_MS (24 * 3600 * (int64_t)1000) /* a clock that is wrong by a day */

/* ---- decoding ---- */

static bool refuse(Req *req, const char *pointer, const char *reason)
{
    reply_fail(req, ERR_invalid, pointer, "%s", reason);
    return false;
}

/* Conversations are listed by their id, which pages make: it must be of about now, or of the past.
 */
static bool id_check(Req *req, ChatAsk *ask)
{
    int64_t ms = 0;
    bool ok = uuid_read(ask->conversation, &ask->conversation_id);
    for (int i = 0; i < 6; i++) ms = ms << 8 | ask->conversation_id.bytes[i];
    ok = ok && ask->conversation_id.bytes[6] >> 4 == 7 && ms <= clock_unix_ms() + AHEAD_MS;
    return ok || refuse(req, "/conversation_id", "must be a UUID of version 7 (RFC 9562)");
}

static const char *const slots[] = {"A", "B", NULL};

static bool read_fields(Req *req, ChatAsk *out)
{
    *out = (ChatAsk){.content = {NULL, 0}};
    const JsonField fields[] = {
        {.name = "conversation_id",
         .kind = JSON_FIELD_UUID,
         .out = &out->conversation,
         .required = REQUIRED},
        {.name = "parent_id", .kind = JSON_FIELD_UUID, .out = &out->parent},
        {.name = "turn_id", .kind = JSON_FIELD_UUID, .out = &out->turn},
        {.name = "content",
         .kind = JSON_FIELD_TEXT,
         .out = &out->content,
         .min = 1,
         .max = QUESTION_BYTES_MAX},
        {.name = "model",
         .kind = JSON_FIELD_TEXT,
         .out = &out->model,
         .min = 1,
         .max = MODEL_BYTES_MAX},
        {.name = "round_id", .kind = JSON_FIELD_UUID, .out = &out->round},
        {.name = "slot", .kind = JSON_FIELD_ENUM, .out = &out->slot, .choices = slots},
    };
    return req_decode(req, fields, LEN(fields)) && id_check(req, out);
}

static bool question_check(Req *req, const ChatAsk *ask)
{
    if ((ask->content.ptr != NULL) == (ask->turn.ptr != NULL)) {
        return refuse(req, "/content",
                      "give either content, for a new message, or turn_id, for "
                      "another answer");
    }
    if (ask->turn.ptr != NULL && ask->parent.ptr != NULL) {
        return refuse(req, "/parent_id", "goes with content only: a turn knows what it follows");
    }
    return true;
}

bool chat_message_read(Req *req, ChatAsk *out)
{
    if (!read_fields(req, out)) return false;
    if (out->round.ptr == NULL) {
        if (out->slot.ptr != NULL) return refuse(req, "/slot", "goes with round_id only");
        if (out->model.ptr == NULL) return refuse(req, "/model", "is required");
        return question_check(req, out);
    }
    if (out->slot.ptr == NULL) return refuse(req, "/slot", "is required with round_id");
    if (out->model.ptr != NULL) return refuse(req, "/model", "is the round's to know");
    out->content = out->parent = out->turn = (Str){NULL, 0}; /* the round's, too */
    return true;
}

bool chat_round_read(Req *req, ChatAsk *out)
{
    if (!read_fields(req, out)) return false;
    if (out->model.ptr != NULL) return refuse(req, "/model", "models are drawn by the server");
    if (out->round.ptr != NULL) return refuse(req, "/round_id", "is made by the server");
    if (out->slot.ptr != NULL) return refuse(req, "/slot", "goes with a message");
    return question_check(req, out);
}

bool chat_speaker(Req *req, const ChatAsk *ask, Speaker *out)
{
    char id[UUID_CHARS + 1];
    uuid_write(req->caller.id, id);
    *out = (Speaker){.project_id = req->caller.project_id,
                     .user = arena_copy(&req->arena, str_from(id)),
                     .conversation = ask->conversation};
    return out->user.ptr != NULL;
}

/* ---- looking up ---- */

static const char *pointer_of(const ChatAsk *ask)
{
    if (ask->round.ptr != NULL) return "/round_id";
    return ask->turn.ptr != NULL ? "/turn_id" : "/parent_id";
}

static bool flag(const Rows *rows, const char *column)
{
    return rows_bool(rows, 0, rows_column(rows, column));
}

/* Why not, when it is the caller's own but not to be gone on with. */
static bool may_go_on(const ChatOpen *open, const Rows *rows, Err *err)
{
    Arena *arena = &open->req->arena;
    if (flag(rows, "known") &&
        !str_is(rows_text(rows, 0, rows_column(rows, "surface")), open->surface)) {
        return err_set(err, arena, ERR_conflict, "/conversation_id",
                       "this conversation is not one of the %s", open->surface);
    }
    if (flag(rows, "ended")) {
        return err_set(err, arena, ERR_conflict, "/conversation_id",
                       "this conversation has ended; begin another");
    }
    if (flag(rows, "taken")) {
        return err_set(err, arena, ERR_conflict, "/slot", "this slot has its answer");
    }
    if (rows_int(rows, 0, rows_column(rows, "answers")) >= CHAT_ANSWERS_MAX) {
        return err_set(err, arena, ERR_conflict, "/conversation_id",
                       "this conversation has %d answers; begin another", CHAT_ANSWERS_MAX);
    }
    return true;
}

/* The messages so far, the answer it goes on from, and the question. */
static json_t *messages_read(const ChatOpen *open, const Rows *rows, Err *err)
{
    Str before = rows_text(rows, 0, rows_column(rows, "messages"));
    Str answer = rows_text(rows, 0, rows_column(rows, "answer"));
    json_t *messages =
        before.ptr == NULL ? json_array() : json_parse(before, &open->req->arena, err);
    bool ok = messages != NULL;
    if (ok && answer.ptr != NULL) {
        ok = json_array_append_new(messages, json_parse(answer, &open->req->arena, err)) == 0;
    }
    if (ok && open->ask->content.ptr != NULL) {
        json_t *content = json_stringn(open->ask->content.ptr, open->ask->content.len);
        json_t *question = json_pack("{s:s, s:o}", "role", "user", "content", content);
        ok = json_array_append_new(messages, question) == 0;
    }
    if (ok) return messages;
    json_decref(messages);
    *err = (Err){.code = ERR_unavailable, .detail = "the messages so far could not be read"};
    return NULL;
}

static bool place_read(const ChatOpen *open, const Rows *rows, ChatPlace *out, Err *err)
{
    int turn = rows_column(rows, "turn_id"), parent = rows_column(rows, "parent_id");
    if (!may_go_on(open, rows, err)) return false;
    *out = (ChatPlace){
        .messages = messages_read(open, rows, err),
        .has_turn = !rows_is_null(rows, 0, turn),
        .turn_id = rows_uuid(rows, 0, turn),
        .has_parent = !rows_is_null(rows, 0, parent),
        .parent_id = rows_uuid(rows, 0, parent),
        .model = arena_copy(&open->req->arena, rows_text(rows, 0, rows_column(rows, "model"))),
        .answer_id = rows_uuid(rows, 0, rows_column(rows, "answer_id")),
        .impression_id = rows_uuid(rows, 0, rows_column(rows, "impression_id")),
    };
    return out->messages != NULL;
}

static void look(void *context);

static void looked(void *context, const Rows *rows, const Err *err)
{
    ChatOpen *open = context;
    ChatPlace place;
    Err wrong = {0};
    if (err != NULL) {
        open->opened(open->context, NULL, err);
        return;
    }
    bool own = rows_count(rows) > 0 && (!flag(rows, "known") || flag(rows, "mine"));
    if (own && !flag(rows, "found") && open->tries < TRIES_MAX) {
        timer_set(&open->gateway->timers, &open->timer, clock_monotonic_us() + TRY_US, look, open);
    } else if (!own || !flag(rows, "found")) {
        err_set(&wrong, &open->req->arena, ERR_not_found,
                own ? pointer_of(open->ask) : "/conversation_id",
                "there is no such thing here, or it is not yours");
        open->opened(open->context, NULL, &wrong);
    } else if (place_read(open, rows, &place, &wrong)) {
        open->opened(open->context, &place, NULL);
    } else {
        open->opened(open->context, NULL, &wrong);
    }
}

static void look(void *context)
{
    ChatOpen *open = context;
    const ChatAsk *ask = open->ask;
    Err err = {.code = ERR_unavailable, .detail = "the server is stopping"};
    const DbParam params[] = {
        db_int(open->req->caller.project_id),
        db_uuid(open->req->caller.id),
        db_text(ask->conversation),
        db_text(ask->parent),
        db_text(ask->turn),
        db_text(ask->round),
        ask->slot.ptr != NULL ? db_int(ask->slot.ptr[0] - 'A' + 1) : db_null(),
        db_int(CHAT_ANSWERS_MAX),
    };
    open->tries++;
    if (!open->gateway->closing && db_send(open->gateway->options.db, SQL_chat_open, params,
                                           LEN(params), looked, open, &err)) {
        return;
    }
    open->opened(open->context, NULL, &err);
}

void chat_open(ChatOpen *open)
{
    look(open);
}
