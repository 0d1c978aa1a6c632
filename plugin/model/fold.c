/* Batch norm folded into the weights before it, exactly as Darknet's forward computes it on the device in use. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/model.h"

/* What Darknet's forward divides by. `inside` the root stands the epsilon of Debian's normalize_kernel(), of AlexeyAB and
 * of hank-ai; behind it that of Debian's normalize_cpu(). */
static double deviation(double variance, bool inside)
{
    return inside ? sqrt(variance + .00001) : sqrt(variance) + .000001;
}

/* (x - mean) / deviation, then scale and bias: `factor` is what multiplies a filter's weights. */
static cp_status fold_arrays(int index, bool inside, float *weights, size_t per_filter, int filters, float *biases,
                             float *scales, float *mean, float *variance)
{
    for (int f = 0; f < filters; ++f) {
        double var = variance[f] > 0 ? variance[f] : 0;
        double factor = scales[f] / deviation(var, inside);
        biases[f] = (float)(biases[f] - mean[f] * factor);
        for (size_t i = 0; i < per_filter; ++i) weights[f * per_filter + i] = (float)(weights[f * per_filter + i] * factor);
        if (!isfinite(factor) || !isfinite(biases[f]))
            return cp_fail(CP_EINPUT, "layer %d: filter %d: batch norm with scale %g and variance %g is not finite", index, f,
                           scales[f], variance[f]);
    }
    return CP_OK;
}

/* Deconvolutional weights are (c, n*size*size): the filter is the second axis. */
static cp_status fold_deconvolutional(int index, bool inside, layer *l)
{
    size_t window = (size_t)l->size * l->size;
    float *column = cp_alloc(l->c * window, sizeof(float), "deconvolutional weights");
    if (!column) return CP_ERESOURCE;
    cp_status status = CP_OK;
    for (int f = 0; f < l->n && !status; ++f) {
        for (int c = 0; c < l->c; ++c)
            memcpy(column + c * window, l->weights + ((size_t)c * l->n + f) * window, window * sizeof(float));
        status = fold_arrays(index, inside, column, l->c * window, 1, l->biases + f, l->scales + f, l->rolling_mean + f,
                             l->rolling_variance + f);
        for (int c = 0; c < l->c; ++c)
            memcpy(l->weights + ((size_t)c * l->n + f) * window, column + c * window, window * sizeof(float));
    }
    cp_free(column);
    return status;
}

/* [batchnorm]: its scales become the factors, its biases what is added. */
static cp_status fold_batchnorm(int index, bool inside, layer *l)
{
    for (int f = 0; f < l->nbiases; ++f) {
        double var = l->rolling_variance[f] > 0 ? l->rolling_variance[f] : 0;
        double factor = l->scales[f] / deviation(var, inside);
        l->biases[f] = (float)(l->biases[f] - l->rolling_mean[f] * factor);
        l->scales[f] = (float)factor;
        if (!isfinite(factor) || !isfinite(l->biases[f]))
            return cp_fail(CP_EINPUT, "layer %d: channel %d: batch norm with variance %g is not finite", index, f, var);
    }
    l->batch_normalize = 0;
    return CP_OK;
}

static void drop(float **buffer)
{
    free(*buffer);
    *buffer = NULL;
}

void cp_host_array_sizes(const layer *l, size_t *weights, size_t *biases)
{
    *weights = *biases = 0;
    switch ((int)l->type) {
    case CONVOLUTIONAL:
    case CP_HOST_WIDE_CONVOLUTION:
    case DECONVOLUTIONAL:
        *biases = l->n;
        *weights = (size_t)l->c / (l->groups ? l->groups : 1) * l->n * l->size * l->size;
        break;
    case CONNECTED:
        *biases = l->outputs;
        *weights = (size_t)l->inputs * l->outputs;
        break;
    case LOCAL:
        *biases = l->outputs;
        *weights = (size_t)l->size * l->size * l->c * l->n * l->out_w * l->out_h;
        break;
    default: /* of other Darknets */
        if (l->type == BATCHNORM || l->type >= (LAYER_TYPE)CP_HOST_GROUP_ROUTE)
            *weights = (size_t)l->nweights, *biases = (size_t)l->nbiases;
        break;
    }
}

/* share_index: a convolution's own copy of another's weights. */
static void copy_shared(cp_model *model)
{
    for (int i = 0; i < model->net->n; ++i) {
        const cp_cfg_layer *shape = &model->shapes->layers[i];
        if (shape->type != CP_LAYER_CONVOLUTIONAL || shape->share < 0) continue;
        layer *to = &model->net->layers[i];
        const layer *from = &model->net->layers[shape->share];
        size_t weights, biases;
        cp_host_array_sizes(from, &weights, &biases);
        memcpy(to->weights, from->weights, weights * sizeof *to->weights);
        memcpy(to->biases, from->biases, biases * sizeof *to->biases);
        if (!from->batch_normalize) continue;
        memcpy(to->scales, from->scales, biases * sizeof *to->scales);
        memcpy(to->rolling_mean, from->rolling_mean, biases * sizeof *to->rolling_mean);
        memcpy(to->rolling_variance, from->rolling_variance, biases * sizeof *to->rolling_variance);
    }
}

cp_status cp_model_fold(cp_model *model)
{
    bool inside = model->gpu || model->semantics.lineage != CP_LINEAGE_DEBIAN;
    copy_shared(model);
    for (int i = 0; i < model->net->n; ++i) {
        layer *l = &model->net->layers[i];
        cp_status status = CP_OK;
        size_t weights, biases;
        cp_host_array_sizes(l, &weights, &biases);
        if (l->type == BATCHNORM && l->batch_normalize) {
            status = fold_batchnorm(i, inside, l);
            if (status) return status;
        } else if (weights && l->batch_normalize) {
            if (l->type == DECONVOLUTIONAL)
                status = fold_deconvolutional(i, inside, l);
            else
                status = fold_arrays(i, inside, l->weights, weights / biases, (int)biases, l->biases, l->scales,
                                     l->rolling_mean, l->rolling_variance);
            if (status) return status;
            l->batch_normalize = 0;
        }
        drop(&l->weight_updates);
        drop(&l->bias_updates);
        if (l->type == DROPOUT) continue; /* its output and delta are the previous layer's */
        drop(&l->x);
        drop(&l->x_norm);
        if (!cp_layer_type_is_head(model->shapes->layers[i].type)) {
            drop(&l->delta);
            drop(&l->output);
        }
    }
    return CP_OK;
}
