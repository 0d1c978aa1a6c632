/* How faithful a path, and a ranking of neurons, are to the response (docs/methods.md 5.1 and 5.8). */
#ifndef CP_EVAL_SUFFICIENCY_H
#define CP_EVAL_SUFFICIENCY_H

#include "critpath.h"

/* With f of docs/methods.md 5.1, of the response: 1 is the whole network's, 0 that of the network without neurons. */
typedef struct {
    double sufficiency; /* f of the zeroed network that keeps the path */
    double necessity;   /* 1 - f of the zeroed network that keeps all but the path */
} cp_sufficiency;

/* The image in `frame`, which holds an unrestricted forward run. */
cp_status cp_sufficiency_of(const cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                            const cp_run_options *run, cp_sufficiency *found);

/* The areas of Mueller et al. 2025 (MIB) over the k best neurons, k = .001 .002 .005 .01 .02 .05 .1 .2 .5 1 of all. */
typedef struct {
    double cpr; /* circuit performance ratio: under f */
    double cmd; /* circuit-model distance: under |1 - f|; 0: every path answers as the whole network */
} cp_ranking_faithfulness;

/* score: (N), magnitudes. CP_EINPUT: none is above 0. */
cp_status cp_ranking_faithfulness_of(const cp_frame *frame, int image, const cp_response *response, const float *score,
                                     const cp_run_options *run, cp_ranking_faithfulness *found);

#endif
