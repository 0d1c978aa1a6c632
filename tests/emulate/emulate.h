/* Between the files of the emulator. Every call of the API holds lock(): the device does one thing at a time. */
#ifndef EMULATE_H
#define EMULATE_H

#include "cuda_runtime_api.h"
#include <functional>
#include <mutex>

namespace emulate {

std::recursive_mutex &lock();
#define LOCKED std::lock_guard<std::recursive_mutex> guard(emulate::lock())

/* One line on stderr, then abort(): the program has done what no device allows, or what shows only on some. */
[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Sets the last error, as every call of the API does. */
cudaError_t fail(cudaError_t error);
/* A number from the environment. */
long setting(const char *name, long fallback);

/* ---------------------------------------------------------------- memory.cpp */

/* While one lives, device memory can be read and written. */
struct Open {
    Open();
    ~Open();
};
bool is_device(const void *pointer);
/* Ends the program unless these bytes lie in one allocation of the device, or of any (-1). */
void check_range(const char *what, const void *pointer, size_t bytes, int device);
/* The same for a kernel's argument, of which only the start is known; "" or what is wrong. */
const char *argument_fault(const void *pointer, int device);
void check_host(const char *what, const void *pointer);
void check_canaries();
bool is_pinned(const void *pointer);

/* ---------------------------------------------------------------- runtime.cpp */

int current_device();
/* At once on the default stream, else when the stream is waited for. */
void submit(cudaStream_t stream, std::function<void()> work);
void drain_device(int device);

/* ---------------------------------------------------------------- launch.cpp */

/* "kernel x (file:line), block (..), thread (..)", or 0 outside kernels. For messages. */
const char *running_kernel();

} // namespace emulate

#endif
