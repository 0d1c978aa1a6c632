#include "cli/gen.h"

#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/progress.h"

static cp_status add(cp_gen_answers *a, size_t picture, const cp_detection *detection, int class_id)
{
    if (a->n == a->room) {
        size_t room = a->room ? 2 * a->room : 256;
        cp_gen_sample *more = realloc(a->sample, room * sizeof *more);
        if (!more)
            return cp_fail(CP_ERESOURCE, "gen: out of memory for %zu answers", room);
        a->sample = more;
        a->room = room;
    }
    cp_gen_sample *s = &a->sample[a->n];
    s->picture = picture;
    cp_status status = cp_gen_answer_of(a->session->model, detection, class_id, &s->answer);
    a->n += !status;
    return status;
}

static cp_status take(cp_gen_answers *a, size_t picture)
{
    cp_session *s = a->session;
    cp_item item = {0};
    cp_prediction prediction = {0};
    cp_status status = cp_item_load(s, a->picture[picture], &item, s->input);
    if (status == CP_EINPUT) {
        fprintf(cp_stderr(), "critpath: %s\n", cp_error());
        a->unreadable++;
        return CP_OK;
    }
    if (!status)
        status = cp_item_forward(s, &item);
    if (!status)
        status = cp_predict(s, &item, &prediction);
    if (!status && prediction.kind == CP_CLASSIFIER)
        status = add(a, picture, NULL, prediction.top[0]);
    for (int k = 0; k < prediction.n_detections && k < CP_GEN_BOXES && !status; k++)
        status = add(a, picture, prediction.ranked[k], prediction.ranked[k]->class_id);
    cp_prediction_free(&prediction);
    cp_picture_free(&item.photo);
    return status;
}

cp_status cp_gen_answers_read(cp_session *session, char **pictures, size_t n, cp_gen_answers *a)
{
    cp_status status = CP_OK;
    *a = (cp_gen_answers){.session = session, .picture = pictures, .n_pictures = n};
    cp_progress *progress = cp_progress_start_list("answers", (int)n, session->options->quiet);
    for (size_t i = 0; i < n && !status; i++) {
        status = take(a, i);
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    if (!status && !a->n)
        status = cp_fail(CP_EINPUT, "gen: none of %zu pictures has an answer", n);
    return status;
}

void cp_gen_answers_free(cp_gen_answers *a)
{
    for (size_t i = 0; i < a->n; i++)
        cp_gen_answer_free(&a->sample[i].answer);
    free(a->sample);
}

cp_status cp_gen_answers_input(void *user, size_t picture, float *input)
{
    cp_gen_answers *a = user;
    cp_item item = {0};
    cp_status status = cp_item_load(a->session, a->picture[picture], &item, input);
    cp_picture_free(&item.photo);
    return status;
}
