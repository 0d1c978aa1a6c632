#include "path/statistics.h"

#include <string.h>

#include "io/error.h"
#include "path/path.h"

float cp_dead_activation(const cp_model *model, int layer)
{
    const char *activation = cp_model_layer(model, layer)->activation;
    return strcmp(activation, "logistic") == 0 || strcmp(activation, "plse") == 0 ? .5f : 0;
}

static bool is_kept(const uint64_t *words, size_t i) { return words[i / 64] >> i % 64 & 1; }

void cp_path_layer_statistics(const cp_path *path, const cp_frame *frame, int image, const float *score,
                              cp_layer_statistics *rows)
{
    for (int l = 0; l < path->n_layers; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        const uint64_t *words = cp_path_words(path, l);
        cp_layer_statistics row = {.count = layer->count, .kept = cp_path_layer_count(path, l)};
        if (frame) {
            const float *a = cp_frame_output(frame, layer->layer, image);
            float dead = layer->relu ? 0 : cp_dead_activation(path->model, layer->layer);
            for (size_t i = 0; i < layer->count; i++) {
                row.active += a[i] > dead;
                row.kept_dead += !(a[i] > dead) && is_kept(words, i);
            }
        }
        if (score) {
            const float *s = score + layer->offset;
            for (size_t i = 0; i < layer->count; i++)
                row.best = s[i] > row.best ? s[i] : row.best;
        }
        rows[l] = row;
    }
}

/* ---------------------------------------------------------------- the most of something */

int cp_path_top_channels(const cp_path *path, int neuron_layer, cp_channel_statistics *top, int room)
{
    int from = neuron_layer < 0 ? 0 : neuron_layer, to = neuron_layer < 0 ? path->n_layers : neuron_layer + 1, n = 0;
    for (int l = from; l < to; l++) {
        size_t plane = path->layers[l].h * path->layers[l].w;
        const uint64_t *words = cp_path_words(path, l);
        for (size_t c = 0; c < path->layers[l].c; c++) {
            cp_channel_statistics channel = {l, c, 0, plane};
            for (size_t i = c * plane; i < (c + 1) * plane; i++)
                channel.kept += is_kept(words, i);
            int at = n;
            while (at > 0 && top[at - 1].kept < channel.kept)
                at--;
            if (!channel.kept || at >= room)
                continue;
            n = n < room ? n + 1 : room;
            memmove(top + at + 1, top + at, (size_t)(n - 1 - at) * sizeof *top);
            top[at] = channel;
        }
    }
    return n;
}

int cp_path_top_neurons(const cp_path *path, const float *score, int neuron_layer, cp_neuron_statistics *top, int room)
{
    int from = neuron_layer < 0 ? 0 : neuron_layer, to = neuron_layer < 0 ? path->n_layers : neuron_layer + 1, n = 0;
    for (int l = from; l < to; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        const uint64_t *words = cp_path_words(path, l);
        for (size_t i = 0; i < layer->count; i++) {
            float s = score[layer->offset + i];
            if (!is_kept(words, i) || (n == room && (!n || !(s > top[n - 1].score))))
                continue;
            int at = n;
            while (at > 0 && top[at - 1].score < s)
                at--;
            n = n < room ? n + 1 : room;
            memmove(top + at + 1, top + at, (size_t)(n - 1 - at) * sizeof *top);
            size_t plane = layer->h * layer->w;
            top[at] = (cp_neuron_statistics){l, i / plane, i % plane / layer->w, i % layer->w, i, s};
        }
    }
    return n;
}

/* ---------------------------------------------------------------- receptive fields */

/* Rows or columns [from, to]; from > to is none. */
typedef struct {
    long from, to;
} range;

static const range none = {0, -1};

static range cover(range a, range b)
{
    if (a.from > a.to)
        return b;
    if (b.from > b.to)
        return a;
    return (range){a.from < b.from ? a.from : b.from, a.to > b.to ? a.to : b.to};
}

static range clamp(range r, long extent)
{
    r.from = r.from < 0 ? 0 : r.from;
    r.to = r.to >= extent ? extent - 1 : r.to;
    return r.from > r.to ? none : r;
}

static long ceil_quotient(long a, long b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/* The rows of the layer's source that rows r of its output read; in and out are the extents of the two. */
static range read_range(const cp_layer_info *info, int source, range r, long in, long out)
{
    const char *type = info->type;
    long size = info->size, stride = info->stride, pad = info->pad;
    if (r.from > r.to)
        return none;
    if (!strcmp(type, "convolutional") || !strcmp(type, "local") || !strcmp(type, "maxpool")) {
        long before = strcmp(type, "maxpool") ? pad : pad / 2;
        r = (range){r.from * stride - before, r.to * stride - before + size - 1};
    } else if (!strcmp(type, "deconvolutional")) {
        r = (range){ceil_quotient(r.from + pad - size + 1, stride), (r.to + pad) / stride};
    } else if (!strcmp(type, "upsample")) {
        r = (range){r.from / stride, r.to / stride};
    } else if (!strcmp(type, "crop")) {
        r = (range){r.from + (in - out) / 2, r.to + (in - out) / 2};
    } else if (!strcmp(type, "shortcut") && source == 1 && in != out) {
        long down = in / out, up = out / in; /* the larger is sampled, at its multiples */
        r = in > out ? (range){r.from * down, r.to * down} : (range){ceil_quotient(r.from, up), r.to / up};
    } else if (in != out || !strcmp(type, "reorg") || !strcmp(type, "avgpool") || !strcmp(type, "connected")) {
        r = (range){0, in - 1};
    }
    return clamp(r, in);
}

cp_status cp_receptive_field(const cp_model *model, int layer, size_t y, size_t x, cp_box *field)
{
    size_t c, h, w;
    const cp_layer_info *top = cp_model_layer(model, layer);
    *field = (cp_box){0, 0, 0, 0};
    if (y >= (top->h ? top->h : 1) || x >= (top->w ? top->w : 1))
        return cp_fail(CP_EINPUT, "unit: row %zu, column %zu of layer %d, which has %zux%zu", y, x, layer, top->h,
                       top->w);
    /* rows[i + 1], columns[i + 1]: what is read of layer i's output; [0] is the network input */
    range *rows = cp_alloc((size_t)layer + 2, 2 * sizeof *rows, "receptive field"), *columns = rows + layer + 2;
    if (!rows)
        return CP_ERESOURCE;
    for (int i = 0; i <= layer; i++)
        rows[i] = columns[i] = none;
    rows[layer + 1] = (range){(long)y, (long)y};
    columns[layer + 1] = (range){(long)x, (long)x};
    cp_model_input_shape(model, &c, &h, &w);
    for (int i = layer; i >= 0; i--) {
        const cp_layer_info *info = cp_model_layer(model, i);
        for (int s = 0; s < info->n_sources; s++) {
            int source = info->sources[s];
            const cp_layer_info *below = source < 0 ? NULL : cp_model_layer(model, source);
            long in_h = (long)(below ? below->h : h), in_w = (long)(below ? below->w : w);
            range r = read_range(info, s, rows[i + 1], in_h > 0 ? in_h : 1, (long)info->h);
            range k = read_range(info, s, columns[i + 1], in_w > 0 ? in_w : 1, (long)info->w);
            rows[source + 1] = cover(rows[source + 1], r);
            columns[source + 1] = cover(columns[source + 1], k);
        }
    }
    if (rows[0].from <= rows[0].to && columns[0].from <= columns[0].to)
        *field = (cp_box){(size_t)columns[0].from, (size_t)rows[0].from, (size_t)(columns[0].to - columns[0].from + 1),
                          (size_t)(rows[0].to - rows[0].from + 1)};
    cp_free(rows);
    return CP_OK;
}

/* Pixels of the photo, `photo` long, under [from, from + length) of the input, where it lies at [at, at + size). */
static range in_photo(size_t from, size_t length, size_t at, size_t size, size_t photo)
{
    range seen = {from > at ? (long)(from - at) : 0, (long)(from + length) - (long)at};
    if (seen.to > (long)size)
        seen.to = (long)size;
    if (!size || seen.from >= seen.to)
        return none;
    return (range){seen.from * (long)photo / (long)size, (seen.to * (long)photo + (long)size - 1) / (long)size - 1};
}

cp_box cp_box_in_photo(const cp_box *field, const cp_placement *placement)
{
    range columns = in_photo(field->x, field->w, placement->x, placement->w, placement->photo_w);
    range rows = in_photo(field->y, field->h, placement->y, placement->h, placement->photo_h);
    if (columns.from > columns.to || rows.from > rows.to)
        return (cp_box){0, 0, 0, 0};
    return (cp_box){(size_t)columns.from, (size_t)rows.from, (size_t)(columns.to - columns.from + 1),
                    (size_t)(rows.to - rows.from + 1)};
}
