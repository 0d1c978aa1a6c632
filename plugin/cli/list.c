#include "cli/list_internal.h"

#include "engine/memory.h"
#include "io/error.h"

#include <signal.h>
#include <string.h>

enum { AHEAD = 2 }; /* images read before a visit is free for them */

/* Methods that need little more than the frame. The others take -mem for themselves and fill all threads. */
static bool is_light(const char *method)
{
    return !method || !strcmp(method, "mct") || !strcmp(method, "gradient") || !strcmp(method, "random") ||
           !strcmp(method, "active") || !strcmp(method, "effective");
}

/* How many frames the GPUs hold with all that a run takes, those of the session itself among them. */
static size_t fit_on_gpus(const cp_session *s)
{
    size_t each = cp_frame_bytes(s->model, 1, 1) + cp_model_neuron_count(s->model) * sizeof(float) +
                  cp_frame_run_bytes(s->frame);
    size_t on_one = 1 + cp_frame_memory(NULL, s->options->mem, SIZE_MAX) / each;
    return on_one * (size_t)(s->n_gpus > 1 ? s->n_gpus : 1);
}

/* One more worker than may compute, for the time in which one writes. On a GPU they fill the card side by side, each on
 * its stream, while others read, select and write. */
static int count_workers(const cp_session *s)
{
    size_t cap = s->options->mem ? s->options->mem : (size_t)2 << 30;
    bool on_gpu = cp_device() >= 0;
    int paths = s->options->sparsity.n ? s->options->sparsity.n : 1;
    size_t neurons = cp_model_neuron_count(s->model), input = s->c * s->h * s->w * sizeof(float);
    /* Scores, selection and paths, maps, the input of the image and of the one behind it. */
    size_t each = 2 * input + (size_t)paths * (neurons / 8 + input) +
                  (on_gpu ? 0 : cp_frame_bytes(s->model, 1, 1) + neurons * (sizeof(float) + 1));
    size_t fit = cap / each;
    if (on_gpu && fit > fit_on_gpus(s))
        fit = fit_on_gpus(s);
    int n = cp_threads() + 1;
    if (!is_light(s->options->method) || s->options->offpath != CP_OFFPATH_FROZEN)
        n = s->n_gpus ? s->n_gpus : 1;
    else if (n < s->n_gpus + 1)
        n = s->n_gpus + 1;
    if (s->n_images && n > s->n_images)
        n = s->n_images;
    if ((size_t)n > fit)
        n = (int)fit;
    return n > CP_LIST_WORKERS ? CP_LIST_WORKERS : n > 1 ? n : 1;
}

cp_status cp_list_run(cp_session *s, bool together, cp_visit visit, void *user, int *seen)
{
    cp_status status = CP_ERESOURCE;
    int n = together ? count_workers(s) : 1;
    pthread_t read_thread;
    bool reading = false, working = false;
    int error;
    *seen = 0;
    cp_list *l = cp_alloc(1, sizeof *l, "list of images");
    cp_worker *workers = cp_alloc((size_t)n, sizeof *workers, "list of images");
    sigset_t all, before;
    if (!l || !workers)
        goto done;
    *l = (cp_list){.session = s, .own_session = *s, .visit = visit, .user = user, .slots = n + AHEAD, .reading = true,
                .tokens = n};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    if (!(l->jobs = cp_alloc((size_t)l->slots, sizeof *l->jobs, "list of images")))
        goto done;
    if (n > 1)
        n = cp_list_make_workers(l, n, workers);
    sigfillset(&all); /* signals are for this thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&read_thread, NULL, cp_list_read, l);
    reading = !error;
    if (reading && n > 1)
        cp_list_start_workers(l, n, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!reading) {
        status = cp_fail(CP_ERESOURCE, "list of images: no thread to read them: %s", strerror(error));
        goto done;
    }
    for (int i = 0; i < n; i++)
        working |= workers[i].started;
    status = cp_list_show_all(l, !working, seen);
    cp_list_lock(l);
    l->stopped = true;
    cp_list_unlock(l);
done:
    if (reading)
        pthread_join(read_thread, NULL);
    for (int i = 0; workers && i < n; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        cp_list_end_worker(&workers[i]);
    }
    if (n > 1)
        cp_set_threads(s->options->threads);
    for (int k = 0; l && l->jobs && k < l->slots; k++)
        cp_list_free_job(&l->jobs[k]);
    if (l)
        cp_free(l->jobs);
    cp_free(workers);
    cp_free(l);
    return status;
}
