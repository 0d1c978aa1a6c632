#include "train/choose.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/npz.h"
#include "io/random.h"
#include "train/insert.h"

/* ---- scores ---- */

cp_status cp_channel_scores_create(const cp_channels *channels, cp_channel_scores *s)
{
    *s = (cp_channel_scores){.channels = channels};
    s->score = cp_alloc(channels->n, sizeof *s->score, "channel scores");
    s->scored = cp_alloc(channels->net->n_layers, sizeof *s->scored, "channel scores");
    s->mean = cp_alloc(channels->n, sizeof *s->mean, "channel scores");
    if (s->score && s->scored && s->mean) return CP_OK;
    cp_channel_scores_free(s);
    return CP_ERESOURCE;
}

void cp_channel_scores_free(cp_channel_scores *s)
{
    cp_free(s->score);
    cp_free(s->scored);
    cp_free(s->mean);
    *s = (cp_channel_scores){0};
}

cp_status cp_channel_scores_add_path(cp_channel_scores *s, const cp_path *path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(cp_path_model(path), &n);
    for (int l = 0; l < n; l++) {
        const cp_neuron_layer *layer = &layers[l];
        const uint64_t *words = cp_path_words(path, l);
        size_t plane = layer->h * layer->w, first = cp_channels_first(s->channels, layer->layer);
        if (cp_channels_count(s->channels, layer->layer) != layer->c)
            return cp_fail(CP_EINTERNAL, "%s: %zu channels in the path, %zu in the cfg", layer->name, layer->c,
                           cp_channels_count(s->channels, layer->layer));
        for (size_t c = 0, i = 0; c < layer->c; c++) {
            size_t on = 0;
            for (size_t end = i + plane; i < end; i++) on += words[i / 64] >> i % 64 & 1;
            s->score[first + c] += (double)on / (double)plane;
        }
        s->scored[layer->layer] = true;
    }
    s->n++;
    return CP_OK;
}

void cp_channel_scores_add_means(cp_channel_scores *s, const cp_frame *frame, int image)
{
    const cp_channels *channels = s->channels;
    for (int l = 0; l < (int)channels->net->n_layers; l++) {
        const float *output = cp_frame_output(frame, l, image);
        size_t first = cp_channels_first(channels, l), n = cp_channels_count(channels, l);
        if (!output || !n) continue;
        size_t plane = channels->net->layers[l].outputs / n;
        for (size_t c = 0; c < n; c++) {
            double sum = 0;
            for (size_t i = 0; i < plane; i++) sum += *output++;
            s->mean[first + c] += sum / (double)plane;
        }
    }
    s->images++;
}

/* Adds each channel's mean to `sum`. */
static cp_status add_array(const cp_channels *channels, cp_npz *npz, size_t index, const char *file, int layer,
                           const cp_array_type *type, double *sum)
{
    size_t bytes, plane = type->shape[1] * type->shape[2], first = cp_channels_first(channels, layer);
    void *data = NULL;
    if (!cp_array_bytes(type, &bytes)) return cp_fail(CP_EINTERNAL, "%s: an array of no size", file);
    if (!(data = cp_alloc_dirty(bytes, 1, "channel scores"))) return CP_ERESOURCE;
    cp_status status = cp_npz_read(npz, index, type, data);
    const float *real = data;
    const unsigned char *on = data;
    for (size_t i = 0; !status && i < type->shape[0] * plane; i++) {
        double value = type->dtype == CP_BOOL ? on[i] : real[i];
        if (!(value >= 0 && value <= FLT_MAX))
            status = cp_fail(CP_EINPUT, "%s: %s: value %zu is %g, 0 or more is needed", file, cp_npz_name(npz, index),
                             i, value);
        else
            sum[first + i / plane] += value / (double)plane;
    }
    cp_free(data);
    return status;
}

cp_status cp_channel_scores_add_file(cp_channel_scores *s, const cp_cfg *cfg, const char *weights_sha256,
                                     const char *file)
{
    const cp_channels *channels = s->channels;
    cp_npz *npz = NULL;
    size_t count = 0;
    double total = 0;
    bool real = false;
    double *sum = cp_alloc(channels->n, sizeof *sum, "channel scores");
    cp_status status = sum ? cp_masks_open(file, cfg, weights_sha256, &npz) : CP_ERESOURCE;
    for (size_t i = 0; !status && i < cp_npz_count(npz); i++) {
        int layer;
        cp_array_type type;
        status = cp_masks_array(npz, i, file, channels->net, &layer, &type);
        if (!status && type.dtype != CP_BOOL && type.dtype != CP_FLOAT32)
            status = cp_fail(CP_EINPUT, "%s: %s is %s, bool or float32 is needed", file, cp_npz_name(npz, i),
                             cp_dtype_name(type.dtype));
        if (!status) status = add_array(channels, npz, i, file, layer, &type, sum);
        if (status) break;
        real |= type.dtype == CP_FLOAT32;
        s->scored[layer] = true;
        count += cp_channels_count(channels, layer);
    }
    for (size_t i = 0; !status && i < channels->n; i++) total += sum[i];
    if (!status && !(total > 0)) status = cp_fail(CP_EINPUT, "%s: keeps nothing, all of it is 0", file);
    double factor = real && !status ? (double)count / total : 1;
    for (size_t i = 0; !status && i < channels->n; i++) s->score[i] += sum[i] * factor;
    if (!status) s->n++;
    cp_npz_close(npz);
    cp_free(sum);
    return status;
}

/* ---- the choice ---- */

typedef struct {
    size_t group;
    double score;       /* of the group; NAN: no layer scores it */
    uint64_t signature; /* of the layers whose filters are in it; drawing happens among equals */
    uint64_t key;       /* drawn */
} candidate;

static int by_score(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->group < b->group ? -1 : a->group > b->group;
}

static int by_draw(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    if (a->signature != b->signature) return a->signature < b->signature ? -1 : 1;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return a->group < b->group ? -1 : a->group > b->group;
}

static int by_group(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    return a->group < b->group ? -1 : a->group > b->group;
}

/* Largest score and signature of each group. */
static void describe(const cp_channels *c, const cp_channel_scores *s, candidate *all)
{
    for (size_t g = 0; g < c->n_groups; g++) all[g] = (candidate){.group = g, .score = NAN};
    for (size_t l = 0; l < c->net->n_layers; l++) {
        size_t first = cp_channels_first(c, (int)l), n = cp_channels_count(c, (int)l);
        uint64_t mark = l + 1;
        bool filters = cp_layer_has_filters(&c->net->layers[l]);
        for (size_t i = first; i < first + n; i++) {
            candidate *group = &all[c->group[i]];
            if (s->scored[l] && !(group->score >= s->score[i])) group->score = s->score[i];
            if (filters) {
                uint64_t state = group->signature ^ mark;
                group->signature = cp_random_next(&state);
            }
        }
    }
}

static void keep_unscored(cp_channels *c, candidate *all)
{
    bool any = false;
    for (size_t g = 0; g < c->n_groups; g++) {
        if (!isnan(all[g].score)) continue;
        all[g].score = -1;
        if (c->reason[g] >= 0) continue;
        c->reason[g] = (int)c->n_reasons;
        c->cuttable--;
        any = true;
    }
    if (any) snprintf(c->reasons[c->n_reasons++], CP_REASON_TEXT, "no path says anything of it: no neuron layer");
}

/* The best of every layer that has filters, up to max(1, floor * filters) of each; returns how many that adds. `room`
 * holds all channels. */
static size_t keep_floor(const cp_channels *c, const candidate *all, double floor, candidate *room, bool *kept)
{
    size_t added = 0;
    for (size_t l = 0; l < c->net->n_layers; l++) {
        size_t first = cp_channels_first(c, (int)l), n = cp_channels_count(c, (int)l), have = 0;
        size_t wanted = (size_t)ceil(floor * (double)n - 1e-9);
        if (!cp_layer_has_filters(&c->net->layers[l])) continue;
        for (size_t i = 0; i < n; i++) {
            room[i] = all[c->group[first + i]];
            have += kept[room[i].group];
        }
        qsort(room, n, sizeof *room, by_score);
        for (size_t i = 0; i < n && have < (wanted ? wanted : 1); i++) {
            if (kept[room[i].group]) continue;
            kept[room[i].group] = true;
            added++;
            have++;
            while (i + 1 < n && room[i + 1].group == room[i].group) i++, have++;
        }
    }
    return added;
}

/* As many of each signature as are kept, others. `all` is in the order of the groups. */
static void draw(const cp_channels *c, candidate *all, uint64_t seed, bool *kept)
{
    uint64_t state = seed;
    for (size_t g = 0; g < c->n_groups; g++) all[g].key = cp_random_next(&state);
    qsort(all, c->n_groups, sizeof *all, by_draw);
    for (size_t i = 0, end; i < c->n_groups; i = end) {
        size_t wanted = 0;
        for (end = i; end < c->n_groups && all[end].signature == all[i].signature; end++) {
            bool can_go = c->reason[all[end].group] < 0;
            wanted += can_go && kept[all[end].group];
            if (can_go) kept[all[end].group] = false;
        }
        for (size_t k = i; k < end && wanted; k++)
            if (c->reason[all[k].group] < 0) {
                kept[all[k].group] = true;
                wanted--;
            }
    }
}

cp_status cp_channels_choose(cp_channels *c, const cp_channel_scores *s, const cp_choice *choice, bool *kept)
{
    if (!s->n) return cp_fail(CP_EINPUT, "no path, score or gate file, and no image to find one with");
    if (!isnan(choice->keep) && !(choice->keep > 0 && choice->keep <= 1))
        return cp_fail(CP_EINPUT, "the share of channels to keep is %g, allowed is above 0 to 1", choice->keep);
    candidate *all = cp_alloc(c->n_groups, sizeof *all, "channels");
    candidate *room = cp_alloc(c->n, sizeof *room, "channels");
    if (!all || !room) {
        cp_free(all);
        cp_free(room);
        return CP_ERESOURCE;
    }
    describe(c, s, all);
    keep_unscored(c, all);
    for (size_t g = 0; g < c->n_groups; g++) kept[g] = c->reason[g] >= 0;
    size_t left = isnan(choice->keep) ? c->cuttable : (size_t)floor(choice->keep * (double)c->cuttable + .5);
    size_t floors = keep_floor(c, all, choice->floor, room, kept);
    left = left > floors ? left - floors : 0;
    qsort(all, c->n_groups, sizeof *all, by_score);
    for (size_t i = 0; i < c->n_groups && left && all[i].score > 0; i++)
        if (!kept[all[i].group]) {
            kept[all[i].group] = true;
            left--;
        }
    qsort(all, c->n_groups, sizeof *all, by_group);
    if (choice->random) draw(c, all, choice->seed, kept);
    cp_free(all);
    cp_free(room);
    return CP_OK;
}
