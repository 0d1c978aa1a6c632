/* What the files of this room share. */
#ifndef CP_PATH_PATH_H
#define CP_PATH_PATH_H

#include <math.h>
#include <string.h>

#include "critpath.h"
#include "model/path_bits.h"

/* K = round((1 - sparsity) * neurons), half away from zero (docs/methods.md 1.4). */
size_t cp_path_keep_count(size_t neurons, double sparsity);

/* CP_EINPUT unless 0 <= sparsity < 1. */
cp_status cp_path_check_sparsity(double sparsity);
/* CP_EINPUT unless 0 < mass <= 1. */
cp_status cp_path_check_mass(double mass);

/* The bits of a score's magnitude as an integer, in the order of its value; compared instead of the floats because a
 * processor set to flush denormals takes them for zero. Above CP_LARGEST_SCORE: infinite or NaN. */
#define CP_LARGEST_SCORE 0x7f7fffffu
static inline uint32_t cp_score_bits(const float *score)
{
    uint32_t bits;
    memcpy(&bits, score, sizeof bits);
    return bits & 0x7fffffffu;
}

/* The magnitude as a number, denormals too on a processor that flushes them. */
static inline double cp_score_value(uint32_t bits)
{
    float value;
    if (bits >> 23 == 0)
        return ldexp((double)bits, -149);
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* CP_EINTERNAL naming the first score of the layer that is not finite. */
cp_status cp_path_check_scores(const cp_neuron_layer *layer, const float *score);

/* A layer of the network as the cut sees it. */
typedef struct {
    int neuron;        /* position among the neuron layers, or -1 */
    int n_sources;
    const int *sources; /* layers it reads, all before it; -1 is the network input */
} cp_cut_layer;

/* Where a way from the response begins. */
typedef struct {
    int layer;
    bool below; /* at the inputs of the layer: a unit of a neuron layer is no gate for itself */
} cp_cut_start;

/* cp_path_find_cut on a bare graph: layers in order, the path's neuron layers numbered as cp_cut_layer.neuron. */
cp_status cp_path_find_cut_in(const cp_cut_layer *layers, int n_layers, const cp_cut_start *starts, int n_starts,
                              const cp_path *path, const float *score, cp_cut *cut);

/* cp_path_find_cut with the scores that a GPU holds for this frame (engine/frame_scores.h). */
cp_status cp_path_find_cut_there(const cp_path *path, cp_frame *frame, const cp_response *response, cp_cut *cut);

#endif
