/* What all ways to score have in common. */
#ifndef CP_SCORE_SCORE_H
#define CP_SCORE_SCORE_H

#include "critpath.h"

/* A neuron that is itself the response, or one of its units, is explained and does not explain: its score is 0. */
void cp_score_clear_response(const cp_model *model, const cp_response *response, float *score);

/* out = a * g, or its magnitude; returns whether all of them are finite. */
bool cp_score_products(const float *a, const float *g, size_t count, bool signed_scores, float *out);

/* CP_EINPUT naming layer and neuron when a score of the N is NaN or infinite. */
cp_status cp_score_check_finite(const cp_model *model, const float *score);

/* a * g of every neuron, with its sign, g taken in the network restricted to `path` (frozen); NULL: in the whole network.
 * score[N]; 0 for the response's own units and where the response does not depend on the layer. gradient (C,H,W): that of
 * the input, from the same backward run; or NULL. */
cp_status cp_score_signed(cp_frame *frame, int image, const cp_response *response, const cp_path *path, float *score,
                          float *gradient);

/* Of distillation guided routing, for both its implementations: options in range; the layer of which each output is the
 * logit of a class, CP_EINPUT unless the model is a classifier. */
cp_status cp_dgr_check(const cp_dgr_options *options);
cp_status cp_dgr_find_logits(const cp_model *model, int *layer);

#endif
