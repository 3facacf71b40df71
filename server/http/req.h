/* req.h - one request: what a handler may read of it, and the only ways to answer it.
 *
 * http.c owns the Req and everything in its arena, and frees both in exactly one place when the
 * connection has finished with it. A handler never frees, never touches libmicrohttpd, and answers
 * exactly once: now, or later from a callback on the same thread (the connection is suspended
 * meanwhile). While a statement, job or stream of it is outstanding, the Req stays alive. */
#ifndef AILERON_REQ_H
#define AILERON_REQ_H

#include "../base/arena.h"
#include "../base/buf.h"
#include "../base/crypto.h"
#include "../base/err.h"
#include "../base/json.h"
#include "route.h"

typedef struct Worker Worker;

/* Who is calling: an account by cookie, or an API key. Filled by the authenticate hook. */
typedef struct Caller {
    bool known;
    bool is_key;
    bool admin;
    Uuid id;              /* account id, or key id: the annotator identity */
    Str login;            /* or the key's name */
    uint8_t token_hash[CRYPTO_HASH_BYTES];
    int64_t project_id;   /* of {slug}, or 0 */
    Role role;            /* in that project; ROLE_USER when none */
} Caller;

struct Req {
    Arena arena;
    Worker *worker;
    const Route *route;
    Str params[ROUTE_PARAMS_MAX]; /* decoded path parameters, in order */
    Str path;                     /* raw, for the log */
    char method[8];
    Caller caller;
    Str body;                     /* the whole body (not for ROUTE_STREAM_BODY) */
    json_t *json;                 /* parsed body, owned by the Req; set by req_json */
    char id[UUID_CHARS + 1];      /* request id: X-Request-Id */
    int64_t started_us;
    Str address;                  /* the client's, after trusted proxies */
    bool secure;                  /* the client reached us by TLS (trusted X-Forwarded-Proto) */
    void *state;                  /* the handler's own, arena memory */
    struct ReqPrivate *http;      /* http.c only */
};

/* ---- reading ---- */
Str req_header(const Req *req, const char *name);          /* ptr NULL when absent */
Str req_query(const Req *req, const char *name);           /* decoded; ptr NULL when absent */
/* False: the query has a parameter of another name, and the 422 that names it has been sent. */
MUST_CHECK bool req_query_only(Req *req, const char *const *names, size_t count);
Str req_cookie(const Req *req, const char *name);
/* Query integer in min..max, or fallback when absent; false: the 422 has been sent. */
MUST_CHECK bool req_query_int(Req *req, const char *name, int64_t min, int64_t max,
                              int64_t fallback, int64_t *out);
/* Parses and decodes the body; false: the reply has been sent. An empty body decodes as {}. */
MUST_CHECK bool req_decode(Req *req, const JsonField *fields, size_t count);
/* Parses the body only. NULL: the reply has been sent. */
MUST_CHECK json_t *req_json(Req *req);

/* ---- answering (each exactly ends the request) ---- */
void reply_json(Req *req, int status, Buf *body);          /* takes the Buf's bytes */
void reply_empty(Req *req, int status);                    /* 204 and alike */
/* problem+json; the detail of a 5xx is only logged. 429 and 503 get a Retry-After of their own. */
void reply_error(Req *req, const Err *err);
void reply_fail(Req *req, ErrCode code, const char *pointer, const char *format, ...)
    PRINTF_LIKE(4, 5);
void reply_text(Req *req, int status, const char *content_type, Buf *body);
/* Immutable bytes that outlive the server (embedded documents); ETag and gzip handled. */
void reply_static(Req *req, const char *content_type, Str bytes);
/* A header to go with the coming reply. Value is copied. */
void req_add_header(Req *req, const char *name, Str value);

/* ---- streaming out: an export ---- */
typedef struct ReplyStream {
    /* Appends what is ready to out (at most about 256 KiB). Returns false when it waits for more:
     * then req_stream_wake(req) must be called when there is. Sets *end after the last byte. */
    bool (*fill)(void *context, Buf *out, bool *end);
    void (*close)(void *context); /* exactly once, however it ends; the Req is gone then */
    void *context;                /* owns itself, not in the request arena */
} ReplyStream;
/* 200 with chunked coding, gzip or zstd by Accept-Encoding. */
void reply_stream(Req *req, const char *content_type, const ReplyStream *stream);
void req_stream_wake(Req *req);
/* Cuts a stream off because of an error: the client sees a broken transfer, never a quiet end. */
void req_stream_abort(Req *req);

/* ---- streaming in: an import (ROUTE_STREAM_BODY) ---- */
typedef struct BodySink {
    /* Takes some of the bytes, returns how many; fewer than given: wait for req_body_resume. */
    size_t (*take)(Req *req, Str bytes);
    void (*end)(Req *req);    /* all of the body has been taken; answer now or later */
    /* Exactly once, unless `end` has been called and answered: the client vanished or the answer
     * went out before the end; drop the state. The Req is freed after this, unless it is held. */
    void (*gone)(Req *req);
} BodySink;
void req_body_into(Req *req, const BodySink *sink); /* call in the handler */
void req_body_resume(Req *req);

/* While an answer is being waited for: `gone` is called, soon and at most once, when the client has
 * closed its connection. The answer is still due, and goes nowhere. */
void req_watch(Req *req, void (*gone)(Req *req));

/* Keeps the Req's memory beyond its connection while a statement or job still points to it; needed
 * only where a client can vanish meanwhile, that is, while a streamed body is coming in. A release
 * for each hold. Answers to a Req whose client is gone go nowhere. */
void req_hold(Req *req);
void req_release(Req *req);

#endif
