/* ticket.c - see ticket.h. */
#include "ticket.h"

#include <math.h>
#include <stdlib.h>

#include "../../server/base/clock.h"

Ticket *ticket_new(ScoreShape shape, const TicketRules *rules, Str body, void *owner)
{
    Ticket *ticket = calloc(1, sizeof *ticket);
    if (!ticket) return NULL;
    ticket->shape = shape;
    ticket->rules = rules;
    ticket->body = body;
    ticket->owner = owner;
    ticket->arrived_us = clock_monotonic_us();
    arena_init(&ticket->arena, TICKET_ARENA_MAX);
    return ticket;
}

void ticket_free(Ticket *ticket)
{
    for (size_t i = 0; ticket->ids && i < ticket->request.sequences; i++)
        token_ids_release(&ticket->ids[i]);
    score_request_release(&ticket->request);
    arena_release(&ticket->arena);
    free(ticket);
}

/* ---- texts to tokens ---- */

/* A text as it is, with the BOS and EOS of the model; what is too long loses its beginning. */
static bool encode_whole(Ticket *ticket, const EncodeRules *rules, Str text, TokenIds *ids)
{
    EncodeRules plain = *rules;
    int32_t none, bos = tokenizer_bos(rules->tokenizer);
    size_t most = (size_t)rules->max_length;
    plain.chat = TEMPLATE_RAW;
    plain.max_length = 0;
    if (!encode_answers(&plain, NULL, 0, &text, 1, ids, &none, &ticket->arena, &ticket->err))
        return false;
    if (most == 0 || ids->count <= most) return true;
    if (rules->refuse_overlong)
        return err_set(&ticket->err, &ticket->arena, ERR_too_large, NULL,
                       "the text has %zu tokens; at most %zu are allowed", ids->count, most);
    size_t keep = bos >= 0 && ids->ids[0] == bos && most > 1, excess = ids->count - most;
    ids->count = most;
    memmove(ids->ids + keep, ids->ids + keep + excess, (most - keep) * sizeof *ids->ids);
    if (ticket->cut < (int32_t)excess) ticket->cut = (int32_t)excess;
    return true;
}

static bool encode_ask(Ticket *ticket, const EncodeRules *rules, const Ask *ask, TokenIds *ids)
{
    if (!ask->whole) {
        int32_t cut = 0;
        bool ok = encode_answers(rules, ask->messages, ask->message_count, ask->answers, ask->count,
                                 ids, &cut, &ticket->arena, &ticket->err);
        if (ticket->cut < cut) ticket->cut = cut;
        if (!ok && !ticket->err.pointer) ticket->err.pointer = ask->member;
        return ok;
    }
    for (size_t i = 0; i < ask->count; i++) {
        if (encode_whole(ticket, rules, ask->answers[i], &ids[i])) continue;
        if (!ticket->err.pointer) ticket->err.pointer = ask_pointer(ask, i, &ticket->arena);
        return false;
    }
    return true;
}

static bool encode_all(Ticket *ticket)
{
    const ScoreRequest *request = &ticket->request;
    EncodeRules rules = ticket->rules->encode;
    size_t at = 0;
    if (request->truncate > 0 && request->truncate < rules.max_length)
        rules.max_length = (int32_t)request->truncate;
    for (size_t i = 0; i < request->ask_count; i++) {
        if (!encode_ask(ticket, &rules, &request->asks[i], ticket->ids + at)) return false;
        at += request->asks[i].count;
    }
    for (size_t i = 0; i < at; i++) ticket->tokens += (int64_t)ticket->ids[i].count;
    return ticket->tokens <= TICKET_TOKENS_MAX ||
           err_set(&ticket->err, &ticket->arena, ERR_too_large, NULL,
                   "the request has %lld tokens; at most %d are allowed", (long long)ticket->tokens,
                   TICKET_TOKENS_MAX);
}

/* ---- tokens to units ---- */

static bool make_units(Ticket *ticket)
{
    const TicketRules *rules = ticket->rules;
    size_t count = ticket->request.sequences;
    ShareRow *rows = arena_alloc(&ticket->arena, count * sizeof *rows);
    ticket->units = arena_alloc(&ticket->arena, count * sizeof *ticket->units);
    if (!rows || !ticket->units) return false;
    for (size_t i = 0; i < count; i++) {
        const TokenIds *ids = &ticket->ids[i];
        rows[i] = (ShareRow){{ids->ids, (int32_t)ids->count}, &ticket->scores[i]};
    }
    return share_rows(rows, (int32_t)count, rules->share, rules->batch_rows, ticket->units,
                      &ticket->unit_count, &ticket->arena);
}

void ticket_prepare(Ticket *ticket)
{
    ScoreRequest *request = &ticket->request;
    if (!score_request_decode(request, ticket->shape, ticket->body, &ticket->arena, &ticket->err))
        return;
    ticket->ids = arena_alloc(&ticket->arena, request->sequences * sizeof *ticket->ids);
    ticket->scores = arena_alloc(&ticket->arena, request->sequences * sizeof *ticket->scores);
    bool room = ticket->ids && ticket->scores;
    if (room && !encode_all(ticket)) return;
    if (room && make_units(ticket)) return;
    err_set(&ticket->err, &ticket->arena, ERR_unavailable, NULL, "out of memory for a request");
}

void ticket_check_scores(Ticket *ticket)
{
    for (size_t i = 0; i < ticket->request.sequences; i++) {
        if (isfinite(ticket->scores[i])) continue;
        err_set(&ticket->err, &ticket->arena, ERR_internal, NULL,
                "score %zu is not a finite number: the model overflows or its weights are damaged",
                i);
        return;
    }
}
