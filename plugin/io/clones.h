/* Loops compiled for several instruction sets. */
#ifndef CP_IO_CLONES_H
#define CP_IO_CLONES_H

/* The best is chosen at load; results of one machine do not depend on the thread count. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define CP_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CP_CLONES
#endif

#endif
