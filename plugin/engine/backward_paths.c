/* The backward run as its callers see it: which entries go together. Those without a path do; one with a path goes alone, since
 * its deltas are few and in other places than another's. But the weights of large connected layers, a third of what such a
 * gradient costs, are read once for all paths: down to them the paths go together too. */
#include "engine/backend.h"
#include "io/error.h"

static bool along_path(const cp_entry *entry) { return entry->path && !entry->gates; }

/* Whether only op k reads layer `value` or what comes before it, among the ops after that. */
static bool is_sole_way(const cp_frame *frame, int value, int k)
{
    for (int i = value + 1; i < frame->model->layers; ++i) {
        const cp_op *op = &frame->engine->op[i];
        for (int s = 0; s < op->n_sources && i != k; ++s)
            if (op->source[s] <= value) return false;
    }
    return true;
}

static bool starts_after(const cp_frame *frame, const cp_entry *entry, int value)
{
    const cp_model *model = frame->model;
    const cp_response *response = entry->response;
    if (!response) return model->layer[entry->seed_layer].value > value;
    for (int u = 0; u < response->n; ++u)
        if (model->layer[response->unit[u].layer].value <= value) return false;
    return true;
}

/* The layer that the first connected layer reads, where every gradient passes through both; else -1. */
static int find_meeting(const cp_frame *frame, const cp_entry *entries, int n)
{
    for (int k = 0; k < frame->model->layers; ++k) {
        const cp_op *op = &frame->engine->op[k];
        if (!op->type || op->type->type != CONNECTED || op->source[0] < 0) continue;
        if (!is_sole_way(frame, op->source[0], k)) return -1;
        for (int e = 0; e < n; ++e)
            if (!starts_after(frame, &entries[e], op->source[0])) return -1;
        return op->source[0];
    }
    return -1;
}

/* From the layer where they meet on: gradient (n, outputs) of it. */
static cp_status go_on(cp_frame *frame, const cp_entry *entries, int n, int layer, float *gradient, float *input_gradient)
{
    size_t outputs = frame->model->layer[layer].outputs, inputs = (size_t)frame->model->net->inputs;
    int position = frame->model->neuron_position[layer];
    cp_status status = CP_OK;
    for (int e = 0; e < n && !status; ++e) {
        float *seed = gradient + e * outputs;
        const cp_entry rest = {.image = entries[e].image, .path = entries[e].path, .seed = seed, .seed_layer = layer};
        if (position >= 0) cp_mask_apply(cp_path_words(entries[e].path, position), 0, outputs, seed);
        status = cp_backward_points(frame, &rest, input_gradient + e * inputs);
    }
    return status;
}

static cp_status backward_paths(cp_frame *frame, const cp_entry *entries, int n, float *input_gradient)
{
    int meeting = find_meeting(frame, entries, n);
    cp_status status = CP_OK;
    if (meeting < 0) {
        for (int e = 0; e < n && !status; ++e)
            status = cp_backward_points(frame, &entries[e], input_gradient + e * (size_t)frame->model->net->inputs);
        return status;
    }
    size_t floats;
    if (!cp_mul(frame->model->layer[meeting].outputs, (size_t)n, &floats))
        return cp_fail(CP_ERESOURCE, "backward: %d paths do not fit in memory", n);
    float *gradient = cp_alloc_dirty(floats, sizeof *gradient, "backward");
    status = gradient ? cp_frame_backward_to(frame, entries, n, meeting, gradient) : CP_ERESOURCE;
    if (!status) status = go_on(frame, entries, n, meeting, gradient, input_gradient);
    cp_free(gradient);
    return status;
}

cp_status cp_frame_backward(cp_frame *frame, const cp_entry *entries, int n, const cp_observer *observer,
                            float *input_gradient)
{
    if (input_gradient && frame->base && frame->branch_layer >= 0)
        return cp_fail(CP_EINTERNAL, "backward: a branch at layer %d does not reach the input", frame->branch_layer);
    if (!input_gradient || observer || frame->base || !cp_has(frame, CP_HAS_SPARSE))
        return cp_backward_dense(frame, entries, n, observer, input_gradient);
    cp_status status = CP_OK;
    for (int first = 0, next; first < n && !status; first = next) {
        bool path = along_path(&entries[first]);
        float *gradient = input_gradient + first * (size_t)frame->model->net->inputs;
        for (next = first + 1; next < n && along_path(&entries[next]) == path;) ++next;
        status = path ? backward_paths(frame, entries + first, next - first, gradient)
                      : cp_backward_dense(frame, entries + first, next - first, NULL, gradient);
    }
    return status;
}
