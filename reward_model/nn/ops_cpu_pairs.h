/* ops_cpu_pairs.h - small products of bf16 in pairs, for processors that take two at a time.
 *
 * C[m, n] = or += scale · A · B in fp32, k runs over pairs: A's pair (i, p) is the four bytes at
 * a + i · a_row + p · a_col, B's pairs are b[p · b_row + j]. Every element is summed in the order
 * of k. Where the level has no such instruction PAIRS is false and nothing here is called. */
#ifndef AILERON_RM_OPS_CPU_PAIRS_H
#define AILERON_RM_OPS_CPU_PAIRS_H

#include "ops_cpu_tile.h"

#ifdef __AVX512BF16__
enum { PAIRS = true };
#else
enum { PAIRS = false };
#endif

typedef struct LeftPairs {
    const char *at;
    int64_t row, col; /* strides in bytes */
} LeftPairs;

typedef struct RightPairs {
    const uint32_t *at;
    int64_t row; /* stride */
} RightPairs;

/* sum + x's first · y's first + x's second · y's second, in every lane. */
INLINE Lanes lanes_add_pairs(Lanes sum, LanesBits x, LanesBits y)
{
#ifdef __AVX512BF16__
    return (Lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
    (void)x, (void)y;
    return sum;
#endif
}

/* Pairs of what two vectors of bf16 hold in the same lane. */
INLINE LanesBits lanes_pair(LanesHalf first, LanesHalf second)
{
    LanesBits low = (LanesBits)lanes_from_half(first) >> 16;
    return low | (LanesBits)lanes_from_half(second);
}

INLINE void pairs_into(int rows, int lanes, float *c, int64_t c_row, LeftPairs a, RightPairs b,
                       int64_t pairs, float scale, Accumulate mode)
{
    Lanes sums[STRIP][PANEL_LANES];
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < lanes; j++) sums[i][j] = (Lanes){0};
    }
    for (int64_t p = 0; p < pairs; p++) {
        LanesBits right[PANEL_LANES];
        for (int j = 0; j < lanes; j++) {
            memcpy(&right[j], b.at + p * b.row + j * LANES, sizeof right[j]);
        }
        for (int i = 0; i < rows; i++) {
            uint32_t pair;
            memcpy(&pair, a.at + i * a.row + p * a.col, sizeof pair);
            LanesBits left = pair - (LanesBits){0};
            for (int j = 0; j < lanes; j++) {
                sums[i][j] = lanes_add_pairs(sums[i][j], left, right[j]);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < lanes; j++) {
            int64_t at = i * c_row + j * LANES;
            Lanes sum = sums[i][j] * scale;
            if (mode == ADD) sum += lanes_load(c, at, DTYPE_F32);
            lanes_store(c, at, DTYPE_F32, sum);
        }
    }
}

/* All rows of one column of tiles. */
INLINE void pairs_down(int lanes, float *c, int64_t c_row, LeftPairs a, RightPairs b, int64_t m,
                       int64_t pairs, float scale, Accumulate mode)
{
    enum { FEW = STRIP / 3 > 1 ? STRIP / 3 : 1 };
    int64_t i = 0;
    for (; i + STRIP <= m; i += STRIP, a.at += STRIP * a.row) {
        pairs_into(STRIP, lanes, c + i * c_row, c_row, a, b, pairs, scale, mode);
    }
    for (; i + FEW <= m; i += FEW, a.at += FEW * a.row) {
        pairs_into(FEW, lanes, c + i * c_row, c_row, a, b, pairs, scale, mode);
    }
    for (; i < m; i++, a.at += a.row) {
        pairs_into(1, lanes, c + i * c_row, c_row, a, b, pairs, scale, mode);
    }
}

/* c[m, n]; n is a multiple of LANES. */
static inline void multiply_pairs(float *c, int64_t c_row, LeftPairs a, RightPairs b, int64_t m,
                                  int64_t n, int64_t pairs, float scale, Accumulate mode)
{
    int64_t j = 0;
    for (; j + PANEL <= n; j += PANEL, b.at += PANEL) {
        pairs_down(PANEL_LANES, c + j, c_row, a, b, m, pairs, scale, mode);
    }
    for (; j < n; j += LANES, b.at += LANES) {
        pairs_down(1, c + j, c_row, a, b, m, pairs, scale, mode);
    }
}

#endif
