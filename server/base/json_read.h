/* json_read.h - the fast way from JSON text to jansson's values; json.c alone uses it.
 *
 * Half of what a request cost the processor was jansson's reader, which takes text a character at a
 * time (140 instructions a byte, by callgrind). This one takes words of eight bytes, and whatever
 * it does not read jansson reads again and judges: errors are jansson's, and so is the right to
 * refuse. Nothing is ever taken here that jansson refuses, or differently (fuzz_json). */
#ifndef AILERON_JSON_READ_H
#define AILERON_JSON_READ_H

#include "json.h"

typedef struct JsonLimits {
    int depth_max;
    int64_t values_max;    /* commas, colons and opening brackets, and one */
    bool integers_as_real; /* every number becomes a real */
} JsonLimits;

/* text must be valid UTF-8 without NUL. NULL: broken, beyond a limit, a name given twice, or a
 * number or escape that is left to jansson. */
json_t *json_read(Str text, const JsonLimits *limits);

#endif
