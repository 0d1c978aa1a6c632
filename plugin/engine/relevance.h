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

#endif
