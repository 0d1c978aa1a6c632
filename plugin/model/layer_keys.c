/* Keys: those of [net] and of every layer, the check of a section's keys and activation, and what the shape functions of
 * layer_*.c share. */
#include "model/layer_row.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/suggest.h"

/* ---- keys ---- */

static const cp_cfg_key net_keys[] = {
    CP_KEY("batch"), CP_KEY("subdivisions"), CP_KEY_INT("time_steps", 1, 1), CP_KEY_INT("height", 0, INT_MAX),
    CP_KEY_INT("width", 0, INT_MAX), CP_KEY_INT("channels", 0, INT_MAX), CP_KEY_INT("inputs", 0, INT_MAX),
    CP_MODERN("letter_box"), CP_KEY("policy"), CP_KEY("steps"), CP_KEY("scales"), CP_TRAINING("learning_rate"),
    CP_TRAINING("momentum"), CP_TRAINING("decay"), CP_TRAINING("notruth"), CP_TRAINING("random"),
    CP_TRAINING("adam"), CP_TRAINING("B1"), CP_TRAINING("B2"), CP_TRAINING("eps"), CP_TRAINING("max_crop"),
    CP_TRAINING("min_crop"), CP_TRAINING("max_ratio"), CP_TRAINING("min_ratio"), CP_TRAINING("center"),
    CP_TRAINING("clip"), CP_TRAINING("angle"), CP_TRAINING("aspect"), CP_TRAINING("saturation"),
    CP_TRAINING("exposure"), CP_TRAINING("hue"), CP_TRAINING("burn_in"), CP_TRAINING("power"), CP_TRAINING("step"),
    CP_TRAINING("scale"), CP_TRAINING("gamma"), CP_TRAINING("max_batches"), CP_TRAINING("seen"),
    /* AlexeyAB's and hank-ai's. */
    CP_MODERN_TRAINING("learning_rate_min"), CP_MODERN_TRAINING("sgdr_cycle"), CP_MODERN_TRAINING("sgdr_mult"), CP_MODERN_TRAINING("seq_scales"),
    CP_MODERN_TRAINING("track"), CP_MODERN_TRAINING("augment_speed"), CP_MODERN_TRAINING("sequential_subdivisions"),
    CP_MODERN_TRAINING("try_fix_nan"), CP_MODERN_TRAINING("weights_reject_freq"), CP_MODERN_TRAINING("equidistant_point"),
    CP_MODERN_TRAINING("badlabels_rejection_percentage"), CP_MODERN_TRAINING("num_sigmas_reject_badlabels"),
    CP_MODERN_TRAINING("ema_alpha"), CP_MODERN_TRAINING("use_cuda_graph"), CP_MODERN_TRAINING("loss_scale"),
    CP_MODERN_TRAINING("dynamic_minibatch"), CP_MODERN_TRAINING("optimized_memory"), CP_MODERN_TRAINING("workspace_size_limit_MB"),
    CP_MODERN_TRAINING("flip"), CP_MODERN_TRAINING("blur"), CP_MODERN_TRAINING("gaussian_noise"), CP_MODERN_TRAINING("mixup"),
    CP_MODERN_TRAINING("cutmix"), CP_MODERN_TRAINING("mosaic"), CP_MODERN_TRAINING("mosaic_bound"), CP_MODERN_TRAINING("contrastive"),
    CP_MODERN_TRAINING("contrastive_jit_flip"), CP_MODERN_TRAINING("contrastive_color"), CP_MODERN_TRAINING("unsupervised"),
    CP_MODERN_TRAINING("label_smooth_eps"), CP_MODERN_TRAINING("resize_step"), CP_MODERN_TRAINING("attention"),
    CP_MODERN_TRAINING("adversarial_lr"), CP_MODERN_TRAINING("max_chart_loss"), CP_MODERN_TRAINING("show_receptive_field"), CP_KEYS_END};

static const cp_cfg_key common_keys[] = {
    CP_KEY("dontload"), CP_KEY("numload"), CP_KEY("dontloadscales"), CP_TRAINING("truth"), CP_TRAINING("onlyforward"),
    CP_TRAINING("stopbackward"), CP_TRAINING("dontsave"), CP_TRAINING("learning_rate"), CP_TRAINING("smooth"),
    CP_MODERN_TRAINING("dont_update"), CP_MODERN_TRAINING("burnin_update"), CP_MODERN_TRAINING("train_only_bn"), CP_TRAINING("clip"),
    CP_KEYS_END};

static const cp_cfg_key *find_in(const cp_cfg_key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (!strcmp(keys->name, name)) return keys;
    return NULL;
}

/* NULL row: of [net]. NULL: no Darknet has it there. */
static const cp_cfg_key *find_key(const cp_layer_row *row, const char *name)
{
    if (!row) return find_in(net_keys, name);
    const cp_cfg_key *key = find_in(row->keys, name);
    return key ? key : find_in(common_keys, name);
}

static int count_keys(const cp_cfg_key *keys)
{
    int n = 0;
    while (keys[n].name) n++;
    return n;
}

/* The key that is most like `name`; NULL: none is. */
static const char *suggest(const cp_layer_row *row, const char *name)
{
    enum { MOST = 128 };
    const cp_cfg_key *lists[2] = {row ? row->keys : net_keys, row ? common_keys : NULL};
    const char *names[MOST];
    int n = 0;
    for (int k = 0; k < 2 && lists[k]; k++)
        for (int i = 0; i < count_keys(lists[k]) && n < MOST; i++) names[n++] = lists[k][i].name;
    return cp_nearest_name(name, names, n);
}

static cp_status check_refused(const cp_cfg *cfg, size_t section, const cp_cfg_pair *pair, const cp_cfg_key *key)
{
    int value;
    bool number = cp_cfg_int(cfg, section, pair->key, 0, &value) == CP_OK;
    if (number ? value >= key->min && value <= key->max : !strcmp(pair->value, "none")) return CP_OK;
    return cp_cfg_refuse(cfg, section, pair->line, "%.40s=%.40s is not supported: %s", pair->key, pair->value,
                         key->reason);
}

/* Darknet's activations, then those of AlexeyAB's. `curved`: which layers have it, as cp_layer_row.curved says. */
static const struct {
    const char *name;
    bool modern;
    int curved;
} activations[] = {
    {"logistic", false, 0}, {"loggy", false, 0}, {"relu", false, 0}, {"elu", false, 0},
    {"selu", false, 0}, {"relie", false, 0}, {"plse", false, 0}, {"hardtan", false, 0},
    {"lhtan", false, 0}, {"linear", false, 0}, {"ramp", false, 0}, {"leaky", false, 0},
    {"tanh", false, 0}, {"stair", false, 0}, {"relu6", true, 0}, {"gelu", true, 0},
    {"revleaky", true, 0}, {"mish", true, 1}, {"swish", true, 1}, {"hard_mish", true, 2},
    {"normalize_channels", true, 2}, {"normalize_channels_softmax", true, 2},
    {"normalize_channels_softmax_maxval", true, 2},
};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* Its number, -1: there is none of that name. */
static int find_activation(const char *name)
{
    for (int i = 0; i < ACTIVATIONS; i++)
        if (!strcmp(name, activations[i].name)) return i;
    return -1;
}

static cp_status check_activation(const cp_cfg *cfg, size_t section, const cp_layer_row *row, const cp_cfg_pair *pair)
{
    const char *names[ACTIVATIONS];
    int i = find_activation(pair->value);
    if (i < 0) {
        for (int k = 0; k < ACTIVATIONS; k++) names[k] = activations[k].name;
        const char *near = cp_nearest_name(pair->value, names, ACTIVATIONS);
        return cp_cfg_refuse(cfg, section, pair->line, "activation=%.40s is none of Darknet's%s%s%s", pair->value,
                             near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    }
    if (activations[i].curved > row->curved)
        return cp_cfg_refuse(cfg, section, pair->line, "activation=%s is not supported here: Darknet has it for "
                             "convolutions%s only", pair->value, activations[i].curved == 1 ? " and shortcuts" : "");
    return CP_OK;
}

static bool lenient_keys;

void cp_cfg_set_lenient(bool lenient) { lenient_keys = lenient; }

bool cp_cfg_is_modern(const cp_layer_row *row, const cp_cfg_pair *pair)
{
    const cp_cfg_key *key = find_key(row, pair->key);
    if (key && !strcmp(key->name, "activation")) {
        int i = find_activation(pair->value);
        return i >= 0 && activations[i].modern;
    }
    return key && key->modern;
}

cp_status cp_cfg_check_key(const cp_cfg *cfg, size_t section, const cp_layer_row *row, size_t index, char *warning,
                           size_t size)
{
    const cp_cfg_pair *pair = &cfg->sections[section].pairs[index];
    const cp_cfg_key *key = find_key(row, pair->key);
    *warning = 0;
    if (!key && lenient_keys) {
        snprintf(warning, size, "Darknet does not use '%.40s=%.40s' here", pair->key, pair->value);
    } else if (!key) {
        const char *near = suggest(row, pair->key);
        return cp_cfg_refuse(cfg, section, pair->line, "%.40s is no key of it%s%s%s", pair->key,
                             near ? ", did you mean " : "", near ? near : "", near ? "?" : "; -keys lenient ignores it");
    } else if (cp_cfg_find(cfg, section, pair->key) != pair) {
        snprintf(warning, size, "a second %.40s, Darknet uses the first", pair->key);
    } else if (key->kind == CP_KEY_REFUSED) {
        return check_refused(cfg, section, pair, key);
    } else if (!strcmp(key->name, "activation")) {
        return check_activation(cfg, section, row, pair);
    }
    return CP_OK;
}

bool cp_layer_ties_channels(const cp_cfg_layer *layer)
{
    return layer->activation && !strncmp(layer->activation, "normalize_channels", strlen("normalize_channels"));
}

/* The host has AlexeyAB's activations too (patches/), but for a few; where the gradient needs their input, which it keeps in
 * convolutions alone. */
bool cp_cfg_is_foreign_activation(const cp_cfg_layer *l)
{
    int i = l->activation ? find_activation(l->activation) : -1;
    if (i < 0 || !activations[i].modern || !strcmp(l->activation, "relu6")) return false;
    return l->type != CP_LAYER_CONVOLUTIONAL || !strcmp(l->activation, "revleaky") ||
           cp_layer_ties_channels(l);
}

/* ---- what the shape functions share ---- */

cp_status cp_cfg_ranged(const cp_cfg *cfg, size_t section, const char *key, int fallback, int min, int max, int *value)
{
    cp_status status = cp_cfg_int(cfg, section, key, fallback, value);
    if (status != CP_OK || (*value >= min && *value <= max)) return status;
    char allowed[48];
    if (max == min) snprintf(allowed, sizeof allowed, "only %d is allowed", min);
    else if (max == INT_MAX) snprintf(allowed, sizeof allowed, "at least %d is needed", min);
    else snprintf(allowed, sizeof allowed, "%d to %d is allowed", min, max);
    return cp_cfg_refuse(cfg, section, cp_cfg_key_line(cfg, section, key), "%s=%d, %s", key, *value, allowed);
}

cp_status cp_cfg_volume(const cp_cfg_walk *walk, const char *what, long a, long b, long c, long d, size_t *product)
{
    long p = 0;
    if (!__builtin_mul_overflow(a, b, &p) && !__builtin_mul_overflow(p, c, &p) && !__builtin_mul_overflow(p, d, &p) &&
        p <= INT_MAX) {
        *product = (size_t)p;
        return CP_OK;
    }
    char text[100];
    int n = snprintf(text, sizeof text, "%ldx%ldx%ld", a, b, c);
    if (d != 1) snprintf(text + n, sizeof text - (size_t)n, "x%ld", d);
    return cp_cfg_refuse(walk->cfg, walk->section, cp_cfg_line(walk->cfg, walk->section),
                         "%s of %s, more than the %d that Darknet can count", what, text, INT_MAX);
}

cp_status cp_cfg_flag(const cp_cfg_walk *walk, const char *key, bool *value)
{
    int n;
    TRY(cp_cfg_int(walk->cfg, walk->section, key, 0, &n));
    *value = n != 0;
    return CP_OK;
}

cp_status cp_layer_number(const cp_cfg_walk *walk, const char *key, int fallback, int *value)
{
    const cp_cfg_key *k = find_key(walk->row, key);
    if (!k) return cp_fail(CP_EINTERNAL, "[%s]: the table has no key %s", walk->row->name, key);
    return cp_cfg_ranged(walk->cfg, walk->section, key, fallback, k->min, k->max, value);
}

cp_status cp_layer_need_image(const cp_cfg_walk *walk)
{
    if (walk->c && walk->h && walk->w) return CP_OK;
    return REFUSE("", "the layer before gives %zu values but no image (channels, height and width), which is needed",
                  walk->inputs);
}

cp_status cp_layer_read_strides(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int stride;
    TRY(cp_layer_number(walk, "stride", 1, &stride));
    TRY(cp_layer_number(walk, "stride_x", stride, &layer->stride));
    return cp_layer_number(walk, "stride_y", stride, &layer->stride_y);
}

cp_status cp_layer_read_blur(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int kind;
    TRY(cp_layer_number(walk, "antialiasing", 0, &kind));
    if (!kind) return CP_OK;
    layer->blur = (cp_cfg_blur){.size = kind == 2 ? 2 : 3, .stride_x = layer->stride, .stride_y = layer->stride_y};
    layer->stride = layer->stride_y = 1;
    return CP_OK;
}

cp_status cp_layer_set_blurred(const cp_cfg_walk *walk)
{
    cp_cfg_blur *blur = &walk->layer->blur;
    if (!blur->size) return CP_OK;
    int border = blur->size == 3 ? 2 : 0, h = walk->layer->out_h + border - blur->size, w = walk->layer->out_w + border - blur->size;
    if (h < 0 || w < 0)
        return REFUSE("antialiasing", "antialiasing=2 of %dx%d values, at least 2x2 are needed", walk->layer->out_w,
                      walk->layer->out_h);
    blur->out_h = h / blur->stride_y + 1;
    blur->out_w = w / blur->stride_x + 1;
    return CP_OK;
}

void cp_layer_find_activation(const cp_cfg_walk *walk, const char *fallback)
{
    int i = find_activation(cp_cfg_string(walk->cfg, walk->section, "activation", fallback));
    walk->layer->activation = i < 0 ? fallback : activations[i].name; /* what is none has been blamed with the keys */
}

cp_status cp_layer_set_output(const cp_cfg_walk *walk, long c, long h, long w)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_cfg_volume(walk, "an output", w, h, c, 1, &layer->outputs));
    layer->out_c = (int)c;
    layer->out_h = (int)h;
    layer->out_w = (int)w;
    return CP_OK;
}

void cp_layer_keep_shape(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    layer->outputs = walk->inputs;
    layer->out_c = walk->c;
    layer->out_h = walk->h;
    layer->out_w = walk->w;
}

void cp_layer_add_array(cp_cfg_layer *layer, cp_array_kind kind, size_t n)
{
    layer->arrays[layer->n_arrays++] = (cp_cfg_array){.kind = kind, .n = n};
    layer->n_weights += n;
}

void cp_layer_add_batch_norm(cp_cfg_layer *layer, size_t n)
{
    if (!layer->batch_normalize) return;
    cp_layer_add_array(layer, CP_SCALES, n);
    cp_layer_add_array(layer, CP_ROLLING_MEAN, n);
    cp_layer_add_array(layer, CP_ROLLING_VARIANCE, n);
}

cp_interval cp_layer_reads_same(const cp_cfg_layer *layer, cp_axis axis, cp_interval out)
{
    (void)layer;
    if (axis.size_in == axis.size_out) return out;
    return (cp_interval){0, axis.size_in - 1};
}
