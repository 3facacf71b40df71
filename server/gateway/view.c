/* view.c - see view.h. */
#include "view.h"

#include "../base/markdown.h"

enum { FENCE_MIN = 3, LIST_DIGITS_MAX = 9, LINE_BEGIN_BYTES = LIST_DIGITS_MAX + 2 };

static size_t run_of(Str line, char c)
{
    size_t n = 0;
    while (n < line.len && line.ptr[n] == c) n++;
    return n;
}

static Str unindented(Str line)
{
    while (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) line = str_skip(line, 1);
    return line;
}

static bool is_blank(Str line)
{
    line = unindented(line);
    return line.len == 0 || line.ptr[0] == '\r';
}

/* "- ", "* ", "+ ", "1. ", "1) " */
static bool begins_list(Str line)
{
    size_t n = 0;
    while (n < line.len && n < LIST_DIGITS_MAX && line.ptr[n] >= '0' && line.ptr[n] <= '9') n++;
    if (n >= line.len || strchr(n > 0 ? ".)" : "-*+", line.ptr[n]) == NULL) return false;
    return n + 1 == line.len || line.ptr[n + 1] == ' ' || line.ptr[n + 1] == '\t';
}

static bool fence_closes(const View *view, Str line)
{
    line = unindented(line);
    size_t n = run_of(line, view->fence);
    return n >= view->fence_length && is_blank(str_skip(line, n));
}

/* The info string of a backtick fence has no backtick: ```a``` is code within a line. */
static void fence_open(View *view, Str line)
{
    line = unindented(line);
    if (line.len < FENCE_MIN || (line.ptr[0] != '`' && line.ptr[0] != '~')) return;
    size_t n = run_of(line, line.ptr[0]);
    Str info = str_skip(line, n);
    if (n < FENCE_MIN || (line.ptr[0] == '`' && memchr(info.ptr, '`', info.len) != NULL)) return;
    view->fence = line.ptr[0];
    view->fence_length = n;
}

/* A line that is not blank begins at `at`: is what was before it finished? */
static void begin_line(View *view, Str line, size_t at)
{
    bool indented = line.ptr[0] == ' ' || line.ptr[0] == '\t';
    bool belongs = indented || (view->list && begins_list(line));
    if (!view->begun || !view->blank || belongs) return;
    view->cut = at;
    view->begun = false;
}

static void take_line(View *view, Str line, size_t at)
{
    if (view->fence_length > 0) {
        if (fence_closes(view, line)) view->fence_length = 0;
        return;
    }
    if (is_blank(line)) {
        view->blank = true;
        return;
    }
    begin_line(view, line, at);
    if (!view->begun) view->list = begins_list(unindented(line));
    view->begun = true;
    view->blank = false;
    fence_open(view, line);
}

void view_scan(View *view, Str text)
{
    const char *end;
    while (view->scanned < text.len &&
           (end = memchr(text.ptr + view->scanned, '\n', text.len - view->scanned)) != NULL) {
        size_t at = view->scanned;
        view->scanned = (size_t)(end - text.ptr) + 1;
        take_line(view, (Str){text.ptr + at, view->scanned - 1 - at}, at);
    }
    Str line = str_skip(text, view->scanned); /* a paragraph is one line: its beginning tells */
    if (view->fence_length == 0 && line.len >= LINE_BEGIN_BYTES && !is_blank(line)) {
        begin_line(view, line, view->scanned);
    }
}

static void put_event(Buf *out, const char *name, Str text)
{
    buf_put_format(out, "data: {\"event\":\"%s\",\"html\":", name);
    markdown_put_json(out, text);
    buf_put_text(out, "}\n\n");
}

void view_put(View *view, Str text, Buf *out)
{
    if (view->cut > view->shown) {
        put_event(out, "block", (Str){text.ptr + view->shown, view->cut - view->shown});
        view->shown = view->cut;
    }
    put_event(out, "tail", str_skip(text, view->shown));
}

size_t view_tail(const View *view, Str text)
{
    return text.len - view->shown;
}
