/* Other weights for an open model: those of a checkpoint, or those of a network that Darknet is training. */
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/cfg.h"
#include "model/model.h"

/* Batch norm as Darknet loads it, until it is folded again. */
static void unfold(network *net)
{
    for (int i = 0; i < net->n; ++i)
        if (net->layers[i].rolling_mean) net->layers[i].batch_normalize = 1;
}

/* What the engine had prepared of the old weights. */
static void drop_engine(cp_model *model)
{
    pthread_mutex_lock(&model->engine_lock);
    if (model->engine) model->engine_free(model->engine);
    model->engine = NULL;
    pthread_mutex_unlock(&model->engine_lock);
}

cp_status cp_model_load_weights(cp_model *model, const char *weights, cp_weights_info *info)
{
    cp_weights_file *file = NULL;
    cp_status status = cp_weights_open(weights, model->shapes, model->cfg_path, &file);
    if (!status) {
        drop_engine(model);
        unfold(model->net);
        status = cp_host_read_weights(model->net, model->shapes, file, model->weights_sha256, info);
    }
    if (!status) status = cp_model_fold(model);
    cp_weights_close(file);
    return status;
}

/* By bits: Darknet's build folds isnan() away. */
static cp_status copy_array(int index, const char *what, float *to, const float *from, size_t n)
{
    if (!to != !from) return cp_fail(CP_EINPUT, "layer %d: one of the two networks has no %s", index, what);
    if (!to) return CP_OK;
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u)
            return cp_fail(CP_EINPUT, "layer %d: %s %zu of %zu is %s, a finite number is needed", index, what, i, n,
                           bits & 0x7fffffu ? "NaN" : "infinite");
    }
    memcpy(to, from, n * sizeof *to);
    cp_weights_flush(to, n);
    return CP_OK;
}

cp_status cp_model_copy_weights(cp_model *model, const network *from)
{
    network *net = model->net;
    cp_status status = CP_OK;
    if (net->n != from->n)
        return cp_fail(CP_EINPUT, "the network has %d layers, %s has %d", from->n, model->cfg_path, net->n);
    drop_engine(model);
    unfold(net);
    for (int i = 0; i < net->n && !status; ++i) {
        layer *to = &net->layers[i];
        const layer *l = &from->layers[i];
        size_t weights, biases, other_weights, other_biases;
        cp_host_array_sizes(to, &weights, &biases);
        cp_host_array_sizes(l, &other_weights, &other_biases);
        if (to->type != l->type || weights != other_weights || biases != other_biases)
            status = cp_fail(CP_EINPUT, "layer %d: the network has %zu weights, %s gives %zu", i, other_weights,
                             model->cfg_path, weights);
        if (status || !weights) continue;
        status = copy_array(i, "weight", to->weights, l->weights, weights);
        if (!status) status = copy_array(i, "bias", to->biases, l->biases, biases);
        if (status || !to->batch_normalize) continue;
        status = copy_array(i, "scale", to->scales, l->scales, biases);
        if (!status) status = copy_array(i, "rolling mean", to->rolling_mean, l->rolling_mean, biases);
        if (!status) status = copy_array(i, "rolling variance", to->rolling_variance, l->rolling_variance, biases);
    }
    model->weights_sha256[0] = 0;
#ifdef GPU
    model->gpu = from->gpu_index >= 0;
#endif
    return status ? status : cp_model_fold(model);
}
