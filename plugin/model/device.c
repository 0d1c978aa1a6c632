/* Which device computes: the choice alone, as a model is folded for it. The engine checks that the device is there. */
#include <stdlib.h>

#include "model/model.h"

enum { UNASKED = -2 };
static int process_device = UNASKED;
static _Thread_local int thread_device = UNASKED;

void cp_device_choose(int index, bool thread)
{
    *(thread ? &thread_device : &process_device) = index < 0 ? -1 : index;
}

int cp_device(void)
{
    if (thread_device != UNASKED) return thread_device;
    if (process_device == UNASKED) {
        const char *wanted = getenv("CRITPATH_GPU"); /* not there: no frame can be made */
        cp_device_choose(cp_device_builds() && wanted && *wanted ? atoi(wanted) : -1, false);
    }
    return process_device;
}

bool cp_device_builds(void)
{
#ifdef GPU
    return true;
#else
    return false;
#endif
}

/* In a build without GPUs it is 0 until Darknet's main has run. */
int cp_host_device(void) { return cp_device_builds() ? gpu_index : -1; }
