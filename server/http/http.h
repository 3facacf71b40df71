/* http.h - a worker's listening socket and its requests; only this folder knows libmicrohttpd. */
#ifndef AILERON_HTTP_H
#define AILERON_HTTP_H

#include "req.h"

typedef struct Http Http;

typedef struct HttpOptions {
    const char *address;        /* "127.0.0.1" or "::1"; any numeric address */
    uint16_t port;              /* 0 picks one; http_port tells */
    int connection_max;         /* per worker */
    int in_flight_max;          /* requests being worked on, per worker; more: 503 Retry-After */
    int idle_timeout_s;
    int body_timeout_s;         /* whole body must arrive within this (not streamed imports) */
    const char *trusted_proxies;/* comma-separated addresses/CIDRs whose X-Forwarded-* count */
    Worker *worker;
    /* Looks up the caller (cookie or bearer) and the project {slug}; then calls http_authenticated,
     * or replies. Runs once a request, possibly asynchronously. */
    void (*authenticate)(Req *req);
} HttpOptions;

/* A listening socket, or -1 with err. shared: with SO_REUSEPORT, for the workers; without it this
 * tells whether the port is free. */
MUST_CHECK int http_listen(const char *address, uint16_t port, bool shared, Arena *arena, Err *err);
MUST_CHECK Http *http_open(const HttpOptions *options, Err *err, Arena *arena);
uint16_t http_port(const Http *http);
int http_fd(const Http *http);          /* epoll descriptor of the daemon */
int http_timeout_ms(const Http *http);  /* -1: none */
void http_run(Http *http);              /* parse, run handlers, write replies */
bool http_has_resumed(const Http *http);/* a reply waits for http_run */
void http_quiesce(Http *http);          /* stop accepting */
bool http_idle(const Http *http);       /* no request in flight */
void http_close(Http *http);

/* From the authenticate hook: guards go on with role, body and handler. */
void http_authenticated(Req *req);

#endif
