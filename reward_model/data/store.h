/* store.h - tokenised rows on disk, in elements: all rows of one prompt are one element, so that a
 * prompt is computed once for all its answers and never meets itself again within an epoch.
 *
 * Rows are appended in any number, then store_finish sorts their index; elements may then be read
 * in any order, straight from the mapped file. What memory holds does not depend on how many there
 * are. */
#ifndef AILERON_RM_STORE_H
#define AILERON_RM_STORE_H

#include "../nn/batch.h"
#include "example.h"

enum {
    ELEMENT_ROWS_MAX = 32, /* more rows of one prompt make another element */
    ELEMENT_ANSWERS_MAX = ELEMENT_ROWS_MAX * ROW_COMPLETIONS_MAX,
};

typedef struct StoredRow {
    uint64_t group_hash, prompt_hash;
    int64_t line;
    int32_t answers, opinions;
    bool listed_by_choice, has_group;
    Sequence sequences[ROW_COMPLETIONS_MAX];    /* prompt and answer, as scored */
    int32_t answer_length[ROW_COMPLETIONS_MAX]; /* in characters */
    const Opinion *said;
} StoredRow;

typedef struct Store Store;

MUST_CHECK Store *store_new(const char *directory, Arena *arena, Err *err);
/* Copies the row. False: the disk is full. */
MUST_CHECK bool store_add(Store *store, const StoredRow *row);
MUST_CHECK bool store_finish(Store *store, Arena *arena, Err *err);
void store_free(Store *store);

int64_t store_rows(const Store *store);
int64_t store_elements(const Store *store);
/* Up to ELEMENT_ROWS_MAX rows into `rows`, in the order they were added; how many. Their pointers
 * are valid until store_free. */
int store_element(const Store *store, int64_t element, StoredRow rows[ELEMENT_ROWS_MAX]);

/* The same numbers 0 … count - 1 in an order drawn by the seed: the place of `index`. Needs no
 * memory, so an epoch over any size begins anywhere at once. */
int64_t store_shuffled(int64_t index, int64_t count, uint64_t seed);

#endif
