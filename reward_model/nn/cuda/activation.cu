/* activation.cu - GELU in both its forms and SwiGLU.
 *
 * All three are x · gate(x): silu has gate σ(x); GELU's tanh form 0.5·(1 + tanh u) = σ(2u) with
 * u = √(2/π)·(x + 0.044715·x³); GELU's exact form the normal distribution function Φ(x).
 * Backward computes the gate again from x, so nothing but x is kept.
 *
 * At 3 TB/s an H100's multiprocessor moves 1.3 (SwiGLU backward) to 3.3 (GELU) bf16 elements a
 * clock, with 128 lanes for 38 to 95 instructions each; an exponential and a quotient are about 8
 * apiece, so memory remains what is waited for. */
#include <assert.h>
#include "grid.h"
#include "table.h"

struct Gate { /* the gate and its slope by x */
    float open, slope;
};

/* σ(x) and σ(x)·(1 - σ(x)), without taking nearly equal numbers from each other. */
__device__ __forceinline__ Gate gate_sigmoid(float x)
{
    float e = expf(x < 0 ? x : -x), divisor = 1 / (1 + e), small = e * divisor;
    return Gate{x < 0 ? small : divisor, small * divisor};
}

/* Φ(-a) = e^(-a²/2) · P(t), t = 1/(1 + 0.3·a), for a >= 0: the polynomial of
 * ops_cpu_activation.c, fitted on 0 … 13.3 to 6e-8, beyond which the exponential is 0. */
__device__ __forceinline__ Gate gate_normal(float x)
{
    float a = x < 0 ? -x : x;
    a = a > 14 ? 14 : a; /* keeps a² finite */
    float bell = expf(-0.5f * a * a), t = 1 / (1 + 0.3f * a);
    float p = 0.0383115485f * t - 0.168841273f;
    p = p * t + 0.227988079f;
    p = p * t - 0.0757366493f;
    p = p * t + 0.142002821f;
    p = p * t + 0.0949109048f;
    p = p * t + 0.121862024f;
    p = p * t + 0.119495884f;
    p = (p * t + 6.68617849e-06f) * bell;
    return Gate{x < 0 ? p : 1 - p, 0.3989422804f * bell};
}

template <Activation KIND> __device__ __forceinline__ Gate gate_of(float x)
{
    if (KIND == ACT_GELU_ERF) return gate_normal(x);
    if (KIND == ACT_SWIGLU) return gate_sigmoid(x);
    const float twice = 1.5957691216057308f, cubic = 0.044715f; /* 2·√(2/π) */
    float square = x * x;
    square = square > 1e4f ? 1e4f : square; /* the gate is 0 or 1 there */
    Gate g = gate_sigmoid(twice * x * (1 + cubic * square));
    g.slope *= twice * (1 + 3 * cubic * square);
    return g;
}

/* cols: of y; SwiGLU's x has as many more, the second factor. */
template <typename T, Activation KIND>
__global__ void __launch_bounds__(GRID_THREADS)
    activation_forward(Rows<T> y, Rows<T> x, int64_t rows, int64_t cols)
{
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    if (col >= cols) return;
    int count = packet_count(packet, cols);
    EACH_ROW(row, rows)
    {
        Packet in = packet_load(x, row, col, count), up;
        if (KIND == ACT_SWIGLU) up = packet_load(x, row, cols + col, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            in.at[i] *= gate_of<KIND>(in.at[i]).open;
            if (KIND == ACT_SWIGLU) in.at[i] *= up.at[i];
        }
        packet_store(y, row, col, count, in);
    }
}

template <typename T, Activation KIND>
__global__ void __launch_bounds__(GRID_THREADS)
    activation_backward(Rows<T> dx, Rows<T> dy, Rows<T> x, int64_t rows, int64_t cols)
{
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    if (col >= cols) return;
    int count = packet_count(packet, cols);
    EACH_ROW(row, rows)
    {
        Packet in = packet_load(x, row, col, count), out = packet_load(dy, row, col, count), up;
        if (KIND == ACT_SWIGLU) up = packet_load(x, row, cols + col, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            Gate g = gate_of<KIND>(in.at[i]);
            float slope = out.at[i] * (g.open + in.at[i] * g.slope);
            if (KIND == ACT_SWIGLU) {
                slope *= up.at[i];
                up.at[i] = out.at[i] * in.at[i] * g.open;
            }
            in.at[i] = slope;
        }
        packet_store(dx, row, col, count, in);
        if (KIND == ACT_SWIGLU) packet_store(dx, row, cols + col, count, up);
    }
}

template <typename T>
static void forward_as(CudaDevice *cuda, CudaPlace place, Activation kind, Tensor y, Tensor x)
{
    CudaGrid grid = grid_of_packets(y.rows, divide_up(y.cols, PACKET));
    void (*kernel)(Rows<T>, Rows<T>, int64_t, int64_t) = activation_forward<T, ACT_GELU_ERF>;
    if (kind == ACT_SWIGLU) kernel = activation_forward<T, ACT_SWIGLU>;
    if (kind == ACT_GELU_TANH) kernel = activation_forward<T, ACT_GELU_TANH>;
    cuda_launch(cuda, place, grid, kernel, rows_of<T>(y), rows_of<T>(x), y.rows, y.cols);
}

void cuda_activate(Device *device, Activation kind, Tensor y, Tensor x)
{
    assert(y.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * y.cols);
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(y.rows, y.cols);
    if (!rows_fit(y) || !rows_fit(x) || y.dtype != x.dtype) {
        forward_as<Any>(cuda, place, kind, y, x);
    } else if (x.dtype == DTYPE_F32) {
        forward_as<float>(cuda, place, kind, y, x);
    } else {
        forward_as<bf16>(cuda, place, kind, y, x);
    }
}

template <typename T>
static void backward_as(CudaDevice *cuda, CudaPlace place, Activation kind, Tensor dx, Tensor dy,
                        Tensor x)
{
    CudaGrid grid = grid_of_packets(dy.rows, divide_up(dy.cols, PACKET));
    void (*kernel)(Rows<T>, Rows<T>, Rows<T>, int64_t, int64_t) =
        activation_backward<T, ACT_GELU_ERF>;
    if (kind == ACT_SWIGLU) kernel = activation_backward<T, ACT_SWIGLU>;
    if (kind == ACT_GELU_TANH) kernel = activation_backward<T, ACT_GELU_TANH>;
    cuda_launch(cuda, place, grid, kernel, rows_of<T>(dx), rows_of<T>(dy), rows_of<T>(x), dy.rows,
                dy.cols);
}

void cuda_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x)
{
    assert(dy.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * dy.cols);
    assert(dx.rows == x.rows && dx.cols == x.cols);
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(dy.rows, dy.cols);
    bool same = dx.dtype == x.dtype && dy.dtype == x.dtype;
    if (!same || !rows_fit(dx) || !rows_fit(dy) || !rows_fit(x)) {
        backward_as<Any>(cuda, place, kind, dx, dy, x);
    } else if (x.dtype == DTYPE_F32) {
        backward_as<float>(cuda, place, kind, dx, dy, x);
    } else {
        backward_as<bf16>(cuda, place, kind, dx, dy, x);
    }
}
