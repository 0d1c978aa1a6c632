/* The check of a whole cfg: [net], the order of layers, what reads what, memory. One layer's own rules: layer_*.c. */
#define _GNU_SOURCE
#include "model/cfg_check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/error.h"
#include "model/class_tree.h"
#include "model/layer_row.h"

/* ---- small helpers ---- */

cp_status cp_cfg_add_warning(cp_cfg_net *net, const char *text)
{
    /* Powers of two are where the array is full. */
    size_t n = net->n_warnings;
    if ((n & (n - 1)) == 0) {
        char **larger = realloc(net->warnings, (n ? 2 * n : 1) * sizeof *larger);
        if (!larger) return cp_fail(CP_ERESOURCE, "cfg: out of memory for warnings");
        net->warnings = larger;
    }
    net->warnings[n] = strdup(text);
    if (!net->warnings[n]) return cp_fail(CP_ERESOURCE, "cfg: out of memory for warnings");
    net->n_warnings++;
    return CP_OK;
}

static cp_status warn(cp_cfg_net *net, const cp_cfg *cfg, size_t section, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static cp_status warn(cp_cfg_net *net, const cp_cfg *cfg, size_t section, int line, const char *format, ...)
{
    char text[1000];
    cp_cfg_where(cfg, section, line, text, 700);
    size_t length = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + length, sizeof text - length, format, args);
    va_end(args);
    return cp_cfg_add_warning(net, text);
}

/* Keeps the message of a failed check of a section and goes on, when that is asked for. */
static cp_status blame(cp_cfg_walk *walk, size_t section, cp_status status)
{
    if (status != CP_EINPUT || !walk->collect) return status;
    cp_cfg_net *net = walk->net;
    cp_cfg_blame *larger = realloc(net->blames, (net->n_blames + 1) * sizeof *larger);
    if (larger) net->blames = larger;
    char *text = larger ? strdup(cp_error()) : NULL;
    if (!text) return cp_fail(CP_ERESOURCE, "%s: out of memory for messages", cp_cfg_path(walk->cfg));
    net->blames[net->n_blames++] = (cp_cfg_blame){section, text};
    return CP_OK;
}

/* The first sign that the cfg was made for AlexeyAB's or hank-ai's Darknet. */
static void note_modern(cp_cfg_walk *walk, size_t section, int line, const char *what)
{
    char *text = walk->net->modern;
    if (*text) return;
    if (section) snprintf(text, sizeof walk->net->modern, "%.40s of layer %zu, line %d", what, section - 1, line);
    else snprintf(text, sizeof walk->net->modern, "%.40s of [net], line %d", what, line);
}

/* Row NULL: [net]. */
static cp_status check_keys(cp_cfg_walk *walk, size_t section, const cp_layer_row *row)
{
    const cp_cfg_section *s = &walk->cfg->sections[section];
    for (size_t i = 0; i < s->n; i++) {
        char text[300];
        TRY(blame(walk, section, cp_cfg_check_key(walk->cfg, section, row, i, text, sizeof text)));
        if (cp_cfg_is_modern(row, &s->pairs[i])) note_modern(walk, section, s->pairs[i].line, s->pairs[i].key);
        if (*text) TRY(warn(walk->net, walk->cfg, section, s->pairs[i].line, "%s", text));
    }
    return CP_OK;
}

/* ---- [net] ---- */

/* Darknet walks `scales` for as many items as `steps` has. */
static cp_status check_policy(const cp_cfg *cfg)
{
    const char *policy = cp_cfg_string(cfg, 0, "policy", "constant");
    if (strcmp(policy, "steps")) return CP_OK;
    const char *steps = cp_cfg_string(cfg, 0, "steps", NULL), *scales = cp_cfg_string(cfg, 0, "scales", NULL);
    int line = cp_cfg_key_line(cfg, 0, "policy");
    if (!steps || !scales)
        return cp_cfg_refuse(cfg, 0, line, "policy=steps without %s", steps ? "scales" : "steps");
    size_t n_steps = 1, n_scales = 1;
    for (; *steps; steps++) n_steps += *steps == ',';
    for (; *scales; scales++) n_scales += *scales == ',';
    if (n_scales >= n_steps) return CP_OK;
    return cp_cfg_refuse(cfg, 0, cp_cfg_key_line(cfg, 0, "scales"), "scales has %zu numbers, steps has %zu", n_scales,
                         n_steps);
}

static cp_status check_net(cp_cfg_walk *walk)
{
    const cp_cfg *cfg = walk->cfg;
    cp_cfg_net *net = walk->net;
    int batch, subdivisions, time_steps, inputs;
    size_t volume = 0;
    if (!cfg->n) return cp_fail(CP_EINPUT, "%s: no section, the first must be [net]", cfg->path);
    if (!cp_cfg_is_net(cfg->sections[0].type))
        return cp_fail(CP_EINPUT, "%s: the first section is [%.40s], it must be [net]", cfg->path,
                       cfg->sections[0].type);
    cp_status status = cp_cfg_check_batch(cfg, &batch, &subdivisions);
    if (status == CP_OK) status = cp_cfg_ranged(cfg, 0, "time_steps", 1, 1, 1, &time_steps);
    if (status == CP_OK) status = cp_cfg_ranged(cfg, 0, "height", 0, 0, INT_MAX, &net->h);
    if (status == CP_OK) status = cp_cfg_ranged(cfg, 0, "width", 0, 0, INT_MAX, &net->w);
    if (status == CP_OK) status = cp_cfg_ranged(cfg, 0, "channels", 0, 0, INT_MAX, &net->c);
    if (status == CP_OK) status = cp_cfg_volume(walk, "an input", net->w, net->h, net->c, 1, &volume);
    if (status == CP_OK) status = cp_cfg_ranged(cfg, 0, "inputs", (int)volume, 0, INT_MAX, &inputs);
    if (status == CP_OK) status = check_policy(cfg);
    if (status == CP_OK) status = cp_cfg_flag(walk, "letter_box", &net->letter_box);
    if (status != CP_OK) return status;
    bool any = net->w || net->h || net->c;
    if (!inputs || (any && !volume))
        return cp_cfg_refuse(cfg, 0, cfg->sections[0].line,
                             "width=%d height=%d channels=%d inputs=%d, all three sizes (or inputs alone) are needed",
                             net->w, net->h, net->c, inputs);
    if (any && (size_t)inputs != volume)
        return cp_cfg_refuse(cfg, 0, cp_cfg_key_line(cfg, 0, "inputs"), "inputs=%d, width*height*channels is %zu",
                             inputs, volume);
    if (cfg->n == 1) return cp_fail(CP_EINPUT, "%s: no layer behind [net]", cfg->path);
    status = cp_cfg_volume(walk, "a batch", batch / subdivisions, inputs, 1, 1, &volume);
    if (status != CP_OK) return status;
    net->inputs = (size_t)inputs;
    walk->c = net->c;
    walk->h = net->h;
    walk->w = net->w;
    walk->inputs = net->inputs;
    if (batch < subdivisions)
        status = warn(net, cfg, 0, cp_cfg_key_line(cfg, 0, "batch"),
                      "batch=%d is smaller than subdivisions=%d: Darknet itself cannot run this", batch, subdivisions);
    /* Debian's gives such a network the wrong planes. */
    if (net->c == 1) note_modern(walk, 0, cp_cfg_key_line(cfg, 0, "channels"), "channels=1");
    if (net->c == 4) note_modern(walk, 0, cp_cfg_key_line(cfg, 0, "channels"), "channels=4");
    return status;
}

/* ---- what reads what ---- */

/* What may stand behind a layer with antialiasing: what computes values of its own, from one layer at a time. */
static bool reads_through_blur(const cp_cfg_layer *layer)
{
    bool product = layer->type == CP_LAYER_SCALE_CHANNELS || layer->type == CP_LAYER_SAM || cp_layer_ties_channels(layer);
    bool nothing = layer->type == CP_LAYER_DROPOUT || layer->type == CP_LAYER_EMPTY;
    return !product && !nothing && !cp_layer_type_is_head(layer->type);
}

/* A head ends the differentiable part: only [cost] may follow on it. */
static cp_status check_sources(const cp_cfg_walk *walk)
{
    const cp_cfg_layer *layer = walk->layer;
    for (size_t i = 0; i < layer->n_sources; i++) {
        int source = layer->sources[i];
        if (source < 0) {
            if (!cp_layer_type_is_head(layer->type)) continue;
            return cp_cfg_refuse(walk->cfg, walk->section, layer->line, "a head as layer 0: it needs a layer before");
        }
        const cp_cfg_layer *read = &walk->net->layers[source];
        if (cp_layer_is_blurred(read) && !reads_through_blur(layer))
            return cp_cfg_refuse(walk->cfg, walk->section, layer->line,
                                 "reads layer %d through its antialiasing, which is supported for layers with weights, pools and "
                                 "shortcuts%s", source, cp_layer_ties_channels(layer) ? ", not with this activation" : "");
        if (cp_layer_type_is_head(read->type) && !(layer->type == CP_LAYER_COST && read->type != CP_LAYER_COST))
            return cp_cfg_refuse(walk->cfg, walk->section, layer->line,
                                 "reads layer %d [%s], a head, whose output only [cost] may read", source,
                                 cp_layer_type_name(read->type));
    }
    return CP_OK;
}

/* Options of any layer that leave weights unread. */
static cp_status check_loading(const cp_cfg_walk *walk)
{
    static const char *const keys[] = {"dontload", "dontloadscales", "numload"};
    const cp_cfg_layer *layer = walk->layer;
    if (!layer->n_weights) return CP_OK;
    for (size_t i = 0; i < 3; i++) {
        int value;
        cp_status status = cp_cfg_int(walk->cfg, walk->section, keys[i], 0, &value);
        if (status != CP_OK) return status;
        bool convolutional = layer->type == CP_LAYER_CONVOLUTIONAL || layer->type == CP_LAYER_DECONVOLUTIONAL;
        bool ignored = i == 1 ? !layer->batch_normalize : i == 2 && (!convolutional || value == layer->n);
        if (value && !ignored)
            return cp_cfg_refuse(walk->cfg, walk->section, cp_cfg_key_line(walk->cfg, walk->section, keys[i]),
                                 "%s=%d leaves weights at random values, 0 is needed", keys[i], value);
    }
    return CP_OK;
}

/* ---- memory ---- */

/* What Darknet's make_* functions allocate for the layer at batch 1, in bytes. */
static size_t layer_bytes(const cp_cfg_layer *layer)
{
    size_t floats = 2 * layer->n_weights; /* and their updates */
    switch (layer->type) {
    case CP_LAYER_CONVOLUTIONAL:
    case CP_LAYER_DECONVOLUTIONAL:
    case CP_LAYER_CONNECTED:
        floats += (layer->batch_normalize ? 4 : 2) * layer->outputs;
        break;
    case CP_LAYER_MAXPOOL:
    case CP_LAYER_SOFTMAX:
    case CP_LAYER_LOGISTIC:
        floats += 3 * layer->outputs;
        break;
    case CP_LAYER_ACTIVATION:
        floats += 4 * layer->outputs;
        break;
    case CP_LAYER_DROPOUT:
    case CP_LAYER_CROP:
        floats += layer->outputs;
        break;
    default:
        floats += 2 * layer->outputs;
    }
    return floats * sizeof(float);
}

static size_t machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    struct rlimit limit;
    if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
        bytes = limit.rlim_cur;
    return bytes;
}

/* At least what the values of one image and their gradients take. A layer that may work in place counts nothing. */
static size_t run_bytes(const cp_cfg_net *net)
{
    size_t largest = net->inputs, floats = largest;
    for (size_t i = 0; i < net->n_layers; i++) {
        const cp_cfg_layer *layer = &net->layers[i];
        bool in_place = layer->type == CP_LAYER_DROPOUT || layer->type == CP_LAYER_COST || layer->type == CP_LAYER_EMPTY ||
                         cp_layer_type_is_head(layer->type) ||
                        (layer->type == CP_LAYER_ROUTE && layer->n_sources == 1);
        if (in_place) continue;
        floats += layer->outputs;
        if (layer->outputs > largest) largest = layer->outputs;
    }
    return (floats + 3 * largest) * sizeof(float);
}

static size_t run_memory; /* 0: not set */

void cp_cfg_set_run_memory(size_t bytes) { run_memory = bytes; }

/* Legal layers may have an absurd sum: told before anything of that size is asked for. */
static cp_status check_memory(const cp_cfg *cfg, size_t max_bytes, const cp_cfg_net *net)
{
    size_t allowed = max_bytes ? max_bytes : machine_bytes(), run = run_bytes(net), all = net->parse_bytes + run;
    if (run_memory && run > run_memory)
        return cp_fail(CP_ERESOURCE, "-mem: %zu MB is too little, one image of %s needs %zu MB", run_memory >> 20, cfg->path,
                       (run >> 20) + 1);
    if (all <= allowed) return CP_OK;
    return cp_fail(CP_ERESOURCE, "%s: needs %zu MB of memory, %zu MB of it for the values of one image, %s %zu MB", cfg->path,
                   all / 1000000, run / 1000000, max_bytes ? "the limit is" : "the machine has", allowed / 1000000);
}

/* ---- the walk ---- */

static cp_status shape_layer(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    layer->sources = cp_alloc(1, sizeof *layer->sources, "sources");
    if (!layer->sources) return CP_ERESOURCE;
    layer->sources[0] = walk->index - 1;
    layer->n_sources = 1;
    TRY(walk->row->shape(walk));
    TRY(check_sources(walk));
    return check_loading(walk);
}

static cp_status walk_layer(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer = &walk->net->layers[walk->index];
    size_t blames = walk->net->n_blames;
    walk->section = (size_t)walk->index + 1;
    layer->section = walk->section;
    layer->line = cp_cfg_line(walk->cfg, walk->section);
    layer->groups = 1;
    layer->c = walk->c;
    layer->h = walk->h;
    layer->w = walk->w;
    layer->inputs = walk->inputs;
    TRY(blame(walk, walk->section, cp_cfg_find_type(walk, &layer->type)));
    if (walk->net->n_blames > blames) {
        walk->lost = true;
        return CP_OK;
    }
    walk->row = cp_layer_row_of(layer->type);
    if (walk->row->modern) note_modern(walk, walk->section, layer->line, walk->row->name);
    /* What a key means comes first: a wrong shape is often but its consequence. */
    TRY(check_keys(walk, walk->section, walk->row));
    if (walk->lost) return CP_OK;
    blames = walk->net->n_blames;
    TRY(blame(walk, walk->section, shape_layer(walk)));
    walk->lost = walk->net->n_blames > blames;
    if (layer->type == CP_LAYER_CONVOLUTIONAL && layer->size == 1 && layer->stride > 1)
        note_modern(walk, walk->section, layer->line, "stride of a 1x1 convolution");
    bool blurred = cp_layer_is_blurred(layer);
    walk->c = layer->out_c;
    walk->h = blurred ? layer->blur.out_h : layer->out_h;
    walk->w = blurred ? layer->blur.out_w : layer->out_w;
    walk->inputs = blurred ? (size_t)walk->c * (size_t)walk->h * (size_t)walk->w : layer->outputs;
    return CP_OK;
}

static cp_status walk_all(cp_cfg_walk *walk, int batch)
{
    cp_cfg_net *net = walk->net;
    size_t bytes = 2 * net->inputs * sizeof(float), ignored, layers = walk->cfg->n - 1;
    net->layers = cp_alloc(layers, sizeof *net->layers, "layers");
    if (!net->layers) return CP_ERESOURCE;
    for (walk->index = 0; walk->index < (int)layers; walk->index++) {
        net->n_layers = (size_t)walk->index + 1; /* for whoever frees them */
        TRY(walk_layer(walk));
        if (walk->lost) continue;
        TRY(cp_cfg_volume(walk, "a batch", batch, (long)walk->inputs, 1, 1, &ignored));
        /* At most 10,000 layers of 2^31 floats a few times: no overflow in 64 bits. */
        net->n_weights += walk->layer->n_weights;
        net->n_shaped = net->n_layers;
        bytes += layer_bytes(walk->layer);
    }
    net->parse_bytes = bytes + walk->workspace;
    return CP_OK;
}

/* With new_coords the convolution before the head has the head's logistic: where only the head reads it, the head does it,
 * so that the convolution's output is logits as in every other network. */
static void move_logistics(cp_cfg_net *net)
{
    for (size_t i = 0; i < net->n_shaped; i++) {
        cp_cfg_layer *head = &net->layers[i];
        if (head->type != CP_LAYER_YOLO || !head->new_coords) continue;
        cp_cfg_layer *before = &net->layers[head->sources[0]];
        size_t readers = 0;
        for (size_t k = 0; k < net->n_shaped; k++)
            for (size_t s = 0; s < net->layers[k].n_sources; s++)
                readers += net->layers[k].sources[s] == head->sources[0];
        if (before->type != CP_LAYER_CONVOLUTIONAL || strcmp(before->activation, "logistic") || readers > 1) continue;
        before->logit = head->logistic = true;
    }
}

/* Says which numbers have text behind them that was ignored. */
static cp_status tell_rests(const cp_cfg *cfg, cp_cfg_net *net)
{
    for (size_t s = 0; s < cfg->n; s++)
        for (size_t i = 0; i < cfg->sections[s].n; i++) {
            const cp_cfg_pair *pair = &cfg->sections[s].pairs[i];
            if (pair->rest)
                TRY(warn(net, cfg, s, pair->line, "%.40s=%.60s is read as %.*s, as Darknet does", pair->key, pair->value,
                         pair->rest < 60 ? pair->rest : 60, pair->value));
        }
    return CP_OK;
}

static cp_status check(const cp_cfg *cfg, size_t max_bytes, bool collect, cp_cfg_net **out)
{
    *out = NULL;
    cp_cfg_net *net = cp_alloc(1, sizeof *net, "the network");
    if (!net) return CP_ERESOURCE;
    cp_cfg_walk walk = {.cfg = cfg, .net = net, .collect = collect};
    int batch = 1, subdivisions = 1;
    cp_status status = check_net(&walk);
    if (!status) status = check_keys(&walk, 0, NULL);
    if (!status) status = cp_cfg_check_batch(cfg, &batch, &subdivisions);
    if (!status) status = walk_all(&walk, batch / subdivisions);
    if (!status) move_logistics(net);
    if (!status) status = tell_rests(cfg, net);
    if (!status) status = check_memory(cfg, max_bytes, net);
    if (!status) *out = net;
    else cp_cfg_net_free(net);
    return status;
}

cp_status cp_cfg_check(const cp_cfg *cfg, size_t max_bytes, cp_cfg_net **net)
{
    return check(cfg, max_bytes, false, net);
}

cp_status cp_cfg_check_all(const cp_cfg *cfg, size_t max_bytes, cp_cfg_net **net)
{
    return check(cfg, max_bytes, true, net);
}

void cp_cfg_net_free(cp_cfg_net *net)
{
    if (!net) return;
    for (size_t i = 0; i < net->n_layers; i++) {
        cp_free(net->layers[i].sources);
        cp_free(net->layers[i].mask);
        cp_free(net->layers[i].anchors);
        cp_class_tree_free(net->layers[i].tree);
    }
    cp_free(net->layers);
    for (size_t i = 0; i < net->n_warnings; i++) free(net->warnings[i]);
    free(net->warnings);
    for (size_t i = 0; i < net->n_blames; i++) free(net->blames[i].text);
    free(net->blames);
    cp_free(net);
}
