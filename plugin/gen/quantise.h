/* Distance-aware quantisation to one bit (docs/methods.md 9; Kim et al. 2021): forward exactly 0 or 1, backward the slope of a soft
 * assignment whose temperature follows the distance of the two. */
#ifndef CP_GEN_QUANTISE_H
#define CP_GEN_QUANTISE_H

#include <math.h>

/* Of x in [0,1]: the nearer of 0 and 1; .5 is 1. */
static inline float cp_quantise(float x) { return x >= .5f ? 1 : 0; }

/* d out / d x = e^T / (e^2T - 1) * T / |s0 - s1| * (k1 e^(x-1) + k0 e^-x), s_q = e^-|x-q| k_q, k of the nearer q 1, of the other
 * e^(-1/sigma^2); T = 2, sigma = 1. */
static inline float cp_quantise_slope(float x)
{
    const double temperature = 2, other = exp(-1.);
    double k1 = x >= .5f ? 1 : other, k0 = x >= .5f ? other : 1, e1 = k1 * exp(x - 1.), e0 = k0 * exp(-(double)x);
    return (float)(exp(temperature) / (exp(2 * temperature) - 1) * temperature / fabs(e0 - e1) * (e1 + e0));
}

#endif
