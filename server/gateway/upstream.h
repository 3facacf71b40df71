/* upstream.h - calls to model servers on the worker's loop; the only place that knows libcurl.
 *
 * An Upstreams belongs to one worker and owns every call under way, its connections and what it has
 * learned of each server (failures in a row, calls open). A call's bytes (url, body, headers)
 * belong to the caller until `done` or upstream_cancel. */
#ifndef AILERON_UPSTREAM_H
#define AILERON_UPSTREAM_H

#include "../base/crypto.h"
#include "../base/err.h"

typedef struct Upstreams Upstreams;
typedef struct UpstreamCall UpstreamCall;

enum {
    UPSTREAM_CONNECT_MS = 5000,
    UPSTREAM_IDLE_MS = 120000, /* between two pieces of a stream */
    UPSTREAM_HEADERS_MAX = 16,
    UPSTREAM_CALLS_MAX = 8192, /* of one worker */
};

typedef struct UpstreamRequest {
    Uuid id;         /* of the upstream: its record of failures and open calls */
    int concurrency; /* most open calls to it from this worker */
    const char *url;
    bool post;
    Str body;
    const char *headers[UPSTREAM_HEADERS_MAX + 1]; /* "Name: value", NULL-terminated */
    int timeout_ms;                            /* until the first byte of the answer */
} UpstreamRequest;

typedef enum UpstreamOutcome {
    UPSTREAM_COMPLETE,
    UPSTREAM_UNREACHABLE, /* nothing was sent, or nothing came back: another may be asked */
    UPSTREAM_TIMED_OUT,   /* no byte within timeout_ms */
    UPSTREAM_BROKEN,      /* the answer ended before its end */
} UpstreamOutcome;

typedef struct UpstreamHead {
    int status;
    Str content_type;
    Str retry_after; /* ptr NULL: not given */
} UpstreamHead;

typedef struct UpstreamEvents {
    void (*head)(void *context, const UpstreamHead *head); /* once, before the first data */
    bool (*data)(void *context, Str bytes);                /* false: the call is given up */
    void (*done)(void *context, UpstreamOutcome outcome, const char *why); /* once, at the end */
    void *context;
} UpstreamEvents;

MUST_CHECK Upstreams *upstreams_open(void);
void upstreams_close(Upstreams *upstreams); /* cancels what is under way, without `done` */
int upstreams_fd(const Upstreams *upstreams);
int upstreams_timeout_ms(const Upstreams *upstreams);
void upstreams_pump(Upstreams *upstreams);   /* what they say */
void upstreams_settle(Upstreams *upstreams); /* who has ended; always some time after a pump */

typedef enum UpstreamReady { UPSTREAM_READY, UPSTREAM_RESTS, UPSTREAM_FULL } UpstreamReady;
/* Whether it may be called now: its breaker is closed (or due for a trial) and it has room. */
UpstreamReady upstream_ready(Upstreams *upstreams, Uuid id, int concurrency);
/* NULL: out of memory or of calls. Events come from pump and settle, never from here. */
MUST_CHECK UpstreamCall *upstream_call(Upstreams *upstreams, const UpstreamRequest *request,
                                       const UpstreamEvents *events);
void upstream_cancel(UpstreamCall *call); /* no event comes any more */
/* The caller has enough for now; bytes wait with the peer until upstream_resume. */
void upstream_pause(UpstreamCall *call);
void upstream_resume(UpstreamCall *call);

#endif
