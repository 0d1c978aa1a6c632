#include "gen/gen_train.h"

#include <string.h>

#include "engine/memory.h"
#include "gen/quantise.h"
#include "io/error.h"

struct cp_gated_runs {
    const cp_generator *generator;
    const cp_model *model;
    cp_frame *frame;
    int batch;
    size_t neurons, outputs; /* most outputs of a layer */
    float *factors;   /* (batch, neurons) */
    float *seeds;     /* (batch, outputs) */
    float *gated;     /* (classes) */
    float *products;  /* (batch, neurons): a * g */
};

void cp_gated_runs_free(cp_gated_runs *r)
{
    if (!r)
        return;
    cp_frame_free(r->frame);
    cp_free(r->factors);
    cp_free(r->seeds);
    cp_free(r->gated);
    cp_free(r->products);
    cp_free(r);
}

static size_t most_outputs(const cp_model *model)
{
    size_t most = 0;
    for (int i = 0; i < cp_model_layer_count(model); i++)
        most = cp_model_layer(model, i)->outputs > most ? cp_model_layer(model, i)->outputs : most;
    return most;
}

cp_status cp_gated_runs_create(const cp_generator *generator, int wanted, size_t memory, cp_gated_runs **runs)
{
    cp_gated_runs *r = cp_alloc(1, sizeof *r, "gated networks");
    *runs = NULL;
    if (!r)
        return CP_ERESOURCE;
    *r = (cp_gated_runs){.generator = generator, .model = cp_generator_model(generator)};
    r->neurons = cp_model_neuron_count(r->model);
    r->outputs = most_outputs(r->model);
    cp_status status = cp_frame_create_fitting(r->model, wanted < CP_DEVICE_BATCH ? wanted : CP_DEVICE_BATCH, true, memory, &r->batch,
                                               &r->frame);
    if (!status) {
        size_t batch = (size_t)r->batch;
        r->factors = cp_alloc(batch * r->neurons, sizeof *r->factors, "gates");
        r->seeds = cp_alloc(batch * r->outputs, sizeof *r->seeds, "gates");
        r->gated = cp_alloc((size_t)cp_model_classes(r->model), sizeof *r->gated, "gates");
        r->products = cp_alloc(batch * r->neurons, sizeof *r->products, "gates");
        if (!r->factors || !r->seeds || !r->gated || !r->products)
            status = CP_ERESOURCE;
    }
    if (status) {
        cp_gated_runs_free(r);
        return status;
    }
    *runs = r;
    return CP_OK;
}

int cp_gated_runs_batch(const cp_gated_runs *r) { return r->batch; }
cp_frame *cp_gated_runs_frame(cp_gated_runs *r) { return r->frame; }

/* Products a * g of every neuron, in an array of their own: the factors are read until the end of the run. */
static void observe(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g, size_t count)
{
    cp_gated_runs *r = user;
    float *to = r->products + (size_t)entry * r->neurons + layer->offset + first;
    for (size_t i = 0; i < count; i++)
        to[i] = a[i] * g[i];
}

static cp_status forward(cp_gated_runs *r, const float *inputs, const float *importance, int n)
{
    cp_restriction restrictions[CP_DEVICE_BATCH] = {{0}};
    size_t gates = cp_generator_gates(r->generator);
    for (int i = 0; i < n; i++) {
        float *factors = r->factors + (size_t)i * r->neurons;
        cp_gen_factors(r->generator, importance + (size_t)i * gates, factors);
        restrictions[i] = (cp_restriction){.kind = CP_GATED, .gates = factors};
    }
    return cp_frame_forward(r->frame, inputs, n, restrictions);
}

/* d KL / d gate is the sum over the gate's channel of a * g; the quantiser's slope leads to the importance. */
static void gather(const cp_gated_runs *r, const float *importance, int n, float *d_importance)
{
    int gated, all;
    size_t gates = cp_generator_gates(r->generator);
    const cp_gated_layer *layers = cp_generator_layers(r->generator, &gated);
    const cp_neuron_layer *neurons = cp_model_neuron_layers(r->model, &all);
    for (int i = 0; i < n; i++)
        for (int l = 0; l < gated; l++) {
            const cp_neuron_layer *layer = &neurons[layers[l].position];
            const float *product = r->products + (size_t)i * r->neurons + layer->offset;
            size_t plane = layer->h * layer->w, first = (size_t)i * gates + layers[l].first;
            for (size_t k = 0; k < layer->c; k++) {
                double sum = 0;
                for (size_t j = 0; j < plane; j++)
                    sum += product[k * plane + j];
                d_importance[first + k] = (float)sum * cp_quantise_slope(importance[first + k]);
            }
        }
}

cp_status cp_gated_runs_do(cp_gated_runs *r, const float *inputs, const float *importance, const cp_gen_answer *const *answers,
                           const float *const *whole, int n, double temperature, cp_gen_match *matches, float *d_importance)
{
    cp_entry entries[CP_DEVICE_BATCH] = {{0}};
    const cp_observer observer = {observe, r};
    cp_status status = forward(r, inputs, importance, n);
    for (int i = 0; i < n && !status; i++) {
        float *seed = r->seeds + (size_t)i * r->outputs;
        size_t outputs = cp_model_layer(r->model, answers[i]->layer)->outputs;
        cp_gen_answer_read(answers[i], r->frame, i, r->gated);
        cp_gen_answer_match(answers[i], whole[i], r->gated, &matches[i]);
        if (d_importance)
            cp_gen_answer_seed(answers[i], whole[i], r->gated, temperature, outputs, seed);
        entries[i] = (cp_entry){.image = i, .gates = r->factors + (size_t)i * r->neurons, .seed = seed,
                                .seed_layer = answers[i]->layer};
    }
    if (status || !d_importance)
        return status;
    memset(r->products, 0, (size_t)n * r->neurons * sizeof *r->products);
    status = cp_frame_backward(r->frame, entries, n, &observer, NULL);
    if (!status)
        gather(r, importance, n, d_importance);
    return status;
}
