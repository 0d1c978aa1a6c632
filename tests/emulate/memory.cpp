/* Memory of the emulated devices: an arena of address space of its own, closed to the host's code.
 *
 * Each allocation lies between two borders of known bytes, is filled with NaN and, under AddressSanitizer, is poisoned
 * around. A freed address is not given out again before the whole arena has been used. */
#include "emulate.h"
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace emulate {

static const size_t BORDER = 256, ALIGN = 256, ROOM = 4; /* ROOM: address space for each byte of memory */
static const size_t PAGE = 2 << 20; /* huge pages: closing and opening costs by the page */
static const unsigned char CANARY = 0xc5, GARBAGE = 0xff;             /* floats of 0xff are NaN */
enum { DEVICES = 16 };

struct Block {
    size_t bytes;
    int device;
    long number;
};

static struct Arena {
    unsigned char *start, *end; /* this device's part */
    unsigned char *next;        /* up to here memory has been used */
    size_t used;
} arenas[DEVICES];
static unsigned char *arena_start, *arena_end;
static int opened; /* how many Open live */
static long allocations;
static struct sigaction segv_before;

static std::map<uintptr_t, Block> &blocks()
{
    static auto *map = new std::map<uintptr_t, Block>; /* lives longer than the program's destructors */
    return *map;
}
static std::map<uintptr_t, Block> &freed()
{
    static auto *map = new std::map<uintptr_t, Block>;
    return *map;
}
static std::map<uintptr_t, size_t> &pinned()
{
    static auto *map = new std::map<uintptr_t, size_t>;
    return *map;
}

std::recursive_mutex &lock()
{
    static auto *mutex = new std::recursive_mutex;
    return *mutex;
}

void die(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "CUDA emulator: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    if (running_kernel()) fprintf(stderr, " in %s", running_kernel());
    fprintf(stderr, "\n");
    abort();
}

long setting(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 0) : fallback;
}

static size_t card_bytes() { return (size_t)setting("CUDA_EMULATE_MEMORY", 4096) << 20; }

/* ---------------------------------------------------------------- closed to the host */

bool is_device(const void *pointer) { return pointer >= (void *)arena_start && pointer < (void *)arena_end; }

static const Block *find(const std::map<uintptr_t, Block> &map, const void *pointer, uintptr_t *start)
{
    auto at = map.upper_bound((uintptr_t)pointer);
    if (at == map.begin()) return NULL;
    --at;
    if ((uintptr_t)pointer - at->first > at->second.bytes) return NULL;
    *start = at->first;
    return &at->second;
}

static void on_segv(int signal, siginfo_t *info, void *context)
{
    if (is_device(info->si_addr) && !opened)
        die("the host's code reads or writes device memory at %p; cudaMemcpy would be needed", info->si_addr);
    if (running_kernel()) die("access of %p, which is no device memory,", info->si_addr);
    sigaction(SIGSEGV, &segv_before, NULL);
    (void)signal, (void)context; /* back to the instruction, which faults again */
}

static void protect(int how)
{
    for (Arena &arena : arenas) {
        size_t bytes = (arena.next - arena.start + PAGE - 1) / PAGE * PAGE;
        if (bytes && mprotect(arena.start, bytes, how)) die("mprotect of %zu bytes fails", bytes);
    }
}

Open::Open()
{
    if (!opened++) protect(PROT_READ | PROT_WRITE);
}

static void handle_segv()
{
    struct sigaction now, ours = {};
    sigaction(SIGSEGV, NULL, &now);
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_segv) return; /* test programs put in their own */
    segv_before = now;
    ours.sa_sigaction = on_segv;
    ours.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &ours, NULL);
}

Open::~Open()
{
    if (--opened || !setting("CUDA_EMULATE_GUARD", 1)) return;
    protect(PROT_NONE);
    handle_segv();
}

static void reserve()
{
    if (arena_start) return;
    size_t each = card_bytes() * ROOM;
    void *room = mmap(NULL, each * DEVICES + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) die("no address space for %zu bytes", each * DEVICES);
    arena_start = (unsigned char *)(((uintptr_t)room + PAGE - 1) / PAGE * PAGE);
    madvise(arena_start, each * DEVICES, MADV_HUGEPAGE);
    arena_end = arena_start + each * DEVICES;
    for (int i = 0; i < DEVICES; ++i) {
        arenas[i].start = arenas[i].next = arena_start + i * each;
        arenas[i].end = arenas[i].start + each;
    }
}

/* ---------------------------------------------------------------- checks */

static void say_where(char *text, size_t size, const void *pointer)
{
    uintptr_t start;
    const Block *block = find(freed(), pointer, &start);
    if (block)
        snprintf(text, size, "%p, %zu bytes into freed allocation %ld of %zu bytes", pointer,
                 (size_t)((uintptr_t)pointer - start), block->number, block->bytes);
    else if (is_device(pointer)) snprintf(text, size, "%p, between allocations", pointer);
    else snprintf(text, size, "%p, which is host memory", pointer);
}

void check_range(const char *what, const void *pointer, size_t bytes, int device)
{
    uintptr_t start;
    char where[200];
    const Block *block = find(blocks(), pointer, &start);
    if (!bytes) return;
    if (!block) {
        say_where(where, sizeof where, pointer);
        die("%s: %s", what, where);
    }
    size_t offset = (uintptr_t)pointer - start;
    if (offset + bytes > block->bytes)
        die("%s: %zu bytes at %zu of allocation %ld, which has %zu", what, bytes, offset, block->number, block->bytes);
    if (device >= 0 && block->device != device)
        die("%s: memory of device %d used on device %d", what, block->device, device);
}

const char *argument_fault(const void *pointer, int device)
{
    static char text[300];
    uintptr_t start;
    if (!pointer) return "";
    const Block *block = find(blocks(), pointer, &start);
    if (block && block->device == device) return "";
    if (block) snprintf(text, sizeof text, "memory of device %d", block->device);
    else say_where(text, sizeof text, pointer);
    return text;
}

void check_host(const char *what, const void *pointer)
{
    if (!pointer) die("%s: the host's pointer is NULL", what);
    if (is_device(pointer)) die("%s: %p is device memory, not the host's", what, pointer);
}

static void check_border(const unsigned char *border, size_t bytes, const Block &block, const char *side)
{
    for (size_t i = 0; i < bytes; ++i)
        if (border[i] != CANARY)
            die("allocation %ld of %zu bytes: something has been written %zu bytes %s", block.number, block.bytes,
                side[0] == 'b' ? bytes - i : i, side);
}

static size_t padded(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN + BORDER; }

static void check_block(uintptr_t start, const Block &block)
{
#ifndef __SANITIZE_ADDRESS__ /* which has seen the write itself */
    check_border((unsigned char *)start - BORDER, BORDER, block, "before its start");
    check_border((unsigned char *)start + block.bytes, padded(block.bytes) - block.bytes, block, "past its end");
#else
    (void)start, (void)block, (void)check_border;
#endif
}

void check_canaries()
{
    Open open;
    for (auto &at : blocks()) check_block(at.first, at.second);
}

/* ---------------------------------------------------------------- allocations */

/* The address of `bytes` that no allocation has, or NULL. The first border lies before it. */
static unsigned char *place(Arena &arena, size_t bytes)
{
    size_t whole = BORDER + padded(bytes);
    if (whole <= (size_t)(arena.end - arena.next)) {
        unsigned char *start = arena.next + BORDER;
        arena.next += whole;
        return start;
    }
    unsigned char *from = arena.start;
    for (auto &at : blocks()) {
        unsigned char *start = (unsigned char *)at.first - BORDER;
        if (start < from) continue;
        if (start >= arena.end) break;
        if ((size_t)(start - from) >= whole) break;
        from = (unsigned char *)at.first + padded(at.second.bytes);
    }
    if ((size_t)(arena.end - from) < whole) return NULL;
    return from + BORDER;
}

static void forget_freed(unsigned char *start, size_t bytes)
{
    auto at = freed().lower_bound((uintptr_t)start);
    if (at != freed().begin()) --at;
    while (at != freed().end() && at->first < (uintptr_t)start + bytes)
        at = at->first + at->second.bytes >= (uintptr_t)start ? freed().erase(at) : std::next(at);
}

extern "C" cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    LOCKED;
    int device = current_device();
    if (device < 0) return fail(cudaErrorNoDevice);
    *pointer = NULL;
    if (!bytes) return cudaSuccess;
    reserve();
    Arena &arena = arenas[device];
    long number = ++allocations;
    if (number == setting("CUDA_EMULATE_FAIL", 0) || bytes > card_bytes() - arena.used)
        return fail(cudaErrorMemoryAllocation);
    unsigned char *start = place(arena, bytes);
    if (!start) return fail(cudaErrorMemoryAllocation);
    forget_freed(start, bytes);
    Open open; /* after place(), which lets the arena grow */
    size_t tail = padded(bytes) - bytes;
    ASAN_UNPOISON_MEMORY_REGION(start - BORDER, BORDER + bytes + tail);
    memset(start - BORDER, CANARY, BORDER);
    memset(start, GARBAGE, bytes);
    memset(start + bytes, CANARY, tail);
    ASAN_POISON_MEMORY_REGION(start - BORDER, BORDER);
    ASAN_POISON_MEMORY_REGION(start + bytes, tail);
    blocks()[(uintptr_t)start] = {bytes, device, number};
    arena.used += bytes;
    *pointer = start;
    return cudaSuccess;
}

extern "C" cudaError_t cudaFree(void *pointer)
{
    LOCKED;
    if (!pointer) return cudaSuccess;
    auto at = blocks().find((uintptr_t)pointer);
    if (at == blocks().end()) {
        char where[200];
        uintptr_t start;
        const Block *block = find(blocks(), pointer, &start);
        if (block) die("cudaFree: %p is inside of allocation %ld, not its start", pointer, block->number);
        say_where(where, sizeof where, pointer);
        die("cudaFree: %s", where);
    }
    Block block = at->second;
    drain_device(block.device);
    Open open;
    check_block(at->first, block);
    unsigned char *start = (unsigned char *)pointer;
    uintptr_t first_page = ((uintptr_t)start + PAGE - 1) / PAGE * PAGE;
    uintptr_t last_page = ((uintptr_t)start + block.bytes) / PAGE * PAGE;
    memset(start, GARBAGE, block.bytes < PAGE ? block.bytes : PAGE);
    if (last_page > first_page) madvise((void *)first_page, last_page - first_page, MADV_DONTNEED);
    ASAN_POISON_MEMORY_REGION(start, block.bytes);
    arenas[block.device].used -= block.bytes;
    freed()[at->first] = block;
    blocks().erase(at);
    return cudaSuccess;
}

extern "C" cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    LOCKED;
    int device = current_device();
    if (device < 0) return fail(cudaErrorNoDevice);
    *total = card_bytes();
    *free_bytes = *total - arenas[device].used;
    return cudaSuccess;
}

extern "C" cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer)
{
    LOCKED;
    uintptr_t start;
    const Block *block = find(blocks(), pointer, &start);
    *attributes = {block ? cudaMemoryTypeDevice : is_pinned(pointer) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered,
                   block ? block->device : -1, block ? (void *)pointer : NULL, block ? NULL : (void *)pointer};
    return cudaSuccess;
}

/* ---------------------------------------------------------------- pinned memory of the host */

bool is_pinned(const void *pointer)
{
    auto at = pinned().upper_bound((uintptr_t)pointer);
    if (at == pinned().begin()) return false;
    --at;
    return (uintptr_t)pointer - at->first < at->second;
}

extern "C" cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned)
{
    LOCKED;
    *pointer = malloc(bytes ? bytes : 1);
    if (!*pointer) return fail(cudaErrorMemoryAllocation);
    pinned()[(uintptr_t)*pointer] = bytes;
    return cudaSuccess;
}

extern "C" cudaError_t cudaMallocHost(void **pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, 0); }

extern "C" cudaError_t cudaFreeHost(void *pointer)
{
    LOCKED;
    if (!pointer) return cudaSuccess;
    if (!pinned().erase((uintptr_t)pointer)) die("cudaFreeHost: %p is not from cudaMallocHost", pointer);
    for (int i = 0; i < DEVICES; ++i) drain_device(i);
    free(pointer);
    return cudaSuccess;
}

/* ---------------------------------------------------------------- at the end */

/* CUDA_EMULATE_LEAKS=1: what is still allocated when the program ends. */
static struct AtEnd {
    ~AtEnd()
    {
        if (!arena_start) return;
        check_canaries();
        if (!setting("CUDA_EMULATE_LEAKS", 0) || blocks().empty()) return;
        size_t bytes = 0;
        for (auto &at : blocks()) bytes += at.second.bytes;
        fprintf(stderr, "CUDA emulator: %zu allocations of %zu bytes are left at the end, the first is number %ld\n",
                blocks().size(), bytes, blocks().begin()->second.number);
        fflush(stderr);
        _exit(99);
    }
} at_end;

} // namespace emulate
