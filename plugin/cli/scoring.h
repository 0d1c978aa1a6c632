/* What a method has to say besides the scores. */
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

/* Frees what the arrays hold; an empty one is fine. */
void cp_scoring_free(cp_scoring *scoring);
/* Lines: a table by layer where `layers`, what it comes to otherwise. Nothing where a method says nothing. */
void cp_scoring_print(const cp_session *session, const cp_scoring *scoring, bool layers, FILE *to);
/* An object, empty where a method says nothing; NULL: out of memory. */
json_t *cp_scoring_json(const cp_session *session, const cp_scoring *scoring);

#endif
