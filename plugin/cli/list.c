#include "cli/list.h"
#include "engine/memory.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/lines.h"
#include "io/progress.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    AHEAD = 2,        /* images read before a visit is free for them */
    MOST_WORKERS = 64,
    PHOTO_CAP = 64 << 20, /* bytes of photos that wait, where one alone is not larger */
    LINE_MAX_BYTES = 1 << 16
};

/* One image, from its path to the end of its visit. */
typedef struct {
    char *path;
    cp_item item;
    float *input;
    char *out, *err;  /* what the visit said */
    size_t out_bytes, err_bytes;
    cp_status status;
    char *message;    /* of a failure; NULL: out of memory */
    bool returned;    /* to be visited again, by whoever comes first */
    bool finished;
} job;

/* Jobs are numbered; job k is in slot k % slots. Shown <= taken <= read <= shown + slots. */
struct cp_list {
    cp_session *session;     /* the reader's */
    cp_session here;         /* a copy, for visits by the thread that shows the results */
    cp_visit visit;
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    job *jobs;
    int slots, read, taken, shown;
    bool reading, stopped;   /* more may be read; nothing more is wanted */
    size_t photo_bytes;      /* of jobs read and not shown */
    int computing, tokens;   /* visits that compute now; at most */
    int working, returning;  /* workers that have not ended; jobs that are about to be returned */
    char buffer[LINE_MAX_BYTES]; /* of stdin, from `line` to `filled` */
    size_t line, filled;
    bool cut; /* the line at hand began before the buffer */
    bool begun; /* the first line of stdin has been looked at */
};
typedef struct cp_list list;

static job *job_of(list *l, int k) { return &l->jobs[k % l->slots]; }

static void lock(list *l) { pthread_mutex_lock(&l->lock); }

static void unlock(list *l)
{
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void wait_for_change(list *l) { pthread_cond_wait(&l->changed, &l->lock); }

static bool is_stopped(list *l)
{
    lock(l);
    bool stopped = l->stopped;
    unlock(l);
    return stopped;
}

static void fail_job(job *j, cp_status status)
{
    j->status = status;
    j->message = strdup(cp_error());
}

static size_t photo_bytes(const job *j)
{
    return j->item.photo.rgb ? (size_t)j->item.photo.w * (size_t)j->item.photo.h * 3 : 0;
}

static void free_job(job *j)
{
    cp_picture_free(&j->item.photo);
    cp_free(j->input);
    free(j->path);
    free(j->out);
    free(j->err);
    free(j->message);
    *j = (job){0};
}

/* ---------------------------------------------------------------- reading */

/* Waits for input without being deaf to `stopped`; false at the end, too. */
static bool fill_buffer(list *l)
{
    memmove(l->buffer, l->buffer + l->line, l->filled - l->line);
    l->filled -= l->line;
    l->line = 0;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!is_stopped(l)) {
        if (poll(&input, 1, 100) < 1)
            continue;
        ssize_t n = read(STDIN_FILENO, l->buffer + l->filled, sizeof l->buffer - l->filled);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        l->filled += n > 0 ? (size_t)n : 0;
        return n > 0;
    }
    return false;
}

/* The next line that is not empty, without blanks at its ends, to be freed; NULL: there is none. Of a line too long for a
 * path only the beginning. *status: CP_EINPUT where stdin is no such text, with the line as it is. */
static char *next_line(list *l, cp_status *status)
{
    for (bool more = true; more;) {
        const char *from = l->buffer + l->line, *end = memchr(from, '\n', l->filled - l->line);
        bool full = !end && l->filled - l->line == sizeof l->buffer;
        if (!end && !full && (more = fill_buffer(l)))
            continue;
        from = l->buffer + l->line;
        size_t length = end ? (size_t)(end - from) : l->filled - l->line, mark = 0;
        bool rest = l->cut; /* of a long line, whose beginning has been taken */
        if (!l->begun)
            *status = cp_text_begin("list of images", "stdin", from, length + (end != NULL), &mark);
        l->begun = true;
        l->line += length + (end != NULL);
        l->cut = full;
        cp_line line = cp_line_trim(from + mark, length - mark);
        if ((line.length && !rest) || *status)
            return strndup(line.text, line.length);
    }
    return NULL;
}

static char *next_path(list *l, int k, cp_status *status)
{
    const cp_session *s = l->session;
    if (s->n_images == 0)
        return next_line(l, status);
    return k < s->n_images ? strdup(s->images[k]) : NULL;
}

static void read_job(list *l, job *j)
{
    cp_session *s = l->session;
    cp_status status = CP_ERESOURCE;
    if ((j->input = cp_alloc_dirty(s->c * s->h * s->w, sizeof *j->input, "network input")))
        status = cp_item_read(s, j->path, &j->item, j->input);
    if (status)
        fail_job(j, status);
}

static void *reader(void *user)
{
    list *l = user;
    for (int k = 0;; k++) {
        lock(l);
        while (!l->stopped && (k >= l->shown + l->slots || l->photo_bytes > PHOTO_CAP))
            wait_for_change(l);
        bool stopped = l->stopped;
        unlock(l);
        cp_status status = CP_OK;
        char *path = stopped ? NULL : next_path(l, k, &status);
        if (!path)
            break;
        job *j = job_of(l, k);
        *j = (job){.path = path};
        if (status)
            fail_job(j, status);
        else
            read_job(l, j);
        j->item.index = (size_t)k;
        lock(l);
        l->photo_bytes += photo_bytes(j);
        l->read = k + 1;
        unlock(l);
        if (status)
            break;
    }
    lock(l);
    l->reading = false;
    unlock(l);
    return NULL;
}

/* ---------------------------------------------------------------- visits */

static job *find_returned(list *l)
{
    for (int k = l->shown; k < l->taken; k++)
        if (job_of(l, k)->returned)
            return job_of(l, k);
    return NULL;
}

/* The next job to be visited, or NULL when no more will come. Locked. */
static job *take_job(list *l)
{
    job *returned;
    while (!(returned = find_returned(l)) && !l->stopped && l->taken == l->read && (l->reading || l->returning))
        wait_for_change(l);
    if (l->stopped || (!returned && l->taken == l->read))
        return NULL;
    if (!returned)
        return job_of(l, l->taken++);
    returned->returned = false;
    return returned;
}

static void finish_job(list *l, job *j)
{
    lock(l);
    j->finished = true;
    unlock(l);
}

static void visit_job(list *l, cp_session *s, job *j)
{
    float *own = s->input;
    s->input = j->input;
    cp_status status = cp_item_forward(s, &j->item);
    if (!status) {
        cp_files_begin();
        status = cp_files_end(l->visit(s, &j->item, l->user));
    }
    s->input = own;
    if (status)
        fail_job(j, status);
}

static void enter(list *l)
{
    lock(l);
    while (l->computing >= l->tokens)
        wait_for_change(l);
    l->computing++;
    unlock(l);
}

static void leave(list *l)
{
    lock(l);
    l->computing--;
    unlock(l);
}

void cp_list_pause(const cp_session *s)
{
    if (s->running)
        leave(s->running);
}

void cp_list_resume(const cp_session *s)
{
    if (s->running)
        enter(s->running);
}

typedef struct {
    list *l;
    cp_session session; /* a frame, an output and a share of -mem of its own */
    cp_options options;
    int gpu;        /* -1: where all else is */
    bool own_frame; /* not the session's */
    pthread_t thread;
    bool started;
} worker;

/* The visit's text is kept until its turn comes, so that it tears neither another's nor the progress line. */
static void visit_kept(list *l, cp_session *s, job *j)
{
    FILE *out = s->out, *err = s->err;
    s->out = open_memstream(&j->out, &j->out_bytes);
    s->err = open_memstream(&j->err, &j->err_bytes);
    if (s->out && s->err)
        visit_job(l, s, j);
    else
        fail_job(j, cp_fail(CP_ERESOURCE, "%s: out of memory", j->path));
    if (s->out)
        fclose(s->out);
    if (s->err)
        fclose(s->err);
    s->out = out;
    s->err = err;
}

/* False where it failed for want of a GPU's memory. */
static bool visit_apart(worker *w, job *j)
{
    cp_device_was_short();
    enter(w->l);
    visit_kept(w->l, &w->session, j);
    leave(w->l);
    return j->status != CP_ERESOURCE || !cp_device_was_short();
}

/* As if it had not been visited. */
static void forget_visit(job *j)
{
    free(j->out), free(j->err), free(j->message);
    j->out = j->err = j->message = NULL;
    j->out_bytes = j->err_bytes = 0;
    j->status = CP_OK;
}

static void end_worker(worker *w)
{
    if (w->own_frame)
        cp_frame_free(w->session.frame), w->session.frame = NULL;
}

/* The memory is too short for all workers: this one gives its own back, and the job to the others. False: there are
 * none. */
static bool give_way(worker *w, job *j)
{
    list *l = w->l;
    lock(l);
    bool last = l->working == 1;
    l->working -= !last;
    l->returning += !last;
    unlock(l);
    fprintf(cp_stderr(), "critpath: %s; going on with fewer images at a time\n",
            j->message ? j->message : "GPU: out of memory");
    forget_visit(j);
    if (last)
        return false;
    end_worker(w);
    lock(l);
    j->returned = true;
    l->returning--;
    unlock(l);
    return true;
}

static void *work(void *user)
{
    worker *w = user;
    list *l = w->l;
    if (w->gpu >= 0)
        cp_set_thread_device(w->gpu);
    for (;;) {
        lock(l);
        job *j = take_job(l);
        unlock(l);
        if (!j)
            break;
        if (!j->status && !visit_apart(w, j)) {
            if (give_way(w, j))
                return NULL;
            visit_apart(w, j); /* alone now */
        }
        finish_job(l, j);
    }
    end_worker(w);
    lock(l);
    l->working--;
    unlock(l);
    return NULL;
}

/* ---------------------------------------------------------------- results in order */

/* Shows the results of job k; CP_EINPUT is said and kept, another failure ends the list. */
static cp_status show(job *j, cp_status first)
{
    FILE *err = cp_stderr();
    if (j->err_bytes)
        fwrite(j->err, 1, j->err_bytes, err);
    if (j->out_bytes)
        fwrite(j->out, 1, j->out_bytes, stdout);
    fflush(stdout); /* whoever writes the next path may wait for it; main looks at errors */
    if (!j->status)
        return first;
    if (j->status != CP_EINPUT) /* the next image would fare no better */
        return cp_fail(j->status, "%s", j->message ? j->message : "list of images: out of memory");
    fprintf(err, "critpath: %s\n", j->message ? j->message : "out of memory");
    return first ? first : CP_EINPUT;
}

/* Takes the jobs in order, visiting each here where there are no workers. */
static cp_status show_all(list *l, bool visit_here, int *seen)
{
    cp_session *s = l->session;
    cp_status first = CP_OK;
    /* Whoever types the paths sees how far it is. */
    bool typed = s->n_images == 0 && isatty(STDIN_FILENO);
    cp_progress *progress = cp_progress_start_list(s->command->name, s->n_images, s->options->quiet || typed);
    for (;; ++*seen) {
        job *j = job_of(l, *seen);
        lock(l);
        if (visit_here) {
            j = take_job(l);
        } else {
            while (*seen < l->read ? !j->finished : l->reading)
                wait_for_change(l);
            j = *seen < l->read ? j : NULL;
        }
        unlock(l);
        if (!j)
            break;
        if (visit_here) {
            if (!j->status)
                visit_kept(l, &l->here, j);
            finish_job(l, j);
        }
        first = show(j, first);
        cp_progress_update(progress, *seen + 1);
        if (first && first != CP_EINPUT) {
            ++*seen;
            break;
        }
        size_t bytes = photo_bytes(j);
        free_job(j);
        lock(l);
        l->photo_bytes -= bytes;
        l->shown++;
        unlock(l);
    }
    cp_progress_end(&progress);
    return first;
}

/* ---------------------------------------------------------------- how many at once */

/* Methods that need little more than the frame. The others take -mem for themselves and fill all threads. */
static bool is_light(const char *method)
{
    return !method || !strcmp(method, "mct") || !strcmp(method, "gradient") || !strcmp(method, "random") ||
           !strcmp(method, "active");
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
    return n > MOST_WORKERS ? MOST_WORKERS : n > 1 ? n : 1;
}

static cp_status make_frame(worker *w)
{
    int here = cp_device();
    cp_status status = w->gpu >= 0 ? cp_set_thread_device(w->gpu) : CP_OK;
    if (!status)
        status = cp_frame_create(w->session.model, 1, &w->session.frame);
    if (w->gpu >= 0)
        cp_set_thread_device(here);
    return status;
}

/* Sessions for n workers, on the GPUs in turn; fewer where memory ends. The first uses the session's own frame. */
static int make_workers(list *l, int n, worker *workers)
{
    int n_gpus = l->session->n_gpus;
    for (int i = 0; i < n; i++) {
        workers[i] = (worker){.l = l, .session = *l->session, .options = *l->session->options};
        workers[i].session.running = l;
        workers[i].gpu = n_gpus ? l->session->gpus[i % n_gpus] : -1;
        workers[i].own_frame = i > 0;
        if (i && make_frame(&workers[i])) {
            cp_note(l->session, "%s; %d image%s at a time", cp_error(), i, i > 1 ? "s" : "");
            return i;
        }
    }
    return n;
}

static void start_workers(list *l, int n, worker *workers)
{
    int threads = cp_threads();
    int most = threads > l->session->n_gpus ? threads : l->session->n_gpus;
    l->tokens = n < most ? n : most;
    cp_set_threads(threads / l->tokens > 1 ? threads / l->tokens : 1);
    l->working = n;
    size_t mem = l->session->options->mem;
    if (cp_device() >= 0) /* whatever is free is shared */
        mem = cp_frame_memory(NULL, mem, SIZE_MAX) * (size_t)(l->session->n_gpus > 1 ? l->session->n_gpus : 1);
    for (int i = 0; i < n; i++) {
        workers[i].options.mem = mem / (size_t)n;
        if (cp_device() >= 0 && workers[i].options.mem < cp_frame_bytes(l->session->model, 1, 1))
            workers[i].options.mem = cp_frame_bytes(l->session->model, 1, 1); /* the frame is there already */
        workers[i].session.options = &workers[i].options;
        workers[i].started = !pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (!workers[i].started) {
            lock(l);
            l->working--;
            unlock(l);
        }
    }
}

cp_status cp_list_run(cp_session *s, bool together, cp_visit visit, void *user, int *seen)
{
    cp_status status = CP_ERESOURCE;
    int n = together ? count_workers(s) : 1;
    pthread_t read_thread;
    bool reading = false, working = false;
    int error;
    *seen = 0;
    list *l = cp_alloc(1, sizeof *l, "list of images");
    worker *workers = cp_alloc((size_t)n, sizeof *workers, "list of images");
    sigset_t all, before;
    if (!l || !workers)
        goto done;
    *l = (list){.session = s, .here = *s, .visit = visit, .user = user, .slots = n + AHEAD, .reading = true,
                .tokens = n};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    if (!(l->jobs = cp_alloc((size_t)l->slots, sizeof *l->jobs, "list of images")))
        goto done;
    if (n > 1)
        n = make_workers(l, n, workers);
    sigfillset(&all); /* signals are for this thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&read_thread, NULL, reader, l);
    reading = !error;
    if (reading && n > 1)
        start_workers(l, n, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!reading) {
        status = cp_fail(CP_ERESOURCE, "list of images: no thread to read them: %s", strerror(error));
        goto done;
    }
    for (int i = 0; i < n; i++)
        working |= workers[i].started;
    status = show_all(l, !working, seen);
    lock(l);
    l->stopped = true;
    unlock(l);
done:
    if (reading)
        pthread_join(read_thread, NULL);
    for (int i = 0; workers && i < n; i++) {
        if (workers[i].started)
            pthread_join(workers[i].thread, NULL);
        end_worker(&workers[i]);
    }
    if (n > 1)
        cp_set_threads(s->options->threads);
    for (int k = 0; l && l->jobs && k < l->slots; k++)
        free_job(&l->jobs[k]);
    if (l)
        cp_free(l->jobs);
    cp_free(workers);
    cp_free(l);
    return status;
}
