#include "engine/memory.h"

#include <stdio.h>

#include "engine/device.h"

#ifndef GPU
size_t cp_frame_run_bytes(const cp_frame *frame)
{
    (void)frame;
    return 0;
}

bool cp_device_was_short(void) { return false; }
#endif

size_t cp_frame_memory(size_t asked, size_t otherwise)
{
#ifdef GPU
    size_t room;
    if (cp_device_chosen()) {
        room = cp_device_room(cp_device());
        return asked && asked < room ? asked : room;
    }
#endif
    return asked ? asked : otherwise;
}

int cp_most_entries(int on_cpu) { return cp_device() >= 0 ? CP_DEVICE_BATCH : on_cpu; }

bool cp_halve_batch(cp_status status, int *batch)
{
    if (status != CP_ERESOURCE || *batch < 2) return false;
    fprintf(stderr, "critpath: %s; going on with %d at a time instead of %d\n", cp_error(), *batch / 2, *batch);
    *batch /= 2;
    return true;
}
