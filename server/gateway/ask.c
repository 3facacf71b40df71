/* ask.c - who is asked: the first upstream that serves the model and may be called, then the next.
 */
#include "internal.h"

#include "../base/content.h"

enum { SENT_BYTES_MAX = 33554432 }; /* a body that is written anew */

/* The first not yet tried that serves the model and may be called; full tells that one may later.
 */
static const ProjectUpstream *choose(Exchange *x, const Project *project, bool *served, bool *full)
{
    const Gateway *g = x->gateway;
    for (int i = 0; i < project->upstream_count; i++) {
        const ProjectUpstream *upstream = &project->upstreams[i];
        int share = (upstream->concurrency + g->options.workers - 1) / g->options.workers;
        Str there = project_model_there(upstream, x->model);
        if (there.ptr == NULL) continue;
        *served = true;
        if (x->tried & (1u << i)) continue;
        if (upstream_ready(g->upstreams, upstream->id, share) != UPSTREAM_READY) {
            *full = true;
            continue;
        }
        x->tried |= 1u << i;
        x->there = arena_copy(&x->req->arena, there);
        return upstream;
    }
    return NULL;
}

static bool copy_upstream(Exchange *x, const ProjectUpstream *from)
{
    Arena *arena = &x->req->arena;
    x->upstream = (ProjectUpstream){.id = from->id,
                                    .name = arena_copy(arena, from->name),
                                    .url = arena_copy(arena, from->url),
                                    .key = arena_copy(arena, from->key),
                                    .timeout_ms = from->timeout_ms,
                                    .concurrency = from->concurrency};
    return x->upstream.name.ptr != NULL && x->upstream.url.ptr != NULL && x->there.ptr != NULL;
}

/* The body goes on as it came, byte for byte, unless the model has another name there (or none of
 * it came as bytes). */
static bool body_for(Exchange *x)
{
    x->sent = x->text;
    if (str_equal(x->there, x->model) && x->text.ptr != NULL) return true;
    json_t *body = json_copy(x->body);
    json_object_set_new(body, "model", json_stringn(x->there.ptr, x->there.len));
    buf_release(&x->text_out);
    buf_init(&x->text_out, SENT_BYTES_MAX);
    json_put_value(&x->text_out, body);
    json_decref(body);
    x->sent = buf_str(&x->text_out);
    return buf_ok(&x->text_out);
}

static bool call_server(Exchange *x, const UpstreamEvents *events)
{
    Arena *arena = &x->req->arena;
    Str accept = req_header(x->req, "Accept");
    int share =
        (x->upstream.concurrency + x->gateway->options.workers - 1) / x->gateway->options.workers;
    UpstreamRequest request = {
        .id = x->upstream.id,
        .concurrency = share,
        .url = arena_printf(arena, "%s/chat/completions", x->upstream.url.ptr).ptr,
        .post = true,
        .timeout_ms = x->upstream.timeout_ms,
        .headers = {"Content-Type: application/json"},
    };
    int count = 1;
    if (accept.len == 0) accept = STR("*/*");
    request.headers[count++] = arena_printf(arena, "Accept: " STR_FMT, STR_ARG(accept)).ptr;
    if (x->upstream.key.ptr != NULL) {
        request.headers[count++] =
            arena_printf(arena, "Authorization: Bearer %s", x->upstream.key.ptr).ptr;
    }
    request.headers[count] = arena_printf(arena, "X-Request-Id: %s", x->req->id).ptr;
    if (request.url == NULL || request.headers[count] == NULL || !body_for(x)) return false;
    request.body = x->sent;
    x->call = upstream_call(x->gateway->upstreams, &request, events);
    return x->call != NULL;
}

static bool call_demo(Exchange *x, const UpstreamEvents *events)
{
    const json_t *messages = json_object_get(x->body, "messages");
    Str question = STR("");
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        if (!str_is(json_str(json_object_get(message, "role")), "user")) continue;
        question = content_text(json_object_get(message, "content"), &x->req->arena);
        break;
    }
    const DemoRequest request =
        {x->req->caller.project_id, question,         x->model, x->stream, x->choices,
         x->answer_ids[0],          x->thread.turn_id};
    x->demo = demo_call(x->gateway->demos, &request, events);
    return x->demo != NULL;
}

static void ask_with(Exchange *x, const Project *project)
{
    bool served = false, full = false;
    UpstreamEvents events = exchange_events;
    const ProjectUpstream *upstream = choose(x, project, &served, &full);
    events.context = x;
    x->session_s = project->session_s;
    if (upstream == NULL) {
        if (x->attempts > 0) { /* nobody is left: what the last one said is the answer */
            exchange_answer(x);
        } else if (full) {
            exchange_fail(x, ERR_unavailable, NULL,
                          "every model server of this model is busy or at rest");
        } else if (!served && project->upstream_count > 0) {
            char why[512];
            snprintf(why, sizeof why,
                     "no model server of this project serves " STR_FMT
                     "; GET /openai/v1/models lists what they serve",
                     STR_ARG(x->model));
            exchange_fail(x, ERR_not_found, "/model", why);
        } else {
            exchange_fail(x, ERR_not_found, NULL,
                          "this project has no model server: aileron upstream add");
        }
        return;
    }
    x->attempts++;
    x->status = 0;
    buf_release(&x->body_in);
    bool demo = copy_upstream(x, upstream) && str_is(x->upstream.url, "demo:");
    bool asked = demo ? call_demo(x, &events) : call_server(x, &events);
    if (!asked) exchange_fail(x, ERR_unavailable, NULL, "there is no memory for another call");
}

static void config_read(void *context, const Rows *rows, const Err *err)
{
    Exchange *x = context;
    Err wrong = {0};
    x->commits_due--;
    const Project *project = err != NULL
                                 ? NULL
                                 : project_put(x->gateway->projects, x->req->caller.project_id,
                                               rows, &x->req->arena, &wrong);
    if (err == NULL) err = &wrong;
    if (x->client_gone) {
        exchange_over(x);
    } else if (project == NULL) {
        exchange_fail(x, err->code, err->pointer, err->detail);
    } else {
        ask_with(x, project);
    }
}

void exchange_ask(Exchange *x)
{
    Gateway *g = x->gateway;
    Err err = {0};
    DbParam id = db_int(x->req->caller.project_id);
    const Project *project = project_find(g->projects, x->req->caller.project_id);
    if (project != NULL) {
        ask_with(x, project);
        return;
    }
    x->commits_due++; /* a statement points here */
    if (db_send(g->options.db, SQL_gateway_config, &id, 1, config_read, x, &err)) return;
    x->commits_due--;
    exchange_fail(x, err.code, err.pointer, err.detail);
}
