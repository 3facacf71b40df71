/* uri.c - see uri.h. */
#include "uri.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool uri_decode(char *out, size_t *length, Str text, bool plus)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3) return false;
            int high = digit(text.ptr[i + 1]), low = digit(text.ptr[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    *length = n;
    return true;
}

Str uri_decode_copy(Arena *arena, Str text, bool plus)
{
    size_t length;
    char *out = arena_alloc(arena, text.len + 1); /* zeroed: NUL-terminated */
    if (out == NULL || !uri_decode(out, &length, text, plus)) return (Str){NULL, 0};
    out[length] = '\0';
    return (Str){out, length};
}

Str str_cut(Str text, char separator, Str *rest)
{
    const char *at = text.len == 0 ? NULL : memchr(text.ptr, separator, text.len);
    if (at == NULL) {
        *rest = (Str){NULL, 0};
        return text;
    }
    size_t before = (size_t)(at - text.ptr);
    *rest = str_skip(text, before + 1);
    return (Str){text.ptr, before};
}

Str uri_query_find(Arena *arena, Str query, const char *name)
{
    char decoded[64]; /* longer names are nobody's */
    while (query.ptr != NULL) {
        Str value;
        Str key = str_cut(str_cut(query, '&', &query), '=', &value);
        size_t length;
        if (key.len > sizeof decoded || !uri_decode(decoded, &length, key, true)) continue;
        if (!str_is((Str){decoded, length}, name)) continue;
        if (value.ptr == NULL) return (Str){"", 0};
        return uri_decode_copy(arena, value, true);
    }
    return (Str){NULL, 0};
}

Str uri_query_unknown(Arena *arena, Str query, const char *const *names, size_t count)
{
    while (query.ptr != NULL) {
        Str value;
        Str key = str_cut(str_cut(query, '&', &query), '=', &value);
        Str name = uri_decode_copy(arena, key, true);
        bool known = key.len == 0 && value.ptr == NULL; /* "a=1&&b=2" */
        for (size_t i = 0; i < count && !known; i++) known = str_is(name, names[i]);
        if (!known) return name.ptr == NULL ? key : name;
    }
    return (Str){NULL, 0};
}
