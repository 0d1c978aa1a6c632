#include "io/threshold.h"

#include <string.h>

#include "io/error.h"

enum { DIGIT = 1 << 16 };

/* Bits of a float >= 0 rise with its value. */
static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The largest 16-bit digit such that values with it and above bring *held, what all above them hold, to `wanted`;
 * *held grows by the values above that digit. `high`: look at the lower digit of values with this upper one; negative:
 * at the upper digit of all. sums: room for DIGIT. */
static int find_digit(const float *values, size_t n, bool by_sum, long high, double *sums, double wanted, double *held)
{
    memset(sums, 0, DIGIT * sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(values[i]);
        if (high < 0 || bits >> 16 == (uint32_t)high)
            sums[high < 0 ? bits >> 16 : bits & (DIGIT - 1)] += by_sum ? values[i] : 1;
    }
    int lowest = 0;
    for (int digit = DIGIT - 1; digit >= 0; digit--)
        if (sums[digit] > 0) {
            lowest = digit;
            if (*held + sums[digit] >= wanted)
                break;
            *held += sums[digit];
        }
    return lowest;
}

cp_status cp_threshold(const float *values, size_t n, bool by_sum, double wanted, float *threshold)
{
    double *sums = cp_alloc(DIGIT, sizeof *sums, "threshold"), held = 0;
    if (!sums)
        return CP_ERESOURCE;
    int high = find_digit(values, n, by_sum, -1, sums, wanted, &held);
    int low = find_digit(values, n, by_sum, high, sums, wanted, &held);
    uint32_t bits = (uint32_t)high << 16 | (uint32_t)low;
    memcpy(threshold, &bits, sizeof bits);
    cp_free(sums);
    return CP_OK;
}
