/* str.h - a string that carries its length; it never owns its bytes.
 *
 * Inside Aileron text is a Str; NUL-terminated strings exist only at library edges. The bytes
 * belong to whoever made them (a request arena, a PGresult, a literal) and must outlive the Str. */
#ifndef AILERON_STR_H
#define AILERON_STR_H

#include <string.h>
#include "util.h"

typedef struct Str {
    const char *ptr; /* not NUL-terminated; NULL means absent, which differs from empty */
    size_t len;
} Str;

#define STR(literal) ((Str){"" literal, sizeof(literal) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline Str str_from(const char *text)
{
    return (Str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_is(Str a, const char *text)
{
    return str_equal(a, str_from(text));
}

static inline bool str_starts(Str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.len >= n && memcmp(a.ptr, prefix, n) == 0;
}

static inline Str str_skip(Str a, size_t n)
{
    return n >= a.len ? (Str){a.ptr + a.len, 0} : (Str){a.ptr + n, a.len - n};
}

#endif
