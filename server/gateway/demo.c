/* demo.c - see demo.h. The text comes from the project's own completions (demo_answer.sql); the
 * words go out one by one, so that stopping, voting early and streaming can be tried. */
#include "demo.h"

#include <stdio.h>
#include <stdlib.h>
#include "../base/buf.h"
#include "../base/clock.h"
#include "../base/json.h"

enum { WORD_US = 25000, FIRST_WORD_US = 150000, EVENT_BYTES_MAX = 2097152 };

static const char label[] = "[Canned demo answer] ";
#define NO_ANSWER "This project has no completions that a demo could answer with."

struct DemoCall {
    DemoCall *next, *previous;
    DemoCalls *owner;
    UpstreamEvents events;
    DemoRequest request;
    char model[201];
    Buf text;       /* the answer */
    size_t told;    /* bytes of it that went out */
    int64_t due_us; /* INT64_MAX: waits for the database */
    bool waiting, cancelled, begun;
};

struct DemoCalls {
    Db *db;
    DemoCall *calls;
};

DemoCalls *demo_calls_open(Db *db)
{
    DemoCalls *calls = calloc(1, sizeof *calls);
    if (calls != NULL) calls->db = db;
    return calls;
}

static void call_free(DemoCall *call)
{
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        call->owner->calls = call->next;
    }
    if (call->next != NULL) call->next->previous = call->previous;
    buf_release(&call->text);
    free(call);
}

void demo_calls_close(DemoCalls *calls)
{
    if (calls == NULL) return;
    while (calls->calls != NULL) call_free(calls->calls);
    free(calls);
}

int demo_timeout_ms(const DemoCalls *calls)
{
    int64_t next = INT64_MAX;
    for (const DemoCall *call = calls->calls; call != NULL; call = call->next) {
        if (call->due_us < next) next = call->due_us;
    }
    if (next == INT64_MAX) return -1;
    int64_t wait_us = next - clock_monotonic_us();
    return wait_us <= 0 ? 0 : (int)(wait_us / 1000) + 1;
}

/* ---- what is said ---- */

static void put_head(Buf *out, const DemoCall *call, const char *object)
{
    char id[UUID_CHARS + 1];
    uuid_write(call->request.seed, id);
    buf_put_format(out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", id,
                   object, (long long)(clock_unix_ms() / 1000));
    json_put_text(out, str_from(call->model));
    buf_put_text(out, ",\"choices\":[");
}

static bool tell(DemoCall *call, Buf *out)
{
    bool ok = buf_ok(out) && call->events.data(call->events.context, buf_str(out));
    buf_release(out);
    return ok && !call->cancelled;
}

/* The next word with the space before it, as an event. False: the call is over. */
static bool tell_word(DemoCall *call)
{
    size_t end = call->told;
    while (end < call->text.len && call->text.data[end] == ' ') end++;
    while (end < call->text.len && call->text.data[end] != ' ') end++;
    Str word = {call->text.data + call->told, end - call->told};
    bool last = end == call->text.len;
    Buf out;
    buf_init(&out, EVENT_BYTES_MAX);
    for (int i = 0; i < call->request.choices; i++) {
        buf_put_text(&out, "data: ");
        put_head(&out, call, "chat.completion.chunk");
        buf_put_format(&out, "{\"index\":%d,\"delta\":{", i);
        if (call->told == 0) buf_put_text(&out, "\"role\":\"assistant\",");
        buf_put_text(&out, "\"content\":");
        json_put_text(&out, word);
        buf_put_format(&out, "},\"finish_reason\":%s}]}\n\n", last ? "\"stop\"" : "null");
    }
    if (last) buf_put_text(&out, "data: [DONE]\n\n");
    call->told = end;
    return tell(call, &out) && !last;
}

static bool tell_whole(DemoCall *call)
{
    Buf out;
    buf_init(&out, EVENT_BYTES_MAX);
    put_head(&out, call, "chat.completion");
    for (int i = 0; i < call->request.choices; i++) {
        buf_put_format(&out, "%s{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":",
                       i > 0 ? "," : "", i);
        json_put_text(&out, buf_str(&call->text));
        buf_put_text(&out, "},\"finish_reason\":\"stop\"}");
    }
    buf_put_text(&out, "]}");
    tell(call, &out);
    return false;
}

static void call_turn(DemoCall *call)
{
    UpstreamEvents events = call->events;
    bool stream = call->request.stream;
    if (!call->begun) {
        UpstreamHead head = {.status = 200, .content_type = STR("application/json")};
        if (stream) head.content_type = STR("text/event-stream");
        call->begun = true;
        events.head(events.context, &head);
    }
    call->due_us = clock_monotonic_us() + WORD_US;
    bool more = !call->cancelled && (stream ? tell_word(call) : tell_whole(call));
    if (more) return;
    bool cancelled = call->cancelled;
    call_free(call);
    if (!cancelled) events.done(events.context, UPSTREAM_COMPLETE, "");
}

void demo_pump(DemoCalls *calls)
{
    int64_t now = clock_monotonic_us();
    for (DemoCall *call = calls->calls, *next; call != NULL; call = next) {
        next = call->next;
        if (call->due_us > now) continue;
        if (call->cancelled) {
            call_free(call);
        } else {
            call_turn(call);
            next = calls->calls; /* events may end other calls */
        }
        now = clock_monotonic_us() - WORD_US / 2;
    }
}

/* ---- beginning ---- */

static void answer_found(void *context, const Rows *rows, const Err *err)
{
    DemoCall *call = context;
    Str text = err == NULL && rows_count(rows) > 0 ? rows_text(rows, 0, 0) : (Str){NULL, 0};
    call->waiting = false;
    if (text.ptr == NULL) text = STR(NO_ANSWER);
    buf_put_text(&call->text, label);
    buf_put_str(&call->text, text);
    call->due_us = call->cancelled ? 0 : clock_monotonic_us() + FIRST_WORD_US;
}

DemoCall *demo_call(DemoCalls *calls, const DemoRequest *request, const UpstreamEvents *events)
{
    DemoCall *call = calloc(1, sizeof *call);
    Err err = {0};
    if (call == NULL) return NULL;
    *call = (DemoCall){.owner = calls, .events = *events, .request = *request, .waiting = true};
    call->next = calls->calls;
    if (call->next != NULL) call->next->previous = call;
    calls->calls = call;
    call->due_us = INT64_MAX;
    buf_init(&call->text, EVENT_BYTES_MAX / 8);
    snprintf(call->model, sizeof call->model, STR_FMT, STR_ARG(request->model));
    const DbParam params[] = {db_int(request->project_id), db_text(request->question),
                              db_text(request->model),     db_uuid(request->seed),
                              db_uuid(request->turn_id),   db_text(str_from(label))};
    if (db_send(calls->db, SQL_demo_answer, params, LEN(params), answer_found, call, &err)) {
        return call;
    }
    call_free(call);
    return NULL;
}

void demo_cancel(DemoCall *call)
{
    call->cancelled = true; /* freed at its next turn: a statement or an event may be under way */
    if (!call->waiting) call->due_us = 0;
}
