/* Loops compiled for several instruction sets. */
#ifndef CP_IO_CLONES_H
#define CP_IO_CLONES_H

#include <stdbool.h>

/* Bits of the widest vectors that are used: `make ISA=avx2` makes it 256 and `make ISA=sse2` 128, so that what runs on other
 * machines can be tested and timed on this one. */
#ifndef CP_VECTOR_BITS
#define CP_VECTOR_BITS 512
#endif

/* The best is chosen at load; results of one machine do not depend on the thread count. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && CP_VECTOR_BITS > 128
#if CP_VECTOR_BITS > 256
#define CP_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CP_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#else
#define CP_CLONES
#endif

/* For kernels whose shape depends on how many registers there are, and how wide. */
static inline bool cp_has_avx512(void)
{
#ifdef __x86_64__
    return CP_VECTOR_BITS > 256 && __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

static inline bool cp_has_avx2(void)
{
#ifdef __x86_64__
    return CP_VECTOR_BITS > 128 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

#endif
