#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- counting */

/* Keeps the list sorted by descending score; of equals the first stays in front. */
static void rank_channel(cp_summary *m, const cp_channel_summary *candidate)
{
    int at = m->n_channels;
    if (at == CP_TOP_CHANNELS && m->channel[at - 1].score >= candidate->score)
        return;
    if (at == CP_TOP_CHANNELS)
        at--;
    else
        m->n_channels++;
    for (; at > 0 && m->channel[at - 1].score < candidate->score; at--)
        m->channel[at] = m->channel[at - 1];
    m->channel[at] = *candidate;
}

/* The layer's row and its channels. */
static void add_layer(cp_summary *m, const cp_neuron_layer *layer, const cp_channel_sum *sum)
{
    cp_layer_summary *row = &m->layers[m->n_layers++];
    *row = (cp_layer_summary){.layer = layer};
    for (size_t c = 0; c < layer->c; c++) {
        const cp_channel_summary channel = {layer->layer, c, sum[c].kept, sum[c].score};
        row->kept += sum[c].kept;
        row->dead += sum[c].dead;
        row->score += sum[c].score;
        if (sum[c].kept)
            rank_channel(m, &channel);
    }
    m->kept += row->kept;
    m->dead += row->dead;
    m->score += row->score;
}

static void add_neuron(cp_summary *m, const cp_neuron_layer *layers, const cp_scored_neuron *top)
{
    while (top->neuron >= layers->offset + layers->count)
        layers++;
    size_t index = top->neuron - layers->offset, plane = layers->h * layers->w;
    m->neuron[m->n_neurons++] = (cp_neuron_summary){
        .layer = layers->layer, .channel = index / plane, .y = index % plane / layers->w, .x = index % layers->w,
        .score = top->score, .activation = top->activation};
}

cp_status cp_photo_field(const cp_session *s, const cp_item *item, int layer, size_t x, size_t y, bool *has_field,
                         double rectangle[4])
{
    const cp_placement *at = &item->placement;
    cp_rectangle field;
    cp_status status = cp_receptive_field(s->net, layer, (int)x, (int)y, &field);
    if (status)
        return status;
    double sx = (double)at->photo_w / (double)at->w, sy = (double)at->photo_h / (double)at->h;
    double x0 = fmax(0, (field.x0 - (double)at->x) * sx),
           x1 = fmin((double)at->photo_w, (field.x1 + 1. - (double)at->x) * sx);
    double y0 = fmax(0, (field.y0 - (double)at->y) * sy),
           y1 = fmin((double)at->photo_h, (field.y1 + 1. - (double)at->y) * sy);
    const double found[] = {x0, y0, x1 - x0, y1 - y0};
    *has_field = x1 > x0 && y1 > y0;
    memcpy(rectangle, found, sizeof found);
    return CP_OK;
}

cp_status cp_summary_make(const cp_session *s, const cp_item *item, const cp_path *path, cp_scores *scores,
                          cp_summary *m)
{
    int n, n_top;
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    cp_scored_neuron top[CP_TOP_NEURONS];
    cp_channel_sum *channel = cp_alloc(cp_model_channel_count(s->model), sizeof *channel, "summary");
    *m = (cp_summary){.layers = cp_alloc((size_t)n, sizeof *m->layers, "summary")};
    cp_status status = CP_ERESOURCE;
    if (m->layers && channel)
        status = cp_scores_describe(scores, path, channel, CP_TOP_NEURONS, top, &n_top);
    for (int l = 0; l < n && !status; l++)
        add_layer(m, &layers[l], channel + cp_model_channel_offset(s->model, l));
    for (int i = 0; !status && i < n_top; i++) {
        add_neuron(m, layers, &top[i]);
        status = cp_photo_field(s, item, m->neuron[i].layer, m->neuron[i].x, m->neuron[i].y, &m->neuron[i].has_field,
                                m->neuron[i].field);
    }
    cp_free(channel);
    return status;
}

void cp_summary_free(cp_summary *m)
{
    cp_free(m->layers);
    m->layers = NULL;
}

/* ---------------------------------------------------------------- text */

/* Per cent of a whole, or "-" where there is no whole. */
static const char *percent(double part, double whole, char text[16])
{
    if (whole > 0)
        snprintf(text, 16, "%.2f%%", 100 * part / whole);
    else
        snprintf(text, 16, "-");
    return text;
}

void cp_summary_print(const cp_summary *m, double threshold, FILE *to)
{
    char a[32], b[32], share[16], dead[16], part[16];
    fprintf(to, "neurons on the path by layer; each scores at least %.4g\n", threshold);
    fprintf(to, "  %-24s %12s %12s %8s %8s %8s\n", "layer", "neurons", "on the path", "share", "dead", "score");
    for (int i = 0; i < m->n_layers; i++) {
        const cp_layer_summary *row = &m->layers[i];
        fprintf(to, "  %-24s %12s %12s %8s %8s %8s\n", row->layer->name + strlen("layer_"),
                cp_grouped(row->layer->count, a), cp_grouped(row->kept, b),
                percent((double)row->kept, (double)row->layer->count, share),
                percent((double)row->dead, (double)row->kept, dead), percent(row->score, m->score, part));
    }
    if (m->n_channels)
        fprintf(to, "top channels, by their part of the path's score\n");
    for (int i = 0; i < m->n_channels; i++)
        fprintf(to, "  layer %3d channel %4zu  %8s  %s neuron%s\n", m->channel[i].layer, m->channel[i].channel,
                percent(m->channel[i].score, m->score, part), cp_grouped(m->channel[i].kept, a),
                m->channel[i].kept == 1 ? "" : "s");
    if (m->n_neurons)
        fprintf(to, "top neurons, and the part of the photo that they can read\n");
    for (int i = 0; i < m->n_neurons; i++) {
        const cp_neuron_summary *n = &m->neuron[i];
        fprintf(to, "  layer %3d channel %4zu at (%zu, %zu)  score %.4g", n->layer, n->channel, n->x, n->y,
                (double)n->score);
        if (n->has_field)
            fprintf(to, "  x %.0f..%.0f y %.0f..%.0f", n->field[0], n->field[0] + n->field[2], n->field[1],
                    n->field[1] + n->field[3]);
        fputc('\n', to);
    }
}

/* ---------------------------------------------------------------- JSON */

static json_t *ratio(double part, double whole) { return cp_json_real(whole > 0 ? part / whole : NAN); }

static json_t *layer_json(const cp_summary *m, const cp_layer_summary *row)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "layer", json_integer(row->layer->layer));
    bad |= cp_json_set(object, "name", cp_json_text(row->layer->name));
    bad |= cp_json_set(object, "neurons", json_integer((json_int_t)row->layer->count));
    bad |= cp_json_set(object, "kept", json_integer((json_int_t)row->kept));
    bad |= cp_json_set(object, "share", ratio((double)row->kept, (double)row->layer->count));
    bad |= cp_json_set(object, "dead", json_integer((json_int_t)row->dead));
    bad |= cp_json_set(object, "dead_share", ratio((double)row->dead, (double)row->kept));
    bad |= cp_json_set(object, "score_share", ratio(row->score, m->score));
    return cp_json_finish(object, bad);
}

static json_t *channel_json(const cp_summary *m, const cp_channel_summary *channel)
{
    json_t *object = json_object();
    cp_json_set(object, "layer", json_integer(channel->layer));
    cp_json_set(object, "channel", json_integer((json_int_t)channel->channel));
    cp_json_set(object, "kept", json_integer((json_int_t)channel->kept));
    cp_json_set(object, "score_share", ratio(channel->score, m->score));
    return object;
}

static json_t *neuron_json(const cp_neuron_summary *n)
{
    json_t *object = json_object(), *field = n->has_field ? json_array() : json_null();
    cp_json_set(object, "layer", json_integer(n->layer));
    cp_json_set(object, "channel", json_integer((json_int_t)n->channel));
    cp_json_set(object, "y", json_integer((json_int_t)n->y));
    cp_json_set(object, "x", json_integer((json_int_t)n->x));
    cp_json_set(object, "score", cp_json_float(n->score));
    cp_json_set(object, "activation", cp_json_float(n->activation));
    for (int k = 0; k < 4 && n->has_field; k++)
        cp_json_append(field, cp_json_float((float)n->field[k]));
    cp_json_set(object, "photo_xywh", field);
    return object;
}

cp_status cp_summary_json(const cp_summary *m, json_t *object)
{
    json_t *layers = json_array(), *channels = json_array(), *neurons = json_array();
    int bad = 0;
    for (int i = 0; i < m->n_layers; i++)
        bad |= cp_json_append(layers, layer_json(m, &m->layers[i]));
    for (int i = 0; i < m->n_channels; i++)
        bad |= cp_json_append(channels, channel_json(m, &m->channel[i]));
    for (int i = 0; i < m->n_neurons; i++)
        bad |= cp_json_append(neurons, neuron_json(&m->neuron[i]));
    bad |= cp_json_set(object, "dead_share", ratio((double)m->dead, (double)m->kept));
    bad |= cp_json_set(object, "layers", layers);
    bad |= cp_json_set(object, "top_channels", channels);
    bad |= cp_json_set(object, "top_neurons", neurons);
    return bad ? CP_ERESOURCE : CP_OK;
}

json_t *cp_item_json(const cp_session *s, const cp_item *item)
{
    const cp_placement *at = &item->placement;
    json_t *object = json_object();
    int n_layers;
    cp_model_neuron_layers(s->model, &n_layers);
    json_t *photo = json_pack("{s:i,s:i,s:i,s:b,s:s}", "width", item->photo.w, "height", item->photo.h, "exif_orientation",
                              item->photo.orientation, "turned",
                              item->photo.orientation > 1 && cp_picture_obeys_orientation(), "sha256", item->sha256);
    json_t *placed = json_pack("[I,I,I,I]", (json_int_t)at->x, (json_int_t)at->y, (json_int_t)at->w, (json_int_t)at->h);
    json_t *input = json_pack("{s:I,s:I,s:I,s:b,s:s,s:o,s:s}", "channels", (json_int_t)s->c, "height", (json_int_t)s->h,
                              "width", (json_int_t)s->w, "letterbox", s->options->letterbox == CP_FIT_LETTERBOX,
                              "fit", cp_fit_name((cp_fit)s->options->letterbox), "photo_xywh", placed,
                              "sha256", item->input_sha256);
    json_t *model = json_object();
    int bad = cp_json_set(model, "cfg", cp_json_text(s->cfg_path));
    bad |= cp_json_set(model, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(model, "weights", cp_json_text(s->weights_path));
    bad |= cp_json_set(model, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(model, "host", cp_json_text(cp_lineage_name(cp_model_semantics(s->model)->lineage)));
    bad |= cp_json_set(model, "host_reason", cp_json_text(cp_model_semantics(s->model)->reason));
    bad |= cp_json_set(model, "neuron_layers", json_integer(n_layers));
    bad |= cp_json_set(model, "neurons", json_integer((json_int_t)cp_model_neuron_count(s->model)));
    bad |= cp_json_set(object, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(object, "command", cp_json_text(s->command->name));
    bad |= cp_json_set(object, "image", cp_json_text(item->path));
    bad |= cp_json_set(object, "photo", photo);
    bad |= cp_json_set(object, "input", input);
    bad |= cp_json_set(object, "model", model);
    return cp_json_finish(object, bad);
}

cp_status cp_pathway_json(const cp_session *s, const cp_pathway *pathway, json_t *object)
{
    const cp_selection *selection = &pathway->selection;
    char why[200];
    json_t *cut = json_object();
    int bad = cp_json_set(cut, "cut", json_boolean(pathway->cut.cut));
    if (pathway->cut.cut) {
        bad |= cp_json_set(cut, "layer", json_integer(pathway->cut.layer));
        bad |= cp_json_set(cut, "why", cp_json_text(cp_cut_text(s, &pathway->cut, why)));
    }
    bad |= cp_json_set(cut, "sparsest_uncut", cp_json_real(pathway->cut.sparsest_uncut));
    bad |= cp_json_set(object, "sparsity_asked", cp_json_real(pathway->asked));
    bad |= cp_json_set(object, "granularity", cp_json_text(cp_by_channel(s->options) ? "channel" : "neuron"));
    bad |= cp_json_set(object, "mass_asked", cp_json_real(pathway->mass_asked));
    bad |= cp_json_set(object, "mass", cp_json_real(selection->mass));
    bad |= cp_json_set(object, "all_that_score", json_boolean(pathway->everything));
    bad |= cp_json_set(object, "gradient_share", cp_json_real(pathway->gradient_share));
    bad |= cp_json_set(object, "sparsity_lowered", json_boolean(pathway->lowered));
    bad |= cp_json_set(object, "sparsity", cp_json_real(selection->sparsity));
    bad |= cp_json_set(object, "asked", json_integer((json_int_t)selection->asked));
    bad |= cp_json_set(object, "kept", json_integer((json_int_t)selection->kept));
    bad |= cp_json_set(object, "threshold", cp_json_float(selection->threshold));
    bad |= cp_json_set(object, "floor", cp_json_real(s->options->floor));
    bad |= cp_json_set(object, "cut", cut);
    return bad ? CP_ERESOURCE : CP_OK;
}
