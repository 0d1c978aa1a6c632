/* The main job: predict, score, select, map; write picture, map, path and summary. */
#include "cli/commands.h"
#include "cli/no_detection.h"
#include "cli/prediction_text.h"
#include "cli/results.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "cli/typical.h"
#include "cli/where.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the time of one response went, in seconds. */
typedef struct {
    double scoring, selecting, mapping, writing;
} cp_times;

/* One response being explained, and the JSON that grows with it. */
typedef struct {
    cp_session *session;
    cp_item *item;
    const cp_subject *subject;
    cp_pathways *pathways;
    cp_times *times;
    json_t *responses; /* of the image */
    FILE *files;       /* names of those written, a blank before each */
} cp_explanation;

/* The caption of the picture: what the map is of. */
static void fill_drawn(const cp_explanation *e, const cp_pathway *pathway, cp_drawn *drawn)
{
    const cp_options *o = e->session->options;
    char kept[32], all[32], reason[300], reached[120], share[64] = "", path[CP_DRAWN_TEXT];
    if (!isnan(pathway->gradient_share))
        snprintf(share, sizeof share, ", %.2g%% of the whole gradient", 100 * pathway->gradient_share);
    snprintf(path, sizeof path, "path: %s of %s neurons, %s%s; %s, %s", cp_grouped(pathway->selection.kept, kept),
             cp_grouped(cp_model_neuron_count(e->session->model), all), cp_reached_text(e->session, pathway, reached),
             share, o->method, cp_choice_name("offpath", o->offpath));
    const char *zero = cp_zero_map_reason(e->session, pathway->map, e->subject, pathway, reason);
    cp_drawn_make(e->session, e->item, e->subject, path, zero, drawn);
}

static void print_pathway(const cp_explanation *e, const cp_pathway *pathway, const cp_heat_region *where,
                          const cp_summary *summary)
{
    const cp_selection *selection = &pathway->selection;
    FILE *to = e->session->out;
    char kept[32], all[32], reason[300], reached[120];
    const char *zero = cp_zero_map_reason(e->session, pathway->map, e->subject, pathway, reason);
    if (zero)
        fprintf(to, "map: zero everywhere: %s\n", zero);
    else
        cp_where_print(e->session, e->item, e->subject, where, to);
    fprintf(to, "path: %s, %s of %s neurons, %s, %s", e->session->options->method, cp_grouped(selection->kept, kept),
            cp_grouped(cp_model_neuron_count(e->session->model), all), cp_reached_text(e->session, pathway, reached),
            cp_choice_name("offpath", e->session->options->offpath));
    if (!isnan(pathway->zeroed_response))
        fprintf(to, " (response %.6g)", pathway->zeroed_response);
    if (!isnan(pathway->gradient_share))
        fprintf(to, ", %.3g%% of the gradient", 100 * pathway->gradient_share);
    fprintf(to, "\n");
    if (pathway->cut.cut && !zero)
        fprintf(to, "the path is cut: %s\n", cp_cut_text(e->session, &pathway->cut, reason));
    if (e->session->options->layers)
        cp_summary_print(summary, (double)selection->threshold, to);
}

/* `files`, whose keys are those of the table of results, is taken over. */
static cp_status pathway_object(const cp_explanation *e, const cp_pathway *pathway, const cp_heat_region *where,
                                const cp_summary *summary, const cp_drawn *drawn, json_t *files)
{
    json_t *object = json_object(), *map = json_object();
    const char *const arrays[] = {json_string_value(json_object_get(files, cp_result_key(CP_RESULT_MAP))),
                                  json_string_value(json_object_get(files, cp_result_key(CP_RESULT_HEAT)))};
    char reason[300];
    const char *zero = cp_zero_map_reason(e->session, pathway->map, e->subject, pathway, reason);
    int bad = cp_json_set(map, "offpath", cp_json_text(cp_choice_name("offpath", e->session->options->offpath)));
    bad |= cp_json_set(map, "zero", cp_json_text(zero));
    bad |= cp_json_set(map, "planes", cp_json_text(cp_choice_name("planes", 1 + (int)pathway->planes)));
    bad |= cp_json_set(map, "restricted", json_boolean(e->session->options->restricted));
    bad |= cp_json_set(map, "zeroed_response", cp_json_real(pathway->zeroed_response));
    bad |= cp_pathway_json(e->session, pathway, object);
    bad |= cp_json_set(map, "where", cp_where_json(where));
    bad |= cp_json_set(object, "map", map);
    bad |= cp_json_set(object, "files", files);
    bad |= cp_json_set(object, "drawn", cp_drawn_json(drawn, arrays, 2));
    bad |= cp_summary_json(summary, object);
    json_t *response = json_array_get(e->responses, json_array_size(e->responses) - 1);
    bad |= cp_json_append(json_object_get(response, "paths"), object);
    return bad ? CP_ERESOURCE : CP_OK;
}

/* All files of a pathway; their names go into e->files too, the picture's first. */
static cp_status write_files(const cp_explanation *e, const cp_result *result, json_t *files)
{
    static const cp_result_kind kinds[] = {CP_RESULT_PICTURE, CP_RESULT_MAP, CP_RESULT_HEAT, CP_RESULT_PATH};
    cp_status status = CP_OK;
    char path[4096];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !status; i++) {
        status = cp_result_write(e->session, kinds[i], result, path);
        if (!status)
            status = cp_json_set(files, cp_result_key(kinds[i]), *path ? cp_json_text(path) : json_null());
        if (!status && *path)
            fprintf(e->files, " %s", path);
    }
    return status;
}

/* Into the object that pathway_object has added. */
static cp_status say_typical(const cp_explanation *e, const cp_pathway *pathway)
{
    cp_session *s = e->session;
    cp_typical typical;
    json_t *response = json_array_get(e->responses, json_array_size(e->responses) - 1);
    json_t *paths = json_object_get(response, "paths"), *object = json_array_get(paths, json_array_size(paths) - 1);
    cp_status status = cp_typical_find(s, e->subject->class_id, pathway->path, &typical);
    if (!status)
        status = cp_json_set(object, "typical", cp_typical_json(s, &typical));
    if (!status && !s->options->json)
        cp_typical_print(s, &typical, s->options->layers, s->out);
    cp_free(typical.layer);
    return status;
}

static cp_status write_pathway(const cp_explanation *e, const cp_pathway *pathway)
{
    cp_session *s = e->session;
    cp_summary summary;
    cp_drawn drawn;
    char tag[64];
    snprintf(tag, sizeof tag, "%s%s", e->subject->tag, pathway->tag);
    cp_heat_region where;
    cp_status status = cp_summary_make(s, e->item, pathway->path, e->pathways->scores, &summary);
    fill_drawn(e, pathway, &drawn);
    if (!status)
        status = cp_where_find(s, e->item, e->subject, pathway, &where);
    const cp_result result = {.item = e->item, .subject = e->subject, .pathway = pathway, .map = pathway->map,
                              .planes = s->c, .heat = pathway->heat, .where = &where, .drawn = &drawn, .tag = tag};
    json_t *files = json_object();
    if (!status)
        status = write_files(e, &result, files);
    if (!status)
        status = pathway_object(e, pathway, &where, &summary, &drawn, files);
    else
        json_decref(files);
    if (!status && !s->options->json)
        print_pathway(e, pathway, &where, &summary);
    if (!status && s->typical)
        status = say_typical(e, pathway);
    cp_summary_free(&summary);
    return status;
}

static cp_status response_object(const cp_explanation *e)
{
    const cp_subject *subject = e->subject;
    char number[24];
    json_t *object = json_object();
    int bad = cp_json_set(object, "text", cp_json_text(subject->response.text));
    bad |= cp_json_set(object, "layer", json_integer(subject->response.unit[0].layer));
    bad |= cp_json_set(object, "unit", json_integer((json_int_t)subject->response.unit[0].index));
    bad |= cp_json_set(object, "value", cp_json_real(cp_frame_response(e->session->frame, 0, &subject->response)));
    if (subject->class_id >= 0) {
        bad |= cp_json_set(object, "class", json_integer(subject->class_id));
        bad |= cp_json_set(object, "name", cp_json_text(cp_session_class(e->session, subject->class_id, number)));
        bad |= cp_json_set(object, "probability", cp_json_float(subject->probability));
    }
    if (subject->versus >= 0) {
        bad |= cp_json_set(object, "versus", json_integer(subject->versus));
        bad |= cp_json_set(object, "versus_name", cp_json_text(cp_session_class(e->session, subject->versus, number)));
        bad |= cp_json_set(object, "versus_unit", json_integer((json_int_t)subject->response.unit[1].index));
    }
    if (subject->box) {
        bad |= cp_json_set(object, "classes", cp_box_classes_json(e->session, subject->detection));
        bad |= cp_json_set(object, "box", json_integer(subject->box));
        bad |= cp_json_set(object, "target", cp_json_text(cp_choice_name("target", e->session->options->target)));
    }
    bad |= cp_json_set(object, "method", cp_json_text(e->session->options->method));
    bad |= cp_json_set(object, "paths", json_array());
    bad |= cp_json_append(e->responses, object);
    return bad ? CP_ERESOURCE : CP_OK;
}

/* A sigmoid says no below 0, and so does a difference; a logit among others of a softmax need not. */
static void print_response(const cp_explanation *e)
{
    double value = cp_frame_response(e->session->frame, 0, &e->subject->response);
    int target = e->session->options->target;
    bool sigmoid = e->subject->box && (target == CP_TARGET_CLASS || target == CP_TARGET_OBJECTNESS);
    bool says_no = value < 0 && (sigmoid || e->subject->response.n == 2);
    fprintf(e->session->out, "response: %s = %.6g%s\n", e->subject->response.text, value,
            says_no ? "; below 0 the network says no: the heat is what speaks for it all the same" : "");
}

static cp_status explain_subject(cp_explanation *e)
{
    cp_session *s = e->session;
    cp_pathways pathways = {0};
    e->pathways = &pathways;
    cp_status status = response_object(e);
    if (!status && !s->options->json)
        print_response(e);
    if (!status)
        status = cp_pathways_find(s, e->item, &e->subject->response, true, &pathways);
    if (!status) {
        json_t *response = json_array_get(e->responses, json_array_size(e->responses) - 1);
        status = cp_json_set(response, "scoring", cp_scoring_json(s, &pathways.report));
    }
    if (!status && !s->options->json)
        cp_scoring_print(s, &pathways.report, s->options->layers, e->session->out);
    if (!status)
        status = cp_pathways_map(s, e->item, e->subject, &pathways);
    double began = cp_seconds();
    for (int i = 0; i < pathways.n && !status; i++)
        status = write_pathway(e, &pathways.pathway[i]);
    e->times->scoring += pathways.scoring;
    e->times->selecting += pathways.selecting;
    e->times->mapping += pathways.mapping;
    e->times->writing += cp_seconds() - began;
    cp_pathways_free(&pathways);
    return status;
}

/* PREFIX.json, and with -json the same on stdout. */
static cp_status finish(cp_session *s, cp_item *item, const cp_times *times, const char *files, json_t *object)
{
    char path[4096];
    json_t *seconds =
        json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "read", item->read, "forward", item->forward, "score", times->scoring,
                  "select", times->selecting, "map", times->mapping, "write", times->writing);
    cp_status status = cp_json_set(object, "seconds", seconds);
    if (!status)
        status = cp_json_set(object, "memory_peak_bytes", json_integer((json_int_t)cp_peak_memory()));
    if (!status)
        status = cp_result_write(s, CP_RESULT_JSON, &(cp_result){.item = item, .object = object}, path);
    if (!status && s->options->json)
        status = cp_json_write_stream(object, s->out);
    if (!status && !s->options->json) {
        fputs("files:", s->out);
        cp_print_name(s->out, files);
        fputc(' ', s->out);
        cp_print_name(s->out, path);
        fputs(s->list ? "\n\n" : "\n", s->out);
    }
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f, select %.3f, map %.3f, write %.3f s; peak memory %zu MB",
                item->path, item->read, item->forward, times->scoring, times->selecting, times->mapping, times->writing,
                cp_peak_memory() >> 20);
    return status;
}

/* Everything about one image; `object` grows with it, and `files` gets the names of those written. */
static cp_status explain_prediction(cp_session *s, cp_item *item, const cp_request *request, const cp_prediction *prediction,
                                    cp_times *times, FILE *files, json_t *object)
{
    cp_subject *subjects = NULL;
    cp_nothing nothing;
    json_t *responses = NULL;
    int n = 0;
    cp_status status = cp_choose_subjects(s, item, request, prediction, &subjects, &n);
    if (!status && !n)
        status = cp_nothing_find(s, item, request, &nothing);
    if (!status && (cp_json_set(object, "prediction", cp_prediction_json(s, item, prediction)) ||
                    cp_json_set(object, "responses", responses = json_array()) ||
                    (!n && cp_nothing_json(s, item, &nothing, object))))
        status = CP_ERESOURCE;
    if (!status && !s->options->json) {
        cp_prediction_print(s, item, prediction, subjects, n, s->out);
        if (!n)
            fprintf(s->out, "%s\n", nothing.text);
    }
    for (int i = 0; i < n && !status; i++) {
        cp_explanation explanation = {s, item, &subjects[i], NULL, times, responses, files};
        status = explain_subject(&explanation);
    }
    cp_free(subjects);
    return status;
}

static cp_status explain_image(cp_session *s, cp_item *item, void *user)
{
    cp_prediction prediction = {0};
    cp_times times = {0};
    char *names = NULL;
    size_t bytes;
    FILE *files = open_memstream(&names, &bytes);
    json_t *object = cp_item_json(s, item);
    cp_status status = files && object ? cp_predict(s, item, &prediction) : CP_ERESOURCE;
    if (!status)
        status = explain_prediction(s, item, user, &prediction, &times, files, object);
    bool written = files && !fclose(files) && names; /* glibc calls a text without memory closed well */
    if (!status)
        status = written ? finish(s, item, &times, names, object) : CP_ERESOURCE;
    json_decref(object);
    free(names);
    cp_prediction_free(&prediction);
    return status;
}

cp_status cp_run_explain(const cp_command *command, const cp_options *options)
{
    return cp_run_on_images_together(command, options, explain_image);
}
