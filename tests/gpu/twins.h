/* The same network twice, on the CPU and on the device, with the same weights. Include cmocka.h before. */
#ifndef TWINS_H
#define TWINS_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <darknet.h>

typedef struct {
    network *cpu, *gpu;
} twins;

/* The number of devices; where there is none, a line that says so. */
static inline int twins_devices(void)
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess) devices = 0;
    cudaGetLastError();
    if (!devices) printf("skipped: no device\n");
    return devices;
}

static inline network *twins_parse(char *cfg, int device)
{
    gpu_index = device;
    if (device >= 0) cuda_set_device(device);
    network *net = parse_network_cfg(cfg);
    return net;
}

/* How many there are, of layers that have them. */
static inline size_t twins_filters(const layer *l)
{
    return l->type == CONNECTED || l->type == LOCAL ? l->outputs : l->type == BATCHNORM ? l->c : l->n;
}
static inline size_t twins_weights(const layer *l)
{
    return l->type == LOCAL       ? (size_t)l->size * l->size * l->c * l->n * l->out_h * l->out_w
           : l->type == CONNECTED ? (size_t)l->inputs * l->outputs
                                  : (size_t)l->nweights;
}

static inline void twins_copy_layer(const layer *from, layer *to)
{
    if (from->weights) cuda_push_array(to->weights_gpu, from->weights, twins_weights(from));
    if (from->biases) cuda_push_array(to->biases_gpu, from->biases, twins_filters(from));
    if (!from->rolling_variance) return;
    cuda_push_array(to->scales_gpu, from->scales, twins_filters(from));
    cuda_push_array(to->rolling_mean_gpu, from->rolling_mean, twins_filters(from));
    cuda_push_array(to->rolling_variance_gpu, from->rolling_variance, twins_filters(from));
}

/* Weights as Darknet draws them, except that rolling means and variances are those of data seen before. */
static inline twins twins_open(const char *text)
{
    char cfg[] = P_tmpdir "/twins_XXXXXX", weights[sizeof cfg + 8];
    bool deconvolutional = false; /* their weights Darknet cannot load */
    twins t;
    int fd = mkstemp(cfg);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) abort();
    close(fd);
    snprintf(weights, sizeof weights, "%s.weights", cfg);
    srand(5);
    t.cpu = twins_parse(cfg, -1);
    for (int i = 0; i < t.cpu->n; ++i) {
        layer *l = &t.cpu->layers[i];
        size_t filters = twins_filters(l);
        deconvolutional |= l->type == DECONVOLUTIONAL;
        for (size_t k = 0; l->type == DECONVOLUTIONAL && k < twins_weights(l); ++k) l->weights[k] *= 20; /* else tiny */
        if (l->biases && (l->weights || l->type == BATCHNORM))
            for (size_t k = 0; k < filters; ++k) l->biases[k] = rand_uniform(-.5, .5);
        for (size_t k = 0; l->rolling_variance && k < filters; ++k) {
            l->rolling_mean[k] = rand_uniform(-.5, .5);
            l->rolling_variance[k] = rand_uniform(.5, 2);
            l->scales[k] = rand_uniform(.5, 1.5);
        }
    }
    if (!deconvolutional) save_weights(t.cpu, weights);
    t.gpu = twins_parse(cfg, 0);
    if (!deconvolutional) load_weights(t.gpu, weights);
    for (int i = 0; deconvolutional && i < t.cpu->n; ++i) twins_copy_layer(&t.cpu->layers[i], &t.gpu->layers[i]);
    unlink(cfg);
    unlink(weights);
    return t;
}

/* With what Darknet's own free_network leaves behind. */
static inline void twins_release(network *net)
{
    gpu_index = net->gpu_index;
    free(net->seen);
    free(net->t);
    free(net->cost);
    if (gpu_index >= 0) cuda_free(net->workspace);
    else free(net->workspace);
    free_network(net);
}

static inline void twins_close(twins *t)
{
    twins_release(t->cpu);
    twins_release(t->gpu);
    gpu_index = -1;
}

static inline float *twins_pull(float *device, size_t n)
{
    float *host = malloc(n * sizeof *host);
    cuda_pull_array(device, host, n);
    return host;
}

/* Largest difference, in units of the largest value of `cpu`; NaN counts as infinite. */
static inline double twins_difference(float *device, const float *cpu, size_t n)
{
    float *gpu = twins_pull(device, n);
    double largest = 1e-3, difference = 0;
    for (size_t i = 0; i < n; ++i) {
        double d = fabs((double)gpu[i] - cpu[i]);
        if (!(d <= difference)) difference = isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(cpu[i]));
    }
    free(gpu);
    return difference / largest;
}

/* The same pictures and truths for both. */
static inline void twins_fill(twins *t, int step)
{
    network *net = t->cpu;
    layer last = net->layers[net->n - 1];
    srand(100 + step);
    for (int i = 0; i < net->batch * net->inputs; ++i) net->input[i] = rand_uniform(0, 1);
    memset(net->truth, 0, net->batch * net->truths * sizeof *net->truth);
    for (int b = 0; b < net->batch; ++b) {
        float *truth = net->truth + b * net->truths;
        if (last.type == YOLO || last.type == REGION) {
            const float boxes[] = {.4f, .3f, .5f, .6f, 1, .8f, .7f, .2f, .15f, 0};
            memcpy(truth, boxes, sizeof boxes);
            truth[0] += .1f * b;
        } else if (last.type == DETECTION) { /* per cell: object, classes, box */
            const float cell[] = {1, 0, 1, .4f, .3f, .5f, .6f};
            memcpy(truth + 7 * (b % 4), cell, sizeof cell);
        } else {
            truth[(b + step) % net->truths] = 1;
        }
    }
    memcpy(t->gpu->input, net->input, net->batch * net->inputs * sizeof *net->input);
    memcpy(t->gpu->truth, net->truth, net->batch * net->truths * sizeof *net->truth);
}

static const char *twins_now = ""; /* for messages */

static inline void twins_same(const char *what, int layer, float *device, const float *cpu, size_t n, double tolerance)
{
    double difference = twins_difference(device, cpu, n);
    if (!(difference <= tolerance))
        fail_msg("%s: %s of layer %d differs by %g of its largest", twins_now, what, layer, difference);
}

static inline void twins_run(network *net, void (*function)(network *))
{
    gpu_index = net->gpu_index;
    function(net);
}

static inline void twins_infer(twins *t)
{
    twins_fill(t, 0);
    t->cpu->train = t->gpu->train = 0;
    twins_run(t->cpu, forward_network);
    twins_run(t->gpu, forward_network);
    for (int i = 0; i < t->cpu->n; ++i) {
        layer a = t->cpu->layers[i], b = t->gpu->layers[i];
        if (a.type == COST) continue;
        twins_same("inference", i, b.output_gpu, a.output, (size_t)a.batch * a.outputs, 1e-4);
    }
    layer last = t->cpu->layers[t->cpu->n - 1];
    if (last.type != COST)
        for (int i = 0; i < last.outputs * last.batch; ++i)
            assert_true(fabs(t->gpu->layers[t->cpu->n - 1].output[i] - last.output[i]) < 1e-4);
}

/* cuDNN normalizes by the biased variance, Darknet by the unbiased one; that alone pushes values over a kink. */
static inline bool twins_loose(const network *net)
{
    bool loose = false;
#ifdef CUDNN
    for (int i = 0; i < net->n; ++i)
        loose |= net->layers[i].batch_normalize && net->layers[i].activation != LINEAR;
#endif
    (void)net;
    return loose;
}

static inline void twins_train(twins *t)
{
    bool loose = twins_loose(t->cpu);
    float first = 0, last = 0;
    for (int step = 0; step < 4; ++step) {
        twins_fill(t, step % 2);
        *t->cpu->seen += t->cpu->batch;
        *t->gpu->seen += t->cpu->batch;
        t->cpu->train = t->gpu->train = 1;
        twins_run(t->cpu, forward_network);
        twins_run(t->gpu, forward_network);
        last = *t->cpu->cost;
        if (!step) first = last;
        if (!(fabsf(*t->gpu->cost - last) <= (loose ? .1f : 1e-3f) * fabsf(last)))
            fail_msg("%s: step %d: loss %g on the device, %g on the CPU", twins_now, step, *t->gpu->cost, last);
        twins_run(t->cpu, backward_network);
        twins_run(t->gpu, backward_network);
        for (int i = t->cpu->n - 1; !loose && i >= 0; --i) {
            layer a = t->cpu->layers[i], b = t->gpu->layers[i];
            size_t n = (size_t)a.batch * a.outputs;
            if (a.delta && b.delta_gpu && i < t->cpu->n - 1 && a.type != YOLO) /* heads hand their delta on */
                twins_same("delta", i, b.delta_gpu, a.delta, n, 2e-3);
            if (a.weight_updates)
                twins_same("weight gradient", i, b.weight_updates_gpu, a.weight_updates, twins_weights(&a), 2e-3);
        }
        twins_run(t->cpu, update_network);
        twins_run(t->gpu, update_network);
    }
    if (last == first) fail_msg("%s: the loss stays at %g", twins_now, first);
    for (int i = 0; !loose && i < t->cpu->n; ++i) {
        layer a = t->cpu->layers[i], b = t->gpu->layers[i];
        size_t filters = twins_filters(&a);
        if (a.weight_updates) twins_same("weights", i, b.weights_gpu, a.weights, twins_weights(&a), 1e-3);
        if (a.weight_updates) twins_same("biases", i, b.biases_gpu, a.biases, filters, 1e-3);
        if (!a.rolling_variance) continue;
        twins_same("scales", i, b.scales_gpu, a.scales, filters, 1e-3);
        twins_same("means", i, b.rolling_mean_gpu, a.rolling_mean, filters, 1e-3);
        twins_same("variances", i, b.rolling_variance_gpu, a.rolling_variance, filters, 1e-3);
    }
}

#endif
