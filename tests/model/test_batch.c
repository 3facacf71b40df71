/* test_batch.c - packing: every query sees exactly its own sequence, whatever is shared. */
#include "../unit/unit.h"
#include "../../reward_model/nn/batch.h"

enum { GROUPS_MAX = 5, SEQUENCES_MAX = 5, LENGTH_MAX = 12 };

typedef struct Case {
    int32_t ids[GROUPS_MAX][SEQUENCES_MAX][LENGTH_MAX];
    Sequence sequences[GROUPS_MAX][SEQUENCES_MAX];
    Group groups[GROUPS_MAX];
    int32_t count;
} Case;

static uint32_t next(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* Few different tokens, so that prefixes are shared often, in part and wholly. */
static void case_random(Case *c, uint32_t seed)
{
    c->count = 1 + (int32_t)next(&seed, GROUPS_MAX);
    for (int32_t g = 0; g < c->count; g++) {
        c->groups[g] = (Group){c->sequences[g], 1 + (int32_t)next(&seed, SEQUENCES_MAX)};
        uint32_t tokens = 1 + next(&seed, 3);
        for (int32_t s = 0; s < c->groups[g].count; s++) {
            int32_t length = 1 + (int32_t)next(&seed, LENGTH_MAX);
            c->sequences[g][s] = (Sequence){c->ids[g][s], length};
            for (int32_t i = 0; i < length; i++)
                c->ids[g][s][i] = i < LENGTH_MAX / 2 ? 7 : (int32_t)next(&seed, tokens);
        }
    }
}

/* The tokens that query `i` of a span sees, in order; their number. */
static int32_t seen_by(const Batch *batch, const Span *span, int32_t i, int32_t *seen)
{
    int32_t count = 0;
    for (int32_t r = 0; r < span->context_length; r++)
        seen[count++] = batch->ids[span->context + r];
    for (int32_t r = 0; r <= span->offset + i; r++) seen[count++] = batch->ids[span->own + r];
    return count;
}

static void sees_sequence(const Batch *batch, const Span *span, int32_t i, int32_t length,
                          const int32_t *ids)
{
    int32_t seen[2 * LENGTH_MAX];
    ck_assert_int_eq(seen_by(batch, span, i, seen), length);
    for (int32_t t = 0; t < length; t++) ck_assert_int_eq(seen[t], ids[t]);
}

/* Spans cover the query rows once, trees cover the spans, no row is beyond the keys. */
static void plan_covers(const AttentionPlan *plan)
{
    int32_t row = 0;
    for (int32_t s = 0; s < plan->span_count; s++) {
        const Span *span = &plan->spans[s];
        ck_assert_int_eq(span->query, row);
        row += span->queries;
        ck_assert(span->queries > 0 && span->offset >= 0);
        ck_assert_int_le(span->own + span->offset + span->queries, plan->key_rows);
        ck_assert(span->context_length == 0 || span->context + span->context_length <= span->own);
    }
    ck_assert_int_eq(row, plan->query_rows);
    ck_assert_int_eq(plan->tree_begin[0], 0);
    ck_assert_int_eq(plan->tree_begin[plan->trees], plan->span_count);
    for (int32_t t = 0; t < plan->trees; t++)
        ck_assert_int_lt(plan->tree_begin[t], plan->tree_begin[t + 1]);
}

/* Rows that a tree's queries may read: trees must not meet. */
static void trees_are_apart(const AttentionPlan *plan)
{
    int32_t end = 0;
    for (int32_t t = 0; t < plan->trees; t++) {
        int32_t first = plan->key_rows, last = 0;
        for (int32_t s = plan->tree_begin[t]; s < plan->tree_begin[t + 1]; s++) {
            const Span *span = &plan->spans[s];
            int32_t from = span->context_length > 0 ? span->context : span->own;
            if (first > from) first = from;
            if (last < span->own + span->offset + span->queries)
                last = span->own + span->offset + span->queries;
        }
        ck_assert_int_ge(first, end);
        end = last;
    }
}

static void case_check(const Case *c, Batch *batch, bool share)
{
    BatchOptions options = {.share = share};
    Arena arena;
    Err err = {0};
    arena_init(&arena, KiB(4));
    ck_assert(batch_build(batch, c->groups, c->count, options, &arena, &err));
    arena_release(&arena);
    plan_covers(&batch->plan);
    plan_covers(&batch->scored_plan);
    trees_are_apart(&batch->plan);
    trees_are_apart(&batch->scored_plan);
    ck_assert_int_eq(batch->plan.trees, batch->scored_plan.trees);
    int64_t rows = 0, tokens = 0;
    int32_t at = 0;
    for (int32_t g = 0; g < c->count; g++) {
        rows += batch_group_rows(&c->groups[g], options);
        for (int32_t s = 0; s < c->groups[g].count; s++, at++) {
            const Sequence *sequence = &c->sequences[g][s];
            tokens += sequence->length;
            sees_sequence(batch, &batch->scored_plan.spans[at], 0, sequence->length, sequence->ids);
            ck_assert_int_eq(batch->scored_positions[at], sequence->length - 1);
            ck_assert_int_eq(batch->positions[batch->scored[at]], sequence->length - 1);
            for (int32_t other = 0; other < at; other++)
                ck_assert_int_ne(batch->scored[at], batch->scored[other]);
        }
    }
    ck_assert_int_eq(at, batch->sequences);
    ck_assert_int_eq(batch->rows, rows);
    ck_assert_int_eq(batch->tokens_in, tokens);
    if (!share) ck_assert_int_eq(rows, tokens);
}

/* In the full plan each query sees the tokens of a sequence up to its position, and each scored row
 * sees what its query of the scored plan sees. */
static void rows_see_their_sequence(const Batch *batch)
{
    for (int32_t s = 0; s < batch->plan.span_count; s++) {
        const Span *span = &batch->plan.spans[s];
        for (int32_t i = 0; i < span->queries; i++) {
            int32_t seen[2 * LENGTH_MAX], scored[2 * LENGTH_MAX], row = span->query + i;
            int32_t count = seen_by(batch, span, i, seen);
            ck_assert_int_eq(count, batch->positions[row] + 1);
            ck_assert_int_eq(seen[count - 1], batch->ids[row]);
            for (int32_t k = 0; k < batch->sequences; k++) {
                if (batch->scored[k] != row) continue;
                ck_assert_int_eq(count, seen_by(batch, &batch->scored_plan.spans[k], 0, scored));
                ck_assert_mem_eq(seen, scored, (size_t)count * sizeof(int32_t));
            }
        }
    }
}

START_TEST(random_groups_are_packed_right)
{
    Batch batch = {0};
    for (uint32_t seed = 0; seed < 2000; seed++) {
        Case c;
        case_random(&c, seed);
        case_check(&c, &batch, false);
        rows_see_their_sequence(&batch);
        case_check(&c, &batch, true);
        rows_see_their_sequence(&batch);
    }
    batch_free(&batch);
}
END_TEST

static int64_t shared_rows(int32_t count, const char *const *texts)
{
    int32_t ids[4][16];
    Sequence sequences[4];
    for (int32_t s = 0; s < count; s++) {
        sequences[s] = (Sequence){ids[s], (int32_t)strlen(texts[s])};
        for (int32_t i = 0; i < sequences[s].length; i++) ids[s][i] = texts[s][i];
    }
    return batch_group_rows(&(Group){sequences, count}, (BatchOptions){.share = true});
}

START_TEST(prefixes_are_shared_but_for_last_tokens)
{
    ck_assert_int_eq(shared_rows(2, (const char *[]){"abcx", "abcyz"}), 3 + 1 + 2);
    ck_assert_int_eq(shared_rows(2, (const char *[]){"abc", "abcde"}), 2 + 1 + 3);
    ck_assert_int_eq(shared_rows(3, (const char *[]){"abc", "abc", "abc"}), 2 + 3);
    ck_assert_int_eq(shared_rows(2, (const char *[]){"a", "abc"}), 4);
    ck_assert_int_eq(shared_rows(1, (const char *[]){"abc"}), 3);
    ck_assert_int_eq(shared_rows(2, (const char *[]){"xbc", "abc"}), 6);
}
END_TEST

static void refused(const Group *groups, int32_t count, const char *word)
{
    Batch batch = {0};
    Arena arena;
    Err err = {0};
    arena_init(&arena, KiB(4));
    ck_assert(!batch_build(&batch, groups, count, (BatchOptions){.share = true}, &arena, &err));
    ck_assert_msg(strstr(err.detail, word) != NULL, "%s", err.detail);
    batch_free(&batch);
    arena_release(&arena);
}

START_TEST(what_cannot_be_packed_is_refused)
{
    static int32_t ids[4] = {1, 2, 3, 4};
    const Sequence empty[] = {{ids, 4}, {ids, 0}};
    const Sequence huge[] = {{ids, BATCH_ROWS_MAX}, {ids, INT32_MAX}};
    refused(NULL, 0, "no sequences");
    refused(&(Group){empty, 0}, 1, "no sequences");
    refused(&(Group){empty, 2}, 1, "no tokens");
    /* One sequence a group, so that nothing is read to find a prefix. */
    refused((Group[]){{&huge[0], 1}, {&huge[1], 1}}, 2, "at most");
}
END_TEST

UNIT_MAIN("batch", random_groups_are_packed_right, prefixes_are_shared_but_for_last_tokens,
          what_cannot_be_packed_is_refused)
