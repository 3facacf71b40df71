/* norm_backward.cu - LayerNorm and RMS norm of rows, backward.
 * With n = (x - mean) · inverse and g = dy · weight:
 *   dx = inverse · (g - n · Σ(g·n)/dim - [LayerNorm] Σg/dim),  dweight += dy · n,  dbias += dy.
 * A block adds up dweight and dbias over all its rows in registers, then over its groups, and
 * writes one row of partial sums. */

#include <assert.h>
#include "norm.h"

enum {
    BACKWARD_THREADS = 128,           /* few a block, for each block has a part of the sums */
    BACKWARD_THREADS_MAX = 528 * 128, /* of a launch: 512 on each multiprocessor of an H100; a
                                         function of the shape alone, as the bits depend on it */
    BACKWARD_BLOCKS_MIN = 264,
    ROWS_EACH = 8, /* a group's, at least, before there are more blocks */
};

template <typename T> struct NormBackward {
    int64_t rows, dim;
    Rows<T> dx, dy, x;
    Rows<typename FloatsBeside<T>::Type> weight;
    bool added; /* to what dx holds */
    const float *stats;
    float *partials; /* [blocks][dweight: dim | LayerNorm: dbias: dim]; NULL: not wanted */
};

template <NormKind KIND, int HELD> struct NormSums { /* of one thread's columns */
    Packet weight[HELD], bias[KIND == NORM_LAYER ? HELD : 1];
};

/* n and g in place of x and dy; Σ(g·n) and Σg of this thread. */
template <typename T, NormKind KIND, int HELD>
__device__ __forceinline__ float2 norm_slopes(const NormBackward<T> &n, int64_t row, Packet *x,
                                              Packet *dy, NormSums<KIND, HELD> &sums)
{
    const bool live = row < n.rows;
    const float mean = live && KIND == NORM_LAYER ? n.stats[2 * row] : 0;
    const float inverse = live ? n.stats[2 * row + 1] : 0;
    float2 sum = {0, 0};
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(live, k, n.dim);
        if (count == 0) continue;
        Packet weight = packet_load(n.weight, 0, packet_at(k) * PACKET, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            x[k].at[i] = (x[k].at[i] - mean) * inverse;
            sums.weight[k].at[i] += dy[k].at[i] * x[k].at[i];
            if (KIND == NORM_LAYER) sums.bias[k].at[i] += dy[k].at[i];
            dy[k].at[i] *= weight.at[i];
            sum.x += dy[k].at[i] * x[k].at[i];
            sum.y += dy[k].at[i];
        }
    }
    return sum;
}

template <typename T, NormKind KIND, int HELD>
__device__ __forceinline__ void norm_row_backward(const NormBackward<T> &n, int64_t row,
                                                  NormSums<KIND, HELD> &sums, float2 *warps)
{
    const bool live = row < n.rows;
    Packet x[HELD], dy[HELD];
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        x[k] = part_load(n.x, row, live, k, n.dim);
        dy[k] = part_load(n.dy, row, live, k, n.dim);
    }
    float2 sum = group_sums(norm_slopes<T, KIND, HELD>(n, row, x, dy, sums), warps);
    const float along = sum.x / (float)n.dim;
    const float shift = KIND == NORM_LAYER ? sum.y / (float)n.dim : 0;
    const float inverse = live ? n.stats[2 * row + 1] : 0;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(live, k, n.dim);
        if (count == 0) continue;
        int64_t col = packet_at(k) * PACKET;
        Packet before = {};
        if (n.added) before = packet_load(n.dx, row, col, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            dy[k].at[i] = (dy[k].at[i] - shift - x[k].at[i] * along) * inverse + before.at[i];
        }
        packet_store(n.dx, row, col, count, dy[k]);
    }
}

/* partials[c] = the sum of column c over the block's groups, in their order. */
template <int HELD>
__device__ __forceinline__ void block_sums(float *partials, const Packet *own, int64_t dim,
                                           float *shared)
{
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(true, k, dim);
        float *to = shared + threadIdx.y * dim + packet_at(k) * PACKET;
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            if (i < count) to[i] = own[k].at[i];
        }
    }
    __syncthreads();
    unsigned threads = blockDim.x * blockDim.y;
    for (int64_t c = threadIdx.y * blockDim.x + threadIdx.x; c < dim; c += threads) {
        float sum = shared[c];
        for (unsigned y = 1; y < blockDim.y; y++) sum += shared[y * dim + c];
        partials[c] = sum;
    }
    __syncthreads();
}

/* The bound lets 168 registers a thread be used: rows of one type need 128 to 168 and spill none,
 * Any at most 10. */
template <typename T, NormKind KIND, int HELD>
__global__ void __launch_bounds__(384) norm_backward(NormBackward<T> n)
{
    SHARED_DYNAMIC(shared);
    __shared__ float2 warps[BLOCK_WARPS_MAX];
    const int64_t dim = n.dim, step = (int64_t)gridDim.x * blockDim.y;
    NormSums<KIND, HELD> sums = {};
    for (int64_t i = (int64_t)blockIdx.x * blockDim.y; i < n.rows; i += step) {
        norm_row_backward<T, KIND, HELD>(n, i + threadIdx.y, sums, warps);
    }
    if (!n.partials) return;
    float *partials = n.partials + blockIdx.x * (KIND == NORM_LAYER ? 2 * dim : dim);
    block_sums<HELD>(partials, sums.weight, dim, (float *)shared);
    if (KIND == NORM_LAYER) block_sums<HELD>(partials + dim, sums.bias, dim, (float *)shared);
}

/* ---- launches ---- */

static int64_t backward_blocks(Group group, int64_t rows)
{
    int64_t most = BACKWARD_THREADS_MAX / (group.threads * group.together);
    if (most < BACKWARD_BLOCKS_MIN) most = BACKWARD_BLOCKS_MIN;
    int64_t blocks = divide_up(rows, (int64_t)group.together * ROWS_EACH);
    return blocks < most ? blocks : most;
}

template <typename T>
static void backward_as(CudaDevice *cuda, CudaPlace place, NormKind kind, CudaGrid grid, bool one,
                        NormBackward<T> n, Tensor dx, Tensor dy, Tensor x, Tensor weight)
{
    n.dx = rows_of<T>(dx), n.dy = rows_of<T>(dy), n.x = rows_of<T>(x);
    n.weight = rows_of<typename FloatsBeside<T>::Type>(weight);
    void (*kernel)(NormBackward<T>) =
        kind == NORM_RMS
            ? (one ? norm_backward<T, NORM_RMS, 1> : norm_backward<T, NORM_RMS, HELD_MAX>)
            : (one ? norm_backward<T, NORM_LAYER, 1> : norm_backward<T, NORM_LAYER, HELD_MAX>);
    cuda_launch(cuda, place, grid, kernel, n);
}

void cuda_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                        float *dbias, Tensor dy, Tensor x, const float *stats, const float *weight)
{
    assert(dx.rows == x.rows && dy.rows == x.rows && dx.cols == x.cols && dy.cols == x.cols);
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(x.rows, x.cols);
    if (x.rows == 0 || !dim_taken(cuda, place, x.cols)) return;
    Group group = group_of(x.cols, BACKWARD_THREADS);
    int64_t blocks = backward_blocks(group, x.rows);
    int64_t width = kind == NORM_LAYER ? 2 * x.cols : x.cols;
    float *partials = NULL;
    if (dweight || dbias) {
        partials = (float *)cuda_scratch(cuda, (size_t)(blocks * width) * 4, place);
        if (!partials) return;
    }
    CudaGrid grid = {dim3((unsigned)blocks), dim3(group.threads, group.together),
                     (size_t)group.together * (size_t)x.cols * 4};
    Tensor w = rows_of_floats(weight, 1, x.cols);
    bool same = dx.dtype == x.dtype && dy.dtype == x.dtype;
    bool fit = same && rows_fit(dx) && rows_fit(dy) && rows_fit(x) && rows_fit(w);
    NormBackward<Any> any = {x.rows, x.cols, {}, {}, {}, {}, mode == ADD, stats, partials};
    NormBackward<float> f32 = {x.rows, x.cols, {}, {}, {}, {}, mode == ADD, stats, partials};
    NormBackward<bf16> half = {x.rows, x.cols, {}, {}, {}, {}, mode == ADD, stats, partials};
    if (!fit)
        backward_as(cuda, place, kind, grid, group.one, any, dx, dy, x, w);
    else if (x.dtype == DTYPE_F32)
        backward_as(cuda, place, kind, grid, group.one, f32, dx, dy, x, w);
    else
        backward_as(cuda, place, kind, grid, group.one, half, dx, dy, x, w);
    if (dweight) cuda_add_partials(cuda, place, dweight, partials, blocks, width, x.cols, 1);
    if (dbias && kind == NORM_LAYER)
        cuda_add_partials(cuda, place, dbias, partials + x.cols, blocks, width, x.cols, 1);
}
