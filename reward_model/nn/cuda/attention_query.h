/* attention_query.h - a query tile inside a kernel: whose its rows are, which of the tile's
 * keys they see, and how these keys come by. The keys of a tile are numbered in one go: the context
 * 0 … context_length - 1, then the own rows from tile.own on. */
#ifndef AILERON_RM_CUDA_ATTENTION_QUERY_H
#define AILERON_RM_CUDA_ATTENTION_QUERY_H

#include "attention_product.h"

#if defined(__CUDACC__) || defined(CUDA_EMULATED)

struct __align__(16) TileRow
{
    int query, head; /* the row of the query tensor, -1: none; the head of the group */
    int begin, end;  /* keys begin … end - 1 are its own; it sees the whole context too */
};

/* Rows that are not there see all: they are zeros, and force no masks upon the others. */
__device__ __forceinline__ void tile_rows_find(TileRow *rows, int count, const QueryTile &tile,
                                               const AttentionArgs<bf16> &a)
{
    const int from = tile.pair / a.group, over = tile.pair % a.group;
    for (int r = (int)threadIdx.x; r < count; r += ATTENTION_THREADS) {
        rows[r] = TileRow{-1, 0, 0, INT32_MAX};
        if (r >= tile.pairs) continue;
        int along = (int)((uint32_t)(over + r) * a.magic >> 16), n = from + along;
        Sees sees = a.plan.sees[n];
        rows[r].query = a.plan.queries ? a.plan.queries[n] : n;
        rows[r].head = over + r - along * a.group;
        rows[r].begin = tile.context_length + sees.own - tile.own;
        rows[r].end = tile.context_length + sees.own_end - tile.own;
    }
}

/* Without branches: one of two runs, each a subtraction and an unsigned comparison. */
__device__ __forceinline__ bool row_sees(const TileRow &row, int key, int context)
{
    return (key < context) | ((unsigned)(key - row.begin) < (unsigned)(row.end - row.begin));
}

/* What the rows of a warp see, at least and at most. */
struct WarpSees {
    int begin_least, begin_most, end_least, end_most;
};

template <int ROWS> __device__ __forceinline__ WarpSees warp_sees(const TileRow *rows)
{
    TileRow row = rows[threadIdx.x % CUDA_WARP % ROWS];
    bool there = row.query >= 0;
    WarpSees s = {there ? row.begin : INT32_MAX, row.begin, row.end, there ? row.end : 0};
#pragma unroll
    for (int step = CUDA_WARP / 2; step > 0; step /= 2) {
        s.begin_least = min(s.begin_least, __shfl_xor_sync(0xffffffffu, s.begin_least, step));
        s.begin_most = max(s.begin_most, __shfl_xor_sync(0xffffffffu, s.begin_most, step));
        s.end_least = min(s.end_least, __shfl_xor_sync(0xffffffffu, s.end_least, step));
        s.end_most = max(s.end_most, __shfl_xor_sync(0xffffffffu, s.end_most, step));
    }
    return s;
}

/* Of keys begin … end - 1; none is seen where no row is there (end_most 0). */
__device__ __forceinline__ bool any_seen(const WarpSees &s, int begin, int end, int context)
{
    return s.end_most > 0 && (begin < context || (begin < s.end_most && s.begin_least < end));
}

__device__ __forceinline__ bool all_seen(const WarpSees &s, int begin, int end, int context)
{
    return end <= context || (s.begin_most <= max(begin, context) && s.end_least >= end);
}

/* Where the head of a row begins; heads of the group are numbered from `first`. */
template <typename T>
__device__ __forceinline__ T *head_of_row(const Rows<T> &x, const TileRow &row, int first, int e)
{
    return x.data + row.query * x.stride + (first + row.head) * e;
}

/* Starts loading keys first … first + COUNT - 1 of the tile and their values; zeros after its last.
 */
template <int D, int COUNT>
__device__ __forceinline__ void keys_load(bf16 *keys, bf16 *values, const QueryTile &tile,
                                          int first, int head, const AttentionArgs<bf16> &a)
{
    enum { PACKETS = D / 8, EACH = COUNT * PACKETS / ATTENTION_THREADS };
    static_assert(COUNT * PACKETS % ATTENTION_THREADS == 0, "every thread copies as much");
    const int count = tile.context_length + tile.own_length - first;
    const int past = tile.own - tile.context_length;
    const bf16 *k = a.k.data + head * a.head_dim, *v = a.v.data + head * a.head_dim;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        unsigned at = i * ATTENTION_THREADS + threadIdx.x, r = at / PACKETS, col = at % PACKETS * 8;
        int n = first + (int)r;
        int64_t row = n + (n < tile.context_length ? tile.context : past);
        bool take = (int)r < count && (int)col < a.head_dim;
        copy_async_16(keys + r * pitch_of<D> + col, k + row * a.k.stride + col, take);
        copy_async_16(values + r * pitch_of<D> + col, v + row * a.v.stride + col, take);
    }
}

#endif
#endif
