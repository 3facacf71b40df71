/* health.c - is the process alive, is it ready, what does it count, and what can be asked of it. */
#include "api.h"

#include "../base/metrics.h"

/* The OpenAPI 3.1 description, embedded at build. */
__asm__(".section .rodata\n.global aileron_openapi\naileron_openapi:\n"
        ".incbin \"server/api/openapi.json\"\n.global aileron_openapi_end\naileron_openapi_end:\n"
        ".byte 0\n.previous\n");
extern const char aileron_openapi[];
extern const char aileron_openapi_end[];

enum { METRICS_BYTES_MAX = 1024 * 1024 };

/* GET /healthz - holds while the process serves, whatever the database does. */
void health_live(Req *req)
{
    Buf out = reply_buf();
    buf_put_text(&out, "ok\n");
    reply_text(req, 200, "text/plain; charset=utf-8", &out);
}

/* GET /readyz - can this server do its work now? */
void health_ready(Req *req)
{
    const char *reason = NULL;
    if (atomic_load(&req->worker->server->draining))
        reason = "shutting down";
    else if (!db_ready(req->worker->db))
        reason = "no connection to the database";
    Buf out = reply_buf();
    if (reason)
        buf_put_format(&out, "{\"ready\":false,\"reason\":\"%s\"}", reason);
    else
        buf_put_text(&out, "{\"ready\":true}");
    if (reason) req_add_header(req, "Retry-After", STR("1"));
    reply_json(req, reason ? 503 : 200, &out);
}

/* GET /metrics - Prometheus text. */
void health_metrics(Req *req)
{
    Buf out;
    buf_init(&out, METRICS_BYTES_MAX);
    metrics_write(&out);
    reply_text(req, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

/* GET /api/v1/openapi.json */
void openapi_show(Req *req)
{
    reply_static(req, "application/json",
                 (Str){aileron_openapi, (size_t)(aileron_openapi_end - aileron_openapi)});
}
