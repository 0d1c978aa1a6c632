/* Scores that stay where the frame that made them computes: on a GPU, N floats that only the selection's counts and the
 * path's bits leave. For the rooms of scores and paths. On the CPU scores are arrays, and no frame holds any. */
#ifndef CP_ENGINE_FRAME_SCORES_H
#define CP_ENGINE_FRAME_SCORES_H

#include "critpath.h"

/* Room for a score per neuron on the host, the frame's, from one explanation to the next: where neurons are cheap the
 * first touch of a new array costs a third of a forward run. NULL with the message set when memory is out. */
float *cp_frame_scores(cp_frame *frame);

/* Magnitudes of scores are read as integers, in the order of their values, digit by digit: 11 bits (exponent and 3 bits of
 * the fraction), then 10, then 10. */
enum { CP_FIRST_DIGITS = 2048, CP_NEXT_DIGITS = 1024, CP_FIRST_SHIFT = 20 };

/* Scores by one digit: how many, and the sum of their fractions with the leading 1, as whole numbers. Scores of one digit
 * share the exponent, so that sums are exact and do not depend on any order. */
typedef struct {
    size_t count[CP_FIRST_DIGITS];
    uint64_t fraction[CP_FIRST_DIGITS];
} cp_digit_table;

/* The fraction with the leading 1 of a magnitude's bits; denormals have none. */
static inline uint64_t cp_score_fraction(uint32_t bits)
{
    return bits >> 23 ? (bits & 0x7fffffu) | 0x800000u : bits;
}

/* What of one channel is on a path. */
typedef struct {
    double score; /* sum of the scores */
    size_t kept, dead;
} cp_channel_sum;

/* Where the sums over the channels of a neuron layer's plane stand: in sum[first ...], `cells` of them. */
typedef struct {
    int layer; /* among the neuron layers */
    size_t cells, first;
} cp_score_plane;

/* The scores that a frame's backend holds. cp_frame_score_products makes them. */
typedef struct {
    /* Where products go: cleared, N of them and the flag. For frame_scores.c alone, as `made`. */
    cp_status (*make)(cp_frame *frame, float **product, unsigned **not_finite);
    /* Zeroes those of the response's own units; *finite: all are. */
    cp_status (*made)(cp_frame *frame, const cp_response *response, bool *finite);
    cp_status (*read)(cp_frame *frame, float *score);
    /* The table of the first digit; *zeros: how many scores are 0. */
    cp_status (*first)(cp_frame *frame, cp_digit_table *table, size_t *zeros);
    /* That of the 10 bits above `shift`, of the scores whose bits above those are `prefix`. */
    cp_status (*next)(cp_frame *frame, uint32_t prefix, int shift, cp_digit_table *table);
    /* words: bit i%64 of word first[l] + i/64 says whether neuron i of layer l scores at least `lowest`; spare bits 0. Here and
     * below scores count without their signs. */
    cp_status (*bits)(cp_frame *frame, uint32_t lowest, const size_t *first, uint64_t *words);
    /* Indices in score[N], ascending, of the `count` scores from `lowest` to `highest`. */
    cp_status (*find)(cp_frame *frame, uint32_t lowest, uint32_t highest, size_t count, uint32_t *neuron);
    /* By neuron layer: its largest score, and the first neuron in score[N] that has it. */
    cp_status (*best)(cp_frame *frame, uint32_t *score, size_t *neuron);
    /* *before: how many neurons the selection takes before `neuron`, whose score is `score`. */
    cp_status (*rank)(cp_frame *frame, uint32_t score, size_t neuron, size_t *before);
    /* For all channels (cp_model_channel_count) and image `image` of the frame; words, first: as in `bits`.
     * dead: by neuron layer, the highest activation that is dead. */
    cp_status (*channels)(cp_frame *frame, int image, const uint64_t *words, const size_t *first,
                          const float *dead, cp_channel_sum *channel);
    /* sum: of n planes, by cell, over the channels in their order, the scores with their signs of neurons on the path. words,
     * first: as in `bits`; words NULL: of all neurons. */
    cp_status (*planes)(cp_frame *frame, const uint64_t *words, const size_t *first, int n, const cp_score_plane *plane,
                        double *sum);
    /* seen (n, 2): score and activation of neurons of that image. */
    cp_status (*look)(cp_frame *frame, int image, const uint32_t *neuron, int n, float *seen);
} cp_held_scores;

/* NULL where scores are arrays. */
const cp_held_scores *cp_frame_held_scores(const cp_frame *frame);

/* Of a frame that holds scores: they become a * g of every neuron for one entry, or its magnitude; 0 where the response or
 * the seed does not depend on the layer and for the response's own units. *finite: all of them are. gradient (C,H,W), on the
 * host: that of the input, from the same run, or NULL. */
cp_status cp_frame_score_products(cp_frame *frame, const cp_entry *entry, bool magnitude, bool *finite, float *gradient);

#endif
