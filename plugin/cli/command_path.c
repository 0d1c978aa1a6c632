/* `path`: selection, from a score file or directly, to an .npz. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

static void print_layers(const cp_session *s, const cp_path *path)
{
    int n;
    char kept[32], all[32];
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    fprintf(s->out, "  %-24s %12s %12s %8s\n", "layer", "neurons", "on the path", "share");
    for (int i = 0; i < n; i++)
        fprintf(s->out, "  %-24s %12s %12s %7.2f%%\n", layers[i].name + strlen("layer_"),
                cp_grouped(layers[i].count, all), cp_grouped(cp_path_layer_count(path, i), kept),
                100. * (double)cp_path_layer_count(path, i) / (double)layers[i].count);
}

static json_t *layers_json(const cp_session *s, const cp_path *path)
{
    int n, bad = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        bad |= cp_json_append(array, json_pack("{s:i,s:s,s:I,s:I}", "layer", layers[i].layer, "name", layers[i].name,
                                               "neurons", (json_int_t)layers[i].count, "kept",
                                               (json_int_t)cp_path_layer_count(path, i)));
    return cp_json_finish(array, bad);
}

/* Writes and reports one path. item and subject NULL: from a score file, whose meta is `from`. */
static cp_status write_one(const cp_session *s, const cp_item *item, const cp_subject *subject,
                           const cp_file_meta *from, const cp_item *named, const cp_pathway *pathway)
{
    const cp_selection *selection = &pathway->selection;
    const cp_response *response = from ? &from->response : &subject->response;
    char file[4096], tag[64], kept[32], all[32], why[200], advice[80], reached[120];
    snprintf(tag, sizeof tag, "%s%s", subject ? subject->tag : "", pathway->tag);
    const cp_result result = {.item = named, .subject = subject, .from = from, .pathway = pathway, .tag = tag};
    cp_status status = cp_result_write(s, CP_RESULT_PATH, &result, file);
    if (status)
        return status;
    if (!s->options->json) {
        fprintf(s->out, "response: %s\npath: %s, %s, %s of %s neurons, score >= %.4g\n", response->text,
               from ? from->method : s->options->method, cp_reached_text(s, pathway, reached),
               cp_grouped(selection->kept, kept),
               cp_grouped(cp_model_neuron_count(s->model), all), (double)selection->threshold);
        if (pathway->cut.cut)
            fprintf(s->out, "the path is cut: %s%s\n", cp_cut_text(s, &pathway->cut, why),
                    cp_cut_advice(&pathway->cut, advice));
        print_layers(s, pathway->path);
        cp_print_files(s->out, file, NULL, NULL, NULL);
        return CP_OK;
    }
    json_t *object = item ? cp_item_json(s, item) : json_object(), *line = json_object();
    int bad = cp_json_set(line, "response", cp_json_text(response->text));
    bad |= cp_json_set(line, "method", cp_json_text(from ? from->method : s->options->method));
    bad |= cp_pathway_json(s, pathway, line);
    bad |= cp_json_set(line, "layers", layers_json(s, pathway->path));
    bad |= cp_json_set(line, "file", cp_json_text(file));
    bad |= cp_json_set(object, "path", line);
    status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

static cp_status path_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    cp_pathways pathways;
    cp_status status = cp_pathways_find(s, item, &subject->response, false, &pathways);
    if (!status && !s->options->json)
        cp_scoring_print(s, &pathways.report, false, s->out);
    for (int k = 0; k < pathways.n && !status; k++)
        status = write_one(s, item, subject, NULL, item, &pathways.pathway[k]);
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f, select %.3f s; peak memory %zu MB", item->path, item->read,
                item->forward, pathways.scoring, pathways.selecting, cp_peak_memory() >> 20);
    cp_pathways_free(&pathways);
    return status;
}

static cp_status path_image(cp_session *s, cp_item *item, void *user)
{
    return cp_each_subject(s, item, user, path_subject);
}

static cp_status path_from_scores(cp_session *s)
{
    const cp_options *o = s->options;
    cp_pathways pathways = {0};
    cp_file_meta meta;
    cp_item item = {.path = o->score};
    if (s->n_images)
        return cp_fail(CP_EINPUT, "path: with -score there is no image to run, found \"%.200s\"", s->images[0]);
    if (o->class_name || o->versus || o->box || o->unit)
        return cp_fail(CP_EINPUT, "path: -score brings its response along, it goes without -class, -versus, -box and "
                       "-unit");
    cp_status status = cp_choose_prefix(s, &item);
    if (status)
        return status;
    float *score = cp_alloc(cp_model_neuron_count(s->model), sizeof *score, "scores");
    if (!score)
        return CP_ERESOURCE;
    status = cp_score_read(o->score, s->model, NULL, score, &meta);
    if (status) {
        cp_free(score);
        return status;
    }
    for (size_t i = 0; i < cp_model_neuron_count(s->model) && meta.signed_scores; i++)
        score[i] = fabsf(score[i]);
    if (o->rank == CP_RANK_LAYER)
        cp_score_by_layer(s->model, score);
    status = cp_scores_take(NULL, 0, score, false, &pathways.scores);
    if (!status)
        status = cp_pathways_select(s, o->score, &meta.response, &pathways);
    for (int k = 0; k < pathways.n && !status; k++)
        status = write_one(s, NULL, NULL, &meta, &item, &pathways.pathway[k]);
    cp_pathways_free(&pathways);
    return status;
}

cp_status cp_run_path(const cp_command *command, const cp_options *options)
{
    cp_session session;
    cp_request request;
    cp_status status = cp_session_open(command, options, true, !options->score, &session);
    if (!status && options->score) {
        status = path_from_scores(&session);
    } else if (!status) {
        status = cp_request_read(&session, &request);
        if (!status)
            status = cp_session_each_together(&session, path_image, &request);
    }
    cp_session_close(&session);
    return status;
}
