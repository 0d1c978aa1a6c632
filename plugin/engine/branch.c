#include "engine/branch.h"

#include <string.h>

#include "engine/cuda/device.h"

static void put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    float *to = cp_at(cp_frame_batch(branch, branch->branch_layer), entry) + first;
    const float *base = cp_at(cp_frame_batch(branch->base, branch->branch_layer), branch->base_image) + first;
    if (from == CP_FROM_ZERO)
        memset(to, 0, count * sizeof *to);
    else
        memcpy(to, base, count * sizeof *to);
}

void cp_branch_start(cp_frame *branch, int entry, cp_origin from)
{
    const cp_model *model = branch->model;
    int layer = branch->branch_layer;
    if (cp_on_device(branch))
        cp_device_branch_start(branch, entry, from);
    else
        put(branch, entry, 0, layer < 0 ? (size_t)model->net->inputs : model->layer[layer].outputs, from);
}

cp_status cp_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    if (cp_on_device(branch)) return cp_device_branch_put(branch, entry, first, count, from);
    put(branch, entry, first, count, from);
    return CP_OK;
}

void cp_frame_responses(const cp_frame *frame, int n, const cp_response *response, double *phi)
{
    if (cp_on_device(frame))
        cp_device_responses(frame, n, response, phi);
    else
        for (int b = 0; b < n; ++b) phi[b] = cp_frame_response(frame, b, response);
}
