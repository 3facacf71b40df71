/* metrics.c - see metrics.h. */
#include "metrics.h"

#include <stdatomic.h>

static const struct {
    const char *name;
    const char *type;
    const char *help;
} metric_table[] = {
#define X(name, type, help) {#name, #type, help},
    METRICS(X)
#undef X
};

static _Atomic int64_t metric_values[METRIC_COUNT];

/* Upper bounds in microseconds; the last bucket is +Inf. */
static const int64_t bucket_us[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
static const char *const bucket_text[] = {"0.0005", "0.001", "0.0025", "0.005", "0.01",
                                          "0.025",  "0.05",  "0.1",    "0.25",  "0.5",
                                          "1",      "2.5",   "5",      "10"};

static struct {
    const char *name;
    const char *help;
    _Atomic int64_t counts[LEN(bucket_us) + 1];
    _Atomic int64_t sum_us;
} histograms[] = {
    {.name = "http_request_seconds", .help = "Time from a request's first line to its end"},
    {.name = "lease_seconds", .help = "The same, of requests for tasks"},
    {.name = "judgment_seconds", .help = "The same, of judgments"},
};

void metric_add(MetricId id, int64_t n)
{
    assert(id < METRIC_COUNT);
    atomic_fetch_add_explicit(&metric_values[id], n, memory_order_relaxed);
}

int64_t metric_value(MetricId id)
{
    assert(id < METRIC_COUNT);
    return atomic_load_explicit(&metric_values[id], memory_order_relaxed);
}

static void histogram_observe(size_t index, int64_t us)
{
    size_t bucket = 0;
    while (bucket < LEN(bucket_us) && us > bucket_us[bucket]) bucket++;
    atomic_fetch_add_explicit(&histograms[index].counts[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histograms[index].sum_us, us, memory_order_relaxed);
}

void metric_observe_request(int kind, int64_t duration_us)
{
    histogram_observe(0, duration_us);
    if (kind > 0 && (size_t)kind < LEN(histograms)) histogram_observe((size_t)kind, duration_us);
}

static void histogram_write(Buf *out, size_t index)
{
    const char *name = histograms[index].name;
    int64_t total = 0;
    buf_put_format(out, "# HELP aileron_%s %s\n# TYPE aileron_%s histogram\n", name,
                   histograms[index].help, name);
    for (size_t i = 0; i <= LEN(bucket_us); i++) {
        total += atomic_load_explicit(&histograms[index].counts[i], memory_order_relaxed);
        buf_put_format(out, "aileron_%s_bucket{le=\"%s\"} %lld\n", name,
                       i < LEN(bucket_us) ? bucket_text[i] : "+Inf", (long long)total);
    }
    int64_t sum = atomic_load_explicit(&histograms[index].sum_us, memory_order_relaxed);
    buf_put_format(out, "aileron_%s_sum %.6f\naileron_%s_count %lld\n", name, (double)sum / 1e6,
                   name, (long long)total);
}

void metrics_write(Buf *out)
{
    _Static_assert(LEN(bucket_us) == LEN(bucket_text), "every bound has its text");
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        int64_t value = atomic_load_explicit(&metric_values[i], memory_order_relaxed);
        buf_put_format(out, "# HELP aileron_%s %s\n# TYPE aileron_%s %s\naileron_%s %lld\n",
                       metric_table[i].name, metric_table[i].help, metric_table[i].name,
                       metric_table[i].type, metric_table[i].name, (long long)value);
    }
    for (size_t i = 0; i < LEN(histograms); i++) histogram_write(out, i);
}
