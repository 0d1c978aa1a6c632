/* Darknet's network: built from our own shapes, or parsed by Darknet itself, loaded and freed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/error.h"
#include "model/model.h"

/* Darknet's, but not in darknet.h. */
network *make_network(int n);
ACTIVATION get_activation(char *s);
layer make_convolutional_layer(int batch, int h, int w, int c, int n, int groups, int size, int stride, int padding,
                               ACTIVATION activation, int batch_normalize, int binary, int xnor, int adam);
layer make_deconvolutional_layer(int batch, int h, int w, int c, int n, int size, int stride, int padding,
                                 ACTIVATION activation, int batch_normalize, int adam);
layer make_local_layer(int batch, int h, int w, int c, int n, int size, int stride, int pad, ACTIVATION activation);
layer make_connected_layer(int batch, int inputs, int outputs, ACTIVATION activation, int batch_normalize, int adam);
layer make_softmax_layer(int batch, int inputs, int groups);
layer make_logistic_layer(int batch, int inputs);
layer make_cost_layer(int batch, int inputs, COST_TYPE type, float scale);
layer make_yolo_layer(int batch, int w, int h, int n, int total, int *mask, int classes);
layer make_region_layer(int batch, int w, int h, int n, int classes, int coords);
layer make_detection_layer(int batch, int inputs, int n, int side, int classes, int coords, int rescore);

static int silenced = -1; /* the program's stderr, while Darknet's reports go nowhere */

/* Darknet reports every layer it parses on stderr; a program that explains one photo must not. The whole process is
 * silenced meanwhile: models are opened before threads start. */
static int silence_stderr(void)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved >= 0 && null >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
    return silenced = saved;
}

static void restore_stderr(int saved)
{
    fflush(stderr);
    silenced = -1;
    if (saved < 0) return;
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* Darknet calls it when it has no memory and is about to end the program (patches/fixes/0005). */
void host_memory_ended(size_t n, size_t size);
void host_memory_ended(size_t n, size_t size)
{
    char line[96];
    int length = snprintf(line, sizeof line, "critpath: out of memory: Darknet asked for %zu x %zu bytes\n", n, size);
    if (write(silenced >= 0 ? silenced : STDERR_FILENO, line, (size_t)length) < length) return;
}

/* An anonymous file in memory and the path that opens it; without /proc a file in /tmp, *named, for the caller to
 * unlink. Negative: none. */
static int open_nameless(char path[40], bool *named)
{
    int file = memfd_create("cfg", MFD_CLOEXEC);
    snprintf(path, 40, "/proc/self/fd/%d", file);
    *named = file >= 0 && access(path, R_OK);
    if (!*named) return file;
    close(file);
    strcpy(path, "/tmp/critpath-cfg-XXXXXX");
    return mkostemp(path, O_CLOEXEC);
}

/* Darknet reads a cfg from a path, so the prepared text gets one. */
cp_status cp_host_parse(const char *text, size_t length, bool random, network **net)
{
    char path[40];
    bool named;
    int file = open_nameless(path, &named);
    if (file < 0) return cp_fail(CP_ERESOURCE, "cfg: no file for the prepared text, in memory or in /tmp");
    cp_status status = CP_OK;
    for (size_t done = 0; done < length && !status;) {
        ssize_t wrote = write(file, text + done, length - done);
        if (wrote <= 0)
            status = cp_fail(CP_ERESOURCE, "cfg: %zu bytes of prepared text could not be kept", length);
        else
            done += wrote;
    }
    if (!status) {
        int saved = silence_stderr();
        srand(2222222); /* the initial weights are the same each time */
        random_weights = random;
        /* Darknet ends the program where its own open fails, as it would with no descriptor left. */
        int probe = open(path, O_RDONLY | O_CLOEXEC);
        if (probe >= 0) {
            close(probe);
            *net = parse_network_cfg(path);
        } else {
            status = cp_fail(CP_ERESOURCE, "cfg: the prepared text cannot be opened: %s", strerror(errno));
        }
        random_weights = 1;
        restore_stderr(saved);
    }
    close(file);
    if (named) unlink(path);
    return status;
}

/* ---- built from the shapes ---- */

static LAYER_TYPE type_of(const cp_cfg_layer *c)
{
    static const LAYER_TYPE types[CP_LAYER_TYPES] = {
        [CP_LAYER_CONVOLUTIONAL] = CONVOLUTIONAL, [CP_LAYER_DECONVOLUTIONAL] = DECONVOLUTIONAL,
        [CP_LAYER_LOCAL] = LOCAL, [CP_LAYER_CONNECTED] = CONNECTED, [CP_LAYER_MAXPOOL] = MAXPOOL,
        [CP_LAYER_AVGPOOL] = AVGPOOL, [CP_LAYER_SHORTCUT] = SHORTCUT, [CP_LAYER_ROUTE] = ROUTE,
        [CP_LAYER_UPSAMPLE] = UPSAMPLE, [CP_LAYER_REORG] = REORG, [CP_LAYER_ACTIVATION] = ACTIVE,
        [CP_LAYER_DROPOUT] = DROPOUT, [CP_LAYER_CROP] = CROP, [CP_LAYER_SOFTMAX] = SOFTMAX,
        [CP_LAYER_LOGISTIC] = LOGXENT, [CP_LAYER_COST] = COST, [CP_LAYER_YOLO] = YOLO,
        [CP_LAYER_REGION] = REGION, [CP_LAYER_DETECTION] = DETECTION,
        [CP_LAYER_REORG3D] = REORG, [CP_LAYER_BATCHNORM] = BATCHNORM,
        [CP_LAYER_SCALE_CHANNELS] = (LAYER_TYPE)CP_HOST_SCALE_CHANNELS, [CP_LAYER_SAM] = (LAYER_TYPE)CP_HOST_SAM,
        [CP_LAYER_EMPTY] = (LAYER_TYPE)CP_HOST_EMPTY, [CP_LAYER_IMPLICIT] = (LAYER_TYPE)CP_HOST_IMPLICIT,
        [CP_LAYER_GAUSSIAN_YOLO] = (LAYER_TYPE)CP_HOST_GAUSSIAN_YOLO,
    };
    if (c->type == CP_LAYER_ROUTE && c->groups > 1) return (LAYER_TYPE)CP_HOST_GROUP_ROUTE;
    if (c->type == CP_LAYER_SHORTCUT && (c->n_sources > 2 || c->sum_weights)) return (LAYER_TYPE)CP_HOST_SUM;
    if (c->type == CP_LAYER_CONVOLUTIONAL && (c->stride != c->stride_y || c->dilation > 1))
        return (LAYER_TYPE)CP_HOST_WIDE_CONVOLUTION;
    if (c->type == CP_LAYER_MAXPOOL && c->depth) return (LAYER_TYPE)CP_HOST_DEPTH_POOL;
    if (c->type == CP_LAYER_MAXPOOL && c->stride != c->stride_y) return (LAYER_TYPE)CP_HOST_POOL;
    return c->type < CP_LAYER_TYPES ? types[c->type] : (LAYER_TYPE)(CP_HOST_OTHER + c->type);
}

/* Layers with weights are Darknet's own, so that those it starts with at random are the same too. */
static layer make_filters(const cp_cfg_layer *c, ACTIVATION activation)
{
    if (c->type == CP_LAYER_CONVOLUTIONAL)
        return make_convolutional_layer(1, c->h, c->w, c->c, c->n, c->groups, c->size, c->stride, c->pad, activation,
                                        c->batch_normalize, 0, 0, 0);
    if (c->type == CP_LAYER_DECONVOLUTIONAL)
        return make_deconvolutional_layer(1, c->h, c->w, c->c, c->n, c->size, c->stride, c->pad, activation,
                                          c->batch_normalize, 0);
    if (c->type == CP_LAYER_LOCAL)
        return make_local_layer(1, c->h, c->w, c->c, c->n, c->size, c->stride, c->pad, activation);
    return make_connected_layer(1, (int)c->inputs, c->n, activation, c->batch_normalize, 0);
}

static void set_anchors(layer *l, const cp_cfg_layer *c) { memcpy(l->biases, c->anchors, 2 * c->num * sizeof *l->biases); }

/* Heads decode by their own functions. */
static layer make_head(const cp_cfg_layer *c)
{
    layer l = {0};
    if (c->type == CP_LAYER_SOFTMAX) {
        l = make_softmax_layer(1, (int)c->inputs, c->groups);
        l.temperature = c->temperature;
    } else if (c->type == CP_LAYER_LOGISTIC) {
        l = make_logistic_layer(1, (int)c->inputs);
    } else if (c->type == CP_LAYER_COST) {
        l = make_cost_layer(1, (int)c->inputs, SSE, c->scale);
    } else if (c->type == CP_LAYER_YOLO) {
        int *mask = calloc(c->n_mask, sizeof *mask); /* the layer's own, to be freed with free() */
        if (!mask) return l;
        memcpy(mask, c->mask, c->n_mask * sizeof *mask);
        l = make_yolo_layer(1, c->w, c->h, (int)c->n_mask, c->num, mask, c->classes);
        set_anchors(&l, c);
    } else if (c->type == CP_LAYER_REGION) {
        l = make_region_layer(1, c->w, c->h, c->num, c->classes, c->coords);
        l.softmax = c->softmax;
        set_anchors(&l, c);
    } else if (c->type == CP_LAYER_GAUSSIAN_YOLO) { /* decoded by model/boxes.c */
        l.biases = calloc(2 * (size_t)c->num, sizeof *l.biases);
        if (l.biases) set_anchors(&l, c);
    } else if (c->type == CP_LAYER_DETECTION) {
        l = make_detection_layer(1, (int)c->inputs, c->num, c->side, c->classes, c->coords, 0);
        l.softmax = c->softmax;
        l.sqrt = c->squared;
    }
    return l;
}

/* The arrays that other Darknets' layers have in the weights file; until they are read, weights and scales of 1. */
static void make_arrays(layer *l, const cp_cfg_layer *c)
{
    for (size_t a = 0; a < c->n_arrays; ++a) {
        size_t n = c->arrays[a].n;
        float *values = calloc(n, sizeof *values), one = c->arrays[a].kind == CP_SCALES || c->arrays[a].kind == CP_WEIGHTS;
        for (size_t i = 0; values && i < n; ++i) values[i] = one;
        switch (c->arrays[a].kind) {
        case CP_BIASES: l->biases = values, l->nbiases = (int)n; break;
        case CP_SCALES: l->scales = values; break;
        case CP_ROLLING_MEAN: l->rolling_mean = values; break;
        case CP_ROLLING_VARIANCE: l->rolling_variance = values; break;
        case CP_WEIGHTS: l->weights = values, l->nweights = (int)n; break;
        }
    }
    l->batch_normalize = c->batch_normalize;
}

/* What has no memory of its own but such arrays: the engine's buffers are in frames. */
static layer make_plain(const cp_cfg_net *net, const cp_cfg_layer *c)
{
    layer l = {.n = (int)c->n_sources, .alpha = c->alpha, .beta = c->beta, .scale = c->scale, .reverse = c->reverse,
               .flatten = c->flatten, .extra = c->extra, .noadjust = c->noadjust, .probability = c->probability};
    l.w = c->w, l.h = c->h, l.c = c->c;
    make_arrays(&l, c);
    if (c->type == CP_LAYER_SHORTCUT) { /* as Darknet has it: those of `from` */
        const cp_cfg_layer *from = &net->layers[c->sources[1]];
        l.w = from->out_w, l.h = from->out_h, l.c = from->out_c;
        l.index = c->sources[1];
    }
    return l;
}

static layer make_layer(const cp_cfg_net *net, const cp_cfg_layer *c)
{
    ACTIVATION activation = c->activation ? cp_host_activation(c->activation) : LINEAR;
    bool filters = cp_layer_has_filters(c), head = cp_layer_type_is_head(c->type);
    layer l = filters ? make_filters(c, activation) : head ? make_head(c) : make_plain(net, c);
    l.type = type_of(c);
    l.batch = 1;
    l.activation = activation;
    l.inputs = (int)c->inputs;
    l.outputs = (int)c->outputs;
    if (head) return l;
    l.out_w = c->out_w, l.out_h = c->out_h, l.out_c = c->out_c;
    l.size = c->size, l.stride = c->stride, l.pad = c->pad;
    return l;
}

ACTIVATION cp_host_activation(const char *name)
{
    static const struct {
        const char *name;
        int activation;
    } others[] = {{"mish", CP_MISH}, {"swish", CP_SWISH}, {"hard_mish", CP_HARD_MISH}, {"relu6", CP_RELU6},
                  {"gelu", CP_GELU}, {"revleaky", LEAKY}, {"normalize_channels", CP_NORMALIZE_CHANNELS},
                  {"normalize_channels_softmax", CP_NORMALIZE_CHANNELS_SOFTMAX},
                  {"normalize_channels_softmax_maxval", CP_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL}};
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i)
        if (!strcmp(name, others[i].name)) return (ACTIVATION)others[i].activation;
    return get_activation((char *)name);
}

/* Whether the arrays that are allocated here, and not by Darknet, which ends the process, are all there. */
static bool is_complete(const layer *l, const cp_cfg_layer *c)
{
    bool there = c->type != CP_LAYER_YOLO || l->mask;
    there &= c->type != CP_LAYER_GAUSSIAN_YOLO || l->biases;
    for (size_t a = 0; a < c->n_arrays && !cp_layer_has_filters(c); ++a) {
        const float *const arrays[] = {[CP_BIASES] = l->biases, [CP_SCALES] = l->scales, [CP_ROLLING_MEAN] = l->rolling_mean,
                                       [CP_ROLLING_VARIANCE] = l->rolling_variance, [CP_WEIGHTS] = l->weights};
        there &= !c->arrays[a].n || arrays[c->arrays[a].kind];
    }
    return there;
}

cp_status cp_host_build(const cp_cfg_net *shapes, bool random, network **out)
{
    network *net = *out = make_network((int)shapes->n_layers);
    if (!net || !net->layers) return cp_fail(CP_ERESOURCE, "cfg: out of memory for %zu layers", shapes->n_layers);
    int saved = silence_stderr();
    srand(2222222); /* the initial weights are the same each time */
    random_weights = random;
    net->gpu_index = gpu_index;
    net->batch = net->subdivisions = 1;
    net->w = shapes->w, net->h = shapes->h, net->c = shapes->c;
    net->inputs = (int)shapes->inputs;
    bool complete = true;
    for (int i = 0; i < net->n; ++i) {
        net->layers[i] = make_layer(shapes, &shapes->layers[i]);
        complete &= is_complete(&net->layers[i], &shapes->layers[i]);
    }
    net->outputs = net->n ? net->layers[net->n - 1].outputs : 0;
    random_weights = 1;
    restore_stderr(saved);
    return complete ? CP_OK : cp_fail(CP_ERESOURCE, "cfg: out of memory for the arrays of its layers");
}

/* ---- loaded and freed ---- */

void cp_host_load_weights(network *net, const char *weights)
{
    /* Darknet leaves a deconvolution without groups, and divides by them to count its weights. */
    for (int i = 0; i < net->n; ++i)
        if (net->layers[i].type == DECONVOLUTIONAL) net->layers[i].groups = 1;
    int saved = silence_stderr(), gpu = gpu_index;
    gpu_index = net->gpu_index; /* below 0 the network has no arrays on a GPU to push them to */
    load_weights(net, (char *)weights);
    gpu_index = gpu;
    restore_stderr(saved);
}

void cp_host_free(network *net)
{
    if (!net) return;
    int gpu = gpu_index;
    gpu_index = net->gpu_index;
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (l->type == DROPOUT) l->output = l->delta = NULL; /* the previous layer's */
        free(l->mask), l->mask = NULL; /* free_layer forgets these */
        free(l->cost), l->cost = NULL;
        free(l->loss), l->loss = NULL;
#ifdef GPU
        if (gpu_index >= 0) cuda_free(l->loss_gpu);
#endif
    }
#ifdef GPU
    if (gpu_index >= 0) cuda_free(net->workspace), net->workspace = NULL;
#endif
    free(net->seen), free(net->t), free(net->cost), free(net->workspace);
    free(net->scales), free(net->steps);
    free_network(net);
    gpu_index = gpu;
}
