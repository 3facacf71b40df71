/* buf.c - see buf.h. Growth doubles, never past max; the consumed front is reclaimed first. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(Buf *buf, size_t max)
{
    *buf = (Buf){.max = max};
}

void buf_release(Buf *buf)
{
    free(buf->data);
    *buf = (Buf){.max = buf->max};
}

void buf_clear(Buf *buf)
{
    buf->len = 0;
    buf->read = 0;
    buf->failed = false;
}

static void buf_compact(Buf *buf)
{
    if (buf->read == 0) return;
    buf->len -= buf->read;
    if (buf->len > 0) memmove(buf->data, buf->data + buf->read, buf->len);
    buf->read = 0;
}

static bool buf_grow(Buf *buf, size_t need)
{
    size_t cap = buf->cap < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->cap;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > buf->max) cap = buf->max;
    char *data = realloc(buf->data, cap);
    if (data == NULL) return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

char *buf_reserve(Buf *buf, size_t n)
{
    if (buf->failed) return NULL;
    if (n <= buf->cap - buf->len && buf->data != NULL) return buf->data + buf->len;
    buf_compact(buf);
    if (n > buf->max || buf->len > buf->max - n) {
        buf->failed = true;
        return NULL;
    }
    size_t need = buf->len + n;
    if ((need > buf->cap || buf->data == NULL) && !buf_grow(buf, need)) {
        buf->failed = true;
        return NULL;
    }
    return buf->data + buf->len;
}

void buf_put(Buf *buf, const void *bytes, size_t n)
{
    if (n == 0) return;
    char *room = buf_reserve(buf, n);
    if (room == NULL) return;
    memcpy(room, bytes, n);
    buf->len += n;
}

void buf_put_str(Buf *buf, Str text)
{
    buf_put(buf, text.ptr, text.len);
}

void buf_put_text(Buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_put_char(Buf *buf, char c)
{
    if (buf->len < buf->cap && !buf->failed) {
        buf->data[buf->len++] = c;
        return;
    }
    buf_put(buf, &c, 1);
}

void buf_put_int(Buf *buf, int64_t value)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value);
    buf_put(buf, digits, (size_t)n);
}

void buf_put_format(Buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) {
        buf->failed = true;
        return;
    }
    char *room = buf_reserve(buf, (size_t)need + 1); /* vsnprintf writes a NUL past the text */
    if (room == NULL) return;
    va_start(args, format);
    vsnprintf(room, (size_t)need + 1, format, args);
    va_end(args);
    buf->len += (size_t)need;
}

void buf_put_be16(Buf *buf, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    buf_put(buf, bytes, sizeof bytes);
}

void buf_put_be32(Buf *buf, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (24 - 8 * i));
    buf_put(buf, bytes, sizeof bytes);
}

void buf_put_be64(Buf *buf, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    buf_put(buf, bytes, sizeof bytes);
}

void buf_consume(Buf *buf, size_t n)
{
    assert(n <= buf_waiting(buf));
    buf->read += n;
    if (buf->read == buf->len) {
        buf->read = 0;
        buf->len = 0;
    } else if (buf->read > buf->len / 2 && buf->read >= BUF_FIRST_BYTES) {
        buf_compact(buf);
    }
}
