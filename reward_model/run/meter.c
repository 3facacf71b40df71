/* meter.c - see meter.h. */
#include "meter.h"

#include <stdio.h>
#include <unistd.h>

#include "../../server/base/clock.h"

enum { EVERY_US = 100000, PLAIN_EVERY_US = 60000000, PLAIN_LINES = 20, BAR_CHARS = 24 };

void meter_begin(Meter *meter, bool wanted)
{
    *meter = (Meter){.wanted = wanted,
                     .terminal = isatty(STDERR_FILENO) == 1,
                     .begun_us = clock_monotonic_us(),
                     .first_step = -1};
}

/* Is it time to draw again? */
static bool is_due(Meter *meter, int64_t every_us)
{
    int64_t now = clock_monotonic_us();
    if (now < meter->due_us) return false;
    meter->due_us = now + every_us;
    return true;
}

void meter_rows(Meter *meter, int64_t rows)
{
    if (!meter->wanted || !meter->terminal || !is_due(meter, EVERY_US)) return;
    double seconds = (double)(clock_monotonic_us() - meter->begun_us + 1) / 1e6;
    fprintf(stderr, "\r\033[K%lld rows read, %.0f/s", (long long)rows, (double)rows / seconds);
    fflush(stderr);
    meter->drawn = true;
}

static void write_time(char out[32], double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 32, "%lld h %02lld min", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(out, 32, "%lld min %02lld s", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(out, 32, "%lld s", (long long)s);
}

void meter_step(Meter *meter, const MeterStep *at)
{
    char bar[BAR_CHARS + 1], left[32];
    int64_t now = clock_monotonic_us(),
            plain = at->steps / PLAIN_LINES > 0 ? at->steps / PLAIN_LINES : 1;
    if (!meter->wanted) return;
    if (meter->first_step < 0) {
        meter->first_step = at->step - 1;
        meter->begun_us = now; /* the first step of a process is slower: it does not count */
    }
    bool last = at->step == at->steps;
    bool round = at->step % plain == 0;
    if (meter->terminal ? !last && !is_due(meter, EVERY_US)
                        : !last && !round && !is_due(meter, PLAIN_EVERY_US))
        return;
    if (!meter->terminal) meter->due_us = now + PLAIN_EVERY_US;
    int64_t done = at->step - meter->first_step - 1;
    double pace = done > 0 ? (double)(now - meter->begun_us) / 1e6 / (double)done : 0;
    write_time(left, pace * (double)(at->steps - at->step));
    for (int i = 0; i < BAR_CHARS; i++) bar[i] = i * at->steps < at->step * BAR_CHARS ? '#' : '.';
    bar[BAR_CHARS] = '\0';
    if (meter->terminal) fprintf(stderr, "\r\033[K[%s] ", bar);
    fprintf(stderr, "step %lld/%lld  loss %.4f  accuracy %.3f  %.0f tokens/s  %.2f pairs/s%s%s%s",
            (long long)at->step, (long long)at->steps, at->loss, at->accuracy,
            at->tokens_per_second, at->pairs_per_second, done > 0 ? "  " : "", done > 0 ? left : "",
            done > 0 ? " left" : "");
    if (!meter->terminal) fputc('\n', stderr);
    fflush(stderr);
    meter->drawn = meter->terminal;
}

void meter_end(Meter *meter)
{
    if (meter->drawn) fprintf(stderr, "\r\033[K");
    meter->drawn = false;
}
