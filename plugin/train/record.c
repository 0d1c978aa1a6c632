#include "train/record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/image.h"
#include "io/lines.h"

#define MAX_PROBE_BYTES ((size_t)1 << 30)
enum { MAX_LIST_BYTES = 64 << 20 };

struct cp_recorder {
    cp_model *model;
    const cp_neuron_layer *layers;
    int n_layers;
    size_t inputs;               /* floats of one picture */
    size_t probes;
    float **input;               /* by probe: (inputs) */
    cp_path **pattern, **path;   /* by probe: of the last record; spare[2] takes turns with them */
    cp_response *response;       /* by probe */
    bool has_last;
    cp_path *any, *all;          /* neurons that are active in some picture, in every one */
    cp_path *spare[2];
    float *score;
    double *sum;                 /* (n_layers + 1, 2): flipped, overlap; the network last */
    size_t *n_overlaps;          /* (n_layers + 1) */
};

/* ---------------------------------------------------------------- records */

static cp_record_row empty_row(int layer, const char *name, size_t units)
{
    cp_record_row row = {.layer = layer, .units = units, .flipped = NAN, .overlap = NAN, .activation_gradient = NAN,
                         .weight_gradient = NAN};
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

cp_status cp_record_create(const cp_model *model, cp_record *record)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    *record = (cp_record){.loss = NAN, .answers_changed = -1, .n_layers = n};
    record->network = empty_row(-1, "network", cp_model_neuron_count(model));
    record->layers = cp_alloc((size_t)n, sizeof *record->layers, "record");
    if (!record->layers)
        return CP_ERESOURCE;
    for (int l = 0; l < n; l++)
        record->layers[l] = empty_row(layers[l].layer, layers[l].name, layers[l].count);
    return CP_OK;
}

const char *cp_record_row_name(const cp_record_row *row)
{
    return row->name + (strncmp(row->name, "layer_", 6) ? 0 : 6);
}

void cp_record_free(cp_record *record)
{
    cp_free(record->layers);
    *record = (cp_record){0};
}

/* ---------------------------------------------------------------- recorder */

cp_status cp_recorder_create(cp_model *model, cp_recorder **out)
{
    size_t c, h, w;
    cp_status status = CP_ERESOURCE;
    cp_recorder *r = cp_alloc(1, sizeof *r, "recorder");
    *out = NULL;
    if (!r)
        return status;
    r->model = model;
    r->layers = cp_model_neuron_layers(model, &r->n_layers);
    cp_model_input_shape(model, &c, &h, &w);
    r->inputs = c * h * w;
    r->score = cp_alloc(cp_model_neuron_count(model), sizeof *r->score, "scores");
    r->sum = cp_alloc(2 * ((size_t)r->n_layers + 1), sizeof *r->sum, "recorder");
    r->n_overlaps = cp_alloc((size_t)r->n_layers + 1, sizeof *r->n_overlaps, "recorder");
    if (r->score && r->sum && r->n_overlaps)
        status = r->n_layers ? CP_OK : cp_fail(CP_EINPUT, "%s has no neuron layer to record", model->cfg_path);
    cp_path **paths[] = {&r->any, &r->all, &r->spare[0], &r->spare[1]};
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !status; i++)
        status = cp_path_create(model, paths[i]);
    if (status)
        cp_recorder_free(r);
    else
        *out = r;
    return status;
}

void cp_recorder_free(cp_recorder *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->probes; i++) {
        if (r->input)
            cp_free(r->input[i]);
        if (r->pattern)
            cp_path_free(r->pattern[i]);
        if (r->path)
            cp_path_free(r->path[i]);
    }
    cp_free(r->input), cp_free(r->pattern), cp_free(r->path), cp_free(r->response);
    cp_path_free(r->any), cp_path_free(r->all), cp_path_free(r->spare[0]), cp_path_free(r->spare[1]);
    cp_free(r->score), cp_free(r->sum), cp_free(r->n_overlaps);
    cp_free(r);
}

size_t cp_recorder_probes(const cp_recorder *r) { return r->probes; }

static cp_status read_probe(cp_recorder *r, size_t i, const char *name, cp_fit fit)
{
    cp_picture photo = {0};
    cp_status status = cp_picture_read(name, &photo);
    if (!status && !(r->input[i] = cp_alloc(r->inputs, sizeof **r->input, "probe")))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_model_prepare_alpha(r->model, photo.rgb, photo.alpha, (size_t)photo.w, (size_t)photo.h, fit, r->input[i],
                                        NULL);
    if (!status)
        status = cp_path_create(r->model, &r->pattern[i]);
    if (!status)
        status = cp_path_create(r->model, &r->path[i]);
    cp_picture_free(&photo);
    return status;
}

cp_status cp_recorder_read_probes(cp_recorder *r, const char *list, size_t most, cp_fit fit)
{
    cp_lines lines;
    size_t each = r->inputs * sizeof(float) + cp_model_neuron_count(r->model) / 4, all;
    cp_status status = cp_lines_read(list, "list of probes", MAX_LIST_BYTES, most, &lines);
    if (status)
        return status;
    size_t n = lines.n;
    r->input = cp_alloc(n, sizeof *r->input, "probes");
    r->pattern = cp_alloc(n, sizeof *r->pattern, "probes");
    r->path = cp_alloc(n, sizeof *r->path, "probes");
    r->response = cp_alloc(n, sizeof *r->response, "probes");
    if (!r->input || !r->pattern || !r->path || !r->response) {
        status = CP_ERESOURCE;
        goto done;
    }
    r->probes = n;
    if (!n)
        status = cp_fail(CP_EINPUT, "list of probes: %s names no picture", list);
    else if (!cp_mul(n, each, &all) || all > MAX_PROBE_BYTES)
        status = cp_fail(CP_EINPUT, "list of probes: %s names %zu pictures of %zu KiB each, %zu MiB in all are allowed",
                         list, n, (each + 1023) >> 10, MAX_PROBE_BYTES >> 20);
    for (size_t i = 0; i < n && !status; i++)
        if ((status = read_probe(r, i, lines.line[i], fit)))
            cp_fail_prefix(status, "list of probes: %s", list);
done:
    cp_lines_free(&lines);
    return status;
}

/* ---------------------------------------------------------------- responses */

static size_t largest(const float *z, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = z[i] > z[best] ? i : best;
    return best;
}

static float logit(const cp_frame *frame, const cp_response *response)
{
    return cp_frame_output(frame, response->unit[0].layer, 0)[response->unit[0].index];
}

/* The class logit of the predictor with the highest objectness: there always is one, however little has been learnt. */
static cp_status choose_detection(const cp_model *model, const cp_frame *frame, cp_response *response)
{
    const int *heads;
    int n = cp_model_heads(model, &heads);
    cp_detection best = {0};
    float highest = -INFINITY;
    cp_status status = n ? CP_OK : cp_fail(CP_EINPUT, "the detector has no head");
    for (int h = 0; h < n && !status; h++) {
        const layer *l = &model->net->layers[heads[h]];
        cp_detection d = {.head = heads[h]};
        int cells = l->type == DETECTION ? l->side * l->side : l->w * l->h;
        for (d.anchor = 0; d.anchor < l->n && !status; d.anchor++)
            for (d.cell = 0; d.cell < cells && !status; d.cell++) {
                status = cp_response_detection(model, &d, CP_TARGET_OBJECTNESS, response);
                if (status || !(logit(frame, response) > highest))
                    continue;
                highest = logit(frame, response);
                best = d;
            }
    }
    cp_detection d = best;
    int classes = n ? model->net->layers[best.head].classes : 0;
    highest = -INFINITY;
    for (d.class_id = 0; d.class_id < classes && !status; d.class_id++) {
        status = cp_response_detection(model, &d, CP_TARGET_CLASS, response);
        if (status || !(logit(frame, response) > highest))
            continue;
        highest = logit(frame, response);
        best = d;
    }
    return status ? status : cp_response_detection(model, &best, CP_TARGET_CLASS, response);
}

static cp_status choose_response(const cp_model *model, const cp_frame *frame, cp_response *response)
{
    if (cp_model_get_kind(model) == CP_DETECTOR)
        return choose_detection(model, frame, response);
    if (cp_model_get_kind(model) == CP_CLASSIFIER) {
        cp_status status = cp_response_class(model, 0, response);
        if (status)
            return status;
        const float *z = cp_frame_output(frame, response->unit[0].layer, 0);
        return cp_response_class(model, (int)largest(z, (size_t)cp_model_classes(model)), response);
    }
    int last = cp_model_layer_count(model) - 1;
    while (last > 0 && cp_model_layer(model, last)->head)
        last--;
    return cp_response_unit(model, last, largest(cp_frame_output(frame, last, 0), cp_model_layer(model, last)->outputs),
                            response);
}

static bool same_response(const cp_response *a, const cp_response *b)
{
    return a->unit[0].layer == b->unit[0].layer && a->unit[0].index == b->unit[0].index;
}

/* ---------------------------------------------------------------- looking */

static void swap(cp_path **a, cp_path **b)
{
    cp_path *kept = *a;
    *a = *b;
    *b = kept;
}

/* Adds what has changed since the last record to the sums; layer n_layers is the network. */
static cp_status compare(cp_recorder *r, const cp_path *pattern, const cp_path *last_pattern, const cp_path *path,
                         const cp_path *last_path)
{
    for (int l = 0; l <= r->n_layers; l++) {
        int layer = l < r->n_layers ? l : -1;
        size_t units = layer < 0 ? cp_model_neuron_count(r->model) : r->layers[l].count, both, either;
        cp_status status = cp_path_overlap(pattern, last_pattern, layer, &both, &either);
        if (status)
            return status;
        r->sum[2 * l] += (double)(either - both) / (double)units;
        if ((status = cp_path_overlap(path, last_path, layer, &both, &either)))
            return status;
        if (!either)
            continue;
        r->sum[2 * l + 1] += (double)both / (double)either;
        r->n_overlaps[l]++;
    }
    return CP_OK;
}

/* Picture i, whose activation pattern is in spare[0] and whose run is in the frame: its path, and what has changed. */
static cp_status look_at_probe(cp_recorder *r, cp_frame *frame, size_t i, cp_record *record)
{
    cp_response response = {0};
    cp_selection selection;
    cp_status status = choose_response(r->model, frame, &response);
    if (!status)
        status = cp_score_mct(frame, 0, &response, false, r->score);
    if (!status)
        status = cp_path_select(r->spare[1], r->score, CP_RECORD_SPARSITY, 0, &selection);
    if (!status && r->has_last) {
        status = compare(r, r->spare[0], r->pattern[i], r->spare[1], r->path[i]);
        record->answers_changed += !same_response(&response, &r->response[i]);
    }
    r->response[i] = response;
    swap(&r->spare[0], &r->pattern[i]);
    swap(&r->spare[1], &r->path[i]);
    return status;
}

/* In the layer of a NaN comparisons would call its neurons dead. */
static cp_status check_activations(const cp_recorder *r, const cp_frame *frame)
{
    for (int l = 0; l < r->n_layers; l++) {
        const float *a = cp_frame_output(frame, r->layers[l].layer, 0);
        for (size_t i = 0; i < r->layers[l].count; i++)
            if (!isfinite(a[i]))
                return cp_fail(CP_EINPUT, "%s: neuron %zu is %g, finite numbers are needed", r->layers[l].name, i,
                               (double)a[i]);
    }
    return CP_OK;
}

static void fill_row(const cp_recorder *r, int l, cp_record_row *row)
{
    bool network = l == r->n_layers;
    size_t any = network ? cp_path_count(r->any) : cp_path_layer_count(r->any, l);
    row->dead = row->units - any;
    row->always_on = network ? cp_path_count(r->all) : cp_path_layer_count(r->all, l);
    bool compared = r->probes && r->has_last;
    row->flipped = compared ? r->sum[2 * l] / (double)r->probes : NAN;
    row->overlap = compared && r->n_overlaps[l] ? r->sum[2 * l + 1] / (double)r->n_overlaps[l] : NAN;
}

void cp_recorder_forget(cp_recorder *r, cp_record *record)
{
    r->has_last = false;
    record->probes = r->probes > 0;
    record->pictures = r->probes;
    record->answers_changed = -1;
    for (int l = 0; l <= r->n_layers; l++) {
        cp_record_row *row = l < r->n_layers ? &record->layers[l] : &record->network;
        row->dead = row->always_on = 0;
        row->flipped = row->overlap = NAN;
    }
}

cp_status cp_recorder_look(cp_recorder *r, const float *const *pictures, size_t n, cp_record *record)
{
    cp_frame *frame = NULL;
    cp_status status = cp_frame_create(r->model, 1, &frame);
    n = r->probes ? r->probes : n;
    cp_path_fill(r->any, false);
    cp_path_fill(r->all, true);
    memset(r->sum, 0, 2 * ((size_t)r->n_layers + 1) * sizeof *r->sum);
    memset(r->n_overlaps, 0, ((size_t)r->n_layers + 1) * sizeof *r->n_overlaps);
    record->probes = r->probes > 0;
    record->pictures = n;
    record->answers_changed = r->probes && r->has_last ? 0 : -1;
    for (size_t i = 0; i < n && !status; i++) {
        status = cp_frame_forward(frame, r->probes ? r->input[i] : pictures[i], 1, NULL);
        if (!status)
            status = check_activations(r, frame);
        if (status)
            break;
        cp_path_active(r->spare[0], frame, 0);
        status = cp_path_or(r->any, r->spare[0]);
        if (!status)
            status = cp_path_and(r->all, r->spare[0]);
        if (!status && r->probes)
            status = look_at_probe(r, frame, i, record);
    }
    cp_frame_free(frame);
    if (!status)
        for (int l = 0; l <= r->n_layers; l++)
            fill_row(r, l, l < r->n_layers ? &record->layers[l] : &record->network);
    r->has_last = !status && r->probes;
    return status;
}
