/* bpe.c - words to ids: of all pairs of neighbours the one whose merge comes first in the list is
 * joined, leftmost first, until no pair has a merge. */
#include <stdlib.h>
#include "bpe.h"

enum { SHORT_WORD = 48 }; /* up to here a scan for the lowest rank beats a heap */

bool token_ids_push(TokenIds *out, int32_t id)
{
    if (out->count == out->room) {
        size_t room = out->room < 64 ? 64 : 2 * out->room;
        int32_t *ids = realloc(out->ids, room * sizeof *ids);
        if (ids == NULL) return false;
        out->ids = ids;
        out->room = room;
    }
    out->ids[out->count++] = id;
    return true;
}

void token_ids_release(TokenIds *ids)
{
    free(ids->ids);
    *ids = (TokenIds){0};
}

int32_t bpe_find_bytes(const Bpe *bpe, Str bytes, bool raw)
{
    uint64_t hash = bpe_hash(bpe, bytes);
    for (uint64_t at = hash & bpe->slot_mask;; at = (at + 1) & bpe->slot_mask) {
        const TokenSlot *slot = &bpe->slots[at];
        if (slot->id < 0) return -1;
        if (slot->tag != (uint32_t)(hash >> 32)) continue;
        if (bpe->places[slot->id].raw == raw && str_equal(bpe_bytes(bpe, slot->id), bytes))
            return slot->id;
    }
}

static const Merge *find_merge(const Bpe *bpe, int32_t left, int32_t right)
{
    for (uint64_t at = bpe_pair_hash(bpe, left, right) & bpe->merge_mask;;
         at = (at + 1) & bpe->merge_mask) {
        const Merge *merge = &bpe->merges[at];
        if (merge->left < 0) return NULL;
        if (merge->left == left && merge->right == right) return merge;
    }
}

/* ---- short words: an array of ids and the merge of each with its neighbour ---- */

static bool merge_short(const Bpe *bpe, Str word, TokenIds *out)
{
    int32_t ids[SHORT_WORD];
    const Merge *merges[SHORT_WORD] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < word.len; i++) {
        int32_t id = bpe->byte_ids[(uint8_t)word.ptr[i]];
        if (id >= 0) ids[count++] = id;
    }
    for (size_t i = 0; i + 1 < count; i++) merges[i] = find_merge(bpe, ids[i], ids[i + 1]);
    while (count > 1) {
        size_t best = count;
        for (size_t i = 0; i + 1 < count; i++)
            if (merges[i] != NULL && (best == count || merges[i]->rank < merges[best]->rank))
                best = i;
        if (best == count) break;
        ids[best] = merges[best]->id;
        count--;
        for (size_t i = best + 1; i < count; i++) {
            ids[i] = ids[i + 1];
            merges[i] = merges[i + 1];
        }
        merges[count - 1] = NULL;
        if (best > 0) merges[best - 1] = find_merge(bpe, ids[best - 1], ids[best]);
        if (best + 1 < count) merges[best] = find_merge(bpe, ids[best], ids[best + 1]);
    }
    for (size_t i = 0; i < count; i++)
        if (!token_ids_push(out, ids[i])) return false;
    return true;
}

/* ---- long words: a list of symbols and a heap of candidate merges ---- */

typedef struct Symbol {
    int32_t id;             /* -1: joined to the one before */
    uint32_t before, after; /* NONE at the ends */
} Symbol;

typedef struct Candidate {
    int32_t rank, id;
    uint32_t at;
} Candidate;

typedef struct LongWord {
    Symbol *symbols;
    Candidate *heap;
    size_t count; /* candidates in the heap */
} LongWord;

#define NONE UINT32_MAX

static bool is_before(const Candidate *a, const Candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(LongWord *w, Candidate candidate)
{
    size_t i = w->count++;
    for (; i > 0 && is_before(&candidate, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = candidate;
}

static Candidate heap_pop(LongWord *w)
{
    Candidate top = w->heap[0], last = w->heap[--w->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->count; i = child) {
        if (child + 1 < w->count && is_before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!is_before(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

static const Merge *merge_at(const Bpe *bpe, const LongWord *w, uint32_t at)
{
    const Symbol *symbol = &w->symbols[at];
    if (symbol->id < 0 || symbol->after == NONE) return NULL;
    return find_merge(bpe, symbol->id, w->symbols[symbol->after].id);
}

static void push_merge(const Bpe *bpe, LongWord *w, uint32_t at)
{
    const Merge *merge = merge_at(bpe, w, at);
    if (merge != NULL) heap_push(w, (Candidate){.rank = merge->rank, .id = merge->id, .at = at});
}

static void join(LongWord *w, uint32_t at, int32_t id)
{
    Symbol *symbol = &w->symbols[at], *next = &w->symbols[symbol->after];
    symbol->id = id;
    symbol->after = next->after;
    next->id = -1;
    if (symbol->after != NONE) w->symbols[symbol->after].before = at;
}

static bool merge_all(const Bpe *bpe, LongWord *w, uint32_t count, TokenIds *out)
{
    for (uint32_t i = 0; i < count; i++) push_merge(bpe, w, i);
    while (w->count > 0) {
        Candidate top = heap_pop(w);
        const Merge *merge = merge_at(bpe, w, top.at);
        if (merge == NULL || merge->id != top.id) continue; /* a neighbour has changed since */
        join(w, top.at, top.id);
        if (w->symbols[top.at].before != NONE) push_merge(bpe, w, w->symbols[top.at].before);
        push_merge(bpe, w, top.at);
    }
    for (uint32_t i = 0; i < count; i = w->symbols[i].after == NONE ? count : w->symbols[i].after)
        if (!token_ids_push(out, w->symbols[i].id)) return false;
    return true;
}

static bool merge_long(const Bpe *bpe, Str word, TokenIds *out)
{
    uint32_t count = 0;
    if (word.len >= NONE / 4) return false;
    LongWord w = {.symbols = malloc(word.len * sizeof *w.symbols),
                  /* each join adds at most two candidates to those of the beginning */
                  .heap = malloc(3 * word.len * sizeof *w.heap)};
    bool ok = w.symbols != NULL && w.heap != NULL;
    for (size_t i = 0; ok && i < word.len; i++) {
        int32_t id = bpe->byte_ids[(uint8_t)word.ptr[i]];
        if (id < 0) continue;
        w.symbols[count] = (Symbol){.id = id, .before = count - 1, .after = count + 1};
        count++;
    }
    if (ok && count > 0) {
        w.symbols[0].before = NONE; /* as 0 - 1 is already */
        w.symbols[count - 1].after = NONE;
        ok = merge_all(bpe, &w, count, out);
    }
    free(w.symbols);
    free(w.heap);
    return ok;
}

bool bpe_merge(const Bpe *bpe, Str word, TokenIds *out)
{
    return word.len <= SHORT_WORD ? merge_short(bpe, word, out) : merge_long(bpe, word, out);
}

bool bpe_encode(const Bpe *bpe, Str word, TokenIds *out)
{
    if (word.len <= bpe->whole_max) {
        int32_t id = bpe_find_bytes(bpe, word, false);
        if (id >= 0 && bpe->places[id].whole) return token_ids_push(out, id);
    }
    return bpe_merge(bpe, word, out);
}
