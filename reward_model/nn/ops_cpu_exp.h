/* ops_cpu_exp.h - the exponential of every lane. */
#ifndef AILERON_RM_OPS_CPU_EXP_H
#define AILERON_RM_OPS_CPU_EXP_H

#include "ops_cpu_simd.h"

/* e^x to 2e-7 of itself; 0 below -87.3, where fp32 has no normal numbers; infinite above 88.3.
 * x = n·ln2 + r with ln2 in two parts, 2^n through the exponent's bits; e^r by a polynomial fitted
 * (relative minimax, 2e-9) on |r| <= 0.35. */
INLINE Lanes lanes_exp(Lanes x)
{
    const float rounder = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    LanesInt below = x < -87.3f;
    x = lanes_choose(x > 89.0f, lanes_all(89.0f), x);
    x = lanes_choose(below, lanes_all(-87.3f), x);
    Lanes shifted = x * 1.44269504f + rounder;
    Lanes n = shifted - rounder;
    Lanes r = x - n * 0.693359375f;
    r = r + n * 0.00021219444f;
    Lanes p = 0.00138358015f * r + 0.00837564468f;
    p = p * r + 0.0416682884f;
    p = p * r + 0.166664109f;
    p = p * r + 0.499999911f;
    p = p * r + 1;
    p = p * r + 1;
    LanesInt power = ((LanesInt)shifted - 0x4b400000 + 127) << 23;
    return (Lanes)((LanesInt)(p * (Lanes)power) & ~below);
}

#endif
