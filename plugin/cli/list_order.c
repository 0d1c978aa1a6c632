/* What the visits of a list had to say, shown in the order of the list. */
#include "cli/list_internal.h"

#include "io/error.h"
#include "io/progress.h"

#include <stdlib.h>
#include <unistd.h>

/* Shows the results of job k; CP_EINPUT is said and kept, another failure ends the list. */
static cp_status show(cp_list_job *j, cp_status first)
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

cp_status cp_list_show_all(cp_list *l, bool visit_here, int *seen)
{
    cp_session *s = l->session;
    cp_status first = CP_OK;
    /* Whoever types the paths sees how far it is. */
    bool typed = s->n_images == 0 && isatty(STDIN_FILENO);
    cp_progress *progress = cp_progress_start_list(s->command->name, s->n_images, s->options->quiet || typed);
    l->own_session.progress = progress;
    for (;; ++*seen) {
        cp_list_job *j = cp_list_job_of(l, *seen);
        cp_list_lock(l);
        if (visit_here) {
            j = cp_list_take(l);
        } else {
            while (*seen < l->read ? !j->finished : l->reading)
                cp_list_wait(l);
            j = *seen < l->read ? j : NULL;
        }
        cp_list_unlock(l);
        if (!j)
            break;
        if (visit_here) {
            if (!j->status)
                cp_list_visit(l, &l->own_session, j);
            cp_list_finish(l, j);
        }
        first = show(j, first);
        cp_progress_update(progress, *seen + 1);
        if (first && first != CP_EINPUT) {
            ++*seen;
            break;
        }
        size_t bytes = cp_list_photo_bytes(j);
        cp_list_free_job(j);
        cp_list_lock(l);
        l->photo_bytes -= bytes;
        l->shown++;
        cp_list_unlock(l);
    }
    l->own_session.progress = NULL;
    cp_progress_end(&progress);
    return first;
}
