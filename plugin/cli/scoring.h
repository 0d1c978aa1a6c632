/* What a method has to say besides the scores, and the methods that say much: those that recompute the network. */
#ifndef CP_CLI_SCORING_H
#define CP_CLI_SCORING_H

#include "cli/session.h"

#include <jansson.h>

/* What does not apply is NULL or 0. */
typedef struct {
    double least_share;        /* of the neurons that selection has to leave: where greedy pruning stalled; 1 of the
                                  active subnet */
    cp_intgrad_layer *intgrad; /* one per neuron layer */
    cp_shapley_layer *shapley;
    size_t sampled;            /* neurons of a sampled ablation; the others' score is 0 */
    double with_mct, with_intgrad; /* its rank correlations; NAN where undefined */
} cp_scoring;

/* score[N] of the response, with its sign, for image 0 of the session's frame. Progress and warnings go to stderr. */
cp_status cp_method_intgrad(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_eapig(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_ablation(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
cp_status cp_method_shapley(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);

/* Scores of channels as scores of neurons: equal parts, whose sum is the channel's again. */
void cp_spread_channels(const cp_model *model, const float *channel, float *score);

void cp_scoring_free(cp_scoring *scoring);
/* Lines: a table by layer where `layers`, what it comes to otherwise. Nothing where a method says nothing. */
void cp_scoring_print(const cp_session *session, const cp_scoring *scoring, bool layers, FILE *to);
/* An object, empty where a method says nothing; NULL: out of memory. */
json_t *cp_scoring_json(const cp_session *session, const cp_scoring *scoring);

#endif
