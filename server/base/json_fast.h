/* json_fast.h - a fast parser for JSON that is in order; json.c only. */
#ifndef AILERON_JSON_FAST_H
#define AILERON_JSON_FAST_H

#include "json.h"

/* Parses valid UTF-8 without NUL. NULL: not taken (malformed, at a limit, or out of memory); then
 * jansson decides and words the error. What is taken equals what jansson would build. */
json_t *json_parse_fast(Str text);

#endif
