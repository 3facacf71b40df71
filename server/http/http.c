/* http.c - libmicrohttpd's call-backs turned into: head, body, ready; and back into replies.
 *
 * One daemon a worker, driven from outside by its epoll descriptor, so everything here runs on one
 * thread. libmicrohttpd calls once at the headers, once a piece of body and once at the end;
 * whoever cannot answer then is parked (suspended) and woken when the reply is there. */
#include "private.h"

#include <stdlib.h>
#include "../base/clock.h"
#include "../base/metrics.h"
#include "request_log.h"

enum { LATE_GRACE_S = 5 }; /* for the rest of a body that has already taken too long */

typedef struct Live {
    Req req;
    ReqPrivate p;
} Live;

static Req *req_of(ReqPrivate *p)
{
    return &((Live *)(void *)((char *)p - offsetof(Live, p)))->req;
}

/* ---- parking ---- */

void http_park(ReqPrivate *p)
{
    assert(!p->parked && !p->gone);
    p->parked = true;
    MHD_suspend_connection(p->connection);
}

/* A resume without a suspension would cancel the next one, so it happens only here, once a park. */
void http_unpark(ReqPrivate *p)
{
    if (!p->parked) return;
    p->parked = false;
    p->http->resumed = true;
    MHD_resume_connection(p->connection);
}

void http_reply(Req *req, int status, struct MHD_Response *response)
{
    ReqPrivate *p = req->http;
    if (p->gone || p->sink_gone) { /* nobody waits for it any more */
        if (response != NULL) MHD_destroy_response(response);
        return;
    }
    assert(!p->replied);
    p->replied = true;
    p->response = response;
    p->status = status;
    if (!p->in_callback) http_unpark(p);
}

static enum MHD_Result queue_reply(ReqPrivate *p)
{
    struct MHD_Response *response = p->response;
    if (response == NULL) return MHD_NO; /* no memory for one: drop the connection */
    if (p->close || p->http->draining) {
        MHD_add_response_header(response, "Connection", "close");
    }
    p->response = NULL;
    p->queued = true;
    enum MHD_Result result = MHD_queue_response(p->connection, (unsigned)p->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the three phases ---- */

static bool refuse_early(const ReqPrivate *p)
{
    return p->close || p->facts.expects_continue || p->facts.content_length > DRAIN_BYTES_MAX;
}

static enum MHD_Result on_head(ReqPrivate *p, const char *method, const char *version)
{
    Req *req = req_of(p);
    Http *http = p->http;
    if (!p->begun) {
        p->begun = true;
        p->deadline_us = clock_monotonic_us() + (int64_t)http->options.body_timeout_s * 1000000;
        http->in_flight++;
        metric_add(METRIC_http_in_flight, 1);
        p->next = http->live;
        if (p->next != NULL) p->next->previous = p;
        http->live = p;
        if (guard_collect(req, method, version)) guard_run(req, true);
    }
    if (p->replied && refuse_early(p)) return queue_reply(p);
    bool waits = req->route != NULL && (req->route->flags & ROUTE_STREAM_BODY) != 0 &&
                 p->sink == NULL && !p->replied;
    if (waits) {
        http_park(p);
        return MHD_YES;
    }
    p->phase = PHASE_BODY;
    return MHD_YES;
}

static size_t sink_take(ReqPrivate *p, const char *bytes, size_t size)
{
    size_t taken = 0;
    do {
        p->body_resumed = false;
        taken += p->sink->take(req_of(p), (Str){bytes + taken, size - taken});
        assert(taken <= size);
    } while (taken < size && p->body_resumed && !p->replied);
    return taken;
}

static void sink_drop(ReqPrivate *p)
{
    if (p->sink == NULL || p->sink_gone || (p->sink_ended && p->replied)) return;
    p->sink_gone = true;
    p->sink->gone(req_of(p));
}

/* Room for n more bytes within the row's limit, or a reply that says no. */
static bool body_fits(ReqPrivate *p, size_t n)
{
    Req *req = req_of(p);
    size_t max = req->route->body_max;
    if (n > max || p->body_taken > max - n) {
        reply_fail(req, ERR_too_large, NULL, "the body is longer than %zu bytes", max);
        return false;
    }
    if (p->sink == NULL && clock_monotonic_us() > p->deadline_us) {
        p->close = true;
        reply_fail(req, ERR_timeout, NULL, "the body did not arrive in time");
        return false;
    }
    return true;
}

/* No reply can be queued before the body has ended: what is left of a refused one is read away, so
 * that the client hears why, up to a limit in bytes and time. */
static enum MHD_Result body_drain(ReqPrivate *p, size_t *size)
{
    int64_t now = clock_monotonic_us();
    int64_t grace_s = p->close ? LATE_GRACE_S : p->http->options.body_timeout_s;
    if (p->drained == 0) p->deadline_us = now + grace_s * 1000000;
    sink_drop(p);
    buf_release(&p->body);
    p->drained += *size;
    *size = 0;
    return p->drained > DRAIN_BYTES_MAX || now > p->deadline_us ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_body(ReqPrivate *p, const char *bytes, size_t *size)
{
    size_t n = *size;
    if (p->replied || !body_fits(p, n)) return body_drain(p, size);
    if (p->sink == NULL) {
        if (p->body_taken == 0) buf_init(&p->body, req_of(p)->route->body_max);
        buf_put(&p->body, bytes, n);
        if (!buf_ok(&p->body)) return MHD_NO;
    } else {
        n = sink_take(p, bytes, n);
    }
    p->body_taken += n;
    *size -= n;
    if (*size == 0) return MHD_YES;
    if (p->replied) return body_drain(p, size);
    p->body_waiting = true;
    http_park(p);
    return MHD_YES;
}

static enum MHD_Result on_ready(ReqPrivate *p)
{
    Req *req = req_of(p);
    if (p->phase != PHASE_READY) {
        p->phase = PHASE_READY;
        req->body = buf_str(&p->body);
        if (p->replied) return queue_reply(p);
        if (p->sink != NULL) {
            p->sink_ended = true;
            p->sink->end(req);
        } else {
            guard_run(req, false);
        }
    }
    if (p->replied) return p->queued ? MHD_YES : queue_reply(p);
    http_park(p);
    return MHD_YES;
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context)
{
    ReqPrivate *p = *context;
    enum MHD_Result result;
    (void)cls;
    (void)url; /* the raw target came by http_on_target */
    if (p == NULL || p->killed) return MHD_NO;
    if (!p->begun) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        p->conn = info == NULL ? NULL : info->socket_context;
        if (p->conn != NULL) p->conn->busy = p->conn->spoken = true;
    }
    p->in_callback = true;
    if (p->phase == PHASE_HEAD) {
        result = on_head(p, method, version);
    } else if (*upload_size > 0) {
        result = on_body(p, upload, upload_size);
    } else {
        result = on_ready(p);
    }
    p->in_callback = false;
    return result;
}

/* ---- the life of a request ---- */

/* Called with the raw target as soon as the first line is there: the Req begins. */
void *http_on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    Http *http = cls;
    Live *live = calloc(1, sizeof *live);
    if (live == NULL) return NULL;
    ReqPrivate *p = &live->p;
    Req *req = &live->req;
    p->http = http;
    p->connection = connection;
    req->http = p;
    req->worker = http->options.worker;
    req->started_us = clock_monotonic_us();
    arena_init(&req->arena, REQ_ARENA_BYTES);
    Str text = str_from(target == NULL ? "" : target);
    p->target = arena_copy(&req->arena, text);
    uuid_write(uuid_new(), req->id);
    return p;
}

static void req_free(ReqPrivate *p)
{
    Req *req = req_of(p);
    json_decref(req->json);
    buf_release(&p->body);
    arena_release(&req->arena);
    free(req);
}

void req_hold(Req *req)
{
    req->http->holds++;
}

void req_release(Req *req)
{
    ReqPrivate *p = req->http;
    assert(p->holds > 0);
    if (--p->holds == 0 && p->gone) req_free(p);
}

static void live_remove(ReqPrivate *p)
{
    if (p->previous != NULL) {
        p->previous->next = p->next;
    } else {
        p->http->live = p->next;
    }
    if (p->next != NULL) p->next->previous = p->previous;
}

/* The one end of every request, however it came about. */
void http_on_completed(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode how)
{
    ReqPrivate *p = *context;
    (void)cls;
    (void)connection;
    *context = NULL;
    if (p == NULL) return;
    if (p->begun) {
        if (p->conn != NULL) {
            p->conn->busy = false;
            p->conn->since_us = clock_monotonic_us();
        }
        live_remove(p);
        if (p->lasting) {
            p->http->lasting--;
        } else {
            p->http->in_flight--;
        }
        metric_add(METRIC_http_in_flight, -1);
        sink_drop(p);
        if (p->stream != NULL) stream_finish(p->stream);
        request_log(req_of(p), how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    }
    if (p->response != NULL) MHD_destroy_response(p->response);
    p->response = NULL;
    p->gone = true;
    /* killed while parked: a statement or job may still point here; the process is ending */
    if (p->holds == 0 && !p->killed) req_free(p);
}

void req_watch(Req *req, void (*gone)(Req *req))
{
    req->http->watch = gone;
}

/* The client of a request that waits has closed its connection. */
void http_client_left(ReqPrivate *p)
{
    void (*gone)(Req *req) = p->watch;
    p->watch = NULL;
    if (p->stream != NULL) {
        req_stream_abort(req_of(p));
    } else if (!p->replied) {
        gone(req_of(p));
    }
}

/* ---- bodies in ---- */

void req_body_into(Req *req, const BodySink *sink)
{
    ReqPrivate *p = req->http;
    assert(req->route->flags & ROUTE_STREAM_BODY);
    p->sink = sink;
    if (!p->in_callback) http_unpark(p);
}

void req_body_resume(Req *req)
{
    ReqPrivate *p = req->http;
    p->body_resumed = true;
    if (!p->body_waiting || p->gone) return;
    p->body_waiting = false;
    http_unpark(p);
}

void http_authenticated(Req *req)
{
    ReqPrivate *p = req->http;
    if (p->gone) return;
    p->authenticated = true;
    if (!p->in_callback) guard_run(req, false);
}
