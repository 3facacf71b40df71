/* pair.c - pairs from real traffic: for a share of requests a second answer is drawn in the
 * background, and the two become a comparison for annotators, with the policy and its probability.
 *
 * A Draw owns itself and copies of all it needs; the request is over by then. What goes wrong with
 * a second answer costs nothing but the pair. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include "../base/log.h"
#include "../formats/batch.h"
#include "../formats/identity.h"

enum { PAIR_BYTES_MAX = 33554432, PAIR_PARAMS = 2 + BATCH_COLUMN_COUNT };
#define PAIR_TEMPERATURE 1.0 /* of the second answer, where the model is the same */

struct Draw {
    Draw *next, *previous;
    Gateway *gateway;
    Arena arena;
    int64_t project_id;
    Row row; /* the prompt and the first answer; the second is put beside it */
    Str model;
    Buf body_in;
    Collect collect;
    UpstreamCall *call;
    DemoCall *demo;
    int status;
};

static void pair_free(Draw *pair)
{
    if (pair->previous != NULL) {
        pair->previous->next = pair->next;
    } else {
        pair->gateway->draws = pair->next;
    }
    if (pair->next != NULL) pair->next->previous = pair->previous;
    collect_release(&pair->collect);
    buf_release(&pair->body_in);
    arena_release(&pair->arena);
    free(pair);
}

void pairs_close(Gateway *gateway)
{
    while (gateway->draws != NULL) pair_free(gateway->draws);
}

/* ---- the comparison ---- */

static void added(void *context, const Rows *rows, const Err *err)
{
    (void)context;
    (void)rows;
    if (err != NULL) {
        log_event(LOG_WARN, "pair", "not added: %s", err->detail == NULL ? "" : err->detail);
    }
}

static void pair_add(Draw *pair)
{
    Err err = {0};
    Batch batch;
    DbParam params[PAIR_PARAMS];
    batch_init(&batch);
    if (batch_add(&batch, &pair->row, NULL)) {
        params[0] = db_int(pair->project_id);
        params[1] = db_null();
        for (int i = 0; i < BATCH_COLUMN_COUNT; i++) {
            Str column = batch_column(&batch, (BatchColumn)i);
            params[2 + i] = db_binary(column.ptr, column.len);
        }
        if (!db_send(pair->gateway->options.db, SQL_import_batch, params, PAIR_PARAMS, added, NULL,
                     &err)) {
            added(NULL, NULL, &err);
        }
    }
    batch_release(&batch);
}

/* ---- the second answer ---- */

static void on_head(void *context, const UpstreamHead *head)
{
    ((Draw *)context)->status = head->status;
}

static bool on_data(void *context, Str bytes)
{
    Draw *pair = context;
    buf_put_str(&pair->body_in, bytes);
    return buf_ok(&pair->body_in);
}

static void on_done(void *context, UpstreamOutcome outcome, const char *why)
{
    Draw *pair = context;
    (void)why;
    bool whole = outcome == UPSTREAM_COMPLETE && pair->status == 200 &&
                 collect_reply(&pair->collect, buf_str(&pair->body_in), &pair->arena) &&
                 pair->collect.count > 0;
    const Choice *choice = whole ? &pair->collect.choices[0] : NULL;
    if (choice != NULL && choice->content.len > 0 && choice->calls == NULL &&
        !str_equal(buf_str(&choice->content), pair->row.completions[0].content) &&
        !pair->gateway->closing) {
        Str model = pair->collect.model.len > 0 ? pair->collect.model : pair->model;
        pair->row.completions[1] =
            (RowCompletion){.model = model, .content = buf_str(&choice->content)};
        pair->row.completion_count = 2;
        pair_add(pair);
    }
    pair_free(pair);
}

/* ---- beginning ---- */

static Str json_text(const json_t *value, Arena *arena)
{
    Buf out;
    buf_init(&out, PAIR_BYTES_MAX / 2);
    json_put_value(&out, value);
    Str text = buf_ok(&out) ? arena_copy(arena, buf_str(&out)) : (Str){NULL, 0};
    buf_release(&out);
    return text;
}

/* The same request for one whole answer of that model; another temperature where it is the same. */
static Str second_body(const Exchange *x, Str there, bool same, Arena *arena)
{
    json_t *body = json_copy(x->body);
    if (body == NULL) return (Str){NULL, 0};
    json_object_set_new(body, "model", json_stringn(there.ptr, there.len));
    json_object_del(body, "stream");
    json_object_del(body, "stream_options");
    json_object_del(body, "seed");
    if (same) json_object_set_new(body, "temperature", json_real(PAIR_TEMPERATURE));
    Str text = json_text(body, arena);
    json_decref(body);
    return text;
}

static bool first_row(Draw *pair, const Exchange *x, double share)
{
    char id[UUID_CHARS + 1], *name = arena_alloc(&pair->arena, CRYPTO_PSEUDONYM_CHARS + 1);
    const Choice *choice = &x->collect.choices[0];
    Uuid speaker = x->thread.named ? x->thread.speaker_id : x->conversation_id;
    if (name == NULL) return false;
    annotator_pseudonym(name, speaker, (Str){NULL, 0}, x->gateway->options.pseudonym_key);
    uuid_write(x->answer_ids[0], id);
    pair->row.group = str_from(name);
    pair->row.prompt = json_text(json_object_get(x->body, "messages"), &pair->arena);
    pair->row.metadata = arena_printf(&pair->arena,
                                      "{\"source\":\"gateway\",\"policy\":\"pair-share\","
                                      "\"propensity\":%.6g,\"answer\":\"%s\"}",
                                      share, id);
    pair->row.tags[0] = STR("gateway");
    pair->row.tag_count = 1;
    pair->row.completions[0].model =
        arena_copy(&pair->arena, x->collect.model.len > 0 ? x->collect.model : x->model);
    pair->row.completions[0].content = arena_copy(&pair->arena, buf_str(&choice->content));
    return pair->row.prompt.ptr != NULL && pair->row.metadata.ptr != NULL &&
           pair->row.completions[0].content.ptr != NULL;
}

static bool pair_call(Draw *pair, const Exchange *x, const ProjectUpstream *upstream, bool same)
{
    Arena *arena = &pair->arena;
    const UpstreamEvents events = {on_head, on_data, on_done, pair};
    Str there = project_model_there(upstream, pair->model);
    if (str_is(upstream->url, "demo:")) {
        const DemoRequest request = {.project_id = pair->project_id,
                                     .question = STR(""),
                                     .model = pair->model,
                                     .choices = 1,
                                     .seed = uuid_new()};
        pair->demo = demo_call(pair->gateway->demos, &request, &events);
        return pair->demo != NULL;
    }
    UpstreamRequest request = {
        .id = upstream->id,
        .concurrency = upstream->concurrency,
        .url = arena_printf(arena, STR_FMT "/chat/completions", STR_ARG(upstream->url)).ptr,
        .post = true,
        .body = second_body(x, there, same, arena),
        .headers = {"Content-Type: application/json"},
        .timeout_ms = upstream->timeout_ms,
    };
    if (upstream->key.ptr != NULL) {
        request.headers[1] =
            arena_printf(arena, "Authorization: Bearer " STR_FMT, STR_ARG(upstream->key)).ptr;
    }
    if (request.url == NULL || request.body.ptr == NULL) return false;
    pair->call = upstream_call(pair->gateway->upstreams, &request, &events);
    return pair->call != NULL;
}

/* The first server of the second answer's model that may be called. */
static const ProjectUpstream *server_of(const Gateway *g, const Project *project, Str model)
{
    for (int i = 0; i < project->upstream_count; i++) {
        const ProjectUpstream *upstream = &project->upstreams[i];
        if (project_model_there(upstream, model).ptr == NULL) continue;
        if (upstream_ready(g->upstreams, upstream->id, upstream->concurrency) == UPSTREAM_READY) {
            return upstream;
        }
    }
    return NULL;
}

/* Only plain answers to plain questions can stand beside another. */
static bool fits(const Exchange *x)
{
    const Choice *choice = x->collect.count == 1 ? &x->collect.choices[0] : NULL;
    return x->store && strcmp(x->shape->surface, "gateway") == 0 && x->choices == 1 && !x->broken &&
           choice != NULL && choice->calls == NULL && choice->content.len > 0 && !choice->cut &&
           x->thread.has_user && json_array_size(json_object_get(x->body, "tools")) == 0;
}

void pair_draw(Exchange *x)
{
    Gateway *g = x->gateway;
    const Project *project = project_find(g->projects, x->req->caller.project_id);
    if (project == NULL || project->pair_share <= 0 || g->closing || !fits(x)) return;
    if ((double)crypto_random_u64() / 18446744073709551616.0 >= project->pair_share) return;
    bool same = project->pair_model.len == 0;
    const ProjectUpstream *upstream = server_of(g, project, same ? x->model : project->pair_model);
    Draw *pair = upstream == NULL ? NULL : calloc(1, sizeof *pair);
    if (pair == NULL) return;
    pair->gateway = g;
    pair->project_id = x->req->caller.project_id;
    pair->next = g->draws;
    if (pair->next != NULL) pair->next->previous = pair;
    g->draws = pair;
    arena_init(&pair->arena, PAIR_BYTES_MAX);
    buf_init(&pair->body_in, REPLY_BYTES_MAX);
    pair->model = arena_copy(&pair->arena, same ? x->model : project->pair_model);
    if (pair->model.ptr == NULL || !first_row(pair, x, project->pair_share) ||
        !pair_call(pair, x, upstream, same)) {
        pair_free(pair);
    }
}
