/* test_ops_shapes.c - the ops that are bound by memory, at the widths of models and at odd ones:
 * every backend against the plain CPU one, and its bits against those of another order of threads
 * (which only the emulator of tests/cuda knows how to change). */
#include "ops_env.h"

enum { RESULTS_MAX = 24 };

typedef struct Shape {
    int64_t rows, cols, gap;
} Shape;

/* What a case computed, by name. */
typedef struct Results {
    Tensor at[RESULTS_MAX];
    const char *names[RESULTS_MAX];
    double looser[RESULTS_MAX]; /* than one rounding */
    int count;
} Results;

typedef void (*Run)(Env *env, Shape shape, Results *results);

static void keep_looser(Results *results, const char *name, Tensor t, double looser)
{
    ck_assert_int_lt(results->count, RESULTS_MAX);
    results->names[results->count] = name;
    results->looser[results->count] = looser;
    results->at[results->count++] = t;
}

static void keep(Results *results, const char *name, Tensor t)
{
    keep_looser(results, name, t, 1);
}

static uint64_t bits_of(const Results *results)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < results->count; i++) {
        Tensor t = results->at[i];
        for (int64_t k = 0; k < t.rows * t.cols; k++) {
            float x = element_get(t, k / t.cols, k % t.cols);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    }
    return hash;
}

static uint64_t bits_by_seed(const char *backend, Dtype dtype, const char *seed, Run run,
                             Shape shape)
{
    Env env = env_open(backend, dtype, 2);
    Results results = {.count = 0};
    setenv("CUDA_EMULATED_SEED", seed, 1);
    run(&env, shape, &results);
    unsetenv("CUDA_EMULATED_SEED");
    uint64_t bits = bits_of(&results);
    env_close(&env);
    return bits;
}

/* Both start from the same random numbers, so the inputs are alike. */
static void compare(const char *backend, Dtype dtype, Run run, Shape shape)
{
    Env env = env_open(backend, dtype, 2), plain = env_open("cpu-v1", dtype, 1);
    if (!env.device) return env_close(&plain);
    Results got = {.count = 0}, want = {.count = 0};
    run(&env, shape, &got);
    run(&plain, shape, &want);
    ck_assert_int_eq(got.count, want.count);
    for (int i = 0; i < got.count; i++) {
        double *values = in_double(want.at[i]);
        check_close(&env, got.names[i], got.at[i], values,
                    want.looser[i] * tolerance(got.at[i].dtype));
        free(values);
    }
    uint64_t bits = bits_of(&got);
    bool emulated = !strcmp(env.ops->name, "cuda");
    env_close(&env);
    env_close(&plain);
    if (!emulated) return;
    /* an even seed begins with the last block */
    ck_assert_uint_eq(bits_by_seed(backend, dtype, "2", run, shape), bits);
    ck_assert_uint_eq(bits_by_seed(backend, dtype, "5", run, shape), bits);
}

static void compare_all(Run run, const Shape *shapes, size_t count)
{
    for (size_t b = 0; b < LEN(BACKENDS); b++) {
        for (size_t i = 0; i < count; i++) {
            compare(BACKENDS[b], DTYPE_F32, run, shapes[i]);
            compare(BACKENDS[b], DTYPE_BF16, run, shapes[i]);
        }
    }
}

/* ---- norms ---- */

static void run_norms(Env *env, Shape s, Results *results)
{
    const Ops *ops = env->ops;
    Tensor x = env_tensor(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor dy = env_tensor(env, s.rows, s.cols, s.gap, env->dtype);
    float *weight = env_floats(env, s.cols), *bias = env_floats(env, s.cols);
    for (int kind = NORM_RMS; kind <= NORM_LAYER; kind++) {
        bool layer = kind == NORM_LAYER;
        Tensor y = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
        Tensor dx = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
        Tensor sums = flat(env_zeros(env, 2 * s.cols), 2, s.cols);
        float *stats = env_floats(env, 2 * s.rows), *dweight = sums.data;
        ops->norm(env->device, (NormKind)kind, 1e-5f, y, stats, x, weight, layer ? bias : NULL);
        keep(results, "norm", y);
        keep(results, "statistics", flat(stats, s.rows, 2));
        ops->norm_backward(env->device, (NormKind)kind, dx, SET, NULL, NULL, dy, x, stats, weight);
        ops->norm_backward(env->device, (NormKind)kind, dx, ADD, dweight,
                           layer ? dweight + s.cols : NULL, dy, x, stats, weight);
        keep(results, "norm dx", dx);
        keep(results, "norm sums", sums);
    }
}

START_TEST(norms_of_every_width)
{
    static const Shape shapes[] = {{3, 7, 0},    {40, 64, 0},  {70, 896, 0}, {9, 896, 3},
                                   {17, 260, 4}, {5, 2048, 8}, {3, 8192, 0}, {2, 9001, 1}};
    compare_all(run_norms, shapes, LEN(shapes));
}
END_TEST

START_TEST(norms_refuse_rows_beyond_their_registers)
{
    enum { COLS = 10248 };
    for (size_t b = 0; b < LEN(BACKENDS); b++) {
        Arena arena;
        Err err;
        Env env = env_open(BACKENDS[b], DTYPE_F32, 1);
        if (!env.device || strcmp(env.ops->name, "cuda")) {
            if (env.device) env_close(&env);
            continue;
        }
        arena_init(&arena, KiB(4));
        Tensor x = flat(env_floats(&env, COLS), 1, COLS);
        float stats[2];
        env.ops->norm(env.device, NORM_RMS, 1e-5f, x, stats, x, x.data, NULL);
        ck_assert(!env.ops->sync(env.device, &arena, &err));
        ck_assert_ptr_nonnull(strstr(err.detail, "norm"));
        arena_release(&arena);
        env_close(&env);
    }
}
END_TEST

/* ---- heads ---- */

/* cols: of a head; three heads of q and two of k, with and without norms, some and all rotated. */
static void run_heads(Env *env, Shape s, Results *results)
{
    enum { PLACES = 11 };
    int32_t dim = (int32_t)s.cols, positions[512];
    const int32_t turned[] = {dim / 4 * 2, dim / 2 * 2};
    HeadTurn all[2] = {{.positions = positions}, {.positions = positions}};
    for (int64_t r = 0; r < s.rows; r++) positions[r] = (int32_t)(r * 7 % PLACES);
    for (int i = 0; i < 2; i++) {
        int64_t wide = (3 - i) * dim;
        all[i].x = env_tensor(env, s.rows, wide, s.gap, env->dtype);
        all[i].dy = env_tensor(env, s.rows, wide, s.gap, env->dtype);
    }
    for (int norm = 0; norm < 2; norm++) {
        Rotary rotary = {env_floats(env, PLACES * dim), env_floats(env, PLACES * dim),
                         turned[norm]};
        for (int i = 0; i < 2; i++) {
            all[i].y = env_poison(env, s.rows, (3 - i) * dim, s.gap, env->dtype);
            all[i].dx = env_poison(env, s.rows, (3 - i) * dim, s.gap, env->dtype);
            all[i].weight = norm ? env_floats(env, dim) : NULL;
            all[i].dweight = norm ? env_zeros(env, dim) : NULL;
            all[i].stats = norm ? env_floats(env, s.rows * (3 - i)) : NULL;
        }
        env->ops->turn_heads(env->device, dim, 1e-6f, &rotary, &all[0], &all[1]);
        env->ops->turn_heads_backward(env->device, dim, &rotary, &all[0], &all[1]);
        for (int i = 0; i < 2; i++) {
            keep(results, "turned", all[i].y);
            keep(results, "turned dx", all[i].dx);
            if (norm) keep(results, "turned dweight", flat(all[i].dweight, 1, dim));
            if (norm) keep(results, "turned 1/deviation", flat(all[i].stats, s.rows, 3 - i));
        }
    }
}

START_TEST(heads_of_every_size)
{
    static const Shape shapes[] = {{3, 7, 0},   {70, 64, 0}, {33, 128, 8}, {9, 80, 0},
                                   {5, 256, 3}, {7, 32, 0},  {300, 96, 0}};
    compare_all(run_heads, shapes, LEN(shapes));
}
END_TEST

/* ---- elements ---- */

static void run_elements(Env *env, Shape s, Results *results)
{
    const Ops *ops = env->ops;
    for (int kind = ACT_GELU_TANH; kind <= ACT_SWIGLU; kind++) {
        int64_t wide = s.cols * (kind == ACT_SWIGLU ? 2 : 1);
        Tensor x = env_tensor(env, s.rows, wide, s.gap, env->dtype);
        Tensor dy = env_tensor(env, s.rows, s.cols, s.gap, env->dtype);
        Tensor y = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
        Tensor dx = env_poison(env, s.rows, wide, s.gap, env->dtype);
        ops->activate(env->device, (Activation)kind, y, x);
        ops->activate_backward(env->device, (Activation)kind, dx, dy, x);
        keep(results, "activate", y);
        keep(results, "activate dx", dx);
    }
    for (int types = 0; types < 4; types++) {
        Dtype a = types & 1 ? DTYPE_BF16 : DTYPE_F32, b = types & 2 ? DTYPE_BF16 : DTYPE_F32;
        static const int32_t first[] = {0};
        Tensor from = env_tensor(env, s.rows, s.cols, s.gap, a), one = from;
        Tensor to = env_poison(env, s.rows, s.cols, s.gap, b);
        Tensor dense = env_poison(env, s.rows, s.cols, 0, b);
        ops->convert(env->device, to, from);
        ops->convert(env->device, dense, from);
        ops->add(env->device, dense, to);
        one.rows = 1;
        ops->scatter_add(env->device, to, one, first);
        keep(results, "scatter_add", to);
        keep(results, "add", dense);
    }
}

START_TEST(elements_of_every_width)
{
    static const Shape shapes[] = {{5, 1, 0},   {600, 1, 3},  {3, 7, 0},    {5, 64, 0},
                                   {9, 896, 0}, {2, 4864, 5}, {2, 4864, 8}, {1, 20000, 0}};
    compare_all(run_elements, shapes, LEN(shapes));
}
END_TEST

/* ---- products with something beside ---- */

static void run_besides(Env *env, Shape s, Results *results)
{
    enum { INPUTS = 64 };
    const Ops *ops = env->ops;
    Tensor x = env_tensor(env, s.rows, INPUTS, s.gap, env->dtype);
    Tensor hidden = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor y = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor dy = env_tensor(env, s.rows, INPUTS, s.gap, env->dtype);
    Tensor dx = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor room = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
    float *master = env_floats(env, INPUTS * s.cols), *bias = env_floats(env, s.cols);
    float *dw = env_zeros(env, INPUTS * s.cols), *dbias = env_floats(env, s.cols);
    Matrix *up = ops->matrix_new(env->device, s.cols, INPUTS);
    Matrix *down = ops->matrix_new(env->device, INPUTS, s.cols);
    ck_assert(up != NULL && down != NULL);
    ops->matrix_set(env->device, up, master, 0.25f);
    ops->matrix_set(env->device, down, master, 0.25f);
    ops->linear_activate(env->device, ACT_GELU_TANH, y, hidden, x, up, bias);
    keep_looser(results, "linear_activate", y, 2); /* one of them may round `hidden` first */
    keep(results, "linear_activate, hidden", hidden);
    Tensor given = env_tensor(env, s.rows, s.cols, s.gap, env->dtype); /* the same for all */
    ops->linear_dx_activate(env->device, ACT_GELU_TANH, dx, room, dy, down, given);
    keep_looser(results, "linear_dx_activate", dx, 2);
    ops->linear_dw(env->device, dw, dbias, given, x, 1);
    keep(results, "dw", flat(dw, s.cols, INPUTS));
    keep(results, "dbias", flat(dbias, 1, s.cols));
    ops->matrix_free(env->device, up);
    ops->matrix_free(env->device, down);
}

START_TEST(products_with_something_beside)
{
    static const Shape shapes[] = {{5, 29, 3}, {40, 48, 8}, {300, 264, 0}, {64, 20, 4}};
    compare_all(run_besides, shapes, LEN(shapes));
}
END_TEST

/* ---- sums down columns ---- */

/* A word that most rows have, some that few have, and some of large numbers. */
static void run_embedding(Env *env, Shape s, Results *results)
{
    enum { WORDS = 70000, PLACES = 600 };
    int64_t words = s.cols > 64 ? 100 : WORDS;
    int32_t *ids = env_alloc(env, (size_t)s.rows * 4), *places = env_alloc(env, (size_t)s.rows * 4);
    for (int64_t r = 0; r < s.rows; r++) {
        uint64_t pick = (uint64_t)r * 2654435761u % 1000;
        ids[r] = pick < 600 ? 13 : (int32_t)(pick * pick % (uint64_t)words);
        places[r] = (int32_t)(r % PLACES);
    }
    Tensor out = env_poison(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor dout = env_tensor(env, s.rows, s.cols, s.gap, env->dtype);
    Tensor table = flat(env_floats(env, words * s.cols), words, s.cols);
    Tensor at = flat(env_floats(env, PLACES * s.cols), PLACES, s.cols);
    env->ops->embed(env->device, out, ids, table.data, places, at.data);
    keep(results, "embed", out);
    env->ops->embed_backward(env->device, dout, ids, table.data, places, at.data);
    keep(results, "embed_backward", table);
    keep(results, "embed_backward, places", at);
}

START_TEST(gradients_of_words_of_any_count)
{
    static const Shape shapes[] = {{1, 7, 0},    {64, 8, 0},   {65, 8, 3},
                                   {5000, 8, 0}, {300, 96, 8}, {700, 257, 0}};
    compare_all(run_embedding, shapes, LEN(shapes));
}
END_TEST

static void run_sums(Env *env, Shape s, Results *results)
{
    enum { HEADS = 3 };
    const Ops *ops = env->ops;
    Tensor x = env_tensor(env, s.rows, 1, 0, env->dtype);
    Tensor dy = env_tensor(env, s.rows, s.cols, s.gap, env->dtype);
    float *dw = env_zeros(env, s.cols), *dbias = env_zeros(env, s.cols);
    ops->linear_dw(env->device, dw, dbias, dy, x, 0.5f);
    keep(results, "dbias", flat(dbias, 1, s.cols));
    Tensor features = env_tensor(env, s.rows, s.cols, s.gap, DTYPE_F32);
    Tensor scores = env_poison(env, s.rows, HEADS, 1, DTYPE_F32);
    Tensor dscores = env_tensor(env, s.rows, HEADS, 0, DTYPE_F32);
    Tensor dfeatures = env_poison(env, s.rows, s.cols, s.gap, DTYPE_F32);
    float *heads = env_floats(env, HEADS * s.cols), *dheads = env_zeros(env, HEADS * s.cols);
    ops->score(env->device, scores, features, heads);
    ops->score_backward(env->device, dfeatures, dheads, dscores, features, heads);
    ops->score_backward(env->device, (Tensor){.data = NULL}, dheads, dscores, features, heads);
    keep(results, "scores", scores);
    keep(results, "dfeatures", dfeatures);
    keep(results, "dheads", flat(dheads, HEADS, s.cols));
}

START_TEST(sums_down_columns_of_every_width)
{
    static const Shape shapes[] = {{1, 1, 0},    {200, 7, 0},  {150, 896, 0},
                                   {70, 300, 3}, {700, 64, 0}, {3, 2048, 8}};
    compare_all(run_sums, shapes, LEN(shapes));
}
END_TEST

/* ---- the optimiser ---- */

/* gap: elements that the arrays are off their alignment. */
static void run_step(Env *env, Shape s, Results *results)
{
    float *all[4];
    for (int i = 0; i < 4; i++) all[i] = env_floats(env, s.cols + s.gap) + s.gap;
    for (int64_t i = 0; i < s.cols; i++) all[2][i] = fabsf(all[2][i]);
    AdamW step = {.learning_rate = 1e-3f,
                  .beta1 = 0.9f,
                  .beta2 = 0.999f,
                  .epsilon = 1e-8f,
                  .weight_decay = 0.01f,
                  .gradient_scale = 2,
                  .step = 3};
    double sum = env->ops->square_sum(env->device, all[3], (size_t)s.cols);
    Tensor held = env_poison(env, 1, 1, 0, DTYPE_F32);
    element_set(held, 0, 0, (float)sum);
    env->ops->adamw(env->device, &step, all[0], all[1], all[2], all[3], (size_t)s.cols);
    keep(results, "square_sum", held);
    for (int i = 0; i < 3; i++) keep(results, "adamw", flat(all[i], 1, s.cols));
}

START_TEST(steps_of_any_alignment)
{
    static const Shape shapes[] = {{1, 1, 0}, {1, 4096, 0}, {1, 50021, 0}, {1, 50021, 1}};
    compare_all(run_step, shapes, LEN(shapes));
}
END_TEST

UNIT_MAIN("ops, shapes", norms_of_every_width, norms_refuse_rows_beyond_their_registers,
          heads_of_every_size, elements_of_every_width, products_with_something_beside,
          gradients_of_words_of_any_count, sums_down_columns_of_every_width, steps_of_any_alignment)
