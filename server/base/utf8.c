/* utf8.c - the UTF-8 check of json.h: long runs of ASCII by words, the rest by the table of
 * well-formed sequences (Unicode 15, table 3-7), which leaves out surrogates and overlong forms. */
#include "json.h"

/* Length of the well-formed sequence that starts at p, or 0. */
static size_t sequence_length(const uint8_t *p, size_t left)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t n;
    if (c < 0x80) return c != 0;
    if (c >= 0xc2 && c <= 0xdf) {
        n = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        n = 3;
        if (c == 0xe0) low = 0xa0;
        if (c == 0xed) high = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        n = 4;
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f;
    } else {
        return 0;
    }
    if (left < n || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return n;
}

/* True when the eight bytes are all ASCII and none is NUL. */
static bool word_is_plain(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    uint64_t zero = (word - 0x0101010101010101u) & ~word;
    return ((word | zero) & 0x8080808080808080u) == 0;
}

bool utf8_valid(Str text, size_t *bad_at)
{
    const uint8_t *bytes = (const uint8_t *)text.ptr;
    size_t at = 0;
    while (at < text.len) {
        if (text.len - at >= 8 && word_is_plain(bytes + at)) {
            at += 8;
            continue;
        }
        size_t n = sequence_length(bytes + at, text.len - at);
        if (n == 0) {
            if (bad_at != NULL) *bad_at = at;
            return false;
        }
        at += n;
    }
    return true;
}
