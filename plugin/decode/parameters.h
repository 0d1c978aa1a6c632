/* An image as a function of parameters that an optimiser moves: how an image is parameterised decides whether noise or shapes
 * come out (docs/methods.md 8; Olah et al. 2017; Fel et al. 2023). */
#ifndef CP_DECODE_PARAMETERS_H
#define CP_DECODE_PARAMETERS_H

#include "critpath.h"

typedef enum {
    CP_PARAMETERS_PIXELS,  /* image = sigmoid(v), v ~ N(0,.01): the paper's */
    CP_PARAMETERS_FOURIER, /* image = sigmoid(C irfft2(v/f)), v ~ N(0,.01), in colours without correlation */
    CP_PARAMETERS_MACO,    /* image = sigmoid(C std(irfft2(r exp(i phi)))), r given, phi ~ N(0,1) */
    CP_PARAMETERS_PHOTO    /* image = sigmoid(sigmoid^-1(photo) + C irfft2(v/f^1.5)), v = 0 */
} cp_parameterisation;

typedef struct cp_parameters cp_parameters;

/* Images of (c,h,w). With 3 channels they are colours, else each channel is by itself. given: of MACO the magnitudes r,
 * (c,h,w/2+1), of PHOTO the image to start from, (c,h,w) in [0,1]; else NULL. The same seed gives the same start.
 * CP_ERESOURCE out of memory. */
cp_status cp_parameters_create(cp_parameterisation kind, size_t c, size_t h, size_t w, const float *given, uint64_t seed,
                               cp_parameters **parameters);
void cp_parameters_free(cp_parameters *parameters);

size_t cp_parameters_count(const cp_parameters *parameters);
/* To be changed before cp_parameters_image. */
float *cp_parameters_values(cp_parameters *parameters);
/* The image of the values as they are, (c,h,w) in [0,1]; it belongs to the parameters. */
const float *cp_parameters_image(cp_parameters *parameters);
/* From the gradient over that image, of the last call of cp_parameters_image, to the gradient over the values. */
void cp_parameters_gradient(cp_parameters *parameters, const float *image_gradient, float *gradient);

/* Magnitudes for MACO: adds |rfft2| of an image (c,h,w), in colours without correlation, to sum (c,h,w/2+1). */
cp_status cp_parameters_add_magnitudes(const float *image, size_t c, size_t h, size_t w, double *sum);

#endif
