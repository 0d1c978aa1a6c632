/* Opens a session, walks over its images, closes it. */
#include "cli/run_images.h"

#include "cli/no_detection.h"
#include "cli/walk.h"
#include "io/error.h"

/* before: NULL, or called once before the visits, and also where there are none. */
static cp_status each(cp_session *s, cp_item *item, const cp_request *request,
                      cp_status (*before)(cp_session *, cp_item *, const cp_request *, const cp_prediction *, int n),
                      cp_response_visit visit, void *user, int *n)
{
    cp_prediction prediction = {0};
    cp_subject *subjects = NULL;
    *n = 0;
    cp_status status = cp_predict(s, item, &prediction);
    if (!status)
        status = cp_choose_subjects(s, item, request, &prediction, &subjects, n);
    if (!status && before)
        status = before(s, item, request, &prediction, *n);
    for (int i = 0; i < *n && !status; i++)
        status = visit(s, item, &subjects[i], user);
    cp_free(subjects);
    cp_prediction_free(&prediction);
    return status;
}

cp_status cp_each_response(cp_session *s, cp_item *item, const cp_request *request, cp_response_visit visit, void *user, int *n)
{
    return each(s, item, request, NULL, visit, user, n);
}

static cp_status announce(cp_session *s, cp_item *item, const cp_request *request, const cp_prediction *prediction, int n)
{
    if (!n)
        return cp_nothing_report(s, item, request, prediction);
    if (s->list && !s->options->json) {
        cp_print_name(s->out, item->path);
        fputc('\n', s->out);
    }
    return CP_OK;
}

static cp_status visit_alone(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    const cp_subject_visit *visit = user;
    return (*visit)(s, item, subject);
}

cp_status cp_each_subject(cp_session *s, cp_item *item, const cp_request *request, cp_subject_visit visit)
{
    int n;
    return each(s, item, request, announce, visit_alone, &visit, &n);
}

static cp_status run_on_images(const cp_command *command, const cp_options *options, bool together, cp_visit visit)
{
    cp_session session;
    cp_request request;
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = cp_request_read(&session, &request);
    if (!status)
        status = together ? cp_session_each_together(&session, visit, &request) : cp_session_each(&session, visit, &request);
    cp_session_close(&session);
    return status;
}

cp_status cp_run_on_images(const cp_command *command, const cp_options *options, cp_visit visit)
{
    return run_on_images(command, options, false, visit);
}

cp_status cp_run_on_images_together(const cp_command *command, const cp_options *options, cp_visit visit)
{
    return run_on_images(command, options, true, visit);
}
