/* norm.h - how rows are shared out among threads, for norm.cu and norm_backward.cu.
 *
 * A group of threads holds a row in registers between its two uses, so every byte moves once:
 *
 *   dim <= 256        1 … 32 threads, one packet each, several rows a warp
 *   dim <= 1,024      a warp, up to 4 packets each: sums by shuffles, no barrier
 *   dim <= 10,240     a block of 64 … 320 threads, 4 packets each
 *   beyond            refused: no model is so wide (NORM_COLUMNS_MAX)
 *
 * A warp of 4 packets has 2 KiB of bf16 on its way; eight warps a multiprocessor cover the memory's
 * latency (about 20 KiB). By registers fit: forward 20 to 28, backward 12. */
#ifndef AILERON_RM_CUDA_NORM_H
#define AILERON_RM_CUDA_NORM_H

#include "grid.h"
#include "table.h"

enum {
    HELD_MAX = 4,           /* packets a thread */
    NORM_THREADS_MAX = 320, /* a row: what the registers of a multiprocessor hold */
    NORM_COLUMNS_MAX = NORM_THREADS_MAX * HELD_MAX * PACKET,
    BLOCK_WARPS_MAX = NORM_THREADS_MAX / CUDA_WARP,
};

struct Group {                  /* how a row is shared out */
    unsigned threads, together; /* threads a row, rows a block */
    bool one;                   /* packet a thread, else HELD_MAX */
};

static Group group_of(int64_t dim, unsigned block_threads)
{
    int64_t packets = divide_up(dim, PACKET);
    Group g = {1, 1, packets <= CUDA_WARP};
    if (g.one) {
        while (g.threads < packets) g.threads *= 2;
    } else {
        g.threads = (unsigned)divide_up(packets, HELD_MAX * CUDA_WARP) * CUDA_WARP;
    }
    if (g.threads <= CUDA_WARP) g.together = block_threads / g.threads;
    return g;
}

static bool dim_taken(CudaDevice *cuda, CudaPlace place, int64_t dim)
{
    if (dim <= NORM_COLUMNS_MAX) return true;
    cuda_check(cuda, cudaErrorInvalidValue, place);
    return false;
}

/* The k-th packet of this thread in its row, and how many elements it has. */
__device__ __forceinline__ int64_t packet_at(int k)
{
    return threadIdx.x + (int64_t)k * blockDim.x;
}

__device__ __forceinline__ int count_at(bool live, int k, int64_t dim)
{
    int count = live ? packet_count(packet_at(k), dim) : 0;
    return count > 0 ? count : 0;
}

template <typename T>
__device__ __forceinline__ Packet part_load(Rows<T> rows, int64_t row, bool live, int k,
                                            int64_t dim)
{
    int count = count_at(live, k, dim);
    if (count == 0) return Packet{};
    return packet_load(rows, row, packet_at(k) * PACKET, count);
}

/* Two sums over the group in one order; all its threads get them. Groups are parts of a warp, or
 * the whole block. */
__device__ __forceinline__ float2 group_sums(float2 x, float2 *warps)
{
    int lanes = blockDim.x < CUDA_WARP ? (int)blockDim.x : (int)CUDA_WARP;
    x.x = lanes_sum(x.x, lanes);
    x.y = lanes_sum(x.y, lanes);
    if (blockDim.x <= CUDA_WARP) return x;
    __syncthreads(); /* the sums before may still be read */
    if (threadIdx.x % CUDA_WARP == 0) warps[threadIdx.x / CUDA_WARP] = x;
    __syncthreads();
    x = warps[0];
    for (unsigned i = 1; i < blockDim.x / CUDA_WARP; i++) x.x += warps[i].x, x.y += warps[i].y;
    return x;
}

#endif
