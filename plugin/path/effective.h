/* The effective path of a response (Qiu et al., "Adversarial Defense Through Network Profiling Based Path Extraction", CVPR
 * 2019; Gan et al., "Ptolemy", MICRO 2020): which inputs each unit really needed, from the response down. docs/methods.md 2. */
#ifndef CP_PATH_EFFECTIVE_H
#define CP_PATH_EFFECTIVE_H

#include "critpath.h"

typedef enum {
    CP_EFFECTIVE_SHARE,     /* each unit keeps its fewest inputs, largest terms first, whose sum reaches theta of all its terms */
    CP_EFFECTIVE_ABSOLUTE,  /* each unit keeps the inputs whose terms are at least theta of the largest activation of its layer */
    CP_EFFECTIVE_FORWARD    /* no way back: the neurons whose activation is at least theta of the largest of their layer */
} cp_effective_rule;

#define CP_EFFECTIVE_THETA .5 /* of Qiu et al. */

/* Which channels a path's edges join, by layer with weights: used[layer] is (c_out, c_in), 1 where a unit of the one kept an
 * input of the other; NULL for other layers, and where no unit was reached. c_in: channels of the layer's source. */
typedef struct {
    int layers;
    uint8_t **used;
    size_t *c_in;
} cp_effective_edges;

/* path becomes the neurons reached. A unit's terms are weight times input, without its bias; equal ones are taken in the order of
 * the inputs. A unit whose terms do not sum to more than 0 keeps nothing (CP_EFFECTIVE_SHARE). Max-pools hand on to the winner,
 * shortcuts and average pools are sums like the others. The response's own units are not on the path. edges: NULL, or what to
 * fill; free with cp_effective_edges_free in any case. CP_EINPUT: theta out of (0, 1]; a frame on a GPU, a branch; a layer of
 * another kind, by number and name. */
cp_status cp_path_effective(const cp_frame *frame, int image, const cp_response *response, cp_effective_rule rule,
                            double theta, cp_path *path, cp_effective_edges *edges);
void cp_effective_edges_free(cp_effective_edges *edges);

#endif
