/* What all ways to score have in common. */
#ifndef CP_SCORE_SCORE_H
#define CP_SCORE_SCORE_H

#include <stdint.h>

#include "critpath.h"

/* A neuron that is itself the response, or one of its units, is explained and does not explain: its score is 0. */
void cp_score_clear_response(const cp_model *model, const cp_response *response, float *score);

/* What is known of CP_SCORE_PIECE consecutive scores of a layer (the last piece of a layer has fewer). A network has a piece
 * for every word of a path (model/path_bits.h), and they stand in the order of these words. Selection needs not look at the
 * scores of a piece whose largest is too small. */
enum { CP_SCORE_PIECE = 64 };
typedef struct {
    double sum;       /* of the magnitudes */
    uint32_t largest; /* bits of the largest magnitude: above those of FLT_MAX where a score is infinite or NaN */
} cp_score_piece;

/* The pieces of `count` scores of a layer, the first of which begins a piece. */
void cp_score_find_pieces(const float *score, size_t count, cp_score_piece *pieces);

/* out = a * g, or its magnitude, and the pieces of that (or NULL); the first begins a piece. Returns whether all are finite. */
bool cp_score_products(const float *a, const float *g, size_t count, bool signed_scores, float *out,
                       cp_score_piece *pieces);

/* CP_EINPUT naming layer and neuron when a score of the N is NaN or infinite. */
cp_status cp_score_check_finite(const cp_model *model, const float *score);

/* a * g of every neuron, with its sign, g taken in the network restricted to `path` (frozen); NULL: in the whole network.
 * score[N]; 0 for the response's own units and where the response does not depend on the layer. gradient (C,H,W): that of
 * the input, from the same backward run; or NULL. */
cp_status cp_score_signed(cp_frame *frame, int image, const cp_response *response, const cp_path *path, float *score,
                          float *gradient);
/* The same with no path, and the pieces of all layers. */
cp_status cp_score_signed_in_pieces(cp_frame *frame, int image, const cp_response *response, float *score,
                                    cp_score_piece *pieces, float *gradient);

/* Of distillation guided routing, for both its implementations: options in range; the layer of which each output is the
 * logit of a class, CP_EINPUT unless the model is a classifier. */
cp_status cp_dgr_check(const cp_dgr_options *options);
cp_status cp_dgr_find_logits(const cp_model *model, int *layer);

#endif
