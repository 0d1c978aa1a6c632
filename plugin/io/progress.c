#include "io/progress.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FIRST_AFTER 0.5 /* seconds */
#define RENEW_AFTER 0.1

struct cp_progress {
    pthread_mutex_t lock;
    char what[64];
    double total, done;
    double started, drawn; /* seconds; drawn < 0: never */
};

static atomic_bool shown;

bool cp_progress_shown(void) { return atomic_load(&shown); }

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void duration_text(double seconds, char *text, size_t bytes)
{
    if (!(seconds < 359999)) snprintf(text, bytes, "--");
    else if (seconds < 3600) snprintf(text, bytes, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
    else snprintf(text, bytes, "%d:%02d:%02d", (int)seconds / 3600, (int)seconds / 60 % 60, (int)seconds % 60);
}

static void draw(cp_progress *p, double time)
{
    char left[32], spent[32], line[256];
    double share = p->done / p->total, elapsed = time - p->started;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    duration_text(elapsed, spent, sizeof spent);
    duration_text(share > 0 ? ceil(elapsed * (1 - share) / share) : INFINITY, left, sizeof left);
    int n = snprintf(line, sizeof line, "%s %3.0f%%  %s  %s left", p->what, floor(100 * share), spent, left);
    struct winsize size;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    if (n > columns - 1) n = columns - 1; /* a wrapped line could not be taken back */
    atomic_store(&shown, true); /* before the line itself: a signal may come as soon as it can be read */
    fprintf(stderr, "\r%.*s\033[K", n, line);
    fflush(stderr);
    p->drawn = time;
}

cp_progress *cp_progress_start(const char *what, double total, bool quiet)
{
    if (quiet || !(total > 0) || !isatty(STDERR_FILENO)) return NULL;
    cp_progress *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->what, sizeof p->what, "%s", what);
    p->total = total;
    p->started = now();
    p->drawn = -1;
    return p;
}

static void set(cp_progress *p, double done)
{
    p->done = done;
    double time = now();
    if (time - p->started >= FIRST_AFTER && (p->drawn < 0 || time - p->drawn >= RENEW_AFTER)) draw(p, time);
}

void cp_progress_update(cp_progress *p, double done)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    set(p, done);
    pthread_mutex_unlock(&p->lock);
}

void cp_progress_add(cp_progress *p, double work)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    set(p, p->done + work);
    pthread_mutex_unlock(&p->lock);
}

void cp_progress_end(cp_progress **inout)
{
    cp_progress *p = *inout;
    *inout = NULL;
    if (!p) return;
    if (p->drawn >= 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        atomic_store(&shown, false);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}
