/* ops_cpu_product.c - matrix products by our own loops, for builds and machines without oneDNN.
 *
 * One routine serves all three: C[m, n] = A · B with A packed into strips of STRIP rows and B read
 * as panels of PANEL columns; a STRIP x PANEL tile of C stays in registers while k runs. Each tile
 * is summed by one thread in the order of k, so the bits do not depend on the threads. */
#include <omp.h>
#include "ops_cpu_tile.h"

enum {
    BLOCK_STRIPS = 48 / STRIP, /* rows a thread packs at a time */
    BLOCK_PANELS = 512 / PANEL,
    ROWS_AT_ONCE = 512, /* of the long sums of linear_dw, so that packed strips stay in cache */
};

struct Matrix {
    int64_t outputs, inputs;
    Dtype dtype;
    void *forward;  /* panels of outputs: [outputs / PANEL][inputs][PANEL], zero filled */
    void *backward; /* panels of inputs: [inputs / PANEL][outputs][PANEL]; made when first asked */
};

typedef struct Product {
    int64_t m, n, k;
    const void *a; /* A(i, k) is element i · a_row + k · a_col */
    int64_t a_row, a_col;
    const void *b; /* B(k, j) is element j / PANEL · b_panel + k · b_row + j % PANEL */
    int64_t b_panel, b_row;
    bool b_padded; /* the last panel may be read whole */
    Dtype a_type, b_type;
    Tensor c;
    const float *bias;
    float scale;
    Accumulate mode;
} Product;

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- the kernel ---- */

static void tile_store(Lanes acc[STRIP][PANEL_LANES], const Product *w, int64_t row, int64_t col)
{
    for (int64_t i = 0; i < STRIP && row + i < w->m; i++) {
        void *to = row_at(w->c, row + i);
        for (int j = 0; j < PANEL_LANES; j++) {
            int64_t at = col + j * LANES, n = w->n - at;
            if (n <= 0) break;
            Lanes x = acc[i][j] * w->scale;
            if (w->bias) x += lanes_load_part(w->bias, at, DTYPE_F32, n);
            if (w->mode == ADD) x += lanes_load_part(to, at, w->c.dtype, n);
            lanes_store_part(to, at, w->c.dtype, n, x);
        }
    }
}

static float element(const void *data, Dtype dtype, int64_t at)
{
    return lanes_load_part(data, at, dtype, 1)[0];
}

/* Rows row … of A as fp32 strips [k][STRIP]; rows beyond m are zero. Runs along memory. */
static void pack_strip(float *to, const Product *w, int64_t row)
{
    int64_t rows = w->m - row < STRIP ? w->m - row : STRIP;
    if (rows < STRIP) memset(to, 0, (size_t)(w->k * STRIP) * sizeof *to);
    if (w->a_row == 1) {
        for (int64_t p = 0; p < w->k; p++) {
            const int64_t from = row + p * w->a_col;
            for (int64_t c = 0; c < rows; c += LANES) {
                int64_t n = rows - c;
                Lanes x = lanes_load_part(w->a, from + c, w->a_type, n);
                lanes_store_part(to, p * STRIP + c, DTYPE_F32, n, x);
            }
        }
        return;
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t p = 0; p < w->k; p++) {
            to[p * STRIP + i] = element(w->a, w->a_type, (row + i) * w->a_row + p * w->a_col);
        }
    }
}

static void pack_last_panel(float *to, const Product *w, int64_t panel)
{
    for (int64_t p = 0; p < w->k; p++) {
        for (int j = 0; j < PANEL_LANES; j++) {
            int64_t at = panel * PANEL + j * LANES;
            Lanes x = {0};
            int64_t from = panel * w->b_panel + p * w->b_row + j * LANES;
            if (at < w->n) x = lanes_load_part(w->b, from, w->b_type, w->n - at);
            lanes_store(to, p * PANEL + j * LANES, DTYPE_F32, x);
        }
    }
}

/* The rows of block `block`, the panels from … to of C. */
static void product_block(const Product *w, float *scratch, int64_t block, int64_t from, int64_t to)
{
    float *strips = scratch, *last = scratch + BLOCK_STRIPS * STRIP * w->k;
    int64_t begin = block * BLOCK_STRIPS * STRIP, left = w->m - begin;
    int64_t count = round_up(left, STRIP) / STRIP;
    if (count > BLOCK_STRIPS) count = BLOCK_STRIPS;
    for (int64_t s = 0; s < count; s++) {
        pack_strip(strips + s * STRIP * w->k, w, begin + s * STRIP);
    }
    for (int64_t p = from; p < to; p++) {
        const void *panel = (const char *)w->b + (size_t)(p * w->b_panel) * dtype_bytes(w->b_type);
        Dtype type = w->b_type;
        int64_t step = w->b_row;
        if (!w->b_padded && (p + 1) * PANEL > w->n) {
            pack_last_panel(last, w, p);
            panel = last, type = DTYPE_F32, step = PANEL;
        }
        for (int64_t s = 0; s < count; s++) {
            Lanes acc[STRIP][PANEL_LANES] = {0};
            Left a = {strips + s * STRIP * w->k, 1, STRIP};
            if (type == DTYPE_F32) {
                tile(STRIP, PANEL_LANES, acc, a, (Right){panel, step, DTYPE_F32}, w->k);
            } else {
                tile(STRIP, PANEL_LANES, acc, a, (Right){panel, step, DTYPE_BF16}, w->k);
            }
            tile_store(acc, w, begin + s * STRIP, p * PANEL);
        }
    }
}

static void product(Cpu *cpu, const Product *w)
{
    int64_t blocks = round_up(w->m, BLOCK_STRIPS * STRIP) / (BLOCK_STRIPS * STRIP);
    int64_t panels = round_up(w->n, PANEL) / PANEL;
    int64_t pieces = round_up(panels, BLOCK_PANELS) / BLOCK_PANELS;
    int64_t each = w->k * (BLOCK_STRIPS * STRIP + PANEL);
    float *scratch = cpu_scratch(cpu, SLOT_THREADS, (size_t)(each * cpu->threads) * sizeof(float));
    if (!scratch) return;
#pragma omp parallel num_threads(cpu->threads)
    {
        float *own = scratch + each * omp_get_thread_num();
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t piece = 0; piece < pieces; piece++) {
            for (int64_t block = 0; block < blocks; block++) {
                int64_t end = (piece + 1) * BLOCK_PANELS;
                product_block(w, own, block, piece * BLOCK_PANELS, end < panels ? end : panels);
            }
        }
    }
}

/* ---- weights ---- */

Matrix *cpu_matrix_new(Device *device, int64_t outputs, int64_t inputs)
{
    assert(outputs > 0 && inputs > 0);
    Matrix *matrix = cpu_alloc(device, sizeof *matrix);
    if (!matrix) return NULL;
    *matrix = (Matrix){.outputs = outputs, .inputs = inputs, .dtype = device->compute};
    size_t bytes = (size_t)(round_up(outputs, PANEL) * inputs) * dtype_bytes(device->compute);
    matrix->forward = cpu_alloc(device, bytes);
    if (matrix->forward) return matrix;
    cpu_release(device, matrix);
    return NULL;
}

void cpu_matrix_free(Device *device, Matrix *matrix)
{
    if (!matrix) return;
    cpu_release(device, matrix->forward);
    cpu_release(device, matrix->backward);
    cpu_release(device, matrix);
}

size_t cpu_matrix_bytes(const Device *device, const Matrix *w)
{
    size_t each = dtype_bytes(device->compute);
    size_t forward = (size_t)(round_up(w->outputs, PANEL) * w->inputs) * each;
    size_t backward = (size_t)(round_up(w->inputs, PANEL) * w->outputs) * each;
    return sizeof *w + forward + (w->backward ? backward : 0);
}

/* to[c][r] = scale · from[r][c] for r < rows, c < cols, both at most LANES; r beyond gets 0. */
static void turn_block(void *to, const void *from, Dtype type, Dtype from_type, int64_t from_row,
                       int64_t rows, int64_t cols, float scale)
{
    float in[LANES * LANES] = {0}, out[LANES * LANES];
    for (int64_t r = 0; r < LANES && r < rows; r++) {
        lanes_store(in, r * LANES, DTYPE_F32,
                    scale * lanes_load_part(from, r * from_row, from_type, cols));
    }
    transpose_lanes(out, LANES, in, LANES);
    for (int64_t c = 0; c < LANES && c < cols; c++) {
        lanes_store(to, c * PANEL, type, lanes_load(out, c * LANES, DTYPE_F32));
    }
}

static void *element_at(void *data, Dtype dtype, int64_t at)
{
    return (char *)data + (size_t)at * dtype_bytes(dtype);
}

/* backward from forward: the same numbers in another order. */
static void matrix_turn(const Cpu *cpu, const Matrix *w)
{
    int64_t padded = round_up(w->inputs, PANEL);
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t i = 0; i < padded; i += LANES) {
        for (int64_t o = 0; o < w->outputs; o += LANES) {
            int64_t from = o / PANEL * PANEL * w->inputs + i * PANEL + o % PANEL;
            int64_t to = i / PANEL * PANEL * w->outputs + o * PANEL + i % PANEL;
            turn_block(element_at(w->backward, w->dtype, to),
                       element_at(w->forward, w->dtype, i < w->inputs ? from : 0), w->dtype,
                       w->dtype, PANEL, w->inputs - i, w->outputs - o, 1);
        }
    }
}

void cpu_matrix_set(Device *device, Matrix *w, const float *master, float scale)
{
    int64_t padded = round_up(w->outputs, PANEL);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t o = 0; o < padded; o += LANES) {
        for (int64_t i = 0; i < w->inputs; i += LANES) {
            int64_t to = o / PANEL * PANEL * w->inputs + i * PANEL + o % PANEL;
            const float *from = master + (o < w->outputs ? o * w->inputs + i : 0);
            turn_block(element_at(w->forward, w->dtype, to), from, w->dtype, DTYPE_F32, w->inputs,
                       w->outputs - o, w->inputs - i, scale);
        }
    }
    if (w->backward) matrix_turn(cpu_of(device), w);
}

/* ---- the ops ---- */

void cpu_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                Accumulate mode)
{
    assert(y.rows == x.rows && y.cols == w->outputs && x.cols == w->inputs);
    product(cpu_of(device), &(Product){.m = x.rows,
                                       .n = w->outputs,
                                       .k = w->inputs,
                                       .a = x.data,
                                       .a_type = x.dtype,
                                       .a_row = x.stride,
                                       .a_col = 1,
                                       .b = w->forward,
                                       .b_type = w->dtype,
                                       .b_panel = PANEL * w->inputs,
                                       .b_row = PANEL,
                                       .b_padded = true,
                                       .c = y,
                                       .bias = bias,
                                       .scale = 1,
                                       .mode = mode});
}

/* The copy for dx is part of the matrix, but only training asks for it: hence not const. */
static bool matrix_backward(Device *device, Matrix *w)
{
    if (w->backward) return true;
    size_t bytes = (size_t)(round_up(w->inputs, PANEL) * w->outputs) * dtype_bytes(w->dtype);
    w->backward = cpu_alloc(device, bytes);
    if (w->backward) {
        matrix_turn(cpu_of(device), w);
        return true;
    }
    cpu_fail(cpu_of(device), "linear_dx: there is no memory for %zu bytes of weights", bytes);
    return false;
}

void cpu_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode)
{
    assert(dx.rows == dy.rows && dy.cols == w->outputs && dx.cols == w->inputs);
    if (!matrix_backward(device, (Matrix *)(uintptr_t)w)) return;
    product(cpu_of(device), &(Product){.m = dy.rows,
                                       .n = w->inputs,
                                       .k = w->outputs,
                                       .a = dy.data,
                                       .a_type = dy.dtype,
                                       .a_row = dy.stride,
                                       .a_col = 1,
                                       .b = w->backward,
                                       .b_type = w->dtype,
                                       .b_panel = PANEL * w->outputs,
                                       .b_row = PANEL,
                                       .b_padded = true,
                                       .c = dx,
                                       .scale = 1,
                                       .mode = mode});
}

void cpu_linear_dw(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale)
{
    assert(dy.rows == x.rows);
    Tensor c = {.data = dw, .rows = dy.cols, .cols = x.cols, .stride = x.cols, .dtype = DTYPE_F32};
    for (int64_t row = 0; row < x.rows; row += ROWS_AT_ONCE) {
        int64_t left = x.rows - row;
        product(cpu_of(device), &(Product){.m = dy.cols,
                                           .n = x.cols,
                                           .k = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE,
                                           .a = row_at(dy, row),
                                           .a_type = dy.dtype,
                                           .a_row = 1,
                                           .a_col = dy.stride,
                                           .b = row_at(x, row),
                                           .b_type = x.dtype,
                                           .b_panel = PANEL,
                                           .b_row = x.stride,
                                           .c = c,
                                           .scale = scale,
                                           .mode = ADD});
    }
    if (dbias) cpu_column_sums(device, dbias, dy, scale);
}

/* to[c] += scale · Σ x[·, c]; a thread sums its columns over all rows, in their order. */
void cpu_column_sums(Device *device, float *to, Tensor x, float scale)
{
    enum { COLUMNS = 32 * LANES };
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t c = 0; c < x.cols; c += COLUMNS) {
        float sums[COLUMNS] = {0};
        int64_t count = x.cols - c < COLUMNS ? x.cols - c : COLUMNS;
        for (int64_t r = 0; r < x.rows; r++) {
            const void *row = row_at(x, r);
            for (int64_t i = 0; i < count; i += LANES) {
                Lanes sum = lanes_load(sums, i, DTYPE_F32);
                sum += lanes_load_part(row, c + i, x.dtype, count - i);
                lanes_store(sums, i, DTYPE_F32, sum);
            }
        }
        for (int64_t i = 0; i < count; i += LANES) {
            Lanes sum = lanes_load(sums, i, DTYPE_F32) * scale;
            sum += lanes_load_part(to, c + i, DTYPE_F32, count - i);
            lanes_store_part(to, c + i, DTYPE_F32, count - i, sum);
        }
    }
}
