/* turn.h - a head shared out over a group of threads, for turn.cu.
 *
 * A group, a part of a warp, has a head, and each of its threads two packets: those that rotate
 * together, or two that do not:
 *
 *   | low of the pairs | their high | low of the others | their high |
 *   0                  half         2 · half                         dim
 *
 * A thread keeps its place from one head to the next, hence the weights there, and what it adds up
 * for their gradients, in registers. */
#ifndef AILERON_RM_CUDA_TURN_H
#define AILERON_RM_CUDA_TURN_H

#include "grid.h"
#include "table.h"

struct HeadPlaces {
    int32_t dim, half;   /* elements that are touched; half of those that rotate */
    int32_t turned, all; /* threads with pairs; threads with anything */
    float head_dim;      /* of the whole head */
};

struct PairPlace {
    int32_t low, high, low_count, high_count; /* columns in a head, elements */
    bool turned;
};

__device__ __forceinline__ int32_t packet_between(int32_t from, int32_t to)
{
    int32_t count = to - from < PACKET ? to - from : (int32_t)PACKET;
    return count > 0 ? count : 0;
}

__device__ __forceinline__ PairPlace place_of(const HeadPlaces &head, int32_t thread)
{
    PairPlace at = {0, 0, 0, 0, thread < head.turned};
    if (thread >= head.all) return at;
    int32_t apart = at.turned ? head.half : (head.all - head.turned) * PACKET;
    at.low = at.turned ? thread * PACKET : 2 * head.half + (thread - head.turned) * PACKET;
    at.high = at.low + apart;
    at.low_count = packet_between(at.low, at.turned ? head.half : head.dim);
    at.high_count = packet_between(at.high, at.turned ? 2 * head.half : head.dim);
    return at;
}

/* ---- two packets ---- */

struct Pair {
    Packet low, high;
};

template <typename T>
__device__ __forceinline__ Pair pair_load(Rows<T> from, int64_t row, int64_t col, PairPlace at)
{
    Pair x = {};
    if (at.low_count > 0) x.low = packet_load(from, row, col + at.low, at.low_count);
    if (at.high_count > 0) x.high = packet_load(from, row, col + at.high, at.high_count);
    return x;
}

template <typename T>
__device__ __forceinline__ void pair_store(Rows<T> to, int64_t row, int64_t col, PairPlace at,
                                           const Pair &x)
{
    if (at.low_count > 0) packet_store(to, row, col + at.low, at.low_count, x.low);
    if (at.high_count > 0) packet_store(to, row, col + at.high, at.high_count, x.high);
}

template <typename T> __device__ __forceinline__ void pair_round(Rows<T> as, Pair &x)
{
    x.low = packet_round(as, x.low), x.high = packet_round(as, x.high);
}

__device__ __forceinline__ void pair_scale(Pair &x, float scale)
{
#pragma unroll
    for (int i = 0; i < PACKET; i++) x.low.at[i] *= scale, x.high.at[i] *= scale;
}

/* Element by element. */
__device__ __forceinline__ void pair_multiply(Pair &x, const Pair &by)
{
#pragma unroll
    for (int i = 0; i < PACKET; i++) x.low.at[i] *= by.low.at[i], x.high.at[i] *= by.high.at[i];
}

/* to += x · y, element by element. */
__device__ __forceinline__ void pair_add_product(Pair &to, const Pair &x, const Pair &y)
{
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        to.low.at[i] += x.low.at[i] * y.low.at[i];
        to.high.at[i] += x.high.at[i] * y.high.at[i];
    }
}

/* Σ x · y */
__device__ __forceinline__ float pair_product(const Pair &x, const Pair &y)
{
    float sum = 0;
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        sum += x.low.at[i] * y.low.at[i];
        sum += x.high.at[i] * y.high.at[i];
    }
    return sum;
}

/* waves: of these angles, cosines low and sines high. sign -1 turns back. */
__device__ __forceinline__ void pair_rotate(Pair &x, const Pair &waves, float sign)
{
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        float a = x.low.at[i], b = x.high.at[i];
        float cosine = waves.low.at[i], sine = waves.high.at[i] * sign;
        x.low.at[i] = a * cosine - b * sine;
        x.high.at[i] = b * cosine + a * sine;
    }
}

#endif
