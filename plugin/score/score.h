/* What all ways to score have in common. */
#ifndef CP_SCORE_SCORE_H
#define CP_SCORE_SCORE_H

#include "critpath.h"

/* A neuron that is itself the response, or one of its units, is explained and does not explain: its score is 0. */
void cp_score_clear_response(const cp_model *model, const cp_response *response, float *score);

/* CP_EINPUT naming layer and neuron when a score of the N is NaN or infinite. */
cp_status cp_score_check_finite(const cp_model *model, const float *score);

#endif
