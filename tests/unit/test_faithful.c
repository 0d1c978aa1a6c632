/* Faithfulness over path size and the sparsest faithful path, on networks computed by hand; what heads make of a
 * response. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "signs_found.h"
#include "tiny_net.h"

typedef struct {
    tiny_net net;
    cp_frame *frame;
    cp_response response;
    float *score;
} setting;

static setting start(const char *cfg, const float *values, size_t n, const float *input)
{
    setting s = {0};
    tiny_open(&s.net, cfg, values, n);
    assert_int_equal(cp_frame_create(s.net.model, 1, &s.frame), CP_OK);
    assert_int_equal(cp_frame_forward(s.frame, input, 1, NULL), CP_OK);
    assert_int_equal(cp_response_class(s.net.model, 1, &s.response), CP_OK);
    s.score = calloc(cp_model_neuron_count(s.net.model), sizeof *s.score);
    assert_int_equal(cp_score_mct(s.frame, 0, &s.response, false, s.score), CP_OK);
    return s;
}

static void stop(setting *s)
{
    free(s->score);
    cp_frame_free(s->frame);
    tiny_close(&s->net);
}

static void near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-6 * (1 + fabs(expected))))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

static double two_class(double logit0, double logit1) { return 1 / (1 + exp(logit0 - logit1)); }

/* a = (1, 2, 0), logit 1 = a0 + a1 + a2, so the path takes neuron 1 first, then neuron 0, and never the dead one.
 * Logit 0 is 2 a0 - 3 a1 + 5 a2 + 1/4. */
static void curves_by_hand(void **state)
{
    (void)state;
    setting s = start(tiny_cfg, tiny_values, sizeof tiny_values / sizeof *tiny_values, tiny_input);
    const double shares[] = {.3, .34, .9}; /* one neuron twice; three, more than the two above 0 */
    cp_faithful_options options = {.shares = shares, .n_shares = 3, .draws = 1, .seed = 1};
    cp_faithful f;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &f), CP_OK);
    near(f.full.response, 3), near(f.empty.response, 0);
    near(f.full.probability, two_class(-3.75, 3)), near(f.empty.probability, two_class(.25, 0));
    assert_int_equal(f.n, 4);
    const size_t kept[] = {0, 1, 2, 3};
    const double keep[] = {0, 2, 3, 3}, removed[] = {3, 1, 0, 0};
    for (int p = 0; p < 4; p++) {
        assert_int_equal(f.point[p].kept, kept[p]);
        near(f.point[p].curve[CP_KEEP].response, keep[p]);
        near(f.point[p].curve[CP_REMOVE].response, removed[p]);
    }
    near(f.point[1].curve[CP_KEEP].probability, two_class(-5.75, 2));
    near(f.point[1].curve[CP_REMOVE].probability, two_class(2.25, 1));
    assert_int_equal(f.largest, 2);
    near(f.area[CP_KEEP].response, (0 + 2 / 3. + 2 / 3. + 1) / 4);
    near(f.area[CP_REMOVE].response, (1 + 1 / 3. + 1 / 3. + 0) / 4);
    near(cp_faithful_share(2, 4, 0), .5);
    assert_true(isnan(cp_faithful_share(1, 1, 1)));
    cp_faithful_free(&f);
    stop(&s);
}

/* One random neuron of three, with activations 1, 2 and 0: mean 1, deviation root of 2/3. */
static void random_paths(void **state)
{
    (void)state;
    setting s = start(tiny_cfg, tiny_values, sizeof tiny_values / sizeof *tiny_values, tiny_input);
    const double share = 1 / 3.;
    cp_faithful_options options = {.shares = &share, .n_shares = 1, .draws = 400, .seed = 3};
    cp_faithful f, again;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &f), CP_OK);
    const cp_faithful_point *p = &f.point[1];
    assert_true(fabs(p->curve[CP_KEEP_RANDOM].response - 1) < .15);
    assert_true(fabs(p->curve[CP_REMOVE_RANDOM].response - 2) < .15);
    assert_true(fabs(p->deviation[CP_KEEP_RANDOM].response - sqrt(2 / 3.)) < .1);
    near(p->curve[CP_KEEP_RANDOM].response + p->curve[CP_REMOVE_RANDOM].response, 3); /* each draw's two parts */
    /* Little memory shrinks the batches and changes nothing; another seed does. */
    options.run.memory = 1;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &again), CP_OK);
    assert_int_equal(again.n, f.n);
    for (int i = 0; i < f.n; i++)
        assert_memory_equal(&f.point[i], &again.point[i], sizeof f.point[i]);
    cp_faithful_free(&again);
    options.seed = 4;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &again), CP_OK);
    assert_true(again.point[1].curve[CP_KEEP_RANDOM].response != p->curve[CP_KEEP_RANDOM].response);
    cp_faithful_free(&again);
    cp_faithful_free(&f);
    stop(&s);
}

/* A random path has as many neurons as the path in every layer: with a network whose layers differ in what they add,
 * the counts can be read from the response. Layer 0: 8 neurons of 1; layer 1 (reads the input too): 8 of 100. */
static const char counting_cfg[] =
    "[net]\nbatch=1\nsubdivisions=1\nwidth=1\nheight=1\nchannels=1\nmax_batches=1\n"
    "[convolutional]\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=relu\n"
    "[convolutional]\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=relu\n"
    "[route]\nlayers=0,1\n[connected]\noutput=2\nactivation=linear\n[softmax]\n";

static void random_paths_keep_the_layers_counts(void **state)
{
    (void)state;
    float values[8 + 8 + 8 + 64 + 2 + 32] = {0};
    for (int i = 0; i < 8; i++)
        values[i] = 1, values[16 + i] = 100;
    for (int i = 0; i < 16; i++)
        values[90 + 16 + i] = 1;
    const float input[] = {1};
    setting s = start(counting_cfg, values, sizeof values / sizeof *values, input);
    for (int i = 0; i < 16; i++)
        s.score[i] = i < 3 ? 10 - i : i >= 8 && i < 13 ? 5 : .01f; /* three of layer 0, five of layer 1 */
    const double share = .5;
    cp_faithful_options options = {.shares = &share, .n_shares = 1, .draws = 5, .seed = 9};
    cp_faithful f;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &f), CP_OK);
    near(f.point[1].curve[CP_KEEP].response, 503);
    near(f.point[1].curve[CP_KEEP_RANDOM].response, 503);
    near(f.point[1].curve[CP_REMOVE_RANDOM].response, 305);
    near(f.point[1].deviation[CP_KEEP_RANDOM].response, 0);
    cp_faithful_free(&f);
    stop(&s);
}

/* Eight neurons of activation 1; logit 0 is 5, logit 1 the sum of the weights kept. In the order of their magnitude the
 * sums are 10, 1, -7, 0, 7, 14, 21, 28: class 1 wins with one neuron, and again from five on. */
static const char steps_cfg[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=1\nheight=1\nchannels=1\nmax_batches=1\n"
                                "[convolutional]\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=relu\n"
                                "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
static const float steps_values[] = {1, 1, 1, 1, 1, 1, 1, 1,  0, 0, 0, 0, 0, 0, 0, 0,  5, 0,
                                     0, 0, 0, 0, 0, 0, 0, 0,  7, 7, 10, 7, -9, 7, -8, 7};

static void keeping_is_not_monotone(void **state)
{
    (void)state;
    const float input[] = {1};
    setting s = start(steps_cfg, steps_values, sizeof steps_values / sizeof *steps_values, input);
    cp_sparsest_options options = {.loss = 1}; /* the arg-max alone */
    cp_sparsest found;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &options, &found), CP_OK);
    assert_true(found.found && found.argmax && found.loss == 1);
    assert_int_equal(found.bisected, 5);
    assert_int_equal(found.kept, 1);
    near(found.measure.response, 10);
    assert_int_equal(cp_path_count(found.path), 1);
    assert_true(cp_path_get(found.path, 2));
    cp_sparsest_free(&found);

    /* The probability too: 10 against logit 0 gives .9933, 7 gives .88, 14 gives .99988. */
    options.loss = .05;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &options, &found), CP_OK);
    assert_int_equal(found.kept, 1);
    cp_sparsest_free(&found);
    options.loss = .005;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &options, &found), CP_OK);
    assert_int_equal(found.kept, 6);
    assert_int_equal(found.bisected, 6);
    cp_sparsest_free(&found);

    /* The other class loses at first, so that no arg-max decides: half of its probability. */
    assert_int_equal(cp_response_class(s.net.model, 0, &s.response), CP_OK);
    memset(s.score, 0, 8 * sizeof *s.score);
    s.score[0] = 1;
    options.loss = NAN;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &options, &found), CP_OK);
    assert_true(found.found && !found.argmax && found.loss == .5);
    assert_int_equal(found.kept, 0);
    near(found.measure.probability, two_class(0, 5));
    cp_sparsest_free(&found);
    stop(&s);
}

static void mistakes(void **state)
{
    (void)state;
    setting s = start(tiny_cfg, tiny_values, sizeof tiny_values / sizeof *tiny_values, tiny_input);
    const double share = 1;
    cp_faithful_options options = {.shares = &share, .n_shares = 1};
    cp_faithful f;
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, s.score, &options, &f), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "share 1 "));
    cp_sparsest_options sparsest = {.loss = 1.5};
    cp_sparsest found;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &sparsest, &found), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "1.5"));
    memset(s.score, 0, 3 * sizeof *s.score);
    sparsest.loss = NAN;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, s.score, &sparsest, &found), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "above 0"));
    stop(&s);
}

/* ---------------------------------------------------------------- heads */

static cp_model *open_oracle(const char *name)
{
    char cfg[200], weights[200];
    cp_model *model;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    if (cp_model_open(cfg, weights, &model))
        fail_msg("%s: %s", name, cp_error());
    return model;
}

static cp_decoded decode(const cp_model *model, const cp_detection *d, cp_target target, const float *logits,
                         float *logit)
{
    cp_response response;
    cp_decoded decoded;
    assert_int_equal(cp_response_detection(model, d, target, &response), CP_OK);
    assert_int_equal(cp_response_decode(model, &response, logits, &decoded), CP_OK);
    *logit = logits[response.unit[0].index];
    return decoded;
}

/* Logits that make class 1 of the detection the largest of its predictor, though not of the layer. */
static void heads_of_detectors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool softmax;
    } nets[] = {{"yolov3-tiny", false}, {"yolov3", false}, {"yolov2", true}};
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        cp_model *model = open_oracle(nets[k].name);
        const int *heads;
        assert_true(cp_model_heads(model, &heads) > 0);
        int layer = cp_model_logit_layer(model, heads[0]), classes = cp_model_classes(model);
        size_t outputs = cp_model_layer(model, layer)->outputs;
        assert_true(classes > 1);
        float *logits = malloc(outputs * sizeof *logits), logit;
        for (size_t i = 0; i < outputs; i++)
            logits[i] = (float)(i % 7) * .3f;
        cp_detection d = {.head = heads[0], .anchor = 1, .cell = 1, .class_id = 1};
        double sum = 0;
        for (d.class_id = 0; d.class_id < classes; d.class_id++) {
            cp_response response;
            assert_int_equal(cp_response_detection(model, &d, CP_TARGET_CLASS, &response), CP_OK);
            logits[response.unit[0].index] = d.class_id == 1 ? 1.25f : -.5f;
            sum += exp(d.class_id == 1 ? 1.25 : -.5);
        }
        for (d.class_id = 0; d.class_id < 2; d.class_id++) {
            cp_decoded found = decode(model, &d, CP_TARGET_CLASS, logits, &logit);
            double expected = nets[k].softmax ? exp(logit) / sum : 1 / (1 + exp(-logit));
            assert_int_equal(found.head, heads[0]);
            assert_int_equal(found.rivals, classes);
            assert_int_equal(found.largest, d.class_id == 1);
            if (fabs(found.probability - expected) > 1e-6)
                fail_msg("%s: probability %g, expected %g", nets[k].name, found.probability, expected);
        }
        d.class_id = 1;
        cp_decoded objectness = decode(model, &d, CP_TARGET_OBJECTNESS, logits, &logit);
        assert_int_equal(objectness.rivals, 0);
        assert_true(fabs(objectness.probability - 1 / (1 + exp(-logit))) < 1e-6);
        assert_true(isnan(decode(model, &d, CP_TARGET_W, logits, &logit).probability));
        assert_true(isnan(decode(model, &d, CP_TARGET_X, logits, &logit).probability));
        free(logits);
        cp_model_free(model);
    }
}

/* Without any neuron the class unit of tiny-yolo-signs still has a sigmoid of .47, and no box: the answer counts as kept only
 * where a box of the class is decoded on the sign. */
static void a_detection_is_kept_where_it_is_decoded(void **state)
{
    (void)state;
    signs_found s;
    cp_sparsest by_unit, by_box;
    cp_faithful curves;
    signs_open(&s);
    float *score = calloc(cp_model_neuron_count(s.model), sizeof *score);
    assert_int_equal(cp_score_mct(s.frame, 0, &s.response, false, score), CP_OK);

    cp_sparsest_options options = {.loss = .6, .checks = 4};
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, score, &options, &by_unit), CP_OK);
    assert_true(by_unit.found && by_unit.measure.probability > .4);
    assert_true(isnan(by_unit.box_least) && isnan(by_unit.box_full));
    options.detection = &s.found[0], options.placement = s.placement, options.thresh = .5;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, score, &options, &by_box), CP_OK);
    assert_true(by_box.found && by_box.kept > 10 * (by_unit.kept + 1));
    near(by_box.box_full, s.found[0].probability);
    near(by_box.box_least, .5); /* more than .4 of the whole network's */
    assert_true(by_box.box >= .5);
    cp_sparsest_free(&by_unit);
    cp_sparsest_free(&by_box);

    /* A threshold that the whole network does not reach asks for no more than eps does. */
    options.thresh = .99999;
    assert_int_equal(cp_sparsest_find(s.frame, 0, &s.response, score, &options, &by_box), CP_OK);
    near(by_box.box_least, .4 * by_box.box_full);
    cp_sparsest_free(&by_box);

    const double share = .5;
    const cp_faithful_options measured = {.shares = &share, .n_shares = 1, .draws = -1, .detection = &s.found[0],
                                          .placement = s.placement, .thresh = .5};
    assert_int_equal(cp_faithful_measure(s.frame, 0, &s.response, score, &measured, &curves), CP_OK);
    assert_int_equal(curves.point[0].kept, 0);
    assert_true(curves.empty.probability > .4 && !curves.point[0].keeps);
    assert_true(curves.point[curves.n - 1].keeps);
    cp_faithful_free(&curves);

    free(score);
    signs_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detection_is_kept_where_it_is_decoded),
        cmocka_unit_test(curves_by_hand),
        cmocka_unit_test(random_paths),
        cmocka_unit_test(random_paths_keep_the_layers_counts),
        cmocka_unit_test(keeping_is_not_monotone),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(heads_of_detectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
