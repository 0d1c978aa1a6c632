/* Layers that keep the shape and work value by value: activation, dropout, batchnorm, empty; and implicit, which reads
 * nothing. */
#include <limits.h>

#include "model/layer_row.h"

static cp_status shape_activation(cp_cfg_walk *walk)
{
    cp_layer_keep_shape(walk);
    cp_layer_find_activation(walk, "linear");
    return CP_OK;
}

static const cp_cfg_key activation_keys[] = {CP_KEY("activation"), CP_KEYS_END};

static const cp_layer_row activation = {.type = CP_LAYER_ACTIVATION, .name = "activation", .neuron = true,
                                        .keys = activation_keys, .shape = shape_activation,
                                        .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};

static cp_status shape_dropout(cp_cfg_walk *walk)
{
    if (!walk->index) return REFUSE("", "as layer 0, Darknet needs a layer before it");
    cp_layer_keep_shape(walk);
    TRY(cp_cfg_float(walk->cfg, walk->section, "probability", .5f, &walk->layer->probability));
    float p = walk->layer->probability;
    if (p >= 0 && p < 1) return CP_OK;
    return REFUSE("probability", "probability=%g, at least 0 and below 1 is needed", p);
}

static const cp_cfg_key dropout_keys[] = {CP_KEY("probability"), CP_MODERN_TRAINING("dropblock"),
                                          CP_MODERN_TRAINING("dropblock_size_rel"), CP_MODERN_TRAINING("dropblock_size_abs"),
                                          CP_KEYS_END};

static const cp_layer_row dropout = {.type = CP_LAYER_DROPOUT, .name = "dropout", .keys = dropout_keys,
                                     .shape = shape_dropout, .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};

/* ---- [batchnorm] ---- */

static cp_status shape_batchnorm(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_need_image(walk));
    cp_layer_keep_shape(walk);
    layer->batch_normalize = true;
    cp_layer_add_array(layer, CP_BIASES, (size_t)walk->c);
    cp_layer_add_batch_norm(layer, (size_t)walk->c);
    return CP_OK;
}

static const cp_cfg_key no_keys[] = {CP_KEYS_END};

/* Debian's Darknet has the type, and writes to memory that it never allocates. */
static const cp_layer_row batchnorm = {.type = CP_LAYER_BATCHNORM, .name = "batchnorm", .modern = true, .keys = no_keys,
                                       .shape = shape_batchnorm, .reads = cp_layer_reads_same, .ties = CP_TIES_ALL};

/* ---- [empty], [silence]: the layer before, unchanged ---- */

static cp_status shape_empty(cp_cfg_walk *walk)
{
    cp_layer_keep_shape(walk);
    return CP_OK;
}

static const cp_layer_row empty = {.type = CP_LAYER_EMPTY, .name = "empty", .aliases = {"silence"}, .modern = true,
                                   .keys = no_keys, .shape = shape_empty, .reads = cp_layer_reads_same,
                                   .ties = CP_TIES_EACH};

/* ---- [implicit]: its weights, whatever the input ---- */

static cp_status shape_implicit(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int atoms;
    TRY(cp_layer_number(walk, "filters", 128, &layer->n));
    TRY(cp_layer_number(walk, "atoms", 1, &atoms));
    layer->sources[0] = -1; /* what it counts as reading, since every layer has a source */
    TRY(cp_layer_set_output(walk, layer->n, atoms, 1));
    cp_layer_add_array(layer, CP_WEIGHTS, layer->outputs);
    return CP_OK;
}

static const cp_cfg_key implicit_keys[] = {CP_KEY_COUNT("filters"), CP_KEY_COUNT("atoms"), CP_TRAINING("mean"),
                                           CP_TRAINING("std"), CP_KEYS_END};

static const cp_layer_row implicit = {.type = CP_LAYER_IMPLICIT, .name = "implicit", .modern = true,
                                      .keys = implicit_keys, .shape = shape_implicit, .ties = CP_TIES_ALL};

const cp_layer_row *const cp_layer_values[] = {&activation, &dropout, &batchnorm, &empty, &implicit, NULL};
