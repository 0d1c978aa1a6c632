#include "engine/memory.h"

#include "engine/cuda/device.h"
#include "io/error.h"

#ifndef GPU
size_t cp_frame_run_bytes(const cp_frame *frame)
{
    (void)frame;
    return 0;
}

bool cp_device_was_short(void) { return false; }
#endif

/* -1: the CPU. */
static int device_of(const cp_frame *base)
{
#ifdef GPU
    if (base) return base->device ? cp_device_index(base) : -1;
#endif
    return base ? -1 : cp_device();
}

size_t cp_frame_memory(const cp_frame *base, size_t asked, size_t otherwise)
{
#ifdef GPU
    int device = device_of(base);
    if (device >= 0) {
        size_t room = cp_device_room(device);
        return asked && asked < room ? asked : room;
    }
#endif
    (void)base;
    return asked ? asked : otherwise;
}

int cp_most_entries(const cp_frame *base, int on_cpu) { return device_of(base) >= 0 ? CP_DEVICE_BATCH : on_cpu; }

bool cp_halve_batch(cp_status status, int *batch)
{
    if (status != CP_ERESOURCE || *batch < 2) return false;
    cp_notice("%s; going on with %d at a time instead of %d", cp_error(), *batch / 2, *batch);
    *batch /= 2;
    return true;
}

cp_status cp_frame_create_fitting(const cp_model *model, int wanted, bool backward, size_t asked, int *batch,
                                  cp_frame **frame)
{
    size_t memory = cp_frame_memory(NULL, asked, (size_t)1 << 30);
    *batch = wanted < 1 ? 1 : wanted;
    while (*batch > 1 && cp_frame_bytes(model, *batch, backward ? *batch : 0) > memory)
        --*batch;
    cp_status status;
    do
        status = cp_frame_create(model, *batch, frame);
    while (cp_halve_batch(status, batch));
    return status;
}
