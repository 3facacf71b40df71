/* norm.cu - LayerNorm and RMS norm of rows, forward. */
#include <assert.h>
#include "norm.h"

enum {
    FORWARD_THREADS = 128,    /* of a block, where a row has fewer */
    FORWARD_BLOCKS_EACH = 16, /* blocks a multiprocessor: weights stay in its cache */
};

template <typename T> struct NormForward {
    int64_t rows, dim;
    Rows<T> y, x;
    Rows<typename FloatsBeside<T>::Type> weight, bias;
    bool biased;
    float epsilon;
    float *stats;
};

template <typename T, NormKind KIND, int HELD>
__device__ __forceinline__ void norm_row(const NormForward<T> &n, int64_t row, float2 *warps)
{
    const bool live = row < n.rows;
    Packet held[HELD];
#pragma unroll
    for (int k = 0; k < HELD; k++) held[k] = part_load(n.x, row, live, k, n.dim);
    float mean = 0, sum = 0, square = 0;
    if (KIND == NORM_LAYER) {
#pragma unroll
        for (int k = 0; k < HELD; k++) {
#pragma unroll
            for (int i = 0; i < PACKET; i++) sum += held[k].at[i];
        }
        mean = group_sums(float2{sum, 0}, warps).x / (float)n.dim;
    }
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        Packet x = held[k];
        int count = count_at(live, k, n.dim);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            if (i < count) square += (x.at[i] - mean) * (x.at[i] - mean);
        }
    }
    square = group_sums(float2{square, 0}, warps).x / (float)n.dim;
    float inverse = 1 / sqrtf(square + n.epsilon);
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(live, k, n.dim);
        if (count == 0) continue;
        int64_t col = packet_at(k) * PACKET;
        Packet x = held[k];
        Packet weight = packet_load(n.weight, 0, col, count), bias = {};
        if (KIND == NORM_LAYER && n.biased) bias = packet_load(n.bias, 0, col, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) x.at[i] = (x.at[i] - mean) * inverse;
        if (KIND == NORM_RMS) x = packet_round(n.y, x);
#pragma unroll
        for (int i = 0; i < PACKET; i++) x.at[i] = x.at[i] * weight.at[i] + bias.at[i];
        packet_store(n.y, row, col, count, x);
    }
    if (threadIdx.x > 0 || !live) return;
    n.stats[2 * row] = mean;
    n.stats[2 * row + 1] = inverse;
}

template <typename T, NormKind KIND, int HELD>
__global__ void __launch_bounds__(640) /* at most 96 registers: 20 warps */
    norm_forward(NormForward<T> n)
{
    __shared__ float2 warps[BLOCK_WARPS_MAX];
    int64_t step = (int64_t)gridDim.x * blockDim.y;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.y; i < n.rows; i += step) {
        norm_row<T, KIND, HELD>(n, i + threadIdx.y, warps);
    }
}

/* ---- launches ---- */

template <typename T>
static void forward_as(CudaDevice *cuda, CudaPlace place, NormKind kind, float epsilon, Tensor y,
                       float *stats, Tensor x, Tensor weight, Tensor bias)
{
    typedef typename FloatsBeside<T>::Type Floats;
    NormForward<T> n = {x.rows,
                        x.cols,
                        rows_of<T>(y),
                        rows_of<T>(x),
                        rows_of<Floats>(weight),
                        rows_of<Floats>(bias),
                        bias.data != NULL,
                        epsilon,
                        stats};
    Group group = group_of(x.cols, FORWARD_THREADS);
    int64_t blocks = divide_up(x.rows, group.together);
    int64_t most = (int64_t)cuda->processors * FORWARD_BLOCKS_EACH;
    CudaGrid grid = {dim3((unsigned)(blocks < most ? blocks : most)),
                     dim3(group.threads, group.together), 0};
    void (*kernel)(NormForward<T>) =
        kind == NORM_RMS
            ? (group.one ? norm_forward<T, NORM_RMS, 1> : norm_forward<T, NORM_RMS, HELD_MAX>)
            : (group.one ? norm_forward<T, NORM_LAYER, 1> : norm_forward<T, NORM_LAYER, HELD_MAX>);
    cuda_launch(cuda, place, grid, kernel, n);
}

void cuda_norm(Device *device, NormKind kind, float epsilon, Tensor y, float *stats, Tensor x,
               const float *weight, const float *bias)
{
    assert(kind == NORM_LAYER || !bias);
    assert(y.rows == x.rows && y.cols == x.cols);
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(x.rows, x.cols);
    if (!dim_taken(cuda, place, x.cols)) return;
    Tensor w = rows_of_floats(weight, 1, x.cols), b = rows_of_floats(bias, 1, x.cols);
    bool fit = rows_fit(y) && rows_fit(x) && rows_fit(w) && rows_fit(b) && y.dtype == x.dtype;
    if (!fit)
        forward_as<Any>(cuda, place, kind, epsilon, y, stats, x, w, b);
    else if (x.dtype == DTYPE_F32)
        forward_as<float>(cuda, place, kind, epsilon, y, stats, x, w, b);
    else
        forward_as<bf16>(cuda, place, kind, epsilon, y, stats, x, w, b);
}
