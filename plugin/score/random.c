/* RandomPruning: what any other path should differ from. docs/methods.md 1.5. */
#include "critpath.h"
#include "io/error.h"
#include "io/random.h"

cp_status cp_score_random(const cp_model *model, uint64_t seed, float *score)
{
    int n;
    size_t largest = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++)
        largest = layers[l].count > largest ? layers[l].count : largest;
    size_t *order = cp_alloc(largest, sizeof *order, "random order");
    if (!order)
        return CP_ERESOURCE;
    for (int l = 0; l < n; l++) {
        size_t count = layers[l].count;
        for (size_t i = 0; i < count; i++) { /* Fisher-Yates, inside out */
            size_t j = cp_random_below(&seed, i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        /* The score is a quantile, the middle of its step: one threshold for the network cuts every layer at the same
         * share, rounded. */
        for (size_t rank = 0; rank < count; rank++)
            score[layers[l].offset + order[rank]] = (float)(((double)(count - rank) - .5) / (double)count);
    }
    cp_free(order);
    return CP_OK;
}
