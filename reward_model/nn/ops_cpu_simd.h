/* ops_cpu_simd.h - as many floats at a time as a register holds, loaded from fp32 or bf16.
 *
 * GCC's vectors: 16 floats with AVX-512, 8 with AVX2, else 4. Every function is inlined, so a
 * constant dtype costs no branch. */
#ifndef AILERON_RM_OPS_CPU_SIMD_H
#define AILERON_RM_OPS_CPU_SIMD_H

#include "ops_cpu.h"
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#if defined __AVX512F__
enum { LANES = 16 };
#elif defined __AVX2__
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float Lanes __attribute__((vector_size(LANES * 4)));
typedef int32_t LanesInt __attribute__((vector_size(LANES * 4)));
typedef uint32_t LanesBits __attribute__((vector_size(LANES * 4)));
typedef uint16_t LanesHalf __attribute__((vector_size(LANES * 2)));

INLINE Lanes lanes_all(float value)
{
    return value - (Lanes){0};
}

INLINE Lanes lanes_from_half(LanesHalf half)
{
#ifdef __AVX512F__
    return (Lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)half), 16);
#else
    return (Lanes)(__builtin_convertvector(half, LanesBits) << 16);
#endif
}

/* To bf16, to nearest, ties to even; what is not a number stays so. */
INLINE LanesHalf lanes_to_half(Lanes x)
{
#ifdef __AVX512BF16__
    return (LanesHalf)_mm512_cvtneps_pbh((__m512)x); /* what is denormal becomes 0 */
#endif
    LanesBits bits = (LanesBits)x, quiet = (bits >> 16) | 0x40;
    LanesBits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    LanesBits nan = (LanesBits)(x != x);
    bits = (rounded & ~nan) | (quiet & nan);
#ifdef __AVX512F__
    return (LanesHalf)_mm512_cvtepi32_epi16((__m512i)bits);
#else
    return __builtin_convertvector(bits, LanesHalf);
#endif
}

INLINE Lanes lanes_load(const void *data, int64_t index, Dtype dtype)
{
    Lanes x;
    LanesHalf half;
    if (dtype == DTYPE_F32) {
        memcpy(&x, (const float *)data + index, sizeof x);
        return x;
    }
    memcpy(&half, (const uint16_t *)data + index, sizeof half);
    return lanes_from_half(half);
}

INLINE void lanes_store(void *data, int64_t index, Dtype dtype, Lanes x)
{
    if (dtype == DTYPE_F32) {
        memcpy((float *)data + index, &x, sizeof x);
        return;
    }
    LanesHalf half = lanes_to_half(x);
    memcpy((uint16_t *)data + index, &half, sizeof half);
}

/* The first `count` lanes; the others are zero, or not written. */
INLINE Lanes lanes_load_part(const void *data, int64_t index, Dtype dtype, int64_t count)
{
    if (count >= LANES) return lanes_load(data, index, dtype);
    Lanes x = {0};
    LanesHalf half = {0};
    if (dtype == DTYPE_F32) {
        memcpy(&x, (const float *)data + index, (size_t)count * 4);
        return x;
    }
    memcpy(&half, (const uint16_t *)data + index, (size_t)count * 2);
    return lanes_from_half(half);
}

INLINE void lanes_store_part(void *data, int64_t index, Dtype dtype, int64_t count, Lanes x)
{
    if (count >= LANES) {
        lanes_store(data, index, dtype, x);
    } else if (dtype == DTYPE_F32) {
        memcpy((float *)data + index, &x, (size_t)count * 4);
    } else {
        LanesHalf half = lanes_to_half(x);
        memcpy((uint16_t *)data + index, &half, (size_t)count * 2);
    }
}

/* The value as a tensor of that dtype would hold it. */
INLINE Lanes lanes_round(Lanes x, Dtype dtype)
{
    return dtype == DTYPE_F32 ? x : lanes_from_half(lanes_to_half(x));
}

/* mask ? a : b, mask from a comparison. */
INLINE Lanes lanes_choose(LanesInt mask, Lanes a, Lanes b)
{
    return (Lanes)((mask & (LanesInt)a) | (~mask & (LanesInt)b));
}

/* Always in the same order: halves, quarters, … */
INLINE float lanes_sum(Lanes x)
{
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    }
    return part[0];
}

INLINE float lanes_max(Lanes x)
{
    float part[LANES];
    memcpy(part, &x, sizeof part);
    for (int half = LANES / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++)
            part[i] = part[i] > part[i + half] ? part[i] : part[i + half];
    }
    return part[0];
}

INLINE void *row_at(Tensor x, int64_t row)
{
    return (char *)x.data + (size_t)(row * x.stride) * dtype_bytes(x.dtype);
}

INLINE void *head_at(Tensor x, int64_t row, int64_t head, int64_t head_dim)
{
    return (char *)row_at(x, row) + (size_t)(head * head_dim) * dtype_bytes(x.dtype);
}

#endif
