/* The language of kernels, as C++. The nvcc of this folder has turned `name<<<grid, block>>>(...)` into
 * `emulate::launch("name", __FILE__, __LINE__, grid, block)(name)(...)` and `extern __shared__` arrays into pointers. */
#ifndef EMULATE_KERNEL_H
#define EMULATE_KERNEL_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <math.h>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__ __attribute__((unused))
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__

/* Blocks run one after another, and threads of a block change places only in the functions below. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

/* ---------------------------------------------------------------- launch */

namespace emulate {

struct Launch {
    const char *kernel, *file;
    int line;
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};

/* False, with CUDA's last error set, when CUDA would refuse the launch. */
bool accept(const Launch &launch);
/* Ends the program unless `pointer` is 0 or points into memory of the current device. */
void check_argument(const Launch &launch, int index, const void *pointer);
/* The same for what looks like pointers inside a struct. */
void check_struct(const Launch &launch, int index, const void *bytes, size_t size);
void submit(const Launch &launch, std::function<void()> thread);
void *dynamic_shared();

template <class T> void check_value(const Launch &launch, int index, T *pointer)
{
    check_argument(launch, index, (const void *)pointer);
}
template <class T>
typename std::enable_if<!std::is_pointer<T>::value>::type check_value(const Launch &launch, int index, const T &value)
{
    if (std::is_class<T>::value) check_struct(launch, index, &value, sizeof value);
}

template <class... P> struct Kernel {
    Launch launch;
    void (*function)(P...);

    template <size_t... I> void start(std::tuple<P...> values, std::index_sequence<I...>)
    {
        int unused[] = {0, (check_value(launch, (int)I, std::get<I>(values)), 0)...};
        (void)unused;
        void (*f)(P...) = function;
        submit(launch, [f, values]() { f(std::get<I>(values)...); });
    }
    void operator()(P... p)
    {
        if (accept(launch)) start(std::tuple<P...>(p...), std::index_sequence_for<P...>());
    }
};

struct Launcher {
    Launch launch;
    template <class... P> Kernel<P...> operator()(void (*function)(P...)) const { return {launch, function}; }
};

inline Launcher launch(const char *kernel, const char *file, int line, dim3 grid, dim3 block, size_t shared = 0,
                       cudaStream_t stream = nullptr)
{
    return {{kernel, file, line, grid, block, shared, stream}};
}

/* Waits for all threads of the block, or of the mask in the caller's warp. */
void wait_block(int *vote);
void wait_warp(unsigned mask);
/* Gives `bits` to the warp of the caller and waits; then value_of() reads the bits of its lanes. */
void give(unsigned mask, uint64_t bits);
uint64_t value_of(unsigned lane);
unsigned lane();

template <class T> T shuffle(unsigned mask, T value, unsigned from)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    T result;
    memcpy(&bits, &value, sizeof value);
    give(mask, bits);
    bits = value_of(from);
    memcpy(&result, &bits, sizeof result);
    wait_warp(mask);
    return result;
}

unsigned vote(unsigned mask, bool predicate);

} // namespace emulate

#define __syncthreads() emulate::wait_block(nullptr)
inline int __syncthreads_count(int predicate)
{
    int votes = predicate != 0;
    emulate::wait_block(&votes);
    return votes;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulate::wait_warp(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T> T __shfl_sync(unsigned mask, T value, int from, int width = 32)
{
    unsigned first = emulate::lane() & ~(unsigned)(width - 1);
    return emulate::shuffle(mask, value, first + ((unsigned)from & (width - 1)));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    unsigned me = emulate::lane(), last = me | (unsigned)(width - 1);
    return emulate::shuffle(mask, value, me + by > last ? me : me + by);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    unsigned me = emulate::lane(), first = me & ~(unsigned)(width - 1);
    return emulate::shuffle(mask, value, me < first + by ? me : me - by);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32)
{
    unsigned me = emulate::lane(), last = me | (unsigned)(width - 1), from = me ^ (unsigned)lanes;
    return emulate::shuffle(mask, value, from > last ? me : from);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) { return emulate::vote(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return emulate::vote(mask, predicate != 0) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return emulate::vote(mask, predicate == 0) == 0; }

/* ---------------------------------------------------------------- atomics */

/* CUDA's overloads and no others, so that what compiles here compiles there. */
#define EMULATE_ATOMIC(NAME, T, RESULT)             \
    inline T NAME(T *address, T value)              \
    {                                               \
        T old = *address;                           \
        *address = (RESULT);                        \
        return old;                                 \
    }
#define EMULATE_ATOMIC_ALL(NAME, RESULT)            \
    EMULATE_ATOMIC(NAME, int, RESULT)               \
    EMULATE_ATOMIC(NAME, unsigned, RESULT)          \
    EMULATE_ATOMIC(NAME, unsigned long long, RESULT)
EMULATE_ATOMIC(atomicAdd, int, old + value)
EMULATE_ATOMIC(atomicAdd, unsigned, old + value)
EMULATE_ATOMIC(atomicAdd, unsigned long long, old + value)
EMULATE_ATOMIC(atomicAdd, float, old + value)
EMULATE_ATOMIC(atomicAdd, double, old + value)
EMULATE_ATOMIC(atomicSub, int, old - value)
EMULATE_ATOMIC(atomicSub, unsigned, old - value)
EMULATE_ATOMIC(atomicExch, float, value)
EMULATE_ATOMIC_ALL(atomicExch, value)
EMULATE_ATOMIC_ALL(atomicMax, old > value ? old : value)
EMULATE_ATOMIC_ALL(atomicMin, old < value ? old : value)
EMULATE_ATOMIC_ALL(atomicOr, old | value)
EMULATE_ATOMIC_ALL(atomicAnd, old & value)
EMULATE_ATOMIC_ALL(atomicXor, old ^ value)
#define EMULATE_CAS(T)                                              \
    inline T atomicCAS(T *address, T compare, T value)              \
    {                                                               \
        T old = *address;                                           \
        if (old == compare) *address = value;                       \
        return old;                                                 \
    }
EMULATE_CAS(int)
EMULATE_CAS(unsigned)
EMULATE_CAS(unsigned long long)

/* ---------------------------------------------------------------- numbers */

template <class T> T __ldg(const T *pointer) { return *pointer; }
template <class A, class B> typename std::common_type<A, B>::type min(A a, B b) { return b < a ? b : a; }
template <class A, class B> typename std::common_type<A, B>::type max(A a, B b) { return a < b ? b : a; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
#define EMULATE_REINTERPRET(NAME, TO, FROM)         \
    inline TO NAME(FROM x)                          \
    {                                               \
        TO y;                                       \
        memcpy(&y, &x, sizeof y);                   \
        return y;                                   \
    }
EMULATE_REINTERPRET(__float_as_int, int, float)
EMULATE_REINTERPRET(__float_as_uint, unsigned, float)
EMULATE_REINTERPRET(__int_as_float, float, int)
EMULATE_REINTERPRET(__uint_as_float, float, unsigned)

#define EMULATE_VECTOR(T, N)                                                                                \
    struct __attribute__((aligned(2 * sizeof(T)))) N##2 { T x, y; };                                        \
    struct N##3 { T x, y, z; };                                                                             \
    struct __attribute__((aligned(4 * sizeof(T)))) N##4 { T x, y, z, w; };                                  \
    inline N##2 make_##N##2(T x, T y) { return N##2{x, y}; }                                                \
    inline N##3 make_##N##3(T x, T y, T z) { return N##3{x, y, z}; }                                        \
    inline N##4 make_##N##4(T x, T y, T z, T w) { return N##4{x, y, z, w}; }
EMULATE_VECTOR(float, float)
EMULATE_VECTOR(int, int)

#endif
