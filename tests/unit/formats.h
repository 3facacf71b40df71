/* formats.h - reading one row in a unit test. */
#ifndef AILERON_TESTS_FORMATS_H
#define AILERON_TESTS_FORMATS_H

#include "../../server/formats/format.h"
#include "unit.h"

typedef struct Reading {
    RowReader reader;
    Row row;
    Err err;
} Reading;

/* Reads the text as that format; a second call for the same Reading forgets the first. */
static inline bool reading(Reading *r, const char *format, Str text)
{
    const Format *found = format_find(str_from(format));
    ck_assert_ptr_nonnull(found);
    row_reader_reset(&r->reader);
    r->err = (Err){0};
    return found->read(&r->reader, text, &r->row, &r->err);
}

static inline void reading_begin(Reading *r)
{
    ck_assert(crypto_init());
    *r = (Reading){0};
    row_reader_init(&r->reader);
}

static inline void reading_end(Reading *r)
{
    row_reader_release(&r->reader);
}

/* The row as `aileron` text, in a buffer of the caller's; valid until it is cleared. */
static inline Str rewritten(Reading *r, Buf *out)
{
    buf_clear(out);
    aileron_write(out, &r->row, &r->reader.arena);
    ck_assert(buf_ok(out) && out->len > 0);
    return (Str){out->data, out->len - 1}; /* without the newline */
}

#endif
