/* NeuronMCT and selection in one on the CPU (docs/methods.md 1.1, 1.4): the best are kept while the backward run
 * computes them. */
#include "engine/scores.h"
#include "io/error.h"
#include "path/best.h"

/* What the observer of the backward run needs. */
typedef struct {
    cp_best *best;
    const cp_model *model;
    int n_units;
    int unit_layer[CP_RESPONSE_UNITS];    /* neuron layers of the response's own units, which score 0 */
    size_t unit_index[CP_RESPONSE_UNITS];
} collector;

static void collect(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                    size_t count)
{
    (void)entry;
    const collector *c = user;
    int position = cp_model_neuron_position(c->model, layer->layer), n = 0;
    size_t except[CP_RESPONSE_UNITS];
    for (int u = 0; u < c->n_units; u++)
        if (c->unit_layer[u] == position)
            except[n++] = c->unit_index[u];
    cp_best_take(c->best, position, first, a, g, count, except, n);
}

cp_status cp_best_mct(cp_frame *frame, const cp_entry *entry, const double *sparsities, int n, cp_path *const *paths,
                      cp_selection *selections, bool *done)
{
    const cp_response *response = entry->response;
    collector c = {.model = cp_frame_model(frame), .n_units = response->n};
    const cp_observer observer = {collect, &c};
    size_t most = 0;
    *done = false;
    for (int i = 0; i < n; i++) {
        size_t asked = cp_path_keep_count(paths[i]->neurons, sparsities[i]);
        selections[i] = (cp_selection){.asked = asked, .mass = NAN};
        most = asked > most ? asked : most;
    }
    for (int u = 0; u < response->n; u++) {
        int layer = response->unit[u].layer;
        bool is_there = layer >= 0 && layer < cp_model_layer_count(c.model); /* else the backward run says so */
        c.unit_layer[u] = is_there ? cp_model_neuron_position(c.model, cp_model_layer(c.model, layer)->value) : -1;
        c.unit_index[u] = response->unit[u].index;
    }
    cp_status status = n ? cp_best_create(paths[0], most, &c.best) : CP_OK;
    if (status || !c.best)
        return status;
    status = cp_frame_backward(frame, entry, 1, &observer, NULL);
    for (int i = 0; i < n && !status; i++) {
        cp_selection *s = &selections[i];
        if (!(*done = cp_best_select(c.best, s->asked, paths[i], &s->kept, &s->threshold)))
            break;
        s->sparsity = paths[i]->neurons ? 1 - (double)s->kept / (double)paths[i]->neurons : 0;
    }
    cp_best_free(c.best);
    return status;
}
