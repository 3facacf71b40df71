/* bench_ops.c - the time of every op for a layer of SmolLM2-135M, products beside bare oneDNN ones.
 *
 *   bench_ops [--json] [--device cpu|cpu-v4|cpu-v3|cpu-v1] [--dtype bf16|fp32]
 *             [--rows N] [--threads N]
 *
 * The best of several runs each. The last lines weigh a layer's ops as often as a training step
 * runs them: the share of time in products, and the rate over all beside that of bare products. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <omp.h>
#ifdef HAVE_DNNL
#include <oneapi/dnnl/dnnl.h>
#endif
#include "../../reward_model/nn/ops.h"

enum { WIDTH = 576, HIDDEN = 1536, QUERY_HEADS = 9, KEY_HEADS = 3, HEAD_DIM = 64 };
enum { QUERIES = QUERY_HEADS * HEAD_DIM, KEYS = KEY_HEADS * HEAD_DIM, FUSED = QUERIES + 2 * KEYS };
enum { VOCABULARY = 49152, LAYERS = 30, PARAMETERS = 3540096, RUNS = 12 };

/* Everything the timed calls use. */
static struct {
    const Ops *ops;
    Device *device;
    bool json;
    Dtype dtype;
    int64_t rows;
    Tensor x, y, normed, fused, dfused, attended, dattended, hidden, dhidden, activated, dactivated;
    float *stats, *turned, *lse, *weight, *dweight, *cosines, *sines, *gradient, *master, *first,
        *second;
    float *table, *dtable;
    int32_t *ids, *positions;
    Matrix *qkv, *out, *up, *down;
    Span spans[4096];
    int32_t begin[4096];
    AttentionPlan pairs, whole;
} b;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the calls ---- */

static const Heads HEADS = {QUERY_HEADS, KEY_HEADS, HEAD_DIM, 0.125f};

static Tensor part(Tensor x, int64_t from, int64_t cols)
{
    x.data = (char *)x.data + (size_t)from * dtype_bytes(x.dtype);
    x.cols = cols;
    return x;
}

static void linear_qkv(void)
{
    b.ops->linear(b.device, b.fused, b.x, b.qkv, NULL, SET);
}
static void linear_out(void)
{
    b.ops->linear(b.device, b.y, b.attended, b.out, NULL, ADD);
}
static void linear_up(void)
{
    b.ops->linear(b.device, b.hidden, b.x, b.up, NULL, SET);
}
static void linear_down(void)
{
    b.ops->linear(b.device, b.y, b.activated, b.down, NULL, ADD);
}
static void dx_qkv(void)
{
    b.ops->linear_dx(b.device, b.y, b.dfused, b.qkv, SET);
}
static void dx_out(void)
{
    b.ops->linear_dx(b.device, b.dattended, b.y, b.out, SET);
}
static void dx_up(void)
{
    b.ops->linear_dx(b.device, b.y, b.dhidden, b.up, SET);
}
static void dx_down(void)
{
    b.ops->linear_dx(b.device, b.dactivated, b.y, b.down, SET);
}
static void dw_qkv(void)
{
    b.ops->linear_dw(b.device, b.gradient, NULL, b.dfused, b.x, 1);
}
static void dw_out(void)
{
    b.ops->linear_dw(b.device, b.gradient, NULL, b.y, b.attended, 1);
}
static void dw_up(void)
{
    b.ops->linear_dw(b.device, b.gradient, NULL, b.dhidden, b.x, 1);
}
static void dw_down(void)
{
    b.ops->linear_dw(b.device, b.gradient, NULL, b.y, b.activated, 1);
}
static void dw_bias(void)
{
    b.ops->linear_dw(b.device, b.gradient, b.dweight, b.dhidden, b.x, 1);
}
static void norm(void)
{
    b.ops->norm(b.device, NORM_RMS, 1e-5f, b.normed, b.stats, b.x, b.weight, NULL);
}
static void norm_layer(void)
{
    b.ops->norm(b.device, NORM_LAYER, 1e-5f, b.normed, b.stats, b.x, b.weight, b.weight);
}
static void norm_back(void)
{
    b.ops->norm_backward(b.device, NORM_RMS, b.y, ADD, b.dweight, NULL, b.normed, b.x, b.stats,
                         b.weight);
}
/* Apart with a norm, in place without. */
static void turn(bool norm, bool back)
{
    Rotary rotary = {b.cosines, b.sines, HEAD_DIM};
    HeadTurn turns[2];
    for (int i = 0; i < 2; i++) {
        int64_t from = i ? QUERIES : 0, cols = i ? KEYS : QUERIES;
        Tensor x = part(norm ? b.fused : b.dfused, from, cols), y = part(b.hidden, from, cols);
        Tensor dy = part(b.dfused, from, cols), dx = part(b.dhidden, from, cols);
        turns[i] = (HeadTurn){x, norm ? y : x, dy, norm ? dx : dy, b.positions, NULL, NULL, NULL};
        if (!norm) continue;
        turns[i].weight = b.weight, turns[i].dweight = b.dweight;
        turns[i].stats = b.turned + i * b.rows * QUERY_HEADS;
    }
    if (back)
        b.ops->turn_heads_backward(b.device, HEAD_DIM, &rotary, &turns[0], &turns[1]);
    else
        b.ops->turn_heads(b.device, HEAD_DIM, 1e-6f, &rotary, &turns[0], &turns[1]);
}
static void turn_rotate(void)
{
    turn(false, false);
}
static void turn_rotate_back(void)
{
    turn(false, true);
}
static void turn_norm(void)
{
    turn(true, false);
}
static void turn_norm_back(void)
{
    turn(true, true);
}
static void attend(const AttentionPlan *plan)
{
    b.ops->attention(b.device, plan, &HEADS, b.attended, b.lse, part(b.fused, 0, QUERIES),
                     part(b.fused, QUERIES, KEYS), part(b.fused, QUERIES + KEYS, KEYS));
}
static void attend_back(const AttentionPlan *plan)
{
    b.ops->attention_backward(b.device, plan, &HEADS, part(b.dfused, 0, QUERIES),
                              part(b.dfused, QUERIES, KEYS), part(b.dfused, QUERIES + KEYS, KEYS),
                              b.dattended, b.attended, b.lse, part(b.fused, 0, QUERIES),
                              part(b.fused, QUERIES, KEYS), part(b.fused, QUERIES + KEYS, KEYS));
}
static void attention_pairs(void)
{
    attend(&b.pairs);
}
static void attention_whole(void)
{
    attend(&b.whole);
}
static void attention_pairs_back(void)
{
    attend_back(&b.pairs);
}
static void attention_whole_back(void)
{
    attend_back(&b.whole);
}
static void swiglu(void)
{
    b.ops->activate(b.device, ACT_SWIGLU, b.activated, b.hidden);
}
static void swiglu_back(void)
{
    b.ops->activate_backward(b.device, ACT_SWIGLU, b.dhidden, b.dactivated, b.hidden);
}
static void gelu(void)
{
    b.ops->activate(b.device, ACT_GELU_ERF, b.activated, part(b.hidden, 0, HIDDEN));
}
static void gelu_tanh(void)
{
    b.ops->activate(b.device, ACT_GELU_TANH, b.activated, part(b.hidden, 0, HIDDEN));
}
static void copy(void)
{
    b.ops->convert(b.device, b.y, b.x);
}
static void embed(void)
{
    b.ops->embed(b.device, b.x, b.ids, b.table, NULL, NULL);
}
static void embed_back(void)
{
    b.ops->embed_backward(b.device, b.y, b.ids, b.dtable, NULL, NULL);
}
static void refresh(void)
{
    b.ops->matrix_set(b.device, b.qkv, b.master, 1);
    b.ops->matrix_set(b.device, b.out, b.master, 1);
    b.ops->matrix_set(b.device, b.up, b.master, 1);
    b.ops->matrix_set(b.device, b.down, b.master, 1);
}
static void square_sum(void)
{
    if (b.ops->square_sum(b.device, b.gradient, PARAMETERS) < 0) abort();
}
static void adamw(void)
{
    AdamW step = {1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 1, 1};
    b.ops->adamw(b.device, &step, b.master, b.first, b.second, b.gradient, PARAMETERS);
}

/* `times`: a layer, in one training step of SmolLM2 on shared pairs. outputs, inputs: of products.
 */
static const struct {
    const char *name;
    void (*call)(void);
    double times;
    int64_t outputs, inputs;
} CALLS[] = {
    {"linear qkv", linear_qkv, 1, FUSED, WIDTH},
    {"linear out, added", linear_out, 1, WIDTH, QUERIES},
    {"linear gate and up", linear_up, 1, 2 * HIDDEN, WIDTH},
    {"linear down, added", linear_down, 1, WIDTH, HIDDEN},
    {"linear_dx qkv", dx_qkv, 1, FUSED, WIDTH},
    {"linear_dx out", dx_out, 1, WIDTH, QUERIES},
    {"linear_dx gate and up", dx_up, 1, 2 * HIDDEN, WIDTH},
    {"linear_dx down", dx_down, 1, WIDTH, HIDDEN},
    {"linear_dw qkv", dw_qkv, 1, FUSED, WIDTH},
    {"linear_dw out", dw_out, 1, WIDTH, QUERIES},
    {"linear_dw gate and up", dw_up, 1, 2 * HIDDEN, WIDTH},
    {"linear_dw down", dw_down, 1, WIDTH, HIDDEN},
    {"linear_dw gate and up, bias", dw_bias, 0, 2 * HIDDEN, WIDTH},
    {"norm", norm, 4, 0, 0}, /* going back they are computed again */
    {"norm, LayerNorm", norm_layer, 0, 0, 0},
    {"norm_backward", norm_back, 2, 0, 0},
    {"turn_heads", turn_rotate, 1, 0, 0},
    {"turn_heads_backward", turn_rotate_back, 1, 0, 0},
    {"turn_heads, normed", turn_norm, 0, 0, 0},
    {"turn_heads_backward, normed", turn_norm_back, 0, 0, 0},
    {"attention, pairs", attention_pairs, 1, 0, 0},
    {"attention_backward, pairs", attention_pairs_back, 1, 0, 0},
    {"attention, 512 tokens", attention_whole, 0, 0, 0},
    {"attention_backward, 512", attention_whole_back, 0, 0, 0},
    {"activate, SwiGLU", swiglu, 2, 0, 0},
    {"activate_backward, SwiGLU", swiglu_back, 1, 0, 0},
    {"activate, GELU erf", gelu, 0, 0, 0},
    {"activate, GELU tanh", gelu_tanh, 0, 0, 0},
    {"convert", copy, 2, 0, 0},
    {"embed", embed, 1.0 / LAYERS, 0, 0},
    {"embed_backward", embed_back, 1.0 / LAYERS, 0, 0},
    {"matrix_set", refresh, 1, 0, 0},
    {"square_sum", square_sum, 1, 0, 0},
    {"adamw", adamw, 1, 0, 0},
};

static double best_of(void (*call)(void))
{
    double best = INFINITY;
    call();
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        call();
        best = fmin(best, now() - start);
    }
    return best;
}

/* ---- the bare product: x[rows, inputs] by weights in whatever layout oneDNN likes ---- */

#ifdef HAVE_DNNL
static void need(dnnl_status_t status)
{
    if (status != dnnl_success) {
        fprintf(stderr, "bench_ops: oneDNN answers %d\n", (int)status);
        exit(1);
    }
}

static dnnl_memory_t memory_for(dnnl_engine_t engine, const dnnl_memory_desc_t *layout)
{
    dnnl_memory_t memory;
    size_t bytes = (dnnl_memory_desc_get_size(layout) + 63) / 64 * 64;
    void *data = aligned_alloc(64, bytes);
    if (!data) abort();
    memset(data, 0, bytes);
    need(dnnl_memory_create(&memory, layout, engine, data));
    return memory;
}

static void memory_drop(dnnl_memory_t memory)
{
    void *data;
    need(dnnl_memory_get_data_handle(memory, &data));
    free(data);
    dnnl_memory_destroy(memory);
}

static double bare_product(int64_t outputs, int64_t inputs)
{
    dnnl_data_type_t type = b.dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_desc_t x, w, y;
    dnnl_matmul_desc_t product;
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    need(dnnl_engine_create(&engine, dnnl_cpu, 0));
    need(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    need(dnnl_memory_desc_init_by_tag(&x, 2, (dnnl_dims_t){b.rows, inputs}, type, dnnl_ab));
    need(dnnl_memory_desc_init_by_tag(&y, 2, (dnnl_dims_t){b.rows, outputs}, type, dnnl_ab));
    need(dnnl_memory_desc_init_by_tag(&w, 2, (dnnl_dims_t){inputs, outputs}, type,
                                      dnnl_format_tag_any));
    need(dnnl_matmul_desc_init(&product, &x, &w, NULL, &y));
    need(dnnl_primitive_desc_create(&description, &product, NULL, engine, NULL));
    need(dnnl_primitive_create(&primitive, description));
    w = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    const dnnl_exec_arg_t operands[] = {{DNNL_ARG_SRC, memory_for(engine, &x)},
                                        {DNNL_ARG_WEIGHTS, memory_for(engine, &w)},
                                        {DNNL_ARG_DST, memory_for(engine, &y)}};
    double best = INFINITY;
    for (int i = 0; i <= RUNS; i++) {
        double start = now();
        need(dnnl_primitive_execute(primitive, stream, 3, operands));
        need(dnnl_stream_wait(stream));
        if (i) best = fmin(best, now() - start);
    }
    for (int i = 0; i < 3; i++) memory_drop(operands[i].memory);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(description);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return best;
}
#else
static double bare_product(int64_t outputs, int64_t inputs)
{
    (void)outputs, (void)inputs;
    return NAN;
}
#endif

/* ---- what is worked on ---- */

static void *take(size_t bytes)
{
    void *memory = b.ops->alloc(b.device, bytes);
    if (!memory) abort();
    memset(memory, 0, bytes);
    return memory;
}

static float *floats(int64_t count)
{
    float *to = take((size_t)count * sizeof *to);
    for (int64_t i = 0; i < count; i++) to[i] = (float)((i * 7919) % 1009 - 504) / 5040;
    return to;
}

static Tensor tensor(int64_t cols)
{
    Tensor t = {.rows = b.rows, .cols = cols, .stride = cols, .dtype = b.dtype};
    t.data = take((size_t)(b.rows * cols) * dtype_bytes(b.dtype));
    float *values = floats(b.rows * cols);
    Tensor from = {values, b.rows, cols, cols, DTYPE_F32};
    b.ops->convert(b.device, t, from);
    b.ops->release(b.device, values);
    return t;
}

/* Prompts of 128 with two answers of 64; and whole sequences of 512. */
static void plans(void)
{
    int32_t n = 0, t = 0, rows = (int32_t)b.rows;
    for (int32_t at = 0; at + 256 <= rows && n + 3 < 2048; at += 256, t++) {
        b.begin[t] = n;
        b.spans[n++] = (Span){.query = at, .queries = 128, .own = at};
        for (int32_t a = at + 128; a < at + 256; a += 64) {
            b.spans[n++] =
                (Span){.query = a, .queries = 64, .own = a, .context = at, .context_length = 128};
        }
    }
    b.begin[t] = n;
    b.pairs = (AttentionPlan){b.spans, b.begin, n, t, rows, rows};
    Span *spans = b.spans + 2048;
    int32_t *begin = b.begin + 2048, count = 0;
    for (int32_t at = 0; at < rows; at += 512, count++) {
        begin[count] = count;
        spans[count] = (Span){.query = at, .queries = rows - at < 512 ? rows - at : 512, .own = at};
    }
    begin[count] = count;
    b.whole = (AttentionPlan){spans, begin, count, count, rows, rows};
}

static Matrix *matrix(int64_t outputs, int64_t inputs)
{
    Matrix *w = b.ops->matrix_new(b.device, outputs, inputs);
    if (!w) abort();
    b.ops->matrix_set(b.device, w, b.master, 1);
    return w;
}

static void prepare(void)
{
    b.x = tensor(WIDTH), b.y = tensor(WIDTH), b.normed = tensor(WIDTH);
    b.fused = tensor(FUSED), b.dfused = tensor(FUSED);
    b.attended = tensor(QUERIES), b.dattended = tensor(QUERIES);
    b.hidden = tensor(2 * HIDDEN), b.dhidden = tensor(2 * HIDDEN);
    b.activated = tensor(HIDDEN), b.dactivated = tensor(HIDDEN);
    b.turned = floats(b.rows * (QUERY_HEADS + KEY_HEADS));
    b.stats = floats(2 * b.rows), b.lse = floats(b.rows * QUERY_HEADS);
    b.weight = floats(2 * HIDDEN), b.dweight = floats(2 * HIDDEN);
    b.cosines = floats(b.rows * HEAD_DIM / 2), b.sines = floats(b.rows * HEAD_DIM / 2);
    b.gradient = floats(PARAMETERS), b.master = floats(PARAMETERS);
    b.first = floats(PARAMETERS), b.second = take(PARAMETERS * sizeof(float));
    b.table = floats((int64_t)VOCABULARY * WIDTH), b.dtable = floats((int64_t)VOCABULARY * WIDTH);
    b.ids = take((size_t)b.rows * 4), b.positions = take((size_t)b.rows * 4);
    for (int64_t i = 0; i < b.rows; i++) {
        b.ids[i] = (int32_t)(i * 7919 % VOCABULARY), b.positions[i] = (int32_t)i;
    }
    b.qkv = matrix(FUSED, WIDTH), b.out = matrix(WIDTH, QUERIES);
    b.up = matrix(2 * HIDDEN, WIDTH), b.down = matrix(WIDTH, HIDDEN);
    plans();
}

/* ---- the report ---- */

static void line(const char *name, double value, const char *unit, const char *against,
                 double against_value)
{
    double ratio = against ? value / against_value : NAN;
    if (b.json && against && isfinite(ratio)) {
        printf("{\"name\":\"ops/%s\",\"value\":%.4g,\"unit\":\"%s\",\"against\":\"%s\","
               "\"against_value\":%.4g,\"ratio\":%.3f}\n",
               name, value, unit, against, against_value, ratio);
    } else if (b.json) {
        printf("{\"name\":\"ops/%s\",\"value\":%.4g,\"unit\":\"%s\"}\n", name, value, unit);
    } else if (against && isfinite(ratio)) {
        printf("%-32s %9.4g %-7s %5.2f of %s, %.4g\n", name, value, unit, ratio, against,
               against_value);
    } else {
        printf("%-32s %9.4g %s\n", name, value, unit);
    }
}

static void measure(void)
{
    double products = 0, bare = 0, all = 0, flops = 0;
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        double seconds = best_of(CALLS[i].call);
        all += CALLS[i].times * seconds;
        if (!CALLS[i].outputs) {
            line(CALLS[i].name, 1e3 * seconds, "ms", NULL, 0);
            continue;
        }
        double each = 2e-9 * (double)(b.rows * CALLS[i].outputs * CALLS[i].inputs);
        double alone = bare_product(CALLS[i].outputs, CALLS[i].inputs);
        products += CALLS[i].times * seconds;
        bare += CALLS[i].times * alone;
        flops += CALLS[i].times * each;
        line(CALLS[i].name, each / seconds, "GFLOP/s", "bare oneDNN", each / alone);
    }
    line("a layer's step", 1e3 * all, "ms", NULL, 0);
    line("share of products", products / all, "", NULL, 0);
    line("products of a layer's step", flops / products, "GFLOP/s", "bare oneDNN", flops / bare);
    line("a layer's step, rate", flops / all, "GFLOP/s", "bare oneDNN", flops / bare);
}

int main(int argc, char **argv)
{
    Arena arena;
    Err err;
    const char *device = "cpu", *dtype = NULL;
    int threads = 0;
    arena_init(&arena, KiB(16));
    b.rows = 1024;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) b.json = true;
        if (i + 1 == argc) continue;
        if (!strcmp(argv[i], "--device")) device = argv[i + 1];
        if (!strcmp(argv[i], "--dtype")) dtype = argv[i + 1];
        if (!strcmp(argv[i], "--threads")) threads = (int)strtol(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--rows")) b.rows = strtol(argv[i + 1], NULL, 10);
    }
    b.ops = ops_find(device, &arena, &err);
    if (!b.ops || b.rows < 1 || b.rows > 65536) {
        fprintf(stderr, "bench_ops: %s\n", b.ops ? "--rows must be 1 to 65536" : err.detail);
        return 2;
    }
    b.dtype = dtype ? (strcmp(dtype, "fp32") ? DTYPE_BF16 : DTYPE_F32) : ops_best_dtype(b.ops);
    b.device = b.ops->open(&(DeviceOptions){.threads = threads, .compute = b.dtype}, &arena, &err);
    if (!b.device) {
        fprintf(stderr, "bench_ops: %s\n", err.detail);
        return 1;
    }
    if (threads) omp_set_num_threads(threads); /* for bare oneDNN */
    prepare();
    measure();
    bool done = b.ops->sync(b.device, &arena, &err);
    if (!done) fprintf(stderr, "bench_ops: %s\n", err.detail);
    arena_release(&arena);
    return done ? 0 : 1;
}
