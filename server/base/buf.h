/* buf.h - a growing byte buffer with a hard maximum; it owns its bytes until buf_release.
 *
 *   0 .. read  -- consumed      read .. len -- waiting      len .. cap -- room
 *
 * Appending past `max` (or out of memory) sets `failed` and drops the bytes: write a whole reply,
 * then ask buf_ok once. */
#ifndef AILERON_BUF_H
#define AILERON_BUF_H

#include <stdarg.h>
#include "str.h"

typedef struct Buf {
    char *data;
    size_t len;
    size_t read;
    size_t cap;
    size_t max;
    bool failed;
} Buf;

void buf_init(Buf *buf, size_t max);
void buf_release(Buf *buf);
void buf_clear(Buf *buf); /* len = read = 0, failed = false; keeps the memory */

void buf_put(Buf *buf, const void *bytes, size_t n);
void buf_put_str(Buf *buf, Str text);
void buf_put_text(Buf *buf, const char *text);
void buf_put_char(Buf *buf, char c);
void buf_put_int(Buf *buf, int64_t value);
void buf_put_format(Buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Big-endian integers, for PostgreSQL's binary formats. */
void buf_put_be16(Buf *buf, uint16_t value);
void buf_put_be32(Buf *buf, uint32_t value);
void buf_put_be64(Buf *buf, uint64_t value);

/* Room for n more bytes at data + len (the caller then adds to len); NULL past max. */
MUST_CHECK char *buf_reserve(Buf *buf, size_t n);

/* Drops the first n waiting bytes; moves the rest down when most of the buffer is consumed. */
void buf_consume(Buf *buf, size_t n);

static inline bool buf_ok(const Buf *buf)
{
    return !buf->failed;
}
static inline size_t buf_waiting(const Buf *buf)
{
    return buf->len - buf->read;
}
static inline Str buf_str(const Buf *buf) /* the waiting bytes; valid until the next append */
{
    return (Str){buf->data + buf->read, buf->len - buf->read};
}

#endif
