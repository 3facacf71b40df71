/* ops_cpu_dnnl.c - matrix products by oneDNN, which picks AMX, AVX512-BF16, … at run time.
 *
 * Weights are kept in the layout oneDNN asks for; a second copy, for dx, is made when a first
 * linear_dx asks, so scoring does not pay for it. Primitives are kept by shape: making one takes
 * about 0.3 ms, and packed batches differ in rows from one to the next. */
#ifdef HAVE_DNNL
#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include "ops_cpu.h"

enum {
    CACHE_SETS = 64, /* a power of two */
    CACHE_WAYS = 8,
    ROWS_TYPICAL = 512, /* that weights are laid out for; the layout hardly depends on it */
};

typedef enum Direction { FORWARD, BACKWARD, DIRECTIONS } Direction;

struct Matrix {
    int64_t outputs, inputs;
    Dtype dtype;
    dnnl_memory_desc_t layout[DIRECTIONS]; /* of [inputs, outputs]; of [outputs, inputs] */
    void *data[DIRECTIONS];                /* BACKWARD: NULL until asked for */
    dnnl_memory_t memory[DIRECTIONS];
    dnnl_primitive_t fill[DIRECTIONS]; /* from the fp32 master, scaled */
    float scale;                       /* of fill */
};

/* What tells one product from another: to[m, n] = a[m, k] · b[k, n]. */
typedef struct Shape {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row; /* strides; b_row 0: b is a matrix in its own layout */
    int64_t to_row;
    Dtype a_type, to_type;
    float scale;
    int32_t add, bias; /* flags; no padding, shapes are compared as bytes */
} Shape;
static_assert(sizeof(Shape) == 7 * 8 + 5 * 4 + 4, "Shape has one gap, which stays zero");

typedef struct Primitive {
    Shape shape;
    dnnl_primitive_t primitive; /* NULL: free */
    dnnl_memory_t a, b, bias, to, scratch;
    size_t scratch_bytes;
    uint64_t used;
} Primitive;

struct Dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    uint64_t uses;
    Primitive cache[CACHE_SETS][CACHE_WAYS];
};

static dnnl_data_type_t type_of(Dtype dtype)
{
    return dtype == DTYPE_F32 ? dnnl_f32 : dnnl_bf16;
}

/* oneDNN takes the number of threads from OpenMP, when a primitive is made and when it runs. */
static void threads_set(const Cpu *cpu)
{
    if (omp_get_max_threads() != cpu->threads) omp_set_num_threads(cpu->threads);
}

static bool plain_layout(dnnl_memory_desc_t *layout, int64_t rows, int64_t cols, Dtype dtype,
                         int64_t row_stride, int64_t col_stride)
{
    const dnnl_dims_t sizes = {rows, cols}, strides = {row_stride, col_stride};
    return dnnl_memory_desc_init_by_strides(layout, 2, sizes, type_of(dtype), strides) ==
           dnnl_success;
}

/* The layout oneDNN multiplies x[·, k] · w[k, n] fastest with, in the device's dtype. */
static bool matrix_layout(const Cpu *cpu, dnnl_memory_desc_t *layout, int64_t k, int64_t n)
{
    dnnl_memory_desc_t x, y, w;
    dnnl_matmul_desc_t product;
    dnnl_primitive_desc_t description;
    Dtype dtype = cpu->device.compute;
    const dnnl_dims_t sizes = {k, n};
    if (!plain_layout(&x, ROWS_TYPICAL, k, dtype, k, 1) ||
        !plain_layout(&y, ROWS_TYPICAL, n, dtype, n, 1) ||
        dnnl_memory_desc_init_by_tag(&w, 2, sizes, type_of(dtype), dnnl_format_tag_any) !=
            dnnl_success ||
        dnnl_matmul_desc_init(&product, &x, &w, NULL, &y) != dnnl_success ||
        dnnl_primitive_desc_create(&description, &product, NULL, cpu->dnnl->engine, NULL) !=
            dnnl_success) {
        return false;
    }
    *layout = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(description);
    return true;
}

/* ---- open and close ---- */

/* Not only the processor says so: ONEDNN_MAX_CPU_ISA may keep oneDNN from what it has. */
bool dnnl_multiplies_bf16(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(); /* one bit more for each level */
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

bool dnnl_open(Cpu *cpu, Arena *arena, Err *err)
{
    dnnl_memory_desc_t probe;
    struct Dnnl *d = calloc(1, sizeof *d);
    cpu->dnnl = d;
    threads_set(cpu);
    if (!d || dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success) {
        dnnl_close(cpu);
        return err_set(err, arena, ERR_unavailable, NULL, "oneDNN does not start: no memory");
    }
    if (matrix_layout(cpu, &probe, 64, 64)) return true;
    dnnl_close(cpu);
    return err_set(err, arena, ERR_unavailable, NULL,
                   "device cpu: this processor does not multiply bf16; use --dtype fp32");
}

static void primitive_free(Primitive *p)
{
    dnnl_memory_t memory[] = {p->a, p->b, p->bias, p->to, p->scratch};
    for (size_t i = 0; i < LEN(memory); i++) {
        if (memory[i]) dnnl_memory_destroy(memory[i]);
    }
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    *p = (Primitive){0};
}

void dnnl_close(Cpu *cpu)
{
    struct Dnnl *d = cpu->dnnl;
    if (!d) return;
    for (int i = 0; i < CACHE_SETS * CACHE_WAYS; i++) {
        primitive_free(&d->cache[i / CACHE_WAYS][i % CACHE_WAYS]);
    }
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    free(d);
    cpu->dnnl = NULL;
}

/* ---- weights ---- */

/* Memory for one direction of a matrix. */
static bool matrix_place(Cpu *cpu, Matrix *w, Direction way)
{
    int64_t k = way == FORWARD ? w->inputs : w->outputs;
    int64_t n = way == FORWARD ? w->outputs : w->inputs;
    if (!matrix_layout(cpu, &w->layout[way], k, n)) return false;
    w->data[way] = cpu_alloc(&cpu->device, dnnl_memory_desc_get_size(&w->layout[way]));
    if (!w->data[way]) return false;
    if (dnnl_memory_create(&w->memory[way], &w->layout[way], cpu->dnnl->engine, w->data[way]) ==
        dnnl_success) {
        return true;
    }
    cpu_release(&cpu->device, w->data[way]);
    w->data[way] = NULL;
    return false;
}

Matrix *dnnl_matrix_new(Device *device, int64_t outputs, int64_t inputs)
{
    assert(outputs > 0 && inputs > 0);
    threads_set(cpu_of(device));
    Matrix *matrix = cpu_alloc(device, sizeof *matrix);
    if (!matrix) return NULL;
    *matrix = (Matrix){.outputs = outputs, .inputs = inputs, .dtype = device->compute};
    if (matrix_place(cpu_of(device), matrix, FORWARD)) return matrix;
    cpu_release(device, matrix);
    return NULL;
}

size_t dnnl_matrix_bytes(const Device *device, const Matrix *w)
{
    (void)device;
    size_t bytes = sizeof *w;
    for (int way = 0; way < DIRECTIONS; way++) {
        if (w->data[way]) bytes += dnnl_memory_desc_get_size(&w->layout[way]);
    }
    return bytes;
}

void dnnl_matrix_free(Device *device, Matrix *w)
{
    if (!w) return;
    for (int way = 0; way < DIRECTIONS; way++) {
        if (w->memory[way]) dnnl_memory_destroy(w->memory[way]);
        if (w->fill[way]) dnnl_primitive_destroy(w->fill[way]);
        cpu_release(device, w->data[way]);
    }
    cpu_release(device, w);
}

/* A primitive that copies between layouts, times scale. */
static dnnl_primitive_t reorder_new(const Cpu *cpu, const dnnl_memory_desc_t *from,
                                    const dnnl_memory_desc_t *to, float scale)
{
    dnnl_engine_t engine = cpu->dnnl->engine;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t primitive = NULL;
    if (dnnl_primitive_attr_create(&attributes) == dnnl_success &&
        (scale == 1 ||
         dnnl_primitive_attr_set_output_scales(attributes, 1, 0, &scale) == dnnl_success) &&
        dnnl_reorder_primitive_desc_create(&description, from, engine, to, engine, attributes) ==
            dnnl_success &&
        dnnl_primitive_create(&primitive, description) != dnnl_success) {
        primitive = NULL;
    }
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (description) dnnl_primitive_desc_destroy(description);
    return primitive;
}

static bool reorder_run(const Cpu *cpu, dnnl_primitive_t reorder, dnnl_memory_t from,
                        dnnl_memory_t to)
{
    const dnnl_exec_arg_t operands[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return dnnl_primitive_execute(reorder, cpu->dnnl->stream, LEN(operands), operands) ==
               dnnl_success &&
           dnnl_stream_wait(cpu->dnnl->stream) == dnnl_success;
}

/* Master to one direction's layout. */
static bool matrix_fill(const Cpu *cpu, Matrix *w, Direction way, const float *master, float scale)
{
    dnnl_memory_desc_t rows;
    dnnl_memory_t from;
    bool forward = way == FORWARD;
    if (!plain_layout(&rows, forward ? w->inputs : w->outputs, forward ? w->outputs : w->inputs,
                      DTYPE_F32, forward ? 1 : w->inputs, forward ? w->inputs : 1)) {
        return false;
    }
    if (!w->fill[way]) w->fill[way] = reorder_new(cpu, &rows, &w->layout[way], scale);
    if (!w->fill[way] || dnnl_memory_create(&from, &rows, cpu->dnnl->engine,
                                            (void *)(uintptr_t)master) != dnnl_success) {
        return false;
    }
    bool done = reorder_run(cpu, w->fill[way], from, w->memory[way]);
    dnnl_memory_destroy(from);
    return done;
}

void dnnl_matrix_set(Device *device, Matrix *w, const float *master, float scale)
{
    Cpu *cpu = cpu_of(device);
    threads_set(cpu);
    for (int way = 0; way < DIRECTIONS; way++) {
        if (w->fill[way] && w->scale != scale) {
            dnnl_primitive_destroy(w->fill[way]);
            w->fill[way] = NULL;
        }
        if (w->data[way] && !matrix_fill(cpu, w, (Direction)way, master, scale)) {
            cpu_fail(cpu, "matrix_set: oneDNN cannot lay out %lld x %lld", (long long)w->outputs,
                     (long long)w->inputs);
        }
    }
    w->scale = scale;
}

/* The copy for dx, from the one for y: the same numbers. */
static bool matrix_turn(Cpu *cpu, Matrix *w)
{
    dnnl_memory_desc_t turned;
    dnnl_memory_t to = NULL;
    dnnl_primitive_t reorder = NULL;
    static const int swapped[] = {1, 0};
    if (w->data[BACKWARD]) return true;
    if (!matrix_place(cpu, w, BACKWARD)) return false;
    bool done =
        dnnl_memory_desc_permute_axes(&turned, &w->layout[BACKWARD], swapped) == dnnl_success &&
        dnnl_memory_create(&to, &turned, cpu->dnnl->engine, w->data[BACKWARD]) == dnnl_success &&
        (reorder = reorder_new(cpu, &w->layout[FORWARD], &turned, 1)) != NULL &&
        reorder_run(cpu, reorder, w->memory[FORWARD], to);
    if (to) dnnl_memory_destroy(to);
    if (reorder) dnnl_primitive_destroy(reorder);
    return done;
}

/* ---- products ---- */

/* accumulated · scale + bias (+ what is there), rounded once. */
static dnnl_primitive_attr_t attributes_of(const Shape *s)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t after = NULL;
    bool done =
        dnnl_primitive_attr_create(&attributes) == dnnl_success &&
        dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) ==
            dnnl_success &&
        (s->scale == 1 ||
         dnnl_primitive_attr_set_output_scales(attributes, 1, 0, &s->scale) == dnnl_success) &&
        (!s->add || (dnnl_post_ops_create(&after) == dnnl_success &&
                     dnnl_post_ops_append_sum(after, 1) == dnnl_success &&
                     dnnl_primitive_attr_set_post_ops(attributes, after) == dnnl_success));
    if (after) dnnl_post_ops_destroy(after);
    if (done) return attributes;
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    return NULL;
}

static bool memory_new(const Cpu *cpu, dnnl_memory_t *memory, const dnnl_memory_desc_t *layout)
{
    return dnnl_memory_create(memory, layout, cpu->dnnl->engine, DNNL_MEMORY_NONE) == dnnl_success;
}

/* weights: the layout of b, or NULL when it is plain. */
static bool primitive_make(const Cpu *cpu, Primitive *p, const Shape *s,
                           const dnnl_memory_desc_t *weights)
{
    dnnl_memory_desc_t a, b, bias, to;
    dnnl_matmul_desc_t product;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_attr_t attributes = attributes_of(s);
    bool done = attributes && plain_layout(&a, s->m, s->k, s->a_type, s->a_row, s->a_col) &&
                plain_layout(&to, s->m, s->n, s->to_type, s->to_row, 1) &&
                plain_layout(&bias, 1, s->n, DTYPE_F32, s->n, 1) &&
                plain_layout(&b, s->k, s->n, s->a_type, s->b_row ? s->b_row : s->n, 1);
    if (done && weights) b = *weights;
    done = done &&
           dnnl_matmul_desc_init(&product, &a, &b, s->bias ? &bias : NULL, &to) == dnnl_success &&
           dnnl_primitive_desc_create(&description, &product, attributes, cpu->dnnl->engine,
                                      NULL) == dnnl_success &&
           dnnl_primitive_create(&p->primitive, description) == dnnl_success;
    if (done) {
        const dnnl_memory_desc_t *scratch =
            dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
        p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
        done = memory_new(cpu, &p->a, &a) && memory_new(cpu, &p->to, &to) &&
               memory_new(cpu, &p->scratch, scratch) && (weights || memory_new(cpu, &p->b, &b)) &&
               (!s->bias || memory_new(cpu, &p->bias, &bias));
    }
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    if (description) dnnl_primitive_desc_destroy(description);
    if (!done) primitive_free(p);
    return done;
}

/* The primitive of a shape: kept, or made in the place of the one unused for longest. */
static Primitive *primitive_for(const Cpu *cpu, const Shape *shape,
                                const dnnl_memory_desc_t *weights)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *shape; i++) {
        hash = (hash ^ ((const uint8_t *)shape)[i]) * 1099511628211u;
    }
    Primitive *set = cpu->dnnl->cache[(hash >> 32) % CACHE_SETS], *oldest = set;
    for (Primitive *p = set; p < set + CACHE_WAYS; p++) {
        if (p->primitive && !memcmp(&p->shape, shape, sizeof *shape)) {
            p->used = ++cpu->dnnl->uses;
            return p;
        }
        if (p->used < oldest->used) oldest = p;
    }
    primitive_free(oldest);
    if (!primitive_make(cpu, oldest, shape, weights)) return NULL;
    memcpy(&oldest->shape, shape, sizeof *shape);
    oldest->used = ++cpu->dnnl->uses;
    return oldest;
}

static bool handle_set(dnnl_memory_t memory, const void *data)
{
    return dnnl_memory_set_data_handle(memory, (void *)(uintptr_t)data) == dnnl_success;
}

/* w: a matrix's memory, or NULL: then b. */
static void product(Cpu *cpu, const char *op, const Shape *shape, const void *a, const void *b,
                    dnnl_memory_t w, const dnnl_memory_desc_t *layout, const float *bias, void *to)
{
    if (!shape->m || !shape->k) return;
    threads_set(cpu);
    Primitive *p = primitive_for(cpu, shape, layout);
    void *scratch = p ? cpu_scratch(cpu, SLOT_LIBRARY, p->scratch_bytes + 1) : NULL;
    bool done = scratch && handle_set(p->a, a) && (w || handle_set(p->b, b)) &&
                (!bias || handle_set(p->bias, bias)) && handle_set(p->to, to) &&
                handle_set(p->scratch, scratch);
    if (done) {
        const dnnl_exec_arg_t operands[] = {{DNNL_ARG_SRC, p->a},
                                            {DNNL_ARG_WEIGHTS, w ? w : p->b},
                                            {DNNL_ARG_DST, p->to},
                                            {DNNL_ARG_SCRATCHPAD, p->scratch},
                                            {DNNL_ARG_BIAS, p->bias}};
        done = dnnl_primitive_execute(p->primitive, cpu->dnnl->stream, bias ? 5 : 4, operands) ==
                   dnnl_success &&
               dnnl_stream_wait(cpu->dnnl->stream) == dnnl_success;
    }
    if (!done) {
        cpu_fail(cpu, "%s: oneDNN cannot multiply %lld x %lld by %lld x %lld", op,
                 (long long)shape->m, (long long)shape->k, (long long)shape->k,
                 (long long)shape->n);
    }
}

/* x in the dtype that is multiplied: itself, or a copy; data NULL after cpu_fail. */
static Tensor operand(Cpu *cpu, Tensor x, Dtype dtype, CpuSlot slot)
{
    if (x.dtype == dtype) return x;
    Tensor to = {.rows = x.rows, .cols = x.cols, .stride = x.cols, .dtype = dtype};
    to.data = cpu_scratch(cpu, slot, (size_t)(x.rows * x.cols) * dtype_bytes(dtype) + 1);
    if (to.data) cpu->device.ops->convert(&cpu->device, to, x);
    return to;
}

static void product_by_matrix(Cpu *cpu, const char *op, Tensor to, Tensor from, const Matrix *w,
                              Direction way, const float *bias, Accumulate mode)
{
    from = operand(cpu, from, w->dtype, SLOT_LEFT);
    if (!from.data) return;
    Shape shape;
    memset(&shape, 0, sizeof shape);
    shape.m = from.rows, shape.n = to.cols, shape.k = from.cols;
    shape.a_row = from.stride, shape.a_col = 1, shape.to_row = to.stride;
    shape.a_type = from.dtype, shape.to_type = to.dtype;
    shape.scale = 1, shape.add = mode == ADD, shape.bias = bias != NULL;
    product(cpu, op, &shape, from.data, NULL, w->memory[way], &w->layout[way], bias, to.data);
}

void dnnl_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                 Accumulate mode)
{
    assert(y.rows == x.rows && y.cols == w->outputs && x.cols == w->inputs);
    product_by_matrix(cpu_of(device), "linear", y, x, w, FORWARD, bias, mode);
}

void dnnl_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode)
{
    assert(dx.rows == dy.rows && dy.cols == w->outputs && dx.cols == w->inputs);
    Cpu *cpu = cpu_of(device);
    threads_set(cpu);
    /* The copy for dx is part of the matrix, but only training asks for it: hence not const. */
    if (!matrix_turn(cpu, (Matrix *)(uintptr_t)w)) {
        cpu_fail(cpu, "linear_dx: there is no memory for weights of %lld x %lld",
                 (long long)w->outputs, (long long)w->inputs);
        return;
    }
    product_by_matrix(cpu, "linear_dx", dx, dy, w, BACKWARD, NULL, mode);
}

void dnnl_linear_dw(Device *device, float *dw, Tensor dy, Tensor x, float scale)
{
    assert(dy.rows == x.rows);
    Cpu *cpu = cpu_of(device);
    Dtype dtype = dy.dtype == device->compute && x.dtype == dy.dtype ? dy.dtype : DTYPE_F32;
    dy = operand(cpu, dy, dtype, SLOT_LEFT);
    x = operand(cpu, x, dtype, SLOT_RIGHT);
    if (!dy.data || !x.data) return;
    Shape shape;
    memset(&shape, 0, sizeof shape);
    shape.m = dy.cols, shape.n = x.cols, shape.k = x.rows;
    shape.a_row = 1, shape.a_col = dy.stride, shape.b_row = x.stride, shape.to_row = x.cols;
    shape.a_type = dtype, shape.to_type = DTYPE_F32;
    shape.scale = scale, shape.add = 1;
    product(cpu, "linear_dw", &shape, dy.data, x.data, NULL, NULL, NULL, dw);
}
#endif
