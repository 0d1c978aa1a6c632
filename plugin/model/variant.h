/* A second network of the same cfg whose weights are changed again and again, in memory: for tests that ask whether an
 * explanation depends on the weights at all. The weights file is never written to, and the model that the user opened
 * stays as it is. */
#ifndef CP_MODEL_VARIANT_H
#define CP_MODEL_VARIANT_H

#include "critpath.h"

typedef struct cp_variant cp_variant;

/* How weights are drawn at random. Rolling means and variances stay in both. */
typedef enum {
    CP_DRAW_NORMAL, /* weights, biases and scales from N(0, .1^2) (Adebayo et al. 2018) */
    CP_DRAW_DARKNET /* as Darknet starts a training: weights by the number of inputs, biases 0, scales 1. Weights of layers
                       that Debian's Darknet does not have: as CP_DRAW_NORMAL */
} cp_draw;

/* Opens the network once more. Errors as cp_model_open. */
cp_status cp_variant_open(const char *cfg, const char *weights, cp_variant **variant);
void cp_variant_free(cp_variant *variant);
/* No frame of it may be alive while its weights change. */
cp_model *cp_variant_model(const cp_variant *variant);

/* The layers with weights in the file, in order. layers: room for all of the network's; returns how many. */
int cp_variant_layers(const cp_variant *variant, int *layers);

/* Gives the n layers named random weights and all others those of the file. What a layer draws depends on `seed` and
 * its number alone, so that it is the same in every step of a cascade. */
cp_status cp_variant_randomise(cp_variant *variant, const int *layers, int n, cp_draw draw, uint64_t seed);

/* The weights of the file, but the layers that read the input expect it with shift[c] added to channel c: the response
 * to the shifted photo is the plain network's to the plain photo (Kindermans et al. 2019), up to rounding, and where
 * windows reach over the edge, up to what the padding, which is not shifted, changes. CP_EINPUT: something else than a
 * convolution or a connected layer reads the input. */
cp_status cp_variant_shift(cp_variant *variant, const float *shift);

#endif
