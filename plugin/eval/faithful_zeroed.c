/* Zeroed networks of many paths, as entries of one frame. */
#include "eval/class_map.h"
#include "eval/zeroed.h"

#include <math.h>
#include <string.h>

#include "engine/memory.h"
#include "io/error.h"

struct cp_zeroed {
    const cp_model *model;
    const cp_response *response;
    cp_frame *frame;
    float *input; /* the image, batch times */
    int batch, queued, runs;
    int class_map; /* position of the neuron layer that is never restricted, or -1 */
    cp_sought sought;
    cp_restriction *restriction;
    cp_path **path;
    cp_answer **answer;
};

cp_restriction_kind cp_zeroed_kind(const cp_frame *frame, const cp_offpath *offpath)
{
    if (offpath && offpath->kind != CP_FULL)
        return offpath->kind;
    return cp_frame_has_kept(frame) ? CP_KEPT : CP_ZEROED;
}

cp_status cp_zeroed_create(const cp_frame *original, int image, const cp_response *response, const cp_offpath *offpath,
                           const cp_sought *sought, const cp_run_options *run, int wanted, cp_zeroed **zeroed)
{
    const cp_model *model = cp_frame_model(original);
    size_t c, h, w, inputs;
    cp_model_input_shape(model, &c, &h, &w);
    inputs = c * h * w;
    *zeroed = NULL;
    cp_zeroed *z = cp_alloc(1, sizeof *z, "zeroed networks");
    if (!z)
        return CP_ERESOURCE;
    z->model = model;
    z->response = response;
    z->class_map = cp_class_map_find(model, response->unit[0].layer);
    if (sought)
        z->sought = *sought;
    cp_status status = cp_frame_create_fitting(model, cp_most_entries(NULL, wanted), false, run->memory, &z->batch, &z->frame);
    z->input = cp_alloc_dirty((size_t)z->batch * inputs, sizeof *z->input, "zeroed networks");
    z->restriction = cp_alloc((size_t)z->batch, sizeof *z->restriction, "zeroed networks");
    z->path = cp_alloc((size_t)z->batch, sizeof *z->path, "zeroed networks");
    z->answer = cp_alloc((size_t)z->batch, sizeof *z->answer, "zeroed networks");
    if (!z->input || !z->restriction || !z->path || !z->answer)
        status = CP_ERESOURCE;
    for (int b = 0; b < z->batch && !status; b++) {
        memcpy(z->input + b * inputs, cp_frame_output(original, -1, image), inputs * sizeof *z->input);
        status = cp_path_create(model, &z->path[b]);
        z->restriction[b] = (cp_restriction){.kind = cp_zeroed_kind(original, offpath), .path = z->path[b],
                                             .values = offpath ? offpath->values : NULL};
    }
    if (status) {
        cp_zeroed_free(z);
        return status;
    }
    *zeroed = z;
    return CP_OK;
}

void cp_zeroed_free(cp_zeroed *z)
{
    if (!z)
        return;
    for (int b = 0; b < z->batch && z->path; b++)
        cp_path_free(z->path[b]);
    cp_frame_free(z->frame);
    cp_free(z->input);
    cp_free(z->restriction);
    cp_free(z->path);
    cp_free(z->answer);
    cp_free(z);
}

cp_path *cp_zeroed_next(cp_zeroed *z) { return z->path[z->queued]; }

int cp_zeroed_runs(const cp_zeroed *z) { return z->runs; }

/* A path does not restrict what it explains. */
static void keep_response(const cp_zeroed *z, cp_path *path)
{
    const cp_model *model = z->model;
    const cp_response *response = z->response;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &(int){0});
    for (size_t i = 0; z->class_map >= 0 && i < layers[z->class_map].count; i++)
        cp_path_set(path, layers[z->class_map].offset + i, true);
    for (int u = 0; u < response->n; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        if (position >= 0)
            cp_path_set(path, layers[position].offset + response->unit[u].index, true);
    }
}

cp_status cp_zeroed_add(cp_zeroed *z, cp_answer *answer)
{
    keep_response(z, z->path[z->queued]);
    z->answer[z->queued++] = answer;
    return z->queued == z->batch ? cp_zeroed_flush(z) : CP_OK;
}

cp_status cp_zeroed_flush(cp_zeroed *z)
{
    int n = z->queued;
    if (!n)
        return CP_OK;
    z->queued = 0;
    cp_status status = cp_frame_forward(z->frame, z->input, n, z->restriction);
    for (int b = 0; b < n && !status; b++) {
        cp_answer *answer = z->answer[b];
        status = cp_answer_read(z->frame, b, z->response, answer);
        if (!status && z->sought.target.detection) {
            status = cp_eval_probability(z->frame, b, &z->sought.target, &answer->box);
            answer->keeps = !status && answer->box >= z->sought.thresh;
        }
    }
    z->runs += n;
    return status;
}

cp_status cp_answer_read(const cp_frame *frame, int image, const cp_response *response, cp_answer *answer)
{
    cp_decoded decoded;
    const float *outputs = cp_frame_output(frame, response->unit[0].layer, image);
    cp_status status = cp_response_decode(cp_frame_model(frame), response, outputs, &decoded);
    if (status)
        return status;
    answer->measure.response = cp_frame_response(frame, image, response);
    answer->measure.probability = decoded.probability;
    answer->largest = answer->keeps = decoded.largest;
    answer->box = NAN;
    return CP_OK;
}

cp_status cp_best_path(cp_path *path, cp_scores *scores, size_t k)
{
    if (!k) {
        cp_path_fill(path, false);
        return CP_OK;
    }
    size_t n = cp_model_neuron_count(cp_path_model(path));
    return cp_scores_select(scores, 1 - (double)k / (double)n, 0, path, NULL);
}

cp_status cp_positive_scores(const cp_model *model, const cp_scores *scores, size_t *count)
{
    *count = cp_scores_positive(scores, model);
    if (!*count)
        return cp_fail(CP_EINPUT, "faithfulness: no score of the %zu neurons is above 0, so there is no path",
                       cp_model_neuron_count(model));
    return CP_OK;
}
