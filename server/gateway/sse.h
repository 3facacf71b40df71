/* sse.h - server-sent events out of bytes as they arrive; pure, and fuzzed.
 *
 * Events are told apart as in the HTML standard (data lines joined, CR, LF or CRLF, a leading BOM,
 * comments), but every event is also given as it was received, so that it can be passed on byte for
 * byte. The Sse owns its buffer until sse_release. */
#ifndef AILERON_SSE_H
#define AILERON_SSE_H

#include "../base/buf.h"

enum { SSE_EVENT_BYTES_MAX = 8388608 };

typedef struct Sse {
    Buf raw;     /* the event that is coming in, as received */
    Buf data;    /* its data lines, joined */
    size_t line; /* where in raw the current line begins */
    bool has_data;
    bool after_cr; /* the last byte was a CR: an LF now belongs to it */
    bool begun;    /* a BOM may not come any more */
} Sse;

/* raw: the event with the blank line that ends it (or a comment line of its own); data.ptr NULL
 * when it has none. Both are valid during the call only. */
typedef void (*SseEvent)(void *context, Str raw, Str data);

void sse_init(Sse *sse);
void sse_release(Sse *sse);
/* Takes all the bytes. False: an event is longer than SSE_EVENT_BYTES_MAX, or memory is short. */
MUST_CHECK bool sse_feed(Sse *sse, Str bytes, SseEvent event, void *context);
/* The stream has ended: gives what is left as one event, complete or not. */
void sse_end(Sse *sse, SseEvent event, void *context);

#endif
