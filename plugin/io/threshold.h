/* Selection by value without a sort, in O(n). */
#ifndef CP_IO_THRESHOLD_H
#define CP_IO_THRESHOLD_H

#include "critpath.h"

/* The largest of n values, all of them finite and at least 0, such that the values of at least that size come to
 * `wanted`: their number, or with by_sum their sum. Where all of them together do not, the smallest (by_sum: that is
 * not 0). */
cp_status cp_threshold(const float *values, size_t n, bool by_sum, double wanted, float *threshold);

#endif
