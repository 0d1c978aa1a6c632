/* Devices, streams, events, copies.
 *
 * Work waits until something waits for its stream, so that a missing synchronisation gives wrong values every time, not
 * sometimes. This goes for the default stream too, even for cudaMemcpy() to the device, which CUDA ends when the host's
 * memory has been read. As in CUDA the default stream and those that are not cudaStreamNonBlocking wait for each other. */
#include "emulate.h"
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <set>
#include <vector>

struct CUstream_st {
    int device;
    bool blocking;
    std::deque<std::function<void()>> work;
    unsigned long put, done; /* how many pieces of work so far */
};

struct CUevent_st {
    int device;
    cudaStream_t stream;
    unsigned long after; /* stream->done at which it has happened */
    bool recorded;
    std::chrono::steady_clock::time_point time;
};

namespace emulate {

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int device_now = 0;

/* The default stream of the current device */
static CUstream_st *default_stream(int device)
{
    static CUstream_st *all[16];
    if (!all[device]) all[device] = new CUstream_st{device, false, {}, 0, 0};
    return all[device];
}

static std::set<cudaStream_t> &streams()
{
    static auto *set = new std::set<cudaStream_t>;
    return *set;
}

cudaError_t fail(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
    return error;
}

static int devices() { return (int)setting("CUDA_EMULATE_DEVICES", 1); }

int current_device() { return devices() < 1 ? -1 : device_now; }

/* ---------------------------------------------------------------- streams */

static bool is_default(cudaStream_t stream)
{
    return !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

static void check_stream(cudaStream_t stream)
{
    if (!streams().count(stream)) die("stream %p does not exist", (void *)stream);
    if (stream->device != current_device())
        die("a stream of device %d is used on device %d", stream->device, current_device());
}

static void run_until(cudaStream_t stream, unsigned long done)
{
    while (stream->done < done && !stream->work.empty()) {
        std::function<void()> work = std::move(stream->work.front());
        stream->work.pop_front();
        ++stream->done;
        work();
    }
}

static void drain(cudaStream_t stream) { run_until(stream, stream->put); }

static void drain_blocking(int device)
{
    for (cudaStream_t stream : std::vector<cudaStream_t>(streams().begin(), streams().end()))
        if (stream->device == device && stream->blocking) drain(stream);
}

void drain_device(int device)
{
    for (cudaStream_t stream : std::vector<cudaStream_t>(streams().begin(), streams().end()))
        if (stream->device == device) drain(stream);
    drain(default_stream(device));
}

void submit(cudaStream_t stream, std::function<void()> work)
{
    if (is_default(stream)) {
        drain_blocking(current_device());
        stream = default_stream(current_device());
    } else {
        check_stream(stream);
        if (stream->blocking) drain(default_stream(stream->device));
    }
    stream->work.push_back(std::move(work));
    ++stream->put;
    if (setting("CUDA_EMULATE_EAGER", 0)) drain(stream);
}

extern "C" cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    LOCKED;
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    *stream = new CUstream_st{current_device(), flags != cudaStreamNonBlocking, {}, 0, 0};
    streams().insert(*stream);
    return cudaSuccess;
}

extern "C" cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

extern "C" cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    LOCKED;
    if (!streams().count(stream)) die("cudaStreamDestroy: stream %p does not exist", (void *)stream);
    drain(stream);
    streams().erase(stream);
    delete stream;
    return cudaSuccess;
}

extern "C" cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    LOCKED;
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    if (is_default(stream)) {
        drain_blocking(current_device());
        drain(default_stream(current_device()));
    } else {
        check_stream(stream);
        drain(stream);
    }
    return cudaSuccess;
}

extern "C" cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

extern "C" cudaError_t cudaDeviceSynchronize(void)
{
    LOCKED;
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    drain_device(current_device());
    check_canaries();
    return cudaSuccess;
}

extern "C" cudaError_t cudaDeviceReset(void) { return cudaDeviceSynchronize(); }

/* ---------------------------------------------------------------- events */

static bool exists(cudaStream_t stream)
{
    for (int i = 0; i < 16; ++i)
        if (stream == default_stream(i)) return true;
    return streams().count(stream) != 0;
}

extern "C" cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    LOCKED;
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    *event = new CUevent_st{current_device(), nullptr, 0, false, {}};
    return cudaSuccess;
}

extern "C" cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

extern "C" cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    LOCKED;
    if (event->stream && exists(event->stream)) run_until(event->stream, event->after);
    delete event;
    return cudaSuccess;
}

extern "C" cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    LOCKED;
    event->recorded = true;
    submit(stream, [event]() { event->time = std::chrono::steady_clock::now(); });
    event->stream = is_default(stream) ? default_stream(current_device()) : stream;
    event->after = event->stream->put;
    return cudaSuccess;
}

static void finish(cudaEvent_t event)
{
    if (event->stream && exists(event->stream)) run_until(event->stream, event->after);
}

extern "C" cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    LOCKED;
    finish(event);
    return cudaSuccess;
}

extern "C" cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

extern "C" cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    LOCKED;
    cudaStream_t other = event->stream; /* as it is now: the event may be recorded again */
    unsigned long after = event->after;
    if (other)
        submit(stream, [other, after]() {
            if (exists(other)) run_until(other, after);
        });
    return cudaSuccess;
}

extern "C" cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    LOCKED;
    if (!from->recorded || !to->recorded) return fail(cudaErrorInvalidResourceHandle);
    finish(from);
    finish(to);
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return cudaSuccess;
}

/* ---------------------------------------------------------------- copies */

struct Sides {
    bool to_device, from_device;
};

static Sides check_copy(const void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    Sides sides = {kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice,
                   kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice};
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) die("cudaMemcpy: there is no direction %d", (int)kind);
    if (kind == cudaMemcpyDefault) sides = {is_device(to), is_device(from)};
    if (sides.to_device) check_range("cudaMemcpy, to", to, bytes, -1);
    else if (bytes) check_host("cudaMemcpy, to", to);
    if (sides.from_device) check_range("cudaMemcpy, from", from, bytes, -1);
    else if (bytes) check_host("cudaMemcpy, from", from);
    return sides;
}

static void copy(void *to, const void *from, size_t bytes)
{
    Open open;
    memmove(to, from, bytes);
}

/* Queues the copy; `async`: the caller asked for cudaMemcpyAsync. */
static cudaError_t start_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream,
                              bool async)
{
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    Sides sides = check_copy(to, from, bytes, kind);
    if (sides.to_device && !sides.from_device && !is_pinned(from)) {
        auto staged = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
        submit(stream, [=]() { copy(to, staged->data(), bytes); });
        return cudaSuccess;
    }
    submit(stream, [=]() { copy(to, from, bytes); });
    bool between = sides.to_device && sides.from_device, pinned = is_pinned(sides.to_device ? from : to);
    return between || (async && pinned) ? cudaSuccess : cudaStreamSynchronize(stream);
}

extern "C" cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    LOCKED;
    return start_copy(to, from, bytes, kind, nullptr, false);
}

extern "C" cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                                       cudaStream_t stream)
{
    LOCKED;
    return start_copy(to, from, bytes, kind, stream, true);
}

extern "C" cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                    size_t height, enum cudaMemcpyKind kind)
{
    LOCKED;
    if (width > to_pitch || width > from_pitch) return fail(cudaErrorInvalidValue);
    for (size_t i = 0; i < height; ++i)
        cudaMemcpy((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width, kind);
    return cudaSuccess;
}

extern "C" cudaError_t cudaMemsetAsync(void *pointer, int value, size_t bytes, cudaStream_t stream)
{
    LOCKED;
    if (current_device() < 0) return fail(cudaErrorNoDevice);
    check_range("cudaMemset", pointer, bytes, -1);
    submit(stream, [=]() {
        Open open;
        memset(pointer, value, bytes);
    });
    return cudaSuccess;
}

extern "C" cudaError_t cudaMemset(void *pointer, int value, size_t bytes)
{
    return cudaMemsetAsync(pointer, value, bytes, nullptr);
}

/* ---------------------------------------------------------------- devices and errors */

extern "C" cudaError_t cudaGetDeviceCount(int *count)
{
    *count = devices() > 0 ? devices() : 0;
    return *count ? cudaSuccess : fail(cudaErrorNoDevice);
}

extern "C" cudaError_t cudaSetDevice(int device)
{
    if (devices() < 1) return fail(cudaErrorNoDevice);
    if (device < 0 || device >= devices()) return fail(cudaErrorInvalidDevice);
    device_now = device;
    return cudaSuccess;
}

extern "C" cudaError_t cudaGetDevice(int *device)
{
    if (devices() < 1) return fail(cudaErrorNoDevice);
    *device = device_now;
    return cudaSuccess;
}

extern "C" cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    size_t unused;
    if (devices() < 1) return fail(cudaErrorNoDevice);
    if (device < 0 || device >= devices()) return fail(cudaErrorInvalidDevice);
    memset(prop, 0, sizeof *prop);
    snprintf(prop->name, sizeof prop->name, "CUDA emulator on the CPU");
    cudaMemGetInfo(&unused, &prop->totalGlobalMem);
    prop->sharedMemPerBlock = prop->sharedMemPerBlockOptin = prop->sharedMemPerMultiprocessor = 49152;
    prop->regsPerBlock = 65536;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 2147483647;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->major = 7;
    prop->minor = 5;
    prop->multiProcessorCount = 1;
    prop->maxThreadsPerMultiProcessor = 1024;
    prop->l2CacheSize = 1 << 20;
    return cudaSuccess;
}

extern "C" cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp prop;
    cudaError_t status = cudaGetDeviceProperties(&prop, device);
    if (status) return status;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = prop.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)prop.sharedMemPerBlock; break;
    case cudaDevAttrWarpSize: *value = prop.warpSize; break;
    case cudaDevAttrMultiProcessorCount: *value = prop.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = prop.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = prop.minor; break;
    default: return fail(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

extern "C" cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

extern "C" cudaError_t cudaDriverGetVersion(int *version) { return cudaRuntimeGetVersion(version); }

extern "C" cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

extern "C" cudaError_t cudaPeekAtLastError(void) { return last_error; }

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
};

extern "C" const char *cudaGetErrorString(cudaError_t error)
{
    for (auto &known : errors)
        if (known.error == error) return known.text;
    return "unrecognized error code";
}

extern "C" const char *cudaGetErrorName(cudaError_t error)
{
    for (auto &known : errors)
        if (known.error == error) return known.name;
    return "unrecognized error code";
}

} // namespace emulate
