#include "path/statistics.h"

#include <string.h>

#include "path/path.h"

float cp_dead_activation(const cp_model *model, int layer)
{
    const char *activation = cp_model_layer(model, layer)->activation;
    return strcmp(activation, "logistic") == 0 || strcmp(activation, "plse") == 0 ? .5f : 0;
}

static bool is_kept(const uint64_t *words, size_t i) { return words[i / 64] >> i % 64 & 1; }

void cp_path_layer_statistics(const cp_path *path, const cp_frame *frame, int image, const float *score,
                              cp_layer_statistics *rows)
{
    for (int l = 0; l < path->n_layers; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        const uint64_t *words = cp_path_words(path, l);
        cp_layer_statistics row = {.count = layer->count, .kept = cp_path_layer_count(path, l)};
        if (frame) {
            const float *a = cp_frame_output(frame, layer->layer, image);
            float dead = cp_dead_activation(path->model, layer->layer);
            for (size_t i = 0; i < layer->count; i++) {
                row.active += a[i] > dead;
                row.kept_dead += !(a[i] > dead) && is_kept(words, i);
            }
        }
        if (score) {
            const float *s = score + layer->offset;
            for (size_t i = 0; i < layer->count; i++)
                row.best = s[i] > row.best ? s[i] : row.best;
        }
        rows[l] = row;
    }
}
