/* NeuronIntGrad: c_j = a_j * integral over alpha in [0,1] of dPhi/da_j, with the whole output a of j's layer scaled
 * to alpha*a and everything after it recomputed. docs/methods.md 1.2; Khakzar et al. 2021, section 3.2.
 *
 * One layer at a time, by a branch that holds only what depends on it; alphas are its entries. Within a layer the
 * signed scores sum to Phi(a) - Phi(a := 0), which tells how good the integral is. */
#include "score/intgrad.h"

#include <math.h>
#include <string.h>

#include "engine/memory.h"
#include "io/error.h"
#include "score/score.h"

enum { BATCH = 25, MOST_BATCH = CP_DEVICE_BATCH };

/* The paper's rule. gradient (count): the mean of dPhi/da. */
static cp_status midpoints(cp_integral *integral, int steps, float *gradient, cp_intgrad_layer *report)
{
    int most = integral->suffix.batch;
    int runs = (steps + most - 1) / most, batch = (steps + runs - 1) / runs; /* none is nearly empty */
    double alpha[MOST_BATCH], phi[MOST_BATCH];
    cp_status status = CP_OK;
    for (int first = 0; first < steps && !status; first += batch) {
        int n = first + batch < steps ? batch : steps - first;
        for (int e = 0; e < n; e++)
            alpha[e] = (first + e + .5) / steps;
        status = cp_intgrad_forward(integral, alpha, n, phi);
        if (!status)
            status = cp_ray_add(integral->ray, n, 1. / steps);
    }
    report->evaluations = steps;
    return status ? status : cp_ray_sum(integral->ray, gradient);
}

static cp_status refine(cp_integral *integral, const cp_intgrad_options *options, size_t bytes, float *gradient,
                        cp_intgrad_layer *report)
{
    size_t count = integral->suffix.layer->count;
    double *total = cp_alloc(count, sizeof *total, "scores");
    cp_status status = total ? cp_intgrad_refine(integral, options, gradient, bytes, total, report) : CP_ERESOURCE;
    for (size_t i = 0; i < count && !status; i++)
        gradient[i] = (float)total[i];
    cp_free(total);
    return status;
}

/* With that batch. */
static cp_status integrate_by(int batch, cp_frame *frame, int image, const cp_response *response, int position,
                              const cp_intgrad_options *options, float *score, cp_intgrad_layer *report)
{
    cp_integral integral = {.ray = NULL};
    const cp_suffix *suffix = &integral.suffix;
    const double zero = 0;
    cp_status status = cp_suffix_open(frame, image, response, position, batch, &integral.suffix);
    if (!status)
        status = cp_ray_create(suffix->branch, response, &integral.ray);
    if (!status)
        status = cp_intgrad_forward(&integral, &zero, 1, &report->zero);
    if (!status)
        status = options->steps ? midpoints(&integral, options->steps, score, report)
                                : refine(&integral, options, cp_run_memory(&options->run) / 2, score, report);
    if (!status) {
        report->full = suffix->full;
        for (size_t i = 0; i < suffix->layer->count; i++) {
            double c = (double)suffix->a[i] * score[i];
            report->sum += c;
            score[i] = (float)c;
        }
        report->residual = fabs(report->sum - (report->full - report->zero)) / fabs(report->full);
    }
    cp_ray_free(integral.ray);
    cp_suffix_close(&integral.suffix);
    return status;
}

/* Signed scores of one layer. score[count] holds dPhi/da at alpha = 1 and gets the result. */
static cp_status integrate(cp_frame *frame, int image, const cp_response *response, int position,
                           const cp_intgrad_options *options, float *score, cp_intgrad_layer *report)
{
    /* The other half is for gradients that are kept, and for the ray. */
    int batch = cp_suffix_batch(frame, response, position, cp_most_entries(frame, BATCH), true,
                                cp_run_frame_memory(frame, &options->run) / 2);
    cp_status status;
    do {
        report->evaluations = 0;
        status = integrate_by(batch, frame, image, response, position, options, score, report);
    } while (cp_halve_batch(status, &batch));
    return status;
}

static void copy_gradient(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a,
                          const float *g, size_t count)
{
    (void)entry, (void)a;
    memcpy((float *)user + layer->offset + first, g, count * sizeof *g);
}

/* score[N] = dPhi/da of every layer in the original run, the response's own units included. */
static cp_status last_gradients(cp_frame *frame, int image, const cp_response *response, float *score)
{
    const cp_model *model = cp_frame_model(frame);
    const cp_observer observer = {copy_gradient, score};
    const cp_entry entry = {.image = image, .response = response};
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_status status = cp_frame_backward(frame, &entry, 1, &observer, NULL);
    for (int u = 0; u < response->n && !status; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        if (position >= 0)
            score[layers[position].offset + response->unit[u].index] += response->unit[u].weight;
    }
    return status;
}

static cp_status check_options(const cp_model *model, const cp_intgrad_options *options)
{
    int n;
    cp_model_neuron_layers(model, &n);
    if (options->only < 0 || options->only > n)
        return cp_fail(CP_EINPUT, "only: %d found, 0 or 1 to %d, the neuron layers, are allowed", options->only, n);
    if (options->steps < 0)
        return cp_fail(CP_EINPUT, "steps: %d found, at least 1, or 0 for auto", options->steps);
    if (!(options->tolerance >= 0 && options->tolerance < INFINITY))
        return cp_fail(CP_EINPUT, "tolerance: %g found, a number above 0 is needed", options->tolerance);
    if (options->max_evaluations < 0 || options->max_evaluations > CP_INTGRAD_MOST)
        return cp_fail(CP_EINPUT, "evaluations: %d found, 0 to %d are allowed", options->max_evaluations,
                       (int)CP_INTGRAD_MOST);
    return CP_OK;
}

static bool is_wanted(const cp_model *model, const cp_response *response, const cp_intgrad_options *options, int layer)
{
    return (!options->only || options->only == layer + 1) && cp_suffix_matters(model, response, layer);
}

cp_status cp_score_intgrad(cp_frame *frame, int image, const cp_response *response, const cp_intgrad_options *options,
                           float *score, cp_intgrad_layer *layers)
{
    const cp_model *model = cp_frame_model(frame);
    int n;
    const cp_neuron_layer *table = cp_model_neuron_layers(model, &n);
    double work = 0, done = 0;
    cp_status status = check_options(model, options);
    memset(score, 0, cp_model_neuron_count(model) * sizeof *score);
    if (!status && !options->steps)
        status = last_gradients(frame, image, response, score);
    for (int l = 0; l < n; l++)
        if (is_wanted(model, response, options, l))
            work += cp_suffix_work(model, response, l);
    for (int l = 0; l < n && !status; l++) {
        cp_intgrad_layer report = {.depends = cp_suffix_matters(model, response, l)};
        float *part = score + table[l].offset;
        if (is_wanted(model, response, options, l)) {
            status = integrate(frame, image, response, l, options, part, &report);
            cp_run_progress(&options->run, (done += cp_suffix_work(model, response, l)) / work);
        } else {
            memset(part, 0, table[l].count * sizeof *part);
        }
        if (layers)
            layers[l] = report;
    }
    if (status)
        return status;
    cp_score_clear_response(model, response, score);
    if (!options->run.signed_scores)
        for (size_t i = 0; i < cp_model_neuron_count(model); i++)
            score[i] = fabsf(score[i]);
    return cp_score_check_finite(model, score);
}
