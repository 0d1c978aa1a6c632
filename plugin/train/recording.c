#include "train/recording.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/progress.h"
#include "train/log.h"
#ifdef GPU /* from Darknet's headers of these layers, which do not compile without warnings */
void pull_convolutional_layer(layer l);
void pull_deconvolutional_layer(layer l);
void pull_connected_layer(layer l);
void pull_local_layer(layer l);
#endif

enum { EVERY = 100, MAX_EVERY = 1000000000 };

typedef void (*pass)(struct layer l, struct network net);

/* Of one neuron layer, during a batch that is recorded. */
typedef struct {
    pass backward;      /* Darknet's own */
    size_t n_weights;
    float *before;      /* (n_weights) weight_updates at the start of the batch: momentum's part */
    double activations; /* sum of the squares of dL/da over the batch; NAN: not reached */
    double weights;     /* sum of the squares of the batch's dL/dw */
} measured;

/* One per process, as Darknet trains one network in it; of several GPUs' copies the first that trains is watched. */
static struct {
    cp_recording_options options;
    cp_model *model;
    cp_recorder *recorder;
    cp_log *log;
    cp_record record;
    measured *layer;    /* by position among the neuron layers */
    int *position;      /* by layer, -1 */
    int n;
    const network *net; /* that is watched */
    bool over;          /* something went wrong, and was said */
    pthread_mutex_t lock;
} observer = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---------------------------------------------------------------- the option */

cp_status cp_recording_parse(const char *text, cp_recording_options *o)
{
    static const char usage[] = "needed is log.jsonl[,every=100][,probe=list]";
    size_t length = strcspn(text, ",");
    bool every = false;
    *o = (cp_recording_options){.every = EVERY};
    if (!length || memchr(text, '=', length))
        return cp_fail(CP_EINPUT, "-critpath: \"%.80s\" names no log first, %s", text, usage);
    if (length >= sizeof o->log)
        return cp_fail(CP_EINPUT, "-critpath: the log's name has %zu bytes, allowed are %zu", length,
                       sizeof o->log - 1);
    memcpy(o->log, text, length);
    for (const char *at = text + length; *at; at += length) {
        length = strcspn(++at, ",");
        size_t key = strcspn(at, "=,");
        const char *value = at + key + 1;
        if (key >= length || key + 1 == length)
            return cp_fail(CP_EINPUT, "-critpath: \"%.*s\" is no key=value, %s", length < 80 ? (int)length : 80, at,
                           usage);
        size_t bytes = length - key - 1;
        if (key == 5 && !memcmp(at, "every", 5) && !every) {
            char *end;
            long number = strtol(value, &end, 10);
            if (end != value + bytes || *value < '0' || *value > '9' || number < 1 || number > MAX_EVERY)
                return cp_fail(CP_EINPUT, "-critpath: every=%.*s, a whole number from 1 to %d is needed",
                               bytes < 80 ? (int)bytes : 80, value, MAX_EVERY);
            o->every = (int)number;
            every = true;
        } else if (key == 5 && !memcmp(at, "probe", 5) && !*o->probe) {
            if (bytes >= sizeof o->probe)
                return cp_fail(CP_EINPUT, "-critpath: probe: the name has %zu bytes, allowed are %zu", bytes,
                               sizeof o->probe - 1);
            memcpy(o->probe, value, bytes);
        } else {
            bool known = key == 5 && (!memcmp(at, "every", 5) || !memcmp(at, "probe", 5));
            return cp_fail(CP_EINPUT, "-critpath: key \"%.*s\" is %s, %s", key < 40 ? (int)key : 40, at,
                           known ? "there twice" : "unknown", usage);
        }
    }
    return CP_OK;
}

void cp_recording_stop(void)
{
    record_training = NULL;
    for (int l = 0; l < observer.n && observer.layer; l++)
        cp_free(observer.layer[l].before);
    cp_free(observer.layer), cp_free(observer.position);
    cp_record_free(&observer.record);
    cp_recorder_free(observer.recorder);
    cp_log_close(observer.log);
    cp_model_free(observer.model);
    observer.layer = NULL, observer.position = NULL, observer.recorder = NULL, observer.log = NULL;
    observer.model = NULL, observer.net = NULL, observer.n = 0, observer.over = false;
}

cp_status cp_recording_start(const char *text, const char *cfg)
{
    if (observer.model)
        return cp_fail(CP_EINTERNAL, "-critpath: a training is recorded already");
    cp_status status = cp_recording_parse(text, &observer.options);
    if (!status && !cfg)
        status = cp_fail(CP_EINPUT, "-critpath: the cfg is missing");
    if (!status)
        status = cp_model_open(cfg, NULL, &observer.model);
    if (!status)
        status = cp_recorder_create(observer.model, &observer.recorder);
    if (!status && *observer.options.probe)
        status = cp_recorder_read_probes(observer.recorder, observer.options.probe, 0, true);
    if (!status)
        status = cp_record_create(observer.model, &observer.record);
    if (!status) {
        cp_model_neuron_layers(observer.model, &observer.n);
        observer.layer = cp_alloc((size_t)observer.n, sizeof *observer.layer, "recorder");
        observer.position =
            cp_alloc((size_t)cp_model_layer_count(observer.model), sizeof *observer.position, "recorder");
        status = observer.layer && observer.position ? CP_OK : CP_ERESOURCE;
    }
    if (!status)
        status = cp_log_open(observer.options.log, observer.model, &observer.log);
    if (status) {
        cp_recording_stop();
        return status;
    }
    for (int i = 0; i < cp_model_layer_count(observer.model); i++)
        observer.position[i] = cp_model_neuron_position(observer.model, i);
    record_training = cp_recording_train;
    return CP_OK;
}

void cp_recording_arguments(int argc, char **argv)
{
    while (argc > 1 && !argv[argc - 1])
        argc--;
    bool bare = argc > 1 && !strcmp(argv[argc - 1], "-critpath");
    char *option = find_char_arg(argc, argv, "-critpath", NULL), *text = option ? option : getenv("CRITPATH");
    cp_status status = CP_OK;
    if (bare)
        status = cp_fail(CP_EINPUT, "-critpath: the value is missing, needed is log.jsonl[,every=100][,probe=list]");
    else if (option && strcmp(argv[2], "train"))
        status = cp_fail(CP_EINPUT, "-critpath: `%.40s %.40s` trains nothing, only train is recorded", argv[1],
                         argv[2]);
    else if (text && *text && !strcmp(argv[2], "train"))
        status = cp_recording_start(text, argc > 4 ? argv[4] : NULL);
    if (status) {
        fprintf(cp_stderr(), "critpath: %s\n", cp_error());
        exit(status);
    }
    if (record_training)
        fprintf(cp_stderr(), "critpath: a record every %d iterations in %s\n", observer.options.every,
                observer.options.log);
}

/* ---------------------------------------------------------------- gradients */

static double squares(const float *x, const float *minus, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double value = minus ? (double)x[i] - minus[i] : x[i];
        sum += value * value;
    }
    return sum;
}

static bool on_gpu(const network *net)
{
#ifdef GPU
    return net->gpu_index >= 0;
#else
    (void)net;
    return false;
#endif
}

/* To the host arrays of the layer, where Darknet reads nothing while it trains on a GPU. */
static void pull(layer *l)
{
#ifdef GPU
    switch (l->type) {
    case CONVOLUTIONAL: pull_convolutional_layer(*l); break;
    case DECONVOLUTIONAL: pull_deconvolutional_layer(*l); break;
    case CONNECTED: pull_connected_layer(*l); break;
    case LOCAL: pull_local_layer(*l); break;
    default: break;
    }
#else
    (void)l;
#endif
}

/* The sums of the weights' gradients alone. */
static void pull_updates(layer *l, size_t n)
{
#ifdef GPU
    cuda_pull_array(l->weight_updates_gpu, l->weight_updates, n);
#else
    (void)l, (void)n;
#endif
}

static void measure_activations(const layer *l, const network *net, measured *m)
{
    size_t n = (size_t)l->outputs * (size_t)l->batch;
    const float *delta = l->delta;
#ifdef GPU
    float *copy = NULL;
    if (on_gpu(net)) {
        delta = copy = cp_alloc(n, sizeof *copy, "gradient");
        if (!copy)
            return;
        cuda_pull_array(l->delta_gpu, copy, n);
    }
#else
    (void)net;
#endif
    m->activations = (isnan(m->activations) ? 0 : m->activations) + squares(delta, NULL, n);
#ifdef GPU
    cp_free(copy);
#endif
}

/* Stands in for a neuron layer's backward. When that begins, every reader has added to the delta: it is dL/da (with
 * Darknet's sign). The weights' gradients have then grown by the end of the last part of the batch. */
static void measuring_backward(layer l, network net)
{
    measured *m = &observer.layer[observer.position[net.index]];
    measure_activations(&l, &net, m);
    m->backward(l, net);
    if (!m->before)
        return;
    if (on_gpu(&net))
        pull_updates(&l, m->n_weights);
    m->weights = squares(l.weight_updates, m->before, m->n_weights);
}

static pass *backward_of(network *net, int layer)
{
#ifdef GPU
    if (on_gpu(net))
        return &net->layers[layer].backward_gpu;
#endif
    return &net->layers[layer].backward;
}

static cp_status begin(network *net)
{
    int n;
    cp_status status = CP_OK;
    const cp_neuron_layer *layers = cp_model_neuron_layers(observer.model, &n);
    if (net->n != cp_model_layer_count(observer.model))
        return cp_fail(CP_EINPUT, "the network has %d layers, the cfg %d", net->n,
                       cp_model_layer_count(observer.model));
    for (int k = 0; k < n; k++) {
        measured *m = &observer.layer[k];
        layer *l = &net->layers[layers[k].layer];
        size_t biases;
        *m = (measured){.activations = NAN, .weights = NAN};
        cp_host_array_sizes(l, &m->n_weights, &biases);
        if (m->n_weights && l->weight_updates && !status) {
            m->before = cp_alloc_dirty(m->n_weights, sizeof *m->before, "weight gradients");
            status = m->before ? CP_OK : CP_ERESOURCE;
            if (!status && on_gpu(net))
                pull_updates(l, m->n_weights);
            if (!status)
                memcpy(m->before, l->weight_updates, m->n_weights * sizeof *m->before);
        }
        pass *backward = backward_of(net, layers[k].layer);
        m->backward = *backward;
        *backward = measuring_backward;
    }
    return status;
}

static void end(network *net, size_t images)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(observer.model, &n);
    for (int k = 0; k < n; k++) {
        measured *m = &observer.layer[k];
        if (!m->backward) /* begin() has refused the network */
            return;
        *backward_of(net, layers[k].layer) = m->backward;
        m->backward = NULL;
        cp_free(m->before);
        m->before = NULL;
        observer.record.layers[k].activation_gradient = sqrt(m->activations / (double)images);
        observer.record.layers[k].weight_gradient = sqrt(m->weights) / (double)images;
    }
}

/* ---------------------------------------------------------------- recording */

/* The batch's images, shrunk or enlarged to the cfg's size where `random` has resized the network. */
static cp_status look_at_batch(const network *net, const matrix *x)
{
    const network *own = observer.model->net;
    cp_status status = CP_OK;
    if (x->cols == own->inputs)
        return cp_recorder_look(observer.recorder, (const float *const *)x->vals, (size_t)x->rows, &observer.record);
    if (!net->c || net->c != own->c || x->cols != net->w * net->h * net->c)
        return cp_fail(CP_EINPUT, "an image of the batch has %d values, the cfg takes %d", x->cols, own->inputs);
    image *sized = cp_alloc((size_t)x->rows, sizeof *sized, "batch");
    float **vals = cp_alloc((size_t)x->rows, sizeof *vals, "batch");
    for (int i = 0; sized && vals && i < x->rows; i++) {
        sized[i] = resize_image(float_to_image(net->w, net->h, net->c, x->vals[i]), own->w, own->h);
        vals[i] = sized[i].data;
        status = vals[i] ? status : cp_fail(CP_ERESOURCE, "batch: out of memory");
    }
    if (!sized || !vals)
        status = CP_ERESOURCE;
    if (!status)
        status = cp_recorder_look(observer.recorder, (const float *const *)vals, (size_t)x->rows, &observer.record);
    for (int i = 0; sized && i < x->rows; i++)
        free_image(sized[i]);
    cp_free(sized);
    cp_free(vals);
    return status;
}

static cp_status write_record(network *net, const matrix *x, float loss)
{
    cp_record *record = &observer.record;
    cp_status status = CP_OK;
    record->seen = *net->seen;
    record->iteration = *net->seen / ((size_t)net->batch * net->subdivisions);
    record->loss = isfinite(loss) ? loss : NAN;
    *record->fault = 0;
    for (int i = 0; on_gpu(net) && i < net->n; i++)
        pull(&net->layers[i]);
    status = cp_model_copy_weights(observer.model, net);
    if (!status && cp_recorder_probes(observer.recorder))
        status = cp_recorder_look(observer.recorder, NULL, 0, record);
    else if (!status)
        status = look_at_batch(net, x);
    if (status == CP_EINPUT) { /* a training that has gone astray is worth knowing of */
        snprintf(record->fault, sizeof record->fault, "%s", cp_error());
        cp_recorder_forget(observer.recorder, record);
        status = CP_OK;
    }
    return status ? status : cp_log_add(observer.log, record);
}

static bool is_time(const network *net, const data *d)
{
    size_t batch = (size_t)net->batch * net->subdivisions * observer.options.every;
    return (*net->seen + d->X.rows) / batch > *net->seen / batch;
}

float cp_recording_train(network *net, data d, float (*train)(network *net, data d))
{
    pthread_mutex_lock(&observer.lock); /* several GPUs train in as many threads */
    if (!observer.net)
        observer.net = net;
    bool record = observer.net == net && !observer.over && is_time(net, &d);
    pthread_mutex_unlock(&observer.lock);
    if (!record)
        return train(net, d);
    cp_status status = begin(net);
    float loss = train(net, d);
    end(net, (size_t)d.X.rows);
    if (!status)
        status = write_record(net, &d.X, loss);
    if (status) {
        fprintf(cp_stderr(), "critpath: %s; nothing more is recorded\n", cp_error());
        observer.over = true;
    }
    return loss;
}
