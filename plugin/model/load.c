/* A weights file into the arrays of a parsed network. */
#include <string.h>

#include "io/error.h"
#include "model/model.h"

static float *place(void *user, size_t index, cp_array_kind kind)
{
    const layer *l = &((network *)user)->layers[index];
    switch (kind) {
    case CP_BIASES:
        return l->biases;
    case CP_SCALES:
        return l->scales;
    case CP_ROLLING_MEAN:
        return l->rolling_mean;
    case CP_ROLLING_VARIANCE:
        return l->rolling_variance;
    case CP_WEIGHTS:
        break;
    }
    return l->weights;
}

/* Ours and Darknet's must be the same arrays. */
static cp_status compare_arrays(const network *net, const cp_cfg_net *shapes)
{
    for (size_t i = 0; i < shapes->n_layers; ++i) {
        const cp_cfg_layer *layer = &shapes->layers[i];
        size_t weights, biases;
        cp_host_array_sizes(&net->layers[i], &weights, &biases);
        for (size_t a = 0; a < layer->n_arrays; ++a) {
            size_t found = layer->arrays[a].kind == CP_WEIGHTS ? weights : biases;
            if (found != layer->arrays[a].n)
                return cp_fail(CP_EINTERNAL, "layer %zu: Darknet gives it %zu %s, the check %zu", i, found,
                               cp_array_name(layer->arrays[a].kind), layer->arrays[a].n);
        }
    }
    return CP_OK;
}

/* From (inputs, outputs) to (outputs, inputs). */
static cp_status turn_weights(layer *l)
{
    size_t inputs = l->inputs, outputs = l->outputs;
    float *before = cp_alloc(inputs * outputs, sizeof *before, "transposed weights");
    if (!before) return CP_ERESOURCE;
    memcpy(before, l->weights, inputs * outputs * sizeof *before);
    for (size_t i = 0; i < inputs; ++i)
        for (size_t o = 0; o < outputs; ++o) l->weights[o * inputs + i] = before[i * outputs + o];
    cp_free(before);
    return CP_OK;
}

cp_status cp_host_read_weights(network *net, const cp_cfg_net *shapes, cp_weights_file *file, char sha256[65],
                               cp_weights_info *info)
{
    cp_weights_info found;
    cp_status status = compare_arrays(net, shapes);
    if (!status) status = cp_weights_read(file, place, net, sha256, &found);
    for (int i = 0; i < net->n && !status && found.transposed; ++i)
        if (net->layers[i].type == CONNECTED) status = turn_weights(&net->layers[i]);
    if (!status) *net->seen = found.seen;
    if (!status && info) *info = found;
    return status;
}
