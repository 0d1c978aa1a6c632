/* Means over images, and whether one method is better than another on the same images (docs/methods.md 5.6). */
#ifndef CP_EVAL_PAIRED_H
#define CP_EVAL_PAIRED_H

#include <stddef.h>
#include <stdint.h>

/* Values that are NaN are left out. */
typedef struct {
    size_t n;
    double mean, error; /* error: standard error of the mean, NAN for fewer than two */
} cp_mean;

/* value: (n). All NaN: n = 0 and a mean of NAN. */
cp_mean cp_mean_of(const double *value, size_t n);

typedef struct {
    cp_mean difference; /* of a - b, where both are numbers */
    double p;           /* two-sided, by random sign flips of the differences (Fisher's permutation test); NAN for no pair */
} cp_paired;

/* a, b: (n) of the same images. draws: sign flips, 0 = 9999; the same seed gives the same p. */
cp_paired cp_compare_paired(const double *a, const double *b, size_t n, int draws, uint64_t seed);

#endif
