/* counts.c - see counts.h. */
#include "counts.h"

#include <stdatomic.h>

#include "../../server/base/metrics.h"

static const struct {
    const char *name, *type, *help;
} count_table[] = {
#define X(id, name, type, help) {name, #type, help},
    COUNTS(X)
#undef X
};

static _Atomic int64_t count_values[COUNT_COUNT];

/* What the HTTP layer counts, too. */
static const struct {
    MetricId id;
    const char *name, *type, *help;
} http_table[] = {
    {METRIC_http_requests_total, "http_requests_total", "counter", "Requests answered"},
    {METRIC_http_errors_total, "http_errors_total", "counter", "… with a 5xx status"},
    {METRIC_http_refused_total, "http_refused_total", "counter", "… with 413 or 503"},
    {METRIC_http_connections, "http_connections", "gauge", "Open client connections"},
};

/* Upper bounds in microseconds; the last bucket is +Inf. */
static const int64_t bucket_us[] = {1000,   2500,   5000,    10000,   25000,   50000,    100000,
                                    250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000};

typedef enum HistogramId { HISTOGRAM_REQUEST, HISTOGRAM_BATCH } HistogramId;

static struct {
    const char *name, *help;
    _Atomic int64_t counts[LEN(bucket_us) + 1];
    _Atomic int64_t sum_us;
} histograms[] = {
    [HISTOGRAM_REQUEST] = {.name = "request_seconds",
                           .help = "From the first line of a request to its scores"},
    [HISTOGRAM_BATCH] = {.name = "batch_seconds", .help = "Computing one batch"},
};

void count_add(CountId id, int64_t n)
{
    atomic_fetch_add_explicit(&count_values[id], n, memory_order_relaxed);
}

static void observe(HistogramId id, int64_t us)
{
    size_t bucket = 0;
    while (bucket < LEN(bucket_us) && us > bucket_us[bucket]) bucket++;
    atomic_fetch_add_explicit(&histograms[id].counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histograms[id].sum_us, us, memory_order_relaxed);
}

void count_request(int64_t duration_us)
{
    observe(HISTOGRAM_REQUEST, duration_us);
}

void count_batch(int64_t duration_us)
{
    observe(HISTOGRAM_BATCH, duration_us);
}

static void put_value(Buf *out, const char *name, const char *type, const char *help, int64_t value)
{
    buf_put_format(out, "# HELP aileron_rm_%s %s\n# TYPE aileron_rm_%s %s\naileron_rm_%s %lld\n",
                   name, help, name, type, name, (long long)value);
}

static void put_histogram(Buf *out, size_t index)
{
    const char *name = histograms[index].name;
    int64_t total = 0;
    buf_put_format(out, "# HELP aileron_rm_%s %s\n# TYPE aileron_rm_%s histogram\n", name,
                   histograms[index].help, name);
    for (size_t i = 0; i <= LEN(bucket_us); i++) {
        total += atomic_load_explicit(&histograms[index].counts[i], memory_order_relaxed);
        buf_put_format(out, "aileron_rm_%s_bucket{le=\"", name);
        if (i < LEN(bucket_us))
            buf_put_format(out, "%g", (double)bucket_us[i] / 1e6);
        else
            buf_put_text(out, "+Inf");
        buf_put_format(out, "\"} %lld\n", (long long)total);
    }
    int64_t sum_us = atomic_load_explicit(&histograms[index].sum_us, memory_order_relaxed);
    buf_put_format(out, "aileron_rm_%s_sum %.6f\naileron_rm_%s_count %lld\n", name,
                   (double)sum_us / 1e6, name, (long long)total);
}

void counts_write(Buf *out)
{
    for (size_t i = 0; i < COUNT_COUNT; i++)
        put_value(out, count_table[i].name, count_table[i].type, count_table[i].help,
                  atomic_load_explicit(&count_values[i], memory_order_relaxed));
    for (size_t i = 0; i < LEN(http_table); i++)
        put_value(out, http_table[i].name, http_table[i].type, http_table[i].help,
                  metric_value(http_table[i].id));
    for (size_t i = 0; i < LEN(histograms); i++) put_histogram(out, i);
}
