/* What is read off a finished map: one channel to show, and why there is nothing to see. */
#include <math.h>
#include <stdio.h>

#include "map/map.h"

void cp_map_reduce(const float *map, size_t c, size_t h, size_t w, float *flat)
{
    size_t plane = h * w;
    for (size_t i = 0; i < plane; i++) {
        float largest = map[i];
        for (size_t k = 1; k < c; k++)
            if (fabsf(map[k * plane + i]) > fabsf(largest))
                largest = map[k * plane + i];
        flat[i] = largest;
    }
}

/* The response is one neuron or a sum of them, none of which is active. */
static bool response_is_dead(const cp_frame *frame, int image, const cp_response *response)
{
    const cp_model *model = cp_frame_model(frame);
    for (int u = 0; u < response->n; u++) {
        int layer = response->unit[u].layer, n;
        int position = cp_model_neuron_position(model, cp_model_layer(model, layer)->value);
        if (response->unit[u].weight == 0)
            continue;
        if (position < 0 || !cp_model_neuron_layers(model, &n)[position].relu)
            return false;
        if (cp_frame_output(frame, layer, image)[response->unit[u].index] > 0)
            return false;
    }
    return true;
}

bool cp_map_zero_reason(const float *map, size_t count, const cp_frame *frame, int image, const cp_response *response,
                        const cp_path *path, const cp_cut *cut, char *text, size_t size)
{
    text[0] = 0;
    for (size_t i = 0; i < count; i++)
        if (map[i] != 0)
            return false;
    if (response_is_dead(frame, image, response)) {
        snprintf(text, size, "the response is a dead neuron, so its gradient is zero");
    } else if ((path && cp_path_count(path) == 0) || (cut && cut->cut)) {
        int used = cp_path_count(path) == 0
                       ? snprintf(text, size, "the path is empty")
                       : snprintf(text, size, "the path is cut, no neuron of layer %d (%s) is on it", cut->layer,
                                  cp_model_layer(cp_frame_model(frame), cut->layer)->type);
        if (cut && isfinite(cut->sparsest_uncut) && (size_t)used < size) /* rounded down: still uncut */
            snprintf(text + used, size - (size_t)used, "; the sparsest sparsity that is not cut is %.6f%s",
                     floor(cut->sparsest_uncut * 1e6) / 1e6, cut->channels ? " of the channels" : "");
    } else if (path) {
        snprintf(text, size, "every layer has neurons on the path, but none of them join the response to the input");
    } else {
        snprintf(text, size, "every way from the response to the input crosses dead neurons");
    }
    return true;
}
