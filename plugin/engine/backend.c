/* The backends of this build, and which one is used. */
#include "engine/backend.h"

#include "io/error.h"

#ifdef GPU
extern const cp_backend cp_cuda_backend;
static const cp_backend *const devices = &cp_cuda_backend;
#else
static const cp_backend *const devices = NULL;
#endif

const cp_backend *cp_backend_of_devices(void) { return devices; }

const cp_backend *cp_backend_chosen(void) { return devices && cp_device() >= 0 ? devices : &cp_cpu_backend; }

static cp_status check_device(int index)
{
    if (index < 0)
        return CP_OK;
    if (!devices)
        return cp_fail(CP_EINPUT, "GPU %d: this build computes on the CPU; `make GPU=1` builds for GPUs", index);
    return devices->check(index);
}

cp_status cp_set_device(int index)
{
    cp_status status = check_device(index);
    if (!status)
        cp_device_choose(index, false);
    return status;
}

cp_status cp_set_thread_device(int index)
{
    cp_status status = check_device(index);
    if (!status)
        cp_device_choose(index, true);
    return status;
}

cp_status cp_device_name(int index, char name[300])
{
    *name = 0;
    if (!devices)
        return cp_fail(CP_EINPUT, "GPU %d: this build computes on the CPU", index);
    return devices->describe(index, name);
}
