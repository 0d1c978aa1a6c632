/* Opens a session, walks over its images, closes it. */
#include "cli/run_images.h"

#include "cli/no_detection.h"
#include "cli/walk.h"
#include "io/error.h"

cp_status cp_each_subject(cp_session *s, cp_item *item, const cp_request *request, cp_subject_visit visit)
{
    cp_prediction prediction = {0};
    cp_subject *subjects = NULL;
    int n = 0;
    cp_status status = cp_predict(s, item, &prediction);
    if (!status)
        status = cp_choose_subjects(s, item, request, &prediction, &subjects, &n);
    if (!status && !n)
        status = cp_nothing_report(s, item, request, &prediction);
    else if (!status && s->list && !s->options->json) {
        cp_print_name(s->out, item->path);
        fputc('\n', s->out);
    }
    for (int i = 0; i < n && !status; i++)
        status = visit(s, item, &subjects[i]);
    cp_free(subjects);
    cp_prediction_free(&prediction);
    return status;
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
