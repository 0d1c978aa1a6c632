/* Receptive fields against fields worked out by hand, window by window, and against what moves in the reference. */
#include "model/receptive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../reference/ref_pair.h"

#define STRIDED(stride) "[convolutional]\nfilters=4\nsize=3\npad=1\nstride=" #stride "\nactivation=relu\n"

static cp_cfg_net *net_of(const char *text)
{
    cp_cfg *cfg;
    cp_cfg_net *net;
    assert_int_equal(cp_cfg_parse("test.cfg", text, strlen(text), &cfg), CP_OK);
    assert_int_equal(cp_cfg_check(cfg, 0, &net), CP_OK);
    cp_cfg_free(cfg);
    return net;
}

static void expect_field(const cp_cfg_net *net, int layer, int x, int y, int x0, int x1, int y0, int y1)
{
    cp_rectangle field;
    assert_int_equal(cp_receptive_field(net, layer, x, y, &field), CP_OK);
    assert_int_equal(field.x0, x0);
    assert_int_equal(field.x1, x1);
    assert_int_equal(field.y0, y0);
    assert_int_equal(field.y1, y1);
}

static void a_chain_of_windows(void **state)
{
    (void)state;
    cp_cfg_net *net = net_of("[net]\nwidth=32\nheight=32\nchannels=3\n" STRIDED(1) "[maxpool]\nsize=2\nstride=2\n" STRIDED(1)
                             STRIDED(2) "[avgpool]\n[softmax]\n");
    expect_field(net, 0, 7, 9, 6, 8, 8, 10);
    expect_field(net, 1, 4, 0, 7, 10, 0, 2);
    /* layer 3 (2,3) reads x 3..5, y 5..7 of layer 2, that 2..6, 4..8 of the pool, that 4..13, 8..17 of layer 0 */
    expect_field(net, 3, 2, 3, 3, 14, 7, 18);
    expect_field(net, 3, 0, 0, 0, 6, 0, 6);
    expect_field(net, 4, 0, 0, 0, 31, 0, 31);
    cp_cfg_net_free(net);
}

static void two_ways(void **state)
{
    (void)state;
    cp_cfg_net *net = net_of("[net]\nwidth=16\nheight=16\nchannels=3\n" STRIDED(1) STRIDED(2) "[upsample]\nstride=2\n"
                             "[route]\nlayers=-1,0\n[convolutional]\nfilters=5\nsize=1\nactivation=linear\n");
    /* (5,5) of the upsampling is (2,2) of layer 1, which reads 3..5 of layer 0; the route adds (5,5) itself */
    expect_field(net, 4, 5, 5, 2, 6, 2, 6);
    /* (4,4) is (2,2) as well */
    expect_field(net, 4, 4, 4, 2, 6, 2, 6);
    cp_cfg_net_free(net);
}

static void shortcuts_of_another_size(void **state)
{
    (void)state;
    cp_cfg_net *net = net_of("[net]\nwidth=16\nheight=16\nchannels=3\n" STRIDED(1) STRIDED(2)
                             "[shortcut]\nfrom=-2\nactivation=relu\n");
    expect_field(net, 2, 3, 1, 4, 8, 0, 4); /* layer 0: 5..7, 1..3 by layer 1, and (6,2) directly */
    cp_cfg_net_free(net);
    net = net_of("[net]\nwidth=16\nheight=16\nchannels=3\n" STRIDED(2) STRIDED(2) "[upsample]\nstride=2\n"
                 "[shortcut]\nfrom=1\nactivation=relu\n");
    /* (6,6) of 8x8: upsampled from (3,3) of layer 1, and directly from there; layer 1 reads 5..7 of layer 0, that 9..15 */
    expect_field(net, 3, 6, 6, 9, 15, 9, 15);
    cp_cfg_net_free(net);
}

static void crop_and_transposed_convolution(void **state)
{
    (void)state;
    cp_cfg_net *net = net_of("[net]\nwidth=20\nheight=16\nchannels=3\n[crop]\ncrop_width=12\ncrop_height=8\n" STRIDED(1));
    expect_field(net, 1, 0, 7, 4, 5, 10, 11);
    cp_cfg_net_free(net);
    net = net_of("[net]\nwidth=8\nheight=8\nchannels=3\n[deconvolutional]\nfilters=2\nsize=4\nstride=2\npadding=1\n"
                 "activation=relu\n");
    /* output y gets input i where y = 2 i - 1 + tap, tap 0..3: y = 5 gets 2 (tap 2) and 3 (tap 0), y = 6 gets 2 and 3 */
    expect_field(net, 0, 5, 6, 2, 3, 2, 3);
    expect_field(net, 0, 0, 15, 0, 0, 7, 7);
    cp_cfg_net_free(net);
}

/* Two units far apart: what lies between their fields is in neither. */
static void reach_of_scattered_units(void **state)
{
    (void)state;
    cp_cfg_net *net = net_of("[net]\nwidth=16\nheight=12\nchannels=3\n" STRIDED(1) STRIDED(1) STRIDED(2));
    cp_response response = {.n = 2, .unit = {{.layer = 2, .index = 48 + 8 + 1}, {.layer = 2, .index = 3 * 48 + 5 * 8 + 7}}};
    cp_reach reach;
    assert_int_equal(cp_reach_find(net, &response, &reach), CP_OK);
    for (size_t i = 0; i < 4 * 12 * 16; i++) { /* (1,1) reads 1..3, 1..3 of layer 1, (7,5) 13..15, 9..11 */
        size_t x = i % 16, y = i / 16 % 12;
        bool one = x >= 1 && x <= 3 && y >= 1 && y <= 3, other = x >= 13 && y >= 9;
        assert_int_equal(cp_reach_has(&reach, 1, i), one || other);
        one = x <= 4 && y <= 4, other = x >= 12 && y >= 8;
        assert_int_equal(cp_reach_has(&reach, 0, i), one || other);
        if (i < 4 * 48)
            assert_int_equal(cp_reach_has(&reach, 2, i), i % 48 == 9 || i % 48 == 47);
    }
    cp_reach_free(&reach);
    cp_cfg_net_free(net);
}

/* Fails when a position of a layer's output moved, although its field is without input pixel (x, y). */
static void expect_reach(const ref_pair *pair, const ref_net *before, int x, int y)
{
    for (int i = 0; i <= pair->last; i++) {
        const ref_layer *l = &pair->net.layer[i], *was = &before->layer[i];
        for (int k = 0; k < l->outputs; k++) {
            if (l->z[k] == was->z[k]) continue;
            cp_rectangle field;
            int at_x = k % l->out_w, at_y = k / l->out_w % l->out_h;
            ref_check(cp_receptive_field(cp_model_shapes(pair->model), i, at_x, at_y, &field));
            if (x < field.x0 || x > field.x1 || y < field.y0 || y > field.y1)
                fail_msg("%s: (%d,%d) of layer %d moves with pixel (%d,%d), which its field %d..%d, %d..%d is without",
                         pair->name, at_x, at_y, i, x, y, field.x0, field.x1, field.y0, field.y1);
        }
    }
}

/* Whatever the layers: one pixel of the input is changed at a time. */
static void every_case_of_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < ref_case_count; i++) {
        ref_pair pair;
        ref_pair_open(&pair, &ref_cases[i]);
        ref_net before = pair.net;
        size_t plane = (size_t)(pair.net.h * pair.net.w);
        for (int k = 0; k <= pair.last; k++) {
            const ref_layer *l = &pair.net.layer[k];
            before.layer[k].z = malloc((size_t)l->outputs * sizeof *l->z);
            memcpy(before.layer[k].z, l->z, (size_t)l->outputs * sizeof *l->z);
        }
        for (size_t at = 0; at < plane; at += plane / 5) {
            double *pixel = &pair.net.input[at], old = *pixel;
            *pixel += .25;
            ref_net_forward(&pair.net, 0);
            expect_reach(&pair, &before, (int)at % pair.net.w, (int)at / pair.net.w);
            *pixel = old;
        }
        ref_net_forward(&pair.net, 0);
        for (int k = 0; k <= pair.last; k++) free(before.layer[k].z);
        ref_pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_windows),
        cmocka_unit_test(two_ways),
        cmocka_unit_test(shortcuts_of_another_size),
        cmocka_unit_test(crop_and_transposed_convolution),
        cmocka_unit_test(reach_of_scattered_units),
        cmocka_unit_test(every_case_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
