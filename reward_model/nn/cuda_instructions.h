/* cuda_instructions.h - bf16 storage and the instructions that C++ has no word for, one function
 * each. Owns nothing. tests/cuda/emulate.h has the same functions for a processor. */
#ifndef AILERON_RM_CUDA_INSTRUCTIONS_H
#define AILERON_RM_CUDA_INSTRUCTIONS_H

#include "cuda.h"

struct bf16 {
    uint16_t bits;
};

#ifndef CUDA_EMULATED

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((uint32_t)x.bits << 16); }

/* Two floats as a pair of bf16, rounded to nearest even; `low` in the lower half. */
__device__ __forceinline__ uint32_t bf16_pair(float low, float high)
{
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

#endif
#endif
