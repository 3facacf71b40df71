/* exchange.c - one request through the gateway: which model server is asked, what of its answer
 * goes on at once, and when the end may be told. See internal.h for the order of things. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "../base/clock.h"
#include "../base/metrics.h"

enum { GONE_SETTLE_US = 500000, HEARD_BYTES = 4096 };

/* ---- the end ---- */

void exchange_end(Exchange *x)
{
    Req *req = x->req;
    assert(x->call == NULL && x->demo == NULL && x->commits_due == 0);
    x->gateway->exchanges--;
    timer_clear(&x->view_timer);
    collect_release(&x->collect);
    json_decref(x->made);
    buf_release(&x->text_out);
    buf_release(&x->body_in);
    buf_release(&x->out);
    buf_release(&x->heard);
    if (x->sse_open) sse_release(&x->sse);
    free(x);
    req_release(req);
}

/* Once the answer has gone out (or nobody waits for it) and the record stands. */
void exchange_over(Exchange *x)
{
    bool streaming = x->passing && !x->client_gone;
    if (x->commits_due > 0 || streaming) return;
    exchange_end(x);
}

void exchange_fail(Exchange *x, ErrCode code, const char *pointer, const char *why)
{
    if (!x->client_gone) reply_fail(x->req, code, pointer, "%s", why);
    x->finished = true;
    exchange_over(x);
}

/* ---- what goes to the client ---- */

/* x-aileron-completion-id: the answer's id, or those of all choices. */
void exchange_name(Exchange *x)
{
    Buf ids;
    buf_init(&ids, KiB(8));
    for (int i = 0; i < x->choices; i++) {
        char id[UUID_CHARS + 1];
        uuid_write(x->answer_ids[i], id);
        if (i > 0) buf_put_char(&ids, ',');
        buf_put_text(&ids, id);
    }
    req_add_header(x->req, "X-Aileron-Completion-Id", buf_str(&ids));
    buf_release(&ids);
}

static bool stream_fill(void *context, Buf *out, bool *end)
{
    Exchange *x = context;
    buf_put_str(out, buf_str(&x->out));
    buf_clear(&x->out);
    if (x->paused) {
        x->paused = false;
        if (x->call != NULL) upstream_resume(x->call);
    }
    *end = x->finished;
    return x->finished;
}

static void call_drop(Exchange *x)
{
    if (x->call != NULL) upstream_cancel(x->call);
    if (x->demo != NULL) demo_cancel(x->demo);
    x->call = NULL;
    x->demo = NULL;
}

static void read_event(Exchange *x, Str data)
{
    if (!collect_chunk(&x->collect, data, &x->req->arena)) x->broken = true;
}

static void read_heard(Exchange *x)
{
    Str rest = buf_str(&x->heard);
    while (rest.len > 0) {
        size_t length = strnlen(rest.ptr, rest.len);
        read_event(x, (Str){rest.ptr, length});
        rest = str_skip(rest, length + 1);
    }
    buf_clear(&x->heard);
}

/* What goes on untouched goes on first: the first words wait for nobody to read them. */
static void hear_event(Exchange *x, Str data)
{
    bool fits = x->heard.len + data.len < HEARD_BYTES && memchr(data.ptr, '\0', data.len) == NULL;
    if (!fits) read_heard(x);
    if (!fits || x->shape->reads) {
        read_event(x, data);
    } else {
        buf_put_str(&x->heard, data);
        buf_put_char(&x->heard, '\0');
        if (!buf_ok(&x->heard)) x->broken = true;
    }
}

static void record_stream(Exchange *x)
{
    read_heard(x);
    exchange_record(x);
}

static void record_late(void *context)
{
    record_stream(context);
}

/* Who gives up often asks again at once, and that request may be recorded in the same moment:
 * neither would see the other. So this waits a little; nobody else does. Pages know their turns by
 * id. */
static void record_gone(Exchange *x)
{
    if (strcmp(x->shape->surface, "gateway") != 0) {
        record_stream(x);
        return;
    }
    timer_set(&x->gateway->timers, &x->late_timer, clock_monotonic_us() + GONE_SETTLE_US,
              record_late, x);
}

/* The client has been served, or went away: then the model server is told to stop, and what it said
 * so far is recorded. */
static void stream_close(void *context)
{
    Exchange *x = context;
    x->client_gone = true;
    if (!x->ended) {
        x->ended = true;
        call_drop(x);
        record_gone(x);
        return;
    }
    exchange_over(x);
}

/* The same for an answer that does not stream. The reply goes nowhere, but it is due. */
static void wait_gone(Req *req)
{
    Exchange *x = req->state;
    bool asked = x->call != NULL || x->demo != NULL;
    x->client_gone = true;
    reply_fail(req, ERR_unavailable, NULL, "the client has gone");
    if (x->ended || !asked) return; /* a statement is under way, and will find nobody to answer */
    x->ended = true;
    call_drop(x);
    record_gone(x);
}

static void stream_begin(Exchange *x)
{
    const ReplyStream stream = {stream_fill, stream_close, x};
    x->passing = true;
    sse_init(&x->sse);
    x->sse_open = true;
    exchange_name(x);
    buf_init(&x->out, REPLY_BYTES_MAX);
    buf_init(&x->heard, 2 * HEARD_BYTES);
    const char *type = x->content_type.len > 0 ? x->content_type.ptr : "text/event-stream";
    if (x->shape->begin != NULL) x->shape->begin(x, &x->out);
    reply_stream(x->req, x->shape->content_type != NULL ? x->shape->content_type : type, &stream);
}

/* ---- what comes from upstream ---- */

static bool starts_event_stream(const Exchange *x)
{
    return x->stream && x->status == 200 && str_starts(x->content_type, "text/event-stream");
}

static void on_head(void *context, const UpstreamHead *head)
{
    Exchange *x = context;
    x->status = head->status;
    x->content_type = arena_copy(&x->req->arena, head->content_type);
    x->retry_after = arena_copy(&x->req->arena, head->retry_after);
    x->first_byte_us = clock_monotonic_us();
    if (starts_event_stream(x)) {
        stream_begin(x);
    } else {
        buf_init(&x->body_in, REPLY_BYTES_MAX);
    }
}

static void on_event(void *context, Str raw, Str data)
{
    Exchange *x = context;
    if (str_is(data, "[DONE]")) {
        x->held = arena_copy(&x->req->arena, raw);
        return;
    }
    if (data.ptr != NULL) hear_event(x, data);
    x->shape->event(x, raw, data, &x->out);
}

static bool on_data(void *context, Str bytes)
{
    Exchange *x = context;
    if (!x->passing) {
        buf_put_str(&x->body_in, bytes);
        return buf_ok(&x->body_in);
    }
    if (!sse_feed(&x->sse, bytes, on_event, x)) return false;
    if (buf_waiting(&x->out) > STREAM_HELD_BYTES && x->call != NULL) {
        x->paused = true;
        upstream_pause(x->call);
    }
    if (buf_waiting(&x->out) > 0) req_stream_wake(x->req);
    return true;
}

/* The next one may be asked while nothing of an answer has been passed on. */
static bool may_go_on(const Exchange *x)
{
    if (x->passing || x->client_gone || x->attempts >= ATTEMPTS_MAX) return false;
    if (x->outcome == UPSTREAM_COMPLETE) return x->status >= 500 || x->status == 429;
    return true;
}

void exchange_answer(Exchange *x)
{
    x->ended = true;
    if (x->outcome != UPSTREAM_COMPLETE) {
        bool late = x->outcome == UPSTREAM_TIMED_OUT;
        exchange_fail(x, late ? ERR_timeout : ERR_bad_gateway, NULL,
                      x->shape->blind ? "the model server did not answer" : x->why.ptr);
        return;
    }
    bool answered =
        x->status == 200 && collect_reply(&x->collect, buf_str(&x->body_in), &x->req->arena);
    if (answered && x->store) {
        exchange_record(x);
        return;
    }
    if (!x->client_gone) x->shape->whole(x);
    x->finished = true;
    exchange_over(x);
}

static void on_done(void *context, UpstreamOutcome outcome, const char *why)
{
    Exchange *x = context;
    x->call = NULL;
    x->demo = NULL;
    x->outcome = outcome;
    x->why = arena_copy(&x->req->arena, str_from(why));
    if (may_go_on(x)) {
        exchange_ask(x);
    } else if (!x->passing) {
        exchange_answer(x);
    } else {
        x->ended = true;
        sse_end(&x->sse, on_event, x);
        if (outcome != UPSTREAM_COMPLETE) x->broken = true;
        if (!x->client_gone) req_stream_wake(x->req);
        record_stream(x);
    }
}

const UpstreamEvents exchange_events = {on_head, on_data, on_done, NULL};

/* ---- the record is there ---- */

static void stream_finish(Exchange *x)
{
    timer_clear(&x->view_timer);
    x->finished = true;
    if (x->client_gone) return;
    if (x->commit_failed) {
        x->shape->lost(x, &x->out);
    } else {
        x->shape->tail(x, &x->out);
    }
    req_stream_wake(x->req);
}

void exchange_recorded(Exchange *x)
{
    bool answered = x->acknowledged || x->client_gone;
    if (!answered && !x->commit_failed) pair_draw(x);
    if (answered) {
        x->finished = true;
    } else if (x->passing) {
        stream_finish(x);
        return; /* the stream's close ends the exchange */
    } else if (x->commit_failed) {
        exchange_fail(x, ERR_unavailable, NULL, "the answer could not be recorded");
        return;
    } else {
        x->shape->whole(x);
        x->finished = true;
    }
    exchange_over(x);
}

Exchange *exchange_new(Gateway *gateway, Req *req, const ExchangeShape *shape)
{
    Exchange *x = calloc(1, sizeof *x);
    if (x == NULL) {
        reply_fail(req, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    *x = (Exchange){.gateway = gateway, .req = req, .shape = shape, .store = true};
    x->arrived_us = clock_monotonic_us();
    gateway->exchanges++;
    req_hold(req);
    req->state = x;
    req_watch(req, wait_gone);
    return x;
}
