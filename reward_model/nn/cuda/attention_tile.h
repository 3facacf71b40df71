/* attention_tile.h - tiles of rows in shared memory, for the attention kernels.
 *
 * Rows of D bf16 lie D + 8 apart: D / 8 + 1 packets of 16 bytes, an odd number for every D that is
 * a multiple of 16, so the eight rows of an ldmatrix fall in different banks, as they would with a
 * swizzle, but every offset within a tile is a constant of the instruction.
 *
 * A block is four warps, each with 32 (or 16) rows of a product in registers: a fragment of the
 * other operand, once read from shared memory (4 cycles), then serves four (two) of the 16 x 8 x 16
 * products. On an H100 such a product takes 6 cycles of a quarter of a multiprocessor at best, so
 * with 32 rows shared memory is busy for 2/3 of the time, with 16 it would be the limit. Registers
 * (at most 255) then let two blocks run side by side. By ptxas for sm_90, none spilled:
 *
 *   head size               32        64        80       128         256
 *   forward           176   32 | 235  56 | 249  68 | 241   70 | 241  100   registers | KiB shared
 *   by queries        180   42 | 246  74 | 252  90 | 254  104 | 247  133
 *   by keys           218   43 | 253  75 | 196  69 | 236   70 | 236  134
 *
 * One step of a warp's loop at size 64, where nothing is masked: forward, 64 keys: 128 products
 * (784 cycles of the tensor cores), 68 exponentials (544 cycles of their unit), about 720
 * instructions to issue; by queries, 32 keys: 96 products, 64 exponentials; by keys, 32 pairs: 128
 * and 64. */
#ifndef AILERON_RM_CUDA_ATTENTION_TILE_H
#define AILERON_RM_CUDA_ATTENTION_TILE_H

#include "attention.h"

enum {
    ATTENTION_THREADS = 128,
    ATTENTION_WARPS = ATTENTION_THREADS / CUDA_WARP,
    PART = 32, /* scores of a row that the backward passes hold at a time */
};

/* Elements from one row to the next. */
template <int D> constexpr int pitch_of = D + 8;
template <int D> constexpr int row_bytes_of = 2 * pitch_of<D>;

#if defined(__CUDACC__) || defined(CUDA_EMULATED)

/* ROWS rows into shared memory, zeros beyond head_dim. row_at(r) is where row r's head begins, or
 * NULL for a row of zeros. Every thread of the block takes part; the caller commits and waits. */
template <int D, int ROWS, typename RowAt>
__device__ __forceinline__ void rows_load(bf16 *to, int head_dim, RowAt row_at)
{
    enum { PACKETS = D / 8, EACH = ROWS * PACKETS / ATTENTION_THREADS };
    static_assert(ROWS * PACKETS % ATTENTION_THREADS == 0, "every thread copies as much");
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        unsigned at = i * ATTENTION_THREADS + threadIdx.x, row = at / PACKETS, col = at % PACKETS;
        const bf16 *from = row_at((int)row);
        bool take = from && (int)col * 8 < head_dim;
        copy_async_16(to + row * pitch_of<D> + col * 8, take ? from + col * 8 : from, take);
    }
}

/* A warp's sums, each row times its factor, through `rows` (its own TILES · 16 rows of a tile in
 * shared memory, D columns) to memory; row_at as above, NULL: not written. `offset`: the column
 * where these COLUMNS begin. */
template <int D, int TILES, int COLUMNS, typename RowAt>
__device__ __forceinline__ void rows_store(bf16 *rows, const float (&c)[TILES][COLUMNS / 8][4],
                                           const float (&factor)[TILES][2], int offset,
                                           int head_dim, RowAt row_at)
{
    const int lane = (int)threadIdx.x % CUDA_WARP;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        bf16 *row = rows + (i * 8 + lane / 4) * pitch_of<D> + lane % 4 * 2;
        float by = factor[i / 2][i % 2];
#pragma unroll
        for (int j = 0; j < COLUMNS / 8; j++) {
            const float *pair = &c[i / 2][j][i % 2 * 2];
            *(uint32_t *)(row + j * 8) = bf16_pair(pair[0] * by, pair[1] * by);
        }
    }
    __syncwarp();
    for (int at = lane; at < TILES * 16 * (COLUMNS / 8); at += CUDA_WARP) {
        int r = at / (COLUMNS / 8), col = at % (COLUMNS / 8) * 8;
        bf16 *to = row_at(r);
        if (!to || offset + col >= head_dim) continue;
        *(uint4 *)(to + offset + col) = *(const uint4 *)(rows + r * pitch_of<D> + col);
    }
}

#endif
#endif
