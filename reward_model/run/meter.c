/* meter.c - see meter.h. */
#include "meter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../server/base/clock.h"

enum {
    EVERY_US = 100000,
    PLAIN_EVERY_US = 60000000,
    PLAIN_LINES = 20,
    BAR_CHARS = 24,    /* at most; as many as the terminal has room for */
    BAR_CHARS_MIN = 5, /* fewer tell nothing */
    COLUMNS_UNTOLD = 80,
    TEXT_CHARS = 192,
};

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

void meter_rows(Meter *meter, const char *done, int64_t rows, int64_t total)
{
    char of[32] = "", left[32], more[48] = "";
    if (!meter->wanted || (!meter->terminal && !total)) return;
    if (!is_due(meter, meter->terminal ? EVERY_US : PLAIN_EVERY_US)) return;
    double seconds = (double)(clock_monotonic_us() - meter->begun_us + 1) / 1e6;
    if (total) {
        write_time(left, seconds / (double)rows * (double)(total - rows));
        snprintf(of, sizeof of, " of %lld", (long long)total);
        snprintf(more, sizeof more, "  %s left", left);
    }
    fprintf(stderr, "%s%lld%s rows %s, %.0f/s%s%s", meter->terminal ? "\r\033[K" : "",
            (long long)rows, of, done, (double)rows / seconds, more, meter->terminal ? "" : "\n");
    fflush(stderr);
    meter->drawn = meter->terminal;
}

/* What a line may have: one that wraps could not be drawn over. */
static int terminal_columns(void)
{
    struct winsize size;
    bool told = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return (told ? size.ws_col : COLUMNS_UNTOLD) - 1;
}

/* The most telling part first; pairs a second only where there is room. */
static int write_text(char out[TEXT_CHARS], const MeterStep *at, double pace, bool pairs)
{
    char left[32], more[32] = "", accuracy[32] = "", tokens[32] = "";
    write_time(left, pace * (double)(at->steps - at->step));
    if (pairs) snprintf(more, sizeof more, "  %.2f pairs/s", at->pairs_per_second);
    if (isfinite(at->tokens_per_second))
        snprintf(tokens, sizeof tokens, "  %.0f tokens/s", at->tokens_per_second);
    if (isfinite(at->accuracy))
        snprintf(accuracy, sizeof accuracy, "  accuracy %.3f", at->accuracy);
    return snprintf(out, TEXT_CHARS, "step %lld/%lld  loss %.4f%s%s%s%s%s%s", (long long)at->step,
                    (long long)at->steps, at->loss, accuracy, tokens, more, pace > 0 ? "  " : "",
                    pace > 0 ? left : "", pace > 0 ? " left" : "");
}

static void draw(const MeterStep *at, double pace)
{
    char bar[BAR_CHARS + 1], text[TEXT_CHARS];
    int columns = terminal_columns(), length = write_text(text, at, pace, true);
    if (length > columns) length = write_text(text, at, pace, false);
    int room = columns - length - (int)strlen("[] ");
    int chars = room < BAR_CHARS_MIN ? 0 : room < BAR_CHARS ? room : BAR_CHARS;
    for (int i = 0; i < chars; i++) bar[i] = i * at->steps < at->step * chars ? '#' : '.';
    bar[chars] = '\0';
    fprintf(stderr, chars ? "\r\033[K[%s] %.*s" : "\r\033[K%s%.*s", bar, columns, text);
}

void meter_step(Meter *meter, const MeterStep *at)
{
    char text[TEXT_CHARS];
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
    if (meter->terminal) {
        draw(at, pace);
    } else {
        write_text(text, at, pace, true);
        fprintf(stderr, "%s\n", text);
    }
    fflush(stderr);
    meter->drawn = meter->terminal;
}

void meter_heldout(Meter *meter, int64_t step, double log_loss, double accuracy, bool best)
{
    if (!meter->wanted) return;
    meter_end(meter);
    fprintf(stderr, "step %lld, held out: log-loss %.4f  accuracy %.3f%s\n", (long long)step,
            log_loss, accuracy, best ? "  (best so far)" : "");
}

void meter_end(Meter *meter)
{
    if (meter->drawn) fprintf(stderr, "\r\033[K");
    meter->drawn = false;
}
