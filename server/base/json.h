/* json.h - decoding bodies by a table of fields, and writing JSON text.
 *
 * The only header that shows jansson. Parsed values (json_t) belong to the caller (json_decref);
 * decoded Strs point into the json_t or the arena. Parsing refuses invalid UTF-8, duplicate keys,
 * NUL characters, nesting deeper than JSON_DEPTH_MAX and trailing bytes. */
#ifndef AILERON_JSON_H
#define AILERON_JSON_H

#include <jansson.h>
#include "arena.h"
#include "buf.h"
#include "err.h"

enum {
    JSON_DEPTH_MAX = 64,
    JSON_VALUES_MAX = 1000000, /* values in one text: each costs a heap object */
};

/* Parses one JSON text of any type. On failure returns NULL and fills err (ERR_malformed), saying
 * what and at which column. */
MUST_CHECK json_t *json_parse(Str text, Arena *arena, Err *err);
/* The same for a file that another program wrote: values_max instead of JSON_VALUES_MAX, and every
 * number becomes a real (such files hold whole numbers beyond 64 bits). */
MUST_CHECK json_t *json_parse_file(Str text, int64_t values_max, Arena *arena, Err *err);

typedef enum JsonKind {
    JSON_FIELD_TEXT,   /* Str*; min..max bytes */
    JSON_FIELD_INT,    /* int64_t*; min..max */
    JSON_FIELD_BOOL,   /* bool* */
    JSON_FIELD_ENUM,   /* Str*; one of `choices` (NULL-terminated array) */
    JSON_FIELD_UUID,   /* Str* of 36 characters */
    JSON_FIELD_OBJECT, /* json_t** borrowed */
    JSON_FIELD_ARRAY,  /* json_t** borrowed; min..max elements */
    JSON_FIELD_ANY,    /* json_t** borrowed */
} JsonKind;

typedef struct JsonField {
    const char *name;
    JsonKind kind;
    void *out;
    bool required;             /* absent or null is an error */
    int64_t min, max;          /* see JsonKind; both 0: no limits */
    const char *const *choices;
    bool *present;             /* optional: set when the member is there and not null */
} JsonField;

#define REQUIRED true
#define OPTIONAL false

/* Decodes the object's members into the fields' targets; unknown members are refused by name.
 * Absent optional members leave their target untouched. Errors are ERR_invalid with a JSON pointer
 * that starts with `base` ("" for the whole body). */
MUST_CHECK bool json_decode(json_t *object, const JsonField *fields, size_t count, const char *base,
                            Arena *arena, Err *err);

/* base + "/" + name, escaped as RFC 6901 wants it (long names cut); NULL when it does not fit. */
const char *json_pointer(Arena *arena, const char *base, const char *name);
const char *json_pointer_index(Arena *arena, const char *base, size_t index);

static inline Str json_str(const json_t *value) /* a string value's text; ptr NULL otherwise */
{
    return json_is_string(value) ? (Str){json_string_value(value), json_string_length(value)}
                                 : (Str){NULL, 0};
}

/* Writers. json_put_* append to a Buf; text must be valid UTF-8. Control characters, quotes and
 * backslashes are escaped; U+2028/2029 and "</" too, so that the text may stand in a page. */
void json_put_text(Buf *buf, Str text);            /* "…" with quotes; null when ptr is NULL */
void json_put_key(Buf *buf, const char *key);      /* "key": */
void json_put_real(Buf *buf, double value);        /* the shortest text that reads back the same */
/* The value, compact, members in their order, reals as json_put_real: writing, parsing and writing
 * again gives the same bytes. */
void json_put_value(Buf *buf, const json_t *value);

/* True when text is valid UTF-8 without NUL; *bad_at (may be NULL) gets the first bad byte's
 * offset. */
bool utf8_valid(Str text, size_t *bad_at);

#endif
