/* batch.c - groups of sequences to packed rows, spans and trees. */
#include <stdlib.h>
#include "batch.h"

/* How one group is laid out: `shared` rows first, then each sequence's own. */
static int32_t group_shared(const Group *group, BatchOptions options)
{
    if (!options.share || group->count < 2) return 0;
    const Sequence *first = &group->sequences[0];
    int32_t shared = first->length - 1; /* every sequence keeps its last token */
    for (int32_t s = 1; s < group->count; s++) {
        const Sequence *other = &group->sequences[s];
        if (shared > other->length - 1) shared = other->length - 1;
        int32_t same = 0;
        while (same < shared && other->ids[same] == first->ids[same]) same++;
        shared = same;
    }
    return shared;
}

int64_t batch_group_rows(const Group *group, BatchOptions options)
{
    int64_t shared = group_shared(group, options), rows = shared;
    for (int32_t s = 0; s < group->count; s++) rows += group->sequences[s].length - shared;
    return rows;
}

typedef struct Sizes {
    int64_t rows, sequences, tokens, spans, trees;
} Sizes;

static bool sizes_count(Sizes *sizes, const Group *groups, int32_t count, BatchOptions options,
                        Arena *arena, Err *err)
{
    *sizes = (Sizes){0};
    for (int32_t g = 0; g < count; g++) {
        const Group *group = &groups[g];
        assert(group->count >= 0);
        for (int32_t s = 0; s < group->count; s++) {
            if (group->sequences[s].length < 1)
                return err_set(err, arena, ERR_invalid, NULL,
                               "Sequence %d of group %d has no tokens.", s, g);
            sizes->tokens += group->sequences[s].length;
        }
        bool tree = group_shared(group, options) > 0;
        sizes->rows += batch_group_rows(group, options);
        sizes->sequences += group->count;
        sizes->spans += group->count + tree;
        sizes->trees += tree ? 1 : group->count;
    }
    if (sizes->sequences == 0)
        return err_set(err, arena, ERR_invalid, NULL, "The batch has no sequences.");
    if (sizes->rows > BATCH_ROWS_MAX)
        return err_set(err, arena, ERR_too_large, NULL,
                       "The batch has %lld tokens; at most %d fit in one.", (long long)sizes->rows,
                       BATCH_ROWS_MAX);
    return true;
}

/* Places the arrays in the batch's memory, which grows when it is too small. */
static bool arrays_place(Batch *batch, const Sizes *n, Span **spans, Span **scored_spans,
                         int32_t **trees, int32_t **scored_trees)
{
    size_t rows = (size_t)n->rows, sequences = (size_t)n->sequences;
    size_t span_bytes = ((size_t)n->spans + sequences) * sizeof(Span);
    size_t ints = 2 * rows + 2 * sequences + 2 * ((size_t)n->trees + 1);
    size_t bytes = span_bytes + ints * sizeof(int32_t);
    if (bytes > batch->memory_bytes) {
        free(batch->memory);
        batch->memory_bytes = 0;
        batch->memory = malloc(bytes);
        if (!batch->memory) return false;
        batch->memory_bytes = bytes;
    }
    *spans = batch->memory;
    *scored_spans = *spans + n->spans;
    batch->ids = (int32_t *)(*scored_spans + sequences);
    batch->positions = batch->ids + rows;
    batch->scored = batch->positions + rows;
    batch->scored_positions = batch->scored + sequences;
    *trees = batch->scored_positions + sequences;
    *scored_trees = *trees + n->trees + 1;
    return true;
}

typedef struct Writer {
    Batch *batch;
    Span *spans, *scored_spans;
    int32_t *trees, *scored_trees;
    int32_t row, span, sequence, tree;
} Writer;

static void tree_begin(Writer *w)
{
    w->trees[w->tree] = w->span;
    w->scored_trees[w->tree] = w->sequence;
    w->tree++;
}

/* Rows for ids[from … to) of a sequence; returns the first. */
static int32_t rows_put(Writer *w, const int32_t *ids, int32_t from, int32_t to)
{
    int32_t first = w->row;
    for (int32_t i = from; i < to; i++, w->row++) {
        w->batch->ids[w->row] = ids[i];
        w->batch->positions[w->row] = i;
    }
    return first;
}

static void group_put(Writer *w, const Group *group, BatchOptions options)
{
    int32_t shared = group_shared(group, options), prompt = 0;
    if (shared > 0) {
        tree_begin(w);
        prompt = rows_put(w, group->sequences[0].ids, 0, shared);
        w->spans[w->span++] = (Span){.query = prompt, .queries = shared, .own = prompt};
    }
    for (int32_t s = 0; s < group->count; s++) {
        const Sequence *sequence = &group->sequences[s];
        if (shared == 0) tree_begin(w);
        int32_t own = rows_put(w, sequence->ids, shared, sequence->length);
        int32_t length = sequence->length - shared;
        Span span = {.query = own, .queries = length, .own = own};
        span.context = prompt;
        span.context_length = shared;
        w->spans[w->span++] = span;
        span.query = w->sequence;
        span.queries = 1;
        span.offset = length - 1;
        w->scored_spans[w->sequence] = span;
        w->batch->scored[w->sequence] = own + length - 1;
        w->batch->scored_positions[w->sequence++] = sequence->length - 1;
    }
}

bool batch_build(Batch *batch, const Group *groups, int32_t count, BatchOptions options,
                 Arena *arena, Err *err)
{
    Sizes sizes;
    Writer w = {.batch = batch};
    if (!sizes_count(&sizes, groups, count, options, arena, err)) return false;
    if (!arrays_place(batch, &sizes, &w.spans, &w.scored_spans, &w.trees, &w.scored_trees))
        return err_set(err, arena, ERR_too_large, NULL,
                       "There is no memory for a batch of %lld tokens.", (long long)sizes.rows);
    for (int32_t g = 0; g < count; g++) group_put(&w, &groups[g], options);
    w.trees[w.tree] = w.span;
    w.scored_trees[w.tree] = w.sequence;
    assert(w.row == sizes.rows && w.span == sizes.spans && w.tree == sizes.trees);
    batch->rows = w.row;
    batch->sequences = w.sequence;
    batch->tokens_in = sizes.tokens;
    batch->plan = (AttentionPlan){w.spans, w.trees, w.span, w.tree, w.row, w.row};
    batch->scored_plan =
        (AttentionPlan){w.scored_spans, w.scored_trees, w.sequence, w.tree, w.sequence, w.row};
    return true;
}

void batch_free(Batch *batch)
{
    free(batch->memory);
    *batch = (Batch){0};
}
