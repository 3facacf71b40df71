/* progress.c - see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>
#include "../base/clock.h"

enum { PROGRESS_EVERY_US = 100000, BAR_CHARS = 30 };

void progress_begin(Progress *progress, const char *noun)
{
    *progress = (Progress){.shown = isatty(STDERR_FILENO) == 1, .noun = noun,
                           .begun_us = clock_monotonic_us()};
}

/* 1234567 -> "1,234,567" */
static void write_count(char out[32], int64_t count)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)count), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void progress_show(Progress *progress, int64_t part, int64_t whole, int64_t count)
{
    int64_t now = clock_monotonic_us();
    if (!progress->shown || now < progress->due_us)
        return;
    progress->due_us = now + PROGRESS_EVERY_US;
    char bar[BAR_CHARS + 1], number[32], rate[32];
    double seconds = (double)(now - progress->begun_us + 1) / 1e6;
    write_count(number, count);
    write_count(rate, (int64_t)((double)count / seconds));
    if (whole <= 0) {
        fprintf(stderr, "\r\033[K%s %s, %s/s", number, progress->noun, rate);
    } else {
        int64_t done = part > whole ? whole : part;
        for (int i = 0; i < BAR_CHARS; i++)
            bar[i] = i * whole < done * BAR_CHARS ? '#' : '.';
        bar[BAR_CHARS] = '\0';
        fprintf(stderr, "\r\033[K[%s] %3lld %%  %s %s, %s/s", bar, (long long)(done * 100 / whole),
                number, progress->noun, rate);
    }
    fflush(stderr);
}

const char *progress_cleared(const Progress *progress)
{
    return progress->shown && progress->due_us ? "\r\033[K" : "";
}

void progress_end(Progress *progress)
{
    fprintf(stderr, "%s", progress_cleared(progress));
    progress->shown = false;
}
