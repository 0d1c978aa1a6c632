/* How many threads the engine's loops take, and OpenBLAS beside them. */
#include <cblas.h>
#include <omp.h>
#include <pthread.h>

#include "engine/engine.h"

static int thread_count;

void cp_set_threads(int threads) { thread_count = threads; }

int cp_threads(void)
{
    int threads = thread_count > 0 ? thread_count : omp_get_max_threads();
    return threads > 0 ? threads : 1;
}

int cp_threads_for(double work) { return work < 1 << 16 ? 1 : cp_threads(); }

/* Several frames may run at once: the first to enter saves, the last to leave restores. */
static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static int blas_users, blas_saved;

void cp_blas_enter(void)
{
    pthread_mutex_lock(&blas_lock);
    if (blas_users++ == 0) {
        blas_saved = openblas_get_num_threads();
        if (blas_saved != 1) openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&blas_lock);
}

void cp_blas_leave(void)
{
    pthread_mutex_lock(&blas_lock);
    if (--blas_users == 0 && blas_saved != 1) openblas_set_num_threads(blas_saved);
    pthread_mutex_unlock(&blas_lock);
}
