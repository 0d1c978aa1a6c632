/* Where a frame's values are: its own, or those of the frame that it branches from. */
#include "engine/engine.h"

bool cp_is_read(const cp_model *model, const cp_response *limit, int layer)
{
    if (!limit || !limit->n) return true;
    for (int k = 0; k < limit->n; ++k)
        if (cp_model_depends(model, model->layer[limit->unit[k].layer].value, layer)) return true;
    return false;
}

cp_batch cp_frame_batch(const cp_frame *frame, int value)
{
    size_t outputs = cp_outputs(frame->model, value);
    if (frame->value[value + 1]) return (cp_batch){frame->value[value + 1], outputs};
    cp_batch base = cp_frame_batch(frame->base, value);
    return (cp_batch){cp_at(base, frame->base_image), 0};
}

cp_frame *cp_frame_owner(cp_frame *frame, int value, int *image)
{
    while (!frame->value[value + 1]) {
        *image = frame->base_image;
        frame = (cp_frame *)frame->base;
    }
    return frame;
}

const uint16_t *cp_frame_winners(const cp_frame *frame, int layer, int *image)
{
    for (; !frame->index[layer] && frame->base; frame = frame->base) *image = frame->base_image;
    return frame->index[layer];
}

const float *cp_frame_slope_values(const cp_frame *frame, int layer, int image)
{
    if (!frame->engine->op[layer].keeps_z) return cp_at(cp_frame_batch(frame, layer), image);
    for (; !frame->z[layer]; frame = frame->base) image = frame->base_image;
    return frame->z[layer] + image * cp_outputs(frame->model, layer);
}

const float *cp_entry_activations(const cp_frame *frame, const cp_entry *entry, int layer)
{
    int position = frame->model->neuron_position[layer];
    if (entry->gates) return frame->before_gate[position] + entry->image * frame->model->neuron[position].count;
    return cp_at(cp_frame_batch(frame, layer), entry->image);
}

const float *cp_entry_slope_values(const cp_frame *frame, const cp_entry *entry, int layer)
{
    return frame->engine->op[layer].keeps_z ? cp_frame_slope_values(frame, layer, entry->image)
                                            : cp_entry_activations(frame, entry, layer);
}
