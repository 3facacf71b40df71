/* share.c - see share.h.
 *
 * In the order of their tokens, sequences with a long common beginning stand side by side, and the
 * common beginning of a run of them is the shortest one between neighbours. The best cut into runs
 * is found from left to right: best[j], the most tokens that the first j rows can spare, is the
 * largest best[i] + what the run i … j - 1 spares, (j - i - 1) times its common beginning. */
#include "share.h"

#include <stdlib.h>

static int compare_rows(const void *a, const void *b)
{
    const ShareRow *x = a, *y = b;
    int32_t n = x->sequence.length < y->sequence.length ? x->sequence.length : y->sequence.length;
    for (int32_t i = 0; i < n; i++) {
        int32_t p = x->sequence.ids[i], q = y->sequence.ids[i];
        if (p != q) return p < q ? -1 : 1;
    }
    if (x->sequence.length != y->sequence.length)
        return x->sequence.length < y->sequence.length ? -1 : 1;
    return x->score < y->score ? -1 : x->score > y->score; /* the order does not depend on qsort */
}

/* Tokens both begin with; each keeps a last one of its own, see batch.h. */
static int32_t common_tokens(const Sequence *a, const Sequence *b)
{
    int32_t n = (a->length < b->length ? a->length : b->length) - 1, i = 0;
    while (i < n && a->ids[i] == b->ids[i]) i++;
    return i >= SHARE_TOKENS_MIN ? i : 0;
}

typedef struct Cut {
    int64_t spared; /* best[j] */
    int64_t tokens; /* of the first j rows, as if nothing were shared */
    int64_t run;    /* what the last run computes */
    int32_t from;   /* where it begins */
    int32_t common; /* of row j with row j - 1 */
} Cut;

/* The best last run for the first j rows. */
static void cut_at(Cut *cuts, int32_t j, int64_t most)
{
    int32_t common = INT32_MAX;
    Cut *best = &cuts[j];
    best->spared = -1;
    for (int32_t i = j - 1; i >= 0 && j - i <= SHARE_WINDOW; i--) {
        if (j - i > 1) common = cuts[i + 1].common < common ? cuts[i + 1].common : common;
        int64_t saved = j - i > 1 ? (int64_t)(j - i - 1) * common : 0;
        int64_t run = cuts[j].tokens - cuts[i].tokens - saved;
        if (j - i > 1 && (common == 0 || run > most)) break;
        if (cuts[i].spared + saved <= best->spared) continue;
        best->spared = cuts[i].spared + saved;
        best->run = run;
        best->from = i;
    }
}

bool share_rows(ShareRow *rows, int32_t count, bool share, int64_t most, ShareUnit *units,
                int32_t *unit_count, Arena *arena)
{
    Cut *cuts = arena_alloc(arena, ((size_t)count + 1) * sizeof *cuts);
    if (!cuts) return false;
    if (share) qsort(rows, (size_t)count, sizeof *rows, compare_rows);
    for (int32_t j = 1; j <= count; j++) {
        cuts[j].tokens = cuts[j - 1].tokens + rows[j - 1].sequence.length;
        if (share && j < count)
            cuts[j].common = common_tokens(&rows[j - 1].sequence, &rows[j].sequence);
        cut_at(cuts, j, most);
    }
    *unit_count = 0;
    for (int32_t end = count; end > 0; end = cuts[end].from) {
        int32_t from = cuts[end].from;
        units[(*unit_count)++] = (ShareUnit){rows + from, end - from, cuts[end].run};
    }
    for (int32_t i = 0, j = *unit_count - 1; i < j; i++, j--) { /* found from the back */
        ShareUnit last = units[j];
        units[j] = units[i];
        units[i] = last;
    }
    return true;
}
