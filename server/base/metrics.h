/* metrics.h - counters, gauges and histograms in one table, printed as Prometheus text.
 * Process-wide atomics; safe from any thread. */
#ifndef AILERON_METRICS_H
#define AILERON_METRICS_H

#include "buf.h"

/* name, type, help */
#define METRICS(X)                                                                                 \
    X(http_requests_total, counter, "Requests answered")                                           \
    X(http_errors_total, counter, "Requests answered with a 5xx status")                           \
    X(http_refused_total, counter, "Requests refused by a limit (413, 429, 503)")                  \
    X(http_connections, gauge, "Open client connections")                                          \
    X(http_in_flight, gauge, "Requests being worked on")                                           \
    X(db_statements_total, counter, "Statements sent to PostgreSQL")                               \
    X(db_errors_total, counter, "Statements that failed")                                          \
    X(db_reconnects_total, counter, "Connections to PostgreSQL made anew")                         \
    X(db_batches_total, counter, "Group commits")                                                  \
    X(db_batch_statements_total, counter, "Statements in group commits")                           \
    X(db_batch_retries_total, counter, "Group commits sent again one by one")                      \
    X(db_connected, gauge, "Lanes connected to PostgreSQL")                                        \
    X(leases_granted_total, counter, "Tasks handed out")                                           \
    X(leases_expired_total, counter, "Leases that ran out")                                        \
    X(judgments_total, counter, "Judgments committed")                                             \
    X(import_rows_total, counter, "Rows imported")                                                 \
    X(import_refused_total, counter, "Rows refused by an import")                                  \
    X(export_rows_total, counter, "Rows exported")                                                 \
    X(password_hashes_total, counter, "Argon2id computations")

typedef enum MetricId {
#define X(name, type, help) METRIC_##name,
    METRICS(X)
#undef X
    METRIC_COUNT
} MetricId;

void metric_add(MetricId id, int64_t n);
int64_t metric_value(MetricId id);
/* One request's duration, into aileron_http_request_seconds (a histogram by fixed buckets) and,
 * when kind is 1 (lease) or 2 (judgment), into that route's own. */
void metric_observe_request(int kind, int64_t duration_us);
void metrics_write(Buf *out); /* the whole Prometheus text, names prefixed aileron_ */

#endif
