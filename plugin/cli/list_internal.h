/* The parts of a list run. Jobs wait in a ring: list_reader.c fills it, list_pool.c visits what is in it, list_order.c
 * shows the results in the order of the list; list.c starts and ends them. */
#ifndef CP_CLI_LIST_INTERNAL_H
#define CP_CLI_LIST_INTERNAL_H

#include "cli/list.h"

#include <pthread.h>

enum {
    CP_LIST_WORKERS = 64,            /* visits at once, at most */
    CP_LIST_PHOTO_BYTES = 64 << 20,  /* of photos that wait, where one alone is not larger */
    CP_LIST_LINE_BYTES = 1 << 16     /* of a line of stdin */
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
} cp_list_job;

/* Jobs are numbered; job k is in slot k % slots. Shown <= taken <= read <= shown + slots. */
struct cp_list {
    cp_session *session;     /* the reader's */
    cp_session own_session;  /* a copy, for visits by the thread that shows the results */
    cp_visit visit;
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    cp_list_job *jobs;
    int slots, read, taken, shown;
    bool reading, stopped;   /* more may be read; nothing more is wanted */
    size_t photo_bytes;      /* of jobs read and not shown */
    int computing, tokens;   /* visits that compute now; at most */
    int working, returning;  /* workers that have not ended; jobs that are about to be returned */
    char buffer[CP_LIST_LINE_BYTES]; /* of stdin, from `line` to `filled` */
    size_t line, filled;
    bool cut; /* the line at hand began before the buffer */
    bool begun; /* the first line of stdin has been looked at */
};

/* ---- the ring of jobs, list_jobs.c ---- */

/* The slot of the ring that holds job k, counted from the list's first. Locked. */
cp_list_job *cp_list_job_of(cp_list *l, int k);
void cp_list_lock(cp_list *l);
void cp_list_unlock(cp_list *l); /* wakes whoever waits */
void cp_list_wait(cp_list *l);   /* for a change; locked */
/* Keeps status and message of a failure with the job. */
void cp_list_fail(cp_list_job *job, cp_status status);
size_t cp_list_photo_bytes(const cp_list_job *job);
void cp_list_free_job(cp_list_job *job);
/* The next job to be visited, or NULL when no more will come. Locked. */
cp_list_job *cp_list_take(cp_list *l);
void cp_list_finish(cp_list *l, cp_list_job *job);

/* ---- list_reader.c ---- */

/* A thread: reads and prepares images until the list ends or is stopped. */
void *cp_list_read(void *list);

/* ---- list_pool.c ---- */

typedef struct {
    cp_list *l;
    cp_session session; /* a frame, an output and a share of -mem of its own */
    cp_options options;
    int gpu;        /* -1: where all else is */
    bool own_frame; /* not the session's */
    pthread_t thread;
    bool started;
} cp_worker;

/* Runs the visit; what it writes is kept with the job until its turn comes, so that it tears neither another's nor the
 * progress line. */
void cp_list_visit(cp_list *l, cp_session *session, cp_list_job *job);
/* Sessions for n workers, on the GPUs in turn; fewer where memory ends. The first uses the session's own frame. */
int cp_list_make_workers(cp_list *l, int n, cp_worker *workers);
void cp_list_start_workers(cp_list *l, int n, cp_worker *workers);
void cp_list_end_worker(cp_worker *worker);

/* ---- list_order.c ---- */

/* Shows the results of the jobs in order, visiting each here where there are no workers. *seen: images begun. */
cp_status cp_list_show_all(cp_list *l, bool visit_here, int *seen);

#endif
