/* Distillation guided routing (Wang, Su, Zhang, Hu: Interpret Neural Networks by Identifying Critical Data Routing
 * Paths, CVPR 2018): gates on the activations, trained to keep the softmax of one image while their L1 norm shrinks.
 * docs/methods.md 1.5. With all gates at 1 the network is the original one; once they move, the objective is free to
 * route the answer through neurons that were dead, which is what the paper holds against it. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "engine/frame_scores.h"
#include "io/error.h"
#include "io/random.h"
#include "score/rerun.h"
#include "score/score.h"

typedef struct {
    cp_rerun rerun;
    const cp_model *model;
    const cp_dgr_options *options;
    int layer;                /* whose output are the logits */
    size_t classes, neurons, gates;
    size_t idle, idle_end;    /* gates of the logits' own units; they stay at 1 */
    double *original;         /* softmax, (classes) */
    int top;
    float *seed;              /* dCE/dlogit, (classes) */
    float *by_neuron;         /* (neurons): d cross-entropy / d what multiplies each activation */
    float *factor, *by_gate;  /* CP_CHANNEL: gates by neuron, (neurons); that gradient by gate */
    float *gate, *velocity, *best, *spare; /* (gates) */
    float *live;              /* of `active`: (gates), 0 where a gate is shut for good, else 1; or NULL */
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

/* Gates to factors: one for the whole channel. */
static void spread(routing *r)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(r->model, &n);
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
    const cp_neuron_layer *layers = cp_model_neuron_layers(r->model, &n);
    const float *from = r->by_neuron;
    float *gradient = r->by_gate;
    for (int l = 0; l < n; l++)
        for (size_t c = 0; c < layers[l].c; c++) {
            double sum = 0;
            for (size_t i = 0; i < layers[l].h * layers[l].w; i++)
                sum += *from++;
            *gradient++ = (float)sum;
        }
}

/* Cross-entropy to the original and its gradient at the gates as they are; *top: the gated network's arg-max. */
static cp_status evaluate(routing *r, double *cross_entropy, int *top)
{
    double *q = r->original + r->classes, *log_q = q + r->classes;
    bool channels = r->options->granularity == CP_CHANNEL;
    const float *factor = channels ? r->factor : r->gate;
    const cp_restriction restriction = {.kind = CP_GATED, .gates = factor};
    const cp_entry entry = {.gates = factor, .seed = r->seed, .seed_layer = r->layer};
    const cp_observer observer = {observe, r};
    if (channels)
        spread(r);
    cp_status status = cp_rerun_forward(&r->rerun, &restriction);
    if (status)
        return status;
    *top = softmax(cp_frame_output(r->rerun.frame, r->layer, 0), r->classes, q, log_q);
    *cross_entropy = 0;
    for (size_t i = 0; i < r->classes; i++) {
        *cross_entropy -= r->original[i] * log_q[i];
        r->seed[i] = (float)(q[i] - r->original[i]);
    }
    if (!isfinite(*cross_entropy))
        return cp_fail(CP_EINPUT, "dgr: the gated network's logits are not finite: rate %g is too large, or the weights "
                       "or the input are", r->options->rate);
    if (cp_frame_held_scores(r->rerun.frame)) {
        bool finite;
        status = cp_frame_score_products(r->rerun.frame, &entry, false, &finite, NULL);
        if (!status)
            status = cp_frame_held_scores(r->rerun.frame)->read(r->rerun.frame, r->by_neuron);
    } else {
        status = cp_frame_backward(r->rerun.frame, &entry, 1, &observer, NULL);
    }
    if (!status && channels)
        gather(r);
    return status;
}

/* Sum of gates from..to, none of which is below 0. */
static double sum_of(const float *gate, size_t from, size_t to)
{
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    for (; from + LANES <= to; from += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += gate[from + k];
    for (; from < to; from++)
        sum += gate[from];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

static double penalty(const routing *r)
{
    return sum_of(r->gate, 0, r->idle) + sum_of(r->gate, r->idle_end, r->gates);
}

/* Gradient descent with momentum from `gate` to `next`; the subgradient of |gate| at 0 is 0. */
static void descend(const routing *r, float gamma, size_t from, size_t to, float *next)
{
    const float rate = (float)r->options->rate, momentum = (float)r->options->momentum;
    const float clamp = (float)r->options->clamp;
    const float *gate = r->gate, *gradient = r->options->granularity == CP_CHANNEL ? r->by_gate : r->by_neuron;
    float *velocity = r->velocity;
    for (size_t k = from; k < to; k++) {
        float v = momentum * velocity[k] + (gradient[k] + (gate[k] > 0 ? gamma : 0.f)), moved = gate[k] - rate * v;
        velocity[k] = v;
        moved = moved < 0 ? 0 : moved;
        next[k] = moved > clamp ? clamp : moved;
    }
}

/* A gate that is shut for good stays 0, whatever the gradient says. */
static void shut(const routing *r, float *gate)
{
    for (size_t k = 0; r->live && k < r->gates; k++)
        gate[k] *= r->live[k];
}

/* One step. keep: the gates as they are become the best, and nothing is copied for it. */
static void step_on(routing *r, double gamma, bool keep)
{
    float *next = keep ? r->spare : r->gate;
    descend(r, (float)gamma, 0, r->idle, next);
    descend(r, (float)gamma, r->idle_end, r->gates, next);
    shut(r, next);
    if (!keep)
        return;
    for (size_t k = r->idle; k < r->idle_end; k++)
        next[k] = r->gate[k];
    r->spare = r->best;
    r->best = r->gate;
    r->gate = next;
}

static cp_status one_round(routing *r, double gamma, int round, cp_dgr_report *report)
{
    const cp_dgr_options *o = r->options;
    memset(r->velocity, 0, r->gates * sizeof *r->velocity);
    for (int step = 0; step < o->steps; step++) {
        double cross_entropy;
        int top;
        cp_status status = evaluate(r, &cross_entropy, &top);
        if (status)
            return status;
        double loss = cross_entropy + gamma * penalty(r);
        /* without one that keeps the prediction, the last iterate stands */
        bool better = !report->kept || (top == r->top && loss < report->loss);
        if (better) {
            report->kept = top == r->top;
            report->step = step;
            report->loss = loss;
            report->cross_entropy = cross_entropy;
        }
        step_on(r, gamma, better);
        if (o->run.progress)
            o->run.progress(o->run.user, (double)(step + 1) / o->steps);
    }
    report->rounds = round + 1;
    report->gamma = gamma;
    return CP_OK;
}

/* The logits' layer, of which each output is a class. */
cp_status cp_dgr_find_logits(const cp_model *model, int *layer)
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

cp_status cp_dgr_check(const cp_dgr_options *o)
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
    size_t by_channel = r->options->granularity == CP_CHANNEL;
    r->by_neuron = cp_alloc(r->neurons, sizeof *r->by_neuron, "dgr"); /* 0 where the logits do not depend on it */
    r->factor = cp_alloc(by_channel * r->neurons, sizeof *r->factor, "dgr");
    r->by_gate = cp_alloc(by_channel * r->gates, sizeof *r->by_gate, "dgr");
    r->gate = cp_alloc(r->gates, sizeof *r->gate, "dgr");
    r->velocity = cp_alloc(r->gates, sizeof *r->velocity, "dgr");
    r->best = cp_alloc(r->gates, sizeof *r->best, "dgr");
    r->spare = cp_alloc(r->gates, sizeof *r->spare, "dgr");
    bool all = r->original && r->seed && r->factor && r->by_neuron && r->by_gate && r->gate && r->velocity && r->best &&
               r->spare;
    return all ? CP_OK : CP_ERESOURCE;
}

/* Every start value is drawn, idle or not, so that one gate's does not depend on another's use. */
static void start(routing *r)
{
    const cp_model *model = r->model;
    uint64_t state = r->options->seed;
    int n, own = cp_model_neuron_position(model, cp_model_layer(model, r->layer)->value);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (size_t k = 0; k < r->gates; k++)
        r->gate[k] = r->options->random ? (float)(cp_random_next(&state) >> 40) * 0x1p-24f : 1;
    r->idle = r->idle_end = r->gates;
    if (own < 0)
        return;
    bool whole = r->options->granularity == CP_CHANNEL;
    r->idle = whole ? cp_model_channel_offset(model, own) : layers[own].offset;
    r->idle_end = r->idle + (whole ? layers[own].c : layers[own].count);
    for (size_t k = r->idle; k < r->idle_end; k++)
        r->gate[k] = 1;
}

/* Which gates are of something with z > 0 in the original run; those of the logits' own units count as such. */
static cp_status find_live(routing *r)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(r->model, &n);
    size_t most = 0, gate = 0;
    bool whole = r->options->granularity == CP_CHANNEL;
    cp_frame *frame = r->rerun.frame;
    for (int l = 0; l < n; l++)
        most = layers[l].count > most ? layers[l].count : most;
    float *z = cp_alloc_dirty(most, sizeof *z, "dgr");
    r->live = cp_alloc(r->gates, sizeof *r->live, "dgr");
    cp_status status = z && r->live ? CP_OK : CP_ERESOURCE;
    for (int l = 0; l < n && !status; l++) {
        size_t together = whole ? layers[l].h * layers[l].w : 1;
        status = cp_frame_before_activation(frame, layers[l].layer, 0, z);
        for (size_t i = 0; i < layers[l].count && !status; i++)
            if (z[i] > 0)
                r->live[gate + i / together] = 1;
        gate += layers[l].count / together;
    }
    for (size_t k = r->idle; k < r->idle_end && !status; k++)
        r->live[k] = 1;
    cp_free(z);
    return status;
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
    routing r = {.model = model, .options = options, .neurons = cp_model_neuron_count(model)};
    cp_status status = cp_dgr_check(options);
    if (!status)
        status = cp_dgr_find_logits(model, &r.layer);
    if (status)
        return status;
    r.classes = (size_t)cp_model_classes(model);
    r.gates = options->granularity == CP_CHANNEL ? cp_model_channel_count(model) : r.neurons;
    status = allocate(&r);
    if (!status)
        status = cp_rerun_open(model, input, &r.rerun);
    if (status)
        goto done;
    r.top = softmax(cp_frame_output(r.rerun.frame, r.layer, 0), r.classes, r.original, NULL);
    start(&r);
    if (options->active)
        status = find_live(&r);
    shut(&r, r.gate);
    double gamma = options->gamma;
    for (int round = 0; round < options->rounds && !report->kept && !status; round++, gamma /= 10)
        status = one_round(&r, gamma, round, report);
    for (size_t k = 0; k < r.gates && !status; k++)
        gate[k] = k >= r.idle && k < r.idle_end ? 0 : r.best[k];
done:
    cp_rerun_close(&r.rerun);
    cp_free(r.original), cp_free(r.seed), cp_free(r.factor), cp_free(r.by_neuron), cp_free(r.gate);
    cp_free(r.velocity), cp_free(r.best), cp_free(r.spare), cp_free(r.by_gate), cp_free(r.live);
    return status;
}
