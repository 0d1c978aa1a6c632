/* The ring of jobs that the threads of a list share. */
#include "cli/list_internal.h"

#include "io/error.h"

#include <stdlib.h>
#include <string.h>

cp_list_job *cp_list_job_of(cp_list *l, int k) { return &l->jobs[k % l->slots]; }

void cp_list_lock(cp_list *l) { pthread_mutex_lock(&l->lock); }

void cp_list_unlock(cp_list *l)
{
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void cp_list_wait(cp_list *l) { pthread_cond_wait(&l->changed, &l->lock); }

void cp_list_fail(cp_list_job *j, cp_status status)
{
    j->status = status;
    j->message = strdup(cp_error());
}

size_t cp_list_photo_bytes(const cp_list_job *j)
{
    return j->item.photo.rgb ? (size_t)j->item.photo.w * (size_t)j->item.photo.h * 3 : 0;
}

void cp_list_free_job(cp_list_job *j)
{
    cp_picture_free(&j->item.photo);
    cp_free(j->input);
    free(j->path);
    free(j->out);
    free(j->err);
    free(j->message);
    *j = (cp_list_job){0};
}

static cp_list_job *find_returned(cp_list *l)
{
    for (int k = l->shown; k < l->taken; k++)
        if (cp_list_job_of(l, k)->returned)
            return cp_list_job_of(l, k);
    return NULL;
}

cp_list_job *cp_list_take(cp_list *l)
{
    cp_list_job *returned;
    while (!(returned = find_returned(l)) && !l->stopped && l->taken == l->read && (l->reading || l->returning))
        cp_list_wait(l);
    if (l->stopped || (!returned && l->taken == l->read))
        return NULL;
    if (!returned)
        return cp_list_job_of(l, l->taken++);
    returned->returned = false;
    return returned;
}

void cp_list_finish(cp_list *l, cp_list_job *j)
{
    cp_list_lock(l);
    j->finished = true;
    cp_list_unlock(l);
}
