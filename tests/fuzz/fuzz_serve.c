/* fuzz_serve.c - bodies of requests for scores: the first byte chooses the shape. What is decoded
 * keeps its limits, what is refused says why, and the reply to what was decoded is JSON. */
// sources: reward_model/serve/request.c reward_model/serve/answer.c server/formats/messages.c
// sources: server/base/content.c
// sources: server/base/json*.c server/base/utf8.c server/base/arena.c reward_model/text/message.c
// sources: server/base/buf.c server/base/err.c server/base/crypto.c server/base/clock.c
// sources: server/base/metrics.c
#include <stdlib.h>
#include "../../reward_model/serve/answer.h"
#include "../../server/formats/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ask(const Ask *ask, Arena *arena)
{
    if (ask->count == 0 || ask->answers == NULL) abort();
    if (ask->whole && ask->message_count != 0) abort();
    for (size_t i = 0; i < ask->message_count; i++) {
        if (ask->messages[i].role.ptr == NULL || ask->messages[i].content.ptr == NULL) abort();
    }
    for (size_t i = 0; i < ask->count; i++) {
        if (ask->answers[i].ptr == NULL || ask->answers[i].len > ROW_TEXT_MAX) abort();
        if (!utf8_valid(ask->answers[i], NULL)) abort();
        if (ask_pointer(ask, i, arena) == NULL) abort();
    }
}

static void check_reply(Ticket *ticket)
{
    static const ServedModel model = {"a \"model\"", "float32", 1, 1024, 1};
    Err err = {0};
    Buf out;
    ticket->scores = arena_alloc(&ticket->arena, ticket->request.sequences * sizeof(double));
    if (ticket->scores == NULL) return;
    for (size_t i = 0; i < ticket->request.sequences; i++) {
        ticket->scores[i] = (double)(i * 7919 % 13) - 6.25;
    }
    buf_init(&out, ANSWER_BYTES_MAX);
    answer_write(&out, ticket, &model, "1");
    if (!buf_ok(&out)) abort();
    json_t *reply = json_parse(buf_str(&out), &ticket->arena, &err);
    if (!json_is_object(reply)) abort();
    json_decref(reply);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Ticket ticket;
    ScoreRequest *request = &ticket.request;
    Err err = {0};
    size_t sequences = 0;
    if (size == 0) return 0;
    ticket = (Ticket){.shape = (ScoreShape)(data[0] % SHAPE_COUNT)};
    arena_init(&ticket.arena, TICKET_ARENA_MAX);
    Str body = {(const char *)data + 1, size - 1};
    if (score_request_decode(request, ticket.shape, body, &ticket.arena, &err)) {
        for (size_t i = 0; i < request->ask_count; i++) {
            check_ask(&request->asks[i], &ticket.arena);
            sequences += request->asks[i].count;
        }
        if (sequences != request->sequences || sequences == 0) abort();
        if (sequences > REQUEST_SEQUENCES_MAX || request->truncate < 0) abort();
        check_reply(&ticket);
    } else {
        if (err.code == ERR_none || err.detail == NULL) abort();
        if (!utf8_valid(str_from(err.detail), NULL)) abort();
        if (err.pointer != NULL && !utf8_valid(str_from(err.pointer), NULL)) abort();
    }
    score_request_release(request);
    arena_release(&ticket.arena);
    return 0;
}
