/* Seeded random numbers that are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014). */
#ifndef CP_IO_RANDOM_H
#define CP_IO_RANDOM_H

#include <math.h>
#include <stdint.h>

static inline uint64_t cp_random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [0, n), n > 0, without bias: what does not fill a whole round is drawn again. */
static inline uint64_t cp_random_below(uint64_t *state, uint64_t n)
{
    uint64_t short_by = -n % n, number;
    do
        number = cp_random_next(state);
    while (number < short_by);
    return number % n;
}

/* Uniform in [0,1). */
static inline double cp_random_uniform(uint64_t *state) { return (double)(cp_random_next(state) >> 11) * 0x1p-53; }

/* Two standard normal numbers (Box and Muller). */
static inline void cp_random_normal(uint64_t *state, float pair[2])
{
    double u = cp_random_uniform(state) + 0x1p-53, v = cp_random_uniform(state);
    double radius = sqrt(-2 * log(u)), angle = 2 * acos(-1) * v;
    pair[0] = (float)(radius * cos(angle));
    pair[1] = (float)(radius * sin(angle));
}

#endif
