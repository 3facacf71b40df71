/* splice.c - members of a JSON object exchanged in its text, so that nothing else changes. */
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

void json_edit_begin(JsonEdit *edit, Str text, size_t max)
{
    *edit = (JsonEdit){.failed = false};
    buf_init(&edit->text, max);
    buf_init(&edit->next, max);
    buf_init(&edit->value, max);
    buf_put_str(&edit->text, text);
    edit->failed = !buf_ok(&edit->text);
}

void json_edit_set(JsonEdit *edit, const char *key)
{
    Buf swap = edit->text;
    buf_clear(&edit->next);
    json_splice(buf_str(&edit->text), key, buf_str(&edit->value), &edit->next);
    edit->failed = edit->failed || !buf_ok(&edit->next) || !buf_ok(&edit->value);
    edit->text = edit->next;
    edit->next = swap;
    buf_clear(&edit->value);
}

void json_edit_text(JsonEdit *edit, const char *key, Str value)
{
    json_put_text(&edit->value, value);
    json_edit_set(edit, key);
}

void json_edit_json(JsonEdit *edit, const char *key, const char *value)
{
    buf_put_text(&edit->value, value);
    json_edit_set(edit, key);
}

void json_edit_release(JsonEdit *edit)
{
    buf_release(&edit->text);
    buf_release(&edit->next);
    buf_release(&edit->value);
}
