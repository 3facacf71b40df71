/* test_ops.c - every op of the CPU backends but attention and turn_heads, against double precision.
 */
#include "ops_env.h"

static const int64_t ROWS[] = {1, 3, 17};

/* ---- products ---- */

/* y = x · Wᵀ + bias + before, in double. */
static double *linear_wanted(Tensor x, const double *w, const float *bias, int64_t outputs,
                             double before)
{
    double *in = in_double(x), *y = malloc((size_t)(x.rows * outputs) * sizeof *y);
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t o = 0; o < outputs; o++) {
            double sum = before + (bias ? (double)bias[o] : 0);
            for (int64_t i = 0; i < x.cols; i++) sum += in[r * x.cols + i] * w[o * x.cols + i];
            y[r * outputs + o] = sum;
        }
    }
    free(in);
    return y;
}

/* The weights as the matrix holds them: scaled, in the device's dtype. */
static double *weights_held(Env *env, const float *master, int64_t count, float scale)
{
    Tensor held = env_poison(env, 1, count, 0, env->dtype);
    for (int64_t i = 0; i < count; i++) element_set(held, 0, i, master[i] * scale);
    return in_double(held);
}

static double *transposed(const double *w, int64_t rows, int64_t cols)
{
    double *to = malloc((size_t)(rows * cols) * sizeof *to);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) to[c * rows + r] = w[r * cols + c];
    }
    return to;
}

static void check_linear(Env *env, Tensor x, Tensor dy, Matrix *matrix, const double *w,
                         const float *bias, Dtype out)
{
    const Ops *ops = env->ops;
    int64_t gap = x.stride - x.cols;
    double *back = transposed(w, dy.cols, x.cols);
    for (int mode = SET; mode <= ADD; mode++) {
        double before = mode == ADD ? 0.5 : 0;
        Tensor y = env_poison(env, x.rows, dy.cols, gap, out);
        Tensor dx = env_poison(env, x.rows, x.cols, gap, out);
        if (mode == ADD) fill(y, 0.5f), fill(dx, 0.5f);
        ops->linear(env->device, y, x, matrix, bias, (Accumulate)mode);
        ops->linear_dx(env->device, dx, dy, matrix, (Accumulate)mode);
        double *want = linear_wanted(x, w, bias, dy.cols, before);
        check_close(env, "linear", y, want, tolerance(out));
        free(want);
        want = linear_wanted(dy, back, NULL, x.cols, before);
        check_close(env, "linear_dx", dx, want, tolerance(out));
        free(want);
    }
    free(back);
}

/* Called thrice: gradients are added, and the bias's is wanted twice. */
static void check_linear_dw(Env *env, Tensor x, Tensor dy, float scale)
{
    float *dw = env_zeros(env, x.cols * dy.cols), *dbias = env_zeros(env, dy.cols);
    double *in = in_double(x), *out = in_double(dy);
    double *want = calloc((size_t)(dy.cols * (x.cols + 1)), sizeof *want);
    double *want_bias = want + dy.cols * x.cols;
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t o = 0; o < dy.cols; o++) {
            double d = (double)scale * out[r * dy.cols + o];
            want_bias[o] += 2 * d;
            for (int64_t i = 0; i < x.cols; i++) want[o * x.cols + i] += 3 * d * in[r * x.cols + i];
        }
    }
    env->ops->linear_dw(env->device, dw, NULL, dy, x, scale);
    env->ops->linear_dw(env->device, dw, dbias, dy, x, scale);
    env->ops->linear_dw(env->device, dw, dbias, dy, x, scale);
    /* inputs of either dtype are summed in fp32 */
    check_close(env, "linear_dw", flat(dw, dy.cols, x.cols), want, 1e-5);
    check_close(env, "linear_dw, bias", flat(dbias, 1, dy.cols), want_bias, 1e-5);
    free(want);
    free(in);
    free(out);
}

static void release_all(Env *env)
{
    for (int i = 0; i < env->block_count; i++) env->ops->release(env->device, env->blocks[i]);
    env->block_count = 0;
}

static void products_of(Env *env, int64_t rows, int64_t inputs, int64_t outputs, int64_t gap)
{
    const Ops *ops = env->ops;
    Tensor x = env_tensor(env, rows, inputs, gap, env->dtype);
    Tensor dy = env_tensor(env, rows, outputs, gap, env->dtype);
    float *master = env_floats(env, inputs * outputs), *bias = env_floats(env, outputs);
    Matrix *matrix = ops->matrix_new(env->device, outputs, inputs);
    ck_assert_ptr_nonnull(matrix);
    /* the second time, the copy for dx is there already and must follow */
    for (int round = 0; round < 2; round++) {
        float scale = round ? 0.5f : 1.0f;
        ops->matrix_set(env->device, matrix, master, scale);
        double *w = weights_held(env, master, inputs * outputs, scale);
        check_linear(env, x, dy, matrix, w, round ? bias : NULL, env->dtype);
        if (!round) check_linear(env, x, dy, matrix, w, bias, DTYPE_F32);
        free(w);
    }
    check_linear_dw(env, x, dy, 0.25f);
    check_linear_dw(env, x, dy, 1); /* a backend may take the bias along only there */
    ops->matrix_free(env->device, matrix);
    release_all(env);
}

static void products(Env *env)
{
    for (size_t i = 0; i < LEN(ROWS); i++) {
        products_of(env, ROWS[i], 33, 50, 0);
        products_of(env, ROWS[i], 64, 48, 16);
        products_of(env, ROWS[i], 7, 1, 5);
        products_of(env, ROWS[i], 1, 19, 0);
    }
    products_of(env, 24, 64, 48, 8);
    products_of(env, 100, 130, 70, 3);
    products_of(env, 700, 64, 530, 0); /* beyond every block of ours */
}

START_TEST(products_and_their_gradients)
{
    on_every_backend(products);
}
END_TEST

static void mixed(Env *env)
{
    Tensor x = env_tensor(env, 5, 40, 0, DTYPE_F32), y = env_poison(env, 5, 24, 0, env->dtype);
    Tensor dy = env_tensor(env, 5, 24, 0, DTYPE_BF16);
    float *master = env_floats(env, 40 * 24);
    Matrix *matrix = env->ops->matrix_new(env->device, 24, 40);
    env->ops->matrix_set(env->device, matrix, master, 1);
    env->ops->linear(env->device, y, x, matrix, NULL, SET);
    double *w = weights_held(env, master, 40 * 24, 1), *want = linear_wanted(x, w, NULL, 24, 0);
    check_close(env, "linear of fp32", y, want, tolerance(env->dtype));
    env->ops->matrix_free(env->device, matrix);
    free(w);
    free(want);
    float *dw = env_zeros(env, 40 * 24);
    env->ops->linear_dw(env->device, dw, NULL, dy, x, 1);
    double *a = in_double(x), *b = in_double(dy);
    want = calloc(40 * 24, sizeof *want);
    for (int i = 0; i < 5 * 40 * 24; i++) {
        want[i / 5 % 24 * 40 + i / 120] += b[i % 5 * 24 + i / 5 % 24] * a[i % 5 * 40 + i / 120];
    }
    check_close(env, "linear_dw of both", flat(dw, 24, 40), want, 1e-2);
    free(a);
    free(b);
    free(want);
}

START_TEST(products_take_operands_of_either_dtype)
{
    on_every_backend(mixed);
}
END_TEST

/* ---- rows ---- */

static void rows_moved(Env *env)
{
    static const int32_t rows[] = {4, 0, 2};
    for (int types = 0; types < 4; types++) {
        Dtype a = types & 1 ? DTYPE_BF16 : DTYPE_F32, b = types & 2 ? DTYPE_BF16 : DTYPE_F32;
        Tensor from = env_tensor(env, 5, 21, 2, a), to = env_poison(env, 5, 21, 7, b);
        double *want = in_double(from), *picked = malloc(3 * 21 * sizeof *picked);
        env->ops->convert(env->device, to, from);
        check_close(env, "convert", to, want, tolerance(b));
        env->ops->add(env->device, to, from);
        for (int i = 0; i < 5 * 21; i++) want[i] *= 2;
        check_close(env, "add", to, want, tolerance(b));

        Tensor some = env_poison(env, 3, 21, 1, b);
        env->ops->gather(env->device, some, from, rows);
        for (int i = 0; i < 3 * 21; i++) picked[i] = want[rows[i / 21] * 21 + i % 21] / 2;
        check_close(env, "gather", some, picked, tolerance(b));
        env->ops->scatter_add(env->device, to, some, rows);
        for (int i = 0; i < 3 * 21; i++) want[rows[i / 21] * 21 + i % 21] += picked[i];
        check_close(env, "scatter_add", to, want, 2 * tolerance(b));
        free(want);
        free(picked);
    }
}

START_TEST(rows_are_converted_added_gathered_scattered)
{
    on_every_backend(rows_moved);
}
END_TEST

/* Is what is denormal 0 in bf16? So converts the instruction for it. */
static bool is_flushed(const Env *env)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    bool has = ops_find("cpu-bf16", &arena, &err) != NULL;
    arena_release(&arena);
    return has && (!strcmp(env->backend, "cpu") || !strcmp(env->backend, "cpu-bf16"));
}

START_TEST(bf16_is_rounded_to_nearest_even)
{
    static const float in[] = {1.00390625f, 1.01171875f, 1.0039064f, -1.00390625f, INFINITY,
                               -INFINITY,   3.4e38f,     1e-40f,     -0.0f,        0x1.fep127f};
    static const uint16_t want[] = {0x3f80, 0x3f82, 0x3f81, 0xbf80, 0x7f80,
                                    0xff80, 0x7f80, 0x0001, 0x8000, 0x7f7f};
    for (size_t b = 0; b < LEN(BACKENDS); b++) {
        Env env = env_open(BACKENDS[b], DTYPE_BF16, 1);
        if (!env.device) continue;
        float memory[32] = {0};
        uint16_t got[32];
        memcpy(memory, in, sizeof in);
        memory[31] = NAN;
        Tensor from = flat(memory, 1, 32), to = {got, 1, 32, 32, DTYPE_BF16};
        env.ops->convert(env.device, to, from);
        for (size_t i = 0; i < LEN(want); i++)
            ck_assert_uint_eq(got[i], want[i] == 1 && is_flushed(&env) ? 0 : want[i]);
        ck_assert(isnan(element_get(to, 0, 31)));
        env_close(&env);
    }
}
END_TEST

static void embedding(Env *env)
{
    static const int32_t ids[] = {3, 1, 3, 0, 3, 6, 1}, positions[] = {0, 1, 2, 3, 0, 1, 2};
    float *table = env_floats(env, 7 * 75), *places = env_floats(env, 4 * 75);
    for (int with = 0; with < 2; with++) {
        Tensor out = env_poison(env, 7, 75, 3, env->dtype);
        Tensor dout = env_tensor(env, 7, 75, 0, env->dtype);
        float *dtable = env_zeros(env, 7 * 75), *dplaces = env_zeros(env, 4 * 75);
        env->ops->embed(env->device, out, ids, table, positions, with ? places : NULL);
        env->ops->embed_backward(env->device, dout, ids, dtable, positions, with ? dplaces : NULL);
        double *want = calloc(7 * 75, 8), *d = in_double(dout), dt[7 * 75] = {0}, dp[4 * 75] = {0};
        for (int i = 0; i < 7 * 75; i++) {
            int word = ids[i / 75] * 75 + i % 75, place = positions[i / 75] * 75 + i % 75;
            want[i] = (double)table[word] + (with ? (double)places[place] : 0);
            dt[word] += d[i];
            dp[place] += with ? d[i] : 0;
        }
        check_close(env, "embed", out, want, tolerance(env->dtype));
        check_close(env, "embed_backward", flat(dtable, 7, 75), dt, 1e-6);
        check_close(env, "embed_backward, places", flat(dplaces, 4, 75), dp, 1e-6);
        free(want);
        free(d);
    }
}

START_TEST(words_and_places_are_embedded_and_gradients_summed)
{
    on_every_backend(embedding);
}
END_TEST

/* ---- norms ---- */

static void norm_of(Env *env, NormKind kind, int64_t rows, int64_t cols)
{
    Tensor x = env_tensor(env, rows, cols, 3, env->dtype);
    Tensor y = env_poison(env, rows, cols, 1, env->dtype);
    Tensor dy = env_tensor(env, rows, cols, 0, env->dtype);
    Tensor dx = env_poison(env, rows, cols, 2, env->dtype);
    float *weight = env_floats(env, cols),
          *bias = kind == NORM_LAYER ? env_floats(env, cols) : NULL;
    float *stats = env_floats(env, 2 * rows);
    float *dweight = env_zeros(env, cols), *dbias = bias ? env_zeros(env, cols) : NULL;
    Case c = {.forward = reference_norm,
              .rows = rows,
              .cols = cols,
              .norm = kind,
              .epsilon = 1e-5,
              .outputs = (size_t)(rows * cols)};
    c.in[0] = in_double(x);
    c.in[1] = in_double(flat(weight, 1, cols));
    c.in[2] = bias ? in_double(flat(bias, 1, cols)) : NULL;
    double *slope = in_double(dy), *want = malloc(c.outputs * sizeof *want);
    c.slope = slope;
    c.forward(&c, want);
    env->ops->norm(env->device, kind, 1e-5f, y, stats, x, weight, bias);
    check_close(env, "norm", y, want, tolerance(env->dtype));
    env->ops->norm_backward(env->device, kind, dx, SET, dweight, dbias, dy, x, stats, weight);
    check_slopes(env, "norm dx", dx, &c, 0, 0);
    check_slopes(env, "norm dweight", flat(dweight, 1, cols), &c, 1, 0);
    if (dbias) check_slopes(env, "norm dbias", flat(dbias, 1, cols), &c, 2, 0);
    fill(dx, 1);
    env->ops->norm_backward(env->device, kind, dx, ADD, dweight, dbias, dy, x, stats, weight);
    check_slopes(env, "norm dx added", dx, &c, 0, 1);
    env->ops->norm_backward(env->device, kind, dx, SET, NULL, NULL, dy, x, stats, weight);
    check_slopes(env, "norm dx alone", dx, &c, 0, 0);
    for (int i = 0; i < 3; i++) free(c.in[i]);
    free(slope);
    free(want);
}

static void norms(Env *env)
{
    for (size_t i = 0; i < LEN(ROWS); i++) {
        norm_of(env, NORM_RMS, ROWS[i], 37);
        norm_of(env, NORM_LAYER, ROWS[i], 35);
        for (int b = 0; b < env->block_count; b++) env->ops->release(env->device, env->blocks[b]);
        env->block_count = 0;
    }
    norm_of(env, NORM_LAYER, 131, 4); /* several blocks of rows */
}

START_TEST(norms_and_their_gradients)
{
    on_every_backend(norms);
}
END_TEST

/* ---- activations ---- */

static void activation_of(Env *env, Activation kind, int64_t rows, int64_t cols)
{
    int64_t wide = cols * (kind == ACT_SWIGLU ? 2 : 1);
    Tensor x = env_tensor(env, rows, wide, 3, env->dtype);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < wide; i++) element_set(x, r, i, 3 * element_get(x, r, i));
    }
    Tensor y = env_poison(env, rows, cols, 1, env->dtype);
    Tensor dy = env_tensor(env, rows, cols, 0, env->dtype);
    Tensor dx = env_poison(env, rows, wide, 2, env->dtype);
    Case c = {.forward = reference_activate,
              .rows = rows,
              .cols = cols,
              .activation = kind,
              .outputs = (size_t)(rows * cols)};
    c.in[0] = in_double(x);
    double *slope = in_double(dy), *want = malloc(c.outputs * sizeof *want);
    c.slope = slope;
    c.forward(&c, want);
    env->ops->activate(env->device, kind, y, x);
    check_close(env, "activate", y, want, tolerance(env->dtype));
    env->ops->activate_backward(env->device, kind, dx, dy, x);
    check_slopes(env, "activate dx", dx, &c, 0, 0);
    free(c.in[0]);
    free(slope);
    free(want);
}

static void activations(Env *env)
{
    for (int kind = ACT_GELU_TANH; kind <= ACT_SWIGLU; kind++) {
        for (size_t i = 0; i < LEN(ROWS); i++) activation_of(env, (Activation)kind, ROWS[i], 29);
    }
}

START_TEST(activations_and_their_gradients)
{
    on_every_backend(activations);
}
END_TEST

/* ---- products with an activation beside ---- */

typedef struct Beside {
    int64_t rows, inputs, cols; /* of y; hidden has twice as many where it is gated */
    int64_t gap, offset;        /* elements between rows, and before the first */
} Beside;

/* `offset` elements into its memory; NaN everywhere, or random between its gaps, which are `more`
 * wider than the shape says. */
static Tensor beside_tensor(Env *env, const Beside *b, int64_t cols, int64_t more, bool random)
{
    Tensor t = env_poison(env, b->rows + 1, cols, b->gap + more, env->dtype);
    t.data = (char *)t.data + (size_t)b->offset * dtype_bytes(t.dtype);
    t.rows = b->rows;
    for (int64_t r = 0; random && r < t.rows; r++) {
        for (int64_t c = 0; c < cols; c++) element_set(t, r, c, 2 * (float)env_random(env));
    }
    return t;
}

/* A matrix of N(0, 1/inputs) or so, and what it holds. */
static Matrix *beside_matrix(Env *env, int64_t outputs, int64_t inputs, double **held)
{
    float *master = env_floats(env, outputs * inputs), scale = 2 / sqrtf((float)inputs);
    Matrix *matrix = env->ops->matrix_new(env->device, outputs, inputs);
    ck_assert_ptr_nonnull(matrix);
    env->ops->matrix_set(env->device, matrix, master, scale);
    *held = weights_held(env, master, outputs * inputs, scale);
    return matrix;
}

static void check_linear_activate(Env *env, Activation kind, const Beside *b, bool biased)
{
    int64_t wide = b->cols * (kind == ACT_SWIGLU ? 2 : 1);
    double *w, *want = malloc((size_t)(b->rows * b->cols) * sizeof *want);
    Tensor x = beside_tensor(env, b, b->inputs, 0, true);
    Tensor y = beside_tensor(env, b, b->cols, 16, false),
           hidden = beside_tensor(env, b, wide, 0, false);
    Matrix *matrix = beside_matrix(env, wide, b->inputs, &w);
    float *bias = biased ? env_floats(env, wide) : NULL;
    env->ops->linear_activate(env->device, kind, y, hidden, x, matrix, bias);
    Case c = {.rows = b->rows, .cols = b->cols, .activation = kind};
    c.in[0] = linear_wanted(x, w, bias, wide, 0);
    reference_activate(&c, want);
    check_close(env, "linear_activate, hidden", hidden, c.in[0], tolerance(env->dtype));
    check_close(env, "linear_activate", y, want, 2 * tolerance(env->dtype));
    env->ops->matrix_free(env->device, matrix);
    free(c.in[0]);
    free(want);
    free(w);
}

static double activation_slope(Activation kind, double x)
{
    double step = 1e-4;
    return (reference_activation(kind, x + step) - reference_activation(kind, x - step)) /
           (2 * step);
}

static void check_linear_dx_activate(Env *env, Activation kind, const Beside *b)
{
    bool gated = kind == ACT_SWIGLU;
    int64_t wide = b->cols * (gated ? 2 : 1);
    double *w, *want = malloc((size_t)(b->rows * wide) * sizeof *want);
    Tensor dy = beside_tensor(env, b, b->inputs, 0, true),
           room = beside_tensor(env, b, b->cols, 16, false);
    Tensor hidden = beside_tensor(env, b, wide, 8, true),
           dx = beside_tensor(env, b, wide, 0, false);
    Matrix *matrix = beside_matrix(env, b->inputs, b->cols, &w); /* its outputs are dy's */
    env->ops->linear_dx_activate(env->device, kind, dx, room, dy, matrix, hidden);
    double *turned = transposed(w, b->inputs, b->cols);
    double *slopes = linear_wanted(dy, turned, NULL, b->cols, 0), *in = in_double(hidden);
    for (int64_t i = 0; i < b->rows * b->cols; i++) {
        int64_t at = i / b->cols * wide + i % b->cols;
        want[at] = slopes[i] * activation_slope(kind, in[at]) * (gated ? in[at + b->cols] : 1);
        if (gated) want[at + b->cols] = slopes[i] * reference_activation(kind, in[at]);
    }
    check_close(env, "linear_dx_activate", dx, want, 2 * tolerance(env->dtype));
    gaps_are_untouched(room, "linear_dx_activate");
    env->ops->matrix_free(env->device, matrix);
    free(turned);
    free(slopes);
    free(want);
    free(in);
    free(w);
}

static void activated_products(Env *env)
{
    static const Beside shapes[] = {{1, 33, 29, 0, 0},  {3, 64, 48, 0, 0},    {17, 64, 48, 8, 8},
                                    {5, 40, 56, 24, 0}, {17, 64, 48, 3, 0},   {4, 64, 48, 8, 4},
                                    {6, 64, 44, 0, 0},  {100, 128, 72, 0, 0}, {0, 64, 48, 0, 0}};
    for (int kind = ACT_GELU_TANH; kind <= ACT_SWIGLU; kind++) {
        for (size_t i = 0; i < LEN(shapes); i++) {
            check_linear_activate(env, (Activation)kind, &shapes[i], false);
            check_linear_activate(env, (Activation)kind, &shapes[i], true);
            check_linear_dx_activate(env, (Activation)kind, &shapes[i]);
            release_all(env);
        }
    }
}

START_TEST(products_with_activations_beside)
{
    on_every_backend(activated_products);
}
END_TEST

/* ---- activations, exactly ---- */

/* Every size of argument: the error is at most 3e-7 of what the gate multiplies. */
static void exactness(Env *env)
{
    enum { COUNT = 60000 };
    if (env->dtype == DTYPE_BF16) return;
    for (int kind = ACT_GELU_TANH; kind <= ACT_SWIGLU; kind++) {
        bool gated = kind == ACT_SWIGLU;
        Tensor x = env_poison(env, 1, gated ? 2 * COUNT : COUNT, 0, DTYPE_F32);
        Tensor y = env_poison(env, 1, COUNT, 0, DTYPE_F32), dy = env_poison(env, 1, COUNT, 0, 0);
        Tensor dx = env_poison(env, 1, x.cols, 0, DTYPE_F32);
        float *at = x.data;
        for (int i = 0; i < COUNT; i++) {
            at[i] = (float)((i - COUNT / 2) * (i % 5 == 0 ? 4e-3 : i % 5 == 1 ? 1e-6 : 4e-4));
            if (gated) at[COUNT + i] = 1;
        }
        at[0] = -1e30f, at[1] = 1e30f, at[2] = -1e4f, at[3] = 1e-40f, at[4] = -0.0f;
        fill(dy, 1);
        env->ops->activate(env->device, (Activation)kind, y, x);
        env->ops->activate_backward(env->device, (Activation)kind, dx, dy, x);
        double worst = 0, steepest = 0;
        for (int i = 0; i < COUNT; i++) {
            double in = (double)at[i], got = (double)((float *)y.data)[i], h = 1e-4;
            double want = reference_activation((Activation)kind, in);
            worst = fmax(worst, fabs(got - want) / fmax(fabs(in), 1e-30));
            CHECK_THAT(isfinite(got), "%s %d at %g", env->backend, kind, in);
            if (fabs(in) > 100) continue;
            want = (reference_activation((Activation)kind, in + h) -
                    reference_activation((Activation)kind, in - h)) /
                   (2 * h);
            steepest = fmax(steepest, fabs((double)((float *)dx.data)[i] - want));
        }
        ck_assert_msg(worst < 3e-7, "%s activation %d: error %g", env->backend, kind, worst);
        ck_assert_msg(steepest < 1e-6, "%s slope %d: error %g", env->backend, kind, steepest);
        printf("%s activation %d: error %.2g of the input, %.2g of the slope\n", env->backend, kind,
               worst, steepest);
    }
}

START_TEST(activations_are_exact_to_fp32)
{
    on_every_backend(exactness);
}
END_TEST

/* ---- the score heads ---- */

static void heads_scored(Env *env)
{
    enum { SCORED = 5, EACH = 3, WIDTH = 41 };
    Tensor x = env_tensor(env, SCORED, WIDTH, 2, DTYPE_F32);
    Tensor y = env_poison(env, SCORED, EACH, 1, DTYPE_F32);
    Tensor dy = env_tensor(env, SCORED, EACH, 0, DTYPE_F32);
    Tensor dx = env_poison(env, SCORED, WIDTH, 3, DTYPE_F32);
    float *heads = env_floats(env, EACH * WIDTH), *dheads = env_zeros(env, EACH * WIDTH);
    double *in = in_double(x), *d = in_double(dy), *w = in_double(flat(heads, EACH, WIDTH));
    double *want = linear_wanted(x, w, NULL, EACH, 0), back[SCORED * WIDTH] = {0};
    double dw[EACH * WIDTH] = {0};
    for (int i = 0; i < SCORED * EACH * WIDTH; i++) {
        int row = i / (EACH * WIDTH), head = i / WIDTH % EACH, c = i % WIDTH;
        back[row * WIDTH + c] += d[row * EACH + head] * w[head * WIDTH + c];
        dw[head * WIDTH + c] += d[row * EACH + head] * in[row * WIDTH + c];
    }
    env->ops->score(env->device, y, x, heads);
    check_close(env, "score", y, want, 1e-6);
    env->ops->score_backward(env->device, dx, dheads, dy, x, heads);
    check_close(env, "score_backward, features", dx, back, 1e-6);
    check_close(env, "score_backward, heads", flat(dheads, EACH, WIDTH), dw, 1e-6);
    free(in);
    free(d);
    free(w);
    free(want);
}

START_TEST(heads_score_and_their_gradients)
{
    on_every_backend(heads_scored);
}
END_TEST

/* ---- the optimiser ---- */

static void optimiser(Env *env)
{
    enum { COUNT = 50021 };
    if (env->dtype == DTYPE_BF16) return;
    float *master = env_floats(env, COUNT), *first = env_zeros(env, COUNT);
    float *second = env_zeros(env, COUNT), *gradient = env_floats(env, COUNT);
    double *p = in_double(flat(master, 1, COUNT)), *m = calloc(COUNT, 8), *v = calloc(COUNT, 8);
    AdamW step = {.learning_rate = 1e-2f,
                  .beta1 = 0.9f,
                  .beta2 = 0.95f,
                  .epsilon = 1e-8f,
                  .weight_decay = 0.1f,
                  .gradient_scale = 0.5f};
    for (step.step = 1; step.step <= 3; step.step++) {
        env->ops->adamw(env->device, &step, master, first, second, gradient, COUNT);
        double b1 = (double)step.beta1, b2 = (double)step.beta2, rate = (double)step.learning_rate;
        for (int i = 0; i < COUNT; i++) {
            double g = (double)gradient[i] * 0.5, t = (double)step.step;
            p[i] *= 1 - rate * (double)step.weight_decay;
            m[i] = b1 * m[i] + (1 - b1) * g;
            v[i] = b2 * v[i] + (1 - b2) * g * g;
            p[i] -= rate * m[i] / (1 - pow(b1, t)) /
                    (sqrt(v[i] / (1 - pow(b2, t))) + (double)step.epsilon);
        }
        check_close(env, "adamw", flat(master, 1, COUNT), p, 1e-6);
        check_close(env, "adamw, first moment", flat(first, 1, COUNT), m, 1e-6);
        check_close(env, "adamw, second moment", flat(second, 1, COUNT), v, 1e-6);
    }
    double sum = 0;
    for (int i = 0; i < COUNT; i++) sum += (double)gradient[i] * (double)gradient[i];
    double got = env->ops->square_sum(env->device, gradient, COUNT);
    ck_assert_msg(fabs(got - sum) < 1e-12 * sum, "%.17g is not %.17g", got, sum);
    ck_assert(env->ops->square_sum(env->device, gradient, 0) == 0);
    gradient[77] = NAN;
    ck_assert(isnan(env->ops->square_sum(env->device, gradient, COUNT)));
    free(p);
    free(m);
    free(v);
}

START_TEST(adamw_and_the_sum_of_squares)
{
    on_every_backend(optimiser);
}
END_TEST

/* ---- the same bits ---- */

/* A hash of what a little of everything computes. */
static uint64_t all_bits(const char *backend, Dtype dtype, int threads)
{
    enum { M = 300, IN = 96, OUT = 200 };
    Env env = env_open(backend, dtype, threads);
    if (!env.device) return 0;
    Tensor x = env_tensor(&env, M, IN, 0, dtype), y = env_poison(&env, M, OUT, 0, dtype);
    Tensor dx = env_poison(&env, M, IN, 0, dtype), h = env_poison(&env, M, OUT, 0, dtype);
    Tensor dh = env_poison(&env, M, IN, 0, dtype), room = env_poison(&env, M, IN, 0, dtype);
    float *dw = env_zeros(&env, IN * OUT + OUT + IN), *stats = env_floats(&env, 2 * M);
    float *master = env_floats(&env, IN * OUT), *weight = env_floats(&env, IN);
    Matrix *matrix = env.ops->matrix_new(env.device, OUT, IN);
    env.ops->matrix_set(env.device, matrix, master, 1);
    env.ops->norm(env.device, NORM_RMS, 1e-5f, dx, stats, x, weight, NULL);
    env.ops->linear(env.device, y, dx, matrix, NULL, SET);
    env.ops->activate(env.device, ACT_GELU_TANH, h, y);
    env.ops->linear_activate(env.device, ACT_GELU_TANH, h, y, dx, matrix, NULL);
    env.ops->linear_dx(env.device, dx, h, matrix, SET);
    env.ops->linear_dx_activate(env.device, ACT_GELU_TANH, dh, room, h, matrix, x);
    env.ops->linear_dw(env.device, dw, dw + IN * OUT, h, x, 1);
    env.ops->norm_backward(env.device, NORM_RMS, dx, ADD, dw + IN * OUT + OUT, NULL, dx, x, stats,
                           weight);
    double norm = env.ops->square_sum(env.device, dw, IN * OUT);
    uint64_t hash = 14695981039346656037u, bits;
    memcpy(&bits, &norm, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
    const Tensor parts[] = {flat(dw, 1, IN * OUT + OUT + IN), dx, y, h, dh};
    for (size_t p = 0; p < LEN(parts); p++) {
        const uint8_t *byte = parts[p].data;
        size_t count = (size_t)(parts[p].rows * parts[p].cols) * dtype_bytes(parts[p].dtype);
        for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    }
    env.ops->matrix_free(env.device, matrix);
    env_close(&env);
    return hash;
}

START_TEST(the_same_calls_give_the_same_bits)
{
    for (size_t i = 0; i < LEN(BACKENDS); i++) {
        for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
            uint64_t first = all_bits(BACKENDS[i], (Dtype)dtype, 2);
            for (int again = 0; again < 3; again++) {
                ck_assert_uint_eq(all_bits(BACKENDS[i], (Dtype)dtype, 2), first);
            }
            /* ours do not depend on the threads at all */
            if (i == 0) continue;
            ck_assert_uint_eq(all_bits(BACKENDS[i], (Dtype)dtype, 1), first);
            ck_assert_uint_eq(all_bits(BACKENDS[i], (Dtype)dtype, 3), first);
        }
    }
}
END_TEST

/* ---- devices ---- */

START_TEST(devices_are_found_or_said_to_be_missing)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    ck_assert_str_eq(ops_find("cpu", &arena, &err)->name, "cpu");
    ck_assert_ptr_nonnull(ops_find("auto", &arena, &err));
    ck_assert_ptr_null(ops_find("tpu", &arena, &err));
    ck_assert_int_eq(err.code, ERR_invalid);
    ck_assert_ptr_nonnull(strstr(err.detail, "tpu"));
    const Ops *cuda = ops_find("cuda", &arena, &err);
    if (!cuda) ck_assert_ptr_nonnull(strstr(err.detail, "cuda"));
    const Ops *ops = ops_find("cpu", &arena, &err);
    ck_assert_ptr_null(ops->open(&(DeviceOptions){.threads = -1}, &arena, &err));
    ck_assert_int_eq(err.code, ERR_invalid);
    printf("best dtype: %s\n", ops_best_dtype(ops) == DTYPE_BF16 ? "bf16" : "fp32");
    arena_release(&arena);
}
END_TEST

/* The address sanitizer, asked for too much, ends the program unless told to answer NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

START_TEST(memory_is_counted_and_may_run_out)
{
    for (size_t b = 0; b < LEN(BACKENDS); b++) {
        Env env = env_open(BACKENDS[b], DTYPE_BF16, 1);
        if (!env.device) continue;
        size_t before = env.device->bytes;
        ck_assert_ptr_null(env.ops->alloc(env.device, SIZE_MAX));
        ck_assert_ptr_null(env.ops->alloc(env.device, SIZE_MAX / 4));
        void *memory = env.ops->alloc(env.device, 1000);
        ck_assert_uint_ge(env.device->bytes, before + 1000);
        Matrix *matrix = env.ops->matrix_new(env.device, 100, 100);
        ck_assert_uint_ge(env.device->bytes, before + 1000 + 20000);
        env.ops->matrix_free(env.device, matrix);
        env.ops->release(env.device, memory);
        env.ops->release(env.device, NULL);
        ck_assert_uint_eq(env.device->bytes, before);
        ck_assert_uint_ge(env.device->bytes_peak, before + 21000);
        ck_assert_ptr_null(env.ops->matrix_new(env.device, INT32_MAX, INT32_MAX));
        env_close(&env);
    }
}
END_TEST

UNIT_MAIN("ops", products_and_their_gradients, products_take_operands_of_either_dtype,
          rows_are_converted_added_gathered_scattered, bf16_is_rounded_to_nearest_even,
          words_and_places_are_embedded_and_gradients_summed, norms_and_their_gradients,
          activations_and_their_gradients, products_with_activations_beside,
          activations_are_exact_to_fp32, heads_score_and_their_gradients,
          adamw_and_the_sum_of_squares, the_same_calls_give_the_same_bits,
          devices_are_found_or_said_to_be_missing, memory_is_counted_and_may_run_out)
