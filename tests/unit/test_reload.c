/* A model that gets other weights, from a file or from a network in memory, is as one opened with them: outputs, scores and
 * all the engine had prepared. On the small networks of tests/oracle, which hold every layer type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "io/file.h"
#include "io/hash.h"
#include "model/model.h"

static const char *const nets[] = {"activations", "deconv", "densenet", "depthwise", "odd",        "resnet", "resnext",
                                   "vgg",         "yolov1", "yolov2",   "yolov3",    "yolov3-tiny"};
enum { NETS = sizeof nets / sizeof *nets, VGG = 7 }; /* VGG has connected layers */

static char cfg[200], weights[200];

static void choose(int k)
{
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", nets[k]);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", nets[k]);
}

/* The last outputs before the heads, and a score of every neuron: forward, backward and what both prepare. */
static float *run(const cp_model *model, size_t *n)
{
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    float *x = malloc(c * h * w * sizeof *x);
    uint32_t seed = 7;
    for (size_t i = 0; i < c * h * w; ++i) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (1 << 24);
    }
    int layer = cp_model_layer_count(model) - 1;
    while (cp_model_layer(model, layer)->head) --layer;
    size_t outputs = cp_model_layer(model, layer)->outputs, neurons = cp_model_neuron_count(model);
    float *all = malloc((outputs + neurons) * sizeof *all);
    cp_frame *frame;
    cp_response response;
    if (cp_frame_create(model, 1, &frame) || cp_frame_forward(frame, x, 1, NULL)) fail_msg("%s", cp_error());
    if (cp_response_unit(model, layer, outputs / 2, &response)) fail_msg("%s", cp_error());
    memcpy(all, cp_frame_output(frame, layer, 0), outputs * sizeof *all);
    if (cp_score_mct(frame, 0, &response, true, all + outputs)) fail_msg("%s", cp_error());
    cp_frame_free(frame);
    free(x);
    *n = outputs + neurons;
    return all;
}

static void check(int k, const char *what, const cp_model *model, const float *expected, size_t n)
{
    size_t got;
    float *all = run(model, &got);
    assert_int_equal(got, n);
    if (memcmp(all, expected, n * sizeof *all)) fail_msg("%s: %s is another network", nets[k], what);
    free(all);
}

static void reloaded_is_fresh(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        cp_model *fresh, *model, *random;
        cp_weights_info info;
        size_t n;
        choose(k);
        if (cp_model_open(cfg, weights, &fresh) || cp_model_open(cfg, NULL, &model)) fail_msg("%s", cp_error());
        if (cp_model_open(cfg, NULL, &random)) fail_msg("%s", cp_error());
        float *expected = run(fresh, &n), *other = run(random, &n);
        assert_memory_not_equal(expected, other, n * sizeof *expected);
        check(k, "the same random start", model, other, n);
        if (cp_model_load_weights(model, weights, &info)) fail_msg("%s", cp_error());
        check(k, "the file's", model, expected, n);
        assert_string_equal(cp_model_weights_sha256(model), cp_model_weights_sha256(fresh));
        if (cp_model_load_weights(model, weights, NULL)) fail_msg("%s", cp_error());
        check(k, "the file's, again", model, expected, n);

        /* From memory: Darknet's own network, batch norm unfolded. */
        gpu_index = cp_device(); /* as which it would predict */
        network *live = parse_network_cfg(cfg);
        cp_host_load_weights(live, weights);
        if (cp_model_copy_weights(random, live)) fail_msg("%s", cp_error());
        check(k, "the network's in memory", random, expected, n);

        /* What is wrong is said, and a good file heals. */
        int last = live->n - 1;
        while (!live->layers[last].weights) --last;
        live->layers[last].weights[1] = 1e30f * 1e30f;
        assert_int_equal(cp_model_copy_weights(random, live), CP_EINPUT);
        assert_non_null(strstr(cp_error(), "weight 1 of"));
        assert_int_equal(cp_model_load_weights(random, cfg, NULL), CP_EINPUT);
        if (cp_model_load_weights(random, weights, NULL)) fail_msg("%s", cp_error());
        check(k, "the file's after errors", random, expected, n);

        cp_host_free(live);
        cp_model_free(fresh), cp_model_free(model), cp_model_free(random);
        free(expected), free(other);
    }
}

/* Files of old versions hold connected weights the other way round: read as Darknet reads them, denormals apart. */
static void old_file_is_turned(void **state)
{
    (void)state;
    char path[] = P_tmpdir "/test_reload_XXXXXX", text[CP_SHA256_TEXT];
    size_t bytes, n;
    unsigned char *file;
    cp_model *model, *expected;
    choose(VGG);
    assert_int_equal(cp_file_read(weights, "weights", 1 << 20, &file, &bytes), CP_OK);
    const int32_t header[4] = {1001, 0, 0, 5};
    const uint32_t denormal = 0x80000123;
    memcpy(file + 20, &denormal, sizeof denormal);
    int fd = mkstemp(path);
    assert_int_equal(write(fd, header, sizeof header), sizeof header);
    assert_int_equal(write(fd, file + 20, bytes - 20), bytes - 20);
    close(fd);
    cp_free(file);

    network *live = parse_network_cfg(cfg);
    cp_host_load_weights(live, path);
    if (cp_model_open(cfg, NULL, &expected) || cp_model_copy_weights(expected, live)) fail_msg("%s", cp_error());
    float *old = run(expected, &n);
    if (cp_model_open(cfg, path, &model)) fail_msg("%s", cp_error());
    check(VGG, "the old file's", model, old, n);
    assert_int_equal(cp_sha256_file(path, text), CP_OK);
    assert_string_equal(cp_model_weights_sha256(model), text);
    uint32_t bits;
    memcpy(&bits, model->net->layers[1].biases, sizeof bits);
    assert_int_equal(bits, 0);
    if (cp_model_load_weights(model, weights, NULL)) fail_msg("%s", cp_error());
    float *today = run(model, &n);
    assert_memory_not_equal(old, today, n * sizeof *old);
    cp_host_free(live);
    cp_model_free(model), cp_model_free(expected);
    free(old), free(today);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reloaded_is_fresh), cmocka_unit_test(old_file_is_turned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
