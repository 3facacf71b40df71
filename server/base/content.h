/* content.h - the content of a message as OpenAI's clients send it: a text, or a list of parts of
 * which each has a type. Nothing is owned; texts live in the JSON or in the given arena. */
#ifndef AILERON_CONTENT_H
#define AILERON_CONTENT_H

#include "json.h"

enum { CONTENT_PARTS_MAX = 1024 };

/* Is it a text of at most max_bytes, or parts of the type "text" that make one? Parts of another
 * type (images) are refused by their pointer: rows are of text. */
MUST_CHECK bool content_check(const json_t *content, size_t max_bytes, const char *pointer,
                              Arena *arena, Err *err);
/* A text as it is; of a list the texts of its parts, a line break between them, as servers of
 * models do for templates of text; a part of another type is its type in brackets. Of anything
 * else "". ptr NULL: no memory. */
MUST_CHECK Str content_text(const json_t *content, Arena *arena);

#endif
