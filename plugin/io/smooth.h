/* Gaussian smoothing of one plane of values. */
#ifndef CP_IO_SMOOTH_H
#define CP_IO_SMOOTH_H

#include "critpath.h"

/* values, shape (h, w), become their convolution with a Gaussian of `sigma` pixels, cut off at three sigma. The plane
 * goes on beyond its edges as its mirror image, so that the sum of the values stays what it was. sigma 0 changes
 * nothing. The weights are multiples of 2^-20 of the largest, so that the last digits of a C library's exp() do not
 * show. */
cp_status cp_smooth(float *values, size_t h, size_t w, double sigma);

#endif
