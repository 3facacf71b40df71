/* sse.c - see sse.h. */
#include "sse.h"

enum { BOM_BYTES = 3 };

void sse_init(Sse *sse)
{
    *sse = (Sse){0};
    buf_init(&sse->raw, SSE_EVENT_BYTES_MAX);
    buf_init(&sse->data, SSE_EVENT_BYTES_MAX);
}

void sse_release(Sse *sse)
{
    buf_release(&sse->raw);
    buf_release(&sse->data);
}

static void give(Sse *sse, SseEvent event, void *context)
{
    Str data = sse->has_data ? buf_str(&sse->data) : (Str){NULL, 0};
    if (sse->has_data && data.ptr == NULL) data = STR("");
    event(context, buf_str(&sse->raw), data);
    buf_clear(&sse->raw);
    buf_clear(&sse->data);
    sse->line = 0;
    sse->has_data = false;
}

static void line_take(Sse *sse, Str line)
{
    if (!sse->begun && str_starts(line, "\xef\xbb\xbf")) line = str_skip(line, BOM_BYTES);
    sse->begun = true;
    if (!str_starts(line, "data") || (line.len > 4 && line.ptr[4] != ':')) return;
    line = str_skip(line, line.len > 4 ? 5 : 4);
    if (line.len > 0 && line.ptr[0] == ' ') line = str_skip(line, 1);
    if (sse->has_data) buf_put_char(&sse->data, '\n');
    buf_put_str(&sse->data, line);
    sse->has_data = true;
}

/* A line is complete: the raw bytes from sse->line on, without the break at its end. */
static void line_end(Sse *sse, size_t break_bytes, SseEvent event, void *context)
{
    Str line = {sse->raw.data + sse->line, sse->raw.len - sse->line - break_bytes};
    bool lone_comment = sse->line == 0 && line.len > 0 && line.ptr[0] == ':';
    bool blank = line.len == 0;
    if (!blank) line_take(sse, line);
    sse->line = sse->raw.len;
    /* a comment keeps a connection alive: it goes on at once, as does a blank line by itself */
    if (blank || lone_comment) give(sse, event, context);
}

bool sse_feed(Sse *sse, Str bytes, SseEvent event, void *context)
{
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        if (sse->after_cr && c == '\n') { /* the second half of a CRLF */
            sse->after_cr = false;
            buf_put_char(&sse->raw, c);
            sse->line = sse->raw.len;
            if (sse->raw.len == 1) give(sse, event, context);
            continue;
        }
        sse->after_cr = c == '\r';
        size_t run = i; /* up to the next break, in one piece */
        while (run < bytes.len && bytes.ptr[run] != '\n' && bytes.ptr[run] != '\r') run++;
        if (run > i) {
            buf_put(&sse->raw, bytes.ptr + i, run - i);
            i = run - 1;
        } else {
            buf_put_char(&sse->raw, c);
            if (buf_ok(&sse->raw)) line_end(sse, 1, event, context);
        }
        if (!buf_ok(&sse->raw) || !buf_ok(&sse->data)) return false;
    }
    return true;
}

void sse_end(Sse *sse, SseEvent event, void *context)
{
    if (sse->raw.len > sse->line) {
        line_take(sse, (Str){sse->raw.data + sse->line, sse->raw.len - sse->line});
    }
    if (sse->raw.len > 0) give(sse, event, context);
}
