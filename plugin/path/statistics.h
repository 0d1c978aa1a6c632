/* What a path consists of, layer by layer. */
#ifndef CP_PATH_STATISTICS_H
#define CP_PATH_STATISTICS_H

#include "critpath.h"

/* One neuron layer. */
typedef struct {
    size_t count, kept; /* neurons of the layer; those on the path */
    size_t active;      /* not dead in the original run */
    size_t kept_dead;   /* dead and on the path */
    float best;         /* highest score of the layer */
} cp_layer_statistics;

/* rows: one per neuron layer. frame, image: the original run, or NULL: active and kept_dead stay 0. score: N, or NULL:
 * best stays 0. */
void cp_path_layer_statistics(const cp_path *path, const cp_frame *frame, int image, const float *score,
                              cp_layer_statistics *rows);

/* Highest activation that is dead, i.e. that of z = 0: 0 for relu and leaky, .5 for a logistic unit. */
float cp_dead_activation(const cp_model *model, int layer);

#endif
