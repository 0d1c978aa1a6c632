#include "io/progress.h"

#include "io/error.h"

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
    char what[64], detail[160];
    double total, done; /* total 0: unknown */
    bool is_list;
    double started, drawn; /* seconds; drawn < 0: never */
};

static atomic_bool shown;

bool cp_progress_shown(void) { return atomic_load(&shown); }

FILE *cp_stderr(void)
{
    fflush(stdout);
    if (atomic_exchange(&shown, false)) fputs("\r\033[K", stderr);
    return stderr;
}

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

/* Returns the length. */
static int line_text(const cp_progress *p, double elapsed, char *line, size_t bytes)
{
    char left[32], spent[32];
    double share = p->total > 0 ? p->done / p->total : 0;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    duration_text(elapsed, spent, sizeof spent);
    duration_text(share > 0 ? ceil(elapsed * (1 - share) / share) : INFINITY, left, sizeof left);
    const char *gap = *p->detail ? "  " : "";
    if (p->is_list && !(p->total > 0))
        return snprintf(line, bytes, "%s %.0f  %s%s%s", p->what, p->done, spent, gap, p->detail);
    if (p->is_list)
        return snprintf(line, bytes, "%s %.0f/%.0f  %s  %s left%s%s", p->what, p->done, p->total, spent, left, gap, p->detail);
    return snprintf(line, bytes, "%s %3.0f%%  %s  %s left%s%s", p->what, floor(100 * share), spent, left, gap, p->detail);
}

static void draw(cp_progress *p, double time)
{
    char line[512];
    int n = line_text(p, time - p->started, line, sizeof line);
    struct winsize size;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    if (n > columns - 1) n = columns - 1; /* a wrapped line could not be taken back */
    while (n > 0 && ((unsigned char)line[n] & 0xc0) == 0x80) n--; /* nor is half a character a character */
    fflush(stdout);
    atomic_store(&shown, true); /* before the line itself: a signal may come as soon as it can be read */
    fprintf(stderr, "\r%.*s\033[K", n, line);
    fflush(stderr);
    p->drawn = time;
}

static cp_progress *start(const char *what, double total, bool is_list)
{
    cp_progress *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->what, sizeof p->what, "%s", what);
    p->total = total;
    p->is_list = is_list;
    p->started = now();
    p->drawn = -1;
    return p;
}

cp_progress *cp_progress_start(const char *what, double total, bool quiet)
{
    return quiet || !(total > 0) || !isatty(STDERR_FILENO) ? NULL : start(what, total, false);
}

cp_progress *cp_progress_start_list(const char *what, int total, bool quiet)
{
    return quiet || !isatty(STDERR_FILENO) ? NULL : start(what, total, true);
}

static void set(cp_progress *p, double done)
{
    p->done = done;
    double time = now();
    bool due = p->drawn < 0 || time - p->drawn >= RENEW_AFTER || !atomic_load(&shown);
    if (time - p->started >= FIRST_AFTER && due) draw(p, time);
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

void cp_progress_say(cp_progress *p, const char *detail)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    cp_printable(detail, p->detail, sizeof p->detail);
    set(p, p->done);
    pthread_mutex_unlock(&p->lock);
}

void cp_progress_end(cp_progress **inout)
{
    cp_progress *p = *inout;
    *inout = NULL;
    if (!p) return;
    if (p->drawn >= 0) fflush(cp_stderr());
    pthread_mutex_destroy(&p->lock);
    free(p);
}
