/* attention_product.h - products of tiles in shared memory on tensor cores, for the attention
 * kernels.
 *
 * A warp has TILES · 16 rows of a product; its sums are float c[TILES][columns / 8][4], each
 * c[i][j] what mma_bf16_16816 calls d. */
#ifndef AILERON_RM_CUDA_ATTENTION_PRODUCT_H
#define AILERON_RM_CUDA_ATTENTION_PRODUCT_H

#include "attention_tile.h"

#if defined(__CUDACC__) || defined(CUDA_EMULATED)

/* Where a lane points for ldmatrix: 16 rows by 16 columns, matrices by rows first (a left operand,
 * or a right one transposed) or by columns first (a right one as it lies). */
template <int D> __device__ __forceinline__ int lane_by_rows()
{
    int lane = (int)threadIdx.x % CUDA_WARP;
    return lane % 16 * pitch_of<D> + lane / 16 * 8;
}

template <int D> __device__ __forceinline__ int lane_by_columns()
{
    int lane = (int)threadIdx.x % CUDA_WARP;
    return (lane / 16 * 8 + lane % 8) * pitch_of<D> + lane / 8 % 2 * 8;
}

/* The left operand of a product over D: rows in shared memory, read once (KEPT) or each time. */
template <int D, int TILES, bool KEPT> struct LeftRows {
    const bf16 *at;
    uint32_t kept[KEPT ? TILES : 1][KEPT ? D / 16 : 1][4];

    __device__ __forceinline__ void begin(const bf16 *rows)
    {
        at = rows + lane_by_rows<D>();
#pragma unroll
        for (int i = 0; i < TILES; i++) {
#pragma unroll
            for (int k = 0; KEPT && k < D / 16; k++) {
                ldmatrix_x4(kept[KEPT ? i : 0][KEPT ? k : 0], at + i * 16 * pitch_of<D> + k * 16);
            }
        }
    }

    __device__ __forceinline__ void load(uint32_t (&a)[TILES][4], int k)
    {
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            if (!KEPT) ldmatrix_x4(a[i], at + i * 16 * pitch_of<D> + k * 16);
#pragma unroll
            for (int j = 0; KEPT && j < 4; j++) a[i][j] = kept[KEPT ? i : 0][KEPT ? k : 0][j];
        }
    }
};

/* c = left · rightᵀ over D columns; right: BLOCKS · 16 rows, its lane_by_columns added. */
template <int D, int TILES, int BLOCKS, bool KEPT>
__device__ __forceinline__ void rows_product(float (&c)[TILES][2 * BLOCKS][4],
                                             LeftRows<D, TILES, KEPT> &left, const bf16 *right)
{
#pragma unroll
    for (int i = 0; i < TILES; i++) {
#pragma unroll
        for (int j = 0; j < 8 * BLOCKS; j++) c[i][j / 4][j % 4] = 0;
    }
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[TILES][4];
        left.load(a, k);
#pragma unroll
        for (int j = 0; j < BLOCKS; j++) {
            uint32_t b[4];
            ldmatrix_x4(b, right + j * 16 * pitch_of<D> + k * 16);
#pragma unroll
            for (int i = 0; i < TILES; i++) {
                mma_bf16_16816(c[i][2 * j], a[i], b);
                mma_bf16_16816(c[i][2 * j + 1], a[i], b + 2);
            }
        }
    }
}

/* c += left · right: left the sums of 16 columns (see pack_left), right 16 rows of which COLUMNS
 * columns are taken, its lane_by_rows added. */
template <int D, int TILES, int COLUMNS>
__device__ __forceinline__ void columns_product(float (&c)[TILES][COLUMNS / 8][4],
                                                const uint32_t (&left)[TILES][4], const bf16 *right)
{
#pragma unroll
    for (int j = 0; j < COLUMNS / 16; j++) {
        uint32_t b[4];
        ldmatrix_x4_transposed(b, right + j * 16);
#pragma unroll
        for (int i = 0; i < TILES; i++) {
            mma_bf16_16816(c[i][2 * j], left[i], b);
            mma_bf16_16816(c[i][2 * j + 1], left[i], b + 2);
        }
    }
}

/* Sums of 16 columns as the left operand of the next product. */
__device__ __forceinline__ void pack_left(uint32_t (&a)[4], const float (&low)[4],
                                          const float (&high)[4])
{
    a[0] = bf16_pair(low[0], low[1]);
    a[1] = bf16_pair(low[2], low[3]);
    a[2] = bf16_pair(high[0], high[1]);
    a[3] = bf16_pair(high[2], high[3]);
}

#endif
#endif
