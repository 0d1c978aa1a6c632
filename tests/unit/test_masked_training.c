/* Darknet's own training of a residual network with half its channels off the path, masks put in by insert: what only
 * feeds channels off the path, or only reads zeros, keeps its bits; the rest learns. A small network always, ResNet-20
 * where its weights are. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/npz.h"
#include "mask_files.h"
#include "model/cfg.h"
#include "model/model.h"
#include "tiny_net.h"
#include "train/insert.h"

enum { BATCH = 4, ITERATIONS = 20 };

static bool on_path(int layer, size_t channel) { return (channel * 7 + (size_t)layer) % 2 == 0; }

/* Bools and constants by channel for every neuron layer. */
static void write_files(const cp_model *model)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_npz_writer *path, *off;
    bool *bits = calloc(cp_model_channel_count(model), 1);
    float *values = calloc(cp_model_channel_count(model), sizeof *values);
    done(cp_npz_create(path_npz, true, &path));
    done(cp_npz_create(off_npz, false, &off));
    for (int l = 0; l < n; l++) {
        size_t first = cp_model_channel_offset(model, l);
        const cp_array_type bools = cp_array_chw(CP_BOOL, layers[l].c, 1, 1);
        const cp_array_type floats = cp_array_chw(CP_FLOAT32, layers[l].c, 1, 1);
        for (size_t c = 0; c < layers[l].c; c++) {
            bits[first + c] = on_path(layers[l].layer, c);
            values[first + c] = .1f;
        }
        done(cp_npz_add(path, layers[l].name, &bools, bits + first));
        done(cp_npz_add(off, layers[l].name, &floats, values + first));
    }
    done(cp_npz_commit(&path));
    done(cp_npz_commit(&off));
    free(bits), free(values);
}

static network *open_masked(const char *cfg_path, const char *weights, const char *mode)
{
    cp_cfg *cfg;
    size_t n;
    done(cp_cfg_read(cfg_path, &cfg));
    done(cp_masks_insert(cfg, path_npz, mode, strcmp(mode, "frozen") ? NULL : off_npz, NULL, &n));
    done(cp_cfg_set(cfg, 0, "batch", "%d", BATCH));
    done(cp_cfg_set(cfg, 0, "subdivisions", "1"));
    done(cp_cfg_set(cfg, 0, "learning_rate", ".05"));
    done(cp_cfg_set(cfg, 0, "policy", "constant"));
    done(cp_cfg_set(cfg, 0, "decay", "0"));
    done(cp_cfg_write(cfg, masked_cfg));
    cp_cfg_free(cfg);
    return load_network(masked_cfg, (char *)weights, 1);
}

/* By layer of the plain cfg. */
static int masked_index(const network *net, int plain)
{
    int at = 0;
    for (int seen = 0; at < net->n; ++at)
        if (net->layers[at].type != PATHMASK && seen++ == plain) break;
    return at;
}

/* The neuron layer whose mask all that reads convolution `i` goes through, channel by channel: itself, or a shortcut
 * that alone reads it in its own shape. -1: none. */
static int own_mask(const cp_model *model, int i)
{
    int readers = 0, reader = -1;
    if (cp_model_neuron_position(model, i) >= 0) return i;
    for (int r = i + 1; r < cp_model_layer_count(model); r++)
        for (int s = 0; s < cp_model_layer(model, r)->n_sources; s++)
            if (cp_model_layer(model, r)->sources[s] == i) readers++, reader = r;
    if (readers != 1 || cp_model_neuron_position(model, reader) < 0) return -1;
    const cp_layer_info *l = cp_model_layer(model, i), *to = cp_model_layer(model, reader);
    return !strcmp(to->type, "shortcut") && l->c == to->c && l->h == to->h ? reader : -1;
}

typedef struct {
    size_t still, moved, wrong;
} tally;

static void compare(tally *t, float before, float after, bool still)
{
    bool same = before == after;
    t->still += still && same;
    t->wrong += still && !same;
    t->moved += !still && !same;
}

static void check_training(const char *cfg, const char *weights, const char *mode)
{
    cp_model *model;
    done(cp_model_open(cfg, weights, &model));
    write_files(model);
    bool zero = !strcmp(mode, "zero");
    network *net = open_masked(cfg, weights, mode);
    float **before = calloc(net->n, sizeof *before), **biases = calloc(net->n, sizeof *biases);
    for (int i = 0; i < net->n; ++i) {
        layer l = net->layers[i];
        if (l.type != CONVOLUTIONAL) continue;
        before[i] = malloc(l.nweights * sizeof(float));
        biases[i] = malloc(l.n * sizeof(float));
        memcpy(before[i], l.weights, l.nweights * sizeof(float));
        memcpy(biases[i], l.biases, l.n * sizeof(float));
    }
    unsigned random = 3;
    for (int step = 0; step < ITERATIONS; ++step) {
        for (int i = 0; i < BATCH * net->inputs; ++i) net->input[i] = .5f + .5f * tiny_random(&random);
        memset(net->truth, 0, BATCH * net->truths * sizeof *net->truth);
        for (int b = 0; b < BATCH; ++b) net->truth[b * net->truths + (step + b) % net->truths] = 1;
        train_network_datum(net);
    }
    tally rows = {0}, columns = {0};
    for (int i = 0; i < cp_model_layer_count(model); i++) {
        layer l = net->layers[masked_index(net, i)];
        const cp_layer_info *info = cp_model_layer(model, i);
        if (l.type != CONVOLUTIONAL || l.groups != 1) continue;
        const float *was = before[masked_index(net, i)], *bias_was = biases[masked_index(net, i)];
        int mask = own_mask(model, i), source = info->sources[0];
        bool reads_neurons = source >= 0 && cp_model_neuron_position(model, source) >= 0;
        size_t window = (size_t)l.size * l.size;
        for (int f = 0; f < l.n; ++f) {
            bool off = mask >= 0 && !on_path(mask, f);
            compare(&rows, bias_was[f], l.biases[f], off);
            for (int c = 0; c < l.c; ++c)
                for (size_t k = 0; k < window; ++k) {
                    size_t at = ((size_t)f * l.c + c) * window + k;
                    compare(&rows, was[at], l.weights[at], off);
                    /* Of a filter that learns, the part that reads a channel of zeros gets no gradient either. */
                    if (!off && reads_neurons && zero) compare(&columns, was[at], l.weights[at], !on_path(source, c));
                }
        }
    }
    if (rows.wrong || rows.still < 100 || rows.moved < 100)
        fail_msg("%s, %s: off the path %zu stayed, %zu moved; on it %zu moved", cfg, mode, rows.still, rows.wrong,
                 rows.moved);
    if (columns.wrong || (zero && (columns.still < 100 || columns.moved < 100)))
        fail_msg("%s, %s: of weights that read zeros %zu stayed, %zu moved; %zu others moved", cfg, mode, columns.still,
                 columns.wrong, columns.moved);
    print_message("%s, %s: %zu weights stayed, %zu moved\n", cfg, mode, rows.still + columns.still, rows.moved);
    for (int i = 0; i < net->n; ++i) free(before[i]), free(biases[i]);
    free(before), free(biases);
    cp_host_free(net);
    cp_model_free(model);
}

static void a_small_network(void **state)
{
    (void)state;
    check_training("tests/oracle/cfg/resnet.cfg", "tests/oracle/resnet.weights", "zero");
    check_training("tests/oracle/cfg/resnet.cfg", "tests/oracle/resnet.weights", "frozen");
}

static void resnet20(void **state)
{
    (void)state;
    const char *data = getenv("CRITPATH_DATA");
    char cfg[4096], weights[4096];
    snprintf(cfg, sizeof cfg, "%.4000s/weights/resnet20-cifar10.cfg", data ? data : "../shared/data");
    snprintf(weights, sizeof weights, "%.4000s/weights/resnet20-cifar10.weights", data ? data : "../shared/data");
    if (access(cfg, R_OK) || access(weights, R_OK)) {
        print_message("skipped: no %s with weights\n", cfg);
        skip();
    }
    check_training(cfg, weights, "zero");
    check_training(cfg, weights, "frozen");
}

int main(void)
{
    gpu_index = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_network),
        cmocka_unit_test(resnet20),
    };
    return cmocka_run_group_tests(tests, make_mask_folder, remove_mask_folder);
}
