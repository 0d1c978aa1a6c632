/* NeuronMCT and selection in one (METHODS 1.1, 1.4). On a GPU the K-th largest score is found there, digit by digit, as
 * on the CPU (select.c): the same K, the same ties, the same bits for the same scores. */
#include <math.h>
#include <string.h>

#include "engine/scores.h"
#include "io/error.h"
#include "path/path.h"

enum { INFINITE_DIGIT = 0x7f8 }; /* of inf and NaN; signed numbers are above */

/* What all sparsities share. */
typedef struct {
    size_t first[CP_SCORE_FIRST_DIGITS], zeros, positive;
} histogram;

static uint32_t pick_digit(const size_t *total, uint32_t digits, size_t *k)
{
    uint32_t d = digits - 1;
    while (total[d] < *k)
        *k -= total[d--];
    return d;
}

/* Of equal scores the first `ties`, in the order of the neurons. */
static cp_status keep_ties(cp_frame *frame, uint32_t value, size_t equal, size_t ties, cp_path *path)
{
    uint32_t *neuron = cp_alloc(equal, sizeof *neuron, "selection");
    cp_status status = neuron ? cp_device_scores_equal(frame, value, equal, neuron) : CP_ERESOURCE;
    for (size_t i = 0; i < ties && !status; i++)
        cp_path_set(path, neuron[i], true);
    cp_free(neuron);
    return status;
}

static cp_status select_on_device(cp_frame *frame, const histogram *all, double sparsity, cp_path *path,
                                  cp_selection *selection)
{
    size_t next[CP_SCORE_NEXT_DIGITS], k;
    *selection = (cp_selection){.asked = cp_path_keep_count(path->neurons, sparsity)};
    selection->kept = k = selection->asked < all->positive ? selection->asked : all->positive;
    selection->sparsity = path->neurons ? 1 - (double)k / (double)path->neurons : 0;
    if (!k) {
        cp_path_fill(path, false);
        return CP_OK;
    }
    uint32_t value = pick_digit(all->first, CP_SCORE_FIRST_DIGITS, &k);
    for (int shift = 10; shift >= 0; shift -= 10) {
        cp_status status = cp_device_scores_next(frame, value, shift, next);
        if (status)
            return status;
        if (value == 0)
            next[0] -= all->zeros;
        value = value << 10 | pick_digit(next, CP_SCORE_NEXT_DIGITS, &k);
    }
    size_t equal = next[value & (CP_SCORE_NEXT_DIGITS - 1)];
    memcpy(&selection->threshold, &value, sizeof value);
    cp_status status = cp_device_scores_bits(frame, equal == k ? value : value + 1, path->first, path->words);
    return status || equal == k ? status : keep_ties(frame, value, equal, k, path);
}

static cp_status mct_on_device(cp_frame *frame, const cp_entry *entry, histogram *all)
{
    bool finite;
    cp_status status = cp_device_scores_products(frame, entry, true, &finite);
    if (!status && !finite) { /* the CPU's way names the neuron */
        float *score = cp_alloc(cp_model_neuron_count(cp_frame_model(frame)), sizeof *score, "scores");
        status = score ? cp_score_mct(frame, entry->image, entry->response, false, score) : CP_ERESOURCE;
        cp_free(score);
    }
    if (!status)
        status = cp_device_scores_first(frame, all->first, &all->zeros);
    all->positive = 0;
    for (int d = 0; d < INFINITE_DIGIT; d++)
        all->positive += all->first[d];
    all->positive -= all->zeros;
    all->first[0] -= all->zeros;
    return status;
}

static cp_status mct_on_host(cp_frame *frame, int image, const cp_response *response, const double *sparsities, int n,
                             cp_path *const *paths, cp_selection *selections)
{
    float *score = cp_alloc_dirty(cp_model_neuron_count(cp_frame_model(frame)), sizeof *score, "scores");
    cp_status status = score ? cp_score_mct(frame, image, response, false, score) : CP_ERESOURCE;
    for (int i = 0; i < n && !status; i++)
        status = cp_path_select(paths[i], score, sparsities[i], 0, &selections[i]);
    cp_free(score);
    return status;
}

cp_status cp_path_mct(cp_frame *frame, int image, const cp_response *response, const double *sparsities, int n,
                      cp_path *const *paths, cp_selection *selections)
{
    cp_status status = CP_OK;
    for (int i = 0; i < n && !status; i++)
        status = cp_path_check_sparsity(sparsities[i]);
    if (status)
        return status;
    if (!cp_frame_on_device(frame))
        return mct_on_host(frame, image, response, sparsities, n, paths, selections);
    const cp_entry entry = {.image = image, .response = response};
    histogram *all = cp_alloc(1, sizeof *all, "selection");
    if (!all)
        return CP_ERESOURCE;
    status = mct_on_device(frame, &entry, all);
    for (int i = 0; i < n && !status; i++)
        status = select_on_device(frame, all, sparsities[i], paths[i], &selections[i]);
    cp_free(all);
    return status;
}
