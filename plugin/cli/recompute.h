/* The methods that run the network again for their scores. */
#ifndef CP_CLI_RECOMPUTE_H
#define CP_CLI_RECOMPUTE_H

#include "cli/scoring.h"

/* score[N] of the response, with its sign, for image 0 of the session's frame. Progress and warnings go to stderr. */
cp_status cp_method_intgrad(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_eapig(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_ablation(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_shapley(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);

/* Scores of channels as scores of neurons: equal parts, whose sum is the channel's again. */
void cp_spread_channels(const cp_model *model, const float *channel, float *score);

#endif
