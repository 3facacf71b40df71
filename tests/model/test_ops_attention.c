/* test_ops_attention.c - attention over spans, against double precision: shared prompts, grouped
 * heads, head sizes, trimmed queries, sizes around every block. */
#include "attention_env.h"

static void check_lse(Env *env, const Case *c, const Run *r)
{
    double *p = malloc((size_t)c->plan->key_rows * 2 * sizeof *p);
    for (int32_t n = 0; n < c->plan->span_count; n++) {
        const Span *s = &c->plan->spans[n];
        for (int64_t i = 0; i < s->queries; i++) {
            double want = reference_probabilities(c, s, i, 0, p);
            double got = (double)r->lse[(s->query + i) * c->heads->query_heads];
            CHECK_THAT(fabs(got - want) < 1e-4, "%s lse %g, not %g", env->backend, got, want);
        }
    }
    free(p);
}

static void attention_of_plan(Env *env, const AttentionPlan *plan, Heads h, int unit)
{
    h.scale = 1 / sqrtf((float)h.head_dim);
    Run r = run_of(env, plan, &h, unit);
    /* wide logits, so that the largest moves while a query goes through its keys */
    for (int64_t i = 0; i < r.q.rows * r.q.cols; i++) {
        float x = element_get(r.q, i / r.q.cols, i % r.q.cols);
        element_set(r.q, i / r.q.cols, i % r.q.cols, 4 * x);
    }
    Case c = case_of(&r, plan, &h);
    double *want = malloc(c.outputs * sizeof *want), *slopes[3];
    Tensor got[3] = {r.dq, r.dk, r.dv};
    c.forward(&c, want);
    run_forward(env, plan, &h, &r);
    check_close(env, "attention", r.out, want, tolerance(env->dtype));
    check_lse(env, &c, &r);
    run_backward(env, plan, &h, &r);
    for (int i = 0; i < 3; i++) {
        slopes[i] = calloc((size_t)(got[i].rows * got[i].cols), sizeof **slopes);
    }
    reference_attention_backward(&c, slopes);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"attention dq", "attention dk", "attention dv"};
        check_close(env, names[i], got[i], slopes[i], 5 * tolerance(env->dtype));
        free(slopes[i]);
    }
    case_free(&c);
    free(want);
    release_all(env);
}

static void attention_of(Env *env, const Shape *shapes, int32_t count, Heads h, bool trim)
{
    Packed packed;
    pack(&packed, shapes, count, trim);
    uint64_t random = env->random;
    attention_of_plan(env, &packed.plan, h, 1);
    if (env->dtype == DTYPE_F32) return;
    env->random = random;
    attention_of_plan(env, &packed.plan, h, 8);
}

static const Shape SMALL[] = {{0, {5}}, {7, {3, 1, 20}}, {0, {1}}, {1, {1, 2}}};
static const Shape MANY[] = {{37, {20, 5, 33, 1, 2, 3, 9, 4, 11}}, {0, {66}}, {2, {30, 3}}};
static const Shape LARGE[] = {{70, {40, 90, 65}}, {0, {129}}, {64, {64, 1}}, {3, {2}}};

static void shapes(Env *env)
{
    static const Heads heads[] = {
        {.query_heads = 2, .key_heads = 2, .head_dim = 32},
        {.query_heads = 6, .key_heads = 2, .head_dim = 64},
        {.query_heads = 2, .key_heads = 1, .head_dim = 80},
        {.query_heads = 4, .key_heads = 1, .head_dim = 128},
        {.query_heads = 2, .key_heads = 2, .head_dim = 256},
        {.query_heads = 3, .key_heads = 1, .head_dim = 20},
        {.query_heads = 1, .key_heads = 1, .head_dim = 8},
    };
    for (size_t i = 0; i < LEN(heads); i++) {
        attention_of(env, SMALL, LEN(SMALL), heads[i], false);
        attention_of(env, SMALL, LEN(SMALL), heads[i], true);
    }
    attention_of(env, LARGE, LEN(LARGE), heads[1], false);
    attention_of(env, LARGE, LEN(LARGE), heads[1], true);
    attention_of(env, LARGE, LEN(LARGE), heads[5], false);
}

/* What no batch has: answers whose rows lie the other way round, ends of sequences that ask alone,
 * beginning just before a tile of keys ends, and rows that nobody attends. */
static const Packed ODD = {
    .spans = {{.query = 0, .queries = 20, .own = 0},
              {.query = 20, .queries = 9, .own = 40, .context = 0, .context_length = 20},
              {.query = 29, .queries = 11, .own = 20, .context = 0, .context_length = 20},
              {.query = 40, .queries = 70, .own = 64, .offset = 30},
              {.query = 110, .queries = 70, .own = 192, .offset = 62}},
    .begin = {0, 3, 4, 5},
    .plan = {.span_count = 5, .trees = 3, .query_rows = 180, .key_rows = 330},
};

static void many_answers(Env *env)
{
    static const Heads heads[] = {
        {.query_heads = 1, .key_heads = 1, .head_dim = 32},
        {.query_heads = 7, .key_heads = 1, .head_dim = 64},
        {.query_heads = 1, .key_heads = 1, .head_dim = 80},
        {.query_heads = 2, .key_heads = 1, .head_dim = 96},
        {.query_heads = 2, .key_heads = 2, .head_dim = 128},
        {.query_heads = 1, .key_heads = 1, .head_dim = 256},
    };
    Packed p;
    for (size_t i = 0; i < LEN(heads); i++) {
        for (int trim = 0; trim < 2; trim++) {
            pack(&p, MANY, LEN(MANY), trim);
            attention_of_plan(env, &p.plan, heads[i], 8);
        }
    }
    Packed odd = ODD;
    odd.plan.spans = odd.spans, odd.plan.tree_begin = odd.begin;
    attention_of_plan(env, &odd.plan, heads[4], 8);
    attention_of_plan(env, &odd.plan, (Heads){1, 1, 64, 0}, 8);
    /* rows of queries in another order than the spans */
    pack(&p, MANY, LEN(MANY), false);
    for (int32_t s = 0; s < p.plan.span_count; s++) {
        p.spans[s].query = p.plan.query_rows - p.spans[s].query - p.spans[s].queries;
    }
    attention_of_plan(env, &p.plan, heads[1], 8);
}

START_TEST(attention_of_many_answers)
{
    on_every_backend(many_answers);
}
END_TEST

START_TEST(attention_and_its_gradients)
{
    on_every_backend(shapes);
}
END_TEST

START_TEST(the_reference_is_the_slope_of_itself)
{
    Packed packed;
    Heads h = {.query_heads = 2, .key_heads = 1, .head_dim = 4, .scale = 0.5f};
    Env env = env_open(BACKENDS[0], DTYPE_F32, 1);
    for (int trim = 0; trim < 2; trim++) {
        pack(&packed, SMALL, LEN(SMALL), trim);
        Run r = run_new(&env, &packed.plan, &h);
        Case c = case_of(&r, &packed.plan, &h);
        const int64_t sizes[3] = {r.q.rows * r.q.cols, r.k.rows * r.k.cols, r.v.rows * r.v.cols};
        double *slopes[3];
        for (int i = 0; i < 3; i++) slopes[i] = calloc((size_t)sizes[i], sizeof **slopes);
        reference_attention_backward(&c, slopes);
        for (int i = 0; i < 3; i++) {
            for (int64_t at = 0; at < sizes[i]; at++) {
                double differences = case_slope(&c, i, (size_t)at);
                CHECK_THAT(fabs(differences - slopes[i][at]) < 1e-7, "in %d at %d: %g, not %g", i,
                           (int)at, slopes[i][at], differences);
            }
            free(slopes[i]);
        }
        case_free(&c);
    }
    env_close(&env);
}
END_TEST

/* A prompt laid out once gives what a copy for each answer gives. */
static void sharing(Env *env)
{
    static const Shape shared[] = {{37, {21, 30, 1}}}, apart[] = {{0, {58, 67, 38}}};
    static const int32_t answers[] = {21, 30, 1};
    Heads h = {.query_heads = 4, .key_heads = 2, .head_dim = 64, .scale = 0.125f};
    Packed a, b;
    pack(&a, shared, 1, false);
    pack(&b, apart, 1, false);
    Run once = run_new(env, &a.plan, &h), copies = run_new(env, &b.plan, &h);
    int64_t own = 37, copy = 0;
    for (int i = 0; i < 3; i++) {
        for (int32_t r = 0; r < 37 + answers[i]; r++, copy++) {
            int64_t from = r < 37 ? r : own + r - 37;
            for (int64_t c = 0; c < once.q.cols; c++) {
                element_set(copies.q, copy, c, element_get(once.q, from, c));
            }
            for (int64_t c = 0; c < once.k.cols; c++) {
                element_set(copies.k, copy, c, element_get(once.k, from, c));
                element_set(copies.v, copy, c, element_get(once.v, from, c));
            }
        }
        own += answers[i];
    }
    run_forward(env, &a.plan, &h, &once);
    run_forward(env, &b.plan, &h, &copies);
    double worst = 0;
    own = 37, copy = 0;
    for (int i = 0; i < 3; i++) {
        for (int32_t r = 0; r < 37 + answers[i]; r++, copy++) {
            int64_t from = r < 37 ? r : own + r - 37;
            for (int64_t c = 0; c < once.q.cols; c++) {
                worst = fmax(worst, (double)fabsf(element_get(copies.out, copy, c) -
                                                  element_get(once.out, from, c)));
            }
        }
        own += answers[i];
    }
    ck_assert_msg(worst <= (env->dtype == DTYPE_F32 ? 1e-6 : 8e-3), "%s differ by %g", env->backend,
                  worst);
    release_all(env);
}

START_TEST(a_shared_prompt_gives_what_copies_give)
{
    on_every_backend(sharing);
}
END_TEST

/* Queries of last rows alone give what these rows give among all. */
static void trimming(Env *env)
{
    Heads h = {.query_heads = 6, .key_heads = 2, .head_dim = 64, .scale = 0.125f};
    Packed all, last;
    pack(&all, LARGE, LEN(LARGE), false);
    pack(&last, LARGE, LEN(LARGE), true);
    Run a = run_new(env, &all.plan, &h), b = run_new(env, &last.plan, &h);
    b.k = a.k, b.v = a.v;
    int32_t rows[8], count = 0;
    for (int32_t s = 0; s < all.plan.span_count; s++) {
        const Span *span = &all.spans[s];
        bool prompt = span->context_length == 0 && all.plan.span_count > s + 1 &&
                      all.spans[s + 1].context == span->own && all.spans[s + 1].context_length > 0;
        if (!prompt) rows[count++] = span->query + span->queries - 1;
    }
    ck_assert_int_eq(count, last.plan.query_rows);
    env->ops->gather(env->device, b.q, a.q, rows);
    run_forward(env, &all.plan, &h, &a);
    run_forward(env, &last.plan, &h, &b);
    for (int32_t i = 0; i < count; i++) {
        for (int64_t c = 0; c < a.q.cols; c++) {
            double x = (double)element_get(a.out, rows[i], c), y = (double)element_get(b.out, i, c);
            CHECK_THAT(fabs(x - y) <= (env->dtype == DTYPE_F32 ? 1e-6 : 8e-3),
                       "%s row %d: %g, not %g", env->backend, rows[i], y, x);
        }
    }
    release_all(env);
}

START_TEST(queries_of_last_rows_see_what_they_saw_among_all)
{
    on_every_backend(trimming);
}
END_TEST

/* Logits beyond what exp takes; equal ones; and one far above the others. */
static void extremes(Env *env)
{
    static const Shape shape[] = {{20, {33, 90}}};
    Heads h = {.query_heads = 1, .key_heads = 1, .head_dim = 16, .scale = 1};
    Packed p;
    pack(&p, shape, 1, false);
    for (int which = 0; which < 3; which++) {
        Run r = run_new(env, &p.plan, &h);
        fill(r.q, which == 0 ? 1000 : which == 1 ? 0 : -1000);
        fill(r.v, 2);
        run_forward(env, &p.plan, &h, &r);
        run_backward(env, &p.plan, &h, &r);
        for (int64_t i = 0; i < r.out.rows * r.out.cols; i++) {
            float x = element_get(r.out, i / 16, i % 16);
            CHECK_THAT(fabsf(x - 2) < 1e-5f, "%s: %g", env->backend, (double)x);
            CHECK_THAT(isfinite(element_get(r.dq, i / 16, i % 16)), "%s: not finite", env->backend);
            CHECK_THAT(isfinite(element_get(r.dk, i / 16, i % 16)), "%s: not finite", env->backend);
            CHECK_THAT(isfinite(element_get(r.dv, i / 16, i % 16)), "%s: not finite", env->backend);
        }
        release_all(env);
    }
}

START_TEST(logits_of_any_size_are_survived)
{
    on_every_backend(extremes);
}
END_TEST

/* Rows that nobody attends get no gradient, and it is written. */
static void unattended(Env *env)
{
    static const Shape shape[] = {{0, {9}}};
    Heads h = {.query_heads = 2, .key_heads = 1, .head_dim = 32, .scale = 0.2f};
    Packed p;
    pack(&p, shape, 1, true);
    p.spans[0].offset = 4; /* sees five of nine rows */
    Run r = run_new(env, &p.plan, &h);
    run_forward(env, &p.plan, &h, &r);
    run_backward(env, &p.plan, &h, &r);
    for (int64_t row = 0; row < 9; row++) {
        for (int64_t c = 0; c < 32; c++) {
            CHECK_THAT((element_get(r.dv, row, c) == 0) == (row > 4), "%s: row %d", env->backend,
                       (int)row);
            CHECK_THAT((element_get(r.dk, row, c) == 0) == (row > 4), "%s: row %d", env->backend,
                       (int)row);
        }
    }
}

START_TEST(rows_that_nobody_attends_get_zero)
{
    on_every_backend(unattended);
}
END_TEST

START_TEST(the_same_bits_for_any_threads)
{
    Heads h = {.query_heads = 6, .key_heads = 2, .head_dim = 64, .scale = 0.125f};
    Packed p;
    pack(&p, LARGE, LEN(LARGE), false);
    for (size_t b = 0; b < LEN(BACKENDS); b++) {
        for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
            float *first = NULL;
            int64_t outs = 6 * 64 * p.plan.query_rows, keys = 2 * 64 * p.plan.key_rows;
            for (int threads = 1; threads <= 4; threads++) {
                /* an emulated GPU has no threads, but an order in which its own run; it is slow */
                if (threads > 2 && !strcmp(BACKENDS[b], "cuda")) break;
                char seed[] = {(char)('0' + threads), 0};
                setenv("CUDA_EMULATED_SEED", seed, 1);
                Env env = env_open(BACKENDS[b], (Dtype)dtype, threads);
                if (!env.device) continue;
                Run r = run_new(&env, &p.plan, &h);
                run_forward(&env, &p.plan, &h, &r);
                run_backward(&env, &p.plan, &h, &r);
                float *all = malloc((size_t)(2 * outs + 2 * keys) * sizeof *all), *at = all;
                const Tensor parts[] = {r.out, r.dq, r.dk, r.dv};
                for (size_t t = 0; t < LEN(parts); t++) {
                    for (int64_t i = 0; i < parts[t].rows * parts[t].cols; i++) {
                        *at++ = element_get(parts[t], i / parts[t].cols, i % parts[t].cols);
                    }
                }
                if (first) ck_assert(!memcmp(all, first, (size_t)(2 * outs + 2 * keys) * 4));
                if (first) free(all);
                if (!first) first = all;
                env_close(&env);
            }
            free(first);
        }
    }
}
END_TEST

/* tests/cuda/check_tiles.cpp, where the backend "cuda" is emulated */
__attribute__((weak)) void check_tiles(const AttentionPlan *plan, int group, int rows, int keys,
                                       char why[128]);
__attribute__((weak)) int count_query_tiles(const AttentionPlan *plan, int group, int rows,
                                            int *longest);

START_TEST(tiles_hold_what_is_seen_once)
{
    static const Shape *const shapes[] = {SMALL, MANY, LARGE};
    static const int32_t counts[] = {LEN(SMALL), LEN(MANY), LEN(LARGE)};
    static const int groups[] = {1, 2, 7}, sizes[] = {16, 64, 128};
    Packed p;
    char why[128];
    for (size_t i = 0; check_tiles && i < 4 * 2 * 3 * 3; i++) {
        size_t shape = i / 18;
        if (shape < LEN(shapes))
            pack(&p, shapes[shape], counts[shape], i / 9 % 2);
        else
            p = ODD, p.plan.spans = p.spans, p.plan.tree_begin = p.begin;
        check_tiles(&p.plan, groups[i / 3 % 3], sizes[i % 3], sizes[i % 3], why);
        ck_assert_msg(!why[0], "shape %d, trimmed %d, group %d, tiles of %d: %s", (int)shape,
                      (int)(i / 9 % 2), groups[i / 3 % 3], sizes[i % 3], why);
    }
}
END_TEST

/* The last rows of nine answers share their prompt's steps; those of whole sequences share none,
 * and stay apart, or one block would go through all of them. */
START_TEST(trimmed_answers_share_a_tile)
{
    static const Shape answers[] = {{700, {20, 20, 20, 20, 20, 20, 20, 20, 20}}};
    static const Shape sequences[] = {{0, {700}}, {0, {700}}, {0, {700}}};
    Packed p;
    int longest;
    if (!count_query_tiles) return;
    pack(&p, answers, 1, true);
    ck_assert_int_eq(count_query_tiles(&p.plan, 1, 128, &longest), 1);
    ck_assert_int_eq(longest, (700 + 180 + 63) / 64);
    pack(&p, sequences, 3, true);
    ck_assert_int_eq(count_query_tiles(&p.plan, 1, 128, &longest), 3);
    ck_assert_int_eq(longest, (700 + 63) / 64);
}
END_TEST

UNIT_MAIN("ops: attention", attention_and_its_gradients, attention_of_many_answers,
          tiles_hold_what_is_seen_once, trimmed_answers_share_a_tile,
          the_reference_is_the_slope_of_itself, a_shared_prompt_gives_what_copies_give,
          queries_of_last_rows_see_what_they_saw_among_all, logits_of_any_size_are_survived,
          rows_that_nobody_attends_get_zero, the_same_bits_for_any_threads)
