/* Channels: the coarser players. docs/methods.md 1.5. */
#include <math.h>

#include "critpath.h"
#include "io/error.h"

void cp_score_to_channels(const cp_model *model, const float *score, float *channel)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        size_t plane = layers[l].h * layers[l].w;
        for (size_t c = 0; c < layers[l].c; c++) {
            double sum = 0;
            for (size_t i = 0; i < plane; i++)
                sum += fabs((double)*score++);
            *channel++ = (float)sum;
        }
    }
}
