/* The layer table: what each layer reads, which layers are neuron layers, what depends on what. */
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "model/model.h"

char *get_activation_string(ACTIVATION a); /* Darknet's, not in darknet.h */

const char *cp_host_type_name(LAYER_TYPE type)
{
    static const char *const names[] = {
        [CONVOLUTIONAL] = "convolutional", [DECONVOLUTIONAL] = "deconvolutional", [CONNECTED] = "connected",
        [MAXPOOL] = "maxpool", [SOFTMAX] = "softmax", [DETECTION] = "detection", [DROPOUT] = "dropout", [CROP] = "crop",
        [ROUTE] = "route", [COST] = "cost", [NORMALIZATION] = "normalization", [AVGPOOL] = "avgpool", [LOCAL] = "local",
        [SHORTCUT] = "shortcut", [ACTIVE] = "activation", [RNN] = "rnn", [GRU] = "gru", [LSTM] = "lstm",
        [CRNN] = "crnn", [BATCHNORM] = "batchnorm", [REGION] = "region", [YOLO] = "yolo", [ISEG] = "iseg",
        [REORG] = "reorg", [UPSAMPLE] = "upsample", [LOGXENT] = "logistic", [L2NORM] = "l2norm",
    };
    if ((size_t)type < sizeof names / sizeof *names && names[type]) return names[type];
    return "unknown";
}

bool cp_host_type_is_head(LAYER_TYPE type)
{
    return type == SOFTMAX || type == LOGXENT || type == COST || type == YOLO || type == REGION || type == DETECTION;
}

static bool can_be_neuron(LAYER_TYPE type)
{
    return type == CONVOLUTIONAL || type == CONNECTED || type == LOCAL || type == DECONVOLUTIONAL || type == SHORTCUT ||
           type == ACTIVE;
}

static double layer_macs(const layer *l)
{
    double positions = (double)l->out_h * l->out_w, window = (double)l->size * l->size;
    switch (l->type) {
    case CONVOLUTIONAL: return positions * window * l->n * (l->c / (l->groups ? l->groups : 1));
    case DECONVOLUTIONAL: return (double)l->h * l->w * window * l->n * l->c;
    case LOCAL: return positions * window * l->n * l->c;
    case CONNECTED: return (double)l->inputs * l->outputs;
    default: return 0;
    }
}

static size_t layer_parameters(const layer *l)
{
    size_t window = (size_t)l->size * l->size;
    switch (l->type) {
    case CONVOLUTIONAL:
        return window * l->n * (l->c / (l->groups ? l->groups : 1)) + (l->batch_normalize ? 4 : 1) * (size_t)l->n;
    case DECONVOLUTIONAL: return window * l->n * l->c + (l->batch_normalize ? 4 : 1) * (size_t)l->n;
    case LOCAL: return window * l->n * l->c * l->out_w * l->out_h + (size_t)l->outputs;
    case CONNECTED: return (size_t)l->inputs * l->outputs + (l->batch_normalize ? 4 : 1) * (size_t)l->outputs;
    default: return 0;
    }
}

static int count_sources(const layer *l) { return l->type == ROUTE ? l->n : l->type == SHORTCUT ? 2 : 1; }

static void fill_shape(cp_layer_info *info, const layer *l)
{
    info->c = l->out_c, info->h = l->out_h, info->w = l->out_w;
    info->outputs = l->outputs;
    /* Some types leave the spatial shape of their output unset. */
    if (info->c * info->h * info->w != info->outputs) info->c = info->outputs, info->h = info->w = 1;
}

static void fill_info(cp_model *model, int i, int **pool)
{
    const layer *l = &model->net->layers[i];
    cp_layer_info *info = &model->layer[i];
    info->index = i;
    snprintf(info->type, sizeof info->type, "%s", cp_host_type_name(l->type));
    info->head = cp_host_type_is_head(l->type);
    info->value = i;
    info->n_sources = count_sources(l);
    info->sources = *pool;
    if (l->type == ROUTE)
        for (int s = 0; s < l->n; ++s) (*pool)[s] = l->input_layers[s];
    else
        (*pool)[0] = i - 1;
    if (l->type == SHORTCUT) (*pool)[1] = l->index;
    *pool += info->n_sources;

    fill_shape(info, l);
    int source = info->sources[0];
    const network *net = model->net;
    info->in_c = source < 0 ? (size_t)net->c : model->layer[source].c;
    info->in_h = source < 0 ? (size_t)net->h : model->layer[source].h;
    info->in_w = source < 0 ? (size_t)net->w : model->layer[source].w;
    if (l->type == DROPOUT || (l->type == ROUTE && l->n == 1)) {
        info->value = source < 0 ? -1 : model->layer[source].value;
        info->c = info->in_c, info->h = info->in_h, info->w = info->in_w;
    }
    if (can_be_neuron(l->type)) {
        snprintf(info->activation, sizeof info->activation, "%s", get_activation_string(l->activation));
        info->neuron = l->activation != LINEAR;
    }
    info->parameters = layer_parameters(l);
    info->macs = layer_macs(l);
    bool windowed = l->type == CONVOLUTIONAL || l->type == DECONVOLUTIONAL || l->type == LOCAL || l->type == MAXPOOL;
    info->size = windowed ? l->size : 0;
    info->stride = windowed || l->type == UPSAMPLE || l->type == REORG ? l->stride : 0;
    info->pad = windowed ? l->pad : 0;
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
        const layer *l = &model->net->layers[i];
        if (l->type == YOLO || l->type == REGION || l->type == DETECTION) {
            model->head[model->heads++] = i;
            model->kind = CP_DETECTOR;
            model->classes = l->classes;
        }
    }
    if (model->kind == CP_DETECTOR) return;
    /* A classifier is what `classifier predict` takes it for: the last layer that is no [cost] holds the classes. */
    int last = model->layers - 1;
    while (last > 0 && model->net->layers[last].type == COST) --last;
    model->classes = (int)model->layer[last].outputs;
    if (model->net->layers[last].type == SOFTMAX || model->net->layers[last].type == LOGXENT) {
        model->kind = CP_CLASSIFIER;
        model->head[model->heads++] = last;
    } else if (model->layer[last].h * model->layer[last].w == 1 && !model->layer[last].head) {
        model->kind = CP_CLASSIFIER; /* logits without a head */
    }
}

cp_status cp_model_build_table(cp_model *model)
{
    network *net = model->net;
    int n = model->layers = net->n;
    size_t sources = 0, pairs;
    for (int i = 0; i < n; ++i) sources += count_sources(&net->layers[i]);
    if (!cp_mul((size_t)n, (size_t)n + 1, &pairs)) return cp_fail(CP_ERESOURCE, "cfg: %d layers are too many", n);
    model->layer = cp_alloc(n, sizeof *model->layer, "layer table");
    model->sources = cp_alloc(sources, sizeof *model->sources, "layer table");
    model->neuron = cp_alloc(n, sizeof *model->neuron, "layer table");
    model->neuron_position = cp_alloc(n, sizeof *model->neuron_position, "layer table");
    model->head = cp_alloc(n, sizeof *model->head, "layer table");
    model->depends = cp_alloc(pairs, 1, "layer table");
    if (!model->layer || !model->sources || !model->neuron || !model->neuron_position || !model->head || !model->depends)
        return CP_ERESOURCE;

    int *pool = model->sources;
    for (int i = 0; i < n; ++i) {
        fill_info(model, i, &pool);
        const cp_layer_info *info = &model->layer[i];
        model->neuron_position[i] = -1;
        if (!info->neuron) continue;
        cp_neuron_layer *neuron = &model->neuron[model->neuron_layers];
        neuron->layer = i;
        snprintf(neuron->name, sizeof neuron->name, "layer_%03d_%s", i, info->type);
        neuron->c = info->c, neuron->h = info->h, neuron->w = info->w;
        neuron->count = info->outputs;
        neuron->offset = model->neurons;
        neuron->relu = net->layers[i].activation == RELU;
        model->neurons += neuron->count;
        model->neuron_position[i] = model->neuron_layers++;
    }
    fill_depends(model);
    find_heads(model);
    return CP_OK;
}
