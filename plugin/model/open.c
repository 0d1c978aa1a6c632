/* Opens cfg and weights: checked by us first, then parsed and loaded by Darknet, then made fit for inference. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/error.h"
#include "io/hash.h"
#include "model/cfg.h"
#include "model/model.h"
#include "model/weights.h"

/* Darknet reports every layer it parses on stderr; a program that explains one photo must not. The whole process is
 * silenced meanwhile: models are opened before threads start. */
static int silence_stderr(void)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
    return saved;
}

static void restore_stderr(int saved)
{
    fflush(stderr);
    if (saved < 0) return;
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* Darknet reads a cfg from a path, so the prepared text gets one: an anonymous file in memory. */
cp_status cp_host_parse(const char *text, size_t length, bool random, network **net)
{
    int file = memfd_create("cfg", MFD_CLOEXEC);
    if (file < 0) return cp_fail(CP_ERESOURCE, "cfg: no anonymous file for the prepared text");
    cp_status status = CP_OK;
    for (size_t done = 0; done < length && !status;) {
        ssize_t wrote = write(file, text + done, length - done);
        if (wrote <= 0)
            status = cp_fail(CP_ERESOURCE, "cfg: %zu bytes of prepared text could not be kept", length);
        else
            done += wrote;
    }
    if (!status) {
        char path[40];
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        int saved = silence_stderr();
        srand(2222222); /* the initial weights are the same each time */
        random_weights = random;
        *net = parse_network_cfg(path);
        random_weights = 1;
        restore_stderr(saved);
    }
    close(file);
    return status;
}

/* Without weights Darknet leaves the rolling variance at 0, a division by 1e-6 in every layer: 1 keeps random networks
 * finite. */
static void neutral_batch_norm(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (!l->batch_normalize) continue;
        int filters = l->type == CONNECTED ? l->outputs : l->n;
        for (int f = 0; f < filters; ++f) l->rolling_variance[f] = 1;
    }
}

void cp_host_load_weights(network *net, const char *weights)
{
    /* Darknet leaves a deconvolution without groups, and divides by them to count its weights. */
    for (int i = 0; i < net->n; ++i)
        if (net->layers[i].type == DECONVOLUTIONAL) net->layers[i].groups = 1;
    int saved = silence_stderr(), gpu = gpu_index;
    gpu_index = net->gpu_index; /* below 0 the network has no arrays on a GPU to push them to */
    load_weights(net, (char *)weights);
    gpu_index = gpu;
    restore_stderr(saved);
}

/* Our shapes and Darknet's must agree; where they do not, one of the two is wrong about this cfg. */
static cp_status compare_shapes(const cp_model *model, const cp_cfg_net *net)
{
    if ((size_t)model->net->n != net->n_layers)
        return cp_fail(CP_EINTERNAL, "cfg: Darknet parsed %d layers, the check %zu", model->net->n, net->n_layers);
    for (int i = 0; i < model->net->n; ++i) {
        const layer *l = &model->net->layers[i];
        if ((size_t)l->outputs != net->layers[i].outputs)
            return cp_fail(CP_EINTERNAL, "layer %d: Darknet gives it %d outputs, the check %zu", i, l->outputs,
                           net->layers[i].outputs);
    }
    return CP_OK;
}

static cp_status open_checked(cp_model *model, const char *weights)
{
    cp_cfg *cfg = NULL;
    char *text = NULL;
    size_t length;
    cp_weights_file *file = NULL;
    cp_status status = cp_cfg_read(model->cfg_path, &cfg);
    if (!status) status = cp_cfg_prepare(cfg, 1, 0, 0);
    if (!status) status = cp_cfg_check(cfg, 0, &model->shapes);
    const cp_cfg_net *net = model->shapes;
    if (!status && weights) status = cp_weights_open(weights, net, model->cfg_path, &file);
    if (!status) status = cp_cfg_render(cfg, &text, &length);
    if (!status) status = cp_host_parse(text, length, !weights, &model->net);
    if (!status) status = compare_shapes(model, net);
    if (!status && weights) status = cp_host_read_weights(model->net, net, file, model->weights_sha256, NULL);
    if (!status && !weights) neutral_batch_norm(model->net);
    if (!status) status = cp_model_build_table(model);
    if (!status) status = cp_model_fold(model);
    cp_weights_close(file);
    cp_free(text);
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

void cp_host_free(network *net)
{
    if (!net) return;
    int gpu = gpu_index;
    gpu_index = net->gpu_index;
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (l->type == DROPOUT) l->output = l->delta = NULL; /* the previous layer's */
        free(l->mask), l->mask = NULL; /* free_layer forgets these */
        free(l->cost), l->cost = NULL;
        free(l->loss), l->loss = NULL;
#ifdef GPU
        if (gpu_index >= 0) cuda_free(l->loss_gpu);
#endif
    }
#ifdef GPU
    if (gpu_index >= 0) cuda_free(net->workspace), net->workspace = NULL;
#endif
    free(net->seen), free(net->t), free(net->cost), free(net->workspace);
    free(net->scales), free(net->steps);
    free_network(net);
    gpu_index = gpu;
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
