/* Layers that keep the shape and work value by value: activation, dropout. */
#include "model/layer_row.h"

static cp_status shape_activation(cp_cfg_walk *walk)
{
    cp_layer_keep_shape(walk);
    cp_layer_find_activation(walk, "linear");
    return CP_OK;
}

static const cp_cfg_key activation_keys[] = {CP_KEY("activation"), CP_KEYS_END};

const cp_layer_row cp_row_activation = {.name = "activation", .neuron = true, .keys = activation_keys,
                                        .shape = shape_activation, .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};

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

const cp_layer_row cp_row_dropout = {.name = "dropout", .keys = dropout_keys, .shape = shape_dropout,
                                     .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};
