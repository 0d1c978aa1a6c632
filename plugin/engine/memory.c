#include "engine/memory.h"

#include "engine/backend.h"
#include "io/error.h"

static const cp_backend *backend_of(const cp_frame *base) { return base ? base->backend : cp_backend_chosen(); }

size_t cp_frame_run_bytes(const cp_frame *frame) { return frame->backend->run_bytes(frame); }

bool cp_device_was_short(void)
{
    const cp_backend *devices = cp_backend_of_devices();
    return devices && devices->was_short();
}

size_t cp_frame_memory(const cp_frame *base, size_t asked, size_t otherwise)
{
    return backend_of(base)->memory(base, asked, otherwise);
}

int cp_most_entries(const cp_frame *base, int on_cpu)
{
    int most = backend_of(base)->most_entries;
    return most ? most : on_cpu;
}

int cp_worthwhile_entries(const cp_frame *base, double useful, int most)
{
    return useful < most && !base->backend->most_entries ? (int)useful : most;
}

bool cp_frame_has_kept(const cp_frame *frame) { return cp_has(frame, CP_HAS_KEPT); }

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
