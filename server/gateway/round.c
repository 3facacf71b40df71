/* round.c - POST /chat/rounds: two models are drawn, and everything about the round is written down
 * before either of them is asked. */
#include "chat.h"

#include <string.h>

/* The ordered pairs of different models are equally probable, so a pair has 1 in n (n - 1). */
typedef struct Round {
    ChatAsk ask;
    ChatOpen open;
    ChatPlace place; /* its messages are given back */
    Thread thread;
    Str question; /* messages of a new turn as JSON; ptr NULL: the turn is there */
    Uuid id;
} Round;

static void round_over(Round *round)
{
    round->open.gateway->exchanges--;
    req_release(round->open.req);
}

static void round_fail(Round *round, const Err *err)
{
    reply_error(round->open.req, err);
    round_over(round);
}

static void added(void *context, const Rows *rows, const Err *err)
{
    Round *round = context;
    Req *req = round->open.req;
    const Err ended = {ERR_conflict, "this conversation has ended; begin another", NULL};
    char id[UUID_CHARS + 1], turn[UUID_CHARS + 1];
    Buf out;
    if (err == NULL && rows_count(rows) == 0) err = &ended; /* since it was looked up */
    if (err != NULL) {
        round_fail(round, err);
        return;
    }
    uuid_write(round->id, id);
    uuid_write(round->thread.turn_id, turn);
    buf_init(&out, KiB(1));
    buf_put_format(&out, "{\"id\":\"%s\",\"turn_id\":\"%s\",\"slots\":[\"A\",\"B\"]}", id, turn);
    reply_json(req, 201, &out);
    round_over(round);
}

/* The n-th name. */
static const char *name_at(json_t *names, size_t n)
{
    void *at = json_object_iter(names);
    while (n-- > 0) at = json_object_iter_next(names, at);
    return json_object_iter_key(at);
}

static void listed(void *context, json_t *names, const Err *err)
{
    Round *round = context;
    Req *req = round->open.req;
    Err wrong = {ERR_conflict, "the arena needs at least two models", NULL};
    size_t count = json_object_size(names);
    if (err != NULL || count < ARENA_SLOTS) {
        round_fail(round, err != NULL ? err : &wrong);
        return;
    }
    size_t a = (size_t)(crypto_random_u64() % count);
    size_t b = (a + 1 + (size_t)(crypto_random_u64() % (count - 1))) % count;
    const char *name_a = name_at(names, a), *name_b = name_at(names, b);
    const DbParam params[] = {
        db_int(req->caller.project_id),
        db_uuid(req->caller.id),
        db_uuid(round->id),
        db_uuid(round->ask.conversation_id),
        db_uuid(round->thread.turn_id),
        round->place.has_parent ? db_uuid(round->place.parent_id) : db_null(),
        db_text(round->question),
        db_int(round->thread.depth),
        db_text(str_from(name_a)),
        db_text(str_from(name_b)),
        db_bool(strcmp(name_a, name_b) > 0),
        db_real(1.0 / (double)(count * (count - 1))),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        req->caller.is_key ? db_uuid(req->caller.id) : db_null(),
    };
    if (!db_send(round->open.gateway->options.db, SQL_round_add, params, LEN(params), added, round,
                 &wrong)) {
        round_fail(round, &wrong);
    }
}

/* The turn's place in the chain, and what it says when it is new. */
static bool turn_read(Round *round, Err *err)
{
    Req *req = round->open.req;
    const json_t *messages = round->place.messages;
    Speaker speaker;
    if (!chat_speaker(req, &round->ask, &speaker)) {
        return err_set(err, &req->arena, ERR_unavailable, NULL, "no memory is left");
    }
    if (!thread_read(&round->thread, &speaker, messages, round->open.gateway->options.pseudonym_key,
                     &req->arena, err)) {
        return false;
    }
    if (round->place.has_turn) {
        round->thread.turn_id = round->place.turn_id;
        return true;
    }
    Buf text;
    buf_init(&text, MiB(1));
    buf_put_char(&text, '[');
    json_put_value(&text, json_array_get(messages, json_array_size(messages) - 1));
    buf_put_char(&text, ']');
    if (buf_ok(&text)) round->question = arena_copy(&req->arena, buf_str(&text));
    buf_release(&text);
    return round->question.ptr != NULL ||
           err_set(err, &req->arena, ERR_too_large, "/content", "is too long");
}

static void opened(void *context, ChatPlace *place, const Err *err)
{
    Round *round = context;
    Err wrong = {0};
    if (err != NULL) {
        round_fail(round, err);
        return;
    }
    round->place = *place;
    bool ok = turn_read(round, &wrong);
    json_decref(place->messages);
    round->place.messages = NULL;
    if (ok) {
        models_list(round->open.gateway, round->open.req, listed, round);
    } else {
        round_fail(round, &wrong);
    }
}

void gateway_round(Gateway *gateway, Req *req)
{
    Round *round = arena_alloc(&req->arena, sizeof *round);
    if (round == NULL) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return;
    }
    if (!chat_round_read(req, &round->ask)) return;
    round->id = uuid_new();
    round->open = (ChatOpen){.gateway = gateway,
                             .req = req,
                             .ask = &round->ask,
                             .surface = "arena",
                             .opened = opened,
                             .context = round};
    gateway->exchanges++;
    req_hold(req);
    chat_open(&round->open);
}
