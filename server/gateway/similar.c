/* similar.c - how much two texts have in common, by their words. */
#include "internal.h"

#include <ctype.h>
#include <stdlib.h>

enum { WORDS_MAX = 4096 };

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* FNV-1a of each word in lower case, sorted. Bytes above 127 are parts of words; the ideographs and
 * syllables of a text without spaces are words of three bytes each. */
static int words_of(Str text, uint64_t *out)
{
    int count = 0;
    for (size_t i = 0; i < text.len && count < WORDS_MAX;) {
        unsigned char c = (unsigned char)text.ptr[i];
        uint64_t hash = 14695981039346656037u;
        if (c >= 0xe3 && c <= 0xed && i + 3 <= text.len) { /* U+3000 to U+DFFF */
            for (int k = 0; k < 3; k++)
                hash = (hash ^ (unsigned char)text.ptr[i++]) * 1099511628211u;
            out[count++] = hash;
            continue;
        }
        if (!isalnum(c) && c < 0x80) {
            i++;
            continue;
        }
        while (i < text.len &&
               (isalnum((unsigned char)text.ptr[i]) ||
                ((unsigned char)text.ptr[i] >= 0x80 &&
                 !((unsigned char)text.ptr[i] >= 0xe3 && (unsigned char)text.ptr[i] <= 0xed)))) {
            hash = (hash ^ (uint64_t)tolower((unsigned char)text.ptr[i++])) * 1099511628211u;
        }
        out[count++] = hash;
    }
    qsort(out, (size_t)count, sizeof *out, by_value);
    return count;
}

double similar_texts(Str a, Str b)
{
    static _Thread_local uint64_t words[2][WORDS_MAX];
    int count[2] = {words_of(a, words[0]), words_of(b, words[1])};
    int i = 0, k = 0, common = 0;
    if (count[0] + count[1] == 0) return 1;
    while (i < count[0] && k < count[1]) {
        uint64_t x = words[0][i], y = words[1][k];
        common += x == y;
        i += x <= y;
        k += y <= x;
    }
    return 2.0 * common / (count[0] + count[1]);
}
