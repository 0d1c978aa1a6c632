/* Recomputing what depends on one neuron layer, in batches: a branch of the frame that holds the original run. */
#include "score/suffix.h"

#include <math.h>
#include <string.h>

#include "engine/branch.h"
#include "engine/memory.h"
#include "engine/frame_scores.h"
#include "io/error.h"

enum { LEAST_BATCH = 2 };

static int owner(const cp_model *model, int layer) { return cp_model_layer(model, layer)->value; }

bool cp_suffix_matters(const cp_model *model, const cp_response *response, int position)
{
    int n, layer = cp_model_neuron_layers(model, &n)[position].layer;
    for (int u = 0; u < response->n; u++) {
        int unit = owner(model, response->unit[u].layer);
        if (unit != layer && cp_model_depends(model, unit, layer))
            return true;
    }
    return false;
}

double cp_suffix_work(const cp_model *model, const cp_response *response, int position)
{
    int n, layer = cp_model_neuron_layers(model, &n)[position].layer;
    double work = 0;
    for (int i = layer + 1; i < cp_model_layer_count(model); i++) {
        bool read = false;
        for (int u = 0; u < response->n; u++)
            read |= cp_model_depends(model, owner(model, response->unit[u].layer), i);
        if (read && cp_model_depends(model, i, layer))
            work += cp_model_layer(model, i)->macs + (double)cp_model_layer(model, i)->outputs;
    }
    return work;
}

/* Few entries at a time stay in the caches (a batch of 8 takes a sixth longer on SqueezeNet); but a connected layer
 * reads all its weights for each run, so where they outweigh an entry's values, more entries share them. */
int cp_suffix_batch(const cp_frame *frame, const cp_response *response, int position, int most, bool backward,
                    size_t bytes)
{
    const cp_model *model = cp_frame_model(frame);
    int n, layer = cp_model_neuron_layers(model, &n)[position].layer;
    size_t values = cp_model_neuron_layers(model, &n)[position].count * sizeof(float);
    double weights = 0;
    for (int i = layer + 1; i < cp_model_layer_count(model); i++) {
        const cp_layer_info *info = cp_model_layer(model, i);
        if (!strcmp(info->type, "connected") && cp_model_depends(model, i, layer))
            weights += (double)info->parameters * sizeof(float);
    }
    double useful = LEAST_BATCH + weights / (double)(cp_frame_branch_bytes(model, layer, response, 1, backward) + 1);
    int batch = cp_worthwhile_entries(frame, useful, most);
    while (batch > 1 && cp_frame_branch_bytes(model, layer, response, batch, backward ? batch : 0) +
                                (backward ? (size_t)batch * values : 0) > bytes)
        batch--;
    return batch > 1 ? batch : 1;
}

cp_status cp_suffix_open(cp_frame *frame, int image, const cp_response *response, int position, int batch,
                         cp_suffix *suffix)
{
    int n;
    const cp_model *model = cp_frame_model(frame);
    const cp_neuron_layer *layer = &cp_model_neuron_layers(model, &n)[position];
    *suffix = (cp_suffix){.model = model, .response = response, .layer = layer, .batch = batch};
    cp_status status = cp_frame_branch(frame, image, layer->layer, response, batch, &suffix->branch);
    if (status)
        return status;
    suffix->a = cp_frame_output(frame, layer->layer, image);
    suffix->full = cp_frame_response(frame, image, response);
    suffix->entries = cp_alloc((size_t)batch, sizeof *suffix->entries, "entries");
    if (!suffix->entries)
        return CP_ERESOURCE;
    for (int e = 0; e < batch; e++)
        suffix->entries[e] = (cp_entry){.image = e, .response = response};
    return CP_OK;
}

void cp_suffix_close(cp_suffix *suffix)
{
    cp_frame_free(suffix->branch);
    cp_free(suffix->entries);
    suffix->branch = NULL;
    suffix->entries = NULL;
}

cp_status cp_suffix_forward(cp_suffix *suffix, int n, double *phi)
{
    cp_status status = cp_frame_forward_after(suffix->branch, suffix->layer->layer, n, NULL);
    return status ? status : cp_suffix_responses(suffix, n, phi);
}

cp_status cp_suffix_responses(const cp_suffix *suffix, int n, double *phi)
{
    cp_status status = CP_OK;
    cp_frame_responses(suffix->branch, n, suffix->response, phi);
    for (int e = 0; e < n && !status; e++) {
        if (!isfinite(phi[e]))
            status = cp_fail(CP_EINPUT, "%s: with changed activations the response is %g, a finite number is needed: "
                             "the weights or the input are too large", suffix->layer->name, phi[e]);
    }
    return status;
}

cp_status cp_suffix_backward(cp_suffix *suffix, int n, float *gradient)
{
    return cp_frame_backward_to(suffix->branch, suffix->entries, n, suffix->layer->layer, gradient);
}

cp_status cp_suffix_zero(cp_suffix *suffix, double *phi)
{
    cp_branch_start(suffix->branch, 0, CP_FROM_ZERO);
    return cp_suffix_forward(suffix, 1, phi);
}

size_t cp_run_memory(const cp_run_options *run) { return run && run->memory ? run->memory : (size_t)1 << 30; }

size_t cp_run_frame_memory(const cp_frame *frame, const cp_run_options *run)
{
    return cp_frame_memory(frame, run ? run->memory : 0, cp_run_memory(run));
}

void cp_run_progress(const cp_run_options *run, double fraction)
{
    if (run && run->progress)
        run->progress(run->user, fraction);
}
