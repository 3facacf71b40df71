/* unicode.c - lookups in the generated tables, and UTF-8; see unicode.h. */
#include "unicode.h"
#include "unicode_tables.h"

enum { /* Hangul syllables are composed by arithmetic: Unicode 15, section 3.12 */
       HANGUL_S = 0xac00,
       HANGUL_L = 0x1100,
       HANGUL_V = 0x1161,
       HANGUL_T = 0x11a7,
       HANGUL_L_COUNT = 19,
       HANGUL_V_COUNT = 21,
       HANGUL_T_COUNT = 28,
       HANGUL_S_COUNT = HANGUL_L_COUNT * HANGUL_V_COUNT * HANGUL_T_COUNT,
};

uint8_t unicode_ccc(uint32_t c)
{
    size_t low = 0, high = LEN(unicode_combining);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const UnicodeCombining *range = &unicode_combining[middle];
        if (c < range->first) {
            high = middle;
        } else if (c > range->last) {
            low = middle + 1;
        } else {
            return range->ccc;
        }
    }
    return 0;
}

int32_t unicode_decompose(uint32_t c, uint32_t out[4])
{
    if (c - HANGUL_S < HANGUL_S_COUNT) {
        uint32_t s = c - HANGUL_S, t = s % HANGUL_T_COUNT;
        out[0] = HANGUL_L + s / (HANGUL_V_COUNT * HANGUL_T_COUNT);
        out[1] = HANGUL_V + s / HANGUL_T_COUNT % HANGUL_V_COUNT;
        out[2] = HANGUL_T + t;
        return t > 0 ? 3 : 2;
    }
    size_t low = 0, high = LEN(unicode_mappings);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const UnicodeMapping *mapping = &unicode_mappings[middle];
        if (mapping->from == c) {
            memcpy(out, mapping->to, sizeof mapping->to);
            return mapping->count;
        }
        if (c < mapping->from) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    out[0] = c;
    return 1;
}

static uint32_t compose_hangul(uint32_t first, uint32_t second)
{
    uint32_t l = first - HANGUL_L, v = second - HANGUL_V, s = first - HANGUL_S;
    if (l < HANGUL_L_COUNT && v < HANGUL_V_COUNT)
        return HANGUL_S + (l * HANGUL_V_COUNT + v) * HANGUL_T_COUNT;
    uint32_t t = second - HANGUL_T;
    if (s < HANGUL_S_COUNT && s % HANGUL_T_COUNT == 0 && t - 1 < HANGUL_T_COUNT - 1)
        return first + t;
    return 0;
}

uint32_t unicode_compose(uint32_t first, uint32_t second)
{
    uint32_t hangul = compose_hangul(first, second);
    if (hangul != 0) return hangul;
    size_t low = 0, high = LEN(unicode_pairs);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const uint32_t *pair = unicode_pairs[middle];
        if (pair[0] == first && pair[1] == second) return pair[2];
        if (first < pair[0] || (first == pair[0] && second < pair[1])) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return 0;
}

size_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* Bytes of the well-formed sequence at p. When it is ill-formed *ok is false and the result is the
 * length of its longest well-formed beginning, at least 1. */
static size_t sequence(const uint8_t *p, size_t left, bool *ok)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *ok = c < 0x80;
    if (*ok || c < 0xc2 || c > 0xf4) return 1;
    if (c == 0xe0) low = 0xa0;
    if (c == 0xed) high = 0x9f;
    if (c == 0xf0) low = 0x90;
    if (c == 0xf4) high = 0x8f;
    for (size_t i = 1; i < n; i++) {
        if (i == left || p[i] < low || p[i] > high) return i;
        low = 0x80;
        high = 0xbf;
    }
    *ok = true;
    return n;
}

size_t utf8_valid_prefix(Str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t at = 0;
    while (at < text.len) {
        uint64_t word;
        bool ok;
        if (text.len - at >= sizeof word) {
            memcpy(&word, p + at, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t n = sequence(p + at, text.len - at, &ok);
        if (!ok) break;
        at += n;
    }
    return at;
}

void utf8_repair(Str text, Buf *out)
{
    while (text.len > 0) {
        bool ok;
        size_t good = utf8_valid_prefix(text);
        buf_put(out, text.ptr, good);
        text = str_skip(text, good);
        if (text.len == 0) return;
        size_t bad = sequence((const uint8_t *)text.ptr, text.len, &ok);
        buf_put_text(out, "\xef\xbf\xbd");
        text = str_skip(text, bad);
    }
}
