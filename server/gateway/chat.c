/* chat.c - the surfaces `chat` and `arena`: a page sends a message, and gets the answer as events,
 * rendered as it grows (view.h).
 *
 * Events: begin, then block and tail as the answer grows, and one last: end, when the answer has
 * been recorded, or error, when there is none. */
#include "chat.h"

#include "../base/clock.h"
#include "../base/markdown.h"

enum {
    TAIL_US = 100000,        /* between two tails: ten a second */
    TAIL_BYTES_STEP = 16384, /* for each of these in the tail as long again, for it is sent again */
    WHY_BYTES_MAX = 300,     /* of a model server's own words about an error */
};

static Str content_of(const Exchange *x)
{
    if (x->collect.count == 0 || x->collect.choices[0].content.len == 0) return STR("");
    return buf_str(&x->collect.choices[0].content);
}

static void put_id(Buf *out, const char *name, Uuid id)
{
    char text[UUID_CHARS + 1];
    uuid_write(id, text);
    buf_put_format(out, ",\"%s\":\"%s\"", name, text);
}

/* ---- events ---- */

static void chat_begin(Exchange *x, Buf *out)
{
    buf_put_text(out, "data: {\"event\":\"begin\"");
    put_id(out, "conversation_id", x->conversation_id);
    put_id(out, "turn_id", x->thread.turn_id);
    put_id(out, "answer_id", x->answer_ids[0]);
    buf_put_text(out, "}\n\n");
}

static void put_error(Buf *out, Str message)
{
    buf_put_text(out, "data: {\"event\":\"error\",\"message\":");
    json_put_text(out, message);
    buf_put_text(out, "}\n\n");
}

static void put_end(Exchange *x, Buf *out)
{
    buf_put_text(out, "data: {\"event\":\"end\"");
    put_id(out, "answer_id", x->answer_ids[0]);
    buf_put_text(out, ",\"finish\":");
    json_put_text(out, exchange_finish(x, &x->collect.choices[0]));
    buf_put_text(out, ",\"content\":");
    json_put_text(out, content_of(x));
    buf_put_text(out, ",\"html\":");
    markdown_put_json(out, content_of(x));
    buf_put_text(out, "}\n\n");
}

static void show(void *context)
{
    Exchange *x = context;
    int64_t now = clock_monotonic_us();
    if (x->client_gone || x->finished) return;
    if (buf_waiting(&x->out) > 0) { /* a slow client gets fewer tails, not later ones */
        timer_set(&x->gateway->timers, &x->view_timer, now + TAIL_US, show, x);
        return;
    }
    view_scan(&x->view, content_of(x));
    view_put(&x->view, content_of(x), &x->out);
    x->viewed_us = now;
    req_stream_wake(x->req);
}

static void chat_event(Exchange *x, Str raw, Str data, Buf *out)
{
    (void)raw;
    (void)data;
    (void)out;
    Str content = content_of(x);
    if (content.len == 0 || x->view_timer.at != NULL) return;
    int64_t steps = 1 + (int64_t)(view_tail(&x->view, content) / TAIL_BYTES_STEP);
    int64_t due = x->viewed_us + steps * TAIL_US;
    if (clock_monotonic_us() >= due) {
        show(x);
    } else {
        timer_set(&x->gateway->timers, &x->view_timer, due, show, x);
    }
}

static void chat_tail(Exchange *x, Buf *out)
{
    if (x->collect.count == 0 || (x->broken && content_of(x).len == 0)) {
        put_error(out, STR("The model server gave no answer."));
    } else {
        put_end(x, out);
    }
}

static void chat_lost(Exchange *x, Buf *out)
{
    (void)x;
    put_error(out, STR("The answer could not be recorded; please try again."));
}

/* ---- answers that are no stream ---- */

/* What a model server says about its error, cut; ptr NULL: nothing readable. */
static Str words_of(Exchange *x)
{
    Err err = {0};
    Arena *arena = &x->req->arena;
    json_t *body = json_parse(buf_str(&x->body_in), arena, &err);
    json_t *error = json_object_get(body, "error");
    Str words = json_str(json_is_string(error) ? error : json_object_get(error, "message"));
    if (words.len > WHY_BYTES_MAX) words.len = WHY_BYTES_MAX;
    words = arena_copy(arena, words);
    json_decref(body);
    return words;
}

static void fail_whole(Exchange *x)
{
    Str words = x->shape->blind ? (Str){NULL, 0} : words_of(x);
    if (x->status == 200) {
        reply_fail(x->req, ERR_bad_gateway, NULL, "the model server's answer is not one of a chat");
        return;
    }
    if (x->retry_after.len > 0) req_add_header(x->req, "Retry-After", x->retry_after);
    reply_fail(x->req, x->status == 429 ? ERR_rate_limited : ERR_bad_gateway, NULL,
               "the model server answered with status %d%s" STR_FMT, x->status,
               words.len > 0 ? ": " : "", STR_ARG(words));
}

static void chat_whole(Exchange *x)
{
    Buf out;
    if (x->status != 200 || x->collect.count == 0) {
        fail_whole(x);
        return;
    }
    buf_init(&out, REPLY_BYTES_MAX);
    chat_begin(x, &out);
    put_end(x, &out);
    reply_text(x->req, 200, "text/event-stream", &out);
}

#define CHAT_SHAPE                                                                                 \
    .reads = true, .content_type = "text/event-stream", .begin = chat_begin, .event = chat_event,  \
    .tail = chat_tail, .lost = chat_lost, .whole = chat_whole

static const ExchangeShape chat_shape = {.surface = "chat", CHAT_SHAPE};
static const ExchangeShape arena_shape = {.surface = "arena", .blind = true, CHAT_SHAPE};

/* ---- the request ---- */

typedef struct Message {
    ChatAsk ask;
    ChatOpen open;
    Exchange *exchange;
} Message;

/* The conversation so far becomes the request that a model server takes. */
static bool prepare(Message *message, const ChatPlace *place, Err *err)
{
    Exchange *x = message->exchange;
    const ChatAsk *ask = &message->ask;
    x->made = json_pack("{s:b, s:o}", "stream", 1, "messages", place->messages);
    x->body = x->made;
    x->stream = true;
    x->model = ask->round.ptr != NULL ? place->model : ask->model;
    x->conversation_id = ask->conversation_id;
    x->end_user_id = x->req->caller.id;
    x->conversation_known = x->end_user_known = true;
    if (x->made == NULL || !chat_speaker(x->req, ask, &x->speaker)) {
        return err_set(err, &x->req->arena, ERR_unavailable, NULL, "no memory is left");
    }
    if (!exchange_decode(x, err)) return false;
    x->parent_known = place->has_parent;
    x->parent_id = place->parent_id;
    if (place->has_turn) x->thread.turn_id = place->turn_id;
    if (ask->round.ptr != NULL) {
        x->told = true;
        x->answer_ids[0] = place->answer_id;
        x->impression_id = place->impression_id;
    }
    return true;
}

static void opened(void *context, ChatPlace *place, const Err *err)
{
    Message *message = context;
    Exchange *x = message->exchange;
    Err wrong = {0};
    x->commits_due--;
    if (x->client_gone) {
        if (place != NULL) json_decref(place->messages);
        exchange_over(x);
    } else if (err != NULL) {
        exchange_fail(x, err->code, err->pointer, err->detail);
    } else if (prepare(message, place, &wrong)) {
        exchange_ask(x);
    } else {
        exchange_fail(x, wrong.code, wrong.pointer, wrong.detail);
    }
}

void gateway_message(Gateway *gateway, Req *req)
{
    Message *message = arena_alloc(&req->arena, sizeof *message);
    if (message == NULL) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    if (!chat_message_read(req, &message->ask)) return;
    const ExchangeShape *shape = message->ask.round.ptr != NULL ? &arena_shape : &chat_shape;
    message->exchange = exchange_new(gateway, req, shape);
    if (message->exchange == NULL) return;
    message->exchange->commits_due++; /* a statement points here */
    message->open = (ChatOpen){.gateway = gateway,
                               .req = req,
                               .ask = &message->ask,
                               .surface = shape->surface,
                               .opened = opened,
                               .context = message};
    chat_open(&message->open);
}
