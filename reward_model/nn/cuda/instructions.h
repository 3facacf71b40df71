/* instructions.h - bf16 storage and the instructions that C++ has no word for, one function
 * each. Owns nothing. tests/cuda/emulate.h has the same functions for a processor. */
#ifndef AILERON_RM_CUDA_INSTRUCTIONS_H
#define AILERON_RM_CUDA_INSTRUCTIONS_H

#include "cuda.h"

struct bf16 {
    uint16_t bits;
};

#ifndef CUDA_EMULATED

__device__ __forceinline__ float to_float(float x)
{
    return x;
}

__device__ __forceinline__ float to_float(bf16 x)
{
    return __uint_as_float((uint32_t)x.bits << 16);
}

/* Two floats as a pair of bf16, rounded to nearest even; `low` in the lower half. */
__device__ __forceinline__ uint32_t bf16_pair(float low, float high)
{
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* 2^x and log2(x), to about 2 units in the last place; 2^-infinity is 0. */
__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float log2_fast(float x)
{
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* d[16, 8] += a[16, 16] · b[16, 8] of a warp, bf16 into fp32. With g = lane / 4, t = lane % 4, each
 * register of a and b holding two elements, the one of lower k in the lower half:
 *   a: rows g, g + 8, g, g + 8; k from 2t, 2t, 2t + 8, 2t + 8
 *   b: column g; k from 2t, 2t + 8
 *   d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
 * (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type"). */
__device__ __forceinline__ void mma_bf16_16816(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8 x 8 matrices of 16-bit elements from shared memory: lane 8i + j names row j of matrix i
 * (16 bytes, 16-byte aligned); r[i] gets row lane / 4, columns 2 (lane % 4) and the next. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *shared_row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(shared_row))
                 : "memory");
}

/* The same of the matrices' transposes: column lane / 4, rows 2 (lane % 4) and the next. */
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t r[4], const void *shared_row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint32_t)__cvta_generic_to_shared(shared_row))
                 : "memory");
}

/* Starts copying 16 bytes (both 16-byte aligned), or zeros when !take (`global` is not read then).
 * There after a commit, a wait for its group, and for other threads a barrier. */
__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool take)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((uint32_t)__cvta_generic_to_shared(shared)), "l"(global), "r"(take ? 16 : 0)
                 : "memory");
}

/* What was started since the last commit becomes a group. */
__device__ __forceinline__ void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most the N latest groups of this thread are under way. */
template <int N> __device__ __forceinline__ void copy_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif
#endif
