/* grid.h - tables beside rows, the shape of launches with one thread a packet, and sums across
 * threads. */
#ifndef AILERON_RM_CUDA_GRID_H
#define AILERON_RM_CUDA_GRID_H

#include "vector.h"

enum {
    GRID_THREADS = 256,
    GRID_ROWS_MAX = 65535, /* of grid.y; kernels go on in steps of the grid */
};

static inline int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Masters and gradients beside rows of T: always float, aligned as the rows are. */
template <typename T> struct FloatsBeside {
    typedef float Type;
};
template <> struct FloatsBeside<Any> {
    typedef Any Type;
};

static inline Tensor rows_of_floats(const float *data, int64_t rows, int64_t cols)
{
    return Tensor{(void *)data, rows, cols, cols, DTYPE_F32};
}

/* One thread a packet of `rows` rows with `packets` each: x goes over the packets, y over the rows
 * (EACH_ROW). 256 threads or a little less a block: rows are shared out evenly among blocks whose
 * width is a number of warps, and short rows lie side by side in one block. */
static inline CudaGrid grid_of_packets(int64_t rows, int64_t packets)
{
    int64_t tiles = divide_up(packets, GRID_THREADS), wide = divide_up(packets, tiles ? tiles : 1);
    int64_t x = 1;
    if (wide > CUDA_WARP)
        x = divide_up(wide, CUDA_WARP) * CUDA_WARP;
    else
        while (x < wide) x *= 2;
    int64_t y = GRID_THREADS / x, down = divide_up(rows, y);
    if (down > GRID_ROWS_MAX) down = GRID_ROWS_MAX;
    return CudaGrid{dim3((unsigned)tiles, (unsigned)down), dim3((unsigned)x, (unsigned)y), 0};
}

/* The first row of this thread, and how far its next one is. */
#define EACH_ROW(row, rows)                                                                        \
    for (int64_t row = (int64_t)blockIdx.y * blockDim.y + threadIdx.y; row < (rows);               \
         row += (int64_t)gridDim.y * blockDim.y)

__device__ __forceinline__ int64_t packet_of_thread()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* How many elements of packet `packet` a row of `cols` has. */
__device__ __forceinline__ int packet_count(int64_t packet, int64_t cols)
{
    int64_t left = cols - packet * PACKET;
    return left < PACKET ? (int)left : PACKET;
}

/* Σ over `lanes` neighbours (a power of two up to a warp) in the order of a tree; all get it. Every
 * thread of the warp takes part. */
template <typename T> __device__ __forceinline__ T lanes_sum(T x, int lanes)
{
    for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

/* to[c] += scale · Σ over b < count of partials[b * step + c], in one order of b; nothing if `to`
 * is NULL. */
void cuda_add_partials(CudaDevice *cuda, CudaPlace place, float *to, const float *partials,
                       int64_t count, int64_t step, int64_t cols, float scale);

#endif
