#include "cli/edges_file.h"

#include "cli/output_path.h"
#include "io/error.h"
#include "io/npz.h"
#include "io/progress.h"
#include "score/edges.h"

#include <stdlib.h>
#include <string.h>

/* The arrays of one file; each lives until the file is written. */
typedef struct {
    cp_npz_writer *writer;
    float **array;
    size_t n, room;
} arrays;

static cp_status add_array(arrays *all, const char *name, const cp_array_type *type, float **values)
{
    size_t bytes;
    if (!cp_array_bytes(type, &bytes))
        return cp_fail(CP_ERESOURCE, "edges: %s does not fit in memory", name);
    if (all->n == all->room) {
        size_t room = all->room ? 2 * all->room : 64;
        float **grown = realloc(all->array, room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "edges: out of memory");
        all->array = grown;
        all->room = room;
    }
    *values = cp_alloc(bytes / sizeof **values, sizeof **values, "edges");
    if (!*values)
        return CP_ERESOURCE;
    all->array[all->n++] = *values;
    return cp_npz_add(all->writer, name, type, *values);
}

static cp_status add_meta(const cp_session *s, const cp_item *item, const cp_subject *subject, arrays *all)
{
    json_t *meta = json_object();
    char *text = NULL;
    size_t bytes;
    int bad = cp_json_set(meta, "format", cp_json_text("critpath edges"));
    bad |= cp_json_set(meta, "format_version", json_integer(1));
    bad |= cp_json_set(meta, "program_version", cp_json_text(CP_VERSION));
    bad |= cp_json_set(meta, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(meta, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(meta, "input_sha256", cp_json_text(item->input_sha256));
    bad |= cp_json_set(meta, "response", cp_json_text(subject->response.text));
    bad |= cp_json_set(meta, "value", cp_json_real(cp_frame_response(s->frame, 0, &subject->response)));
    bad |= cp_json_set(meta, "edges", cp_json_text(s->options->edges));
    cp_status status = bad ? CP_ERESOURCE : cp_json_format(meta, true, &text, &bytes);
    if (!status)
        status = cp_npz_add_bytes(all->writer, "meta.json", text, bytes);
    cp_free(text);
    json_decref(meta);
    return status;
}

static const char *name_of(const cp_session *s, int reader)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    return reader < 0 ? "input" : reader == n ? "response" : layers[reader].name;
}

enum { TOGETHER = 64 }; /* channels of a reader whose rows are in memory at a time */

/* What of a row of cp_edges_to_channels belongs to one source. */
typedef struct {
    size_t first, count;
    float *to; /* (channels of the reader, count) */
} part;

static cp_status add_parts(const cp_session *s, const cp_edges *edges, int reader, size_t channels, arrays *all, part *parts)
{
    int n, layers;
    const int *source = cp_edges_sources(edges, reader, &n);
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &layers);
    cp_status status = CP_OK;
    for (int k = 0; k < n && !status; k++) {
        size_t count = source[k] < 0 ? s->c : layer[source[k]].c;
        cp_array_type type = {CP_FLOAT32, 2, {channels, count}};
        char name[120];
        parts[k].count = count;
        parts[k].first = source[k] < 0 ? cp_edges_row(edges) - count : cp_model_channel_offset(s->model, source[k]);
        snprintf(name, sizeof name, "%s.%s", name_of(s, reader), name_of(s, source[k]));
        status = add_array(all, name, &type, &parts[k].to);
    }
    return status;
}

static cp_status fill_parts(cp_edges *edges, int reader, size_t channels, bool response, double *rows, part *parts, int n)
{
    int channel[TOGETHER];
    size_t row = cp_edges_row(edges);
    cp_status status = CP_OK;
    for (size_t first = 0; first < channels && !status; first += TOGETHER) {
        int count = channels - first < TOGETHER ? (int)(channels - first) : TOGETHER;
        for (int q = 0; q < count; q++)
            channel[q] = response ? -1 : (int)first + q;
        status = cp_edges_to_channels(edges, reader, channel, count, rows);
        for (int k = 0; k < n && !status; k++)
            for (int q = 0; q < count; q++)
                for (size_t p = 0; p < parts[k].count; p++)
                    parts[k].to[(first + (size_t)q) * parts[k].count + p] = (float)rows[(size_t)q * row + parts[k].first + p];
    }
    return status;
}

static cp_status add_channels(const cp_session *s, cp_edges *edges, arrays *all)
{
    int layers = cp_edges_response(edges), n;
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &n);
    cp_progress *progress = cp_progress_start("edges", 1, s->options->quiet || s->list);
    double *rows = cp_alloc(TOGETHER * cp_edges_row(edges), sizeof *rows, "edges");
    part *parts = cp_alloc((size_t)layers + 1, sizeof *parts, "edges");
    cp_status status = rows && parts ? CP_OK : CP_ERESOURCE;
    for (int r = 0; r <= layers && !status; r++) {
        size_t channels = r < layers ? layer[r].c : 1;
        cp_edges_sources(edges, r, &n);
        if (n)
            status = add_parts(s, edges, r, channels, all, parts);
        if (n && !status)
            status = fill_parts(edges, r, channels, r == layers, rows, parts, n);
        cp_progress_update(progress, (double)(r + 1) / (layers + 1));
    }
    cp_progress_end(&progress);
    cp_free(rows);
    cp_free(parts);
    return status;
}

static cp_status add_neuron(const cp_session *s, cp_edges *edges, int layer_number, size_t index, arrays *all)
{
    bool there = layer_number < cp_model_layer_count(s->model);
    int reader = there ? cp_model_neuron_position(s->model, layer_number) : -1, n, layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &layers);
    if (reader < 0)
        return cp_fail(CP_EINPUT, "-edges: layer %d is no neuron layer", layer_number);
    if (index >= layer[reader].count)
        return cp_fail(CP_EINPUT, "-edges: layer %d has no unit %zu, it has %zu", layer_number, index, layer[reader].count);
    const int *source = cp_edges_sources(edges, reader, &n);
    if (!n)
        return cp_fail(CP_EINPUT, "-edges: the response does not depend on layer %d, or lies in it", layer_number);
    float *whole = cp_alloc(cp_model_neuron_count(s->model), sizeof *whole, "edges");
    cp_status status = whole ? cp_edges_to_neuron(edges, reader, index, whole) : CP_ERESOURCE;
    for (int k = 0; k < n && !status; k++) {
        const cp_neuron_layer *from = &layer[source[k] < 0 ? 0 : source[k]];
        cp_array_type type = cp_array_chw(CP_FLOAT32, from->c, from->h, from->w);
        float *to;
        if (source[k] < 0)
            continue;
        status = add_array(all, from->name, &type, &to);
        if (!status)
            memcpy(to, whole + from->offset, from->count * sizeof *to);
    }
    cp_free(whole);
    return status;
}

cp_status cp_write_edges(cp_session *s, const cp_item *item, const cp_subject *subject, const char *tag, char npz[4096])
{
    arrays all = {0};
    cp_edges *edges = NULL;
    int layer = 0;
    size_t index = 0;
    bool channels = !strcmp(s->options->edges, "channels");
    cp_status status = channels ? CP_OK : cp_read_unit("-edges", s->options->edges, &layer, &index);
    if (!status)
        status = cp_output_path(s, item, tag, ".edges.npz", npz);
    if (!status)
        status = cp_edges_open(s->frame, 0, &subject->response, NULL, s->options->mem, &edges);
    if (!status)
        status = cp_npz_create(npz, false, &all.writer);
    if (!status)
        status = channels ? add_channels(s, edges, &all) : add_neuron(s, edges, layer, index, &all);
    if (!status)
        status = add_meta(s, item, subject, &all);
    if (!status)
        status = cp_npz_commit(&all.writer);
    cp_npz_discard(&all.writer);
    for (size_t i = 0; i < all.n; i++)
        cp_free(all.array[i]);
    free(all.array);
    cp_edges_free(edges);
    return status;
}
