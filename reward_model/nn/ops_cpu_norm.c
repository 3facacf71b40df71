/* ops_cpu_norm.c - LayerNorm, RMS norm, over rows and over heads; rotary positions. */
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

INLINE void norm_row(Tensor y, Tensor x, int64_t row, Dtype y_type, Dtype x_type, NormKind kind,
                     float epsilon, float *mean, const float *weight, const float *bias)
{
    Segment s = {.y = row_at(y, row),
                 .y_type = y_type,
                 .x = row_at(x, row),
                 .x_type = x_type,
                 .cols = x.cols};
    norm_segment(s, kind, epsilon, mean, mean + 1, weight, bias);
}

/* (the usual kind and dtypes as constants) */
void cpu_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
              const float *weight, const float *bias)
{
    assert(y.rows == x.rows && y.cols == x.cols && (kind == NORM_LAYER || !bias));
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < x.rows; r++) {
        float *mean = &stats[2 * r];
        if (kind == NORM_RMS && y.dtype == DTYPE_BF16 && x.dtype == DTYPE_BF16)
            norm_row(y, x, r, DTYPE_BF16, DTYPE_BF16, NORM_RMS, epsilon, mean, weight, NULL);
        else if (kind == NORM_RMS && y.dtype == DTYPE_BF16)
            norm_row(y, x, r, DTYPE_BF16, DTYPE_F32, NORM_RMS, epsilon, mean, weight, NULL);
        else
            norm_row(y, x, r, y.dtype, x.dtype, kind, epsilon, mean, weight, bias);
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

/* ---- q and k: head norms and rotary positions ---- */

/* One head. `to` may be `from`, of one type then. */
INLINE void rotate_head(void *to, Dtype to_type, const void *from, Dtype from_type, int64_t dim,
                        const float *cosines, const float *sines, int64_t half, float sign)
{
    for (int64_t j = 0; j < half; j += LANES) {
        int64_t n = half - j;
        Lanes a = lanes_load_part(from, j, from_type, n);
        Lanes b = lanes_load_part(from, half + j, from_type, n);
        Lanes cosine = lanes_load_part(cosines, j, DTYPE_F32, n);
        Lanes sine = lanes_load_part(sines, j, DTYPE_F32, n) * sign;
        lanes_store_part(to, j, to_type, n, a * cosine - b * sine);
        lanes_store_part(to, half + j, to_type, n, b * cosine + a * sine);
    }
    for (int64_t j = 2 * half; to != from && j < dim; j += LANES) {
        lanes_store_part(to, j, to_type, dim - j, lanes_load_part(from, j, from_type, dim - j));
    }
}

/* What all heads of a call share. */
typedef struct Turning {
    const Rotary *rotary;
    int64_t dim, half;
    float epsilon;
} Turning;

INLINE const float *wave_at(const Turning *turning, const float *table, const HeadTurn *t,
                            int64_t row)
{
    return turning->half ? table + t->positions[row] * turning->half : NULL;
}

/* Without a norm. What does not rotate is left alone where it stands in its place already. */
INLINE void rotate_row(char *to, Dtype to_type, const char *from, Dtype from_type, int64_t heads,
                       int64_t dim, const float *cosines, const float *sines, int64_t half,
                       float sign)
{
    const size_t to_step = (size_t)dim * dtype_bytes(to_type);
    const size_t from_step = (size_t)dim * dtype_bytes(from_type);
    for (int64_t h = 0; to == from && h < heads; h++) {
        rotate_head(to + (size_t)h * to_step, to_type, to + (size_t)h * to_step, to_type, dim,
                    cosines, sines, half, sign);
    }
    for (int64_t h = 0; to != from && h < heads; h++) {
        rotate_head(to + (size_t)h * to_step, to_type, from + (size_t)h * from_step, from_type, dim,
                    cosines, sines, half, sign);
    }
}

/* A head is normed to where it goes, and is rotated while it lies in the nearest cache. */
INLINE void turn_row(const Turning *turning, const HeadTurn *t, int64_t row, Dtype x_type,
                     Dtype y_type)
{
    const int64_t dim = turning->dim, half = turning->half, heads = t->x.cols / dim;
    const size_t x_step = (size_t)dim * dtype_bytes(x_type);
    const size_t y_step = (size_t)dim * dtype_bytes(y_type);
    const float *cosines = wave_at(turning, turning->rotary->cosines, t, row);
    const float *sines = wave_at(turning, turning->rotary->sines, t, row);
    const float *weight = t->weight;
    const float epsilon = turning->epsilon;
    float mean, *stats = weight ? t->stats + row * heads : NULL;
    const char *x = row_at(t->x, row);
    char *y = row_at(t->y, row);
    if (!weight) {
        rotate_row(y, y_type, x, x_type, heads, dim, cosines, sines, half, 1);
        return;
    }
    for (int64_t h = 0; h < heads; h++, x += x_step, y += y_step) {
        Segment s = {.y = y, .y_type = y_type, .x = x, .x_type = x_type, .cols = dim};
        norm_segment(s, NORM_RMS, epsilon, &mean, &stats[h], weight, NULL);
        rotate_head(y, y_type, y, y_type, dim, cosines, sines, half, 1);
    }
}

static void turn_check(int32_t head_dim, const Rotary *rotary, const HeadTurn *t, Tensor to,
                       Tensor from)
{
    assert(head_dim > 0 && head_dim <= TURN_HEAD_DIM_MAX && from.cols % head_dim == 0);
    assert(rotary->rotary_dims <= head_dim && rotary->rotary_dims % 2 == 0);
    assert(to.rows == from.rows && to.cols == from.cols && (!t->weight || t->stats));
}

void cpu_turn_heads(Device *device, int32_t head_dim, float epsilon, const Rotary *rotary,
                    const HeadTurn *q, const HeadTurn *k)
{
    const Turning turning = {rotary, head_dim, rotary->rotary_dims / 2, epsilon};
    assert(!q->weight == !k->weight);
    turn_check(head_dim, rotary, q, q->y, q->x);
    turn_check(head_dim, rotary, k, k->y, k->x);
#pragma omp parallel num_threads(cpu_of(device)->threads)
    for (int part = 0; part < 2; part++) {
        const HeadTurn *t = part ? k : q;
#pragma omp for schedule(static) nowait
        for (int64_t r = 0; r < t->x.rows; r++) {
            if (t->x.dtype == DTYPE_F32 && t->y.dtype == DTYPE_F32)
                turn_row(&turning, t, r, DTYPE_F32, DTYPE_F32);
            else if (t->x.dtype == DTYPE_BF16 && t->y.dtype == DTYPE_BF16)
                turn_row(&turning, t, r, DTYPE_BF16, DTYPE_BF16);
            else
                turn_row(&turning, t, r, t->x.dtype, t->y.dtype);
        }
    }
}

/* own: the block's part of dweight; NULL without a norm. */
INLINE void turn_back_row(const Turning *turning, const HeadTurn *t, int64_t row, float *own,
                          Dtype x_type, Dtype dy_type, Dtype dx_type)
{
    const int64_t dim = turning->dim, half = turning->half, heads = t->dy.cols / dim;
    const size_t dy_step = (size_t)dim * dtype_bytes(dy_type);
    const size_t dx_step = (size_t)dim * dtype_bytes(dx_type);
    const float *cosines = wave_at(turning, turning->rotary->cosines, t, row);
    const float *sines = wave_at(turning, turning->rotary->sines, t, row);
    const float *weight = t->weight, *stats = own ? t->stats + row * heads : NULL;
    const char *dy = row_at(t->dy, row);
    char *dx = row_at(t->dx, row);
    _Alignas(64) char back[TURN_HEAD_DIM_MAX * sizeof(float)];
    if (!own) {
        rotate_row(dx, dx_type, dy, dy_type, heads, dim, cosines, sines, half, -1);
        return;
    }
    for (int64_t h = 0; h < heads; h++, dy += dy_step, dx += dx_step) {
        rotate_head(back, dy_type, dy, dy_type, dim, cosines, sines, half, -1);
        Segment s = {.y = dx,
                     .y_type = dx_type,
                     .x = head_at(t->x, row, h, dim),
                     .x_type = x_type,
                     .dy = back,
                     .dy_type = dy_type,
                     .cols = dim};
        norm_segment_backward(s, NORM_RMS, 0, stats[h], SET, weight, own, NULL);
    }
}

static void turn_back_rows(const Turning *turning, const HeadTurn *t, int64_t begin, int64_t end,
                           float *own)
{
    if (end > t->dy.rows) end = t->dy.rows;
    const Dtype type = t->dy.dtype, x_type = own ? t->x.dtype : type;
    const bool same = type == t->dx.dtype && type == x_type;
    for (int64_t r = begin; r < end; r++) {
        if (same && type == DTYPE_F32)
            turn_back_row(turning, t, r, own, DTYPE_F32, DTYPE_F32, DTYPE_F32);
        else if (same)
            turn_back_row(turning, t, r, own, DTYPE_BF16, DTYPE_BF16, DTYPE_BF16);
        else
            turn_back_row(turning, t, r, own, x_type, type, t->dx.dtype);
    }
}

void cpu_turn_heads_backward(Device *device, int32_t head_dim, const Rotary *rotary,
                             const HeadTurn *q, const HeadTurn *k)
{
    Cpu *cpu = cpu_of(device);
    const Turning turning = {rotary, head_dim, rotary->rotary_dims / 2, 0};
    const HeadTurn *parts[] = {q, k};
    Blocks blocks[] = {blocks_of(q->dy.rows), blocks_of(k->dy.rows)};
    bool norm = q->weight != NULL;
    assert(norm == (k->weight != NULL));
    turn_check(head_dim, rotary, q, q->dx, q->dy);
    turn_check(head_dim, rotary, k, k->dx, k->dy);
    float *partials[2] = {NULL, NULL};
    if (norm) {
        int64_t count = (blocks[0].count + blocks[1].count) * head_dim;
        partials[0] = cpu_scratch(cpu, SLOT_PARTIALS, (size_t)count * sizeof(float));
        if (!partials[0]) return;
        partials[1] = partials[0] + blocks[0].count * head_dim;
    }
#pragma omp parallel num_threads(cpu->threads)
    for (int part = 0; part < 2; part++) {
#pragma omp for schedule(static) nowait
        for (int64_t b = 0; b < blocks[part].count; b++) {
            float *own = norm ? partials[part] + b * head_dim : NULL;
            if (own) memset(own, 0, (size_t)head_dim * sizeof(float));
            turn_back_rows(&turning, parts[part], b * blocks[part].rows,
                           (b + 1) * blocks[part].rows, own);
        }
    }
    for (int part = 0; norm && part < 2; part++) {
        if (!parts[part]->dweight) continue;
        add_partials(cpu, parts[part]->dweight, partials[part], blocks[part].count, head_dim,
                     head_dim);
    }
}
