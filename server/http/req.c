/* req.c - what a handler may read of a request; see req.h. */
#include "req.h"

#include <strings.h>
#include "private.h"
#include "uri.h"

Str req_header(const Req *req, const char *name)
{
    const ReqPrivate *p = req->http;
    const char *value = NULL;
    size_t length = 0;
    if (p->gone) return (Str){NULL, 0}; /* held beyond its connection */
    if (MHD_lookup_connection_value_n(p->connection, MHD_HEADER_KIND, name, strlen(name), &value,
                                      &length) == MHD_NO) {
        return (Str){NULL, 0};
    }
    return value == NULL ? (Str){"", 0} : (Str){value, length};
}

Str req_query(const Req *req, const char *name)
{
    /* decoding fills the arena, which does not change what the request is */
    Arena *arena = (Arena *)(uintptr_t)&req->arena;
    return uri_query_find(arena, req->http->facts.query, name);
}

bool req_query_only(Req *req, const char *const *names, size_t count)
{
    Str unknown = uri_query_unknown(&req->arena, req->http->facts.query, names, count);
    if (unknown.ptr == NULL) return true;
    const char *pointer = arena_printf(&req->arena, "?" STR_FMT, STR_ARG(unknown)).ptr;
    reply_fail(req, ERR_invalid, pointer, "is not a known parameter");
    return false;
}

Str req_cookie(const Req *req, const char *name)
{
    Str rest = req_header(req, "Cookie");
    while (rest.ptr != NULL) {
        Str value;
        Str key = str_cut(str_cut(rest, ';', &rest), '=', &value);
        while (key.len > 0 && key.ptr[0] == ' ') key = str_skip(key, 1);
        if (str_is(key, name) && value.ptr != NULL) return value;
    }
    return (Str){NULL, 0};
}

static bool read_int(Str text, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    int64_t value = 0;
    if (negative) text = str_skip(text, 1);
    if (text.len == 0 || text.len > 18) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = negative ? -value : value;
    return true;
}

bool req_query_int(Req *req, const char *name, int64_t min, int64_t max, int64_t fallback,
                   int64_t *out)
{
    Str text = req_query(req, name);
    if (text.ptr == NULL) {
        *out = fallback;
        return true;
    }
    if (read_int(text, out) && *out >= min && *out <= max) return true;
    const char *pointer = arena_printf(&req->arena, "?%s", name).ptr;
    reply_fail(req, ERR_invalid, pointer, "must be a whole number from %lld to %lld",
               (long long)min, (long long)max);
    return false;
}

json_t *req_json(Req *req)
{
    Err err;
    if (req->json != NULL) return req->json;
    req->json = json_parse(req->body, &req->arena, &err);
    if (req->json == NULL) reply_error(req, &err);
    return req->json;
}

bool req_decode(Req *req, const JsonField *fields, size_t count)
{
    Err err;
    if (req->body.len == 0 && req->json == NULL) req->json = json_object();
    json_t *body = req_json(req);
    if (body == NULL) return false;
    if (json_decode(body, fields, count, "", &req->arena, &err)) return true;
    reply_error(req, &err);
    return false;
}
