/* The layers of an open model: what each reads, which are neuron layers, what depends on what. All of it comes from the
 * shapes that the check of the cfg found (model/cfg.h), none from Darknet. */
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "model/layer_row.h"
#include "model/model.h"

static void fill_shape(cp_layer_info *info, const cp_cfg_layer *l)
{
    info->c = l->out_c, info->h = l->out_h, info->w = l->out_w;
    info->outputs = l->outputs;
    if (info->c * info->h * info->w != info->outputs) info->c = info->outputs, info->h = info->w = 1; /* no image */
}

/* The layer's values are those of its source, unchanged. */
static bool passes_on(const cp_cfg_layer *l)
{
    return l->type == CP_LAYER_DROPOUT || l->type == CP_LAYER_EMPTY || (l->type == CP_LAYER_ROUTE && l->n_sources == 1 && l->groups == 1);
}

static void fill_info(cp_model *model, int i)
{
    const cp_cfg_layer *l = &model->shapes->layers[i];
    cp_layer_info *info = &model->layer[i];
    info->index = i;
    snprintf(info->type, sizeof info->type, "%s", cp_layer_type_name(l->type));
    info->head = cp_layer_type_is_head(l->type);
    info->value = i;
    info->n_sources = (int)l->n_sources;
    info->sources = l->sources;

    fill_shape(info, l);
    int source = info->sources[0];
    const cp_cfg_net *net = model->shapes;
    info->in_c = source < 0 ? (size_t)net->c : model->layer[source].c;
    info->in_h = source < 0 ? (size_t)net->h : model->layer[source].h;
    info->in_w = source < 0 ? (size_t)net->w : model->layer[source].w;
    if (source >= 0 && cp_layer_is_blurred(&net->layers[source]))
        info->in_h = (size_t)net->layers[source].blur.out_h, info->in_w = (size_t)net->layers[source].blur.out_w;
    if (passes_on(l)) {
        info->value = source < 0 ? -1 : model->layer[source].value;
        info->c = info->in_c, info->h = info->in_h, info->w = info->in_w;
    }
    snprintf(info->activation, sizeof info->activation, "%s", l->activation ? l->activation : "");
    info->neuron = cp_layer_is_neuron_layer(l);
    info->parameters = l->n_weights;
    info->macs = cp_layer_macs(l);
    info->size = l->size;
    info->stride = l->stride;
    info->pad = l->pad;
}

static void fill_depends(cp_model *model)
{
    size_t row = model->layers + 1;
    for (int i = 0; i < model->layers; ++i) {
        uint8_t *mine = model->depends + i * row;
        mine[i + 1] = 1;
        for (int s = 0; s < model->layer[i].n_sources; ++s) {
            int source = model->layer[i].sources[s];
            mine[source + 1] = 1;
            if (source >= 0)
                for (size_t k = 0; k < row; ++k) mine[k] |= model->depends[source * row + k];
        }
    }
}

static void find_heads(cp_model *model)
{
    model->kind = CP_OTHER;
    for (int i = 0; i < model->layers; ++i) {
        const cp_cfg_layer *l = &model->shapes->layers[i];
        if (l->type == CP_LAYER_YOLO || l->type == CP_LAYER_GAUSSIAN_YOLO || l->type == CP_LAYER_REGION || l->type == CP_LAYER_DETECTION) {
            model->head[model->heads++] = i;
            model->kind = CP_DETECTOR;
            model->classes = l->classes;
        }
    }
    if (model->kind == CP_DETECTOR) return;
    /* A classifier is what `classifier predict` takes it for: the last layer that is no [cost] holds the classes. */
    int last = model->layers - 1;
    while (last > 0 && model->shapes->layers[last].type == CP_LAYER_COST) --last;
    cp_layer_type type = model->shapes->layers[last].type;
    model->classes = (int)model->layer[last].outputs;
    if (type == CP_LAYER_SOFTMAX || type == CP_LAYER_LOGISTIC) {
        model->kind = CP_CLASSIFIER;
        model->head[model->heads++] = last;
    } else if (model->layer[last].h * model->layer[last].w == 1 && !model->layer[last].head) {
        model->kind = CP_CLASSIFIER; /* logits without a head */
    }
}

cp_status cp_model_build_table(cp_model *model)
{
    int n = model->layers = (int)model->shapes->n_layers;
    size_t pairs;
    if (!cp_mul((size_t)n, (size_t)n + 1, &pairs)) return cp_fail(CP_ERESOURCE, "cfg: %d layers are too many", n);
    model->layer = cp_alloc(n, sizeof *model->layer, "layer table");
    model->neuron = cp_alloc(n, sizeof *model->neuron, "layer table");
    model->neuron_position = cp_alloc(n, sizeof *model->neuron_position, "layer table");
    model->head = cp_alloc(n, sizeof *model->head, "layer table");
    model->depends = cp_alloc(pairs, 1, "layer table");
    if (!model->layer || !model->neuron || !model->neuron_position || !model->head || !model->depends)
        return CP_ERESOURCE;

    for (int i = 0; i < n; ++i) {
        fill_info(model, i);
        const cp_layer_info *info = &model->layer[i];
        model->neuron_position[i] = -1;
        if (!info->neuron) continue;
        cp_neuron_layer *neuron = &model->neuron[model->neuron_layers];
        neuron->layer = i;
        snprintf(neuron->name, sizeof neuron->name, "layer_%03d_%s", i, info->type);
        neuron->c = info->c, neuron->h = info->h, neuron->w = info->w;
        neuron->count = info->outputs;
        neuron->offset = model->neurons;
        neuron->relu = !strcmp(info->activation, "relu");
        model->neurons += neuron->count;
        model->neuron_position[i] = model->neuron_layers++;
    }
    fill_depends(model);
    find_heads(model);
    return CP_OK;
}
