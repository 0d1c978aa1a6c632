/* The size of the activation alone, |a_j|: what scores by the gradient are compared with.
 * The row of cli/method_rows.h that names the function declares it. */
#include <math.h>

#include "score/score.h"

cp_status cp_score_activation(cp_frame *frame, int image, const cp_response *response, float *score)
{
    int n;
    const cp_model *model = cp_frame_model(frame);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        const float *a = cp_frame_output(frame, layers[l].layer, image);
        for (size_t i = 0; i < layers[l].count; i++)
            score[layers[l].offset + i] = fabsf(a[i]);
    }
    cp_score_clear_response(model, response, score);
    return CP_OK;
}
