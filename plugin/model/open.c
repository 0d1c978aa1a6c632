/* Opens cfg and weights: checked by us first, then made into Darknet's layers, loaded, and made fit for inference. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/hash.h"
#include "model/cfg.h"
#include "model/model.h"
#include "model/weights.h"

/* Without weights Darknet leaves the rolling variance at 0, a division by 1e-6 in every layer: 1 keeps random networks
 * finite. */
static void neutral_batch_norm(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (!l->batch_normalize) continue;
        int filters = l->type == CONNECTED ? l->outputs : l->type == BATCHNORM ? l->nbiases : l->n;
        for (int f = 0; f < filters; ++f) l->rolling_variance[f] = 1;
    }
}

static cp_status open_checked(cp_model *model, const char *weights)
{
    cp_cfg *cfg = NULL;
    cp_weights_file *file = NULL;
    cp_status status = cp_cfg_read(model->cfg_path, &cfg);
    if (!status) status = cp_cfg_prepare(cfg, 1, 0, 0);
    if (!status) status = cp_cfg_check(cfg, 0, &model->shapes);
    if (!status) status = cp_model_find_semantics(model);
    const cp_cfg_net *net = model->shapes;
    if (!status && weights) status = cp_weights_open(weights, net, model->cfg_path, &file);
    if (!status) status = cp_host_build(net, !weights, &model->net);
    if (!status && weights) status = cp_host_read_weights(model->net, net, file, model->weights_sha256, NULL);
    if (!status && !weights) neutral_batch_norm(model->net);
    if (!status) status = cp_model_build_table(model);
    if (!status) cp_model_find_fit(model);
    if (!status) status = cp_model_fold(model);
    cp_weights_close(file);
    cp_cfg_free(cfg);
    return status;
}

cp_status cp_model_open(const char *cfg, const char *weights, cp_model **out)
{
    *out = NULL;
    cp_model *model = cp_alloc(1, sizeof *model, "model");
    if (!model) return CP_ERESOURCE;
    pthread_mutex_init(&model->engine_lock, NULL);
    model->gpu = cp_device() >= 0;
    model->cfg_path = strdup(cfg);
    model->weights_path = weights ? strdup(weights) : NULL;
    cp_status status = model->cfg_path && (!weights || model->weights_path)
                           ? CP_OK
                           : cp_fail(CP_ERESOURCE, "model: out of memory");
    /* The engine has frames of its own, on a GPU too: Darknet keeps this network off the GPU. */
    int gpu = gpu_index;
    gpu_index = -1;
    if (!status) status = open_checked(model, weights);
    gpu_index = gpu;
    if (!status) status = cp_sha256_file(cfg, model->cfg_sha256);
    if (status) {
        cp_model_free(model);
        return status;
    }
    *out = model;
    return CP_OK;
}

void cp_model_free(cp_model *model)
{
    if (!model) return;
    if (model->engine) model->engine_free(model->engine);
    cp_host_free(model->net);
    cp_free(model->layer), cp_free(model->neuron), cp_free(model->neuron_position);
    cp_free(model->head), cp_free(model->depends);
    cp_cfg_net_free(model->shapes);
    free(model->cfg_path), free(model->weights_path);
    pthread_mutex_destroy(&model->engine_lock);
    cp_free(model);
}

cp_model_kind cp_model_get_kind(const cp_model *model) { return model->kind; }

void cp_model_input_shape(const cp_model *model, size_t *c, size_t *h, size_t *w)
{
    const network *net = model->net;
    *c = net->c, *h = net->h, *w = net->w;
    if ((size_t)net->c * net->h * net->w != (size_t)net->inputs) *c = net->inputs, *h = *w = 1;
}

const cp_cfg_net *cp_model_shapes(const cp_model *model) { return model->shapes; }
int cp_model_layer_count(const cp_model *model) { return model->layers; }
const cp_layer_info *cp_model_layer(const cp_model *model, int index) { return &model->layer[index]; }

const cp_neuron_layer *cp_model_neuron_layers(const cp_model *model, int *count)
{
    *count = model->neuron_layers;
    return model->neuron;
}

size_t cp_model_neuron_count(const cp_model *model) { return model->neurons; }
int cp_model_neuron_position(const cp_model *model, int index) { return model->neuron_position[index]; }

size_t cp_model_channel_offset(const cp_model *model, int neuron_layer)
{
    size_t channels = 0;
    for (int l = 0; l < model->neuron_layers && l < neuron_layer; ++l) channels += model->neuron[l].c;
    return channels;
}

size_t cp_model_channel_count(const cp_model *model) { return cp_model_channel_offset(model, model->neuron_layers); }

bool cp_model_depends(const cp_model *model, int reader, int source)
{
    return model->depends[(size_t)reader * (model->layers + 1) + source + 1];
}

int cp_model_classes(const cp_model *model) { return model->classes; }
const char *cp_model_cfg_sha256(const cp_model *model) { return model->cfg_sha256; }
const char *cp_model_weights_sha256(const cp_model *model) { return model->weights_sha256; }
