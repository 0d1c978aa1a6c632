/* Planes and their half spectra, by FFTW in single precision. */
#ifndef CP_DECODE_SPECTRUM_H
#define CP_DECODE_SPECTRUM_H

#include "critpath.h"

typedef struct cp_spectrum cp_spectrum;

/* For planes of h x w. The half spectrum has shape (h, w/2+1) of complex numbers, real and imaginary part beside each
 * other: 2 * h * (w/2+1) floats. CP_ERESOURCE out of memory. */
cp_status cp_spectrum_create(size_t h, size_t w, cp_spectrum **spectrum);
void cp_spectrum_free(cp_spectrum *spectrum);
/* w/2+1 */
size_t cp_spectrum_columns(const cp_spectrum *spectrum);

/* half = sum over the plane of value * exp(-i angle). */
void cp_spectrum_of(cp_spectrum *spectrum, const float *plane, float *half);
/* The inverse, with the factor 1/(h*w). Where the half spectrum says the same frequency twice (column 0, and column w/2
 * of an even width), the real plane of the mean of the two. */
void cp_spectrum_to_plane(cp_spectrum *spectrum, const float *half, float *plane);
/* The adjoint of cp_spectrum_to_plane: from the gradient over the plane to that over the half spectrum. */
void cp_spectrum_adjoint(cp_spectrum *spectrum, const float *plane, float *half);

/* Cycles per pixel of a row and a column of the half spectrum, the length of the two together: 0 to .71. */
double cp_spectrum_frequency(const cp_spectrum *spectrum, size_t row, size_t column);

#endif
