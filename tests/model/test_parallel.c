/* test_parallel.c - how gradients become buckets and a step's elements are dealt out; that packs
 * come from the feed as one process would make them. Several processes: test_parallel.py. */
#include "../unit/unit.h"
#include "../../reward_model/run/feed.h"
#include "../../reward_model/run/parallel.h"
#include "../../reward_model/run/partition.h"

/* ---- buckets ---- */

enum { FLOATS = 1000, MOST = 64 };

typedef struct Sum {
    int seen[FLOATS];
    size_t offsets[FLOATS];
    int buckets;
} Sum;

static void count_bucket(void *context, size_t offset, size_t count)
{
    Sum *sum = context;
    ck_assert_uint_ge(count, 1);
    ck_assert_uint_le(count, MOST);
    for (size_t i = offset; i < offset + count; i++) sum->seen[i]++;
    sum->offsets[sum->buckets++] = offset;
}

/* Parts of two regions by turns, each going down, as a decoder announces its layers. */
static Sum sum_layers(size_t large, size_t small)
{
    Sum sum = {.buckets = 0};
    Buckets buckets = {.most = MOST, .full = count_bucket, .context = &sum};
    size_t middle = FLOATS / (large + small) * large, first = middle;
    size_t second = middle + FLOATS / (large + small) * small;
    while (first >= large) {
        buckets_add(&buckets, first -= large, large);
        buckets_add(&buckets, second -= small, small);
    }
    ck_assert_uint_eq(first, 0);
    buckets_end(&buckets);
    for (size_t i = 0; i < FLOATS / (large + small) * (large + small); i++)
        ck_assert_int_eq(sum.seen[i], 1);
    return sum;
}

START_TEST(every_float_is_in_one_bucket)
{
    static const size_t sizes[][2] = {{1, 1}, {10, 1}, {63, 2}, {64, 64}, {65, 3}, {300, 5}};
    for (size_t i = 0; i < LEN(sizes); i++) {
        Sum one = sum_layers(sizes[i][0], sizes[i][1]), two = sum_layers(sizes[i][0], sizes[i][1]);
        ck_assert_mem_eq(&one, &two, sizeof one);
    }
    /* small parts of one region wait for each other */
    ck_assert_int_lt(sum_layers(10, 1).buckets, FLOATS / 11);
}
END_TEST

START_TEST(parts_that_do_not_touch_are_buckets_of_their_own)
{
    Sum sum = {.buckets = 0};
    Buckets buckets = {.most = MOST, .full = count_bucket, .context = &sum};
    for (size_t i = 0; i < 20; i++) buckets_add(&buckets, i * 7 % 20 * 50, 3);
    buckets_add(&buckets, 999, 0);
    buckets_end(&buckets);
    ck_assert_int_eq(sum.buckets, 20);
    for (size_t i = 0; i < 20; i++) ck_assert_uint_eq(sum.offsets[i], i * 7 % 20 * 50);
}
END_TEST

/* ---- partition ---- */

START_TEST(elements_are_dealt_out_evenly)
{
    static int64_t costs[PARTITION_BLOCK];
    static int32_t owners[PARTITION_BLOCK];
    for (int32_t i = 0; i < PARTITION_BLOCK; i++)
        costs[i] = 1 + store_shuffled(i, PARTITION_BLOCK, 3) % 700;
    static const int32_t counts[] = {0, 1, 5, 64, PARTITION_BLOCK};
    for (size_t c = 0; c < LEN(counts); c++)
        for (int32_t world = 1; world <= 8; world++) {
            int64_t has[8] = {0}, all = 0, longest = 0, most = 0;
            partition_deal(costs, counts[c], world, owners);
            for (int32_t i = 0; i < counts[c]; i++) {
                ck_assert(owners[i] >= 0 && owners[i] < world);
                has[owners[i]] += costs[i];
                all += costs[i];
                if (longest < costs[i]) longest = costs[i];
            }
            for (int32_t r = 0; r < world; r++)
                if (most < has[r]) most = has[r];
            ck_assert_int_le(most, all / world + longest);
            if (counts[c] == PARTITION_BLOCK) ck_assert_int_le(most * 1000, all / world * 1001);
        }
}
END_TEST

/* ---- the feed ---- */

enum { ROWS = 37, TOKENS = 20 };

typedef struct World {
    Arena arena;
    Err err;
    Store *store;
    PackRules rules;
} World;

static World world_open(void)
{
    World w = {.rules = {.heads = 1, .share = true, .gold = true, .implicit_weight = 1}};
    arena_init(&w.arena, MiB(1));
    w.store = store_new("/tmp", &w.arena, &w.err);
    ck_assert_msg(w.store != NULL, "%s", w.err.detail);
    for (int64_t r = 0; r < ROWS; r++) {
        int32_t ids[2][TOKENS];
        Opinion said = {.kind = LOSS_ORDER,
                        .count = 2,
                        .members = {0, 1},
                        .ranks = {0, 1},
                        .weight = 1,
                        .target = 1};
        for (int32_t i = 0; i < 2 * TOKENS; i++) ids[i / TOKENS][i % TOKENS] = i + (int32_t)r;
        StoredRow row = {.prompt_hash = (uint64_t)r,
                         .group_hash = (uint64_t)r,
                         .line = r,
                         .answers = 2,
                         .opinions = 1,
                         .said = &said,
                         .sequences = {{ids[0], 1 + (int32_t)r % TOKENS}, {ids[1], 5}}};
        ck_assert(store_add(w.store, &row));
    }
    ck_assert(store_finish(w.store, &w.arena, &w.err));
    return w;
}

static FeedOptions options_of(World *w, int32_t rank, int32_t world)
{
    return (FeedOptions){.store = w->store,
                         .rules = &w->rules,
                         .micro_rows = 40,
                         .elements_a_step = 8,
                         .steps_an_epoch = 5,
                         .step = 3,
                         .steps = 12,
                         .seed = 4,
                         .rank = rank,
                         .world = world,
                         .with_batch = true};
}

/* How often each line was trained in each step; how many tokens. */
static void walk(World *w, int32_t rank, int32_t world, int seen[12][ROWS], int64_t *tokens)
{
    FeedOptions options = options_of(w, rank, world);
    double waited = 0;
    Feed *feed = feed_open(&options, &w->arena, &w->err);
    ck_assert_msg(feed != NULL, "%s", w->err.detail);
    for (int64_t step = options.step; step < options.steps;) {
        FedPack *fed = feed_next(feed, &waited, &w->arena, &w->err);
        ck_assert_msg(fed != NULL, "%s", w->err.detail);
        ck_assert_int_eq(fed->step, step);
        ck_assert(fed->last || fed->pack.packed_rows >= options.micro_rows);
        ck_assert_int_eq(fed->pack.item_count, fed->pack.row_count);
        for (int32_t r = 0; r < fed->pack.row_count; r++) seen[step][fed->pack.rows[r].row.line]++;
        *tokens += fed->pack.tokens;
        step += fed->last;
        feed_release(feed);
    }
    ck_assert(waited >= 0);
    feed_close(feed);
}

START_TEST(all_processes_together_train_what_one_does)
{
    World w = world_open();
    static int one[12][ROWS], many[12][ROWS];
    int64_t tokens = 0;
    memset(one, 0, sizeof one);
    walk(&w, 0, 1, one, &tokens);
    for (int step = 5; step < 10; step++) /* an epoch: each once */
        for (int r = 0, in = 0; step == 5 && r < ROWS; r++, in = 0) {
            for (int s = 5; s < 10; s++) in += one[s][r];
            ck_assert_int_eq(in, 1);
        }
    for (int32_t world = 2; world < 12; world++) { /* up to more than elements in a step */
        int64_t together = 0;
        memset(many, 0, sizeof many);
        for (int32_t rank = 0; rank < world; rank++) walk(&w, rank, world, many, &together);
        ck_assert_mem_eq(one, many, sizeof one);
        ck_assert_int_eq(tokens, together);
    }
    store_free(w.store);
    arena_release(&w.arena);
}
END_TEST

START_TEST(a_feed_may_be_closed_at_any_time)
{
    World w = world_open();
    for (int taken = 0; taken < 6; taken++) {
        FeedOptions options = options_of(&w, 0, 1);
        double waited = 0;
        Feed *feed = feed_open(&options, &w.arena, &w.err);
        ck_assert_ptr_nonnull(feed);
        for (int i = 0; i < taken; i++) {
            ck_assert_ptr_nonnull(feed_next(feed, &waited, &w.arena, &w.err));
            if (i + 1 < taken) feed_release(feed);
        }
        feed_close(feed);
    }
    store_free(w.store);
    arena_release(&w.arena);
}
END_TEST

UNIT_MAIN("parallel", every_float_is_in_one_bucket,
          parts_that_do_not_touch_are_buckets_of_their_own, elements_are_dealt_out_evenly,
          all_processes_together_train_what_one_does, a_feed_may_be_closed_at_any_time)
