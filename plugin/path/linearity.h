/* The borders of a linear region: one per counted neuron, and one per rival in each max-pool window. */
#ifndef CP_PATH_LINEARITY_H
#define CP_PATH_LINEARITY_H

#include "critpath.h"

/* A max-pool that the response depends on. Rival k of window i, k = ky*size + kx, is pair first + i*size*size + k. */
typedef struct {
    int layer, source; /* source: the layer whose output it pools; -1 is the input */
    const cp_layer_info *info;
    size_t first;
} cp_pool_borders;

typedef struct {
    cp_frame *frame;
    const cp_model *model;
    int image;
    const cp_path *path; /* NULL: the full network */
    const cp_region_options *options;
    size_t inputs;
    bool *counted;       /* by neuron layer: the response depends on it */
    cp_path *units;      /* the neurons counted */
    float *z;            /* N: pre-activations of the layers counted */
    double *unit_square; /* N: sum over directions of (J_j v)^2 */
    int n_pools;
    cp_pool_borders *pool;
    size_t pairs;
    double *pair_square; /* pairs: sum over directions of (J_winner v - J_rival v)^2 */
    int passes;
} cp_borders;

/* The positions in its source of the units of a max-pool's window: k = 0 .. size*size-1, row by row; false outside. */
bool cp_window_unit(const cp_pool_borders *pool, size_t window, int k, size_t *unit);
/* The winner as Darknet finds it, the first of the largest; false when the window has none. */
bool cp_window_winner(const cp_pool_borders *pool, const float *source, size_t window, size_t *winner);

/* path/linearity_norms.c: fills the squares, over all unit vectors (exact) or over the probes. */
cp_status cp_borders_measure(cp_borders *borders, bool exact);

#endif
