/* request_log.c - see request_log.h. Neither the query nor any header is logged: they may carry
 * secrets. */
#include "request_log.h"

#include "../base/clock.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "private.h"

enum {
    LINE_BYTES_MAX = 8192,
    PATH_BYTES_MAX = 512, /* of a path that was refused as too long or malformed, too */
};

static Str printable(char out[PATH_BYTES_MAX], Str text)
{
    size_t n = 0;
    while (n < text.len && n < PATH_BYTES_MAX && text.ptr[n] != '?') {
        unsigned char c = (unsigned char)text.ptr[n];
        out[n++] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
    }
    return (Str){out, n};
}

static void count(const Req *req, int64_t duration_us)
{
    const ReqPrivate *p = req->http;
    int flags = req->route == NULL ? 0 : req->route->flags;
    int kind = (flags & ROUTE_LEASE) != 0 ? 1 : (flags & ROUTE_JUDGMENT) != 0 ? 2 : 0;
    bool refused = p->status == 413 || p->status == 429 || p->status == 503;
    metric_add(METRIC_http_requests_total, 1);
    if (p->status >= 500) metric_add(METRIC_http_errors_total, 1);
    if (refused) metric_add(METRIC_http_refused_total, 1);
    metric_observe_request(kind, duration_us);
}

void request_log(Req *req, bool complete)
{
    const ReqPrivate *p = req->http;
    int64_t duration_us = clock_monotonic_us() - req->started_us;
    int status = p->queued ? p->status : 0; /* 0: the client left before there was a reply */
    char at[CLOCK_TEXT_CHARS], path[PATH_BYTES_MAX], caller[UUID_CHARS + 1] = "";
    Buf line;
    count(req, duration_us);
    clock_write(at, clock_unix_ms() * 1000);
    if (req->caller.known) uuid_write(req->caller.id, caller);
    buf_init(&line, LINE_BYTES_MAX);
    buf_put_format(&line, "{\"at\":\"%s\",\"level\":\"%s\",\"event\":\"request\",\"id\":\"%s\"", at,
                   status >= 500 ? "error" : "info", req->id);
    buf_put_text(&line, ",\"method\":");
    json_put_text(&line, str_from(req->method));
    buf_put_text(&line, ",\"path\":");
    json_put_text(&line, printable(path, p->target));
    buf_put_text(&line, ",\"route\":");
    json_put_text(&line, str_from(req->route == NULL ? NULL : req->route->path));
    buf_put_format(&line, ",\"status\":%d,\"bytes\":%llu,\"duration_us\":%lld,\"address\":", status,
                   (unsigned long long)(p->stream ? stream_bytes(p->stream) : p->bytes_out),
                   (long long)duration_us);
    json_put_text(&line, req->address);
    buf_put_text(&line, ",\"caller\":");
    json_put_text(&line, (Str){caller[0] == '\0' ? NULL : caller, strlen(caller)});
    buf_put_text(&line, complete ? "}" : ",\"cut\":true}");
    if (buf_ok(&line) && log_wants(status >= 500 ? LOG_ERROR : LOG_INFO)) log_line(buf_str(&line));
    buf_release(&line);
}
