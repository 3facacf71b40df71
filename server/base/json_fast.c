/* json_fast.c - the parser behind json_parse for texts that are in order: several times as fast as
 * jansson's, which reads byte by byte, and building the same values.
 *
 * It says yes or nothing: whatever it does not take (or is over a limit) jansson looks at again and
 * words the error. The text must be valid UTF-8 without NUL; a value owns copies of its texts. */
#include "json_fast.h"

#include <math.h>
#include <stdlib.h>

enum { NUMBER_CHARS_MAX = 63, SHORT_TEXT_BYTES = 1024 };

typedef struct Parser {
    const char *at, *end;
    int depth;
    int64_t values;
} Parser;

static json_t *parse_value(Parser *p);

static void skip_space(Parser *p)
{
    while (p->at < p->end &&
           (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t')) p->at++;
}

static bool take(Parser *p, char c)
{
    skip_space(p);
    if (p->at >= p->end || *p->at != c) return false;
    p->at++;
    return true;
}

/* ---- texts ---- */

/* A run of plain characters ends at a quote, a backslash or a control character. */
static const char *run_end(const Parser *p)
{
    static const bool stop[256] = {[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true};
    const char *at = p->at;
    while (at < p->end && !stop[(unsigned char)*at]) at++;
    return at;
}

static bool read_hex(Parser *p, unsigned *out)
{
    unsigned value = 0;
    if (p->end - p->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        unsigned digit;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned)(c - 'A' + 10);
        } else {
            return false;
        }
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

/* What follows \u, at most four bytes of UTF-8; NUL and half a pair are not taken. */
static bool put_unicode(Parser *p, char **out)
{
    unsigned code, low;
    if (!read_hex(p, &code) || code == 0 || (code >= 0xdc00 && code <= 0xdfff)) return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u') return false;
        p->at += 2;
        if (!read_hex(p, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    char *o = *out;
    if (code < 0x80) {
        *o++ = (char)code;
    } else if (code < 0x800) {
        *o++ = (char)(0xc0 | code >> 6);
        *o++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *o++ = (char)(0xe0 | code >> 12);
        *o++ = (char)(0x80 | (code >> 6 & 0x3f));
        *o++ = (char)(0x80 | (code & 0x3f));
    } else {
        *o++ = (char)(0xf0 | code >> 18);
        *o++ = (char)(0x80 | (code >> 12 & 0x3f));
        *o++ = (char)(0x80 | (code >> 6 & 0x3f));
        *o++ = (char)(0x80 | (code & 0x3f));
    }
    *out = o;
    return true;
}

static bool put_escape(Parser *p, char **out)
{
    static const char plain[256] = {['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    p->at++; /* the backslash */
    if (p->at >= p->end) return false;
    unsigned char c = (unsigned char)*p->at++;
    if (c == 'u') return put_unicode(p, out);
    if (!plain[c]) return false;
    *(*out)++ = plain[c];
    return true;
}

/* The length of a text's rest up to its closing quote, escapes counted as they stand. */
static size_t raw_length(const Parser *p)
{
    const char *at = p->at;
    while (at < p->end && *at != '"') at += *at == '\\' ? 2 : 1;
    return at < p->end ? (size_t)(at - p->at) : 0;
}

/* A text with escapes, decoded into `room` (never longer than it stands). */
static bool decode(Parser *p, char *room, size_t *length)
{
    char *out = room;
    for (;;) {
        const char *stop = run_end(p);
        size_t n = (size_t)(stop - p->at);
        memcpy(out, p->at, n);
        out += n;
        p->at = stop;
        if (stop >= p->end) return false;
        if (*stop == '"') break;
        if (*stop != '\\' || !put_escape(p, &out)) return false;
    }
    p->at++;
    *length = (size_t)(out - room);
    return true;
}

/* After the opening quote. *copy is malloc'd when the text had escapes and was long, else NULL. */
static bool read_text(Parser *p, char small[SHORT_TEXT_BYTES], Str *text, char **copy)
{
    const char *stop = run_end(p);
    *copy = NULL;
    if (stop < p->end && *stop == '"') {
        *text = (Str){p->at, (size_t)(stop - p->at)};
        p->at = stop + 1;
        return true;
    }
    size_t most = raw_length(p);
    if (most == 0) return false;
    if (most > SHORT_TEXT_BYTES) *copy = malloc(most);
    char *room = most > SHORT_TEXT_BYTES ? *copy : small;
    if (room == NULL) return false;
    text->ptr = room;
    if (decode(p, room, &text->len)) return true;
    free(*copy);
    return false;
}

static json_t *parse_text(Parser *p)
{
    char small[SHORT_TEXT_BYTES];
    char *copy;
    Str text;
    if (!read_text(p, small, &text, &copy)) return NULL;
    json_t *value = json_stringn_nocheck(text.ptr, text.len);
    free(copy);
    return value;
}

/* ---- numbers and words ---- */

static size_t digits(Parser *p)
{
    const char *from = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9') p->at++;
    return (size_t)(p->at - from);
}

static json_t *parse_real(const char *from, size_t length)
{
    char text[NUMBER_CHARS_MAX + 1];
    char *end;
    if (length > NUMBER_CHARS_MAX) return NULL;
    memcpy(text, from, length);
    text[length] = '\0';
    double value = strtod(text, &end);
    return *end == '\0' && isfinite(value) ? json_real(value) : NULL;
}

static json_t *parse_number(Parser *p)
{
    const char *from = p->at;
    bool negative = *p->at == '-';
    if (negative) p->at++;
    const char *first = p->at;
    size_t count = digits(p);
    if (count == 0 || (count > 1 && *first == '0')) return NULL;
    bool real = false;
    if (p->at < p->end && *p->at == '.') {
        real = true;
        p->at++;
        if (digits(p) == 0) return NULL;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        real = true;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-')) p->at++;
        if (digits(p) == 0) return NULL;
    }
    if (real) return parse_real(from, (size_t)(p->at - from));
    if (count > 18) return NULL; /* may not fit: jansson knows */
    int64_t value = 0;
    for (const char *c = first; c < p->at; c++) value = value * 10 + (*c - '0');
    return json_integer(negative ? -value : value);
}

static json_t *parse_word(Parser *p, const char *word, json_t *value)
{
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return NULL;
    p->at += n;
    return value;
}

/* ---- lists and objects ---- */

static bool parse_member(Parser *p, json_t *object)
{
    char small[SHORT_TEXT_BYTES];
    char *copy;
    Str name;
    if (!take(p, '"') || !read_text(p, small, &name, &copy)) return false;
    bool ok = take(p, ':') && json_object_getn(object, name.ptr, name.len) == NULL;
    json_t *value = ok ? parse_value(p) : NULL;
    ok = value != NULL &&
         json_object_setn_new_nocheck(object, name.ptr, name.len, value) == 0;
    free(copy);
    return ok;
}

static json_t *parse_object(Parser *p)
{
    json_t *object = json_object();
    if (object == NULL || take(p, '}')) return object;
    do {
        if (!parse_member(p, object)) break;
        if (take(p, '}')) return object;
    } while (take(p, ','));
    json_decref(object);
    return NULL;
}

static json_t *parse_array(Parser *p)
{
    json_t *array = json_array();
    if (array == NULL || take(p, ']')) return array;
    do {
        json_t *value = parse_value(p);
        if (value == NULL || json_array_append_new(array, value) != 0) break;
        if (take(p, ']')) return array;
    } while (take(p, ','));
    json_decref(array);
    return NULL;
}

/* Recursion is bounded by JSON_DEPTH_MAX. */
static json_t *parse_nested(Parser *p, json_t *(*parse)(Parser *))
{
    if (++p->depth > JSON_DEPTH_MAX) return NULL;
    p->at++;
    json_t *value = parse(p);
    p->depth--;
    return value;
}

static json_t *parse_value(Parser *p)
{
    skip_space(p);
    if (p->at >= p->end || ++p->values > JSON_VALUES_MAX / 2) return NULL;
    switch (*p->at) {
    case '"':
        p->at++;
        return parse_text(p);
    case '{': return parse_nested(p, parse_object);
    case '[': return parse_nested(p, parse_array);
    case 't': return parse_word(p, "true", json_true());
    case 'f': return parse_word(p, "false", json_false());
    case 'n': return parse_word(p, "null", json_null());
    default: return parse_number(p);
    }
}

json_t *json_parse_fast(Str text)
{
    Parser p = {.at = text.ptr, .end = text.ptr + text.len};
    json_t *value = parse_value(&p);
    skip_space(&p);
    if (value == NULL || p.at == p.end) return value;
    json_decref(value);
    return NULL;
}
