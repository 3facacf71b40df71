/* check_ops.c - each op on the same random inputs, by the backend that is checked and by the plain
 * CPU one in the same dtype: outputs poisoned before, the largest difference in a table. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

enum { BLOCKS_MAX = 64, RESULTS_MAX = 16, NAME_BYTES = 32, SHAPES_MAX = 6 };

typedef struct Result {
    char name[NAME_BYTES];
    float *values;
    int64_t count;
    bool strayed; /* wrote beside its rows */
    Dtype dtype;
} Result;

/* One device going through a case. */
typedef struct Side {
    const Ops *ops;
    Device *device;
    Dtype dtype;
    uint64_t random;
    void *blocks[BLOCKS_MAX];
    int block_count;
    Result results[RESULTS_MAX];
    int result_count;
} Side;

typedef struct Shape {
    int64_t rows, cols, more; /* more: outputs, heads, … */
    int64_t gap;              /* between rows */
} Shape;

typedef struct OpCase {
    const char *name;
    void (*run)(Side *side, Shape shape);
    Shape shapes[SHAPES_MAX]; /* until rows 0 */
    double looser;            /* than one rounding: sums that cancel, values that round twice */
} OpCase;

/* ---- memory ---- */

static void *side_alloc(Side *s, size_t bytes)
{
    void *memory = s->ops->alloc(s->device, bytes);
    if (!memory || s->block_count == BLOCKS_MAX) fail("no memory for a case");
    s->blocks[s->block_count++] = memory;
    return memory;
}

static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x != x ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* rows x cols of `value(s)`, NaN between rows. */
static Tensor tensor_of(Side *s, int64_t rows, int64_t cols, int64_t gap, Dtype dtype,
                        double (*value)(Side *s))
{
    Tensor t = {.rows = rows, .cols = cols, .stride = cols + gap, .dtype = dtype};
    size_t count = (size_t)(rows * t.stride), bytes = count * dtype_bytes(dtype);
    char *host = malloc(bytes + 1);
    t.data = side_alloc(s, bytes);
    for (size_t i = 0; i < count; i++) {
        float x = (int64_t)i % t.stride < cols ? (float)value(s) : NAN;
        if (dtype == DTYPE_F32)
            ((float *)host)[i] = x;
        else
            ((uint16_t *)host)[i] = bf16_of(x);
    }
    s->ops->upload(s->device, t.data, host, bytes);
    free(host);
    return t;
}

static double value_random(Side *s)
{
    return draw(&s->random);
}
static double value_nan(Side *s)
{
    (void)s;
    return (double)NAN;
}
static double value_half(Side *s)
{
    (void)s;
    return 0.5;
}
static double value_positive(Side *s)
{
    return 0.5 + fabs(draw(&s->random));
}

static Tensor in(Side *s, int64_t rows, int64_t cols, int64_t gap)
{
    return tensor_of(s, rows, cols, gap, s->dtype, value_random);
}
static Tensor out(Side *s, int64_t rows, int64_t cols, int64_t gap)
{
    return tensor_of(s, rows, cols, gap, s->dtype, value_nan);
}
static Tensor floats(Side *s, int64_t rows, int64_t cols, double (*value)(Side *s))
{
    return tensor_of(s, rows, cols, 0, DTYPE_F32, value);
}
static float *f32(Side *s, int64_t count, double (*value)(Side *s))
{
    return floats(s, 1, count, value).data;
}

static int32_t *integers(Side *s, int64_t count, int32_t below)
{
    int32_t *host = malloc((size_t)count * sizeof *host), *to = side_alloc(s, (size_t)count * 4);
    for (int64_t i = 0; i < count; i++) host[i] = (int32_t)(fabs(draw(&s->random)) * below);
    s->ops->upload(s->device, to, host, (size_t)count * 4);
    free(host);
    return to;
}

static Tensor part_of(Tensor t, int64_t from, int64_t cols)
{
    t.data = (char *)t.data + (size_t)from * dtype_bytes(t.dtype);
    t.cols = cols;
    return t;
}

static Tensor row_of(const float *data, int64_t count)
{
    return (Tensor){(void *)(uintptr_t)data, 1, count, count, DTYPE_F32};
}

/* Keeps what a tensor holds for the comparison. */
static void give(Side *s, const char *name, Tensor t)
{
    if (s->result_count == RESULTS_MAX) fail("too many results");
    Result *r = &s->results[s->result_count++];
    size_t count = (size_t)(t.rows * t.stride), bytes = count * dtype_bytes(t.dtype);
    char *host = malloc(bytes + 1);
    *r = (Result){.count = t.rows * t.cols, .dtype = t.dtype};
    snprintf(r->name, sizeof r->name, "%s", name);
    r->values = malloc((size_t)r->count * sizeof(float) + 1);
    s->ops->download(s->device, host, t.data, bytes);
    device_sync(s->device);
    for (size_t i = 0; i < count; i++) {
        float x;
        uint32_t bits = t.dtype == DTYPE_F32 ? 0 : (uint32_t)((uint16_t *)host)[i] << 16;
        if (t.dtype == DTYPE_F32) memcpy(&bits, host + 4 * i, 4);
        memcpy(&x, &bits, sizeof x);
        int64_t row = (int64_t)i / t.stride, col = (int64_t)i % t.stride;
        if (col < t.cols)
            r->values[row * t.cols + col] = x;
        else
            r->strayed |= x == x;
    }
    free(host);
}

/* ---- the cases; rows, cols and more as the comments say ---- */

static void run_linear(Side *s, Shape h) /* tokens, inputs, outputs */
{
    Matrix *w = s->ops->matrix_new(s->device, h.more, h.cols);
    if (!w) fail("no memory for a matrix");
    s->ops->matrix_set(s->device, w, f32(s, h.more * h.cols, value_random), 0.5f);
    Tensor x = in(s, h.rows, h.cols, h.gap), dy = in(s, h.rows, h.more, h.gap);
    Tensor y = out(s, h.rows, h.more, h.gap), dx = out(s, h.rows, h.cols, h.gap);
    Tensor wide = tensor_of(s, h.rows, h.more, h.gap, DTYPE_F32, value_nan);
    Tensor dw = floats(s, h.more, h.cols, value_half), dbias = floats(s, 1, h.more, value_half);
    const float *bias = f32(s, h.more, value_random);
    s->ops->linear(s->device, y, x, w, bias, SET);
    give(s, "y with bias", y);
    s->ops->linear(s->device, y, x, w, NULL, ADD);
    give(s, "y added", y);
    s->ops->linear(s->device, wide, x, w, bias, SET);
    give(s, "y fp32", wide);
    s->ops->linear_dx(s->device, dx, dy, w, SET);
    give(s, "dx", dx);
    s->ops->linear_dx(s->device, dx, dy, w, ADD);
    give(s, "dx added", dx);
    s->ops->linear_dw(s->device, dw.data, dbias.data, dy, x, 0.25f);
    s->ops->linear_dw(s->device, dw.data, NULL, dy, x, 0.25f);
    give(s, "dw", dw);
    give(s, "dbias", dbias);
    s->ops->matrix_free(s->device, w);
}

static void run_beside(Side *s, Shape h) /* tokens, width, hidden; the MLP of GPT-2 */
{
    Matrix *up = s->ops->matrix_new(s->device, h.more, h.cols);
    Matrix *down = s->ops->matrix_new(s->device, h.cols, h.more);
    if (!up || !down) fail("no memory for a matrix");
    const float *master = f32(s, h.more * h.cols, value_random), scale = 2 / sqrtf((float)h.cols);
    s->ops->matrix_set(s->device, up, master, scale);
    s->ops->matrix_set(s->device, down, master, scale);
    Tensor x = in(s, h.rows, h.cols, h.gap), dy = in(s, h.rows, h.cols, h.gap);
    Tensor hidden = out(s, h.rows, h.more, h.gap), y = out(s, h.rows, h.more, h.gap);
    Tensor given = in(s, h.rows, h.more, h.gap), dx = out(s, h.rows, h.more, h.gap);
    Tensor room = out(s, h.rows, h.more, h.gap);
    Tensor dw = floats(s, h.more, h.cols, value_half), dbias = floats(s, 1, h.more, value_half);
    const float *bias = f32(s, h.more, value_random);
    for (int biased = 0; biased < 2; biased++) {
        s->ops->linear_activate(s->device, ACT_GELU_TANH, y, hidden, x, up, biased ? bias : NULL);
        give(s, biased ? "hidden with bias" : "hidden", hidden);
        give(s, biased ? "gelu with bias" : "gelu", y);
    }
    s->ops->linear_dx_activate(s->device, ACT_GELU_TANH, dx, room, dy, down, given);
    give(s, "gelu dx", dx);
    s->ops->linear_dw(s->device, dw.data, dbias.data, given, x, 1);
    s->ops->linear_dw(s->device, dw.data, dbias.data, given, x, 1);
    give(s, "dw with dbias", dw);
    give(s, "dbias", dbias);
    s->ops->matrix_free(s->device, up);
    s->ops->matrix_free(s->device, down);
}

static void run_rows(Side *s, Shape h) /* rows, cols, rows picked */
{
    Tensor from = in(s, h.rows, h.cols, h.gap), to = out(s, h.rows, h.cols, 2 * h.gap);
    Tensor wide = tensor_of(s, h.rows, h.cols, h.gap, DTYPE_F32, value_nan);
    Tensor some = out(s, h.more, h.cols, h.gap);
    int32_t *picked = malloc((size_t)h.more * sizeof *picked);
    for (int64_t i = 0; i < h.more; i++) picked[i] = (int32_t)((i * 7 + 3) % h.rows);
    int32_t *rows = side_alloc(s, (size_t)h.more * 4);
    s->ops->upload(s->device, rows, picked, (size_t)h.more * 4);
    free(picked);
    s->ops->convert(s->device, wide, from);
    give(s, "convert", wide);
    s->ops->convert(s->device, to, wide);
    s->ops->add(s->device, to, wide);
    give(s, "add", to);
    s->ops->gather(s->device, some, from, rows);
    give(s, "gather", some);
    s->ops->scatter_add(s->device, wide, some, rows);
    give(s, "scatter_add", wide);
}

static void run_embed(Side *s, Shape h) /* tokens, width, vocabulary */
{
    int32_t *ids = integers(s, h.rows, (int32_t)h.more), *at = integers(s, h.rows, 16);
    Tensor y = out(s, h.rows, h.cols, h.gap), dy = in(s, h.rows, h.cols, h.gap);
    Tensor dtable = floats(s, h.more, h.cols, value_half);
    Tensor dplaces = floats(s, 16, h.cols, value_half);
    const float *table = f32(s, h.more * h.cols, value_random);
    const float *places = f32(s, 16 * h.cols, value_random);
    s->ops->embed(s->device, y, ids, table, at, places);
    give(s, "embed", y);
    s->ops->embed_backward(s->device, dy, ids, dtable.data, at, dplaces.data);
    give(s, "dtable", dtable);
    give(s, "dplaces", dplaces);
}

static void run_norm(Side *s, Shape h) /* rows, cols, kind */
{
    NormKind kind = (NormKind)h.more;
    Tensor x = in(s, h.rows, h.cols, h.gap), y = out(s, h.rows, h.cols, h.gap);
    Tensor dy = in(s, h.rows, h.cols, h.gap), dx = out(s, h.rows, h.cols, h.gap);
    Tensor stats = floats(s, h.rows, 2, value_nan), dweight = floats(s, 1, h.cols, value_half);
    Tensor dbias = floats(s, 1, h.cols, value_half);
    const float *weight = f32(s, h.cols, value_random);
    const float *bias = kind == NORM_LAYER ? f32(s, h.cols, value_random) : NULL;
    s->ops->norm(s->device, kind, 1e-5f, y, stats.data, x, weight, bias);
    give(s, "norm", y);
    give(s, "norm stats", stats);
    for (int mode = SET; mode <= ADD; mode++) {
        s->ops->norm_backward(s->device, kind, dx, (Accumulate)mode, dweight.data,
                              bias ? dbias.data : NULL, dy, x, stats.data, weight);
        give(s, mode ? "norm dx added" : "norm dx", dx);
    }
    give(s, "norm dweight", dweight);
    give(s, "norm dbias", dbias);
}

/* Norms and rotation of some dims with `normed`, else rotation of all; k has two heads, and q|k lie
 * side by side. */
static void heads_case(Side *s, Shape h, bool normed)
{
    int64_t dim = h.cols, half = normed ? (dim / 2 > 4 ? dim / 2 - 2 : dim / 2) : dim / 2;
    int64_t heads[] = {h.more, 2}, wide = (h.more + 2) * dim;
    Tensor x = in(s, h.rows, wide, h.gap), y = out(s, h.rows, wide, h.gap);
    Tensor dy = in(s, h.rows, wide, h.gap), dx = out(s, h.rows, wide, h.gap);
    Tensor stats[2], dweights[2];
    Rotary rotary = {f32(s, 40 * half, value_random), f32(s, 40 * half, value_random),
                     (int32_t)(2 * half)};
    HeadTurn turns[2] = {{.positions = integers(s, h.rows, 40)}};
    for (int64_t i = 0, at = 0; i < 2; at += heads[i++] * dim) {
        HeadTurn *t = &turns[i];
        t->positions = turns[0].positions;
        t->x = part_of(x, at, heads[i] * dim), t->y = part_of(y, at, heads[i] * dim);
        t->dy = part_of(dy, at, heads[i] * dim), t->dx = part_of(dx, at, heads[i] * dim);
        if (!normed) continue;
        stats[i] = floats(s, h.rows, heads[i], value_nan);
        dweights[i] = floats(s, 1, dim, value_half);
        t->stats = stats[i].data, t->dweight = dweights[i].data;
        t->weight = f32(s, dim, value_random);
    }
    s->ops->turn_heads(s->device, (int32_t)dim, 1e-6f, &rotary, &turns[0], &turns[1]);
    give(s, "q|k turned", y);
    s->ops->turn_heads_backward(s->device, (int32_t)dim, &rotary, &turns[0], &turns[1]);
    give(s, "q|k turned back", dx);
    for (int i = 0; normed && i < 2; i++) {
        give(s, i ? "k 1/deviation" : "q 1/deviation", stats[i]);
        give(s, i ? "k dweight" : "q dweight", dweights[i]);
    }
}

static void run_heads(Side *s, Shape h) /* rows, head_dim, heads of q */
{
    heads_case(s, h, true);
}

static void run_rotation(Side *s, Shape h) /* the same */
{
    heads_case(s, h, false);
}

/* A prompt of `rows` with two answers, an eighth of it by itself, a third of which only the last
 * row asks (as in a trimmed layer). */
static void run_attention(Side *s, Shape h) /* prompt, head_dim, query heads */
{
    int32_t prompt = (int32_t)h.rows, a = prompt / 2 + 1, b = prompt / 3 + 2, c = prompt / 8 + 1,
            last = prompt / 3 + 1;
    int32_t queries = prompt + a + b + c + 1, rows = queries - 1 + last;
    const Span spans[] = {
        {.query = 0, .queries = prompt, .own = 0},
        {.query = prompt, .queries = a, .own = prompt, .context = 0, .context_length = prompt},
        {.query = prompt + a, .queries = b, .own = prompt + a, .context_length = prompt},
        {.query = prompt + a + b, .queries = c, .own = prompt + a + b},
        {.query = queries - 1, .queries = 1, .own = queries - 1, .offset = last - 1},
    };
    const int32_t begin[] = {0, 3, 4, 5};
    const AttentionPlan plan = {spans, begin, 5, 3, queries, rows};
    int32_t group = h.more % 3 == 0 ? 3 : h.more % 7 == 0 ? 7 : 1, keys = (int32_t)h.more / group;
    const Heads heads = {(int32_t)h.more, keys, (int32_t)h.cols, 1 / sqrtf((float)h.cols)};
    int64_t wide = h.more * h.cols, narrow = keys * h.cols;
    Tensor q = in(s, queries, wide, h.gap), k = in(s, rows, narrow, h.gap);
    Tensor v = in(s, rows, narrow, h.gap), y = out(s, queries, wide, h.gap);
    Tensor dy = in(s, queries, wide, h.gap), dq = out(s, queries, wide, h.gap);
    Tensor dk = out(s, rows, narrow, h.gap), dv = out(s, rows, narrow, h.gap);
    Tensor lse = floats(s, queries, h.more, value_nan);
    s->ops->attention(s->device, &plan, &heads, y, lse.data, q, k, v);
    give(s, "attention", y);
    give(s, "lse", lse);
    s->ops->attention_backward(s->device, &plan, &heads, dq, dk, dv, dy, y, lse.data, q, k, v);
    give(s, "dq", dq);
    give(s, "dk", dk);
    give(s, "dv", dv);
}

static void run_activate(Side *s, Shape h) /* rows, cols, kind */
{
    Activation kind = (Activation)h.more;
    int64_t wide = kind == ACT_SWIGLU ? 2 * h.cols : h.cols;
    Tensor x = in(s, h.rows, wide, h.gap), y = out(s, h.rows, h.cols, h.gap);
    Tensor dy = in(s, h.rows, h.cols, h.gap), dx = out(s, h.rows, wide, h.gap);
    s->ops->activate(s->device, kind, y, x);
    give(s, "activate", y);
    s->ops->activate_backward(s->device, kind, dx, dy, x);
    give(s, "activate dx", dx);
}

static void run_score(Side *s, Shape h) /* scored, width, heads */
{
    Tensor x = floats(s, h.rows, h.cols, value_random), dx = floats(s, h.rows, h.cols, value_nan);
    Tensor y = floats(s, h.rows, h.more, value_nan), dy = floats(s, h.rows, h.more, value_random);
    Tensor dheads = floats(s, h.more, h.cols, value_half);
    const float *heads = f32(s, h.more * h.cols, value_random);
    s->ops->score(s->device, y, x, heads);
    give(s, "score", y);
    s->ops->score_backward(s->device, dx, dheads.data, dy, x, heads);
    give(s, "score dfeatures", dx);
    give(s, "score dheads", dheads);
}

static void run_step(Side *s, Shape h) /* parameters */
{
    AdamW step = {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 1};
    Tensor master = floats(s, 1, h.rows, value_random), first = floats(s, 1, h.rows, value_random);
    Tensor second = floats(s, 1, h.rows, value_positive);
    const float *gradient = f32(s, h.rows, value_random);
    for (; step.step <= 2; step.step++) {
        s->ops->adamw(s->device, &step, master.data, first.data, second.data, gradient,
                      (size_t)h.rows);
    }
    give(s, "adamw", master);
    give(s, "adamw moment 1", first);
    give(s, "adamw moment 2", second);
    float sum = (float)s->ops->square_sum(s->device, gradient, (size_t)h.rows), *held;
    held = side_alloc(s, sizeof sum);
    s->ops->upload(s->device, held, &sum, sizeof sum);
    give(s, "square_sum", row_of(held, 1));
}

/* Small ones first (attention: rows that see few keys give differences of nearly equal numbers, of
 * which each was rounded to bf16); with --small only the first two of each. */
static const OpCase CASES[] = {
    {"linear",
     run_linear,
     {{5, 33, 19, 3},
      {24, 64, 48, 8},
      {300, 768, 2304, 0},
      {131, 130, 71, 1},
      {1024, 896, 1152, 0}},
     1},
    /* (the CPU rounds what the activation is of, and what it is multiplied by) */
    {"beside",
     run_beside,
     {{7, 33, 29, 3}, {24, 64, 48, 8}, {1000, 768, 3072, 0}, {261, 768, 3072, 8}},
     2},
    {"rows", run_rows, {{9, 21, 4, 3}, {16, 64, 5, 8}, {700, 896, 77, 0}, {333, 1001, 31, 1}}, 1},
    {"embed", run_embed, {{30, 21, 11, 3}, {64, 64, 7, 0}, {2000, 896, 500, 0}}, 1},
    {"norm rms",
     run_norm,
     {{5, 37, NORM_RMS, 3},
      {16, 128, NORM_RMS, 0},
      {1000, 896, NORM_RMS, 0},
      {77, 2048, NORM_RMS, 8}},
     1},
    {"norm layer",
     run_norm,
     {{5, 35, NORM_LAYER, 3}, {16, 128, NORM_LAYER, 0}, {1000, 768, NORM_LAYER, 0}},
     1},
    {"heads", run_heads, {{5, 20, 3, 4}, {16, 64, 2, 0}, {800, 64, 14, 128}, {300, 128, 16, 0}}, 2},
    {"rotation",
     run_rotation,
     {{5, 20, 3, 4}, {16, 64, 2, 0}, {800, 64, 14, 128}, {300, 80, 8, 0}},
     2},
    {"attention",
     run_attention,
     {{7, 16, 3, 5},
      {40, 64, 3, 8},
      {300, 64, 14, 0},
      {257, 128, 6, 8},
      {190, 80, 4, 0},
      {90, 256, 2, 0}},
     8},
    {"gelu tanh",
     run_activate,
     {{5, 29, ACT_GELU_TANH, 3}, {16, 64, ACT_GELU_TANH, 0}, {700, 3072, ACT_GELU_TANH, 0}},
     1},
    {"gelu erf",
     run_activate,
     {{5, 29, ACT_GELU_ERF, 3}, {16, 64, ACT_GELU_ERF, 0}, {700, 3072, ACT_GELU_ERF, 0}},
     1},
    {"swiglu",
     run_activate,
     {{5, 29, ACT_SWIGLU, 3}, {16, 64, ACT_SWIGLU, 0}, {700, 4864, ACT_SWIGLU, 0}},
     1},
    {"score", run_score, {{5, 41, 3, 0}, {16, 64, 1, 0}, {260, 896, 1, 0}}, 1},
    {"step", run_step, {{77, 0, 0, 0}, {5000, 0, 0, 0}, {1000003, 0, 0, 0}}, 1},
};

/* ---- comparing ---- */

/* The largest difference, as a part of the element's size plus the typical size; a stray write or
 * a NaN on either side (what nobody wrote) counts as 1. */
static double difference(const Result *got, const Result *want)
{
    double square = 0, worst = got->strayed ? 1 : 0;
    for (int64_t i = 0; i < want->count; i++) {
        square += (double)want->values[i] * (double)want->values[i];
    }
    double typical = sqrt(square / (double)want->count) + 1e-30;
    for (int64_t i = 0; i < want->count; i++) {
        double a = (double)got->values[i], b = (double)want->values[i];
        double error = a == b ? 0 : fabs(a - b) / (fabs(b) + typical);
        worst = isnan(error) || error > worst ? (isnan(error) ? 1 : error) : worst;
    }
    return worst;
}

static void run_side(Side *s, const Ops *ops, Dtype dtype, const OpCase *c, Shape shape)
{
    *s = (Side){.ops = ops, .device = device_new(ops, dtype), .dtype = dtype};
    s->random = 88172645463325252u;
    c->run(s, shape);
    device_sync(s->device);
    for (int i = 0; i < s->block_count; i++) ops->release(s->device, s->blocks[i]);
    ops->close(s->device);
}

static void check_case(Check *check, const Ops *cpu, const OpCase *c, Shape shape, Dtype dtype)
{
    static Side got, want;
    run_side(&got, check->ops, dtype, c, shape);
    run_side(&want, cpu, dtype, c, shape);
    for (int i = 0; i < want.result_count; i++) {
        Result *g = &got.results[i], *w = &want.results[i];
        double error = difference(g, w);
        /* each side rounds once; sums of many in fp32 differ by their order */
        double allowed = (w->dtype == DTYPE_BF16 ? 1.2e-2 : dtype == DTYPE_BF16 ? 1e-3 : 2e-5);
        bool bad = error > allowed * c->looser;
        check->failures += bad;
        printf("%-10s %-18s %7lld x %-5lld %5lld  %s  %8.1e  of %7.1e%s\n", c->name, w->name,
               (long long)shape.rows, (long long)shape.cols, (long long)shape.more,
               dtype == DTYPE_F32 ? "fp32" : "bf16", error, allowed * c->looser,
               bad ? "  DIFFERS" : "");
        free(g->values);
        free(w->values);
    }
}

/* ---- which form a product's GELU has ----
 *
 * The two differ by 5e-4 at most, below what bf16 lets the table see, but where both are near 0.
 * The difference of y from the tanh form, as a part of the exact form's: 0 or 1, but for roundings.
 */

static double form_of(const float *x, Tensor y, const uint16_t *host)
{
    double along = 0, square = 0;
    for (int64_t i = 0; i < y.cols; i++) {
        double at = (double)x[i], got;
        uint32_t bits = (uint32_t)host[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        got = (double)value;
        double tangent = 0.5 * at * (1 + tanh(sqrt(2 / M_PI) * (at + 0.044715 * at * at * at)));
        double exact = 0.5 * at * erfc(-at / sqrt(2));
        along += (got - tangent) * (exact - tangent);
        square += (exact - tangent) * (exact - tangent);
    }
    return along / square;
}

static void check_form(Check *check)
{
    enum { ROWS = 64, INPUTS = 64, COLS = 192 };
    static uint16_t host[ROWS * COLS];
    float x[COLS];
    setenv("AILERON_CUDA_TUNE", "0", 1); /* by the epilogue where there is one */
    Side s = {.ops = check->ops, .device = device_new(check->ops, DTYPE_BF16), .dtype = DTYPE_BF16};
    unsetenv("AILERON_CUDA_TUNE");
    s.random = 1;
    for (int i = 0; i < COLS; i++) x[i] = -1 - (float)i / 64; /* bf16 holds each */
    Tensor bias = floats(&s, 1, COLS, value_nan), any = in(&s, ROWS, INPUTS, 0);
    Tensor hidden = out(&s, ROWS, COLS, 0), y = out(&s, ROWS, COLS, 0);
    Matrix *w = s.ops->matrix_new(s.device, COLS, INPUTS);
    if (!w) fail("no memory for a matrix");
    s.ops->upload(s.device, bias.data, x, sizeof x);
    s.ops->matrix_set(s.device, w, f32(&s, (int64_t)COLS * INPUTS, value_random), 0);
    s.ops->linear_activate(s.device, ACT_GELU_TANH, y, hidden, any, w, bias.data);
    s.ops->download(s.device, host, y.data, sizeof host);
    device_sync(s.device);
    double form = form_of(x, y, host);
    bool bad = !(fabs(form) < 0.5);
    check->failures += bad;
    printf("a product's GELU: %.2f, where the tanh form is 0 and the exact form 1%s\n", form,
           bad ? "  DIFFERS" : "");
    s.ops->matrix_free(s.device, w);
    for (int i = 0; i < s.block_count; i++) s.ops->release(s.device, s.blocks[i]);
    s.ops->close(s.device);
}

void check_ops(Check *check)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    const Ops *cpu = ops_find("cpu", &arena, &err);
    if (!cpu) fail("%s", err.detail);
    arena_release(&arena);
    printf("%s beside the CPU: the largest difference, and what is allowed\n", check->gpu);
    for (size_t i = 0; i < LEN(CASES); i++) {
        for (int n = 0; n < (check->small ? 2 : SHAPES_MAX) && CASES[i].shapes[n].rows; n++) {
            for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
                check_case(check, cpu, &CASES[i], CASES[i].shapes[n], (Dtype)dtype);
            }
        }
    }
    check_form(check);
}
