/* The workers of a list: threads that visit images at the same time, each with a session of its own. */
#include "cli/list_internal.h"

#include "engine/memory.h"
#include "io/error.h"
#include "io/progress.h"

#include <stdlib.h>

static void visit_job(cp_list *l, cp_session *s, cp_list_job *j)
{
    float *own = s->input;
    s->input = j->input;
    cp_status status = cp_item_forward(s, &j->item);
    if (!status)
        status = cp_visit_whole(l->visit, s, &j->item, l->user);
    s->input = own;
    if (status)
        cp_list_fail(j, status);
}

static void enter(cp_list *l)
{
    cp_list_lock(l);
    while (l->computing >= l->tokens)
        cp_list_wait(l);
    l->computing++;
    cp_list_unlock(l);
}

static void leave(cp_list *l)
{
    cp_list_lock(l);
    l->computing--;
    cp_list_unlock(l);
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

void cp_list_visit(cp_list *l, cp_session *s, cp_list_job *j)
{
    FILE *out = s->out, *err = s->err;
    s->out = open_memstream(&j->out, &j->out_bytes);
    s->err = open_memstream(&j->err, &j->err_bytes);
    if (s->out && s->err)
        visit_job(l, s, j);
    else
        cp_list_fail(j, cp_fail(CP_ERESOURCE, "%s: out of memory", j->path));
    if (s->out)
        fclose(s->out);
    if (s->err)
        fclose(s->err);
    s->out = out;
    s->err = err;
}

/* False where it failed for want of a GPU's memory. */
static bool visit_apart(cp_worker *w, cp_list_job *j)
{
    cp_device_was_short();
    enter(w->l);
    cp_list_visit(w->l, &w->session, j);
    leave(w->l);
    return j->status != CP_ERESOURCE || !cp_device_was_short();
}

/* As if it had not been visited. */
static void forget_visit(cp_list_job *j)
{
    free(j->out), free(j->err), free(j->message);
    j->out = j->err = j->message = NULL;
    j->out_bytes = j->err_bytes = 0;
    j->status = CP_OK;
}

void cp_list_end_worker(cp_worker *w)
{
    if (w->own_frame)
        cp_frame_free(w->session.frame), w->session.frame = NULL;
}

/* The memory is too short for all workers: this one gives its own back, and the job to the others. False: there are
 * none. */
static bool give_way(cp_worker *w, cp_list_job *j)
{
    cp_list *l = w->l;
    cp_list_lock(l);
    bool last = l->working == 1;
    l->working -= !last;
    l->returning += !last;
    cp_list_unlock(l);
    fprintf(cp_stderr(), "critpath: %s; going on with fewer images at a time\n",
            j->message ? j->message : "GPU: out of memory");
    forget_visit(j);
    if (last)
        return false;
    cp_list_end_worker(w);
    cp_list_lock(l);
    j->returned = true;
    l->returning--;
    cp_list_unlock(l);
    return true;
}

static void *work(void *user)
{
    cp_worker *w = user;
    cp_list *l = w->l;
    if (w->gpu >= 0)
        cp_set_thread_device(w->gpu);
    for (;;) {
        cp_list_lock(l);
        cp_list_job *j = cp_list_take(l);
        cp_list_unlock(l);
        if (!j)
            break;
        if (!j->status && !visit_apart(w, j)) {
            if (give_way(w, j))
                return NULL;
            visit_apart(w, j); /* alone now */
        }
        cp_list_finish(l, j);
    }
    cp_list_end_worker(w);
    cp_list_lock(l);
    l->working--;
    cp_list_unlock(l);
    return NULL;
}

static cp_status make_frame(cp_worker *w)
{
    int here = cp_device();
    cp_status status = w->gpu >= 0 ? cp_set_thread_device(w->gpu) : CP_OK;
    if (!status)
        status = cp_frame_create(w->session.model, 1, &w->session.frame);
    if (w->gpu >= 0)
        cp_set_thread_device(here);
    return status;
}

int cp_list_make_workers(cp_list *l, int n, cp_worker *workers)
{
    int n_gpus = l->session->n_gpus;
    for (int i = 0; i < n; i++) {
        workers[i] = (cp_worker){.l = l, .session = *l->session, .options = *l->session->options};
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

void cp_list_start_workers(cp_list *l, int n, cp_worker *workers)
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
            cp_list_lock(l);
            l->working--;
            cp_list_unlock(l);
        }
    }
}
