/* models.c - the names that a project's upstreams take, for GET /models and for the chat.
 * Upstreams that were given no names are asked for theirs; one that does not answer adds nothing.
 */
#include "chat.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODELS_BYTES_MAX = 1048576, MODELS_TIMEOUT_MS = 5000 };

typedef struct Listing {
    Gateway *gateway;
    Req *req;
    json_t *names; /* an object: each name once, its value the upstream */
    int waiting;   /* answers, and one for the beginning itself */
    ModelsDone done;
    void *context;
} Listing;

typedef struct Asked {
    Listing *listing;
    char name[64];
    Buf body;
    int status;
} Asked;

static void finish(Listing *listing, const Err *err)
{
    listing->done(listing->context, err == NULL ? listing->names : NULL, err);
    json_decref(listing->names);
    listing->gateway->exchanges--;
    req_release(listing->req);
    free(listing);
}

static void answer(Listing *listing)
{
    if (--listing->waiting == 0) finish(listing, NULL);
}

static void add_name(Listing *listing, Str name, Str owner)
{
    Str key = arena_copy(&listing->req->arena, name);
    if (key.ptr == NULL || name.len == 0 || !utf8_valid(name, NULL)) return;
    if (json_object_get(listing->names, key.ptr) != NULL) return;
    json_object_set_new(listing->names, key.ptr, json_stringn(owner.ptr, owner.len));
}

static void on_head(void *context, const UpstreamHead *head)
{
    ((Asked *)context)->status = head->status;
}

static bool on_data(void *context, Str bytes)
{
    Asked *asked = context;
    buf_put_str(&asked->body, bytes);
    return buf_ok(&asked->body);
}

static void on_done(void *context, UpstreamOutcome outcome, const char *why)
{
    Asked *asked = context;
    Listing *listing = asked->listing;
    Err err = {0};
    size_t i;
    json_t *item, *body = NULL;
    (void)why;
    if (outcome == UPSTREAM_COMPLETE && asked->status == 200) {
        body = json_parse(buf_str(&asked->body), &listing->req->arena, &err);
    }
    json_array_foreach(json_object_get(body, "data"), i, item)
    {
        add_name(listing, json_str(json_object_get(item, "id")), str_from(asked->name));
    }
    json_decref(body);
    buf_release(&asked->body);
    answer(listing);
}

/* Without memory or room for the call its models are not listed. */
static void ask(Listing *listing, const ProjectUpstream *upstream)
{
    Arena *arena = &listing->req->arena;
    Asked *asked = arena_alloc(arena, sizeof *asked);
    UpstreamRequest request = {
        .id = upstream->id,
        .concurrency = upstream->concurrency,
        .url = arena_printf(arena, STR_FMT "/models", STR_ARG(upstream->url)).ptr,
        .timeout_ms = MODELS_TIMEOUT_MS,
    };
    if (asked == NULL || request.url == NULL) return;
    if (upstream->key.ptr != NULL) {
        request.headers[0] =
            arena_printf(arena, "Authorization: Bearer " STR_FMT, STR_ARG(upstream->key)).ptr;
    }
    *asked = (Asked){.listing = listing};
    snprintf(asked->name, sizeof asked->name, STR_FMT, STR_ARG(upstream->name));
    buf_init(&asked->body, MODELS_BYTES_MAX);
    const UpstreamEvents events = {on_head, on_data, on_done, asked};
    if (upstream_call(listing->gateway->upstreams, &request, &events) != NULL) listing->waiting++;
}

static void list_models(Listing *listing, const Project *project)
{
    for (int i = 0; i < project->upstream_count; i++) {
        const ProjectUpstream *upstream = &project->upstreams[i];
        for (int k = 0; k < upstream->model_count; k++) {
            Str name = upstream->models[k];
            const char *equals = memchr(name.ptr, '=', name.len);
            if (equals != NULL) name.len = (size_t)(equals - name.ptr);
            add_name(listing, name, upstream->name);
        }
        if (str_is(upstream->url, "demo:")) {
            if (upstream->model_count == 0) add_name(listing, STR("demo"), upstream->name);
        } else if (upstream->model_count == 0) {
            ask(listing, upstream);
        }
    }
}

static void config_read(void *context, const Rows *rows, const Err *err)
{
    Listing *listing = context;
    Req *req = listing->req;
    Err wrong = {0};
    const Project *project = err != NULL
                                 ? NULL
                                 : project_put(listing->gateway->projects, req->caller.project_id,
                                               rows, &req->arena, &wrong);
    if (project != NULL) {
        list_models(listing, project);
        answer(listing);
        return;
    }
    finish(listing, err != NULL ? err : &wrong);
}

void models_list(Gateway *gateway, Req *req, ModelsDone done, void *context)
{
    Err err = {.code = ERR_unavailable, .detail = "out of memory"};
    DbParam id = db_int(req->caller.project_id);
    Listing *listing = calloc(1, sizeof *listing);
    json_t *names = json_object();
    if (listing == NULL || names == NULL ||
        !db_send(gateway->options.db, SQL_gateway_config, &id, 1, config_read, listing, &err)) {
        free(listing);
        json_decref(names);
        done(context, NULL, &err);
        return;
    }
    *listing = (Listing){gateway, req, names, 1, done, context};
    gateway->exchanges++;
    req_hold(req);
}

/* ---- as OpenAI lists them ---- */

static void put_model(Buf *out, const char *name, const json_t *owner)
{
    buf_put_text(out, "{\"id\":");
    json_put_text(out, str_from(name));
    buf_put_text(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":");
    json_put_text(out, json_str(owner));
    buf_put_char(out, '}');
}

static void reply_list(void *context, json_t *names, const Err *err)
{
    Req *req = context;
    const char *name;
    json_t *owner;
    Buf out;
    if (err != NULL) {
        reply_error(req, err);
        return;
    }
    buf_init(&out, MODELS_BYTES_MAX * 2);
    buf_put_text(&out, "{\"object\":\"list\",\"data\":[");
    json_object_foreach(names, name, owner)
    {
        if (out.data[out.len - 1] != '[') buf_put_char(&out, ',');
        put_model(&out, name, owner);
    }
    buf_put_text(&out, "]}");
    reply_json(req, 200, &out);
}

void gateway_models(Gateway *gateway, Req *req)
{
    models_list(gateway, req, reply_list, req);
}

static void reply_model(void *context, json_t *names, const Err *err)
{
    Req *req = context;
    const char *name = req->params[0].ptr;
    if (req->params[1].ptr != NULL) /* "owner/name", as the hub names models */
        name = arena_printf(&req->arena, "%s/%s", name, req->params[1].ptr).ptr;
    const json_t *owner = err == NULL && name != NULL ? json_object_get(names, name) : NULL;
    Buf out;
    if (err != NULL) {
        reply_error(req, err);
    } else if (owner == NULL) {
        reply_fail(req, ERR_not_found, "/model", "no model server of this project serves %s",
                   name == NULL ? "this name" : name);
    } else {
        buf_init(&out, MODELS_BYTES_MAX);
        put_model(&out, name, owner);
        reply_json(req, 200, &out);
    }
}

void gateway_model(Gateway *gateway, Req *req)
{
    models_list(gateway, req, reply_model, req);
}

/* ---- as the chat takes them ---- */

static void reply_names(void *context, json_t *names, const Err *err)
{
    Req *req = context;
    const char *name;
    json_t *owner;
    Buf out;
    if (err != NULL) {
        reply_error(req, err);
        return;
    }
    buf_init(&out, MODELS_BYTES_MAX * 2);
    buf_put_text(&out, "{\"models\":[");
    json_object_foreach(names, name, owner)
    {
        if (out.data[out.len - 1] != '[') buf_put_char(&out, ',');
        json_put_text(&out, str_from(name));
    }
    buf_put_format(&out, "],\"arena\":%s}", json_object_size(names) >= 2 ? "true" : "false");
    reply_json(req, 200, &out);
}

void gateway_names(Gateway *gateway, Req *req)
{
    models_list(gateway, req, reply_names, req);
}
