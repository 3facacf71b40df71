/* counts.h - what the service has done, as Prometheus text. Process-wide atomics. */
#ifndef AILERON_RM_SERVE_COUNTS_H
#define AILERON_RM_SERVE_COUNTS_H

#include "../../server/base/buf.h"

/* name, its name in the text, type, help */
#define COUNTS(X)                                                                                  \
    X(requests, "score_requests_total", counter,                                                   \
      "Requests for scores that were answered with them")                                          \
    X(failures, "score_failures_total", counter, "Requests for scores that ended with an error")   \
    X(queue_full, "queue_full_total", counter, "Requests refused because the queue was full")      \
    X(timeouts, "timeouts_total", counter, "Requests that waited too long for their turn")         \
    X(abandoned, "abandoned_total", counter, "Requests whose client left before they were scored") \
    X(truncated, "truncated_requests_total", counter,                                              \
      "Requests that lost tokens at the beginning")                                                \
    X(waiting, "requests_waiting", gauge, "Requests for scores that wait or are worked on")        \
    X(queue, "queue_limit", gauge, "Most of them at once")                                         \
    X(sequences, "sequences_total", counter, "Sequences scored")                                   \
    X(tokens, "tokens_total", counter, "Tokens of the sequences scored")                           \
    X(tokens_computed, "tokens_computed_total", counter,                                           \
      "Tokens computed for them: a shared prompt once")

typedef enum CountId {
#define X(id, name, type, help) COUNT_##id,
    COUNTS(X)
#undef X
        COUNT_COUNT
} CountId;

void count_add(CountId id, int64_t n);
void count_request(int64_t duration_us); /* from its first line to its scores */
void count_batch(int64_t duration_us);
/* All of them and those of the HTTP layer, names prefixed aileron_rm_. */
void counts_write(Buf *out);

#endif
