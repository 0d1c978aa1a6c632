/* `grad`: the pathway gradient for a path file or for a path selected here, the plain gradient, or another map by name. */
#include "cli/commands.h"
#include "cli/grad_map.h"
#include "cli/no_detection.h"
#include "cli/results.h"
#include "cli/summary.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

typedef struct {
    cp_request request;
    cp_path *path;     /* of -path */
    cp_file_meta meta;
    bool plain;        /* -method gradient */
    bool named;        /* -method names a map of grad_map.h */
} cp_grad_job;

/* Writes and reports one map. pathway NULL: the plain gradient. */
static cp_status write_one(cp_session *s, const cp_item *item, const cp_subject *subject, const cp_pathway *pathway,
                           const float *map)
{
    char npy[4096], png[4096], tag[64], about[CP_DRAWN_TEXT], reason[300], kept[32], all[32], reached[120];
    const char *zero = cp_zero_map_reason(s, map, subject, pathway, reason);
    cp_drawn drawn;
    snprintf(tag, sizeof tag, "%s%s", subject->tag, pathway ? pathway->tag : "");
    if (pathway)
        snprintf(about, sizeof about, "pathway gradient, %s of %s neurons, %s, %s",
                 cp_grouped(cp_path_count(pathway->path), kept), cp_grouped(cp_model_neuron_count(s->model), all),
                 cp_reached_text(s, pathway, reached), cp_choice_name("offpath", s->options->offpath));
    else
        snprintf(about, sizeof about, "gradient of the whole network");
    cp_drawn_make(s, item, subject, about, zero, &drawn);
    const cp_result result = {.item = item, .map = map, .planes = s->c, .drawn = &drawn, .tag = tag};
    cp_status status = cp_result_write(s, CP_RESULT_PICTURE, &result, png);
    if (!status)
        status = cp_result_write(s, CP_RESULT_MAP, &result, npy);
    if (status)
        return status;
    if (!s->options->json) {
        fprintf(s->out, "response: %s = %.6g\nmap: %s%s%s\n", subject->response.text,
                cp_frame_response(s->frame, 0, &subject->response), about, zero ? "; zero everywhere: " : "",
                zero ? zero : "");
        cp_print_files(s->out, png, npy, NULL, NULL);
        return CP_OK;
    }
    json_t *object = cp_item_json(s, item), *line = json_object();
    int bad = cp_json_set(line, "response", cp_json_text(subject->response.text));
    bad |= cp_json_set(line, "value", cp_json_real(cp_frame_response(s->frame, 0, &subject->response)));
    bad |= cp_json_set(line, "method", cp_json_text(s->options->method));
    if (pathway)
        bad |= cp_pathway_json(s, pathway, line);
    bad |= cp_json_set(line, "offpath", pathway ? cp_json_text(cp_choice_name("offpath", s->options->offpath)) : json_null());
    bad |= cp_json_set(line, "zeroed_response", cp_json_real(pathway ? pathway->zeroed_response : NAN));
    bad |= cp_json_set(line, "zero", cp_json_text(zero));
    bad |= cp_json_set(line, "map", cp_json_text(npy));
    bad |= cp_json_set(line, "picture", *png ? cp_json_text(png) : json_null());
    bad |= cp_json_set(line, "drawn", cp_drawn_json(&drawn, (const char *[]){npy}, 1));
    bad |= cp_json_set(object, "grad", line);
    status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

/* The path of -path as the only one of a sweep. */
static cp_status pathway_of_file(cp_session *s, const cp_grad_job *job, const cp_response *response,
                                 cp_pathways *pathways)
{
    *pathways = (cp_pathways){.n = 1, .gradient = NAN, .pathway = cp_alloc(1, sizeof *pathways->pathway, "paths")};
    if (!pathways->pathway)
        return CP_ERESOURCE;
    cp_pathway *pathway = pathways->pathway;
    cp_status status = cp_path_copy(job->path, &pathway->path);
    pathway->asked = job->meta.sparsity_asked;
    pathway->zeroed_response = pathway->gradient_share = pathway->mass_asked = pathway->selection.mass = NAN;
    pathway->channels = cp_path_is_of_channels(job->path);
    pathway->selection.kept = pathway->selection.asked = cp_path_count(job->path);
    pathway->selection.threshold = job->meta.threshold;
    if (cp_model_neuron_count(s->model))
        pathway->selection.sparsity = 1 - (double)pathway->selection.kept / (double)cp_model_neuron_count(s->model);
    snprintf(pathway->text, sizeof pathway->text, "%.6g", job->meta.sparsity_asked);
    return status ? status : cp_path_find_cut(pathway->path, NULL, response, &pathway->cut);
}

static cp_status grad_subject(cp_session *s, cp_item *item, const cp_grad_job *job, const cp_subject *subject)
{
    cp_pathways pathways = {0};
    const cp_response *response = &subject->response;
    cp_status status;
    if (job->named)
        return cp_grad_map_run(s, item, subject);
    if (job->plain) {
        const cp_path *none = NULL;
        float *map = cp_alloc(s->c * s->h * s->w, sizeof *map, "map");
        status = map ? cp_map_frozen(s->frame, 0, response, &none, 1, map) : CP_ERESOURCE;
        if (!status)
            status = write_one(s, item, subject, NULL, map);
        cp_free(map);
        return status;
    }
    status = job->path ? pathway_of_file(s, job, response, &pathways)
                       : cp_pathways_find(s, item, response, true, &pathways);
    if (!status)
        status = cp_pathways_map(s, item, subject, &pathways);
    for (int i = 0; i < pathways.n && !status; i++)
        status = write_one(s, item, subject, &pathways.pathway[i], pathways.pathway[i].map);
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f, select %.3f, map %.3f s; peak memory %zu MB", item->path,
                item->read, item->forward, pathways.scoring, pathways.selecting, pathways.mapping,
                cp_peak_memory() >> 20);
    cp_pathways_free(&pathways);
    return status;
}

static cp_status grad_image(cp_session *s, cp_item *item, void *user)
{
    const cp_grad_job *job = user;
    const cp_options *o = s->options;
    cp_prediction prediction = {0};
    cp_subject *subjects = NULL;
    int n = 0;
    /* A path file brings its response; anything on the command line about the response comes first. */
    bool of_file = job->path && job->meta.response.n && !o->class_name && !o->versus && !o->box && !o->unit;
    cp_status status = cp_predict(s, item, &prediction);
    if (!status && of_file && !(subjects = cp_alloc(1, sizeof *subjects, "response")))
        status = CP_ERESOURCE;
    if (!status && of_file) {
        *subjects = (cp_subject){.response = job->meta.response, .class_id = -1, .versus = -1, .probability = NAN};
        snprintf(subjects->label, sizeof subjects->label, "%s", job->meta.response.text);
        cp_subject_find_detection(s, &prediction, subjects);
        n = 1;
    } else if (!status) {
        status = cp_choose_subjects(s, item, &job->request, &prediction, &subjects, &n);
    }
    if (!status && !n)
        status = cp_nothing_report(s, item, &job->request, &prediction);
    else if (!status && s->list && !o->json) {
        cp_print_name(s->out, item->path);
        fputc('\n', s->out);
    }
    if (!status && n && job->path && *job->meta.input_sha256 && strcmp(job->meta.input_sha256, item->input_sha256))
        cp_note(s, "%s: the path in %s was found on another image", item->path, o->path);
    for (int i = 0; i < n && !status; i++) {
        if (job->path && *job->meta.input_sha256 && strcmp(job->meta.input_sha256, item->input_sha256)) { /* the title says so, too */
            size_t used = strnlen(subjects[i].label, 100);
            snprintf(subjects[i].label + used, sizeof subjects[i].label - used, ", by the path of another image");
        }
        status = grad_subject(s, item, job, &subjects[i]);
    }
    cp_free(subjects);
    cp_prediction_free(&prediction);
    return status;
}

cp_status cp_run_grad(const cp_command *command, const cp_options *options)
{
    cp_session session;
    cp_grad_job job = {.plain = !strcmp(options->method, "gradient"), .named = cp_grad_map_find(options->method)};
    cp_status status = cp_grad_map_check(options);
    if (status)
        return status;
    if (options->path && (options->sparsity.n || job.plain))
        return cp_fail(CP_EINPUT, "grad: -path is a path already, it goes without %s",
                       job.plain ? "-method gradient" : "-sparsity");
    if (job.plain && options->sparsity.n)
        return cp_fail(CP_EINPUT, "grad: -method gradient has no path, it goes without -sparsity");
    status = cp_session_open(command, options, true, true, &session);
    if (!status && options->path)
        status = cp_path_read(options->path, session.model, NULL, &job.path, &job.meta);
    if (!status)
        status = cp_request_read(&session, &job.request);
    if (!status)
        status = cp_session_each_together(&session, grad_image, &job);
    cp_path_free(job.path);
    cp_session_close(&session);
    return status;
}
