/* ops_cpu_tile.h - the innermost product: a tile of C stays in registers while k runs.
 *
 * C[m, n] = A · B with A(i, k) at a[i · a_row + k · a_col] in fp32, B's row k at b + k · b_row in
 * either dtype. Every element is summed in the order of k. */
#ifndef AILERON_RM_OPS_CPU_TILE_H
#define AILERON_RM_OPS_CPU_TILE_H

#include "ops_cpu_simd.h"

/* As many sums as the level has registers for, less those for a row of B. */
#if defined __AVX512F__
enum { STRIP = 12, PANEL_LANES = 2 };
#elif defined __AVX2__
enum { STRIP = 6, PANEL_LANES = 2 };
#else
enum { STRIP = 4, PANEL_LANES = 2 };
#endif
enum { PANEL = PANEL_LANES * LANES };

typedef struct Left {
    const float *at;
    int64_t row, col; /* strides */
} Left;

typedef struct Right {
    const void *at;
    int64_t row; /* stride */
    Dtype dtype;
} Right;

INLINE Left left_row(Left a, int64_t row)
{
    a.at += row * a.row;
    return a;
}

/* sums[i][j] = (sums[i][j] +) Σ A(i, k) · B(k, lanes j); rows and lanes are constants. */
INLINE void tile(int rows, int lanes, Lanes sums[STRIP][PANEL_LANES], Left a, Right b, int64_t k)
{
    for (int64_t p = 0; p < k; p++) {
        Lanes right[PANEL_LANES];
        for (int j = 0; j < lanes; j++) {
            right[j] = lanes_load(b.at, p * b.row + j * LANES, b.dtype);
        }
        for (int i = 0; i < rows; i++) {
            float left = a.at[i * a.row + p * a.col];
            for (int j = 0; j < lanes; j++) sums[i][j] += left * right[j];
        }
    }
}

/* c, fp32, `rows` x `lanes` · LANES, is set or added to. */
INLINE void tile_into(int rows, int lanes, float *c, int64_t c_row, Left a, Right b, int64_t k,
                      Accumulate mode)
{
    Lanes sums[STRIP][PANEL_LANES];
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < lanes; j++) {
            sums[i][j] = mode == ADD ? lanes_load(c, i * c_row + j * LANES, DTYPE_F32) : (Lanes){0};
        }
    }
    tile(rows, lanes, sums, a, b, k);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < lanes; j++) {
            lanes_store(c, i * c_row + j * LANES, DTYPE_F32, sums[i][j]);
        }
    }
}

/* All rows of one column of tiles. */
INLINE void tiles_down(int lanes, float *c, int64_t c_row, Left a, Right b, int64_t m, int64_t k,
                       Accumulate mode)
{
    enum { FEW = STRIP / 3 > 1 ? STRIP / 3 : 1 };
    int64_t i = 0;
    for (; i + STRIP <= m; i += STRIP) {
        tile_into(STRIP, lanes, c + i * c_row, c_row, left_row(a, i), b, k, mode);
    }
    for (; i + FEW <= m; i += FEW) {
        tile_into(FEW, lanes, c + i * c_row, c_row, left_row(a, i), b, k, mode);
    }
    for (; i < m; i++) tile_into(1, lanes, c + i * c_row, c_row, left_row(a, i), b, k, mode);
}

/* c[m, n] = or += A · B for small fp32 blocks; n is a multiple of LANES. */
static inline void multiply(float *c, int64_t c_row, Left a, const float *b, int64_t b_row,
                            int64_t m, int64_t n, int64_t k, Accumulate mode)
{
    int64_t j = 0;
    for (; j + PANEL <= n; j += PANEL) {
        tiles_down(PANEL_LANES, c + j, c_row, a, (Right){b + j, b_row, DTYPE_F32}, m, k, mode);
    }
    for (; j < n; j += LANES) {
        tiles_down(1, c + j, c_row, a, (Right){b + j, b_row, DTYPE_F32}, m, k, mode);
    }
}

/* ---- transposing ---- */

#if defined __AVX512F__
#define ZIP_LOW  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined __AVX2__
#define ZIP_LOW  0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define ZIP_LOW  0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#endif

/* to[j, i] = from[i, j] of LANES x LANES: as many perfect shuffles of all as LANES has halves. */
INLINE void transpose_lanes(float *to, int64_t to_row, const float *from, int64_t from_row)
{
    const LanesInt low = {ZIP_LOW}, high = {ZIP_HIGH};
    Lanes a[LANES], b[LANES];
    for (int i = 0; i < LANES; i++) a[i] = lanes_load(from, i * from_row, DTYPE_F32);
#pragma GCC unroll 4
    for (int half = LANES; half > 1; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            b[2 * i] = __builtin_shuffle(a[i], a[i + LANES / 2], low);
            b[2 * i + 1] = __builtin_shuffle(a[i], a[i + LANES / 2], high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
    for (int i = 0; i < LANES; i++) lanes_store(to, i * to_row, DTYPE_F32, a[i]);
}

#endif
