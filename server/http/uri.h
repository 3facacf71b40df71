/* uri.h - percent-decoding and query parameters. Results are arena copies. */
#ifndef AILERON_URI_H
#define AILERON_URI_H

#include "../base/arena.h"

/* Decodes %XX (and '+' as a space when plus) into out, which has room for text.len bytes. False for
 * a '%' without two digits. */
MUST_CHECK bool uri_decode(char *out, size_t *length, Str text, bool plus);
/* The same into the arena; ptr NULL when malformed or out of room. */
MUST_CHECK Str uri_decode_copy(Arena *arena, Str text, bool plus);
/* The first parameter of that name in a raw query string, decoded; ptr NULL when absent. */
Str uri_query_find(Arena *arena, Str query, const char *name);

/* The name of the first parameter that is none of the given, decoded; ptr NULL: there is none. */
Str uri_query_unknown(Arena *arena, Str query, const char *const *names, size_t count);

/* Cuts text at the first `separator`: returns what stands before it, *rest what follows (ptr NULL
 * when there was none). */
Str str_cut(Str text, char separator, Str *rest);

#endif
