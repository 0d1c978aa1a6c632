/* The inside of a path. It belongs to the model as the neurons do: every room masks by it, selects or compares. */
#ifndef CP_MODEL_PATH_BITS_H
#define CP_MODEL_PATH_BITS_H

#include "critpath.h"

struct cp_path {
    const cp_model *model;          /* NULL for a path made by cp_path_create_over */
    const cp_neuron_layer *layers;  /* the model's table, n_layers rows */
    int n_layers;
    size_t neurons;                 /* N */
    size_t *first;                  /* n_layers + 1: first word of each layer, then the number of all words */
    uint64_t *words;                /* bit i%64 of word first[l] + i/64 is neuron i of layer l; spare bits are 0 */
};

/* An empty path over a table of neuron layers, which must outlive it. */
cp_status cp_path_create_over(const cp_model *model, const cp_neuron_layer *layers, int n_layers, cp_path **path);

#endif
