/* Enlarging and shrinking: bicubic (Keys 1981, a = -1/2), with the kernel stretched where it shrinks, so that every
 * pixel counts. Only sums, products and roundings: the same bytes with any C library. */
#ifndef CP_IO_RESAMPLE_H
#define CP_IO_RESAMPLE_H

#include "io/image.h"

/* The values of a plane, shape (h, w), at the pixels of `part` of it (in its own pixels, not necessarily whole ones;
 * NULL: all), shape (out_h, out_w). Beyond its edges a plane has no values and those inside count more. */
cp_status cp_resample_plane(const float *plane, size_t h, size_t w, const cp_photo_box *part, size_t out_h,
                            size_t out_w, float *out);

/* The same for a picture, rounded and cut to 0..255; *out is new. */
cp_status cp_resample_picture(const cp_picture *picture, const cp_photo_box *part, int w, int h, cp_picture *out);

#endif
