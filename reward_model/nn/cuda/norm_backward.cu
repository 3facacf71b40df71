/* norm_backward.cu - LayerNorm and RMS norm of rows and of heads, backward.
 * With n = (x - mean) · inverse and g = dy · weight:
 *   dx = inverse · (g - n · Σ(g·n)/dim - [LayerNorm] Σg/dim),  dweight += dy · n,  dbias += dy.
 * A block adds up dweight and dbias over all its segments in registers, then over its groups, and
 * writes one row of partial sums. */

#include <assert.h>
#include "norm.h"

enum {
    BACKWARD_THREADS = 128,           /* few a block, for each block has a part of the sums */
    BACKWARD_THREADS_MAX = 528 * 128, /* of a launch: 512 on each multiprocessor of an H100; a
                                         function of the shape alone, as the bits depend on it */
    BACKWARD_BLOCKS_MIN = 264,
    SEGMENTS_EACH = 8, /* a group's, at least, before there are more blocks */
};

template <typename T> struct NormBackward {
    Segments all;
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
__device__ __forceinline__ float2 norm_slopes(const NormBackward<T> &n, Segment s, Packet *x,
                                              Packet *dy, NormSums<KIND, HELD> &sums)
{
    const float *stats = n.stats + s.index * n.all.stats;
    const float mean = s.live && KIND == NORM_LAYER ? stats[0] : 0;
    const float inverse = s.live ? stats[n.all.stats - 1] : 0;
    float2 sum = {0, 0};
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(s, k, n.all.dim);
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
__device__ __forceinline__ void norm_segment_backward(const NormBackward<T> &n, Segment s,
                                                      NormSums<KIND, HELD> &sums, float2 *warps)
{
    Packet x[HELD], dy[HELD];
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        x[k] = segment_load(n.x, s, k, n.all.dim);
        dy[k] = segment_load(n.dy, s, k, n.all.dim);
    }
    float2 sum = group_sums(norm_slopes<T, KIND, HELD>(n, s, x, dy, sums), warps);
    const float along = sum.x / (float)n.all.dim;
    const float shift = KIND == NORM_LAYER ? sum.y / (float)n.all.dim : 0;
    const float inverse = s.live ? n.stats[(s.index + 1) * n.all.stats - 1] : 0;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(s, k, n.all.dim);
        if (count == 0) continue;
        int64_t col = s.col + packet_at(k) * PACKET;
        Packet before = {};
        if (n.added) before = packet_load(n.dx, s.row, col, count);
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            dy[k].at[i] = (dy[k].at[i] - shift - x[k].at[i] * along) * inverse + before.at[i];
        }
        packet_store(n.dx, s.row, col, count, dy[k]);
    }
}

/* partials[c] = the sum of column c over the block's groups, in their order. */
template <int HELD>
__device__ __forceinline__ void block_sums(float *partials, const Packet *own, int64_t dim,
                                           float *shared)
{
    Segment all = {0, 0, 0, true};
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        int count = count_at(all, k, dim);
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
    const int64_t dim = n.all.dim, step = (int64_t)gridDim.x * blockDim.y;
    NormSums<KIND, HELD> sums = {};
    for (int64_t i = (int64_t)blockIdx.x * blockDim.y; i < n.all.count; i += step) {
        Segment s = segment_of(n.all, i + threadIdx.y);
        norm_segment_backward<T, KIND, HELD>(n, s, sums, warps);
    }
    if (!n.partials) return;
    float *partials = n.partials + blockIdx.x * (KIND == NORM_LAYER ? 2 * dim : dim);
    block_sums<HELD>(partials, sums.weight, dim, (float *)shared);
    if (KIND == NORM_LAYER) block_sums<HELD>(partials + dim, sums.bias, dim, (float *)shared);
}

/* ---- launches ---- */

static int64_t backward_blocks(Group group, int64_t segments)
{
    int64_t most = BACKWARD_THREADS_MAX / (group.threads * group.together);
    if (most < BACKWARD_BLOCKS_MIN) most = BACKWARD_BLOCKS_MIN;
    int64_t blocks = divide_up(segments, (int64_t)group.together * SEGMENTS_EACH);
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

static void backward(CudaDevice *cuda, CudaPlace place, NormKind kind, Segments all, Tensor dx,
                     Accumulate mode, float *dweight, float *dbias, Tensor dy, Tensor x,
                     const float *stats, const float *weight)
{
    assert(dx.rows == x.rows && dy.rows == x.rows && dx.cols == x.cols && dy.cols == x.cols);
    assert(all.heads * all.dim == x.cols);
    if (all.count == 0 || !dim_taken(cuda, place, all.dim)) return;
    Group group = group_of(all.dim, BACKWARD_THREADS);
    int64_t blocks = backward_blocks(group, all.count);
    int64_t width = kind == NORM_LAYER ? 2 * all.dim : all.dim;
    float *partials = NULL;
    if (dweight || dbias) {
        partials = (float *)cuda_scratch(cuda, (size_t)(blocks * width) * 4, place);
        if (!partials) return;
    }
    CudaGrid grid = {dim3((unsigned)blocks), dim3(group.threads, group.together),
                     (size_t)group.together * (size_t)all.dim * 4};
    Tensor w = rows_of_floats(weight, 1, all.dim);
    bool same = dx.dtype == x.dtype && dy.dtype == x.dtype;
    bool fit = same && rows_fit(dx) && rows_fit(dy) && rows_fit(x) && rows_fit(w);
    NormBackward<Any> any = {all, {}, {}, {}, {}, mode == ADD, stats, partials};
    NormBackward<float> f32 = {all, {}, {}, {}, {}, mode == ADD, stats, partials};
    NormBackward<bf16> half = {all, {}, {}, {}, {}, mode == ADD, stats, partials};
    if (!fit)
        backward_as(cuda, place, kind, grid, group.one, any, dx, dy, x, w);
    else if (x.dtype == DTYPE_F32)
        backward_as(cuda, place, kind, grid, group.one, f32, dx, dy, x, w);
    else
        backward_as(cuda, place, kind, grid, group.one, half, dx, dy, x, w);
    if (dweight) cuda_add_partials(cuda, place, dweight, partials, blocks, width, all.dim, 1);
    if (dbias && kind == NORM_LAYER)
        cuda_add_partials(cuda, place, dbias, partials + all.dim, blocks, width, all.dim, 1);
}

void cuda_norm_backward(Device *device, NormKind kind, Tensor dx, Accumulate mode, float *dweight,
                        float *dbias, Tensor dy, Tensor x, const float *stats, const float *weight)
{
    backward(cuda_of(device), CUDA_PLACE(x.rows, x.cols), kind, {x.rows, x.cols, 1, 2}, dx, mode,
             dweight, dbias, dy, x, stats, weight);
}

void cuda_head_norm_backward(Device *device, int32_t head_dim, Tensor dx, float *dweight, Tensor dy,
                             Tensor x, const float *stats, const float *weight)
{
    backward(cuda_of(device), CUDA_PLACE(x.rows, x.cols), NORM_RMS, heads_of(x, head_dim), dx, SET,
             dweight, NULL, dy, x, stats, weight);
}
