/* splice.c - one member of a JSON object exchanged in its text, so that nothing else changes. */
#include "hub_internal.h"

static size_t skip_space(Str text, size_t at)
{
    while (at < text.len && memchr(" \t\r\n", text.ptr[at], 4) != NULL) at++;
    return at;
}

/* Past the string that begins at `at`. */
static size_t skip_string(Str text, size_t at)
{
    for (at++; at < text.len && text.ptr[at] != '"'; at++)
        if (text.ptr[at] == '\\') at++;
    return at < text.len ? at + 1 : text.len;
}

static size_t skip_value(Str text, size_t at)
{
    int depth = 0;
    while (at < text.len) {
        char c = text.ptr[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ',' || memchr(" \t\r\n", c, 4) != NULL)) break;
        depth += opens - closes;
        at++;
    }
    return at;
}

void json_splice(Str text, const char *key, Str value, Buf *out)
{
    size_t at = skip_space(text, 0) + 1, end = at; /* behind the brace; behind the last member */
    bool any = false;
    for (at = skip_space(text, at); at < text.len && text.ptr[at] == '"';) {
        Str name = {text.ptr + at + 1, skip_string(text, at) - at - 2};
        size_t begin = skip_space(text, skip_space(text, at + name.len + 2) + 1);
        end = skip_value(text, begin);
        any = true;
        if (str_is(name, key)) {
            buf_put(out, text.ptr, begin);
            buf_put_str(out, value);
            buf_put_str(out, str_skip(text, end));
            return;
        }
        at = skip_space(text, end);
        if (at < text.len && text.ptr[at] == ',') at = skip_space(text, at + 1);
    }
    buf_put(out, text.ptr, end);
    buf_put_text(out, any ? ",\n  " : "\n  ");
    json_put_key(out, key);
    buf_put_char(out, ' ');
    buf_put_str(out, value);
    if (!any) buf_put_char(out, '\n');
    buf_put_str(out, str_skip(text, end));
}
