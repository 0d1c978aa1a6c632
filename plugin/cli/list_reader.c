/* The thread that reads the images of a list, from the command line or from stdin, ahead of the visits. */
#include "cli/list_internal.h"

#include "cli/output_path.h"
#include "io/error.h"
#include "io/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_stopped(cp_list *l)
{
    cp_list_lock(l);
    bool stopped = l->stopped;
    cp_list_unlock(l);
    return stopped;
}

/* Waits for input without being deaf to `stopped`; false at the end, too. */
static bool fill_buffer(cp_list *l)
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

/* The next line that is not empty, without blanks at its ends, to be freed; NULL: there is none. Of a line too long
 * for a path only the beginning. *status: CP_EINPUT where stdin is no such text, with the line as it is. */
static char *next_line(cp_list *l, cp_status *status)
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

static char *path_of(cp_list *l, size_t line, cp_status *status)
{
    const cp_session *s = l->session;
    if (s->n_images == 0)
        return next_line(l, status);
    return line < (size_t)s->n_images ? strdup(s->images[line]) : NULL;
}

/* The next line of this shard, from line *line on. Those of the others are not read, but take their names of results
 * away as if they were. */
static char *next_path(cp_list *l, size_t *line, cp_status *status)
{
    cp_session *s = l->session;
    char *path;
    while ((path = path_of(l, *line, status)) && !*status && !cp_shard_has(&s->shard, *line)) {
        cp_item item = {.path = path};
        if (s->list && cp_choose_prefix(s, &item) == CP_ERESOURCE)
            *status = CP_ERESOURCE;
        ++*line;
        if (*status)
            break;
        free(path);
    }
    return path;
}

static void read_job(cp_list *l, cp_list_job *j)
{
    cp_session *s = l->session;
    cp_status status = CP_ERESOURCE;
    if ((j->input = cp_alloc_dirty(s->c * s->h * s->w, sizeof *j->input, "network input")))
        status = cp_item_read(s, j->path, &j->item, j->input);
    if (status)
        cp_list_fail(j, status);
}

void *cp_list_read(void *user)
{
    cp_list *l = user;
    size_t line = 0;
    for (int k = 0;; k++) {
        cp_list_lock(l);
        while (!l->stopped && (k >= l->shown + l->slots || l->photo_bytes > CP_LIST_PHOTO_BYTES))
            cp_list_wait(l);
        bool stopped = l->stopped;
        cp_list_unlock(l);
        cp_status status = CP_OK;
        char *path = stopped ? NULL : next_path(l, &line, &status);
        if (!path)
            break;
        cp_list_job *j = cp_list_job_of(l, k);
        *j = (cp_list_job){.path = path};
        if (status)
            cp_list_fail(j, status);
        else
            read_job(l, j);
        j->item.index = line++;
        cp_list_lock(l);
        l->photo_bytes += cp_list_photo_bytes(j);
        l->read = k + 1;
        cp_list_unlock(l);
        if (status)
            break;
    }
    cp_list_lock(l);
    l->reading = false;
    cp_list_unlock(l);
    return NULL;
}
