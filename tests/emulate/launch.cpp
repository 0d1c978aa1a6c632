/* Kernels: blocks one after another, the threads of a block in turn.
 *
 * Threads run on fibers. A fiber takes one thread after the other; a thread that waits for others keeps its fiber, and
 * the scheduler goes on with another one. Kernels without barriers thus cost one change of stack per block.
 * CUDA_EMULATE_ORDER=reverse runs blocks and threads from last to first: results must not depend on it. */
#include "emulate.h"
#include "emulate_kernel.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulate {

enum { WARP = 32, MAX_THREADS = 1024, SHARED = 49152 };
static const size_t STACK = 256 << 10;

enum State { UNBORN, RUNS, WAITS_BLOCK, WAITS_WARP, DONE };

struct Fiber {
    jmp_buf place;
    ucontext_t start;
    char *stack;
    bool started;
    void *asan;
};

struct Thread {
    State state;
    Fiber *fiber;
    int *vote;
    unsigned mask;
    uint64_t bits, given[WARP]; /* what lanes gave, seen by this thread */
};

static struct {
    const Launch *launch;
    const std::function<void()> *function;
    unsigned threads, next; /* the threads from `next` on have no fiber yet */
    unsigned now;           /* the one that runs */
    bool reverse;
} block;
static Thread threads[MAX_THREADS];
static std::vector<Fiber *> idle;
static jmp_buf scheduler;
static char shared_memory[SHARED] __attribute__((aligned(256)));

const char *running_kernel()
{
    static char text[300];
    if (!block.launch) return nullptr;
    snprintf(text, sizeof text, "kernel %s (%s:%d), block (%u,%u,%u), thread (%u,%u,%u)", block.launch->kernel,
             block.launch->file, block.launch->line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
             threadIdx.z);
    return text;
}

/* ---------------------------------------------------------------- fibers */

#ifdef __SANITIZE_ADDRESS__
static const void *scheduler_stack;
static size_t scheduler_stack_bytes;
static void *scheduler_asan;
static void leave_to_fiber(Fiber *f) { __sanitizer_start_switch_fiber(&scheduler_asan, f->stack, STACK); }
static void arrive_in_fiber(Fiber *f)
{
    __sanitizer_finish_switch_fiber(f->asan, &scheduler_stack, &scheduler_stack_bytes);
}
static void leave_to_scheduler(Fiber *f)
{
    __sanitizer_start_switch_fiber(&f->asan, scheduler_stack, scheduler_stack_bytes);
}
static void arrive_in_scheduler() { __sanitizer_finish_switch_fiber(scheduler_asan, nullptr, nullptr); }
#else
static void leave_to_fiber(Fiber *) {}
static void arrive_in_fiber(Fiber *) {}
static void leave_to_scheduler(Fiber *) {}
static void arrive_in_scheduler() {}
#endif

static Fiber *fiber_now;

static void to_scheduler(Fiber *f)
{
    leave_to_scheduler(f);
    if (!_setjmp(f->place)) _longjmp(scheduler, 1);
    arrive_in_fiber(f);
}

static void place_thread(unsigned t)
{
    block.now = t;
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / blockDim.x / blockDim.y;
}

static void run_fiber()
{
    Fiber *f = fiber_now;
    arrive_in_fiber(f);
    for (;;) {
        while (block.next < block.threads) {
            unsigned t = block.reverse ? block.threads - 1 - block.next : block.next;
            ++block.next;
            threads[t].state = RUNS;
            threads[t].fiber = f;
            place_thread(t);
            (*block.function)();
            threads[block.now].state = DONE;
        }
        idle.push_back(f);
        to_scheduler(f);
    }
}

static Fiber *make_fiber()
{
    Fiber *f = new Fiber();
    f->stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->stack == MAP_FAILED) die("no memory for the stack of a thread");
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = f->stack;
    f->start.uc_stack.ss_size = STACK;
    makecontext(&f->start, run_fiber, 0);
    return f;
}

static void to_fiber(Fiber *f)
{
    fiber_now = f;
    leave_to_fiber(f);
    if (!_setjmp(scheduler)) {
        if (f->started) _longjmp(f->place, 1);
        f->started = true;
        setcontext(&f->start);
    }
    arrive_in_scheduler();
}

/* ---------------------------------------------------------------- barriers */

static void wait(State state)
{
    unsigned me = block.now;
    threads[me].state = state;
    to_scheduler(threads[me].fiber);
    place_thread(me);
}

void wait_block(int *vote)
{
    threads[block.now].vote = vote;
    wait(WAITS_BLOCK);
}

void wait_warp(unsigned mask)
{
    threads[block.now].mask = mask;
    wait(WAITS_WARP);
}

unsigned lane() { return block.now % WARP; }

void give(unsigned mask, uint64_t bits)
{
    if (!(mask >> lane() & 1)) die("lane %u is not in its own mask %#x", lane(), mask);
    threads[block.now].bits = bits;
    wait_warp(mask);
}

uint64_t value_of(unsigned from)
{
    Thread *me = &threads[block.now];
    if (!(me->mask >> from & 1)) die("lane %u reads lane %u, which is not in its mask %#x", lane(), from, me->mask);
    unsigned t = block.now / WARP * WARP + from;
    if (t >= block.threads) die("lane %u reads lane %u, which the block does not have", lane(), from);
    return me->given[from];
}

unsigned vote(unsigned mask, bool predicate)
{
    unsigned votes = 0;
    give(mask, predicate);
    for (unsigned i = 0; i < WARP && block.now / WARP * WARP + i < block.threads; ++i)
        if (mask >> i & 1 && threads[block.now].given[i]) votes |= 1u << i;
    wait_warp(mask);
    return votes;
}

/* All threads wait or are done: whom does that free? */
static bool free_block(std::vector<unsigned> &ready)
{
    unsigned waiting = 0, done = 0;
    int votes = 0;
    for (unsigned t = 0; t < block.threads; ++t) {
        waiting += threads[t].state == WAITS_BLOCK;
        done += threads[t].state == DONE;
        if (threads[t].state == WAITS_BLOCK && threads[t].vote) votes += *threads[t].vote;
    }
    if (!waiting || waiting + done < block.threads) return false;
    if (done) die("%u of %u threads wait at __syncthreads, the others have ended,", waiting, block.threads);
    for (unsigned t = 0; t < block.threads; ++t) {
        if (threads[t].vote) *threads[t].vote = votes;
        ready.push_back(t);
    }
    return true;
}

static void free_warp(unsigned first, std::vector<unsigned> &ready)
{
    unsigned last = first + WARP < block.threads ? first + WARP : block.threads;
    for (unsigned t = first; t < last; ++t) {
        if (threads[t].state != WAITS_WARP) continue;
        unsigned mask = threads[t].mask;
        bool all = true;
        for (unsigned u = first; u < last; ++u)
            if (mask >> (u - first) & 1 && (threads[u].state != WAITS_WARP || threads[u].mask != mask)) all = false;
        if (!all) continue;
        for (unsigned u = first; u < last; ++u) {
            if (!(mask >> (u - first) & 1)) continue;
            for (unsigned v = first; v < last; ++v) threads[u].given[v - first] = threads[v].bits;
            threads[u].state = RUNS;
            ready.push_back(u);
        }
    }
}

static void run_block()
{
    std::vector<unsigned> ready;
    for (unsigned t = 0; t < block.threads; ++t) threads[t].state = UNBORN;
    block.next = 0;
    while (block.next < block.threads) {
        if (idle.empty()) idle.push_back(make_fiber());
        Fiber *f = idle.back();
        idle.pop_back();
        to_fiber(f);
    }
    for (;;) {
        bool done = true;
        for (unsigned t = 0; t < block.threads; ++t) done = done && threads[t].state == DONE;
        if (done) return;
        ready.clear();
        if (!free_block(ready))
            for (unsigned first = 0; first < block.threads; first += WARP) free_warp(first, ready);
        if (ready.empty()) die("threads wait at different barriers, or for lanes that never come,");
        for (size_t i = 0; i < ready.size(); ++i) {
            unsigned t = ready[block.reverse ? ready.size() - 1 - i : i];
            threads[t].state = RUNS;
            block.now = t;
            to_fiber(threads[t].fiber);
        }
    }
}

/* ---------------------------------------------------------------- launches */

void *dynamic_shared() { return shared_memory; }

static void run(const Launch &launch, const std::function<void()> &function)
{
    Open open;
    block.launch = &launch;
    block.function = &function;
    block.threads = launch.block.x * launch.block.y * launch.block.z;
    block.reverse = getenv("CUDA_EMULATE_ORDER") && !strcmp(getenv("CUDA_EMULATE_ORDER"), "reverse");
    blockDim = launch.block;
    gridDim = launch.grid;
    size_t blocks = (size_t)launch.grid.x * launch.grid.y * launch.grid.z;
    for (size_t i = 0; i < blocks; ++i) {
        size_t b = block.reverse ? blocks - 1 - i : i;
        blockIdx = {(unsigned)(b % launch.grid.x), (unsigned)(b / launch.grid.x % launch.grid.y),
                    (unsigned)(b / launch.grid.x / launch.grid.y)};
        if (launch.shared) memset(shared_memory, 0xff, launch.shared);
        run_block();
    }
    block.launch = nullptr;
    if (setting("CUDA_EMULATE_CHECK", 0)) {
        block.launch = &launch; /* for the message */
        check_canaries();
        block.launch = nullptr;
    }
}

bool accept(const Launch &launch)
{
    LOCKED;
    dim3 g = launch.grid, b = launch.block;
    if (current_device() < 0) return fail(cudaErrorNoDevice), false;
    bool good = g.x && g.y && g.z && b.x && b.y && b.z && g.x <= 2147483647u && g.y <= 65535 && g.z <= 65535 &&
                b.x <= 1024 && b.y <= 1024 && b.z <= 64 && (size_t)b.x * b.y * b.z <= MAX_THREADS &&
                launch.shared <= SHARED;
    if (!good) fail(cudaErrorInvalidConfiguration);
    return good;
}

void check_argument(const Launch &launch, int index, const void *pointer)
{
    LOCKED;
    const char *fault = argument_fault(pointer, current_device());
    if (*fault)
        die("kernel %s (%s:%d): argument %d is %s", launch.kernel, launch.file, launch.line, index + 1, fault);
}

/* What is mapped is a pointer. Heaps, stacks and programs lie high; two small ints in a row make a lower address. */
void check_struct(const Launch &launch, int index, const void *bytes, size_t size)
{
    LOCKED;
    for (size_t at = 0; at + sizeof(uintptr_t) <= size; at += sizeof(uintptr_t)) {
        uintptr_t value;
        unsigned char resident;
        memcpy(&value, (const char *)bytes + at, sizeof value);
        if (value < 0x550000000000 || value >= 1ull << 47) continue;
        void *page = (void *)(value & ~(uintptr_t)4095);
        const char *fault = argument_fault((void *)value, current_device());
        if (*fault && mincore(page, 1, &resident) == 0)
            die("kernel %s (%s:%d): argument %d holds %s", launch.kernel, launch.file, launch.line, index + 1, fault);
    }
}

void submit(const Launch &launch, std::function<void()> thread)
{
    LOCKED;
    Launch kept = launch;
    submit(launch.stream, [kept, thread]() { run(kept, thread); });
}

} // namespace emulate
