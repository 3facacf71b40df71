/* json_read.c - see json_read.h. */
#include "json_read.h"

#include <math.h>
#include <stdlib.h>

enum {
    INTEGER_DIGITS_MAX = 18, /* always fit in 64 bits */
    NUMBER_BYTES_MAX = 64,   /* longer ones are jansson's */
    HEX_DIGITS = 4,
};

typedef struct Reader {
    const char *at, *end;
    const JsonLimits *limits;
    int depth;
    int64_t values;
    char *unescaped; /* of text.len bytes, made when the first escape is met */
    size_t room;
} Reader;

static json_t *read_value(Reader *r);

static void skip_space(Reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* The next character that is not a space, if it is this one: consumed. */
static bool take(Reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool count_value(Reader *r)
{
    return ++r->values <= r->limits->values_max;
}

/* ---- strings ---- */

#define EACH_BYTE(c) ((uint64_t)(c)*0x0101010101010101u)

/* The high bit of the lowest byte that is a quote, a backslash or below a space (bytes above may be
 * marked by mistake: a borrow goes upwards). */
static uint64_t stops_in(uint64_t word)
{
    uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');
    uint64_t is_quote = (quote - EACH_BYTE(1)) & ~quote;
    uint64_t is_backslash = (backslash - EACH_BYTE(1)) & ~backslash;
    uint64_t is_control = (word - EACH_BYTE(' ')) & ~word;
    return (is_quote | is_backslash | is_control) & EACH_BYTE(0x80);
}

/* The first quote, backslash or control character from p; end: none. */
static const char *find_stop(const char *p, const char *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        uint64_t stops = stops_in(word);
        if (stops != 0) return p + __builtin_ctzll(stops) / 8;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= ' ') p++;
    return p;
}

/* Four hexadecimal digits from p; -1: they are not there. */
static int32_t read_hex(const char *p, const char *end)
{
    int32_t code = 0;
    if (end - p < HEX_DIGITS) return -1;
    for (int i = 0; i < HEX_DIGITS; i++) {
        int digit = p[i] >= '0' && p[i] <= '9'   ? p[i] - '0'
                    : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10
                    : p[i] >= 'A' && p[i] <= 'F' ? p[i] - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        code = code << 4 | digit;
    }
    return code;
}

static char *put_code(char *to, uint32_t code) /* as UTF-8; U+0001 to U+10FFFF */
{
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (code & 0x3f));
    return to;
}

/* \uXXXX or a pair of them; r->at is behind the u. False: NUL, half a pair, no digits. */
static bool read_code(Reader *r, uint32_t *code)
{
    int32_t first = read_hex(r->at, r->end);
    if (first <= 0) return false;
    r->at += HEX_DIGITS;
    *code = (uint32_t)first;
    if (first < 0xd800 || first > 0xdfff) return true;
    if (first > 0xdbff || r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') return false;
    int32_t second = read_hex(r->at + 2, r->end);
    if (second < 0xdc00 || second > 0xdfff) return false;
    r->at += 2 + HEX_DIGITS;
    *code = 0x10000 + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00);
    return true;
}

/* What follows a backslash; NULL: no escape. An escape is never shorter than what it stands for. */
static char *read_escape(Reader *r, char *to)
{
    static const char plain[128] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    uint32_t code;
    if (r->at == r->end) return NULL;
    unsigned char c = (unsigned char)*r->at++;
    if (c == 'u') return read_code(r, &code) ? put_code(to, code) : NULL;
    if (c >= sizeof plain || plain[c] == '\0') return NULL;
    *to = plain[c];
    return to + 1;
}

/* The rest of a string from its first backslash on, of which `start` is the begin. */
static bool read_escaped(Reader *r, const char *start, Str *out)
{
    if (r->unescaped == NULL) r->unescaped = malloc(r->room);
    char *to = r->unescaped;
    if (to == NULL) return false;
    for (;;) {
        memcpy(to, start, (size_t)(r->at - start));
        to += r->at - start;
        if (r->at == r->end || (unsigned char)*r->at < ' ') return false;
        if (*r->at++ == '"') break;
        to = read_escape(r, to);
        if (to == NULL) return false;
        start = r->at;
        r->at = find_stop(r->at, r->end);
    }
    *out = (Str){r->unescaped, (size_t)(to - r->unescaped)};
    return true;
}

/* A string whose opening quote is behind us; *out lives until the next string is read. */
static bool read_string(Reader *r, Str *out)
{
    const char *start = r->at;
    r->at = find_stop(start, r->end);
    if (r->at == r->end) return false;
    if (*r->at != '"') return *r->at == '\\' && read_escaped(r, start, out);
    *out = (Str){start, (size_t)(r->at++ - start)};
    return true;
}

/* ---- numbers ---- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Behind the fraction and the exponent, if there are any; NULL: one without digits. */
static const char *skip_fraction(const char *p, const char *end)
{
    if (p < end && *p == '.') {
        if (!is_digit(p + 1, end)) return NULL;
        p = skip_digits(p + 1, end);
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        if (!is_digit(p, end)) return NULL;
        p = skip_digits(p, end);
    }
    return p;
}

static json_t *read_number(Reader *r)
{
    char text[NUMBER_BYTES_MAX + 1];
    const char *start = r->at, *p = start + (*start == '-');
    if (!is_digit(p, r->end)) return NULL;
    const char *whole = *p == '0' ? p + 1 : skip_digits(p, r->end);
    ptrdiff_t digits = whole - p;
    const char *end = skip_fraction(whole, r->end);
    if (end == NULL || end - start > NUMBER_BYTES_MAX || is_digit(end, r->end)) return NULL;
    r->at = end;
    if (end == whole && !r->limits->integers_as_real) {
        json_int_t number = 0;
        if (digits > INTEGER_DIGITS_MAX) return NULL;
        for (; p < end; p++) number = number * 10 + (*p - '0');
        return json_integer(*start == '-' ? -number : number);
    }
    memcpy(text, start, (size_t)(end - start));
    text[end - start] = '\0';
    double number = strtod(text, NULL);
    return isfinite(number) ? json_real(number) : NULL;
}

/* ---- the rest ---- */

static json_t *read_word(Reader *r, const char *word, json_t *value)
{
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return NULL;
    r->at += length;
    return value;
}

static bool read_members(Reader *r, json_t *object)
{
    if (take(r, '}')) return true;
    do {
        char kept[64];
        Str name;
        if (!take(r, '"') || !read_string(r, &name)) return false;
        /* the value may unescape its own strings over it */
        if (name.ptr == r->unescaped) {
            if (name.len > sizeof kept) return false;
            memcpy(kept, name.ptr, name.len);
            name.ptr = kept;
        }
        if (!take(r, ':') || !count_value(r)) return false;
        json_t *value = read_value(r);
        size_t before = json_object_size(object);
        if (value == NULL || json_object_setn_new_nocheck(object, name.ptr, name.len, value) != 0 ||
            json_object_size(object) == before)
            return false; /* the last: the name was there */
    } while (take(r, ',') && count_value(r));
    return take(r, '}');
}

static bool read_elements(Reader *r, json_t *array)
{
    if (take(r, ']')) return true;
    do {
        json_t *value = read_value(r);
        if (value == NULL || json_array_append_new(array, value) != 0) return false;
    } while (take(r, ',') && count_value(r));
    return take(r, ']');
}

static json_t *read_nested(Reader *r, bool object)
{
    json_t *value = object ? json_object() : json_array();
    r->at++;
    bool ok = value != NULL && ++r->depth <= r->limits->depth_max && (object || count_value(r)) &&
              (object ? read_members(r, value) : read_elements(r, value));
    r->depth--;
    if (ok) return value;
    json_decref(value);
    return NULL;
}

static json_t *read_value(Reader *r)
{
    Str text;
    skip_space(r);
    if (r->at == r->end) return NULL;
    switch (*r->at) {
    case '{': return read_nested(r, true);
    case '[': return read_nested(r, false);
    case 't': return read_word(r, "true", json_true());
    case 'f': return read_word(r, "false", json_false());
    case 'n': return read_word(r, "null", json_null());
    case '"':
        r->at++;
        return read_string(r, &text) ? json_stringn_nocheck(text.ptr, text.len) : NULL;
    default: return read_number(r);
    }
}

json_t *json_read(Str text, const JsonLimits *limits)
{
    Reader r = {.at = text.ptr,
                .end = text.ptr + text.len,
                .limits = limits,
                .values = 1,
                .room = text.len};
    json_t *value = read_value(&r);
    skip_space(&r);
    free(r.unescaped);
    if (value != NULL && r.at == r.end && r.values <= limits->values_max) return value;
    json_decref(value);
    return NULL;
}
