/* Hierarchies of classes (tree=): files that are none, softmaxes and products against Darknet's own, and what a [softmax] and
 * a [region] with one answer. */
#include "io_temp.h"

#include <math.h>

#include "darknet.h"
#include "io/error.h"
#include "model/cfg.h"
#include "model/class_tree.h"

/* Darknet's, but not in darknet.h. */
layer make_softmax_layer(int batch, int inputs, int groups);
void forward_softmax_layer(const layer l, network net);
tree *read_tree(char *filename);
void hierarchy_predictions(float *predictions, int n, tree *hier, int only_leaves, int stride);

enum { CLASSES = 7 };
/* animal, thing; of animals dog, cat, bird; of dogs terrier, poodle. */
static const char text[] = "animal -1\nthing -1\ndog 0\ncat 0\nbird 0\nterrier 2\npoodle 2\n";

static void must(cp_status status)
{
    if (status != CP_OK) fail_msg("%s", cp_error());
}

static void expect_refused(const char *content, const char *message)
{
    cp_class_tree *tree;
    temp_put("bad.tree", content, strlen(content));
    assert_int_equal(cp_class_tree_read("bad.tree", "net.cfg", &tree), CP_EINPUT);
    assert_null(tree);
    assert_string_equal(cp_error(), message);
}

static void test_bad_files(void **state)
{
    (void)state;
    expect_refused("a -1\nb\n", "tree: bad.tree: line 2, 'b', is no name and parent");
    expect_refused("a -1\nb 0 1\n", "tree: bad.tree: line 2, 'b 0 1', is no name and parent");
    expect_refused("a -1\nb 1\n", "tree: bad.tree: line 2 has the parent 1, -1 to 0 is allowed");
    expect_refused("a -1\nb -2\n", "tree: bad.tree: line 2 has the parent -2, -1 to 0 is allowed");
    expect_refused("a -1\nb 99999999999\n", "tree: bad.tree: line 2 has the parent 99999999999, -1 to 0 is allowed");
    expect_refused("a -1\nb -1\nc 0\nd 1\ne 0\n", "tree: bad.tree: line 5 has the parent 0 as an earlier line that is not next to "
                   "it: the children of a class must stand together");
    expect_refused("a -1\nb 0\nc -1\n", "tree: bad.tree: line 3 has the parent -1 as an earlier line that is not next to it: the "
                   "children of a class must stand together");
    expect_refused("\n\n", "tree: bad.tree has no line");
    cp_class_tree *tree;
    assert_int_equal(cp_class_tree_read("none.tree", "net.cfg", &tree), CP_EINPUT);
}

/* Windows line ends, blanks, a file beside the cfg. */
static void test_places_and_lines(void **state)
{
    (void)state;
    cp_class_tree *tree;
    assert_int_equal(mkdir("cfg", 0700), 0);
    temp_put("cfg/kinds.tree", "\xef\xbb\xbf" "a -1\r\nb\t0 \r\n", 15);
    must(cp_class_tree_read("kinds.tree", "cfg/net.cfg", &tree));
    assert_int_equal(tree->n, 2);
    assert_int_equal(tree->groups, 2);
    assert_int_equal(tree->child[0], 1);
    cp_class_tree_free(tree);
}

static void some_logits(float *z, int n)
{
    for (int i = 0; i < n; i++) z[i] = (float)((i * 37 % 11) - 5) * .45f;
}

/* A [softmax] answers as Darknet's does, whose CPU code is right there. */
static void test_softmax(void **state)
{
    (void)state;
    static const char cfg[] = "[net]\nwidth=3\nheight=3\nchannels=3\n[convolutional]\nfilters=7\nsize=1\nactivation=linear\n"
                              "[avgpool]\n[softmax]\ngroups=1\ntree=kinds.tree\n";
    float z[CLASSES], p[CLASSES];
    temp_put("kinds.tree", text, sizeof text - 1);
    temp_put("net.cfg", cfg, sizeof cfg - 1);
    some_logits(z, CLASSES);
    layer l = make_softmax_layer(1, CLASSES, 1);
    network net = {.input = z};
    l.softmax_tree = read_tree("kinds.tree");
    l.temperature = 1;
    l.noloss = 1;
    forward_softmax_layer(l, net);
    float conditional[CLASSES];
    memcpy(conditional, l.output, sizeof conditional);
    for (int alexey = 0; alexey < 2; alexey++) {
        cp_model *model;
        cp_set_lineage(alexey ? CP_LINEAGE_ALEXEY : CP_LINEAGE_AUTO);
        must(cp_model_open("net.cfg", NULL, &model));
        must(cp_model_classify(model, z, p));
        memcpy(l.output, conditional, sizeof conditional);
        hierarchy_predictions(l.output, CLASSES, l.softmax_tree, !alexey, 1);
        for (int c = 0; c < CLASSES; c++) assert_true(fabs(p[c] - l.output[c]) < 1e-6);
        /* The response of a poodle is its logit; it competes with terriers, and is as likely as all of its kind are. */
        cp_response response;
        cp_decoded decoded;
        must(cp_response_class(model, 6, &response));
        assert_int_equal(response.unit[0].index, 6);
        must(cp_response_decode(model, &response, z, &decoded));
        assert_int_equal(decoded.rivals, 2);
        assert_int_equal(decoded.largest, z[6] > z[5]);
        assert_true(fabs(decoded.probability - conditional[0] * conditional[2] * conditional[6]) < 1e-6);
        cp_model_free(model);
    }
    cp_set_lineage(CP_LINEAGE_AUTO);
}

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

/* Two boxes: one whose way down leads to a poodle, one that stops at an animal. */
static void test_region(void **state)
{
    (void)state;
    static const char cfg[] = "[net]\nwidth=4\nheight=2\nchannels=3\n[convolutional]\nfilters=24\nsize=1\nactivation=linear\n"
                              "[region]\nclasses=7\nnum=2\ncoords=4\nanchors=1,1,2,2\nsoftmax=1\ntree=kinds.tree\n";
    enum { CELLS = 8, ENTRIES = 12 };
    float z[2 * ENTRIES * CELLS];
    const float *logits[] = {z};
    temp_put("kinds.tree", text, sizeof text - 1);
    temp_put("net.cfg", cfg, sizeof cfg - 1);
    for (int i = 0; i < 2 * ENTRIES * CELLS; i++) z[i] = i / CELLS % ENTRIES == 4 ? -6 : 0;
    float *poodle = z + 3, *animal = z + ENTRIES * CELLS + 6; /* anchor 0, cell 3; anchor 1, cell 6 */
    poodle[4 * CELLS] = 2, poodle[5 * CELLS] = 5, poodle[7 * CELLS] = 6, poodle[11 * CELLS] = 7;
    animal[4 * CELLS] = 1, animal[5 * CELLS] = 4;
    cp_model *model;
    must(cp_model_open("net.cfg", NULL, &model));
    cp_detection *found;
    int n;
    must(cp_model_detect(model, logits, 4, 2, .5f, .45f, &found, &n));
    assert_int_equal(n, 2);
    for (int i = 0; i < 2; i++) {
        bool first = found[i].anchor == 0;
        assert_int_equal(found[i].cell, first ? 3 : 6);
        assert_int_equal(found[i].class_id, first ? 6 : 0);
        assert_true(fabs(found[i].probability - sigmoid(first ? 2 : 1)) < 1e-6); /* Darknet's: the objectness */
        float all[CLASSES];
        must(cp_model_box_probabilities(model, &found[i], z, all));
        double is_animal = sigmoid(first ? 5 : 4), dog = first ? exp(6) / (exp(6) + 2) : 1. / 3;
        assert_true(fabs(all[0] - sigmoid(first ? 2 : 1) * is_animal) < 1e-5);
        assert_true(fabs(all[6] - sigmoid(first ? 2 : 1) * is_animal * dog * (first ? sigmoid(7) : .5)) < 1e-5);
        cp_response response;
        cp_decoded decoded;
        must(cp_response_detection(model, &found[i], CP_TARGET_CLASS, &response));
        must(cp_response_decode(model, &response, z, &decoded));
        assert_int_equal(decoded.rivals, 2);
        assert_true(decoded.largest);
        assert_true(fabs(decoded.probability - (first ? is_animal * dog * sigmoid(7) : is_animal)) < 1e-5);
    }
    cp_free_detections(found);
    cp_model_free(model);
}

/* Darknet never frees a tree, nor what belongs to a layer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:read_tree\nleak:fgetl\nleak:make_softmax_layer\nleak:make_region_layer\n"; }

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bad_files), cmocka_unit_test(test_places_and_lines),
                                       cmocka_unit_test(test_softmax), cmocka_unit_test(test_region)};
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
