/* Distillation guided routing (Wang, Su, Zhang, Hu: Interpret Neural Networks by Identifying Critical Data Routing
 * Paths, CVPR 2018): gates on the activations, trained to keep the softmax of one image while their L1 norm shrinks.
 * METHODS 1.5. With all gates at 1 the network is the original one; once they move, the objective is free to route the
 * answer through neurons that were dead, which is what the paper holds against it. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "io/error.h"
#include "score/random.h"
#include "score/score.h"

typedef struct {
    cp_frame *frame;
    const cp_dgr_options *options;
    int layer;                /* whose output are the logits */
    size_t classes, neurons, gates;
    double *original;         /* softmax, (classes) */
    int top;
    float *seed;              /* dCE/dlogit, (classes) */
    float *factor, *by_neuron; /* (neurons): what multiplies each activation; dCE/dfactor */
    float *gate, *velocity, *best; /* (gates) */
    double *gradient;         /* dCE/dgate, (gates) */
    uint8_t *idle;            /* (gates): the logits' own; they stay at 1 */
} routing;

/* q = softmax(z); returns the arg-max, the first of equals. log_q may be NULL. */
static int softmax(const float *z, size_t n, double *q, double *log_q)
{
    size_t top = 0;
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] > z[top]) top = i;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)z[i] - z[top]);
    for (size_t i = 0; i < n; i++) {
        double log_of = (double)z[i] - z[top] - log(sum);
        q[i] = exp(log_of);
        if (log_q) log_q[i] = log_of;
    }
    return (int)top;
}

static void observe(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                    size_t count)
{
    (void)entry;
    float *to = ((routing *)user)->by_neuron + layer->offset + first;
    for (size_t i = 0; i < count; i++)
        to[i] = a[i] * g[i];
}

/* Gates to factors: one each, or one for the whole channel. */
static void spread(routing *r)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(cp_frame_model(r->frame), &n);
    if (r->options->granularity == CP_NEURON) {
        memcpy(r->factor, r->gate, r->neurons * sizeof *r->gate);
        return;
    }
    const float *gate = r->gate;
    float *factor = r->factor;
    for (int l = 0; l < n; l++)
        for (size_t c = 0, plane = layers[l].h * layers[l].w; c < layers[l].c; c++, gate++)
            for (size_t i = 0; i < plane; i++)
                *factor++ = *gate;
}

static void gather(routing *r)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(cp_frame_model(r->frame), &n);
    const float *from = r->by_neuron;
    double *gradient = r->gradient;
    for (int l = 0; l < n; l++) {
        bool whole = r->options->granularity == CP_CHANNEL;
        size_t players = whole ? layers[l].c : layers[l].count, part = whole ? layers[l].h * layers[l].w : 1;
        for (size_t k = 0; k < players; k++, gradient++) {
            *gradient = 0;
            for (size_t i = 0; i < part; i++)
                *gradient += *from++;
        }
    }
}

/* Cross-entropy to the original and its gradient at the gates as they are; *top: the gated network's arg-max. */
static cp_status evaluate(routing *r, const float *input, double *cross_entropy, int *top)
{
    double *q = r->original + r->classes, *log_q = q + r->classes;
    const cp_restriction restriction = {.kind = CP_GATED, .gates = r->factor};
    const cp_entry entry = {.gates = r->factor, .seed = r->seed, .seed_layer = r->layer};
    const cp_observer observer = {observe, r};
    spread(r);
    cp_status status = cp_frame_forward(r->frame, input, 1, &restriction);
    if (status)
        return status;
    *top = softmax(cp_frame_output(r->frame, r->layer, 0), r->classes, q, log_q);
    *cross_entropy = 0;
    for (size_t i = 0; i < r->classes; i++) {
        *cross_entropy -= r->original[i] * log_q[i];
        r->seed[i] = (float)(q[i] - r->original[i]);
    }
    if (!isfinite(*cross_entropy))
        return cp_fail(CP_EINPUT, "dgr: the gated network's logits are not finite: rate %g is too large, or the weights "
                       "or the input are", r->options->rate);
    memset(r->by_neuron, 0, r->neurons * sizeof *r->by_neuron); /* layers that the logits do not depend on */
    status = cp_frame_backward(r->frame, &entry, 1, &observer, NULL);
    if (!status)
        gather(r);
    return status;
}

static double penalty(const routing *r)
{
    double sum = 0;
    for (size_t k = 0; k < r->gates; k++)
        if (!r->idle[k]) sum += fabs(r->gate[k]);
    return sum;
}

/* Gradient descent with momentum; the subgradient of |gate| at 0 is 0. */
static void descend(routing *r, double gamma)
{
    const cp_dgr_options *o = r->options;
    for (size_t k = 0; k < r->gates; k++) {
        if (r->idle[k])
            continue;
        double gradient = r->gradient[k] + (r->gate[k] > 0 ? gamma : 0);
        r->velocity[k] = (float)(o->momentum * r->velocity[k] + gradient);
        double gate = r->gate[k] - o->rate * r->velocity[k];
        r->gate[k] = (float)(gate < 0 ? 0 : gate > o->clamp ? o->clamp : gate);
    }
}

static cp_status one_round(routing *r, const float *input, double gamma, int round, cp_dgr_report *report)
{
    const cp_dgr_options *o = r->options;
    memset(r->velocity, 0, r->gates * sizeof *r->velocity);
    for (int step = 0; step < o->steps; step++) {
        double cross_entropy;
        int top;
        cp_status status = evaluate(r, input, &cross_entropy, &top);
        if (status)
            return status;
        double loss = cross_entropy + gamma * penalty(r);
        bool better = top == r->top && (!report->kept || loss < report->loss);
        if (better || !report->kept) { /* without one that keeps the prediction, the last iterate stands */
            memcpy(r->best, r->gate, r->gates * sizeof *r->gate);
            report->kept = top == r->top;
            report->step = step;
            report->loss = loss;
            report->cross_entropy = cross_entropy;
        }
        descend(r, gamma);
        if (o->run.progress)
            o->run.progress(o->run.user, (double)(step + 1) / o->steps);
    }
    report->rounds = round + 1;
    report->gamma = gamma;
    return CP_OK;
}

/* The logits' layer, of which each output is a class. */
static cp_status find_logits(const cp_model *model, int *layer)
{
    cp_response any;
    if (cp_model_get_kind(model) != CP_CLASSIFIER)
        return cp_fail(CP_EINPUT, "dgr: a classifier is needed, whose softmax the gates are trained to keep; this model "
                       "%s", cp_model_get_kind(model) == CP_DETECTOR ? "predicts boxes" : "has no classes");
    cp_status status = cp_response_class(model, 0, &any);
    *layer = any.unit[0].layer;
    if (!status && cp_model_layer(model, *layer)->outputs != (size_t)cp_model_classes(model))
        status = cp_fail(CP_EINPUT, "dgr: layer %d has %zu outputs, %d classes are needed", *layer,
                         cp_model_layer(model, *layer)->outputs, cp_model_classes(model));
    return status;
}

static cp_status check(const cp_dgr_options *o)
{
    if (o->steps < 1 || o->rounds < 1)
        return cp_fail(CP_EINPUT, "dgr: %d steps in %d rounds, at least 1 of each is needed", o->steps, o->rounds);
    if (!(o->rate > 0 && isfinite(o->rate)) || !(o->momentum >= 0 && o->momentum < 1) ||
        !(o->gamma >= 0 && isfinite(o->gamma)))
        return cp_fail(CP_EINPUT, "dgr: rate %g, momentum %g, gamma %g; needed are a rate above 0, a momentum of 0 to "
                       "below 1, a gamma of at least 0", o->rate, o->momentum, o->gamma);
    if (!(o->clamp >= 1 && isfinite(o->clamp)))
        return cp_fail(CP_EINPUT, "dgr: gates up to %g, needed is at least 1, where they start", o->clamp);
    return CP_OK;
}

static cp_status allocate(routing *r)
{
    r->original = cp_alloc(3 * r->classes, sizeof *r->original, "dgr"); /* and room for two more of its size */
    r->seed = cp_alloc(r->classes, sizeof *r->seed, "dgr");
    r->factor = cp_alloc(r->neurons, sizeof *r->factor, "dgr");
    r->by_neuron = cp_alloc(r->neurons, sizeof *r->by_neuron, "dgr");
    r->gate = cp_alloc(r->gates, sizeof *r->gate, "dgr");
    r->velocity = cp_alloc(r->gates, sizeof *r->velocity, "dgr");
    r->best = cp_alloc(r->gates, sizeof *r->best, "dgr");
    r->gradient = cp_alloc(r->gates, sizeof *r->gradient, "dgr");
    r->idle = cp_alloc(r->gates, 1, "dgr");
    bool all = r->original && r->seed && r->factor && r->by_neuron && r->gate && r->velocity && r->best &&
               r->gradient && r->idle;
    return all ? CP_OK : CP_ERESOURCE;
}

/* Every start value is drawn, idle or not, so that one gate's does not depend on another's use. */
static void start(routing *r)
{
    const cp_model *model = cp_frame_model(r->frame);
    uint64_t state = r->options->seed;
    int n, own = cp_model_neuron_position(model, cp_model_layer(model, r->layer)->value);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (size_t k = 0; k < r->gates; k++)
        r->gate[k] = r->options->random ? (float)(cp_random_next(&state) >> 40) * 0x1p-24f : 1;
    if (own < 0)
        return;
    bool whole = r->options->granularity == CP_CHANNEL;
    size_t first = whole ? cp_model_channel_offset(model, own) : layers[own].offset;
    for (size_t k = first; k < first + (whole ? layers[own].c : layers[own].count); k++)
        r->gate[k] = 1, r->idle[k] = 1;
}

cp_dgr_options cp_dgr_defaults(cp_dgr_settings settings)
{
    if (settings == CP_DGR_WANG)
        return (cp_dgr_options){.granularity = CP_CHANNEL, .steps = 30, .rounds = 100, .rate = .1, .momentum = .9,
                                .gamma = .05, .clamp = 10};
    return (cp_dgr_options){.granularity = CP_NEURON, .steps = 1000, .rounds = 100, .rate = .01, .momentum = .9,
                            .gamma = .01, .clamp = 100};
}

cp_status cp_score_dgr(const cp_model *model, const float *input, const cp_dgr_options *options, float *gate,
                       cp_dgr_report *report)
{
    cp_dgr_report unused;
    report = report ? report : &unused;
    *report = (cp_dgr_report){0};
    routing r = {.options = options, .neurons = cp_model_neuron_count(model)};
    cp_status status = check(options);
    if (!status)
        status = find_logits(model, &r.layer);
    if (status)
        return status;
    r.classes = (size_t)cp_model_classes(model);
    r.gates = options->granularity == CP_CHANNEL ? cp_model_channel_count(model) : r.neurons;
    status = allocate(&r);
    if (!status)
        status = cp_frame_create(model, 1, &r.frame);
    if (!status)
        status = cp_frame_forward(r.frame, input, 1, NULL);
    if (status)
        goto done;
    r.top = softmax(cp_frame_output(r.frame, r.layer, 0), r.classes, r.original, NULL);
    start(&r);
    double gamma = options->gamma;
    for (int round = 0; round < options->rounds && !report->kept && !status; round++, gamma /= 10)
        status = one_round(&r, input, gamma, round, report);
    for (size_t k = 0; k < r.gates; k++)
        gate[k] = r.idle[k] ? 0 : r.best[k];
done:
    cp_frame_free(r.frame);
    cp_free(r.original), cp_free(r.seed), cp_free(r.factor), cp_free(r.by_neuron), cp_free(r.gate);
    cp_free(r.velocity), cp_free(r.best), cp_free(r.gradient), cp_free(r.idle);
    return status;
}
