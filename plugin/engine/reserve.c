#include "engine/reserve.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/error.h"

/* OpenBLAS's own functions, the same in every version: its work area (up to 128 MiB) and the way to give it back, after which
 * the library keeps it for the next caller. */
void *blas_memory_alloc(int position);
void blas_memory_free(void *area);

#define AREA ((size_t)128 << 20)
#define STACK ((size_t)8 << 20)
#define OTHER ((size_t)16 << 20) /* what OpenMP and oneDNN map for themselves */

static size_t address_space_in_use(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%lu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static cp_status look_for_room(int threads, size_t limit)
{
    size_t needed = (size_t)threads * (AREA + STACK) + OTHER, used = address_space_in_use();
    void *room = mmap(NULL, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room != MAP_FAILED) {
        munmap(room, needed);
        return CP_OK;
    }
    size_t left = used < limit ? limit - used : 0;
    return cp_fail(CP_ERESOURCE, "out of memory: %d thread%s need%s %zu bytes of address space for work areas, %zu more than the "
                   "%zu that the limit (ulimit -v) leaves", threads, threads == 1 ? "" : "s", threads == 1 ? "s" : "", needed,
                   needed > left ? needed - left : 0, left);
}

cp_status cp_blas_reserve(int threads)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY) return CP_OK;
    cp_status status = look_for_room(threads, (size_t)limit.rlim_cur);
    void **area = status ? NULL : cp_alloc((size_t)threads, sizeof *area, "work areas");
    if (!area) return CP_ERESOURCE;
    for (int i = 0; i < threads; i++) area[i] = blas_memory_alloc(0);
    for (int i = 0; i < threads; i++) blas_memory_free(area[i]);
    cp_free(area);
    return CP_OK;
}
