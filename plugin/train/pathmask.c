#include "train/pathmask.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/error.h"
#include "io/npz.h"
#include "io/progress.h"

#ifdef GPU
#include "blas.h"
#endif

char *option_find(list *l, char *key); /* Darknet's, in a header of its sources only */

enum { MAX_NAME = 4000 }; /* bytes of save= and layer= */
typedef enum { FROZEN, ZERO, GATE, MODES } mask_mode;
static const char *const mode_names[MODES] = {"frozen", "zero", "gate"};

/* ---------------------------------------------------------------- the layer at work */

static void spread(const float *from, int n, int outputs, float *to)
{
    int positions = outputs / n;
    for (int i = 0; i < outputs; ++i) to[i] = from[i / positions];
}

static bool learns(const layer *l) { return l->update != NULL; }

/* A choice, not a product: what is off the path may be infinite, and -0 stays -0. */
static void forward_pathmask(layer l, network net)
{
    for (int b = 0; b < l.batch; ++b) {
        const float *in = net.input + (size_t)b * l.outputs;
        float *out = l.output + (size_t)b * l.outputs;
        if (learns(&l)) {
            for (int i = 0; i < l.outputs; ++i) out[i] = l.x[i] * in[i];
        } else {
            for (int i = 0; i < l.outputs; ++i) out[i] = l.x[i] != 0 ? in[i] : l.x_norm ? l.x_norm[i] : 0;
        }
    }
}

static void backward_pathmask(layer l, network net)
{
    int positions = l.outputs / l.n;
    for (int b = 0; b < l.batch; ++b) {
        const float *in = net.input + (size_t)b * l.outputs, *delta = l.delta + (size_t)b * l.outputs;
        float *in_delta = net.delta ? net.delta + (size_t)b * l.outputs : NULL;
        if (learns(&l))
            for (int i = 0; i < l.outputs; ++i) l.scale_updates[i / positions] += in[i] * delta[i];
        if (in_delta)
            for (int i = 0; i < l.outputs; ++i)
                if (l.x[i] != 0) in_delta[i] += l.x[i] * delta[i];
    }
}

/* As Darknet's layers do: deltas point uphill on minus the loss, and momentum is what is kept of the updates. */
static void update_pathmask(layer l, update_args a)
{
    float rate = a.learning_rate * l.learning_rate_scale;
    for (int i = 0; i < l.n; ++i) {
        if (l.scales[i] > 0) l.scale_updates[i] -= l.alpha * a.batch;
        l.scales[i] = fminf(l.beta, fmaxf(0, l.scales[i] + rate / a.batch * l.scale_updates[i]));
        l.scale_updates[i] *= a.momentum;
    }
    spread(l.scales, l.n, l.outputs, l.x);
    l.indexes[0]++;
}

#ifdef GPU
/* Darknet's kernels serve: mask and constants are spread over one image, and each image gets a call. A choice here
 * too: off the path mask_gpu() puts 0, and there x_norm_gpu has the constants, elsewhere -0, which changes no sum. A
 * gradient per neuron is gathered in variance_delta_gpu and added up on the host, where the few gates are updated.
 * Several GPUs do not share their gates. */
static void forward_pathmask_gpu(layer l, network net)
{
    copy_gpu(l.batch * l.outputs, net.input_gpu, 1, l.output_gpu, 1);
    for (int b = 0; b < l.batch; ++b) {
        float *out = l.output_gpu + (size_t)b * l.outputs;
        if (learns(&l)) mul_gpu(l.outputs, l.x_gpu, 1, out, 1);
        else mask_gpu(l.outputs, out, 0, l.x_gpu, 0);
        if (l.x_norm_gpu) axpy_gpu(l.outputs, 1, l.x_norm_gpu, 1, out, 1);
    }
}

static void backward_pathmask_gpu(layer l, network net)
{
    for (int b = 0; b < l.batch; ++b) {
        size_t at = (size_t)b * l.outputs;
        if (learns(&l)) mult_add_into_gpu(l.outputs, net.input_gpu + at, l.delta_gpu + at, l.variance_delta_gpu);
        if (net.delta_gpu) mult_add_into_gpu(l.outputs, l.delta_gpu + at, l.x_gpu, net.delta_gpu + at);
    }
}

static void update_pathmask_gpu(layer l, update_args a)
{
    int positions = l.outputs / l.n;
    cuda_pull_array(l.variance_delta_gpu, l.variance_delta, l.outputs);
    for (int i = 0; i < l.outputs; ++i) l.scale_updates[i / positions] += l.variance_delta[i];
    memset(l.variance_delta, 0, l.outputs * sizeof *l.variance_delta);
    cuda_push_array(l.variance_delta_gpu, l.variance_delta, l.outputs);
    update_pathmask(l, a);
    cuda_push_array(l.x_gpu, l.x, l.outputs);
}

static void rest_gpu(layer *l)
{
    memset(l->variance_delta, 0, l->outputs * sizeof *l->variance_delta);
    cuda_push_array(l->variance_delta_gpu, l->variance_delta, l->outputs);
    cuda_push_array(l->x_gpu, l->x, l->outputs);
}

static float *renew_gpu(float *gpu, float *from, size_t n)
{
    if (gpu) cuda_free(gpu);
    return from ? cuda_make_array(from, n) : NULL;
}

static void renew_all_gpu(layer *l)
{
    size_t all = (size_t)l->batch * l->outputs;
    l->output_gpu = renew_gpu(l->output_gpu, l->output, all);
    l->delta_gpu = renew_gpu(l->delta_gpu, l->delta, all);
    l->x_gpu = renew_gpu(l->x_gpu, l->x, l->outputs);
    l->x_norm_gpu = renew_gpu(l->x_norm_gpu, l->x_norm, l->outputs);
    l->variance_delta_gpu = renew_gpu(l->variance_delta_gpu, l->variance_delta, l->outputs);
}
#endif

/* ---------------------------------------------------------------- its buffers */

/* Darknet frees these with free(). */
static bool renew(float **buffer, size_t n)
{
    free(*buffer);
    *buffer = calloc(n, sizeof **buffer);
    return *buffer != NULL;
}

/* Buffers for l->outputs, filled from the gates and constants. */
static cp_status fill_buffers(layer *l)
{
    size_t all = (size_t)l->batch * l->outputs;
    bool made = renew(&l->output, all) && renew(&l->delta, all) && renew(&l->x, l->outputs);
    if (made && l->biases) made = renew(&l->x_norm, l->outputs);
#ifdef GPU
    if (made && learns(l)) made = renew(&l->variance_delta, l->outputs);
#endif
    if (!made) return cp_fail(CP_ERESOURCE, "out of memory for %zu floats", all);
    spread(l->scales, l->n, l->outputs, l->x);
    if (l->biases) spread(l->biases, l->nbiases, l->outputs, l->x_norm);
    for (int i = 0; l->biases && i < l->outputs; ++i)
        if (l->x[i] != 0) l->x_norm[i] = -0.f; /* for the GPU, which adds it */
#ifdef GPU
    if (gpu_index >= 0) renew_all_gpu(l);
#endif
    return CP_OK;
}

cp_status cp_pathmask_fit(layer *l, int w, int h)
{
    if (w == l->w && h == l->h) return CP_OK; /* resize_network often says what is so already */
    size_t outputs, all;
    bool by_channel = l->spatial == 0;
    if (!by_channel)
        return cp_fail(CP_EINPUT, "its mask is for %dx%d, the network was resized to %dx%d here; only masks by channel "
                       "(C,1,1) fit any size", l->w, l->h, w, h);
    if (!cp_mul(w, h, &outputs) || !cp_mul(outputs, l->c, &outputs) || !cp_mul(outputs, l->batch, &all) ||
        all > INT_MAX)
        return cp_fail(CP_EINPUT, "%dx%dx%d for a batch of %d is more than Darknet counts", w, h, l->c, l->batch);
    l->w = l->out_w = w;
    l->h = l->out_h = h;
    l->inputs = l->outputs = outputs;
    return fill_buffers(l);
}

void cp_pathmask_set_gates(layer *l, const float *gates)
{
    memcpy(l->scales, gates, l->n * sizeof *gates);
    memset(l->scale_updates, 0, l->n * sizeof *l->scale_updates);
    spread(l->scales, l->n, l->outputs, l->x);
#ifdef GPU
    if (gpu_index >= 0) rest_gpu(l);
#endif
}

/* ---------------------------------------------------------------- keys and files */

/* An array of (c,h,w) or (c,1,1) as *n floats for Darknet to free. */
static cp_status read_array(const char *file, const char *name, const layer *l, bool take_bool, bool take_float,
                            float **values, int *n, bool *is_bool)
{
    cp_npz *npz = NULL;
    unsigned char *bools = NULL;
    cp_array_type type;
    size_t at;
    char found[CP_ARRAY_TYPE_TEXT];
    cp_status status = cp_npz_open(file, &npz);
    if (!status && !cp_npz_find(npz, name, &at))
        status = cp_fail(CP_EINPUT, "%s has no array '%.80s'%s%.80s", file, name,
                         cp_npz_count(npz) ? "; its first is " : "", cp_npz_count(npz) ? cp_npz_name(npz, 0) : "");
    if (!status) status = cp_npz_type(npz, at, &type);
    if (status) goto done;
    cp_array_type whole = cp_array_chw(type.dtype, l->c, l->h, l->w), channels = cp_array_chw(type.dtype, l->c, 1, 1);
    *is_bool = type.dtype == CP_BOOL;
    if (!cp_array_type_equal(&type, &whole) && !cp_array_type_equal(&type, &channels))
        status = cp_fail(CP_EINPUT, "%s: %.80s is %s, the layer before is (%d, %d, %d); that shape or (%d, 1, 1) is "
                         "needed", file, name, cp_array_type_text(&type, found), l->c, l->h, l->w, l->c);
    else if (*is_bool ? !take_bool : type.dtype != CP_FLOAT32 || !take_float)
        status = cp_fail(CP_EINPUT, "%s: %.80s is %s, needed is %s", file, name, cp_array_type_text(&type, found),
                         take_bool && take_float ? "bool or float32" : take_bool ? "bool" : "float32");
    if (status) goto done;
    *n = type.shape[1] * type.shape[2] == 1 ? l->c : l->outputs;
    *values = calloc(*n, sizeof **values);
    bools = cp_alloc(*n, 1, "pathmask");
    if (!*values || !bools) {
        status = cp_fail(CP_ERESOURCE, "out of memory for %d floats", *n);
        goto done;
    }
    status = cp_npz_read(npz, at, &type, *is_bool ? (void *)bools : *values);
    for (int i = 0; !status && *is_bool && i < *n; ++i) (*values)[i] = bools[i];
    for (int i = 0; !status && i < *n; ++i)
        if (!isfinite((*values)[i]))
            status = cp_fail(CP_EINPUT, "%s: %.80s: value %d is not finite", file, name, i);
done:
    cp_npz_close(npz);
    cp_free(bools);
    return status;
}

static cp_status number_key(list *options, char *key, float least, float most, float fallback, float *value)
{
    const char *text = option_find(options, key);
    char *end;
    *value = fallback;
    if (!text) return CP_OK;
    errno = 0;
    *value = strtof(text, &end);
    if (end == text || *end || errno || !(*value >= least && *value <= most))
        return cp_fail(CP_EINPUT, "%s=%.40s, allowed is a number from %g to %g", key, text, (double)least,
                       (double)most);
    return CP_OK;
}

static cp_status read_mode(list *options, mask_mode *mode)
{
    const char *text = option_find(options, "mode");
    if (!text) return cp_fail(CP_EINPUT, "mode= is missing, allowed is frozen, zero or gate");
    for (*mode = 0; *mode < MODES; ++*mode)
        if (!strcmp(text, mode_names[*mode])) return CP_OK;
    return cp_fail(CP_EINPUT, "mode=%.40s is unknown, allowed is frozen, zero or gate", text);
}

/* What the section says in words; file, off and save are NULL where absent. */
typedef struct {
    mask_mode mode;
    const char *file, *name, *off, *save;
    bool by_channel; /* granularity=channel */
} mask_words;

/* A gate file must have somewhere to go before the training begins, not after its first thousand batches. */
static cp_status check_save(const char *save, const char *name)
{
    char folder[MAX_NAME + 1];
    const char *slash = strrchr(save, '/');
    if (!name) return cp_fail(CP_EINPUT, "save= needs layer=, the name that the gates get in %.200s", save);
    if (!*save || strlen(save) > MAX_NAME || !*name || strlen(name) > MAX_NAME)
        return cp_fail(CP_EINPUT, "save= and layer= have %zu and %zu bytes, allowed are 1 to %d", strlen(save),
                       strlen(name), MAX_NAME);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - save) + 1 : 1, slash ? save : ".");
    if (slash && !slash[1]) return cp_fail(CP_EINPUT, "save=%.200s is a folder, a file is needed", save);
    if (access(folder, W_OK | X_OK))
        return cp_fail(CP_EINPUT, "save=%.200s: folder %.200s: %s", save, folder, strerror(errno));
    return CP_OK;
}

/* Which keys go with which mode. */
static cp_status read_words(list *options, mask_words *words)
{
    static const char *const gate_keys[] = {"save", "lambda", "init", "clamp", "granularity"};
    const char *granularity = option_find(options, "granularity");
    cp_status status = read_mode(options, &words->mode);
    if (status) return status;
    const char *mode = mode_names[words->mode];
    words->file = option_find(options, "file");
    words->name = option_find(options, "layer");
    words->off = option_find(options, "off");
    words->save = option_find(options, "save");
    words->by_channel = granularity && !strcmp(granularity, "channel");
    if (!words->file && words->mode != GATE)
        return cp_fail(CP_EINPUT, "mode=%s needs file=, a path .npz", mode);
    if (words->file && !words->name)
        return cp_fail(CP_EINPUT, "layer= is missing, the name of an array in %s", words->file);
    if (!words->off && words->mode == FROZEN)
        return cp_fail(CP_EINPUT, "mode=frozen needs off=, an .npz with the values of the neurons off the path");
    if (words->off && words->mode != FROZEN)
        return cp_fail(CP_EINPUT, "off= goes with mode=frozen, this is mode=%s", mode);
    for (size_t i = 0; i < sizeof gate_keys / sizeof *gate_keys && words->mode != GATE; i++)
        if (option_find(options, (char *)gate_keys[i]))
            return cp_fail(CP_EINPUT, "%s= goes with mode=gate, this is mode=%s", gate_keys[i], mode);
    if (granularity && words->file)
        return cp_fail(CP_EINPUT, "granularity= goes without file=, whose array has (C,H,W) gates or (C,1,1)");
    if (granularity && !words->by_channel && strcmp(granularity, "neuron"))
        return cp_fail(CP_EINPUT, "granularity=%.40s is unknown, allowed is neuron or channel", granularity);
    return words->save ? check_save(words->save, words->name) : CP_OK;
}

static cp_status read_gates(layer *l, const mask_words *words, float init)
{
    const char *file = words->file, *name = words->name;
    bool is_bool = true;
    if (!file) {
        l->n = words->by_channel ? l->c : l->outputs;
        l->scales = calloc(l->n, sizeof *l->scales);
        if (!l->scales) return cp_fail(CP_ERESOURCE, "out of memory for %d gates", l->n);
        for (int i = 0; i < l->n; ++i) l->scales[i] = init;
        return CP_OK;
    }
    cp_status status = read_array(file, name, l, true, words->mode == GATE, &l->scales, &l->n, &is_bool);
    for (int i = 0; !status && i < l->n; ++i) {
        if (l->scales[i] < 0)
            status = cp_fail(CP_EINPUT, "%s: %.80s: gate %d is %g, allowed is at least 0", file, name, i,
                             (double)l->scales[i]);
        if (words->mode == GATE && is_bool) l->scales[i] *= init;
    }
    return status;
}

/* What only gates need. */
static cp_status prepare_to_learn(layer *l, const mask_words *words)
{
    l->update = update_pathmask;
    l->indexes = calloc(1, sizeof *l->indexes);
    if (!renew(&l->scale_updates, l->n) || !l->indexes)
        return cp_fail(CP_ERESOURCE, "out of memory for %d gates", l->n);
    if (!words->save) return CP_OK;
    size_t save = strlen(words->save) + 1, name = strlen(words->name) + 1;
    if (!(l->cweights = calloc(save + name, 1))) return cp_fail(CP_ERESOURCE, "out of memory for names");
    memcpy(l->cweights, words->save, save);
    memcpy(l->cweights + save, words->name, name);
    return CP_OK;
}

static cp_status set_shape(layer *l, int batch, int w, int h, int c, int inputs)
{
    size_t all;
    bool image = w > 0 && h > 0 && c > 0;
    if (batch < 1 || inputs < 1)
        return cp_fail(CP_EINPUT, "a batch of %d and %d inputs, at least 1 is needed", batch, inputs);
    if (!cp_mul(batch, inputs, &all) || all > INT_MAX)
        return cp_fail(CP_EINPUT, "%d inputs for a batch of %d are more than Darknet counts", inputs, batch);
    if (image && (double)w * h * c != inputs)
        return cp_fail(CP_EINPUT, "%d inputs are no image of %dx%dx%d", inputs, w, h, c);
    l->batch = batch;
    l->inputs = l->outputs = inputs;
    l->w = l->out_w = image ? w : 1;
    l->h = l->out_h = image ? h : 1;
    l->c = l->out_c = image ? c : inputs;
    return CP_OK;
}

cp_status cp_pathmask_make(list *options, int batch, int w, int h, int c, int inputs, layer *made)
{
    layer l = {0};
    mask_words words = {.mode = FROZEN};
    float init;
    bool is_bool;
    l.type = BLANK; /* Darknet's parser puts in its own number */
    l.learning_rate_scale = 1;
    l.forward = forward_pathmask;
    l.backward = backward_pathmask;
    cp_status status = set_shape(&l, batch, w, h, c, inputs);
    if (!status) status = read_words(options, &words);
    if (!status) status = number_key(options, "lambda", 0, 1e6f, 0, &l.alpha);
    if (!status) status = number_key(options, "init", 0, 1e6f, 1, &init);
    if (!status) status = number_key(options, "clamp", 1e-6f, 1e6f, FLT_MAX, &l.beta);
    if (!status) status = read_gates(&l, &words, init);
    if (!status && words.off)
        status = read_array(words.off, words.name, &l, false, true, &l.biases, &l.nbiases, &is_bool);
    if (!status && words.mode == GATE) status = prepare_to_learn(&l, &words);
#ifdef GPU
    l.forward_gpu = forward_pathmask_gpu;
    l.backward_gpu = backward_pathmask_gpu;
    l.update_gpu = words.mode == GATE ? update_pathmask_gpu : NULL;
#endif
    /* (C,1,1) on a 1x1 image is by channel too. */
    l.spatial = !status && (l.n != l.c || (l.biases && l.nbiases != l.c));
    if (!status) status = fill_buffers(&l);
    if (status) {
        free_layer(l);
        return status;
    }
    int kept = 0;
    for (int i = 0; i < l.outputs; ++i) kept += l.x[i] != 0;
    fprintf(cp_stderr(), "pathmask  %-6s  %d of %d neurons   %4d x%4d x%4d\n", mode_names[words.mode], kept, l.outputs,
            l.w, l.h, l.c);
    *made = l;
    return CP_OK;
}

static void stop(int index)
{
    if (index >= 0) fprintf(cp_stderr(), "\nlayer %d [pathmask]: %s\n", index, cp_error());
    else fprintf(cp_stderr(), "[pathmask]: %s\n", cp_error());
    exit(1);
}

layer cp_pathmask_parse(list *options, int batch, int index, int w, int h, int c, int inputs)
{
    layer l;
    if (cp_pathmask_make(options, batch, w, h, c, inputs, &l)) stop(index);
    l.index = index; /* for messages after the parse */
    return l;
}

void cp_pathmask_resize(layer *l, int w, int h)
{
    if (cp_pathmask_fit(l, w, h)) stop(l->index);
}

void cp_pathmask_checkpoint(const network *net)
{
    if (cp_pathmask_save(net)) stop(-1);
}
