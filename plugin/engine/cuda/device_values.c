/* Values between a frame on a device and the host: copies brought up to date on demand, what callers change of them,
 * and the edits of a branch that are made there. */
#include <math.h>
#include <string.h>

#include "engine/cuda/device_internal.h"
#include "io/error.h"

float *cp_device_pull(cp_frame *frame, int layer, int image)
{
    cp_backend_frame *device = frame->own;
    size_t outputs = cp_outputs(frame->model, layer);
    uint8_t *known = &device->known[(size_t)(layer + 1) * frame->batch + image];
    float *copy = device->mirror[layer + 1] + image * outputs;
    pthread_mutex_lock(&device->lock);
    if (!*known) {
        cudaError_t error = cudaSetDevice(device->device);
        const float *from = frame->value[layer + 1] + image * outputs;
        if (!error) error = cudaMemcpy(copy, from, outputs * sizeof *copy, cudaMemcpyDeviceToHost);
        for (size_t i = 0; error && i < outputs; ++i) copy[i] = NAN; /* the next run tells why */
        *known = 1;
    }
    pthread_mutex_unlock(&device->lock);
    return copy;
}

float cp_device_pull_unit(const cp_frame *frame, int layer, int image, size_t index)
{
    const cp_backend_frame *device = frame->own;
    size_t at = image * cp_outputs(frame->model, layer) + index;
    float value = NAN;
    if (device->known[(size_t)(layer + 1) * frame->batch + image]) return device->mirror[layer + 1][at];
    if (!cudaSetDevice(device->device))
        cudaMemcpy(&value, frame->value[layer + 1] + at, sizeof value, cudaMemcpyDeviceToHost);
    return value;
}

void cp_device_responses(const cp_frame *frame, int n, const cp_response *response, double *phi)
{
    float *value = cp_alloc_dirty(n, sizeof *value, "responses");
    for (int b = 0; b < n; ++b) phi[b] = value ? 0 : NAN;
    for (int u = 0; u < response->n && value; ++u) {
        int layer = frame->model->layer[response->unit[u].layer].value, image = -1;
        const cp_frame *owner = frame;
        for (; !owner->value[layer + 1]; owner = owner->base) image = owner->base_image;
        size_t outputs = cp_outputs(frame->model, layer), index = response->unit[u].index;
        cudaError_t error = cudaSetDevice(frame->own->device);
        if (image >= 0) /* the same for all */
            for (int b = 0; b < n; ++b) value[b] = b ? *value : cp_device_pull_unit(owner, layer, image, index);
        else if (!error) /* one number of every image */
            error = cudaMemcpy2D(value, sizeof *value, frame->value[layer + 1] + index, outputs * sizeof *value,
                                 sizeof *value, n, cudaMemcpyDeviceToHost);
        for (int b = 0; b < n; ++b) phi[b] += error ? NAN : (double)response->unit[u].weight * value[b];
    }
    cp_free(value);
}

void cp_device_branch_start(cp_frame *branch, int entry, cp_origin from)
{
    cp_backend_frame *device = branch->own;
    size_t outputs = cp_outputs(branch->model, branch->branch_layer), left = 0;
    for (size_t k = 0; k < device->edits; ++k) /* the entry's earlier ones are over */
        if (device->edit[k].to / outputs != (size_t)entry) device->edit[left++] = device->edit[k];
    device->edits = left;
    device->start[entry] = (uint8_t)from;
    device->known[(size_t)(branch->branch_layer + 1) * branch->batch + entry] = 0;
}

cp_status cp_device_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    cp_backend_frame *device = branch->own;
    if (device->edits == device->room_for_edits) {
        size_t more = 2 * device->edits + 64;
        cp_edit *grown = cp_alloc_dirty(more, sizeof *grown, "branch");
        if (!grown) return CP_ERESOURCE;
        if (device->edits) memcpy(grown, device->edit, device->edits * sizeof *grown);
        cp_free(device->edit);
        device->edit = grown;
        device->room_for_edits = more;
    }
    device->known[(size_t)(branch->branch_layer + 1) * branch->batch + entry] = 0;
    device->edit[device->edits++] =
        (cp_edit){entry * cp_outputs(branch->model, branch->branch_layer) + first, first, count, from == CP_FROM_ZERO};
    return CP_OK;
}

/* What was started and put since the last run. */
static void edit_branch(cp_frame *branch)
{
    cp_backend_frame *device = branch->own;
    cudaStream_t stream = device->context->queue->stream;
    size_t outputs = cp_outputs(branch->model, branch->branch_layer), most = 0;
    const float *base = cp_at(cp_frame_batch(branch->base, branch->branch_layer), branch->base_image);
    float *to = branch->value[branch->branch_layer + 1];
    for (int b = 0; b < branch->batch; ++b) {
        if (device->start[b] == CP_FROM_ZERO)
            cp_device_clear(branch, to + b * outputs, outputs);
        else if (device->start[b] && !device->status)
            cp_device_failed(branch, cudaMemcpyAsync(to + b * outputs, base, outputs * sizeof *to,
                                                     cudaMemcpyDeviceToDevice, stream), "copy on the device");
        device->start[b] = 0;
    }
    for (size_t k = 0; k < device->edits; ++k)
        if (device->edit[k].count > most) most = device->edit[k].count;
    size_t bytes = device->edits * sizeof *device->edit;
    cp_edit *on_device = device->edits ? cp_device_stage(branch, device->edit, bytes) : NULL;
    if (on_device) cp_kernel_edit(device->edits, most, on_device, base, to, stream);
    device->edits = 0;
}

/* The caller may have changed any image that it was shown; what it was not shown is as it was. */
void cp_device_push(cp_frame *frame, int after, const float *input, int images, bool restricted)
{
    cp_backend_frame *device = frame->own;
    const cp_model *model = frame->model;
    size_t outputs = cp_outputs(model, after);
    float *to = frame->value[after + 1];
    uint8_t *known = device->known + (size_t)(after + 1) * frame->batch;
    if (input) {
        memset(known, 0, frame->batch);
        cp_device_upload(frame, input, to, images * outputs);
    }
    if (frame->base && after == frame->branch_layer) edit_branch(frame);
    for (int b = 0; b < images; ++b)
        if (known[b]) cp_device_upload(frame, device->mirror[after + 1] + b * outputs, to + b * outputs, outputs);
    if (restricted) memset(known, 0, images);
    for (int i = 0; i < model->layers; ++i)
        if (i != after && frame->value[i + 1] && cp_model_depends(model, i, after))
            memset(device->known + (size_t)(i + 1) * frame->batch, 0, frame->batch);
}

void cp_device_scale(cp_frame *branch, int n, const double *factor)
{
    cp_backend_frame *device = branch->own;
    int layer = branch->branch_layer;
    size_t count = cp_outputs(branch->model, layer);
    const float *from = cp_at(cp_frame_batch(branch->base, layer), branch->base_image);
    cp_device_push(branch, layer, NULL, 0, false);
    memset(device->known + (size_t)(layer + 1) * branch->batch, 0, n);
    for (int first = 0; first < n && !device->status; first += CP_DEVICE_ENTRIES) {
        cp_factors factors = {{0}};
        int some = n - first < CP_DEVICE_ENTRIES ? n - first : CP_DEVICE_ENTRIES;
        for (int e = 0; e < some; ++e) factors.of[e] = (float)factor[first + e];
        cp_kernel_scale(some, count, &factors, from, branch->value[layer + 1] + first * count,
                        device->context->queue->stream);
    }
}

void cp_device_add_deltas(cp_frame *frame, const float *delta, size_t outputs, int n, double weight, double *sum)
{
    if (!frame->own->status) cp_kernel_add_deltas(outputs, n, delta, weight, sum, frame->own->context->queue->stream);
}
