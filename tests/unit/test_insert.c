/* Masks put into cfgs: the network of Darknet's own forward passes stays bit for bit what it was for a path of all
 * neurons, computes what the engine's restricted runs do for another, and is the old cfg again after strip. */
#define _GNU_SOURCE /* asprintf */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "io/npz.h"
#include "mask_files.h"
#include "model/model.h"
#include "path/path_file.h"
#include "train/insert.h"

/* From 0 to 1, repeatable. */
static unsigned random_state;
static float next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (1 << 24);
}

/* With weights of ours: Darknet's own random ones cost most of its parsing time. */
static network *parse(const char *cfg)
{
    random_state = 5;
    random_weights = 0;
    network *net = parse_network_cfg((char *)cfg);
    random_weights = 1;
    for (int i = 0; i < net->n; ++i) {
        layer l = net->layers[i];
        size_t weights, filters;
        cp_host_array_sizes(&l, &weights, &filters);
        float scale = weights ? sqrtf(2.f * filters / weights) : 0;
        for (size_t k = 0; k < weights; ++k) l.weights[k] = scale * (2 * next_random() - 1);
        for (int f = 0; l.batch_normalize && f < l.n; ++f) l.rolling_variance[f] = 1; /* Darknet starts with 0 */
    }
    return net;
}

/* Arrays of all ones for the layers with a non-linear activation; returns how many. */
static size_t write_ones(const cp_cfg_net *net)
{
    cp_npz_writer *writer;
    size_t largest = 0, n = 0;
    for (size_t i = 0; i < net->n_layers; i++)
        if (net->layers[i].outputs > largest) largest = net->layers[i].outputs;
    bool *ones = malloc(largest);
    memset(ones, true, largest);
    done(cp_npz_create(path_npz, true, &writer));
    for (size_t i = 0; i < net->n_layers; i++) {
        const cp_cfg_layer *l = &net->layers[i];
        char name[64];
        if (!l->activation || !strcmp(l->activation, "linear") || cp_layer_type_is_head(l->type)) continue;
        snprintf(name, sizeof name, "layer_%03zu_%s", i, cp_layer_type_name(l->type));
        cp_array_type type = cp_array_chw(CP_BOOL, l->out_c, l->out_h, l->out_w);
        done(cp_npz_add(writer, name, &type, ones));
        n++;
    }
    done(cp_npz_commit(&writer));
    free(ones);
    return n;
}

/* A cfg at another size (0: its own): every layer's output, and that of every mask, and the cfg after strip. weights
 * NULL: random ones. */
static void check_masks_of_ones(const char *cfg_path, const char *weights, int size, size_t at_least)
{
    char *before, *after;
    size_t n, stripped, length[2];
    cp_cfg *cfg;
    cp_cfg_net *checked;
    done(cp_cfg_read(cfg_path, &cfg));
    done(cp_cfg_prepare(cfg, 1, size, size));
    done(cp_cfg_write(cfg, plain_cfg));
    done(cp_cfg_check(cfg, 0, &checked));
    size_t layers = write_ones(checked);
    cp_cfg_net_free(checked);
    cp_cfg_free(cfg);

    done(cp_cfg_read(plain_cfg, &cfg));
    done(cp_cfg_render(cfg, &before, &length[0]));
    done(cp_masks_insert(cfg, path_npz, "zero", NULL, NULL, &n));
    assert_int_equal(n, layers);
    assert_true(n >= at_least);
    done(cp_cfg_write(cfg, masked_cfg));
    done(cp_masks_strip(cfg, &stripped));
    assert_int_equal(stripped, n);
    done(cp_cfg_render(cfg, &after, &length[1]));
    assert_string_equal(after, before);
    cp_cfg_free(cfg);

    network *plain = parse(plain_cfg), *masked = parse(masked_cfg);
    if (weights) load_weights(plain, (char *)weights), load_weights(masked, (char *)weights);
    assert_int_equal(masked->n, plain->n + (int)n);
    float *input = malloc(plain->inputs * sizeof *input);
    for (int i = 0; i < plain->inputs; ++i) input[i] = next_random();
    network_predict(plain, input);
    network_predict(masked, input);
    int at = 0, masks = 0;
    double sum = 0;
    for (int i = 0; i < plain->n; ++i, ++at) {
        layer a = plain->layers[i], b = masked->layers[at];
        assert_int_equal(a.type, b.type);
        if (a.type == COST) continue;
        assert_int_equal(a.outputs, b.outputs);
        assert_memory_equal(a.output, b.output, a.outputs * sizeof *a.output);
        sum += fabs(a.output[a.outputs / 2]);
        if (at + 1 < masked->n && masked->layers[at + 1].type == PATHMASK) {
            b = masked->layers[++at];
            assert_memory_equal(a.output, b.output, a.outputs * sizeof *a.output);
            masks++;
        }
    }
    assert_int_equal(masks, n);
    assert_true(isfinite(sum) && sum > .1);
    free(input);
    cp_host_free(plain);
    cp_host_free(masked);
    cp_free(before);
    cp_free(after);
}

static void check_stock(const char *name, int size, size_t at_least)
{
    char *stock;
    assert_true(asprintf(&stock, "%s/cfg/%s", DARKNET_SRC, name) > 0);
    check_masks_of_ones(stock, NULL, size, at_least);
    free(stock);
}

static void test_resnet50(void **state) { (void)state; check_stock("resnet50.cfg", 64, 49); }
static void test_densenet201(void **state) { (void)state; check_stock("densenet201.cfg", 64, 190); }
static void test_yolov3(void **state) { (void)state; check_stock("yolov3.cfg", 64, 72); }
static void test_yolov3_tiny(void **state) { (void)state; check_stock("yolov3-tiny.cfg", 96, 11); }

static void test_public_coco_yolo(void **state)
{
    (void)state;
    const char *data = getenv("CRITPATH_DATA");
    char *cfg, *weights;
    assert_true(asprintf(&cfg, "%s/weights/yolo-fastest-1.1-xl.cfg", data ? data : "../shared/data") > 0);
    assert_true(asprintf(&weights, "%s/weights/yolo-fastest-1.1-xl.weights", data ? data : "../shared/data") > 0);
    bool there = !access(cfg, R_OK) && !access(weights, R_OK);
    if (there) check_masks_of_ones(cfg, weights, 0, 40);
    else print_message("skipped: no %s with weights\n", cfg);
    free(cfg);
    free(weights);
    if (!there) skip();
}

/* ---------------------------------------------------------------- against the engine */

static void write_constants(const cp_model *model, const cp_frame *frame)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_npz_writer *writer;
    done(cp_npz_create(off_npz, false, &writer));
    for (int l = 0; l < n; l++) {
        cp_array_type type = cp_array_chw(CP_FLOAT32, layers[l].c, layers[l].h, layers[l].w);
        done(cp_npz_add(writer, layers[l].name, &type, cp_frame_output(frame, layers[l].layer, 0)));
    }
    done(cp_npz_commit(&writer));
}

/* Constants of one input, the run on another. */
static void check_engine(const char *name, cp_restriction_kind kind)
{
    char cfg_path[120], weights[120];
    cp_model *model;
    cp_path *path;
    cp_frame *frame[2];
    cp_cfg *cfg;
    size_t c, h, w, n;
    snprintf(cfg_path, sizeof cfg_path, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    done(cp_model_open(cfg_path, weights, &model));
    done(cp_path_create(model, &path));
    random_state = 9;
    for (size_t i = 0; i < cp_model_neuron_count(model); i++) cp_path_set(path, i, next_random() < .6f);
    const cp_file_meta meta = {.method = "random"};
    done(cp_path_write(path_npz, path, &meta));
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    for (int f = 0; f < 2; f++) {
        const cp_restriction restriction = {.kind = kind, .path = path, .original = frame[0]};
        done(cp_frame_create(model, 1, &frame[f]));
        for (size_t i = 0; i < c * h * w; i++) input[i] = next_random();
        done(cp_frame_forward(frame[f], input, 1, f ? &restriction : NULL));
    }
    write_constants(model, frame[0]);

    done(cp_cfg_read(cfg_path, &cfg));
    done(cp_masks_insert(cfg, path_npz, kind == CP_FROZEN ? "frozen" : "zero", kind == CP_FROZEN ? off_npz : NULL,
                         NULL, &n));
    done(cp_cfg_set(cfg, 0, "batch", "1"));
    done(cp_cfg_set(cfg, 0, "subdivisions", "1"));
    done(cp_cfg_write(cfg, masked_cfg));
    cp_cfg_free(cfg);
    gpu_index = cp_device(); /* Darknet on the engine's device */
    network *net = load_network(masked_cfg, weights, 0);
    network_predict(net, input);
    int masks = 0;
    for (int i = 0; i < net->n; ++i) {
        layer l = net->layers[i];
        if (l.type != PATHMASK) continue;
#ifdef GPU
        if (gpu_index >= 0) cuda_pull_array(l.output_gpu, l.output, l.outputs);
#endif
        const float *expected = cp_frame_output(frame[1], i - masks - 1, 0);
        double largest = 1e-3;
        for (int k = 0; k < l.outputs; ++k) largest = fmax(largest, fabs(expected[k]));
        for (int k = 0; k < l.outputs; ++k)
            if (!(fabs(l.output[k] - expected[k]) <= 1e-4 * largest))
                fail_msg("%s: mask %d, value %d is %g, the engine's %g", name, i, k, l.output[k], expected[k]);
        masks++;
    }
    assert_int_equal(masks, n);
    cp_host_free(net);
    gpu_index = -1;
    free(input);
    cp_frame_free(frame[0]);
    cp_frame_free(frame[1]);
    cp_path_free(path);
    cp_model_free(model);
}

static void test_zeroed_is_the_engines(void **state)
{
    (void)state;
    check_engine("resnet", CP_ZEROED);
    check_engine("densenet", CP_ZEROED);
    check_engine("yolov3", CP_ZEROED);
    check_engine("vgg", CP_ZEROED);
}

static void test_frozen_is_the_engines(void **state)
{
    (void)state;
    check_engine("resnet", CP_FROZEN);
    check_engine("densenet", CP_FROZEN);
    check_engine("yolov3", CP_FROZEN);
    check_engine("vgg", CP_FROZEN);
}

/* ---------------------------------------------------------------- what is refused */

static void expect_refused(const char *name, cp_dtype dtype, int c, int h, int w, const char *mode, const char *message)
{
    static const char text[] = "[net]\nwidth=5\nheight=4\nchannels=2\n[convolutional]\nfilters=3\nsize=1\n"
                               "activation=relu\n[softmax]\n";
    const float zeros[60] = {0};
    cp_npz_writer *writer;
    cp_cfg *cfg;
    size_t n;
    cp_array_type type = cp_array_chw(dtype, c, h, w);
    done(cp_npz_create(path_npz, false, &writer));
    done(cp_npz_add(writer, name, &type, zeros));
    done(cp_npz_commit(&writer));
    done(cp_cfg_parse("net.cfg", text, strlen(text), &cfg));
    assert_int_equal(cp_masks_insert(cfg, path_npz, mode, NULL, NULL, &n), message ? CP_EINPUT : CP_OK);
    if (message && !strstr(cp_error(), message)) fail_msg("'%s' does not say '%s'", cp_error(), message);
    if (!message) { /* masks are not masked again */
        assert_int_equal(cp_masks_insert(cfg, path_npz, mode, NULL, NULL, &n), CP_EINPUT);
        assert_non_null(strstr(cp_error(), "critpath strip"));
    }
    cp_cfg_free(cfg);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("layer_000_convolutional", CP_BOOL, 3, 4, 5, "zero", NULL);
    expect_refused("layer_000_convolutional", CP_BOOL, 3, 1, 1, "zero", NULL);
    expect_refused("layer_000_convolutional", CP_FLOAT32, 3, 1, 1, "gate", NULL);
    expect_refused("layer_000_convolutional", CP_FLOAT32, 3, 4, 5, "zero", "mode zero needs bool");
    expect_refused("layer_000_convolutional", CP_BOOL, 3, 5, 4, "zero", "bool (3, 5, 4), in the cfg (3, 4, 5)");
    expect_refused("layer_000_shortcut", CP_BOOL, 3, 4, 5, "zero", "is called 'layer_000_convolutional'");
    expect_refused("layer_007_convolutional", CP_BOOL, 3, 4, 5, "zero", "no layer of the cfg, which has 2");
    expect_refused("layer_+00_convolutional", CP_BOOL, 3, 4, 5, "zero", "no layer of the cfg");
    expect_refused("layer_001_softmax", CP_BOOL, 60, 1, 1, "zero", "no mask goes behind");
    expect_refused("scores", CP_BOOL, 3, 4, 5, "zero", "'scores' is no layer of the cfg");
}

int main(void)
{
    gpu_index = -1;
    cp_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet50),
        cmocka_unit_test(test_densenet201),
        cmocka_unit_test(test_yolov3),
        cmocka_unit_test(test_yolov3_tiny),
        cmocka_unit_test(test_public_coco_yolo),
        cmocka_unit_test(test_zeroed_is_the_engines),
        cmocka_unit_test(test_frozen_is_the_engines),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_mask_folder, remove_mask_folder);
}
