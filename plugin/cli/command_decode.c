/* `decode`: what a path stands for, as pictures of a list and as images that are made. */
#include "cli/commands.h"
#include "cli/decoding.h"
#include "cli/no_detection.h"
#include "cli/output_path.h"
#include "cli/prediction.h"
#include "cli/summary.h"
#include "io/atomic.h"
#include "io/error.h"
#include "path/path_file.h"

#include <math.h>
#include <string.h>

static cp_status check_options(const cp_session *s)
{
    const cp_options *o = s->options;
    if (s->n_images != 1)
        return cp_fail(CP_EINPUT, "decode: one photo at a time, %d given", s->n_images);
    if (o->sparsity.n > 1)
        return cp_fail(CP_EINPUT, "decode: one -sparsity at a time, %d given", o->sparsity.n);
    if (o->path && (o->sparsity.n || o->selectors))
        return cp_fail(CP_EINPUT, "decode: -path is a path already, it goes without %s", o->sparsity.n ? "-sparsity" : "-selectors");
    if (o->parameters == CP_PARAMETERS_OF_MACO && !o->spectrum && !o->samples)
        return cp_fail(CP_EINPUT, "decode: -parameters maco needs the spectrum of natural pictures: -spectrum LIST");
    return CP_OK;
}

static cp_status set_response(const cp_decoding *d)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "text", cp_json_text(d->subject->response.text));
    bad |= cp_json_set(object, "label", cp_json_text(d->subject->label));
    bad |= cp_json_set(object, "value", cp_json_real(cp_frame_response(d->session->frame, 0, &d->subject->response)));
    bad |= cp_json_set(object, "path", cp_json_text(d->about));
    bad |= cp_json_set(object, "kept", json_integer((json_int_t)cp_path_count(d->path)));
    bad |= cp_json_set(d->json, "response", object);
    return bad ? CP_ERESOURCE : CP_OK;
}

static cp_status finish(cp_decoding *d)
{
    char path[4096];
    cp_status status = cp_output_path(d->session, d->item, "", ".json", path);
    if (!status)
        status = cp_json_write_file(d->json, path);
    if (!status && d->session->options->json)
        return cp_json_write_stream(d->json, d->session->out);
    if (!status)
        cp_print_files(d->session->out, path, NULL, NULL, NULL);
    return status;
}

/* In the order in which they are cheap and telling; without a word it is synthesis. Samples come last, since the run of the photo
 * is gone after them. */
static cp_status run_parts(cp_decoding *d)
{
    const cp_options *o = d->session->options;
    cp_status status = set_response(d);
    if (!status && !o->json)
        fprintf(d->session->out, "response: %s = %.6g\npath: %s\n", d->subject->response.text,
                cp_frame_response(d->session->frame, 0, &d->subject->response), d->about);
    fflush(d->session->out); /* images take a while */
    if (!status && (o->synthesis || (!o->accentuate && !o->neuron && !o->samples)))
        status = cp_decode_synthesis(d);
    if (!status && o->neuron)
        status = cp_decode_neurons(d);
    if (!status && o->accentuate)
        status = cp_decode_accentuation(d);
    if (!status && o->samples)
        status = cp_decode_samples(d);
    if (!status)
        status = finish(d);
    /* Said one by one; the results are there, as after any list with such pictures. */
    return status || !d->unreadable ? status : cp_fail(CP_EINPUT, "-samples: %zu pictures could not be read and are left out", d->unreadable);
}

static cp_status decode_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    cp_pathways pathways = {0};
    cp_path *given = NULL;
    cp_file_meta meta;
    char kept[32], all[32], reached[120];
    const cp_options *asked = s->options;
    cp_options selecting = *asked;
    selecting.rate = 0; /* -rate is the ascent's */
    cp_decoding d = {.session = s, .item = item, .subject = subject, .json = cp_item_json(s, item)};
    s->options = &selecting;
    cp_status status = d.json ? cp_pathways_find(s, item, &subject->response, false, &pathways) : CP_ERESOURCE;
    s->options = asked;
    if (!status)
        status = cp_scores_array(pathways.scores, &d.score);
    if (!status && s->options->path)
        status = cp_path_read(s->options->path, s->model, NULL, &given, &meta);
    if (!status) {
        d.path = given ? given : pathways.pathway[0].path;
        snprintf(d.about, sizeof d.about, "%s, %s of %s neurons%s%s", given ? "of -path" : s->options->method,
                 cp_grouped(cp_path_count(d.path), kept), cp_grouped(cp_model_neuron_count(s->model), all), given ? "" : ", ",
                 given ? "" : cp_reached_text(s, &pathways.pathway[0], reached));
        status = run_parts(&d);
    }
    cp_path_free(given);
    cp_pathways_free(&pathways);
    json_decref(d.json);
    return status;
}

static cp_status decode_photo(cp_session *s, cp_item *item)
{
    cp_request request;
    cp_nothing nothing;
    cp_prediction prediction = {0};
    cp_subject *subjects = NULL;
    int n = 0;
    cp_status status = cp_request_read(s, &request);
    if (!status)
        status = cp_item_read(s, s->images[0], item, s->input);
    if (!status)
        status = cp_item_forward(s, item);
    if (!status)
        status = cp_predict(s, item, &prediction);
    if (!status)
        status = cp_choose_subjects(s, item, &request, &prediction, &subjects, &n);
    if (!status && !n)
        status = cp_nothing_find(s, item, &request, &nothing);
    if (!status && !n)
        status = cp_fail(CP_EINPUT, "%s: %s; there is nothing to decode", item->path, nothing.text);
    if (!status && n > 1)
        status = cp_fail(CP_EINPUT, "decode: one answer at a time, -box all means %d", n);
    if (!status)
        status = decode_subject(s, item, &subjects[0]);
    cp_free(subjects);
    cp_prediction_free(&prediction);
    return status;
}

cp_status cp_run_decode(const cp_command *command, const cp_options *options)
{
    cp_session session;
    cp_item item = {0};
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = check_options(&session);
    if (!status)
        status = decode_photo(&session, &item);
    cp_picture_free(&item.photo);
    cp_session_close(&session);
    return status;
}
