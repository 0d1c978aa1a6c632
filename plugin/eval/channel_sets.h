/* Paths as sets of channels, compared between images: what wrong answers use and right ones do not, and which of
 * them go the same way (docs/methods.md 5.13). Neurons of two images cannot be compared, since the object stands
 * elsewhere; channels can. */
#ifndef CP_EVAL_CHANNEL_SETS_H
#define CP_EVAL_CHANNEL_SETS_H

#include "critpath.h"

/* Numbers of channels, ascending: channel i of neuron layer l is cp_model_channel_offset(l) + i. */
typedef struct {
    uint32_t *channel;
    size_t n;
} cp_channel_set;

/* |A and B| / |A or B|; of two empty sets 0. */
double cp_channel_sets_jaccard(const cp_channel_set *a, const cp_channel_set *b);

/* How many sets hold each channel, so that the path of a class follows: the channels that at least half of its sets
 * hold. */
typedef struct {
    uint32_t *count; /* (channels) */
    size_t channels, sets;
} cp_channel_counts;

cp_status cp_channel_counts_new(size_t channels, cp_channel_counts *counts);
void cp_channel_counts_free(cp_channel_counts *counts);
void cp_channel_counts_add(cp_channel_counts *counts, const cp_channel_set *set);
/* Whether the class path holds the channel; without: a set that is not to count itself, or NULL. False where no set
 * is left. */
bool cp_channel_counts_hold(const cp_channel_counts *counts, size_t channel, const cp_channel_set *without);
/* |P and C| / |P or C| of a set with the class path, and in *inside |P and C| / |P|. NAN where no set is left. */
double cp_channel_counts_jaccard(const cp_channel_counts *counts, const cp_channel_set *set, bool own, double *inside);

/* ---- over-represented channels ---- */

typedef struct {
    size_t channel;
    size_t wrong, right; /* sets of either kind that hold it */
    double log_odds;     /* log of the odds ratio, with half a set added to each of the four counts (Haldane) */
    double p; /* of so many wrong ones or more, had the labels been dealt at random: exact (hypergeometric) */
    double
        adjusted; /* the share of permutations of the labels in which any channel has a p as small: holds for all
                     channels together (Westfall and Young's single-step min-p); the labels as they are count as one
                     of them */
} cp_enriched;

/* All channels that wrong sets hold more often than right ones, by ascending p, then descending log odds; at most
 * `most`. *n is 0 where one kind has no set. permutations: 0: 9999. */
cp_status cp_enriched_find(const cp_channel_set *wrong, size_t n_wrong, const cp_channel_set *right, size_t n_right,
                           size_t channels, int permutations, uint64_t seed, cp_enriched *enriched, size_t most,
                           size_t *n);

/* ---- clusters ---- */

/* Agglomerative clustering by mean Jaccard between the members of two clusters, as long as that is at least `alike`.
 * cluster: (n), the number of each set's cluster, from 0, by descending size, of equals by the first member. n: a
 * few thousand at most, since all pairs are compared. */
cp_status cp_channel_sets_cluster(const cp_channel_set *set, size_t n, double alike, int *cluster, size_t *clusters);

#endif
