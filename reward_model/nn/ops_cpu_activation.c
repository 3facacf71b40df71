/* ops_cpu_activation.c - GELU in both its forms and SwiGLU.
 *
 * All three are x · gate(x): silu has gate σ(x); GELU's tanh form 0.5·(1 + tanh u) = σ(2u) with
 * u = √(2/π)·(x + 0.044715·x³); GELU's exact form the normal distribution function Φ(x). */
#include "ops_cpu_exp.h"

/* Rows of a tensor are cut into pieces of this many columns, so that few rows keep all threads. */
enum { PIECE = 1024 };

/* The gate and its slope by x. */
typedef struct Gate {
    Lanes open, slope;
} Gate;

/* σ(x) and σ(x)·(1 - σ(x)), without taking nearly equal numbers from each other. */
INLINE Gate sigmoid(Lanes x)
{
    LanesInt negative = x < 0;
    Lanes e = lanes_exp(lanes_choose(negative, x, -x)), divisor = 1 / (1 + e);
    Lanes small = e * divisor;
    return (Gate){lanes_choose(negative, small, divisor), small * divisor};
}

/* σ(x) alone: 0 below -88.3. */
INLINE Lanes sigmoid_open(Lanes x)
{
    return 1 / (1 + lanes_exp(-x));
}

/* Φ(-a) = e^(-a²/2) · P(t), t = 1/(1 + 0.3·a), for a >= 0. P is fitted on 0 … 13.3 (relative
 * minimax, 6e-8), beyond which the exponential is 0; all told to 4e-7 of itself. */
INLINE Gate normal(Lanes x)
{
    LanesInt negative = x < 0;
    Lanes a = lanes_choose(negative, -x, x);
    a = lanes_choose(a > 14, lanes_all(14), a); /* keeps a² finite */
    Lanes bell = lanes_exp(-0.5f * a * a), t = 1 / (1 + 0.3f * a);
    Lanes p = 0.0383115485f * t - 0.168841273f;
    p = p * t + 0.227988079f;
    p = p * t - 0.0757366493f;
    p = p * t + 0.142002821f;
    p = p * t + 0.0949109048f;
    p = p * t + 0.121862024f;
    p = p * t + 0.119495884f;
    p = (p * t + 6.68617849e-06f) * bell;
    p = lanes_choose(x != x, x, p);
    return (Gate){lanes_choose(negative, p, 1 - p), 0.3989422804f * bell};
}

#define GELU_TWICE 1.5957691216057308f /* 2·√(2/π) */
#define GELU_CUBIC 0.044715f

/* x² as far as the gate is not 0 or 1. */
INLINE Lanes gelu_square(Lanes x)
{
    Lanes square = x * x;
    return lanes_choose(square > 1e4f, lanes_all(1e4f), square);
}

INLINE Gate gate(Activation kind, Lanes x)
{
    if (kind == ACT_GELU_ERF) return normal(x);
    if (kind == ACT_SWIGLU) return sigmoid(x);
    Lanes square = gelu_square(x);
    Gate g = sigmoid(GELU_TWICE * x * (1 + GELU_CUBIC * square));
    return (Gate){g.open, g.slope * (GELU_TWICE * (1 + 3 * GELU_CUBIC * square))};
}

INLINE Lanes gate_open(Activation kind, Lanes x)
{
    if (kind == ACT_GELU_ERF) return normal(x).open;
    if (kind == ACT_SWIGLU) return sigmoid_open(x);
    return sigmoid_open(GELU_TWICE * x * (1 + GELU_CUBIC * gelu_square(x)));
}

/* `count` columns from `col`; x has `cols` more columns for the other half of SwiGLU. */
INLINE void piece_forward(Activation kind, void *y, Dtype y_type, const void *x, Dtype x_type,
                          int64_t col, int64_t count, int64_t cols)
{
    for (int64_t c = col; c < col + count; c += LANES) {
        int64_t n = col + count - c;
        Lanes in = lanes_load_part(x, c, x_type, n);
        Lanes out = in * gate_open(kind, in);
        if (kind == ACT_SWIGLU) out *= lanes_load_part(x, cols + c, x_type, n);
        lanes_store_part(y, c, y_type, n, out);
    }
}

INLINE void piece_backward(Activation kind, void *dx, Dtype dx_type, const void *dy, Dtype dy_type,
                           const void *x, Dtype x_type, int64_t col, int64_t count, int64_t cols)
{
    for (int64_t c = col; c < col + count; c += LANES) {
        int64_t n = col + count - c;
        Lanes in = lanes_load_part(x, c, x_type, n), out = lanes_load_part(dy, c, dy_type, n);
        Gate g = gate(kind, in);
        if (kind == ACT_SWIGLU) {
            Lanes up = lanes_load_part(x, cols + c, x_type, n);
            lanes_store_part(dx, cols + c, dx_type, n, out * in * g.open);
            out *= up;
        }
        lanes_store_part(dx, c, dx_type, n, out * (g.open + in * g.slope));
    }
}

/* The kind as a constant, and the dtypes where they are the usual ones. */
INLINE void forward_as(Activation kind, Tensor y, Tensor x, int64_t row, int64_t col, int64_t count)
{
    void *to = row_at(y, row);
    const void *from = row_at(x, row);
    if (y.dtype == DTYPE_BF16 && x.dtype == DTYPE_BF16)
        piece_forward(kind, to, DTYPE_BF16, from, DTYPE_BF16, col, count, y.cols);
    else
        piece_forward(kind, to, y.dtype, from, x.dtype, col, count, y.cols);
}

static void forward(Activation kind, Tensor y, Tensor x, int64_t row, int64_t col, int64_t count)
{
    if (kind == ACT_SWIGLU)
        forward_as(ACT_SWIGLU, y, x, row, col, count);
    else if (kind == ACT_GELU_TANH)
        forward_as(ACT_GELU_TANH, y, x, row, col, count);
    else
        forward_as(ACT_GELU_ERF, y, x, row, col, count);
}

static void backward(Activation kind, Tensor dx, Tensor dy, Tensor x, int64_t row, int64_t col,
                     int64_t count)
{
    void *to = row_at(dx, row);
    const void *slope = row_at(dy, row), *from = row_at(x, row);
    if (kind == ACT_SWIGLU) {
        piece_backward(ACT_SWIGLU, to, dx.dtype, slope, dy.dtype, from, x.dtype, col, count,
                       dy.cols);
    } else if (kind == ACT_GELU_TANH) {
        piece_backward(ACT_GELU_TANH, to, dx.dtype, slope, dy.dtype, from, x.dtype, col, count,
                       dy.cols);
    } else {
        piece_backward(ACT_GELU_ERF, to, dx.dtype, slope, dy.dtype, from, x.dtype, col, count,
                       dy.cols);
    }
}

void cpu_activate(Device *device, Activation kind, Tensor y, Tensor x)
{
    assert(y.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * y.cols);
#pragma omp parallel for schedule(static) collapse(2) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < y.rows; r++) {
        for (int64_t c = 0; c < y.cols; c += PIECE) {
            forward(kind, y, x, r, c, y.cols - c < PIECE ? y.cols - c : PIECE);
        }
    }
}

void cpu_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x)
{
    assert(dy.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * dy.cols);
    assert(dx.rows == x.rows && dx.cols == x.cols);
#pragma omp parallel for schedule(static) collapse(2) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < dy.rows; r++) {
        for (int64_t c = 0; c < dy.cols; c += PIECE) {
            backward(kind, dx, dy, x, r, c, dy.cols - c < PIECE ? dy.cols - c : PIECE);
        }
    }
}
