/* What a path consists of, counted by hand on the network of tiny_net.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "path/statistics.h"
#include "tiny_net.h"

static void test_by_hand(void **state)
{
    (void)state;
    tiny_net net;
    TINY_OPEN(&net);
    cp_frame *frame;
    cp_path *path;
    cp_layer_statistics row;
    const float score[] = {2, 6, 0};
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, tiny_input, 1, NULL), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    cp_path_set(path, 0, true);
    cp_path_set(path, 2, true); /* a = (1, 2, 0): one active, one dead */
    cp_path_layer_statistics(path, frame, 0, score, &row);
    assert_int_equal(row.count, 3);
    assert_int_equal(row.kept, 2);
    assert_int_equal(row.active, 2);
    assert_int_equal(row.kept_dead, 1);
    assert_true(row.best == 6);
    cp_path_layer_statistics(path, NULL, 0, NULL, &row);
    assert_true(row.kept == 2 && row.active == 0 && row.kept_dead == 0 && row.best == 0);
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* A logistic unit is inactive where z <= 0, that is where a <= .5. */
static void test_logistic(void **state)
{
    (void)state;
    tiny_net net;
    cp_frame *frame;
    cp_path *path;
    cp_layer_statistics row;
    const char cfg[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=1\nheight=1\nchannels=1\nmax_batches=1\n"
                       "[convolutional]\nfilters=3\nsize=1\nstride=1\npad=0\nactivation=logistic\n"
                       "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
    const float weights[] = {-1, 0, 1, /**/ 0, 0, 0, /**/ 0, 0, /**/ 1, 1, 1, 1, 1, 1}, one = 1;
    tiny_open(&net, cfg, weights, sizeof weights / sizeof *weights);
    assert_true(cp_dead_activation(net.model, 0) == .5f);
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, &one, 1, NULL), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    cp_path_fill(path, true);
    cp_path_layer_statistics(path, frame, 0, NULL, &row);
    assert_int_equal(row.active, 1);
    assert_int_equal(row.kept_dead, 2);
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_logistic)};
    cp_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
