/* store.c - see store.h.
 *
 *   rows:   RowHead, lengths, tokens of the answers, opinions, token ids | RowHead, …
 *   index:  (prompt, place) of each row, sorted: the rows of one prompt stand together
 *   begins: where each element begins in the index */
#include "store.h"

#include <errno.h>
#include <stdlib.h>

#include "spill.h"

typedef struct RowHead {
    uint64_t group_hash, prompt_hash;
    int64_t line;
    int32_t answers, opinions;
    int32_t listed_by_choice, has_group;
    int32_t lengths[ROW_COMPLETIONS_MAX + 1], answer_length[ROW_COMPLETIONS_MAX + 1];
} RowHead;

typedef struct IndexEntry {
    uint64_t prompt_hash, place;
} IndexEntry;

enum { PLACE_ALIGNMENT = 8 };

struct Store {
    Spill rows, index, begins;
    int64_t row_count, element_count;
};

Store *store_new(const char *directory, Arena *arena, Err *err)
{
    Store *store = calloc(1, sizeof *store);
    if (!store) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    if (spill_open(&store->rows, directory, arena, err) &&
        spill_open(&store->index, directory, arena, err) &&
        spill_open(&store->begins, directory, arena, err))
        return store;
    store_free(store);
    return NULL;
}

void store_free(Store *store)
{
    if (!store) return;
    spill_close(&store->rows);
    spill_close(&store->index);
    spill_close(&store->begins);
    free(store);
}

bool store_add(Store *store, const StoredRow *row)
{
    static const char zeros[PLACE_ALIGNMENT];
    RowHead head = {.group_hash = row->group_hash,
                    .prompt_hash = row->prompt_hash,
                    .line = row->line,
                    .answers = row->answers,
                    .opinions = row->opinions,
                    .listed_by_choice = row->listed_by_choice,
                    .has_group = row->has_group};
    IndexEntry entry = {row->prompt_hash, store->rows.size};
    for (int32_t i = 0; i < row->answers; i++) {
        head.lengths[i] = row->sequences[i].length;
        head.answer_length[i] = row->answer_length[i];
    }
    bool ok = spill_append(&store->rows, &head, sizeof head) &&
              spill_append(&store->rows, row->said, (size_t)row->opinions * sizeof *row->said);
    for (int32_t i = 0; i < row->answers; i++)
        ok = ok && spill_append(&store->rows, row->sequences[i].ids,
                                (size_t)row->sequences[i].length * sizeof(int32_t));
    size_t over = store->rows.size % PLACE_ALIGNMENT;
    if (over) ok = ok && spill_append(&store->rows, zeros, PLACE_ALIGNMENT - over);
    store->row_count++;
    return ok && spill_append(&store->index, &entry, sizeof entry);
}

static int entry_order(const void *a, const void *b)
{
    const IndexEntry *first = a, *second = b;
    if (first->prompt_hash != second->prompt_hash)
        return first->prompt_hash < second->prompt_hash ? -1 : 1;
    return (first->place > second->place) - (first->place < second->place);
}

bool store_finish(Store *store, Arena *arena, Err *err)
{
    if (!spill_map(&store->rows, false, arena, err) || !spill_map(&store->index, true, arena, err))
        return false;
    IndexEntry *entries = store->index.map;
    bool ok = true;
    int in_element = 0;
    if (entries) qsort(entries, (size_t)store->row_count, sizeof *entries, entry_order);
    for (int64_t i = 0; ok && i < store->row_count; i++) {
        bool same = i > 0 && entries[i].prompt_hash == entries[i - 1].prompt_hash &&
                    in_element < ELEMENT_ROWS_MAX;
        in_element = same ? in_element + 1 : 1;
        if (same) continue;
        ok = spill_append(&store->begins, &i, sizeof i);
        store->element_count++;
    }
    ok = ok && spill_append(&store->begins, &store->row_count, sizeof store->row_count);
    if (!ok)
        return err_set(err, arena, ERR_unavailable, NULL, "cannot keep the rows: %s",
                       strerror(errno));
    return spill_map(&store->begins, false, arena, err);
}

int64_t store_rows(const Store *store)
{
    return store->row_count;
}

int64_t store_elements(const Store *store)
{
    return store->element_count;
}

static void read_row(const Store *store, uint64_t place, StoredRow *row)
{
    const char *at = (const char *)store->rows.map + place;
    const RowHead *head = (const RowHead *)(const void *)at;
    at += sizeof *head;
    *row = (StoredRow){.group_hash = head->group_hash,
                       .prompt_hash = head->prompt_hash,
                       .line = head->line,
                       .answers = head->answers,
                       .opinions = head->opinions,
                       .listed_by_choice = head->listed_by_choice != 0,
                       .has_group = head->has_group != 0,
                       .said = (const Opinion *)(const void *)at};
    at += (size_t)head->opinions * sizeof(Opinion);
    for (int32_t i = 0; i < head->answers; i++) {
        row->sequences[i] = (Sequence){(const int32_t *)(const void *)at, head->lengths[i]};
        row->answer_length[i] = head->answer_length[i];
        at += (size_t)head->lengths[i] * sizeof(int32_t);
    }
}

int store_element(const Store *store, int64_t element, StoredRow rows[ELEMENT_ROWS_MAX])
{
    const int64_t *begins = store->begins.map;
    const IndexEntry *entries = store->index.map;
    assert(element >= 0 && element < store->element_count);
    int count = 0;
    for (int64_t i = begins[element]; i < begins[element + 1]; i++)
        read_row(store, entries[i].place, &rows[count++]);
    return count;
}

/* ---- order ---- */

/* splitmix64's finaliser */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* A Feistel network permutes 2^(2·half) numbers; those at or above count walk on until they fall
 * below it (Black & Rogaway 2002), which keeps it one to one. */
int64_t store_shuffled(int64_t index, int64_t count, uint64_t seed)
{
    enum { ROUNDS = 6 };
    int half = 1;
    while (((uint64_t)1 << (2 * half)) < (uint64_t)count) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, at = (uint64_t)index;
    do {
        uint64_t left = at >> half, right = at & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t next = left ^ (mix(right + mix(seed + round * 0x9e3779b97f4a7c15u)) & mask);
            left = right;
            right = next;
        }
        at = left << half | right;
    } while (at >= (uint64_t)count);
    return (int64_t)at;
}
