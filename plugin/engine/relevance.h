/* Relevance instead of gradients: a backward run under the sign-aware gamma rule (docs/methods.md 1.6). */
#ifndef CP_ENGINE_RELEVANCE_H
#define CP_ENGINE_RELEVANCE_H

#include "engine/engine.h"

/* A run's rule, by the frame's model. A frame keeps it for its next run with the same gamma, since it holds changed
 * copies of the convolutions' weights. */
typedef struct cp_relevance cp_relevance;

/* Backward run of image `image` in which rho stands for g: the observer sees a and rho of each neuron layer, whose
 * product is the relevance. gamma >= 0. layers: one per layer of the network, or NULL. CP_EINPUT: a layer or an
 * activation for which the rule is not defined, by number and name; a frame on a GPU. */
cp_status cp_frame_relevance(cp_frame *frame, int image, const cp_response *response, double gamma,
                             const cp_observer *observer, cp_lrp_layer *layers);

/* ---- for backward.c alone ---- */

/* CP_EINPUT unless every layer that passes relevance to one below it is one the rule knows. active: by layer + 1. */
cp_status cp_relevance_check(const cp_relevance *relevance, const bool *active);
/* At a layer of neurons, before anything else is done with rho, dPhi/da's place: counts what arrives. */
void cp_relevance_arrive(cp_relevance *relevance, int layer, const float *rho);
/* rho *= a / z; returns how many are not 0. */
size_t cp_relevance_descend(cp_relevance *relevance, int layer, float *rho);
/* In place of the layer's own backward. */
void cp_relevance_backward(cp_relevance *relevance, int layer, const cp_backward *call);

void cp_relevance_free(cp_relevance *relevance);

#endif
