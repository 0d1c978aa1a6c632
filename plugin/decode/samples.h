/* Pictures of a list that a channel contributes most in (docs/methods.md 8; Achtibat et al. 2023, relevance maximisation: ranked
 * by what the channel gave to the answer, not by how strongly it was active). */
#ifndef CP_DECODE_SAMPLES_H
#define CP_DECODE_SAMPLES_H

#include "critpath.h"

/* What each channel (cp_model_channel_count) gave: share = the sum of the signed scores of its neurons over the sum of the
 * magnitudes of its layer, so that answers and layers compare; best = its neuron with the largest score, network-wide number.
 * score[N]: signed. Shares are 0 in layers without any score. */
void cp_channel_shares(const cp_model *model, const float *score, double *share, size_t *best);

/* The neuron layer and the channel in it of a channel's number. */
void cp_channel_place(const cp_model *model, size_t channel, int *neuron_layer, size_t *in_layer);

/* One place among the best of a channel. */
typedef struct {
    double share;
    size_t line;   /* of the list, from 0 */
    size_t answer; /* of that picture, from 0 */
    size_t neuron;
} cp_sample;

/* Keeps the `most` best, descending in share, equal ones in the order of the list. *n: how many there are. */
void cp_sample_insert(cp_sample *best, size_t most, size_t *n, cp_sample sample);

#endif
