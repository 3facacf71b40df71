/* lines.c - see lines.h. A record that lies whole in the bytes given is not copied. */
#include "lines.h"

enum {
    OVERLONG_KEPT_BYTES = 4096,    /* of a record that is too long: enough to recognise it */
    PARTIAL_KEPT_BYTES = 1048576,  /* memory kept for the next divided record */
};

void lines_init(Lines *lines, int64_t first_line, size_t max)
{
    *lines = (Lines){.line = first_line, .next_line = first_line, .max = max};
    buf_init(&lines->partial, max);
}

void lines_release(Lines *lines)
{
    buf_release(&lines->partial);
}

static size_t count_newlines(Str text)
{
    size_t count = 0;
    for (const char *p = text.ptr, *end = text.ptr + text.len;
         p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
        count++;
    return count;
}

/* Keeps a record's beginning until its end comes. */
static void keep(Lines *lines, Str piece)
{
    if (lines->overlong)
        return;
    if (buf_waiting(&lines->partial) + piece.len <= lines->max) {
        buf_put_str(&lines->partial, piece);
        return;
    }
    size_t kept = buf_waiting(&lines->partial);
    if (kept < OVERLONG_KEPT_BYTES) {
        size_t more = OVERLONG_KEPT_BYTES - kept;
        buf_put(&lines->partial, piece.ptr, more < piece.len ? more : piece.len);
    } else {
        lines->partial.len = lines->partial.read + OVERLONG_KEPT_BYTES;
    }
    lines->overlong = true;
}

static Record finish(Lines *lines, Str text)
{
    Record record = {text, lines->line, lines->overlong};
    if (!lines->begun && text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        record.text = str_skip(text, 3);
    if (record.text.len && record.text.ptr[record.text.len - 1] == '\r')
        record.text.len--;
    lines->begun = true;
    lines->overlong = false;
    lines->line = lines->next_line;
    return record;
}

/* The record given out last is no longer needed. */
static void forget_given(Lines *lines)
{
    if (!lines->given)
        return;
    buf_clear(&lines->partial);
    if (lines->partial.cap > PARTIAL_KEPT_BYTES)
        buf_release(&lines->partial);
    lines->given = false;
}

bool lines_next(Lines *lines, Str *bytes, Record *record)
{
    forget_given(lines);
    if (bytes->len == 0)
        return false;
    size_t end;
    if (lines->csv) {
        end = csv_scan(&lines->state, *bytes);
    } else {
        const char *feed = memchr(bytes->ptr, '\n', bytes->len);
        end = feed ? (size_t)(feed - bytes->ptr) : bytes->len;
    }
    Str piece = {bytes->ptr, end};
    bool whole = end < bytes->len;
    lines->next_line += (int64_t)(lines->csv ? count_newlines(piece) : 0) + whole;
    *bytes = str_skip(*bytes, end + 1);
    if (!whole || buf_waiting(&lines->partial) > 0 || piece.len > lines->max)
        keep(lines, piece);
    if (!whole)
        return false;
    lines->given = buf_waiting(&lines->partial) > 0;
    *record = finish(lines, lines->given ? buf_str(&lines->partial) : piece);
    return true;
}

bool lines_last(Lines *lines, Record *record)
{
    forget_given(lines);
    if (buf_waiting(&lines->partial) == 0)
        return false;
    lines->given = true;
    *record = finish(lines, buf_str(&lines->partial));
    return true;
}
