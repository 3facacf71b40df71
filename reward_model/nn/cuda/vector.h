/* vector.h - elements of rows between memory and registers, eight at a time ("a packet").
 *
 * A packet of bf16 is one access of 16 bytes and one of float two; a warp thus reads or writes 512
 * or 1024 bytes that lie together. Kernels are templates over what their rows hold:
 *
 *   Rows<bf16>, Rows<float>   packets that are whole and 16-byte aligned: no test in the kernel
 *   Rows<Any>                 either type (the same for a whole launch), any stride, part packets
 *
 * rows_fit tells at the launch whether a tensor may be taken as the former. */
#ifndef AILERON_RM_CUDA_VECTOR_H
#define AILERON_RM_CUDA_VECTOR_H

#include "instructions.h"

enum { PACKET = 8 };

struct Packet {
    float at[PACKET];
};

struct Any;

template <typename T> struct Rows {
    T *data;
    int64_t stride;
};

template <> struct Rows<Any> {
    void *data;
    int64_t stride;
    bool is_bf16, aligned;
};

/* Every packet that begins at a multiple of eight columns is 16-byte aligned. */
static inline bool rows_aligned(Tensor t)
{
    size_t step = (size_t)t.stride * dtype_bytes(t.dtype);
    return (uintptr_t)t.data % CUDA_ALIGNMENT == 0 && (t.rows < 2 || step % CUDA_ALIGNMENT == 0);
}

/* May be taken as Rows<bf16> or Rows<float>, whichever it holds. */
static inline bool rows_fit(Tensor t)
{
    return t.cols % PACKET == 0 && rows_aligned(t);
}

template <typename T> static inline Rows<T> rows_of(Tensor t)
{
    return Rows<T>{(T *)t.data, t.stride};
}

template <> inline Rows<Any> rows_of<Any>(Tensor t)
{
    return Rows<Any>{t.data, t.stride, t.dtype == DTYPE_BF16, rows_aligned(t)};
}

/* ---- whole packets ---- */

__device__ __forceinline__ Packet packet_of_pairs(uint4 a)
{
    const uint32_t pairs[] = {a.x, a.y, a.z, a.w};
    Packet x;
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        x.at[i] = __uint_as_float(i % 2 ? pairs[i / 2] & 0xffff0000u : pairs[i / 2] << 16);
    }
    return x;
}

__device__ __forceinline__ uint4 packet_to_pairs(Packet x)
{
    return uint4{bf16_pair(x.at[0], x.at[1]), bf16_pair(x.at[2], x.at[3]),
                 bf16_pair(x.at[4], x.at[5]), bf16_pair(x.at[6], x.at[7])};
}

__device__ __forceinline__ Packet packet_read(const bf16 *from)
{
    return packet_of_pairs(*(const uint4 *)from);
}

__device__ __forceinline__ Packet packet_read(const float *from)
{
    float4 a = *(const float4 *)from, b = *(const float4 *)(from + 4);
    return Packet{{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

__device__ __forceinline__ void packet_write(bf16 *to, Packet x)
{
    *(uint4 *)to = packet_to_pairs(x);
}

__device__ __forceinline__ void packet_write(float *to, Packet x)
{
    *(float4 *)to = float4{x.at[0], x.at[1], x.at[2], x.at[3]};
    *(float4 *)(to + 4) = float4{x.at[4], x.at[5], x.at[6], x.at[7]};
}

/* ---- `count` elements of a row from column `col` on; the others are 0, or not written ---- */

template <typename T>
__device__ __forceinline__ Packet packet_load(Rows<T> from, int64_t row, int64_t col, int)
{
    return packet_read(from.data + row * from.stride + col);
}

template <>
__device__ __forceinline__ Packet packet_load(Rows<Any> from, int64_t row, int64_t col, int count)
{
    const float *floats = (const float *)from.data + row * from.stride + col;
    const bf16 *halves = (const bf16 *)from.data + row * from.stride + col;
    if (from.aligned && count == PACKET && col % PACKET == 0) {
        return from.is_bf16 ? packet_read(halves) : packet_read(floats);
    }
    Packet x = {};
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        if (i < count) x.at[i] = from.is_bf16 ? to_float(halves[i]) : floats[i];
    }
    return x;
}

template <typename T>
__device__ __forceinline__ void packet_store(Rows<T> to, int64_t row, int64_t col, int, Packet x)
{
    packet_write(to.data + row * to.stride + col, x);
}

template <>
__device__ __forceinline__ void packet_store(Rows<Any> to, int64_t row, int64_t col, int count,
                                             Packet x)
{
    float *floats = (float *)to.data + row * to.stride + col;
    bf16 *halves = (bf16 *)to.data + row * to.stride + col;
    bool whole = to.aligned && count == PACKET && col % PACKET == 0;
    if (whole && to.is_bf16) return packet_write(halves, x);
    if (whole) return packet_write(floats, x);
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        if (i < count && to.is_bf16) halves[i].bits = (uint16_t)bf16_pair(x.at[i], 0);
        if (i < count && !to.is_bf16) floats[i] = x.at[i];
    }
}

/* x as those rows would hold it. */
template <typename T> __device__ __forceinline__ Packet packet_round(Rows<T>, Packet x)
{
    return sizeof(T) == sizeof(bf16) ? packet_of_pairs(packet_to_pairs(x)) : x;
}

template <> __device__ __forceinline__ Packet packet_round(Rows<Any> as, Packet x)
{
    return as.is_bf16 ? packet_of_pairs(packet_to_pairs(x)) : x;
}

#endif
