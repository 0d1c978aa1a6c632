/* The scores of all neurons for one response, where they were computed: an array, or on a GPU, from which then only
 * what is asked for below comes back. For the rooms that select; which of the two it is they need not know. */
#ifndef CP_PATH_SCORES_H
#define CP_PATH_SCORES_H

#include "critpath.h"
#include "engine/frame_scores.h"

typedef struct cp_scores cp_scores;

/* Any others: takes over array[N]. is_signed: they are contributions, each with its sign. frame, image: the original run, or
 * NULL where nobody will describe a path. */
cp_status cp_scores_take(cp_frame *frame, int image, float *array, bool is_signed, cp_scores **scores);
/* The same of an array that stays the caller's and outlives them. */
cp_status cp_scores_borrow(const float *array, cp_scores **scores);
/* NeuronMCT (as cp_score_mct, signed) of image `image` of the frame's last forward run. The scores are the frame's,
 * and hold until its next ones; the frame must outlive them. gradient (C,H,W): the plain gradient of the input, from the
 * same backward run; or NULL. */
cp_status cp_scores_mct(cp_frame *frame, int image, const cp_response *response, float *gradient, cp_scores **scores);
void cp_scores_free(cp_scores *scores);

/* score[N], brought to the host at the first call; belongs to `scores`. */
cp_status cp_scores_array(cp_scores *scores, const float **score);
/* Whether they are still where they were computed, and not here: then cp_scores_planes serves, and nothing else need come. */
bool cp_scores_stay(const cp_scores *scores);
/* sum: cp_held_scores.planes, of scores that stay. path NULL: of all neurons. */
cp_status cp_scores_planes(cp_scores *scores, const cp_path *path, int n, const cp_score_plane *plane, double *sum);
/* Whether they are contributions with their signs; if not, they only order the neurons. */
bool cp_scores_signed(const cp_scores *scores);
/* How many are not 0, of the model's neurons. */
size_t cp_scores_positive(const cp_scores *scores, const cp_model *model);
/* As cp_path_select, cp_path_select_mass and cp_path_find_cut: the same path, threshold and cut as from the array.
 * selection may be NULL. */
cp_status cp_scores_select(cp_scores *scores, double sparsity, double floor, cp_path *path, cp_selection *selection);
cp_status cp_scores_select_mass(cp_scores *scores, double mass, double floor, cp_path *path, cp_selection *selection);
cp_status cp_scores_find_cut(cp_scores *scores, const cp_path *path, const cp_response *response, cp_cut *cut);

/* One neuron of a path. */
typedef struct {
    size_t neuron;
    float score, activation; /* the score without its sign */
} cp_scored_neuron;

/* What a path selected from these scores consists of: by channel (cp_model_channel_count), and its *n_top neurons of
 * the highest scores, at most `most`, in descending order, of equals the first in front. */
cp_status cp_scores_describe(cp_scores *scores, const cp_path *path, cp_channel_sum *channel, int most,
                             cp_scored_neuron *top, int *n_top);

#endif
