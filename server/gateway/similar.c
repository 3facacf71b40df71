/* similar.c - how much two texts have in common, by their words. */
#include "internal.h"

#include <ctype.h>

enum { WORDS_MAX = 4096, SLOTS = 4 * WORDS_MAX };

/* How often each word of one text came, by open addressing; cleared by raising the generation. */
typedef struct WordTable {
    uint64_t words[SLOTS];
    uint32_t generations[SLOTS];
    int counts[SLOTS];
    uint32_t generation;
} WordTable;

static bool in_word(unsigned char c)
{
    return isalnum(c) || (c >= 0x80 && !(c >= 0xe3 && c <= 0xed));
}

/* FNV-1a of the next word in lower case; false: none is left. Bytes above 127 are parts of words;
 * the ideographs and syllables of texts without spaces (U+3000 to U+DFFF) are words by themselves.
 */
static bool next_word(Str *rest, uint64_t *hash)
{
    size_t i = 0;
    while (i < rest->len && !in_word((unsigned char)rest->ptr[i]) &&
           (unsigned char)rest->ptr[i] < 0x80) {
        i++;
    }
    if (i == rest->len) return false;
    *hash = 14695981039346656037u;
    size_t wide =
        (unsigned char)rest->ptr[i] >= 0x80 && !in_word((unsigned char)rest->ptr[i]) ? 3 : 0;
    size_t end = wide > 0 ? (i + wide < rest->len ? i + wide : rest->len) : i;
    while (wide == 0 && end < rest->len && in_word((unsigned char)rest->ptr[end])) end++;
    for (; i < end; i++) {
        *hash = (*hash ^ (uint64_t)tolower((unsigned char)rest->ptr[i])) * 1099511628211u;
    }
    *rest = str_skip(*rest, end);
    return true;
}

/* The word's count; made, with 0, when `add` and it is not there. */
static int *slot_of(WordTable *table, uint64_t hash, bool add)
{
    for (size_t i = hash % SLOTS;; i = (i + 1) % SLOTS) {
        if (table->generations[i] != table->generation) {
            if (!add) return NULL;
            table->generations[i] = table->generation;
            table->words[i] = hash;
            table->counts[i] = 0;
            return &table->counts[i];
        }
        if (table->words[i] == hash) return &table->counts[i];
    }
}

double similar_texts(Str a, Str b)
{
    static _Thread_local WordTable table;
    int count_a = 0, count_b = 0, common = 0;
    uint64_t hash;
    table.generation++;
    while (count_a < WORDS_MAX && next_word(&a, &hash)) {
        ++*slot_of(&table, hash, true);
        count_a++;
    }
    while (count_b < WORDS_MAX && next_word(&b, &hash)) {
        int *left = slot_of(&table, hash, false);
        count_b++;
        if (left == NULL || *left == 0) continue;
        --*left;
        common++;
    }
    return count_a + count_b == 0 ? 1 : 2.0 * common / (count_a + count_b);
}
