/* The layer table: the rows of all families, what they say of a layer, and the types that are refused by name. */
#include <string.h>

#include "model/layer_row.h"

static const cp_layer_row *const *const families[] = {cp_layer_filters, cp_layer_planes, cp_layer_joins, cp_layer_values,
                                                      cp_layer_heads};
enum { FAMILIES = sizeof families / sizeof *families };

/* Types that some Darknet has and that are not supported. Their keys are not looked at. */
static const cp_layer_row refused_rows[] = {
    {.name = "lrn", .aliases = {"normalization"},
     .refused = "Darknet's own forward is wrong here: its window drifts and norms turn negative"},
    {.name = "l2norm", .refused = "Darknet divides by zero in it and its gradient is wrong"},
    {.name = "pathmask",
     .refused = "masks are for Darknet's own verbs; `darknet critpath strip` writes the cfg without them"},
    {.name = "iseg", .refused = "Darknet's forward reads the ground truth, which a prediction does not have"},
    {.name = "rnn", .refused = "recurrent layers have no image input"},
    {.name = "gru", .refused = "recurrent layers have no image input"},
    {.name = "lstm", .refused = "recurrent layers have no image input"},
    {.name = "crnn", .refused = "recurrent layers keep a state between images"},
    {.name = "conv_lstm", .refused = "recurrent layers keep a state between images"},
    {.name = "history", .refused = "recurrent layers keep a state between images"},
};

/* `place` counts the rows of all families. */
static cp_layer_type type_at(const cp_layer_row *row, int place)
{
    return row->type ? row->type : (cp_layer_type)(CP_LAYER_TYPES + place);
}

const cp_layer_row *cp_layer_row_of(cp_layer_type type)
{
    static const cp_layer_row unknown = {.name = "unknown"};
    for (int f = 0, place = 0; f < FAMILIES; f++)
        for (const cp_layer_row *const *row = families[f]; *row; row++)
            if (type_at(*row, place++) == type) return *row;
    return &unknown;
}

const char *cp_layer_type_name(cp_layer_type type) { return cp_layer_row_of(type)->name; }

bool cp_layer_type_is_head(cp_layer_type type) { return cp_layer_row_of(type)->head; }

bool cp_layer_is_neuron_layer(const cp_cfg_layer *layer)
{
    return cp_layer_row_of(layer->type)->neuron && !layer->logit && layer->activation && strcmp(layer->activation, "linear");
}

bool cp_layer_has_filters(const cp_cfg_layer *layer) { return cp_layer_row_of(layer->type)->filters; }

double cp_layer_macs(const cp_cfg_layer *layer)
{
    const cp_layer_row *row = cp_layer_row_of(layer->type);
    return row->macs ? row->macs(layer) : 0;
}

const char *cp_array_name(cp_array_kind kind)
{
    static const char *const names[] = {"biases", "scales", "rolling_mean", "rolling_variance", "weights"};
    return (unsigned)kind < 5 ? names[kind] : "unknown";
}

static bool is_named(const cp_layer_row *row, const char *name)
{
    for (size_t a = 0; a < sizeof row->aliases / sizeof *row->aliases; a++)
        if (row->aliases[a] && !strcmp(name, row->aliases[a])) return true;
    return !strcmp(name, row->name);
}

cp_status cp_cfg_find_type(const cp_cfg_walk *walk, cp_layer_type *type)
{
    const char *name = cp_cfg_type(walk->cfg, walk->section);
    int line = cp_cfg_line(walk->cfg, walk->section);
    *type = CP_LAYER_UNKNOWN;
    for (int f = 0, place = 0; f < FAMILIES; f++)
        for (const cp_layer_row *const *row = families[f]; *row; row++, place++)
            if (is_named(*row, name)) {
                *type = type_at(*row, place);
                return CP_OK;
            }
    for (size_t i = 0; i < sizeof refused_rows / sizeof *refused_rows; i++)
        if (is_named(&refused_rows[i], name))
            return cp_cfg_refuse(walk->cfg, walk->section, line, "not supported: %s", refused_rows[i].refused);
    if (cp_cfg_is_net(name))
        return cp_cfg_refuse(walk->cfg, walk->section, line, "only the first section may be [net]");
    return cp_cfg_refuse(walk->cfg, walk->section, line, "Darknet has no layer of this type");
}

bool cp_layer_is_foreign(const cp_cfg_layer *l)
{
    if (cp_layer_row_of(l->type)->head) return false;
    if (cp_layer_row_of(l->type)->modern || cp_cfg_is_foreign_activation(l)) return true;
    if (cp_layer_is_blurred(l)) return true;
    switch (l->type) {
    case CP_LAYER_CONVOLUTIONAL:
        return l->share >= 0 || l->dilation > 1 || l->stride != l->stride_y || (l->size == 1 && l->stride > 1);
    case CP_LAYER_MAXPOOL: return l->depth || l->stride != l->stride_y;
    case CP_LAYER_SHORTCUT: return l->n_sources > 2 || l->sum_weights;
    default: return false;
    }
}
