#include "engine/backend.h"

const cp_held_scores *cp_frame_held_scores(const cp_frame *frame) { return frame->backend->scores; }

cp_status cp_frame_score_products(cp_frame *frame, const cp_entry *entry, bool magnitude, bool *finite, float *gradient)
{
    const cp_held_scores *held = frame->backend->scores;
    cp_products to = {.magnitude = magnitude};
    cp_status status = held->make(frame, &to.product, &to.not_finite);
    if (!status)
        status = cp_backward_products(frame, entry, &to, gradient);
    return status ? status : held->made(frame, entry->response, finite);
}
