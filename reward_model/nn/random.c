/* random.c - SplitMix64 as a counter-based generator, Box-Muller on top. */
#include <math.h>
#include "random.h"

/* The output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
 * number generators", figure 16): its n-th output is this of seed + n · golden. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static const uint64_t golden = 0x9e3779b97f4a7c15u;

/* In (0, 1]: 53 bits, never 0. */
static double uniform(uint64_t key, uint64_t counter)
{
    return (double)((mix(key + (counter + 1) * golden) >> 11) + 1) * 0x1p-53;
}

/* Box and Muller 1958: two uniforms to two normals. The polar angle's sine and cosine come from
 * libm in double, so rounding to float hides what differs between its versions. */
void random_normal(uint64_t seed, uint64_t stream, uint64_t from, float *out, size_t count,
                   double deviation)
{
    static const double turn = 6.283185307179586476925;
    uint64_t key = mix(mix(seed + golden) ^ (stream * golden));
    int64_t pairs = (int64_t)((count + 1) / 2);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pairs; i++) {
        uint64_t counter = from + 2 * (uint64_t)i;
        double radius = deviation * sqrt(-2 * log(uniform(key, counter)));
        double angle = turn * uniform(key, counter + 1), sine, cosine;
        sincos(angle, &sine, &cosine);
        out[2 * i] = (float)(radius * cosine);
        if (2 * (size_t)i + 1 < count) out[2 * i + 1] = (float)(radius * sine);
    }
}
