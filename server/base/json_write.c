/* json_write.c - the writers of json.h. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { REAL_DIGITS_MAX = 17 /* always enough to read the same double back */ };

static const char *escape_of(const char *p, const char *end, size_t *eaten, char hex[8])
{
    unsigned char c = (unsigned char)*p;
    *eaten = 1;
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '<':
        if (end - p < 2 || p[1] != '/') return NULL;
        *eaten = 2;
        return "<\\/";
    case 0xe2: /* U+2028 and U+2029 end a line in a script */
        if (end - p < 3 || (unsigned char)p[1] != 0x80) return NULL;
        if ((unsigned char)p[2] != 0xa8 && (unsigned char)p[2] != 0xa9) return NULL;
        *eaten = 3;
        return (unsigned char)p[2] == 0xa8 ? "\\u2028" : "\\u2029";
    default:
        if (c >= 0x20) return NULL;
        snprintf(hex, 8, "\\u%04x", c);
        return hex;
    }
}

void json_put_text(Buf *buf, Str text)
{
    static const bool stop[256] = {
        [0 ... 0x1f] = true, ['"'] = true, ['\\'] = true, ['<'] = true, [0xe2] = true};
    if (text.ptr == NULL) {
        buf_put(buf, "null", 4);
        return;
    }
    const char *p = text.ptr, *end = text.ptr + text.len, *run = p;
    buf_put_char(buf, '"');
    while (p < end) {
        if (!stop[(unsigned char)*p]) {
            p++;
            continue;
        }
        char hex[8];
        size_t eaten;
        const char *escape = escape_of(p, end, &eaten, hex);
        if (escape != NULL) {
            buf_put(buf, run, (size_t)(p - run));
            buf_put_text(buf, escape);
            run = p + eaten;
        }
        p += eaten;
    }
    buf_put(buf, run, (size_t)(end - run));
    buf_put_char(buf, '"');
}

void json_put_key(Buf *buf, const char *key)
{
    json_put_text(buf, str_from(key));
    buf_put_char(buf, ':');
}

void json_put_real(Buf *buf, double value)
{
    char text[40];
    if (!isfinite(value)) { /* JSON has no such numbers */
        buf_put(buf, "null", 4);
        return;
    }
    for (int digits = 1; digits <= REAL_DIGITS_MAX; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof back) == 0) break; /* tells -0 from 0, too */
    }
    buf_put_text(buf, text);
    if (strpbrk(text, ".e") == NULL) buf_put(buf, ".0", 2); /* stays a real when read again */
}

static void put_object(Buf *buf, const json_t *object)
{
    const char *key;
    json_t *member;
    bool first = true;
    buf_put_char(buf, '{');
    /* the iteration macro wants a mutable object; nothing here writes to it */
    json_object_foreach((json_t *)(uintptr_t)object, key, member) {
        if (!first) buf_put_char(buf, ',');
        first = false;
        json_put_key(buf, key);
        json_put_value(buf, member);
    }
    buf_put_char(buf, '}');
}

static void put_array(Buf *buf, const json_t *array)
{
    size_t count = json_array_size(array);
    buf_put_char(buf, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_put_char(buf, ',');
        json_put_value(buf, json_array_get(array, i));
    }
    buf_put_char(buf, ']');
}

/* Recursion is bounded by JSON_DEPTH_MAX: no deeper value comes out of json_parse. */
void json_put_value(Buf *buf, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: put_object(buf, value); break;
    case JSON_ARRAY: put_array(buf, value); break;
    case JSON_STRING: json_put_text(buf, json_str(value)); break;
    case JSON_INTEGER: buf_put_int(buf, json_integer_value(value)); break;
    case JSON_REAL: json_put_real(buf, json_real_value(value)); break;
    case JSON_TRUE: buf_put_text(buf, "true"); break;
    case JSON_FALSE: buf_put_text(buf, "false"); break;
    case JSON_NULL: buf_put_text(buf, "null"); break;
    }
}
