/* The active subnet: every neuron that is not dead. docs/methods.md 1.5. */
#include "path/path.h"
#include "path/statistics.h"

void cp_path_active(cp_path *path, const cp_frame *frame, int image)
{
    for (int l = 0; l < path->n_layers; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        const float *a = cp_frame_output(frame, layer->layer, image);
        float dead = cp_dead_activation(path->model, layer->layer);
        uint64_t *words = path->words + path->first[l];
        memset(words, 0, (layer->count + 63) / 64 * sizeof *words);
        for (size_t i = 0; i < layer->count; i++)
            words[i / 64] |= (uint64_t)(a[i] > dead) << i % 64;
    }
}
