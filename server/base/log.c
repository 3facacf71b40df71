/* log.c - see log.h. A line longer than LOG_LINE_MAX loses its end, never its newline. */
#include "log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>
#include "clock.h"
#include "json.h"

enum {
    LOG_DETAIL_MAX = 2048,
    LOG_LINE_MAX = 16384, /* every byte of the detail may need an escape */
};

static _Atomic int log_level = LOG_INFO;

void log_set_level(LogLevel level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_wants(LogLevel level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_line(Str line)
{
    static char newline[] = "\n";
    struct iovec parts[] = {{(void *)(uintptr_t)line.ptr, line.len}, {newline, 1}};
    ssize_t written;
    do {
        written = writev(STDERR_FILENO, parts, (int)LEN(parts));
    } while (written < 0 && errno == EINTR);
}

/* Bytes that are not UTF-8 become '?', so that a log line always parses. */
static void text_clean(char *text)
{
    Str rest = str_from(text);
    size_t bad;
    while (!utf8_valid(rest, &bad)) {
        text[(size_t)(rest.ptr - text) + bad] = '?';
        rest = str_skip(rest, bad);
    }
}

void log_event(LogLevel level, const char *event, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (!log_wants(level)) return;

    char detail[LOG_DETAIL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    text_clean(detail);

    char at[CLOCK_TEXT_CHARS];
    clock_write(at, clock_unix_ms() * 1000);
    Buf line;
    buf_init(&line, LOG_LINE_MAX);
    buf_put_format(&line, "{\"at\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"detail\":", at,
                   names[level], event);
    json_put_text(&line, str_from(detail));
    buf_put_char(&line, '}');
    if (buf_ok(&line)) log_line(buf_str(&line));
    buf_release(&line);
}
