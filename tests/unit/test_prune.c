/* Networks cut by channels against the networks they were cut from: with nothing cut, byte for byte; where what goes
 * was zero already, in every output; else against the engine's zeroed network of the same channels. And weights that
 * name their own places. */
#include "prune_net.h"

#include "io/error.h"
#include "io/file.h"
#include "model/weights.h"

static const char *const nets[] = {"activations", "alexey", "deconv", "densenet", "depthwise", "odd",        "resnet", "resnext",
                                   "vgg",         "yolov1", "yolov2",   "yolov3",    "yolov3-tiny"};
enum { NETS = sizeof nets / sizeof *nets };

static void same_bytes(const char *a, const char *b)
{
    unsigned char *x, *y;
    size_t m, n;
    done(cp_file_read(a, "file", 1 << 26, &x, &m));
    done(cp_file_read(b, "file", 1 << 26, &y, &n));
    assert_int_equal(m, n);
    assert_memory_equal(x, y, m);
    cp_free(x);
    cp_free(y);
}

static void keeping_all_changes_no_byte(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) {
        subject *s = open_oracle(nets[i]);
        char plain[96];
        snprintf(plain, sizeof plain, "%s/plain.cfg", folder);
        done(cp_cfg_write(s->cfg, plain));
        prune_subject(s);
        same_bytes(plain, small_cfg);
        same_bytes(s->weights, small_weights);
        close_subject(s);
    }
}

/* ---- dead channels ---- */

/* Makes every filter that goes give exactly 0 before its activation: no batch norm scale and no bias, or no weights. */
static void plant(const subject *s)
{
    unsigned char *bytes;
    size_t n;
    cp_weights_info info;
    done(cp_weights_check(s->weights, s->net, s->cfg_path, &info));
    done(cp_file_read(s->weights, "weights", 1 << 26, &bytes, &n));
    float *at = (float *)(bytes + info.header_bytes);
    for (int l = 0; l < (int)s->net->n_layers; l++) {
        const cp_cfg_layer *layer = &s->net->layers[l];
        for (size_t a = 0; a < layer->n_arrays; at += layer->arrays[a++].n)
            for (size_t f = 0; f < (size_t)layer->n; f++) {
                size_t size = layer->arrays[a].n;
                cp_array_kind kind = layer->arrays[a].kind;
                if (s->kept[group_at(s, l, f)] || kind == CP_ROLLING_MEAN || kind == CP_ROLLING_VARIANCE) continue;
                if (kind != CP_WEIGHTS || layer->type == CP_LAYER_CONVOLUTIONAL || layer->type == CP_LAYER_CONNECTED) {
                    for (size_t i = 0; i < size / (size_t)layer->n; i++) at[f * (size / (size_t)layer->n) + i] = 0;
                    continue;
                }
                /* deconvolutional (c, n, window), local (position, n, c * window) */
                size_t inner = (size_t)layer->size * (size_t)layer->size;
                if (layer->type == CP_LAYER_LOCAL) inner *= (size_t)layer->c;
                for (size_t i = 0; i < size; i++)
                    if (i / inner % (size_t)layer->n == f) at[i] = 0;
            }
    }
    FILE *file = fopen(planted, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    cp_free(bytes);
}

/* Activations that make something of nothing: what goes would not be zero. */
static bool keeps_zero(const subject *s)
{
    for (size_t l = 0; l < s->net->n_layers; l++) {
        const char *a = s->net->layers[l].activation;
        if (a && strcmp(a, "relu") && strcmp(a, "leaky") && strcmp(a, "linear")) return false;
    }
    return true;
}

static void dead_channels_are_not_missed(void **state)
{
    (void)state;
    int tried = 0;
    for (int i = 0; i < NETS; i++) {
        subject *s = open_oracle(nets[i]);
        if (keeps_zero(s)) {
            size_t dropped = drop_half(s, NULL, 3);
            assert_true(dropped > 0);
            plant(s);
            snprintf(s->weights, sizeof s->weights, "%s", planted);
            prune_subject(s);
            run large = run_network(s->cfg_path, planted), small = run_network(small_cfg, small_weights);
            forward(&large, NULL);
            forward(&small, NULL);
            size_t n;
            double off = compare_runs(s, &large, &small, &n);
            print_message("%-12s %4zu of %4zu groups go, %7zu outputs, largest difference %.1e\n", nets[i], dropped,
                          s->channels.cuttable, n, off);
            if (!(off < 2e-5)) fail_msg("%s: outputs differ by %g of the layer's largest", nets[i], off);
            assert_true(n > 100);
            close_run(&large);
            close_run(&small);
            tried++;
        }
        close_subject(s);
    }
    assert_true(tried >= 9);
}

/* ---- the zeroed network ---- */

/* Layers whose output is 0 in a channel that goes, when the neuron layers' are: neuron layers and what hands on. */
static bool *find_zero(const subject *s, const cp_model *model)
{
    bool *zero = calloc(s->net->n_layers, sizeof *zero);
    for (size_t l = 0; l < s->net->n_layers; l++) {
        const cp_cfg_layer *layer = &s->net->layers[l];
        bool all = layer->sources[0] >= 0 && !cp_layer_has_filters(layer) && layer->type != CP_LAYER_ACTIVATION;
        for (size_t k = 0; k < layer->n_sources && all; k++) all = layer->sources[k] >= 0 && zero[layer->sources[k]];
        zero[l] = all || cp_model_neuron_position(model, (int)l) >= 0;
    }
    return zero;
}

/* Groups that a filter reads where they are not zeroed. */
static bool *find_incomparable(const subject *s, const bool *zero)
{
    bool *but = calloc(s->channels.n_groups, sizeof *but);
    for (size_t l = 0; l < s->net->n_layers; l++) {
        int source = s->net->layers[l].sources[0];
        if (!cp_layer_has_filters(&s->net->layers[l]) || source < 0 || zero[source]) continue;
        for (size_t i = 0; i < cp_channels_count(&s->channels, source); i++) but[group_at(s, source, i)] = true;
    }
    return but;
}

static cp_path *path_of_kept(const subject *s, const cp_model *model)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_path *path;
    done(cp_path_create(model, &path));
    for (int l = 0; l < n; l++)
        for (size_t i = 0; i < layers[l].count; i++) {
            size_t channel = i / (layers[l].h * layers[l].w);
            cp_path_set(path, layers[l].offset + i, s->kept[group_at(s, layers[l].layer, channel)]);
        }
    return path;
}

static void check_zeroed(subject *s, const char *name, double allowed)
{
    run large = run_network(s->cfg_path, s->weights);
    bool *zero = find_zero(s, large.model), *but = find_incomparable(s, zero);
    size_t dropped = drop_half(s, but, 11), n;
    assert_true(dropped > 0);
    prune_subject(s);
    run small = run_network(small_cfg, small_weights);
    cp_path *path = path_of_kept(s, large.model);
    forward(&large, path);
    forward(&small, NULL);
    double off = compare_runs(s, &large, &small, &n);
    print_message("%-12s %4zu of %4zu groups go, %7zu outputs, largest difference %.1e\n", name, dropped,
                  s->channels.cuttable, n, off);
    if (!(off < allowed)) fail_msg("%s: outputs differ by %g of the layer's largest", name, off);
    /* It matters: the whole network says something else. */
    forward(&large, NULL);
    assert_true(compare_runs(s, &large, &small, &n) > 100 * allowed);
    cp_path_free(path);
    close_run(&large);
    close_run(&small);
    free(zero);
    free(but);
    close_subject(s);
}

static void smaller_network_is_the_zeroed_one(void **state)
{
    (void)state;
    for (int i = 0; i < NETS; i++) check_zeroed(open_oracle(nets[i]), nets[i], 2e-5);
}

static void real_networks(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet20-cifar10", "yolo-fastest-1.1-xl", "squeezenet"};
    const char *data = getenv("CRITPATH_DATA");
    int found = 0;
    for (int i = 0; i < 3; i++) {
        char cfg[500], weights[500];
        snprintf(cfg, sizeof cfg, "%s/weights/%s.cfg", data && *data ? data : "../shared/data", names[i]);
        snprintf(weights, sizeof weights, "%s/weights/%s.weights", data && *data ? data : "../shared/data", names[i]);
        if (access(weights, R_OK)) {
            print_message("left out: no %s\n", weights);
            continue;
        }
        check_zeroed(open_subject(cfg, weights), names[i], 1e-4);
        found++;
    }
    if (!found) skip();
}

/* ---- places ---- */

static void put_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

/* A header, and floats 0, 1, 2, ... */
static void put_numbered(const char *name, const int *header, size_t n_header, size_t n)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(header, sizeof *header, n_header, file), n_header);
    for (size_t i = 0; i < n; i++) {
        float x = (float)i;
        assert_int_equal(fwrite(&x, sizeof x, 1, file), 1);
    }
    fclose(file);
}

static void expect_floats(const char *name, size_t header_bytes, const int *expected, size_t n)
{
    unsigned char *bytes;
    size_t length;
    done(cp_file_read(name, "weights", 1 << 20, &bytes, &length));
    assert_int_equal(length, header_bytes + n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, bytes + header_bytes + i * sizeof x, sizeof x);
        if (x != (float)expected[i]) fail_msg("float %zu is %g, expected %d", i, (double)x, expected[i]);
    }
    cp_free(bytes);
}

/* Two 1x1 filters with batch norm over two channels; two of 1x1 that read them; a connected layer over (2,1,2). */
static const char small_net[] = "[net]\nheight=1\nwidth=2\nchannels=2\n"
                                "[convolutional]\nbatch_normalize=1\nfilters=2\nsize=1\nactivation=relu\n"
                                "[convolutional]\nfilters=2\nsize=1\nactivation=relu\n"
                                "[connected]\noutput=3\nactivation=linear\n[softmax]\n";

/* That net and numbered weights, as old files have them or as new ones do, without its filters 0 and 1. */
static subject *open_places(const int *header, bool old)
{
    char cfg[96], weights[96];
    snprintf(cfg, sizeof cfg, "%s/places.cfg", folder);
    snprintf(weights, sizeof weights, "%s/places.weights", folder);
    put_text(cfg, small_net);
    put_numbered(weights, header, old ? 4 : 5, 33);
    subject *s = open_subject(cfg, weights);
    s->kept[group_at(s, 0, 0)] = false;
    s->kept[group_at(s, 1, 1)] = false;
    return s;
}

static void weights_keep_their_places(void **state)
{
    (void)state;
    /* biases 0 1, scales 2 3, means 4 5, variances 6 7, weights (8 9) (10 11); biases 12 13, weights (14 15) (16 17);
     * biases 18..20, weights 21..32, a row of (2 channels, 2 pixels) per output */
    static const int header[] = {0, 2, 5, 77, 0}, old_header[] = {1001, 0, 5, 77};
    static const int one_each[] = {1, 3, 5, 7, 10, 11, 12, 15, 18, 19, 20, 21, 22, 25, 26, 29, 30};
    /* the same of an old file, where the connected weights are (inputs, outputs): rows 21..23, 24..26, ... */
    static const int old_one_each[] = {1, 3, 5, 7, 10, 11, 12, 15, 18, 19, 20, 21, 22, 23, 24, 25, 26};
    for (int old = 0; old < 2; old++) {
        subject *s = open_places(old ? old_header : header, old);
        prune_subject(s);
        expect_floats(small_weights, old ? 16 : 20, old ? old_one_each : one_each, 17);
        unsigned char *bytes;
        size_t n;
        done(cp_file_read(small_weights, "weights", 1 << 20, &bytes, &n));
        assert_memory_equal(bytes, old ? old_header : header, old ? 16 : 20);
        cp_free(bytes);
        close_subject(s);
    }
}

/* Of the net above the filters 0 and 1 go: what they add, were they 2 and 3, goes into the biases behind them. */
static void means_go_into_the_biases(void **state)
{
    (void)state;
    static const int header[] = {0, 2, 5, 77, 0}, old_header[] = {1001, 0, 5, 77};
    static const int expected[2][17] = {
        {1, 3, 5, 7, 10, 11, 12 + 2 * 14, 15, 18 + 3 * (23 + 24), 19 + 3 * (27 + 28), 20 + 3 * (31 + 32), 21, 22, 25,
         26, 29, 30},
        {1, 3, 5, 7, 10, 11, 12 + 2 * 14, 15, 18 + 3 * (27 + 30), 19 + 3 * (28 + 31), 20 + 3 * (29 + 32), 21, 22, 23,
         24, 25, 26}};
    for (int old = 0; old < 2; old++) {
        subject *s = open_places(old ? old_header : header, old);
        double *mean = calloc(s->channels.n, sizeof *mean);
        mean[cp_channels_first(&s->channels, 0)] = 2;
        mean[cp_channels_first(&s->channels, 1) + 1] = 3;
        prune_with(s, mean);
        expect_floats(small_weights, old ? 16 : 20, expected[old], 17);
        free(mean);
        close_subject(s);
    }
}

/* Channels that are .5 everywhere, cut with that mean, change no output of a network without padding. */
static void constant_channels_are_absorbed(void **state)
{
    (void)state;
    static const char text[] =
        "[net]\nheight=6\nwidth=6\nchannels=3\n"
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nactivation=relu\n"
        "[maxpool]\nsize=2\nstride=2\npadding=0\n"
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=1\nactivation=leaky\n"
        "[route]\nlayers=-1,-2\n"
        "[convolutional]\nfilters=6\nsize=2\nactivation=relu\n"
        "[connected]\nbatch_normalize=1\noutput=4\nactivation=linear\n[softmax]\n";
    static const int header[] = {0, 2, 0, 0, 0};
    char cfg[96];
    snprintf(cfg, sizeof cfg, "%s/constant.cfg", folder);
    put_text(cfg, text);
    subject *s = open_subject(cfg, planted);
    for (int l = 0; l < 5; l += 2) s->kept[group_at(s, l, 1)] = s->kept[group_at(s, l, 4)] = false;
    FILE *file = fopen(planted, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(header, sizeof *header, 5, file), 5);
    uint32_t seed = 5;
    for (int l = 0; l < (int)s->net->n_layers; l++) {
        const cp_cfg_layer *layer = &s->net->layers[l];
        for (size_t a = 0; a < layer->n_arrays; a++)
            for (size_t i = 0; i < layer->arrays[a].n; i++) {
                cp_array_kind kind = layer->arrays[a].kind;
                float x = (float)(kind == CP_ROLLING_VARIANCE ? .5 + next_random(&seed) : next_random(&seed) - .4);
                bool goes = !s->kept[group_at(s, l, i / (layer->arrays[a].n / (size_t)layer->n))];
                if (goes && kind == CP_BIASES) x = .5f;
                if (goes && (kind == CP_SCALES || (kind == CP_WEIGHTS && !layer->batch_normalize))) x = 0;
                assert_int_equal(fwrite(&x, sizeof x, 1, file), 1);
            }
    }
    fclose(file);
    run large = run_network(cfg, planted);
    forward(&large, NULL);
    cp_channel_scores scores;
    done(cp_channel_scores_create(&s->channels, &scores));
    cp_channel_scores_add_means(&scores, large.frame, 0);
    assert_int_equal(scores.images, 1);
    assert_true(fabs(scores.mean[cp_channels_first(&s->channels, 4) + 1] - .5) < 1e-7);
    for (int absorbed = 0; absorbed < 2; absorbed++) {
        size_t n;
        prune_with(s, absorbed ? scores.mean : NULL);
        run small = run_network(small_cfg, small_weights);
        forward(&small, NULL);
        double off = compare_runs(s, &large, &small, &n);
        print_message("constants %-8s %zu outputs, largest difference %.1e\n", absorbed ? "absorbed" : "zero", n, off);
        if (absorbed) assert_true(off < 2e-6);
        else assert_true(off > .05);
        close_run(&small);
    }
    cp_channel_scores_free(&scores);
    close_run(&large);
    close_subject(s);
}

static void refusals(void **state)
{
    (void)state;
    static const int header[] = {0, 2, 5, 77, 0};
    char cfg[96], weights[96];
    snprintf(cfg, sizeof cfg, "%s/places.cfg", folder);
    snprintf(weights, sizeof weights, "%s/short.weights", folder);
    put_text(cfg, small_net);
    put_numbered(weights, header, 5, 32);
    subject *s = open_subject(cfg, weights);
    remove(small_weights);
    assert_int_equal(cp_prune_weights(weights, cfg, &s->channels, s->kept, NULL, s->net, small_weights), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "short.weights has 148 bytes"));
    assert_int_not_equal(access(small_weights, F_OK), 0);
    /* a smaller network that is not this one's */
    put_numbered(weights, header, 5, 33);
    s->kept[group_at(s, 0, 0)] = false;
    assert_int_equal(cp_prune_weights(weights, cfg, &s->channels, s->kept, NULL, s->net, small_weights), CP_EINTERNAL);
    assert_int_not_equal(access(small_weights, F_OK), 0);
    close_subject(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeping_all_changes_no_byte),       cmocka_unit_test(dead_channels_are_not_missed),
        cmocka_unit_test(smaller_network_is_the_zeroed_one), cmocka_unit_test(real_networks),
        cmocka_unit_test(weights_keep_their_places),         cmocka_unit_test(means_go_into_the_biases),
        cmocka_unit_test(constant_channels_are_absorbed),    cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
