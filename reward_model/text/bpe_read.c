/* bpe_read.c - the vocabulary and the merges of a byte-level BPE as hash tables. */
#include <math.h>
#include <stdlib.h>
#include "bpe.h"
#include "../../server/base/crypto.h"

/* GPT-2's table: printable Latin-1 stands for itself, the 68 other bytes for U+0100 and on. */
uint32_t byte_level_char(uint8_t byte)
{
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33 + (byte - 127u);
    return byte == 173 ? 256 + 67 : byte;
}

static int byte_of_char(uint32_t c)
{
    uint32_t n = c - 256;
    if (c > 32 && c < 256 && !(c >= 127 && c <= 160) && c != 173) return (int)c;
    if (c < 256 || n > 67) return -1;
    return n < 33 ? (int)n : n < 67 ? (int)n - 33 + 127 : 173;
}

/* The bytes that a written token stands for; false when it is no byte-level text. */
static bool bytes_of(Str written, char *out, size_t *count)
{
    const uint8_t *p = (const uint8_t *)written.ptr;
    *count = 0;
    for (size_t at = 0, n; at < written.len; at += n) {
        int byte = byte_of_char(utf8_decode(p + at, &n));
        if (byte < 0) return false;
        out[(*count)++] = (char)byte;
    }
    return true;
}

int32_t bpe_find(const Bpe *bpe, Str written)
{
    char bytes[TOKEN_BYTES_MAX];
    size_t count;
    if (written.len == 0 || written.len > TOKEN_BYTES_MAX) return -1;
    if (bytes_of(written, bytes, &count)) return bpe_find_bytes(bpe, (Str){bytes, count}, false);
    return bpe_find_bytes(bpe, written, true);
}

typedef struct Reading {
    Bpe *bpe;
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, ...) err_set((r)->err, (r)->arena, ERR_invalid, "/model", "model: " __VA_ARGS__)

static bool no_memory(const Reading *r)
{
    return err_set(r->err, r->arena, ERR_internal, NULL, "out of memory for the tokenizer");
}

static uint64_t table_size(size_t count)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)count) size *= 2;
    return size;
}

/* ---- vocabulary ---- */

static bool token_id_of(const json_t *value, int32_t *id)
{
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (!(number >= 0 && number < TOKENIZER_VOCABULARY_MAX) || trunc(number) != number)
        return false;
    *id = (int32_t)number;
    return true;
}

/* The largest id and the bytes of all tokens as written. */
static bool measure(const Reading *r, json_t *vocabulary, size_t *bytes)
{
    const char *key;
    json_t *value;
    if (!json_is_object(vocabulary) || json_object_size(vocabulary) == 0)
        return refuse(r, "vocab must be an object with tokens");
    if (json_object_size(vocabulary) > TOKENIZER_VOCABULARY_MAX)
        return refuse(r, "vocab has more than %d tokens", TOKENIZER_VOCABULARY_MAX);
    *bytes = 0;
    json_object_foreach(vocabulary, key, value)
    {
        int32_t id;
        size_t n = strlen(key);
        if (n == 0 || n > TOKEN_BYTES_MAX)
            return refuse(r, "vocab: a token must have 1 to %d bytes", TOKEN_BYTES_MAX);
        if (!token_id_of(value, &id))
            return refuse(r, "vocab: the id of \"%.100s\" must be 0 to %d", key,
                          TOKENIZER_VOCABULARY_MAX - 1);
        if (id >= r->bpe->size) r->bpe->size = id + 1;
        *bytes += n;
    }
    r->bpe->count = (int32_t)json_object_size(vocabulary);
    return true;
}

static void add_slot(Bpe *bpe, int32_t id)
{
    uint64_t hash = bpe_hash(bpe, bpe_bytes(bpe, id)), at = hash & bpe->slot_mask;
    while (bpe->slots[at].id >= 0) at = (at + 1) & bpe->slot_mask;
    bpe->slots[at] = (TokenSlot){.tag = (uint32_t)(hash >> 32), .id = id};
}

static bool read_vocabulary(const Reading *r, json_t *vocabulary)
{
    Bpe *bpe = r->bpe;
    const char *key;
    json_t *value;
    size_t bytes = 0;
    if (!measure(r, vocabulary, &bytes)) return false;
    uint64_t slots = table_size((size_t)bpe->count);
    bpe->slot_mask = slots - 1;
    bpe->bytes = malloc(bytes);
    bpe->places = calloc((size_t)bpe->size, sizeof *bpe->places);
    bpe->slots = malloc(slots * sizeof *bpe->slots);
    if (bpe->bytes == NULL || bpe->places == NULL || bpe->slots == NULL) return no_memory(r);
    memset(bpe->slots, 0xff, slots * sizeof *bpe->slots);
    json_object_foreach(vocabulary, key, value)
    {
        int32_t id = (int32_t)json_number_value(value);
        TokenPlace *place = &bpe->places[id];
        size_t n;
        if (place->present) return refuse(r, "vocab: the id %d is there twice", id);
        place->present = true;
        place->offset = (uint32_t)bpe->bytes_count;
        place->raw = !bytes_of(str_from(key), bpe->bytes + bpe->bytes_count, &n);
        if (place->raw) {
            n = strlen(key);
            memcpy(bpe->bytes + bpe->bytes_count, key, n);
        }
        place->length = (uint16_t)n;
        bpe->bytes_count += n;
        add_slot(bpe, id);
    }
    return true;
}

/* ---- merges ---- */

/* "a b" or ["a", "b"] */
static bool merge_parts(const json_t *merge, Str *left, Str *right)
{
    if (json_is_array(merge) && json_array_size(merge) == 2) {
        *left = json_str(json_array_get(merge, 0));
        *right = json_str(json_array_get(merge, 1));
        return left->ptr != NULL && right->ptr != NULL;
    }
    Str text = json_str(merge);
    const char *space = text.ptr == NULL ? NULL : memchr(text.ptr, ' ', text.len);
    if (space == NULL) return false;
    *left = (Str){text.ptr, (size_t)(space - text.ptr)};
    *right = str_skip(text, left->len + 1);
    return memchr(right->ptr, ' ', right->len) == NULL;
}

static void add_merge(Bpe *bpe, Merge merge)
{
    uint64_t at = bpe_pair_hash(bpe, merge.left, merge.right) & bpe->merge_mask;
    for (; bpe->merges[at].left >= 0; at = (at + 1) & bpe->merge_mask)
        if (bpe->merges[at].left == merge.left && bpe->merges[at].right == merge.right) break;
    bpe->merges[at] = merge; /* of two equal pairs the later counts, as in the library */
}

static bool read_merge(const Reading *r, const json_t *value, size_t index)
{
    Str left, right;
    char both[2 * TOKEN_BYTES_MAX];
    if (!merge_parts(value, &left, &right))
        return refuse(r, "merges[%zu] must be a pair of tokens", index);
    Merge merge = {.left = bpe_find(r->bpe, left),
                   .right = bpe_find(r->bpe, right),
                   .rank = (int32_t)index};
    if (merge.left >= 0 && merge.right >= 0) {
        memcpy(both, left.ptr, left.len);
        memcpy(both + left.len, right.ptr, right.len);
        merge.id = bpe_find(r->bpe, (Str){both, left.len + right.len});
    }
    if (merge.left < 0 || merge.right < 0 || merge.id < 0)
        return refuse(r, "merges[%zu]: a part or the result is not in vocab", index);
    add_merge(r->bpe, merge);
    return true;
}

static bool read_merges(const Reading *r, json_t *merges)
{
    Bpe *bpe = r->bpe;
    size_t i, count = json_array_size(merges);
    json_t *value;
    if (!json_is_array(merges)) return refuse(r, "merges must be a list");
    if (count > TOKENIZER_MERGES_MAX) return refuse(r, "more than %d merges", TOKENIZER_MERGES_MAX);
    uint64_t size = table_size(count);
    bpe->merge_mask = size - 1;
    bpe->merges = malloc(size * sizeof *bpe->merges);
    if (bpe->merges == NULL) return no_memory(r);
    memset(bpe->merges, 0xff, size * sizeof *bpe->merges);
    json_array_foreach(merges, i, value)
    {
        if (!read_merge(r, value, i)) return false;
    }
    return true;
}

/* ---- whole words ---- */

static void find_bytes(Bpe *bpe)
{
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        bpe->byte_ids[i] = bpe_find_bytes(bpe, (Str){&byte, 1}, false);
    }
}

/* Marks the tokens that merging their own bytes ends in (all, when merges are ignored for them):
 * most words of a text are such a token, and need one look-up then. */
static bool mark_whole(Bpe *bpe, bool ignore_merges)
{
    TokenIds ids = {0};
    bool ok = true;
    for (int32_t id = 0; ok && id < bpe->size; id++) {
        TokenPlace *place = &bpe->places[id];
        if (!place->present || place->raw) continue;
        if (ignore_merges) {
            place->whole = true;
        } else if (place->length <= WHOLE_WORD_MAX) {
            ids.count = 0;
            ok = bpe_merge(bpe, bpe_bytes(bpe, id), &ids);
            place->whole = ids.count == 1 && ids.ids[0] == id;
        }
        if (place->whole && place->length > bpe->whole_max) bpe->whole_max = place->length;
    }
    token_ids_release(&ids);
    return ok;
}

bool bpe_read(Bpe *bpe, json_t *vocabulary, json_t *merges, bool ignore_merges, Arena *arena,
              Err *err)
{
    const Reading r = {.bpe = bpe, .arena = arena, .err = err};
    bpe->seed = crypto_random_u64(); /* hostile vocabularies cannot aim at collisions */
    if (!read_vocabulary(&r, vocabulary) || !read_merges(&r, merges)) return false;
    find_bytes(bpe);
    return mark_whole(bpe, ignore_merges) || no_memory(&r);
}

void bpe_release(Bpe *bpe)
{
    free(bpe->bytes);
    free(bpe->places);
    free(bpe->slots);
    free(bpe->merges);
    *bpe = (Bpe){0};
}
