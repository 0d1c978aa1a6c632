/* How alike two maps of one photo are: for tests that ask whether a map changes when it should (docs/methods.md 5.10). */
#ifndef CP_EVAL_SIMILARITY_H
#define CP_EVAL_SIMILARITY_H

#include "critpath.h"

/* Mean structural similarity (Wang et al. 2004) of a and b (h,w), each divided by its largest magnitude: windows of 5
 * x 5, all of equal weight, that lie inside; range 2, K1 .01, K2 .03, sample covariances. As scikit-image's
 * structural_similarity. A map of zeros stays zero; two of them have 1. CP_EINPUT: fewer than 5 rows or columns, NaN
 * or infinity. */
cp_status cp_ssim(const float *a, const float *b, size_t h, size_t w, double *ssim);

/* Histogram of oriented gradients of a map, divided by its largest magnitude: 8 orientations without sign, square
 * cells of `cell` pixels, each normalised by itself (L2-Hys). As scikit-image's hog. *n: the numbers, 8 per whole
 * cell; free with cp_free. */
cp_status cp_hog(const float *map, size_t h, size_t w, size_t cell, float **histogram, size_t *n);

/* Entropy, in nats, of the histogram of a map divided by its root mean square: as many equal bins as Freedman and
 * Diaconis say, from 10 to 200 (efficient MPRT: Hedstroem et al. 2023). 0 for a constant map. */
cp_status cp_map_entropy(const float *map, size_t n, double *entropy);

typedef struct {
    double ssim;           /* signed */
    double rank, rank_abs; /* Spearman's, of values and of magnitudes; NAN where one of the two is constant */
    double hog;            /* Spearman's of the histograms; NAN: not asked for */
} cp_similarity;

/* All of them. with_hog: cells of 16 pixels, or of 8 where the map is smaller than 64. */
cp_status cp_similarity_of(const float *a, const float *b, size_t h, size_t w, bool with_hog, cp_similarity *found);

#endif
