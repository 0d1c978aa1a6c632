#include "train/gates.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"
#include "model/cfg.h"
#include "model/model.h"
#include "io/random.h"
#include "score/score.h"
#include "train/pathmask.h"

typedef struct {
    const cp_model *model;
    const cp_dgr_options *options;
    const float *inputs;   /* (images,C,H,W) */
    size_t images, needed; /* of which that many must keep their arg-max */
    int logits;            /* the model's layer */
    network *net;
    int *mask;             /* by neuron layer: its [pathmask] in net, -1: none */
    int net_logits;        /* the layer in net */
    size_t classes;
    double *original;      /* softmax, (images, classes) */
    int *top;              /* (images) */
    float *best;           /* gates */
} gates_run;

static size_t gate_count(const cp_model *model, cp_granularity granularity)
{
    return granularity == CP_CHANNEL ? cp_model_channel_count(model) : cp_model_neuron_count(model);
}

/* Where the gates of a neuron layer are, and how many. */
static size_t gates_of(const cp_model *model, cp_granularity granularity, int position, size_t *n)
{
    int layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(model, &layers) + position;
    *n = granularity == CP_CHANNEL ? layer->c : layer->count;
    return granularity == CP_CHANNEL ? cp_model_channel_offset(model, position) : layer->offset;
}

bool cp_gates_layer(const cp_model *model, int neuron_layer)
{
    int n, logits, layer = cp_model_neuron_layers(model, &n)[neuron_layer].layer;
    return !cp_dgr_find_logits(model, &logits) && layer < logits && layer != cp_model_layer(model, logits)->value;
}

/* ---------------------------------------------------------------- the network of the run */

/* Layers that the engine computes rightly and Darknet's backward pass does not. */
static cp_status check_layers(const gates_run *r, const cp_cfg_net *net)
{
    for (int i = 0; i < r->logits; i++) {
        const cp_cfg_layer *l = &net->layers[i];
        const char *why = NULL;
        if (cp_layer_is_foreign(l))
            why = "what it computes is not";
        if (l->type == CP_LAYER_REORG)
            why = "its gradient overwrites that of other readers of its input";
        if (l->type == CP_LAYER_SHORTCUT && l->alpha != 1 && (l->c != l->out_c || l->h != l->out_h || l->w != l->out_w))
            why = "its gradient is wrong for alpha other than 1 between different shapes";
        if (why)
            return cp_fail(CP_EINPUT, "gates: layer %d [%s]: %s in Darknet; -method dgr computes the same by itself", i,
                           cp_layer_type_name(l->type), why);
    }
    return CP_OK;
}

static cp_status set_training(cp_cfg *cfg, const cp_dgr_options *o, size_t images)
{
    cp_status status = cp_cfg_prepare(cfg, 1, 0, 0);
    if (!status) status = cp_cfg_set(cfg, 0, "batch", "%zu", images);
    /* One image at a time, an update for all. */
    if (!status) status = cp_cfg_set(cfg, 0, "subdivisions", "%zu", images);
    if (!status) status = cp_cfg_set(cfg, 0, "policy", "constant");
    if (!status) status = cp_cfg_set(cfg, 0, "burn_in", "0");
    if (!status) status = cp_cfg_set(cfg, 0, "learning_rate", "%.9g", o->rate);
    if (!status) status = cp_cfg_set(cfg, 0, "momentum", "%.9g", o->momentum);
    if (!status) status = cp_cfg_set(cfg, 0, "decay", "0");
    return status;
}

/* From the end: the numbers of the layers still to come stay theirs. */
static cp_status put_masks(gates_run *r, cp_cfg *cfg)
{
    int n, masks = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(r->model, &n);
    const cp_dgr_options *o = r->options;
    cp_status status = CP_OK;
    for (int l = n; l-- > 0 && !status;) {
        r->mask[l] = -1;
        if (!cp_gates_layer(r->model, l)) continue;
        size_t section = (size_t)layers[l].layer + 2;
        status = cp_cfg_insert_layer(cfg, section - 1, "pathmask", true);
        if (!status) status = cp_cfg_set(cfg, section, "mode", "gate");
        if (!status) status = cp_cfg_set(cfg, section, "clamp", "%.9g", o->clamp);
        if (!status)
            status = cp_cfg_set(cfg, section, "granularity", o->granularity == CP_CHANNEL ? "channel" : "neuron");
    }
    for (int l = 0; l < n; l++)
        if (cp_gates_layer(r->model, l)) r->mask[l] = layers[l].layer + ++masks;
    r->net_logits = r->logits + masks;
    return masks || status ? status : cp_fail(CP_EINPUT, "gates: no neuron layer comes before the logits");
}

/* The cfg up to the logits, with gates, and [softmax] as its only head. */
static cp_status edit_cfg(gates_run *r, cp_cfg *cfg)
{
    cp_cfg_net *net = NULL;
    cp_status status = cp_cfg_check(cfg, 0, &net);
    size_t layers = net ? net->n_layers : 0;
    if (!status && layers != (size_t)cp_model_layer_count(r->model))
        status = cp_fail(CP_EINPUT, "gates: %s has changed while it was read", r->model->cfg_path);
    if (!status) status = check_layers(r, net);
    if (!status) status = set_training(cfg, r->options, r->images);
    while (!status && layers > (size_t)r->logits + 1) status = cp_cfg_remove_layer(cfg, --layers);
    if (!status) status = cp_cfg_insert_layer(cfg, layers, "softmax", false);
    if (!status) status = put_masks(r, cfg);
    cp_cfg_net_free(net);
    return status;
}

static bool on_gpu(const network *net) { return cp_device_builds() && net->gpu_index >= 0; }

/* Real files hold rolling variances a little below zero, of which only a program that flushes them takes the root. The
 * GPU's forward adds its epsilon first. */
static void flush_variances(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        int filters = l->type == CONNECTED ? l->outputs : l->n;
        for (int f = 0; l->batch_normalize && f < filters; ++f)
            if (!(l->rolling_variance[f] >= FLT_MIN)) l->rolling_variance[f] = 0;
    }
}

static void freeze(layer *l)
{
    l->update = NULL;
#ifdef GPU
    l->update_gpu = NULL;
#endif
}

static cp_status open_network(gates_run *r)
{
    cp_cfg *cfg = NULL;
    char *text = NULL;
    size_t length;
    cp_status status = cp_cfg_read(r->model->cfg_path, &cfg);
    if (!status) status = edit_cfg(r, cfg);
    if (!status) status = cp_cfg_render(cfg, &text, &length);
    if (!status) {
        parse_pathmask = cp_pathmask_parse; /* in another program than Darknet nobody has */
        status = cp_host_parse(text, length, true, &r->net);
    }
    if (!status) {
        cp_host_load_weights(r->net, r->model->weights_path); /* whose last layers the run does not have */
        if (!on_gpu(r->net)) flush_variances(r->net);
        for (int i = 0; i < r->net->n; ++i)
            if (r->net->layers[i].type != PATHMASK) freeze(&r->net->layers[i]);
        if (r->net->batch != 1 || (size_t)r->net->layers[r->net_logits].outputs != r->classes)
            status = cp_fail(CP_EINTERNAL, "gates: Darknet parsed a batch of %d and %d logits, expected are 1 and %zu",
                             r->net->batch, r->net->layers[r->net_logits].outputs, r->classes);
    }
    cp_free(text);
    cp_cfg_free(cfg);
    return status;
}

/* ---------------------------------------------------------------- the descent */

/* q = softmax(z); returns the arg-max, the first of equals. */
static int softmax_of(const float *z, size_t n, double *q)
{
    size_t top = 0;
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        if (z[i] > z[top]) top = i;
    for (size_t i = 0; i < n; i++) sum += q[i] = exp((double)z[i] - z[top]);
    for (size_t i = 0; i < n; i++) q[i] /= sum;
    return (int)top;
}

/* -sum of p log softmax(z) */
static double cross_entropy(const double *p, const float *z, size_t n)
{
    double most = z[0], sum = 0, entropy = 0;
    for (size_t i = 1; i < n; i++) most = fmax(most, z[i]);
    for (size_t i = 0; i < n; i++) sum += exp(z[i] - most);
    for (size_t i = 0; i < n; i++) entropy -= p[i] * (z[i] - most - log(sum));
    return entropy;
}

/* Inference statistics throughout; with `learn` the image's gradients are added up. The logits are the result. */
static const float *run_image(gates_run *r, size_t image, bool learn)
{
    network *net = r->net;
    memcpy(net->input, r->inputs + image * net->inputs, net->inputs * sizeof *net->input);
    for (size_t i = 0; i < r->classes; i++) net->truth[i] = (float)r->original[image * r->classes + i];
    net->train = 0;
    *net->seen += 1;
    forward_network(net);
    if (learn) backward_network(net);
    layer *logits = &net->layers[r->net_logits];
#ifdef GPU
    if (on_gpu(net)) cuda_pull_array(logits->output_gpu, logits->output, logits->outputs);
#endif
    return logits->output;
}

/* What the network says with every gate at 1, where it is the original one. */
static cp_status run_original(gates_run *r)
{
    for (size_t i = 0; i < r->images; i++) {
        const float *z = run_image(r, i, false);
        for (size_t k = 0; k < r->classes; k++)
            if (!isfinite(z[k]))
                return cp_fail(CP_EINPUT, "gates: image %zu: logit %zu is not finite", i + 1, k);
        r->top[i] = softmax_of(z, r->classes, r->original + i * r->classes);
    }
    return CP_OK;
}

/* The same numbers as those of cp_score_dgr: every start value is drawn, used or not. */
static void start(gates_run *r)
{
    const cp_dgr_options *o = r->options;
    uint64_t state = o->seed;
    int n;
    cp_model_neuron_layers(r->model, &n);
    size_t all = gate_count(r->model, o->granularity), count;
    for (size_t k = 0; k < all; k++)
        r->best[k] = o->random ? (float)(cp_random_next(&state) >> 40) * 0x1p-24f : 1;
    for (int l = 0; l < n; l++) {
        size_t first = gates_of(r->model, o->granularity, l, &count);
        if (r->mask[l] >= 0) cp_pathmask_set_gates(&r->net->layers[r->mask[l]], r->best + first);
        else memset(r->best + first, 0, count * sizeof *r->best);
    }
}

static double gate_sum(const gates_run *r)
{
    double sum = 0;
    for (int i = 0; i < r->net->n; ++i) {
        const layer *l = &r->net->layers[i];
        for (int k = 0; l->type == PATHMASK && k < l->n; ++k) sum += l->scales[k];
    }
    return sum;
}

static void keep_gates(gates_run *r)
{
    int n;
    size_t count;
    cp_model_neuron_layers(r->model, &n);
    for (int l = 0; l < n; l++) {
        size_t first = gates_of(r->model, r->options->granularity, l, &count);
        if (r->mask[l] >= 0) memcpy(r->best + first, r->net->layers[r->mask[l]].scales, count * sizeof *r->best);
    }
}

/* Momentum begins anew, the gates stay. */
static void begin_round(gates_run *r, double gamma)
{
    for (int i = 0; i < r->net->n; ++i) {
        layer *l = &r->net->layers[i];
        if (l->type != PATHMASK) continue;
        l->alpha = (float)gamma;
        memset(l->scale_updates, 0, l->n * sizeof *l->scale_updates);
    }
}

static cp_status one_step(gates_run *r, int step, double gamma, cp_gates_report *report)
{
    double entropy = 0;
    size_t keeping = 0;
    for (size_t i = 0; i < r->images; i++) {
        const float *z = run_image(r, i, true);
        size_t top = 0;
        for (size_t k = 1; k < r->classes; k++)
            if (z[k] > z[top]) top = k;
        keeping += (int)top == r->top[i];
        entropy += cross_entropy(r->original + i * r->classes, z, r->classes);
    }
    entropy /= (double)r->images;
    if (!isfinite(entropy))
        return cp_fail(CP_EINPUT, "gates: the gated network's logits are not finite: rate %g is too large",
                       r->options->rate);
    cp_dgr_report *run = &report->run;
    double loss = entropy + gamma * gate_sum(r);
    bool keeps = keeping >= r->needed;
    if (!run->kept || (keeps && loss < run->loss)) { /* without one that qualifies, the last iterate stands */
        keep_gates(r);
        run->kept = keeps;
        run->step = step;
        run->loss = loss;
        run->cross_entropy = entropy;
        report->keeping = keeping;
    }
    update_network(r->net);
    return CP_OK;
}

static cp_status descend(gates_run *r, cp_gates_report *report)
{
    const cp_dgr_options *o = r->options;
    double gamma = o->gamma;
    cp_status status = CP_OK;
    start(r);
    for (int round = 0; round < o->rounds && !report->run.kept && !status; round++, gamma /= 10) {
        begin_round(r, gamma);
        for (int step = 0; step < o->steps && !status; step++) {
            status = one_step(r, step, gamma, report);
            if (o->run.progress) o->run.progress(o->run.user, (double)(step + 1) / o->steps);
        }
        report->run.rounds = round + 1;
        report->run.gamma = gamma;
    }
    return status;
}

static cp_status prepare(gates_run *r, double keep)
{
    int n;
    size_t pairs = 0;
    cp_status status = cp_dgr_check(r->options);
    if (!status) status = cp_dgr_find_logits(r->model, &r->logits);
    if (!status && !r->model->weights_path) status = cp_fail(CP_EINPUT, "gates: the model was opened without weights");
    if (!status && (r->images < 1 || r->images > INT_MAX))
        status = cp_fail(CP_EINPUT, "gates: %zu images, needed is at least 1", r->images);
    if (!status && !(keep > 0 && keep <= 1))
        status = cp_fail(CP_EINPUT, "gates: the share %g of images must keep their class, allowed is above 0 to 1",
                         keep);
    if (status) return status;
    r->needed = (size_t)ceil(keep * (double)r->images - 1e-9);
    r->classes = (size_t)cp_model_classes(r->model);
    if (!cp_mul(r->images, r->classes, &pairs)) return cp_fail(CP_EINPUT, "gates: %zu images are too many", r->images);
    cp_model_neuron_layers(r->model, &n);
    r->mask = cp_alloc((size_t)n, sizeof *r->mask, "gates");
    r->original = cp_alloc(pairs, sizeof *r->original, "gates");
    r->top = cp_alloc(r->images, sizeof *r->top, "gates");
    r->best = cp_alloc(gate_count(r->model, r->options->granularity), sizeof *r->best, "gates");
    return r->mask && r->original && r->top && r->best ? CP_OK : CP_ERESOURCE;
}

cp_status cp_gates_train(const cp_model *model, const float *inputs, size_t images, const cp_dgr_options *options,
                         double keep, float *gate, cp_gates_report *report)
{
    gates_run r = {.model = model, .options = options, .inputs = inputs, .images = images};
    cp_gates_report unused;
    report = report ? report : &unused;
    *report = (cp_gates_report){.keeping = 0};
    cp_status status = prepare(&r, keep);
    int gpu = gpu_index;
    gpu_index = cp_device(); /* where Darknet computes */
#ifdef GPU
    if (!status && gpu_index >= 0) cuda_set_device(gpu_index);
#endif
    cp_blas_enter();
    if (!status) status = open_network(&r);
    if (!status) status = run_original(&r);
    if (!status) status = descend(&r, report);
    cp_blas_leave();
    if (!status) memcpy(gate, r.best, gate_count(model, options->granularity) * sizeof *gate);
    cp_host_free(r.net);
    gpu_index = gpu;
    cp_free(r.mask), cp_free(r.original), cp_free(r.top), cp_free(r.best);
    return status;
}

/* ---------------------------------------------------------------- the file */

static cp_status meta_text(const cp_model *model, const cp_dgr_options *o, size_t images, const cp_gates_report *report,
                           char **text, size_t *bytes)
{
    json_t *root = cp_json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:o}",
                                "format", json_string("critpath gates"), "format_version", json_integer(1),
                                "program_version", json_string(CP_VERSION),
                                "cfg_sha256", json_string(cp_model_cfg_sha256(model)),
                                "weights_sha256", json_string(cp_model_weights_sha256(model)),
                                "granularity", json_string(o->granularity == CP_CHANNEL ? "channel" : "neuron"),
                                "init", json_string(o->random ? "random" : "1"), "seed", (json_int_t)o->seed,
                                "steps", json_integer(o->steps), "rate", cp_json_real(o->rate),
                                "momentum", cp_json_real(o->momentum), "gamma", cp_json_real(report->run.gamma),
                                "clamp", cp_json_real(o->clamp), "rounds", json_integer(report->run.rounds),
                                "step", json_integer(report->run.step), "images", (json_int_t)images,
                                "keeping", (json_int_t)report->keeping, "loss", cp_json_real(report->run.loss),
                                "cross_entropy", cp_json_real(report->run.cross_entropy));
    cp_status status = !root ? CP_ERESOURCE : cp_json_format(root, true, text, bytes);
    json_decref(root);
    return status;
}

cp_status cp_gates_write(const char *file, const cp_model *model, const float *gate, const cp_dgr_options *options,
                         size_t images, const cp_gates_report *report)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    bool by_channel = options->granularity == CP_CHANNEL;
    cp_npz_writer *writer = NULL;
    char *text = NULL;
    size_t bytes, count;
    cp_status status = meta_text(model, options, images, report, &text, &bytes);
    if (!status) status = cp_npz_create(file, false, &writer);
    for (int l = 0; l < n && !status; l++) {
        const cp_neuron_layer *at = &layers[l];
        cp_array_type type = cp_array_chw(CP_FLOAT32, at->c, by_channel ? 1 : at->h, by_channel ? 1 : at->w);
        size_t first = gates_of(model, options->granularity, l, &count);
        if (cp_gates_layer(model, l)) status = cp_npz_add(writer, at->name, &type, gate + first);
    }
    if (!status) status = cp_npz_add_bytes(writer, "meta.json", text, bytes);
    if (!status) status = cp_npz_commit(&writer);
    cp_npz_discard(&writer);
    cp_free(text);
    return status;
}
