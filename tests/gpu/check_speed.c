/* check_speed.c - kernels that memory bounds beside a copy on the device, products and attention in
 * TFLOP/s. Rates count what an op must read and write once, not what it does. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "check.h"

enum {
    RUNS = 20,
    TOKENS = 32768,
    TOKENS_SMALL = 64,
    WIDTH = 896,
    HIDDEN = 4864,
    COPY_MIB = 1024,
    BLOCKS_MAX = 64
};

typedef struct Speed {
    const Check *check;
    Device *device;
    const Ops *ops;
    int64_t tokens;
    double copied; /* bytes per second, read and written */
    Tensor x, y, dy, wide, up, dup;
    float *weight, *dweight, *stats;
    int32_t *ids, *positions;
    Rotary rotary;
    void *blocks[BLOCKS_MAX]; /* released at the end */
    int block_count;
} Speed;

static void *memory(Speed *s, size_t bytes)
{
    void *to = s->ops->alloc(s->device, bytes);
    if (!to || s->block_count == BLOCKS_MAX) fail("no memory for %zu bytes", bytes);
    s->blocks[s->block_count++] = to;
    s->ops->zero(s->device, to, bytes);
    return to;
}

static void release_after(Speed *s, int count)
{
    while (s->block_count > count) s->ops->release(s->device, s->blocks[--s->block_count]);
}

/* Small random numbers: zeros would spare a GPU power, and so be faster than the truth. */
static void fill(Speed *s, Tensor t)
{
    static uint64_t random = 88172645463325252u; /* goes on: no two tensors are alike */
    size_t count = (size_t)(t.rows * t.cols);
    uint16_t *host = malloc(count * sizeof *host);
    Tensor halves = {memory(s, count * 2), t.rows, t.cols, t.cols, DTYPE_BF16};
    for (size_t i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        host[i] = (uint16_t)(0x3c00 | (random >> 33 & 0x81ff)); /* ± 0.008 … 0.06 */
    }
    s->ops->upload(s->device, halves.data, host, count * 2);
    s->ops->convert(s->device, t, halves);
    free(host);
    release_after(s, s->block_count - 1);
}

static Tensor tensor(Speed *s, int64_t rows, int64_t cols)
{
    Tensor t = {memory(s, (size_t)(rows * cols) * 2), rows, cols, cols, DTYPE_BF16};
    fill(s, t);
    return t;
}

static Tensor part(Tensor t, int64_t from, int64_t cols)
{
    t.data = (char *)t.data + (size_t)from * dtype_bytes(t.dtype);
    t.cols = cols;
    return t;
}

/* Seconds of one call. */
static double time_of(Speed *s, void (*call)(Speed *s))
{
    const int runs = s->check->small ? 1 : RUNS;
    call(s); /* chooses algorithms, grows scratch */
    device_sync(s->device);
    double begin = now();
    for (int i = 0; i < runs; i++) call(s);
    device_sync(s->device);
    return (now() - begin) / runs;
}

static void bytes_line(Speed *s, const char *name, void (*call)(Speed *s), double bytes)
{
    double seconds = time_of(s, call);
    printf("%-22s %9.1f us  %7.0f GB/s  %4.0f %% of a copy\n", name, seconds * 1e6,
           bytes / seconds * 1e-9, 100 * bytes / seconds / s->copied);
}

static void flops_line(Speed *s, const char *name, void (*call)(Speed *s), double flops)
{
    double seconds = time_of(s, call);
    printf("%-22s %9.1f us  %7.1f TFLOP/s", name, seconds * 1e6, flops / seconds * 1e-12);
    if (s->check->peak > 0)
        printf("  %4.1f %% of the sheet", 100 * flops / seconds / s->check->peak);
    printf("\n");
}

/* ---- kernels that memory bounds ---- */

static void copy(Speed *s)
{
    size_t bytes = s->check->small ? MiB(1) : MiB(COPY_MIB) / 2;
    copy_on_device(s->device, (char *)s->weight, (char *)s->weight + bytes, bytes);
}
static void norm(Speed *s)
{
    s->ops->norm(s->device, NORM_RMS, 1e-6f, s->y, s->stats, s->x, s->weight, NULL);
}
static void norm_back(Speed *s)
{
    s->ops->norm_backward(s->device, NORM_RMS, s->y, ADD, s->dweight, NULL, s->dy, s->x, s->stats,
                          s->weight);
}
static void swiglu(Speed *s)
{
    s->ops->activate(s->device, ACT_SWIGLU, s->wide, s->up);
}
static void swiglu_back(Speed *s)
{
    s->ops->activate_backward(s->device, ACT_SWIGLU, s->dup, s->wide, s->up);
}
/* Heads of 64: twelve of q and two of k, WIDTH columns in all. */
static void turn(Speed *s, bool norm, bool back)
{
    HeadTurn turns[2];
    for (int i = 0; i < 2; i++) {
        int64_t from = i ? 12 * 64 : 0, cols = i ? 2 * 64 : 12 * 64;
        turns[i] = (HeadTurn){.x = part(s->x, from, cols),
                              .y = part(norm ? s->y : s->x, from, cols),
                              .dy = part(s->dy, from, cols),
                              .dx = part(norm ? s->y : s->dy, from, cols),
                              .positions = s->positions};
        if (!norm) continue;
        turns[i].weight = s->weight, turns[i].dweight = s->dweight;
        turns[i].stats = s->stats + i * s->tokens * 12;
    }
    if (back)
        s->ops->turn_heads_backward(s->device, 64, &s->rotary, &turns[0], &turns[1]);
    else
        s->ops->turn_heads(s->device, 64, 1e-6f, &s->rotary, &turns[0], &turns[1]);
}
static void rotation(Speed *s)
{
    turn(s, false, false);
}
static void rotation_back(Speed *s)
{
    turn(s, false, true);
}
static void heads(Speed *s)
{
    turn(s, true, false);
}
static void heads_back(Speed *s)
{
    turn(s, true, true);
}
static void add(Speed *s)
{
    s->ops->add(s->device, s->y, s->x);
}
static void embed(Speed *s)
{
    s->ops->embed(s->device, s->y, s->ids, s->weight, NULL, NULL);
}
static void embed_back(Speed *s)
{
    s->ops->embed_backward(s->device, s->dy, s->ids, s->dweight, NULL, NULL);
}

enum { PARAMETERS = 32 << 20, PARAMETERS_SMALL = 1 << 12 };

static size_t parameters(const Speed *s)
{
    return s->check->small ? PARAMETERS_SMALL : PARAMETERS;
}
static void adamw(Speed *s)
{
    const AdamW step = {1e-5f, 0.9f, 0.95f, 1e-8f, 0.1f, 1, 3};
    size_t n = parameters(s);
    s->ops->adamw(s->device, &step, s->weight, s->weight + n, s->weight + 2 * n, s->weight + 3 * n,
                  n);
}
static void square_sum(Speed *s)
{
    (void)s->ops->square_sum(s->device, s->weight, parameters(s));
}

static void memory_bound(Speed *s)
{
    const double rows = (double)s->tokens, one = rows * WIDTH * 2, wide = rows * HIDDEN * 2;
    const double n = (double)parameters(s);
    const double copied = s->check->small ? MiB(1) : (double)MiB(COPY_MIB) / 2;
    double seconds = time_of(s, copy);
    s->copied = 2 * copied / seconds;
    printf("%-22s %9.1f us  %7.0f GB/s read and written\n", "copy", seconds * 1e6,
           s->copied * 1e-9);
    bytes_line(s, "rms norm", norm, 2 * one);
    bytes_line(s, "rms norm backward", norm_back, 4 * one);
    bytes_line(s, "swiglu", swiglu, 3 * wide);
    bytes_line(s, "swiglu backward", swiglu_back, 5 * wide);
    bytes_line(s, "q, k rotated", rotation, 2 * one); /* in place */
    bytes_line(s, "q, k rotated back", rotation_back, 2 * one);
    bytes_line(s, "q, k normed, rotated", heads, 2 * one);
    bytes_line(s, "q, k norms backward", heads_back, 3 * one);
    bytes_line(s, "add", add, 3 * one);
    bytes_line(s, "embed", embed, 3 * one); /* fp32 rows in, bf16 out */
    bytes_line(s, "embed backward", embed_back, 5 * one);
    bytes_line(s, "adamw", adamw, 28 * n);
    bytes_line(s, "square sum", square_sum, 4 * n);
}

/* ---- products and attention ---- */

static struct {
    Matrix *w;
    Tensor x, y;
    float *dw;
    AttentionPlan plan;
    Heads heads;
    Tensor q, k, v, out, dq, dk, dv;
    float *lse;
} p;

static void linear(Speed *s)
{
    s->ops->linear(s->device, p.y, p.x, p.w, NULL, SET);
}
static void linear_dx(Speed *s)
{
    s->ops->linear_dx(s->device, p.x, p.y, p.w, SET);
}
static void linear_dw(Speed *s)
{
    s->ops->linear_dw(s->device, p.dw, NULL, p.y, p.x, 1e-6f);
}
static void attend(Speed *s)
{
    s->ops->attention(s->device, &p.plan, &p.heads, p.out, p.lse, p.q, p.k, p.v);
}
static void attend_back(Speed *s)
{
    s->ops->attention_backward(s->device, &p.plan, &p.heads, p.dq, p.dk, p.dv, p.out, p.out, p.lse,
                               p.q, p.k, p.v);
}

static void products(Speed *s, const char *name, int64_t inputs, int64_t outputs)
{
    static void (*const calls[])(Speed * s) = {linear, linear_dx, linear_dw};
    static const char *const names[] = {"y", "dx", "dw"};
    size_t count = (size_t)(inputs * outputs);
    const int before = s->block_count;
    p.w = s->ops->matrix_new(s->device, outputs, inputs);
    if (!p.w) fail("no memory for a matrix");
    p.dw = memory(s, count * 4);
    fill(s, (Tensor){p.dw, outputs, inputs, inputs, DTYPE_F32});
    s->ops->matrix_set(s->device, p.w, p.dw, 1);
    p.x = tensor(s, s->tokens, inputs), p.y = tensor(s, s->tokens, outputs);
    for (size_t i = 0; i < LEN(calls); i++) {
        char line[64];
        snprintf(line, sizeof line, "%s %s", name, names[i]);
        flops_line(s, line, calls[i], 2.0 * (double)s->tokens * (double)count);
    }
    s->ops->matrix_free(s->device, p.w);
    release_after(s, before);
}

/* ---- products with something beside, as they are chosen, and apart ---- */

static struct {
    Matrix *up, *down;
    Tensor x, hidden, y, dy, dx, room;
    float *bias, *dw, *dbias;
} m;

static void gelu_beside(Speed *s)
{
    s->ops->linear_activate(s->device, ACT_GELU_TANH, m.y, m.hidden, m.x, m.up, m.bias);
}
static void gelu_apart(Speed *s)
{
    ops_linear_activate(s->device, ACT_GELU_TANH, m.y, m.hidden, m.x, m.up, m.bias);
}
static void gelu_dx_beside(Speed *s)
{
    s->ops->linear_dx_activate(s->device, ACT_GELU_TANH, m.dx, m.room, m.dy, m.down, m.hidden);
}
static void gelu_dx_apart(Speed *s)
{
    ops_linear_dx_activate(s->device, ACT_GELU_TANH, m.dx, m.room, m.dy, m.down, m.hidden);
}
static void dbias_beside(Speed *s)
{
    s->ops->linear_dw(s->device, m.dw, m.dbias, m.dx, m.x, 1);
}
static void dbias_apart(Speed *s) /* a scale other than 1 is always apart */
{
    s->ops->linear_dw(s->device, m.dw, m.dbias, m.dx, m.x, 1e-6f);
}

/* GPT-2's MLP. */
static void products_beside(Speed *s)
{
    enum { NARROW = 768, BROAD = 3072 };
    static const struct {
        const char *name;
        void (*call)(Speed *s);
    } lines[] = {{"768 > 3072 gelu", gelu_beside},       {"  apart", gelu_apart},
                 {"768 < 3072 dgelu", gelu_dx_beside},   {"  apart", gelu_dx_apart},
                 {"768 > 3072 dw, dbias", dbias_beside}, {"  apart", dbias_apart}};
    const size_t count = (size_t)NARROW * BROAD;
    const int before = s->block_count;
    m.up = s->ops->matrix_new(s->device, BROAD, NARROW);
    m.down = s->ops->matrix_new(s->device, NARROW, BROAD);
    if (!m.up || !m.down) fail("no memory for a matrix");
    m.dw = memory(s, count * 4), m.dbias = memory(s, BROAD * 4), m.bias = memory(s, BROAD * 4);
    s->ops->matrix_set(s->device, m.up, m.dw, 1);
    s->ops->matrix_set(s->device, m.down, m.dw, 1);
    m.x = tensor(s, s->tokens, NARROW), m.dy = tensor(s, s->tokens, NARROW);
    m.hidden = tensor(s, s->tokens, BROAD), m.y = tensor(s, s->tokens, BROAD);
    m.dx = tensor(s, s->tokens, BROAD), m.room = tensor(s, s->tokens, BROAD);
    for (size_t i = 0; i < LEN(lines); i++)
        flops_line(s, lines[i].name, lines[i].call, 2.0 * (double)s->tokens * (double)count);
    s->ops->matrix_free(s->device, m.up);
    s->ops->matrix_free(s->device, m.down);
    release_after(s, before);
}

/* Packed sequences of 1024, causal, 14 heads of 64 over 2: 4 · pairs · 64 operations a head
 * forward (10 back), pairs = 1024 · 1025 / 2 for each sequence. */
static void attention(Speed *s)
{
    const int32_t length = s->check->small ? 32 : 1024, count = (int32_t)(s->tokens / length);
    Span *spans = calloc((size_t)count, sizeof *spans);
    int32_t *begin = calloc((size_t)count + 1, sizeof *begin);
    for (int32_t i = 0; i < count; i++) {
        spans[i] = (Span){.query = i * length, .queries = length, .own = i * length};
        begin[i + 1] = i + 1;
    }
    p.heads = (Heads){14, 2, 64, 0.125f};
    p.plan = (AttentionPlan){spans, begin, count, count, count * length, count * length};
    p.q = tensor(s, s->tokens, 14 * 64), p.k = tensor(s, s->tokens, 128);
    p.v = tensor(s, s->tokens, 128), p.out = tensor(s, s->tokens, 14 * 64);
    p.dq = tensor(s, s->tokens, 14 * 64), p.dk = tensor(s, s->tokens, 128);
    p.dv = tensor(s, s->tokens, 128);
    p.lse = memory(s, (size_t)s->tokens * 14 * 4);
    double pairs = 0.5 * length * (length + 1) * count * 14;
    flops_line(s, "attention d=64", attend, 4 * 64 * pairs);
    flops_line(s, "attention backward", attend_back, 10 * 64 * pairs);
    free(spans);
    free(begin);
}

void check_speed(Check *check)
{
    Speed s = {.check = check, .ops = check->ops, .device = device_new(check->ops, DTYPE_BF16)};
    s.tokens = check->small ? TOKENS_SMALL : TOKENS;
    printf("%s, %lld tokens, width %d, hidden %d, bf16\n", check->gpu, (long long)s.tokens,
           (int)WIDTH, (int)HIDDEN);
    s.weight = memory(&s, check->small ? MiB(4) : MiB(COPY_MIB));
    s.dweight = memory(&s, MiB(4) + (size_t)s.tokens * WIDTH * 4);
    s.stats = memory(&s, (size_t)s.tokens * 14 * 4); /* of every head */
    s.x = tensor(&s, s.tokens, WIDTH), s.y = tensor(&s, s.tokens, WIDTH);
    s.dy = tensor(&s, s.tokens, WIDTH), s.wide = tensor(&s, s.tokens, HIDDEN);
    s.up = tensor(&s, s.tokens, 2 * HIDDEN), s.dup = tensor(&s, s.tokens, 2 * HIDDEN);
    size_t count = (size_t)s.tokens;
    int32_t *host = malloc(count * sizeof *host);
    for (size_t i = 0; i < count; i++) host[i] = (int32_t)(i * 7919 % count);
    s.ids = memory(&s, count * 4), s.positions = memory(&s, count * 4);
    s.ops->upload(s.device, s.ids, host, count * 4);
    s.ops->upload(s.device, s.positions, host, count * 4);
    free(host);
    float *turns = memory(&s, count * 32 * 4);
    s.rotary = (Rotary){turns, turns, 64};
    memory_bound(&s);
    products(&s, "896 > 1152", 896, 1152);
    products(&s, "896 > 896", 896, 896);
    products(&s, "896 > 9728", 896, 9728);
    products(&s, "4864 > 896", 4864, 896);
    if (!check->small) products(&s, "2048 > 16384", 2048, 16384);
    products_beside(&s);
    attention(&s);
    device_sync(s.device);
    release_after(&s, 0);
    s.ops->close(s.device);
}
