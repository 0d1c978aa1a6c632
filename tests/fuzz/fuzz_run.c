/* A cfg that is accepted is run, with random weights: forward, scores, selection, maps. What is finite stays finite, a second run
 * gives the same bytes, and nothing comes of units that the response does not depend on. Within limits, so that a run takes no
 * longer than some milliseconds. */
#include "fuzz_file.h"

#include <math.h>

#include "critpath.h"
#include "engine/memory.h"
#include "model/cfg.h"
#include "path/scores.h"

enum { MOST_BYTES = 8 << 20, MOST_LAYERS = 40, MOST_MACS = 20000000 };

static bool within_limits(const uint8_t *data, size_t bytes)
{
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    double macs = 0;
    bool fits = !cp_cfg_parse("fuzz", (const char *)data, bytes, &cfg) && !cp_cfg_prepare(cfg, 1, 0, 0) &&
                !cp_cfg_check(cfg, MOST_BYTES, &net) && net->n_layers <= MOST_LAYERS;
    for (size_t i = 0; fits && i < net->n_layers; i++) macs += cp_layer_macs(&net->layers[i]);
    cp_cfg_net_free(net);
    cp_cfg_free(cfg);
    return fits && macs <= MOST_MACS;
}

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* The largest unit of the last layer that is no head. */
static bool find_response(const cp_model *model, const cp_frame *frame, cp_response *response)
{
    int layer = cp_model_layer_count(model) - 1;
    while (layer >= 0 && (cp_model_layer(model, layer)->head || cp_model_layer(model, layer)->value != layer)) layer--;
    if (layer < 0) return false;
    const float *values = cp_frame_output(frame, layer, 0);
    size_t n = cp_model_layer(model, layer)->outputs, best = 0;
    if (!all_finite(values, n)) return false;
    for (size_t i = 1; i < n; i++)
        if (values[i] > values[best]) best = i;
    return !cp_response_unit(model, layer, best, response);
}

typedef struct {
    float *map, *heat;
    size_t planes, pixels;
} results;

static bool explain(const cp_model *model, cp_frame *frame, const float *input, results *r)
{
    cp_response response;
    cp_scores *scores = NULL;
    cp_path *path = NULL;
    const float *score = NULL;
    cp_status status = cp_frame_forward(frame, input, 1, NULL);
    require_reason(status);
    if (status || !find_response(model, frame, &response)) return false;
    status = cp_path_create(model, &path);
    if (!status) status = cp_scores_mct(frame, 0, &response, NULL, &scores);
    if (!status) status = cp_scores_select(scores, .8, 0, path, NULL);
    if (!status) status = cp_scores_array(scores, &score);
    const cp_path *paths[] = {path};
    if (!status) status = cp_map_frozen(frame, 0, &response, paths, 1, r->map);
    if (!status && r->pixels > 1) status = cp_map_contribution(frame, 0, &response, path, score, NULL, r->heat, NULL);
    require_reason(status);
    for (size_t i = 0; !status && i < cp_model_neuron_count(model); i++) require(!isnan(score[i]), "a score that is no number");
    cp_scores_free(scores);
    cp_path_free(path);
    return !status;
}

static void run(const cp_model *model)
{
    size_t c, h, w;
    cp_frame *frame = NULL;
    cp_model_input_shape(model, &c, &h, &w);
    float *memory = calloc(2 * c * h * w + c * h * w + 4 * h * w, sizeof *memory);
    require(memory != NULL, "memory");
    float *input = memory;
    results first = {memory + c * h * w, memory + 3 * c * h * w, c, h * w};
    results second = {first.map + c * h * w, first.heat + 2 * h * w, c, h * w};
    for (size_t i = 0; i < c * h * w; i++) input[i] = (float)(i * 2654435761u % 1000) / 1000;
    cp_status status = cp_frame_create(model, 1, &frame);
    require_reason(status);
    if (!status && explain(model, frame, input, &first)) {
        require(explain(model, frame, input, &second), "a second run");
        require(!memcmp(first.map, second.map, c * h * w * sizeof *first.map), "another map");
        require(!memcmp(first.heat, second.heat, 2 * h * w * sizeof *first.heat), "another heat");
    }
    cp_frame_free(frame);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    cp_model *model = NULL;
    if (!bytes || !within_limits(data, bytes)) return 0;
    cp_set_threads(1);
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_status status = cp_model_open(file.path, NULL, &model);
    require_reason(status);
    if (!status) run(model);
    cp_model_free(model);
    close(file.fd);
    return 0;
}
