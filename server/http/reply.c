/* reply.c - every way a request is answered at once; streams are in stream.c. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "../base/log.h"
#include "private.h"
#include "uri.h"

enum {
    GZIP_MIN_REPLY_BYTES = 1024, /* below, compressing costs more than it saves */
    PROBLEM_BYTES_MAX = 16384,
    OPENAI_MESSAGE_BYTES = 2048,
    RETRY_AFTER_S = 1,           /* for a 503: the next tick may already have room */
};

#define PAGE_CSP                                                                                   \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "             \
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "               \
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "                               \
    "require-trusted-types-for 'script'; trusted-types aileron"
#define EMBED_PATH "/static/embed/"
#define DATA_CSP "default-src 'none'; frame-ancestors 'none'"

/* ---- what every reply carries ---- */

bool reply_accepts(const Req *req, const char *coding)
{
    Str rest = req_header(req, "Accept-Encoding");
    while (rest.ptr != NULL) {
        Str parameters;
        Str name = str_cut(str_cut(rest, ',', &rest), ';', &parameters);
        while (name.len > 0 && name.ptr[0] == ' ') name = str_skip(name, 1);
        while (name.len > 0 && name.ptr[name.len - 1] == ' ') name.len--;
        if (name.len != strlen(coding) || strncasecmp(name.ptr, coding, name.len) != 0) continue;
        for (size_t i = 0; i + 2 < parameters.len; i++) {
            if (strncmp(parameters.ptr + i, "q=0", 3) != 0) continue;
            Str rest_of_q = str_skip(parameters, i + 3);
            while (rest_of_q.len > 0 && strchr(".0 ", rest_of_q.ptr[0]) != NULL) {
                rest_of_q = str_skip(rest_of_q, 1);
            }
            return rest_of_q.len > 0; /* q=0 and q=0.0 refuse; q=0.5 does not */
        }
        return true;
    }
    return false;
}

void req_add_header(Req *req, const char *name, Str value)
{
    ReqPrivate *p = req->http;
    Str copy = arena_copy(&req->arena, value);
    assert(p->header_count < REPLY_HEADERS_MAX);
    if (copy.ptr == NULL) return;
    p->headers[p->header_count++] = (ReplyHeader){name, copy.ptr};
}

static bool header_given(const ReqPrivate *p, const char *name)
{
    for (size_t i = 0; i < p->header_count; i++) {
        if (strcasecmp(p->headers[i].name, name) == 0) return true;
    }
    return false;
}

void reply_send(Req *req, int status, const char *content_type, struct MHD_Response *response)
{
    const ReqPrivate *p = req->http;
    if (response == NULL) {
        http_reply(req, status, NULL);
        return;
    }
    if (content_type != NULL) MHD_add_response_header(response, "Content-Type", content_type);
    bool page = content_type != NULL && strncmp(content_type, "text/html", 9) == 0;
    if (page || content_type == NULL || strncmp(content_type, "application/", 12) == 0) {
        MHD_add_response_header(response, "Content-Security-Policy", page ? PAGE_CSP : DATA_CSP);
    }
    if (page) MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "same-origin");
    bool open = req->route != NULL && (req->route->flags & ROUTE_ANY_ORIGIN) != 0;
    open = open || str_starts(req->path, EMBED_PATH); /* scripts that other sites' pages load */
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy",
                            open ? "cross-origin" : "same-origin");
    if (open) {
        MHD_add_response_header(response, "Access-Control-Allow-Origin", "*");
        MHD_add_response_header(response, "Access-Control-Expose-Headers",
                                "X-Aileron-Completion-Id, X-Request-Id, Retry-After");
    }
    MHD_add_response_header(response, "X-Request-Id", req->id);
    if (!header_given(p, "Cache-Control")) {
        MHD_add_response_header(response, "Cache-Control", "no-store");
    }
    for (size_t i = 0; i < p->header_count; i++) {
        MHD_add_response_header(response, p->headers[i].name, p->headers[i].value);
    }
    http_reply(req, status, response);
}

/* ---- bytes made for this request ---- */

/* Compressed length leaks what the body has in common with a guess, so replies that carry secrets
 * beside what the caller sent go out plain. */
static bool may_gzip(const Req *req)
{
    if (req->route == NULL || (req->route->flags & ROUTE_NO_GZIP) != 0) return false;
    return !str_starts(req->path, "/api/v1/session") && reply_accepts(req, "gzip");
}

static void reply_buf(Req *req, int status, const char *content_type, Buf *body)
{
    Buf packed;
    if (!buf_ok(body)) {
        buf_release(body);
        reply_fail(req, ERR_internal, NULL, "the reply was longer than %zu bytes", body->max);
        return;
    }
    bool gzip = body->len - body->read > GZIP_MIN_REPLY_BYTES && may_gzip(req);
    if (gzip) {
        buf_init(&packed, body->max + body->max / 1024 + KiB(1)); /* deflateBound fits */
        gzip = gzip_bytes(&packed, buf_str(body), 1);
        buf_release(gzip ? body : &packed);
        if (gzip) *body = packed;
    }
    if (body->read > 0) memmove(body->data, body->data + body->read, body->len - body->read);
    size_t size = body->len - body->read;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body->data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        buf_release(body);
    } else {
        *body = (Buf){.max = body->max};
        if (gzip) MHD_add_response_header(response, "Content-Encoding", "gzip");
        if (gzip) MHD_add_response_header(response, "Vary", "Accept-Encoding");
    }
    req->http->bytes_out = size;
    reply_send(req, status, content_type, response);
}

void reply_json(Req *req, int status, Buf *body)
{
    reply_buf(req, status, "application/json", body);
}

void reply_text(Req *req, int status, const char *content_type, Buf *body)
{
    reply_buf(req, status, content_type, body);
}

static struct MHD_Response *empty_response(void)
{
    static char nothing[1];
    return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
}

void reply_empty(Req *req, int status)
{
    reply_send(req, status, NULL, empty_response());
}

/* ---- errors ---- */

/* Cut where it stops being UTF-8: a formatted text may have been cut inside a character. */
static Str valid_part(const char *text)
{
    Str part = str_from(text);
    size_t bad;
    if (part.ptr != NULL && !utf8_valid(part, &bad)) part.len = bad;
    return part;
}

static void problem_write(Buf *out, const Req *req, const Err *err)
{
    int status = err_status(err->code);
    const char *detail = err->detail == NULL ? err_title(err->code) : err->detail;
    /* what went wrong inside is for the log, not for whoever asks */
    if (status == 500) detail = "The details are in the server's log under this request id.";
    if (status == 503) detail = "Please try again in a moment.";
    buf_put_format(out, "{\"type\":\"urn:aileron:error:%s\",\"title\":\"%s\",\"status\":%d",
                   err_name(err->code), err_title(err->code), status);
    buf_put_text(out, ",\"detail\":");
    json_put_text(out, valid_part(detail));
    buf_put_text(out, ",\"pointer\":");
    json_put_text(out, valid_part(err->pointer));
    buf_put_format(out, ",\"request_id\":\"%s\"}", req->id);
}

/* As OpenAI's clients read it: the message is what their exceptions show, so it names the field. */
static void openai_problem_write(Buf *out, const Err *err)
{
    int status = err_status(err->code);
    const char *detail = err->detail == NULL ? err_title(err->code) : err->detail;
    if (status == 500 || status == 503) detail = err_title(err->code);
    bool field = err->pointer != NULL && err->pointer[0] == '/';
    char message[OPENAI_MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s%s%s", field ? err->pointer + 1 : "", field ? ": " : "",
             detail);
    buf_put_text(out, "{\"error\":{\"message\":");
    json_put_text(out, valid_part(message));
    buf_put_format(out, ",\"type\":\"%s\",\"param\":",
                   status == 401   ? "authentication_error"
                   : status == 429 ? "rate_limit_error"
                   : status < 500  ? "invalid_request_error"
                                   : "server_error");
    json_put_text(out, valid_part(err->pointer));
    buf_put_format(out, ",\"code\":\"%s\"}}", err_name(err->code));
}

static void error_write(Buf *out, const Req *req, const Err *err)
{
    if (str_starts(req->path, "/openai/")) {
        openai_problem_write(out, err);
    } else {
        problem_write(out, req, err);
    }
}

void reply_error(Req *req, const Err *err)
{
    ReqPrivate *p = req->http;
    int status = err_status(err->code);
    if (status >= 500) {
        log_event(status == 500 ? LOG_ERROR : LOG_WARN, "error", "%s %s: %s", req->id,
                  err_name(err->code), err->detail == NULL ? "" : err->detail);
    }
    if ((status == 429 || status == 503) && !header_given(p, "Retry-After")) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER_S);
        req_add_header(req, "Retry-After", str_from(seconds));
    }
    if (status == 401) req_add_header(req, "WWW-Authenticate", STR("Bearer realm=\"aileron\""));
    Buf out;
    buf_init(&out, PROBLEM_BYTES_MAX);
    error_write(&out, req, err);
    if (!buf_ok(&out)) { /* a pointer or detail that is too long: say less */
        buf_clear(&out);
        error_write(&out, req, &(Err){.code = err->code});
    }
    bool openai = str_starts(req->path, "/openai/");
    reply_buf(req, status, openai ? "application/json" : "application/problem+json", &out);
}

void reply_fail(Req *req, ErrCode code, const char *pointer, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reply_error(req, &(Err){.code = code, .detail = text, .pointer = pointer});
}

/* ---- documents ---- */

/* True when If-None-Match names this document in any coding. */
static bool still_fresh(const Req *req, const Document *document)
{
    Str rest = req_header(req, "If-None-Match");
    while (rest.ptr != NULL) {
        Str tag = str_cut(rest, ',', &rest);
        while (tag.len > 0 && tag.ptr[0] == ' ') tag = str_skip(tag, 1);
        if (str_starts(tag, "*")) return true;
        if (str_starts(tag, "W/")) tag = str_skip(tag, 2);
        if (!str_starts(tag, "\"")) continue;
        tag = str_skip(tag, 1);
        if (!str_starts(tag, document->etag)) continue;
        tag = str_skip(tag, DOCUMENT_ETAG_CHARS);
        if (str_starts(tag, "\"") || str_starts(tag, "-gz\"")) return true;
    }
    return false;
}

void reply_document(Req *req, const Document *document, const char *cache_control)
{
    bool gzip = document->gzip.ptr != NULL && reply_accepts(req, "gzip");
    bool fresh = still_fresh(req, document);
    Str bytes = gzip ? document->gzip : document->bytes;
    char etag[DOCUMENT_ETAG_CHARS + 8];
    snprintf(etag, sizeof etag, "\"%s%s\"", document->etag, gzip ? "-gz" : "");
    req_add_header(req, "ETag", str_from(etag));
    req_add_header(req, "Cache-Control", str_from(cache_control));
    if (document->gzip.ptr != NULL) req_add_header(req, "Vary", STR("Accept-Encoding"));
    if (fresh) { /* a 304 must not claim a body's length, so it is made from nothing */
        reply_send(req, 304, document->content_type, empty_response());
        return;
    }
    if (gzip) req_add_header(req, "Content-Encoding", STR("gzip"));
    req->http->bytes_out = bytes.len;
    /* the bytes outlive every response, so they go out uncopied */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        bytes.len, (void *)(uintptr_t)bytes.ptr, MHD_RESPMEM_PERSISTENT);
    reply_send(req, 200, document->content_type, response);
}

void reply_static(Req *req, const char *content_type, Str bytes)
{
    reply_document(req, document_of(content_type, bytes), "no-cache");
}
