/* Pathway gradients (docs/methods.md 0 and 4): the gradient at the input of the response of a restricted network.
 *
 * Frozen: at x nothing changes, so the gradient is ordinary backprop with the delta at each neuron layer multiplied by
 * the path: many paths are entries of one backward run over one forward run. Zeroed: activations change, so each path
 * has its own forward run, as an image of a batch. */
#include <string.h>

#include "critpath.h"
#include "engine/branch.h"
#include "engine/memory.h"
#include "io/error.h"
#include "map/map.h"

enum { ZEROED_BATCH = 8, MOST_ZEROED = CP_DEVICE_BATCH }; /* forward runs at a time, fewer where memory is short */

cp_status cp_path_with_response(const cp_model *model, const cp_response *response, const cp_path *path, cp_path **opened)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    *opened = NULL;
    for (int u = 0; path && u < response->n; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        if (position < 0)
            continue;
        size_t neuron = layers[position].offset + response->unit[u].index;
        if (!*opened && cp_path_get(path, neuron))
            continue;
        if (!*opened) {
            cp_status status = cp_path_copy(path, opened);
            if (status)
                return status;
        }
        cp_path_set(*opened, neuron, true);
    }
    return CP_OK;
}

/* As cp_path_with_response for n paths; use[i] is what to run with, opened[i] what to free. */
static cp_status open_all(const cp_model *model, const cp_response *response, const cp_path *const *paths, int n,
                          const cp_path **use, cp_path **opened)
{
    cp_status status = CP_OK;
    for (int i = 0; !status && i < n; i++) {
        status = cp_path_with_response(model, response, paths[i], &opened[i]);
        use[i] = opened[i] ? opened[i] : paths[i];
    }
    return status;
}

static void free_all(cp_path **opened, int n)
{
    for (int i = 0; opened && i < n; i++)
        cp_path_free(opened[i]);
    cp_free(opened);
}

cp_status cp_map_frozen(cp_frame *frame, int image, const cp_response *response, const cp_path *const *paths, int n,
                        float *maps)
{
    cp_status status = CP_ERESOURCE;
    size_t count = (size_t)(n > 0 ? n : 0), c, h, w;
    cp_entry *entries = cp_alloc(count, sizeof *entries, "maps");
    const cp_path **use = cp_alloc(count, sizeof *use, "maps");
    cp_path **opened = cp_alloc(count, sizeof *opened, "maps");
    if (!entries || !use || !opened)
        goto done;
    status = open_all(cp_frame_model(frame), response, paths, n, use, opened);
    if (status)
        goto done;
    for (int i = 0; i < n; i++)
        entries[i] = (cp_entry){.image = image, .response = response, .path = use[i]};
    cp_model_input_shape(cp_frame_model(frame), &c, &h, &w);
    for (int i = 0, step = n; i < n && !status;) {
        int some = n - i < step ? n - i : step;
        status = cp_frame_backward(frame, entries + i, some, NULL, maps + (size_t)i * c * h * w);
        if (!status)
            i += some;
        else if (some > 1 && cp_halve_batch(status, &step))
            status = CP_OK;
    }
done:
    free_all(opened, n);
    cp_free(use);
    cp_free(entries);
    return status;
}

/* n zeroed networks as the images of one frame. inputs: room for n copies of the input. */
static cp_status run_zeroed(cp_frame *frame, const float *inputs, const cp_response *response, const cp_offpath *offpath,
                            const cp_path *const *paths, int n, float *maps, double *responses)
{
    cp_restriction restrictions[MOST_ZEROED] = {{0}};
    cp_entry entries[MOST_ZEROED] = {{0}};
    for (int i = 0; i < n; i++) {
        restrictions[i] = (cp_restriction){.kind = paths[i] ? offpath->kind : CP_FULL, .path = paths[i],
                                           .values = offpath->values};
        entries[i] = (cp_entry){.image = i, .response = response, .path = paths[i]};
    }
    cp_status status = cp_frame_forward(frame, inputs, n, restrictions);
    if (!status && responses)
        cp_frame_responses(frame, n, response, responses);
    return status ? status : cp_frame_backward(frame, entries, n, NULL, maps);
}

cp_status cp_map_zeroed(const cp_model *model, const float *input, const cp_response *response,
                        const cp_path *const *paths, int n, float *maps, double *responses_out)
{
    const cp_offpath zero = {.kind = CP_ZEROED};
    return cp_map_offpath(model, input, response, &zero, paths, n, maps, responses_out);
}

cp_status cp_map_offpath(const cp_model *model, const float *input, const cp_response *response,
                         const cp_offpath *offpath, const cp_path *const *paths, int n, float *maps,
                         double *responses_out)
{
    if (offpath->kind != CP_ZEROED && offpath->kind != CP_KEPT)
        return cp_fail(CP_EINPUT, "map: off the path neither zeroed nor kept");
    size_t c, h, w, count = (size_t)(n > 0 ? n : 0);
    cp_model_input_shape(model, &c, &h, &w);
    size_t size = c * h * w;
    int batch = cp_most_entries(NULL, ZEROED_BATCH);
    batch = n < batch ? n : batch;
    cp_frame *frame = NULL;
    float *inputs = NULL;
    const cp_path **use = cp_alloc(count, sizeof *use, "maps");
    cp_path **opened = cp_alloc(count, sizeof *opened, "maps");
    cp_status status = use && opened ? CP_OK : CP_ERESOURCE;
    if (!status)
        status = open_all(model, response, paths, n, use, opened);
    if (status || n <= 0)
        goto done;
    while (batch > 1 && cp_frame_bytes(model, batch, batch) > cp_frame_memory(NULL, 0, SIZE_MAX))
        batch--;
    do
        status = cp_frame_create(model, batch, &frame);
    while (cp_halve_batch(status, &batch));
    if (status)
        goto done;
    if (!(inputs = cp_alloc((size_t)batch * size, sizeof *inputs, "network input"))) {
        status = CP_ERESOURCE;
        goto done;
    }
    for (int i = 0; i < batch; i++)
        memcpy(inputs + (size_t)i * size, input, size * sizeof *inputs);
    for (int i = 0; !status && i < n; i += batch)
        status = run_zeroed(frame, inputs, response, offpath, use + i, n - i < batch ? n - i : batch, maps + (size_t)i * size,
                            responses_out ? responses_out + i : NULL);
done:
    cp_frame_free(frame);
    cp_free(inputs);
    free_all(opened, n);
    cp_free(use);
    return status;
}
