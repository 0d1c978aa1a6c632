/* Maps by name: guided backpropagation and the CAMs by hand, completeness of integrated gradients, rows that know nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/attribution.h"
#include "tiny_net.h"

typedef struct {
    tiny_net net;
    cp_frame *frame;
    cp_response response;
    cp_eval_target target;
    cp_attribution_call call;
    float input[RESIDUAL_INPUT];
} setting;

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

static void start(setting *s, bool residual, int class_id)
{
    size_t c, h, w;
    *s = (setting){0};
    if (residual)
        residual_open(&s->net, s->input);
    else {
        TINY_OPEN(&s->net);
        memcpy(s->input, tiny_input, sizeof tiny_input);
    }
    assert_int_equal(cp_frame_create(s->net.model, 1, &s->frame), CP_OK);
    assert_int_equal(cp_frame_forward(s->frame, s->input, 1, NULL), CP_OK);
    assert_int_equal(cp_response_class(s->net.model, class_id, &s->response), CP_OK);
    cp_model_input_shape(s->net.model, &c, &h, &w);
    s->target = (cp_eval_target){class_id, NULL, {w, h, 0, 0, w, h}};
    s->call = (cp_attribution_call){.frame = s->frame, .response = &s->response, .target = &s->target, .layer = -1};
}

static void stop(setting *s)
{
    cp_frame_free(s->frame);
    tiny_close(&s->net);
}

static cp_status run(const setting *s, const char *name, float *map)
{
    const cp_attribution *method = cp_attribution_find(name);
    assert_non_null(method);
    return method->run(&s->call, map);
}

/* Logit 0 is 2 a0 - 3 a1 + 5 a2: a1's gradient is negative, a2 is dead, so that 2 times the first filter is left. */
static void guided_by_hand(void **state)
{
    (void)state;
    setting s;
    float map[4];
    const float guided[] = {2, 0, 0, -1}, plain[] = {2 + 3, -1.5f, -1.5f, -1 - .75f};
    start(&s, false, 0);
    assert_int_equal(run(&s, "gbp", map), CP_OK);
    for (int i = 0; i < 4; i++)
        near(map[i], guided[i], 1e-6);
    assert_int_equal(run(&s, "gradient", map), CP_OK);
    for (int i = 0; i < 4; i++)
        near(map[i], plain[i], 1e-6);
    assert_int_equal(run(&s, "inputmct", map), CP_OK);
    for (int i = 0; i < 4; i++)
        near(map[i], plain[i] * tiny_input[i], 1e-6);
    /* No layer has more than one position. */
    assert_int_equal(run(&s, "gradcam", map), CP_EINPUT);
    cp_path *path;
    assert_int_equal(cp_path_create(s.net.model, &path), CP_OK);
    const cp_entry entry = {.response = &s.response, .guided = true, .path = path};
    assert_int_equal(cp_frame_backward(s.frame, &entry, 1, NULL, map), CP_EINPUT);
    cp_path_free(path);
    stop(&s);
}

/* From any photo to another they add up to what the response gains between the two, and to 0 from a photo to itself. */
static void integrated_gradients_from_a_baseline(void **state)
{
    (void)state;
    setting s;
    float map[36], baseline[RESIDUAL_INPUT];
    start(&s, true, 2);
    double full = cp_frame_response(s.frame, 0, &s.response), sum = 0;
    s.call.samples = 2000;
    s.call.baseline = baseline;
    memcpy(baseline, s.input, sizeof baseline);
    assert_int_equal(run(&s, "inputintgrad", map), CP_OK);
    for (int i = 0; i < 36; i++)
        near(map[i], 0, 1e-5);
    for (int i = 0; i < RESIDUAL_INPUT; i++)
        baseline[i] = i % 5 ? s.input[i] : -s.input[i];
    assert_int_equal(run(&s, "inputintgrad", map), CP_OK);
    for (int i = 0; i < 36; i++)
        sum += map[i];
    assert_int_equal(cp_frame_forward(s.frame, baseline, 1, NULL), CP_OK);
    double gained = full - cp_frame_response(s.frame, 0, &s.response);
    assert_true(fabs(gained) > .01);
    near(sum, gained, 2e-3 * (fabs(gained) + 1));
    stop(&s);
}

/* Sobel on {1 2; 3 4}, the edge repeated: at the first pixel right = 3 * 1 + 1 * 1, down = 3 * 2 + 1 * 2, and so on. */
static void edges_by_hand(void **state)
{
    (void)state;
    setting s;
    float map[4];
    start(&s, false, 0);
    assert_int_equal(run(&s, "edges", map), CP_OK);
    for (int i = 0; i < 4; i++)
        near(map[i], sqrt(4. * 4 + 8 * 8), 1e-6);
    for (int i = 0; i < 4; i++)
        s.input[i] = .5f;
    assert_int_equal(cp_frame_forward(s.frame, s.input, 1, NULL), CP_OK);
    assert_int_equal(run(&s, "edges", map), CP_OK);
    for (int i = 0; i < 4; i++)
        near(map[i], 0, 0);
    stop(&s);
}

/* From black to the photo the gradients add up to what the response gains, as the alphas get dense. */
static void integrated_gradients_are_complete(void **state)
{
    (void)state;
    setting s;
    float map[36], black[RESIDUAL_INPUT] = {0};
    start(&s, true, 2);
    double full = cp_frame_response(s.frame, 0, &s.response), sum = 0;
    s.call.samples = 2000;
    assert_int_equal(run(&s, "inputintgrad", map), CP_OK);
    for (int i = 0; i < 36; i++)
        sum += map[i];
    assert_int_equal(cp_frame_forward(s.frame, black, 1, NULL), CP_OK);
    double gained = full - cp_frame_response(s.frame, 0, &s.response);
    near(sum, gained, 2e-3 * (fabs(gained) + 1));
    stop(&s);
}

/* Against sums written out here, from the activations and gradients of the last spatial neuron layer, the shortcut's. */
static void cams_of_the_last_layer(void **state)
{
    (void)state;
    setting s;
    float map[36], g[36];
    start(&s, true, 1);
    assert_int_equal(cp_attribution_layer(s.net.model, &s.response), 4);
    const float *a = cp_frame_output(s.frame, 4, 0);
    const cp_entry entry = {.response = &s.response};
    assert_int_equal(cp_frame_backward_to(s.frame, &entry, 1, 4, g), CP_OK);
    float plane[9], odam[9], enlarged[36];
    for (int i = 0; i < 9; i++) {
        plane[i] = odam[i] = 0;
        for (int c = 0; c < 4; c++) {
            float mean = 0;
            for (int k = 0; k < 9; k++)
                mean += g[c * 9 + k] / 9;
            plane[i] += mean * a[c * 9 + i];
            odam[i] += g[c * 9 + i] * a[c * 9 + i];
        }
        plane[i] = fmaxf(plane[i], 0), odam[i] = fmaxf(odam[i], 0);
    }
    assert_int_equal(run(&s, "gradcam", map), CP_OK);
    cp_plane_enlarge(plane, 3, 3, enlarged, 6, 6);
    for (int i = 0; i < 36; i++)
        near(map[i], enlarged[i], 1e-5);
    assert_int_equal(run(&s, "odam", map), CP_OK);
    cp_plane_enlarge(odam, 3, 3, enlarged, 6, 6);
    for (int i = 0; i < 36; i++)
        near(map[i], enlarged[i], 1e-5);
    s.call.layer = 7;
    assert_int_equal(run(&s, "gradcam", map), CP_EINPUT);
    stop(&s);
}

static void enlarging(void **state)
{
    (void)state;
    const float plane[] = {0, 4};
    float map[6];
    cp_plane_enlarge(plane, 1, 2, map, 1, 4);
    near(map[0], 0, 1e-6), near(map[1], 1, 1e-6), near(map[2], 3, 1e-6), near(map[3], 4, 1e-6);
}

/* The same seed the same map; other rows need no network at all. */
static void drawn_and_blind_maps(void **state)
{
    (void)state;
    static const char *const drawn[] = {"random", "smoothgrad", "rise"};
    setting s;
    float map[36], again[36];
    start(&s, true, 0);
    s.call.samples = 20;
    for (int k = 0; k < 3; k++) {
        s.call.seed = 5;
        assert_int_equal(run(&s, drawn[k], map), CP_OK);
        assert_int_equal(run(&s, drawn[k], again), CP_OK);
        assert_memory_equal(map, again, sizeof map);
        s.call.seed = 6;
        assert_int_equal(run(&s, drawn[k], again), CP_OK);
        assert_memory_not_equal(map, again, sizeof map);
    }
    assert_int_equal(run(&s, "centre", map), CP_OK);
    assert_true(map[14] > map[0] && map[14] == map[15] && map[14] == map[20]);
    assert_int_equal(run(&s, "occlusion", map), CP_OK);
    assert_int_equal(run(&s, "eigencam", map), CP_OK);
    assert_int_equal(run(&s, "layercam", map), CP_OK);
    assert_int_equal(run(&s, "box", map), CP_EINPUT);
    assert_int_equal(run(&s, "cell", map), CP_EINPUT);
    stop(&s);
}

/* A path that has neurons in a layer of large cells alone: its fine planes are empty, and the coarse ones are shown. */
static void contribution_falls_back(void **state)
{
    (void)state;
    static const char cfg[] = "[net]\nwidth=32\nheight=32\nchannels=1\n"
                              "[convolutional]\nfilters=1\nsize=1\nstride=1\nactivation=relu\n"
                              "[maxpool]\nsize=16\nstride=16\n"
                              "[convolutional]\nfilters=1\nsize=1\nstride=1\nactivation=relu\n"
                              "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
    static const float weights[] = {0, 1, 0, 1, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0};
    tiny_net net;
    cp_path *path;
    cp_frame *frame;
    cp_response response;
    float input[32 * 32], map[32 * 32], heat[2 * 32 * 32];
    double sum = 0;
    int layers;
    tiny_open(&net, cfg, weights, sizeof weights / sizeof *weights);
    const cp_neuron_layer *layer = cp_model_neuron_layers(net.model, &layers);
    assert_int_equal(layers, 2);
    for (int i = 0; i < 32 * 32; i++)
        input[i] = 1 + (float)i;
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    for (size_t i = 0; i < layer[1].count; i++)
        cp_path_set(path, layer[1].offset + i, true);
    assert_int_equal(cp_map_contribution(frame, 0, &response, path, NULL, NULL, heat, NULL), CP_OK);
    for (int i = 0; i < 2 * 32 * 32; i++)
        assert_true(heat[i] == 0);
    const cp_attribution_call call = {.frame = frame, .response = &response, .path = path, .layer = -1};
    assert_int_equal(cp_attribution_find("contribution")->run(&call, map), CP_OK);
    for (int i = 0; i < 32 * 32; i++)
        sum += (double)map[i];
    near(sum, 1, 1e-5); /* one layer's heat */
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guided_by_hand), cmocka_unit_test(contribution_falls_back), cmocka_unit_test(edges_by_hand), cmocka_unit_test(integrated_gradients_from_a_baseline), cmocka_unit_test(integrated_gradients_are_complete),
        cmocka_unit_test(cams_of_the_last_layer), cmocka_unit_test(enlarging), cmocka_unit_test(drawn_and_blind_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
