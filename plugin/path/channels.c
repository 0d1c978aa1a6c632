/* Paths of whole channels: the rules of select.c and cut.c over a table in which a layer's neurons are its channels. */
#include "path/path.h"

#include <string.h>

#include "io/error.h"

/* Sets the neurons of the layer's kept channels, and no others. */
static void expand(const cp_neuron_layer *layer, const uint64_t *channels, uint64_t *words)
{
    size_t plane = layer->h * layer->w;
    memset(words, 0, (layer->count + 63) / 64 * sizeof *words);
    for (size_t c = 0; c < layer->c; c++)
        if (channels[c / 64] >> c % 64 & 1)
            for (size_t i = c * plane; i < (c + 1) * plane; i++)
                words[i / 64] |= (uint64_t)1 << i % 64;
}

bool cp_path_is_of_channels(const cp_path *path)
{
    bool any = false;
    for (int l = 0; l < path->n_layers; l++) {
        const uint64_t *words = cp_path_words(path, l);
        size_t plane = path->layers[l].h * path->layers[l].w;
        for (size_t i = 0; i < path->layers[l].count && plane > 1; i++) {
            size_t first = i - i % plane;
            if ((words[i / 64] >> i % 64 & 1) != (words[first / 64] >> first % 64 & 1))
                return false;
        }
        any |= plane > 1;
    }
    return any;
}

/* A path over the channels; *table is its layers. */
static cp_status create_channels(const cp_path *path, cp_neuron_layer **table, cp_path **channels)
{
    size_t offset = 0;
    *channels = NULL;
    *table = cp_alloc((size_t)path->n_layers, sizeof **table, "channels");
    if (!*table)
        return CP_ERESOURCE;
    for (int l = 0; l < path->n_layers; l++) {
        cp_neuron_layer *row = &(*table)[l];
        *row = path->layers[l];
        row->count = row->c;
        row->h = row->w = 1;
        row->offset = offset;
        offset += row->c;
    }
    return cp_path_create_over(path->model, *table, path->n_layers, channels);
}

/* By sparsity, or by mass where that is above 0. */
static cp_status select_channels(cp_path *path, const float *channel, double sparsity, double mass, double floor,
                                 cp_selection *selection)
{
    cp_path *kept;
    cp_neuron_layer *table;
    cp_status status = create_channels(path, &table, &kept);
    if (!status)
        status = mass > 0 ? cp_path_select_mass(kept, channel, mass, floor, selection)
                          : cp_path_select(kept, channel, sparsity, floor, selection);
    for (int l = 0; l < path->n_layers && !status; l++)
        expand(&path->layers[l], cp_path_words(kept, l), path->words + path->first[l]);
    if (!status && selection) {
        selection->kept = cp_path_count(path);
        selection->sparsity = path->neurons ? 1 - (double)selection->kept / (double)path->neurons : 0;
    }
    cp_path_free(kept);
    cp_free(table);
    return status;
}

cp_status cp_path_select_channels(cp_path *path, const float *channel, double sparsity, double floor,
                                  cp_selection *selection)
{
    return select_channels(path, channel, sparsity, 0, floor, selection);
}

cp_status cp_path_select_channels_mass(cp_path *path, const float *channel, double mass, double floor,
                                       cp_selection *selection)
{
    cp_status status = cp_path_check_mass(mass);
    return status ? status : select_channels(path, channel, 0, mass, floor, selection);
}

cp_status cp_path_find_cut_channels(const cp_path *path, const float *channel, const cp_response *response, cp_cut *cut)
{
    cp_path *kept;
    cp_neuron_layer *table;
    cp_status status = create_channels(path, &table, &kept);
    for (int l = 0; l < path->n_layers && !status; l++)
        if (cp_path_layer_count(path, l))
            cp_path_words_mutable(kept, l)[0] = 1; /* a layer blocks the way only when it is empty */
    if (!status)
        status = cp_path_find_cut(kept, channel, response, cut);
    cut->channels = true;
    cp_path_free(kept);
    cp_free(table);
    return status;
}
