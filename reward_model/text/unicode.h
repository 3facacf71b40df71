/* unicode.h - character classes and canonical composition, as the tokenizers library has them; the
 * tables are made by unicode.awk. Also the few steps of UTF-8 that the scanners need. */
#ifndef AILERON_RM_UNICODE_H
#define AILERON_RM_UNICODE_H

#include "../../server/base/buf.h"

enum {                        /* bits of unicode_class */
       UNICODE_LETTER = 1,    /* \p{L} */
       UNICODE_NUMBER = 2,    /* \p{N} */
       UNICODE_SPACE = 4,     /* \s: White_Space */
       UNICODE_NUMERIC = 8,   /* Rust's char::is_numeric */
       UNICODE_UNSTABLE = 16, /* normalization may change it or join it to what is before it */
};

typedef struct UnicodeMapping {
    uint32_t from;
    int32_t count;
    uint32_t to[4];
} UnicodeMapping;

typedef struct UnicodeCombining {
    uint32_t first, last;
    uint8_t ccc;
} UnicodeCombining;

extern const uint16_t unicode_block[4352];
extern const uint8_t unicode_classes[][256];

static inline uint8_t unicode_class(uint32_t c)
{
    return unicode_classes[unicode_block[c >> 8]][c & 255];
}

/* Canonical combining class. */
uint8_t unicode_ccc(uint32_t c);
/* Full canonical decomposition into out; the number of code points (1: itself). */
int32_t unicode_decompose(uint32_t c, uint32_t out[4]);
/* The primary composite of the two, or 0. */
uint32_t unicode_compose(uint32_t first, uint32_t second);

/* The code point at p of valid UTF-8; *n gets its bytes. */
static inline uint32_t utf8_decode(const uint8_t *p, size_t *n)
{
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *n = 2;
        return (p[0] & 31u) << 6 | (p[1] & 63u);
    }
    if (p[0] < 0xf0) {
        *n = 3;
        return (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    }
    *n = 4;
    return (p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 | (p[3] & 63u);
}

/* Writes c as UTF-8; the number of bytes. */
size_t utf8_encode(uint32_t c, char out[4]);
/* Bytes from the start that are valid UTF-8 (NUL included). */
size_t utf8_valid_prefix(Str text);
/* Appends text with each maximal part of an ill-formed sequence replaced by U+FFFD (Unicode 15,
 * section 3.9: what Python, Java and browsers do). */
void utf8_repair(Str text, Buf *out);

/* True when NFC leaves the text as it is, found by a look at each character; false may be wrong. */
bool nfc_is_stable(Str text);
/* Appends the text in Normalization Form C. False when memory is short. */
MUST_CHECK bool nfc_append(Str text, Buf *out);

#endif
