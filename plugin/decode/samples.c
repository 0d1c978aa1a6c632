#include "decode/samples.h"

#include <math.h>

static void layer_shares(const cp_neuron_layer *layer, const float *score, double *share, size_t *best)
{
    size_t plane = layer->count / layer->c;
    double all = 0;
    for (size_t k = 0; k < layer->c; k++) {
        double sum = 0;
        size_t first = layer->offset + k * plane, top = first;
        for (size_t i = first; i < first + plane; i++) {
            sum += score[i];
            all += fabs((double)score[i]);
            if (score[i] > score[top])
                top = i;
        }
        share[k] = sum;
        best[k] = top;
    }
    for (size_t k = 0; k < layer->c; k++)
        share[k] = all > 0 ? share[k] / all : 0;
}

void cp_channel_shares(const cp_model *model, const float *score, double *share, size_t *best)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        size_t first = cp_model_channel_offset(model, l);
        layer_shares(&layers[l], score, share + first, best + first);
    }
}

void cp_channel_place(const cp_model *model, size_t channel, int *neuron_layer, size_t *in_layer)
{
    int n;
    cp_model_neuron_layers(model, &n);
    *neuron_layer = 0;
    for (int l = 1; l < n && cp_model_channel_offset(model, l) <= channel; l++)
        *neuron_layer = l;
    *in_layer = channel - cp_model_channel_offset(model, *neuron_layer);
}

void cp_sample_insert(cp_sample *best, size_t most, size_t *n, cp_sample sample)
{
    size_t at = *n;
    while (at > 0 && best[at - 1].share < sample.share)
        at--;
    if (at == most)
        return;
    *n += *n < most;
    for (size_t i = *n - 1; i > at; i--)
        best[i] = best[i - 1];
    best[at] = sample;
}
