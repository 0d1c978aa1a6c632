/* Scores as shares of their layers (docs/methods.md 1.4). */
#include <math.h>

#include "critpath.h"

void cp_score_by_layer(const cp_model *model, float *score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        float *s = score + layers[l].offset;
        double sum = 0;
        for (size_t i = 0; i < layers[l].count; i++)
            sum += fabs((double)s[i]);
        for (size_t i = 0; i < layers[l].count && sum > 0; i++)
            s[i] = (float)(s[i] / sum);
    }
}
