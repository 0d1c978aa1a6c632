#include "eval/paired.h"

#include <math.h>

#include "io/random.h"

static cp_mean mean_of(const double *a, const double *b, size_t n)
{
    cp_mean m = {0, NAN, NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        double value = b ? a[i] - b[i] : a[i];
        if (isnan(value))
            continue;
        sum += value;
        m.n++;
    }
    if (m.n)
        m.mean = sum / (double)m.n;
    for (size_t i = 0; i < n; i++) {
        double value = b ? a[i] - b[i] : a[i];
        if (!isnan(value))
            squares += (value - m.mean) * (value - m.mean);
    }
    if (m.n > 1)
        m.error = sqrt(squares / (double)(m.n - 1) / (double)m.n);
    return m;
}

cp_mean cp_mean_of(const double *value, size_t n) { return mean_of(value, NULL, n); }

cp_paired cp_compare_paired(const double *a, const double *b, size_t n, int draws, uint64_t seed)
{
    cp_paired result = {mean_of(a, b, n), NAN};
    if (!result.difference.n)
        return result;
    int extreme = 0;
    double sum = fabs(result.difference.mean) * (double)result.difference.n;
    if (draws < 1)
        draws = 9999;
    for (int k = 0; k < draws; k++) {
        double flipped = 0;
        uint64_t bits = 0;
        int left = 0;
        for (size_t i = 0; i < n; i++) {
            double difference = a[i] - b[i];
            if (isnan(difference))
                continue;
            if (!left)
                bits = cp_random_next(&seed), left = 64;
            flipped += bits & 1 ? difference : -difference;
            bits >>= 1, left--;
        }
        extreme += fabs(flipped) >= sum * (1 - 1e-12);
    }
    result.p = (1. + extreme) / (1. + draws);
    return result;
}
