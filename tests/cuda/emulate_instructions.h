/* emulate_instructions.h - the functions of nn/cuda/instructions.h for emulate.h: bf16, and the
 * tensor cores' products, matrix loads and late copies, with the layouts of the PTX ISA. */
#ifndef AILERON_TESTS_CUDA_EMULATE_INSTRUCTIONS_H
#define AILERON_TESTS_CUDA_EMULATE_INSTRUCTIONS_H

#include "../../reward_model/nn/cuda/instructions.h"
#include "emulate_race.h"

static inline float to_float(float x)
{
    return x;
}

static inline float to_float(bf16 x)
{
    return __uint_as_float((uint32_t)x.bits << 16);
}

static inline uint32_t emulated_bf16(float x)
{
    uint32_t bits = __float_as_uint(x);
    if (x != x) return 0x7fff; /* as cvt.rn.bf16x2 does */
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t bf16_pair(float low, float high)
{
    return emulated_bf16(high) << 16 | emulated_bf16(low);
}

static inline float exp2_fast(float x)
{
    return exp2f(x);
}

static inline float log2_fast(float x)
{
    return log2f(x);
}

/* Element `half` of a register of two. */
static inline float emulated_half(uint32_t pair, int half)
{
    return __uint_as_float(half ? pair & 0xffff0000u : pair << 16);
}

static inline void mma_bf16_16816(float d[4], const uint32_t a[4], const uint32_t b[2],
                                  EMULATED_SITE)
{
    const uint32_t words[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const EmulatedLane *lanes =
        emulated_exchange(words, sizeof words, 0xffffffffu, EMULATED_HERE("mma_bf16_16816"));
    const int lane = emulated_lane(), group = lane / 4, pair = lane % 4;
    for (int i = 0; i < 4; i++) {
        const int column = 2 * pair + i % 2, lower = i / 2; /* rows group and group + 8 */
        float sum = 0;
        for (int k = 0; k < 16; k++) {
            const int from = k % 8 / 2, high = k / 8;
            sum += emulated_half(lanes[group * 4 + from][2 * high + lower], k % 2) *
                   emulated_half(lanes[column * 4 + from][4 + high], k % 2);
        }
        d[i] += sum;
    }
}

static inline void emulated_ldmatrix(uint32_t r[4], const void *shared_row, bool transposed,
                                     EmulatedSite site)
{
    if ((uintptr_t)shared_row % 16) emulated_fail(site, "the row is not 16-byte aligned");
    emulated_access(shared_row, 16, false);
    const EmulatedLane *lanes = emulated_exchange(shared_row, 16, 0xffffffffu, site);
    const int lane = emulated_lane();
    for (int i = 0; i < 4; i++) {
        const int row = transposed ? lane % 4 * 2 : lane / 4;
        const int column = transposed ? lane / 4 : lane % 4 * 2;
        uint16_t pair[2];
        for (int j = 0; j < 2; j++) {
            const int at = transposed ? column : column + j;
            const EmulatedLane &from = lanes[8 * i + (transposed ? row + j : row)];
            pair[j] = (uint16_t)(from[at / 2] >> 16 * (at % 2));
        }
        r[i] = (uint32_t)pair[1] << 16 | pair[0];
    }
}

static inline void ldmatrix_x4(uint32_t r[4], const void *shared_row, EMULATED_SITE)
{
    emulated_ldmatrix(r, shared_row, false, EMULATED_HERE("ldmatrix_x4"));
}

static inline void ldmatrix_x4_transposed(uint32_t r[4], const void *shared_row, EMULATED_SITE)
{
    emulated_ldmatrix(r, shared_row, true, EMULATED_HERE("ldmatrix_x4_transposed"));
}

/* Copies arrive as late as they may: at the wait. Until then the destination holds NaN. */
void emulated_copy_async(void *shared, const void *global, bool take, EmulatedSite site);
void emulated_copy_wait(int groups_left);
void copy_async_commit();

static inline void copy_async_16(void *shared, const void *global, bool take, EMULATED_SITE)
{
    emulated_copy_async(shared, global, take, EMULATED_HERE("copy_async_16"));
}

template <int N> static inline void copy_async_wait()
{
    emulated_copy_wait(N);
}

#endif
