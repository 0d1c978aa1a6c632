#include "path/statistics.h"

#include <string.h>

#include "io/clones.h"
#include "path/path.h"

float cp_dead_activation(const cp_model *model, int layer)
{
    const char *activation = cp_model_layer(model, layer)->activation;
    return strcmp(activation, "logistic") == 0 || strcmp(activation, "plse") == 0 ? .5f : 0;
}

CP_CLONES static size_t count_above(const float *a, size_t n, float dead)
{
    uint32_t count = 0; /* as wide as the floats; a layer has fewer neurons than 2^32 */
    for (size_t i = 0; i < n; i++)
        count += a[i] > dead;
    return count;
}

static size_t count_kept_dead(const uint64_t *words, const float *a, size_t n, float dead)
{
    size_t count = 0;
    for (size_t w = 0; w * 64 < n; w++)
        for (uint64_t left = words[w]; left; left &= left - 1)
            count += !(a[w * 64 + (size_t)__builtin_ctzll(left)] > dead);
    return count;
}

CP_CLONES static float largest(const float *score, size_t n)
{
    float best = 0;
    for (size_t i = 0; i < n; i++)
        best = score[i] > best ? score[i] : best;
    return best;
}

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
            row.active = count_above(a, layer->count, dead);
            row.kept_dead = count_kept_dead(words, a, layer->count, dead);
        }
        if (score)
            row.best = largest(score + layer->offset, layer->count);
        rows[l] = row;
    }
}
