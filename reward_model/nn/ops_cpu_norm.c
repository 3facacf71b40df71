/* ops_cpu_norm.c - LayerNorm, RMS norm over rows and over heads, and rotary positions. */
#include <math.h>
#include "ops_cpu_simd.h"

/* Rows whose weight gradients are summed together before the blocks are added in order: a function
 * of the shape alone, so the bits do not depend on the threads. */
enum { NORM_BLOCK = 64, NORM_BLOCKS_MAX = 256 };

/* A vector to normalise: a row, or one head of it. */
typedef struct Segment {
    void *y;
    const void *x, *dy;
    Dtype y_type, x_type, dy_type;
    int64_t cols;
} Segment;

/* ---- forward ---- */

INLINE void norm_segment(Segment s, NormKind kind, float epsilon, float *mean_out, float *inverse,
                         const float *weight, const float *bias)
{
    float mean = 0, inv_cols = 1.0f / (float)s.cols;
    if (kind == NORM_LAYER) {
        Lanes sum = {0};
        for (int64_t c = 0; c < s.cols; c += LANES) {
            sum += lanes_load_part(s.x, c, s.x_type, s.cols - c);
        }
        mean = lanes_sum(sum) * inv_cols;
    }
    Lanes square = {0};
    int64_t c = 0;
    for (; c + LANES <= s.cols; c += LANES) {
        Lanes x = lanes_load(s.x, c, s.x_type) - mean;
        square += x * x;
    }
    float tail = 0;
    for (; c < s.cols; c++) {
        float x = lanes_load_part(s.x, c, s.x_type, 1)[0] - mean;
        tail += x * x;
    }
    float scale = 1.0f / sqrtf((lanes_sum(square) + tail) * inv_cols + epsilon);
    for (c = 0; c < s.cols; c += LANES) {
        int64_t n = s.cols - c;
        Lanes x = (lanes_load_part(s.x, c, s.x_type, n) - mean) * scale;
        Lanes w = lanes_load_part(weight, c, DTYPE_F32, n);
        x = kind == NORM_RMS ? lanes_round(x, s.y_type) * w : x * w;
        if (bias) x += lanes_load_part(bias, c, DTYPE_F32, n);
        lanes_store_part(s.y, c, s.y_type, n, x);
    }
    *mean_out = mean;
    *inverse = scale;
}

void cpu_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
              const float *weight, const float *bias)
{
    assert(y.rows == x.rows && y.cols == x.cols && (kind == NORM_LAYER || !bias));
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < x.rows; r++) {
        Segment s = {.y = row_at(y, r),
                     .y_type = y.dtype,
                     .x = row_at(x, r),
                     .x_type = x.dtype,
                     .cols = x.cols};
        norm_segment(s, kind, epsilon, &stats[2 * r], &stats[2 * r + 1], weight, bias);
    }
}

void cpu_head_norm(Device *device, int32_t head_dim, float epsilon, Tensor y, float *stats,
                   Tensor x, const float *weight)
{
    int64_t heads = x.cols / head_dim;
    assert(y.rows == x.rows && y.cols == x.cols && heads * head_dim == x.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t h = 0; h < heads; h++) {
            size_t skip = (size_t)(h * head_dim);
            Segment s = {.y = (char *)row_at(y, r) + skip * dtype_bytes(y.dtype),
                         .y_type = y.dtype,
                         .x = (char *)row_at(x, r) + skip * dtype_bytes(x.dtype),
                         .x_type = x.dtype,
                         .cols = head_dim};
            float mean;
            norm_segment(s, NORM_RMS, epsilon, &mean, &stats[r * heads + h], weight, NULL);
        }
    }
}

/* ---- backward ----
 * With n = (x - mean) · inverse and g = dy · weight:
 *   dx = inverse · (g - n · Σ(g·n)/cols - [LayerNorm] Σg/cols),  dweight += dy · n,  dbias += dy.
 */

INLINE void norm_segment_backward(Segment s, NormKind kind, float mean, float inverse,
                                  Accumulate mode, const float *weight, float *dweight,
                                  float *dbias)
{
    Lanes sum = {0}, product = {0};
    for (int64_t c = 0; c < s.cols; c += LANES) {
        int64_t n = s.cols - c;
        Lanes dy = lanes_load_part(s.dy, c, s.dy_type, n);
        Lanes x = (lanes_load_part(s.x, c, s.x_type, n) - mean) * inverse;
        Lanes g = dy * lanes_load_part(weight, c, DTYPE_F32, n);
        sum += g;
        product += g * x;
        x = dy * x + lanes_load_part(dweight, c, DTYPE_F32, n);
        lanes_store_part(dweight, c, DTYPE_F32, n, x);
        if (!dbias) continue;
        lanes_store_part(dbias, c, DTYPE_F32, n, dy + lanes_load_part(dbias, c, DTYPE_F32, n));
    }
    float shift = kind == NORM_LAYER ? lanes_sum(sum) / (float)s.cols : 0;
    float along = lanes_sum(product) / (float)s.cols;
    for (int64_t c = 0; c < s.cols; c += LANES) {
        int64_t n = s.cols - c;
        Lanes x = (lanes_load_part(s.x, c, s.x_type, n) - mean) * inverse;
        Lanes g = lanes_load_part(s.dy, c, s.dy_type, n);
        g *= lanes_load_part(weight, c, DTYPE_F32, n);
        Lanes dx = (g - shift - x * along) * inverse;
        if (mode == ADD) dx += lanes_load_part(s.y, c, s.y_type, n);
        lanes_store_part(s.y, c, s.y_type, n, dx);
    }
}

/* How rows are cut into blocks. */
typedef struct Blocks {
    int64_t count, rows;
} Blocks;

static Blocks blocks_of(int64_t rows)
{
    int64_t each = (rows + NORM_BLOCKS_MAX - 1) / NORM_BLOCKS_MAX;
    if (each < NORM_BLOCK) each = NORM_BLOCK;
    return (Blocks){.count = (rows + each - 1) / each, .rows = each};
}

/* to[c] += Σ over blocks in their order. */
static void add_partials(Cpu *cpu, float *to, const float *partials, int64_t blocks, int64_t step,
                         int64_t cols)
{
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t c = 0; c < cols; c += LANES) {
        int64_t n = cols - c;
        Lanes sum = {0};
        for (int64_t b = 0; b < blocks; b++) {
            sum += lanes_load_part(partials + b * step, c, DTYPE_F32, n);
        }
        lanes_store_part(to, c, DTYPE_F32, n, sum + lanes_load_part(to, c, DTYPE_F32, n));
    }
}

void cpu_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                       float *dbias, Tensor dy, Tensor x, const float *stats, const float *weight)
{
    assert(dx.rows == x.rows && dy.rows == x.rows && dx.cols == x.cols && dy.cols == x.cols);
    Cpu *cpu = cpu_of(device);
    Blocks blocks = blocks_of(x.rows);
    int64_t step = 2 * x.cols; /* dweight | dbias */
    float *partials = cpu_scratch(cpu, SLOT_PARTIALS, (size_t)(blocks.count * step) * 4);
    if (!partials) return;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t b = 0; b < blocks.count; b++) {
        float *own = partials + b * step;
        memset(own, 0, (size_t)step * 4);
        int64_t end = (b + 1) * blocks.rows < x.rows ? (b + 1) * blocks.rows : x.rows;
        for (int64_t r = b * blocks.rows; r < end; r++) {
            Segment s = {.y = row_at(dx, r),
                         .y_type = dx.dtype,
                         .x = row_at(x, r),
                         .x_type = x.dtype,
                         .dy = row_at(dy, r),
                         .dy_type = dy.dtype,
                         .cols = x.cols};
            norm_segment_backward(s, kind, stats[2 * r], stats[2 * r + 1], mode, weight, own,
                                  dbias ? own + x.cols : NULL);
        }
    }
    if (dweight) add_partials(cpu, dweight, partials, blocks.count, step, x.cols);
    if (dbias) add_partials(cpu, dbias, partials + x.cols, blocks.count, step, x.cols);
}

void cpu_head_norm_backward(Device *device, int32_t head_dim, Tensor dx, float *dweight, Tensor dy,
                            Tensor x, const float *stats, const float *weight)
{
    assert(dx.rows == x.rows && dy.rows == x.rows && dx.cols == x.cols && dy.cols == x.cols);
    Cpu *cpu = cpu_of(device);
    Blocks blocks = blocks_of(x.rows);
    int64_t heads = x.cols / head_dim;
    float *partials = cpu_scratch(cpu, SLOT_PARTIALS, (size_t)(blocks.count * head_dim) * 4);
    if (!partials) return;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t b = 0; b < blocks.count; b++) {
        float *own = partials + b * head_dim;
        memset(own, 0, (size_t)head_dim * 4);
        int64_t end = (b + 1) * blocks.rows < x.rows ? (b + 1) * blocks.rows : x.rows;
        for (int64_t i = b * blocks.rows * heads; i < end * heads; i++) {
            int64_t r = i / heads;
            size_t skip = (size_t)(i % heads * head_dim);
            Segment s = {.y = (char *)row_at(dx, r) + skip * dtype_bytes(dx.dtype),
                         .y_type = dx.dtype,
                         .x = (char *)row_at(x, r) + skip * dtype_bytes(x.dtype),
                         .x_type = x.dtype,
                         .dy = (char *)row_at(dy, r) + skip * dtype_bytes(dy.dtype),
                         .dy_type = dy.dtype,
                         .cols = head_dim};
            norm_segment_backward(s, NORM_RMS, 0, stats[i], SET, weight, own, NULL);
        }
    }
    if (dweight) add_partials(cpu, dweight, partials, blocks.count, head_dim, head_dim);
}

/* ---- rotary positions ---- */

INLINE void rotate_head(char *head, Dtype type, const float *cosines, const float *sines,
                        int64_t half, float sign)
{
    for (int64_t j = 0; j < half; j += LANES) {
        int64_t n = half - j;
        Lanes a = lanes_load_part(head, j, type, n), b = lanes_load_part(head, half + j, type, n);
        Lanes cosine = lanes_load_part(cosines, j, DTYPE_F32, n);
        Lanes sine = lanes_load_part(sines, j, DTYPE_F32, n) * sign;
        lanes_store_part(head, j, type, n, a * cosine - b * sine);
        lanes_store_part(head, half + j, type, n, b * cosine + a * sine);
    }
}

void cpu_rotate(Device *device, Tensor x, int32_t head_dim, const int32_t *positions,
                const Rotary *rotary, int direction)
{
    assert(x.cols % head_dim == 0 && rotary->rotary_dims <= head_dim);
    assert(rotary->rotary_dims % 2 == 0);
    int64_t half = rotary->rotary_dims / 2;
    size_t head_bytes = (size_t)head_dim * dtype_bytes(x.dtype);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < x.rows; r++) {
        const float *cosines = rotary->cosines + positions[r] * half;
        const float *sines = rotary->sines + positions[r] * half;
        char *row = row_at(x, r);
        for (int64_t h = 0; h < x.cols / head_dim; h++) {
            char *head = row + (size_t)h * head_bytes;
            if (x.dtype == DTYPE_F32) {
                rotate_head(head, DTYPE_F32, cosines, sines, half, (float)direction);
            } else {
                rotate_head(head, DTYPE_BF16, cosines, sines, half, (float)direction);
            }
        }
    }
}
