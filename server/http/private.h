/* private.h - what the files of http/ share and nobody else sees: the state of one request beside
 * its Req, and of one worker's server. */
#ifndef AILERON_HTTP_PRIVATE_H
#define AILERON_HTTP_PRIVATE_H

#include <microhttpd.h>
#include "document.h"
#include "http.h"
#include "hygiene.h"
#include "proxy.h"

enum {
    REPLY_HEADERS_MAX = 12,        /* that one handler may add */
    DRAIN_BYTES_MAX = 16777216,    /* of a refused body read away, so that the client hears why */
    REQ_ARENA_BYTES = 262144,      /* beside what the body needs */
    HEAD_TIMEOUT_S = 20,           /* from connecting to the end of the first request's headers */
};

typedef struct OutStream OutStream;

/* One connection, over all its requests. */
typedef struct Conn {
    struct Conn *previous, *next;
    int fd;
    int64_t since_us; /* opened, or the last request ended */
    bool busy;        /* a request's headers are complete and it is not over */
    bool spoken;      /* has had a request */
} Conn;

/* Where the call-backs of libmicrohttpd stand: head (once, or again after a suspension), body (once
 * a piece), ready (the whole request is here). A reply can be queued in `ready` only; in `head` it
 * would close the connection. */
typedef enum Phase { PHASE_HEAD, PHASE_BODY, PHASE_READY } Phase;

typedef struct ReplyHeader {
    const char *name;
    const char *value;
} ReplyHeader;

typedef struct ReqPrivate {
    Http *http;
    struct MHD_Connection *connection;
    Conn *conn;                /* NULL: no memory for it */
    struct ReqPrivate *previous, *next; /* of http->live */
    Phase phase;
    unsigned guard;        /* the next one to run */
    int64_t deadline_us;   /* for the whole body */
    HeadFacts facts;
    Str target;            /* as received, for the log */
    Buf body;
    uint64_t body_taken;
    uint64_t drained;
    const BodySink *sink;
    OutStream *stream;
    struct MHD_Response *response; /* waits for a moment at which it may be queued */
    int status;
    uint64_t bytes_out;
    ReplyHeader headers[REPLY_HEADERS_MAX];
    size_t header_count;
    int holds;
    void (*watch)(Req *req); /* to be told when the client leaves while it waits */
    bool in_callback;      /* inside a call-back: it will look after the reply itself */
    bool parked;           /* suspended: exactly one resume is due */
    bool begun;
    bool close;            /* after this reply, without reading on */
    bool replied;
    bool queued;
    bool authenticated;
    bool body_waiting;     /* the sink took less than it was given */
    bool body_resumed;     /* … and asked for more before it even returned */
    bool sink_ended, sink_gone;
    bool lasting;          /* an event stream: open for long, and hardly any work */
    bool gone;             /* the connection is no more; only holds keep the memory */
    bool killed;           /* the server stops: whatever is called back, end it */
} ReqPrivate;

struct Http {
    HttpOptions options;
    struct MHD_Daemon *daemon;
    Proxies proxies;
    Conn *conns;
    ReqPrivate *live;
    int in_flight; /* without those that are `lasting` */
    int lasting;
    int64_t sweep_due_us, watch_due_us;
    int listen_fd; /* -1 once quiesced */
    uint16_t port;
    bool resumed;
    bool draining;
};

/* ---- http.c ---- */
/* Takes the response; the reply goes out now or as soon as the connection may have it. */
void http_reply(Req *req, int status, struct MHD_Response *response);
/* The call-backs of libmicrohttpd, registered by server.c. */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **context);
void *http_on_target(void *cls, const char *target, struct MHD_Connection *connection);
void http_on_completed(void *cls, struct MHD_Connection *connection, void **context,
                       enum MHD_RequestTerminationCode how);
void http_client_left(ReqPrivate *p);
void http_park(ReqPrivate *p);
void http_unpark(ReqPrivate *p);

/* ---- guard.c ---- */
/* Runs guards from where they stopped; at the last the handler. With head_only it stops before
 * those that need the whole request. Ends replied, waiting, or with the handler called. */
void guard_run(Req *req, bool head_only);
/* Reads the head into the Req: path, query, facts; false: refused. */
bool guard_collect(Req *req, const char *method, const char *version);

/* ---- reply.c ---- */
/* Does Accept-Encoding list that coding (and not with q=0)? */
bool reply_accepts(const Req *req, const char *coding);
/* Adds what every reply carries, then what the handler asked for, and hands it over. response NULL
 * (out of memory): the connection is dropped. */
void reply_send(Req *req, int status, const char *content_type, struct MHD_Response *response);
/* A document by ETag and coding. */
void reply_document(Req *req, const Document *document, const char *cache_control);

/* ---- stream.c ---- */
void stream_finish(OutStream *stream); /* the request is over: close the source */
uint64_t stream_bytes(const OutStream *stream);

/* ---- asset.c ---- */
void asset_serve(Req *req);
bool asset_matches(Str path); /* true when a GET of it would find something */

#endif
