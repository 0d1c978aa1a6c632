/* The contribution map: by hand, against sums written out as the definition reads, and where a plane's cells lie against
 * the receptive fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "map/grid.h"
#include "model/receptive.h"
#include "score/score.h"
#include "tiny_net.h"

static void must(cp_status status)
{
    if (status)
        fail_msg("%s", cp_error());
}

/* ---------------------------------------------------------------- by hand */

/* Two 1x1 filters, a = (x, 2x) on the input (1, 2, 3, 4); the weights of the first logit below. */
static const char pair_cfg[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=2\nheight=2\nchannels=1\nmax_batches=1\n"
                               "[convolutional]\nfilters=2\nsize=1\nstride=1\npad=0\nactivation=relu\n"
                               "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
static const float pair_values[] = {0, 0, 1, 2, 0, 0, 1, -1, 0, 2, .5f, 0, -1, 0, 1, 1, 1, 1, 1, 1, 1, 1};

static void expect(const float *heat, const float by_hand[8])
{
    for (int i = 0; i < 8; i++)
        assert_true(fabsf(heat[i] - by_hand[i]) < 1e-7f);
}

static void test_by_hand(void **state)
{
    (void)state;
    tiny_net net;
    cp_frame *frame;
    cp_response response;
    cp_path *path;
    cp_contribution report;
    const float input[] = {1, 2, 3, 4};
    float heat[8];
    tiny_open(&net, pair_cfg, pair_values, sizeof pair_values / sizeof *pair_values);
    must(cp_frame_create(net.model, 1, &frame));
    must(cp_frame_forward(frame, input, 1, NULL));
    must(cp_response_class(net.model, 0, &response));
    must(cp_path_create(net.model, &path));

    /* m = (1 + 1, -2 + 0, 0 - 6, 8 + 0) */
    must(cp_map_contribution(frame, 0, &response, NULL, NULL, NULL, heat, &report));
    expect(heat, (float[]){.2f, 0, 0, .8f, 0, .25f, .75f, 0});
    assert_int_equal(report.layers, 1);
    assert_true(fabs(report.against - 8. / 18) < 1e-12);
    cp_path_fill(path, true);
    must(cp_map_contribution(frame, 0, &response, path, NULL, NULL, heat, NULL));
    expect(heat, (float[]){.2f, 0, 0, .8f, 0, .25f, .75f, 0});

    /* Without the neurons that carry the -2 and the -6; the 8 becomes the counter-evidence where its sign is turned. */
    cp_path_set(path, 1, false);
    cp_path_set(path, 6, false);
    must(cp_map_contribution(frame, 0, &response, path, NULL, NULL, heat, &report));
    expect(heat, (float[]){.2f, 0, 0, .8f, 0, 0, 0, 0});
    assert_true(report.layers == 1 && report.against == 0);
    const float score[8] = {1, -2, 0, -8, 1, 0, -6, 0};
    must(cp_map_contribution(frame, 0, &response, path, score, NULL, heat, &report));
    expect(heat, (float[]){1, 0, 0, 0, 0, 0, 0, 1});
    assert_true(fabs(report.against - .8) < 1e-12);

    /* No coarse plane, an empty path: nothing. */
    must(cp_map_contribution(frame, 0, &response, path, NULL, &(cp_contribution_options){CP_PLANES_COARSE, false}, heat,
                             &report));
    expect(heat, (float[8]){0});
    assert_int_equal(report.layers, 0);
    cp_path_fill(path, false);
    must(cp_map_contribution(frame, 0, &response, path, NULL, NULL, heat, &report));
    expect(heat, (float[8]){0});
    assert_int_equal(report.layers, 0);
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* ---------------------------------------------------------------- where cells lie */

#define NET(w, h) "[net]\nbatch=1\nsubdivisions=1\nwidth=" #w "\nheight=" #h "\nchannels=3\nmax_batches=1\n"
#define CONV(filters, size, stride, pad) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride \
                                         "\npad=" #pad "\nactivation=leaky\n"
#define ADD "[shortcut]\nfrom=-2\nactivation=relu\n"

static const char *const shapes[] = {
    NET(64, 48) CONV(4, 3, 1, 1) "[maxpool]\nsize=2\nstride=2\n" CONV(4, 3, 2, 1) CONV(4, 3, 1, 1) ADD
        "[maxpool]\nsize=3\nstride=2\npadding=2\n" CONV(4, 1, 1, 0) "[avgpool]\n[connected]\noutput=2\nactivation=linear\n"
        "[softmax]\n",
    NET(80, 96) CONV(4, 7, 2, 0) "[maxpool]\nsize=3\nstride=2\n" CONV(4, 5, 1, 0) "[maxpool]\nsize=2\nstride=1\n"
        CONV(4, 3, 3, 1) CONV(4, 2, 2, 0) "[avgpool]\n[connected]\noutput=2\nactivation=linear\n[softmax]\n",
    NET(64, 64) CONV(4, 3, 2, 1) CONV(4, 3, 2, 1) CONV(4, 3, 2, 1) "[upsample]\nstride=2\n" "[route]\nlayers=-1,1\n"
        CONV(4, 3, 1, 1) "[reorg]\nstride=2\n" CONV(4, 3, 1, 1) "[deconvolutional]\nfilters=4\nsize=4\nstride=2\npadding=1\n"
        "activation=leaky\n" CONV(4, 1, 1, 0) "[avgpool]\n[connected]\noutput=2\nactivation=linear\n[softmax]\n",
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static cp_model *model_of(const char *cfg, tiny_net *net)
{
    const char *base = getenv("TMPDIR");
    snprintf(net->folder, sizeof net->folder, "%.200s/critpath-test-XXXXXX", base ? base : P_tmpdir);
    assert_non_null(mkdtemp(net->folder));
    snprintf(net->cfg, sizeof net->cfg, "%s/net.cfg", net->folder);
    snprintf(net->weights, sizeof net->weights, "%s/none", net->folder);
    tiny_write(net->cfg, cfg, strlen(cfg));
    must(cp_model_open(net->cfg, NULL, &net->model));
    return net->model;
}

/* Mean of the centres of the fields of cells x, x+1 on the diagonal; false where the border cuts one. */
static bool centre_of_two(const cp_cfg_net *cfg, int layer, int x, double centre[2])
{
    centre[0] = centre[1] = 0;
    for (int i = x; i < x + 2; i++) {
        cp_rectangle field;
        must(cp_receptive_field(cfg, layer, i, i, &field));
        if (field.x0 <= 0 || field.y0 <= 0 || field.x1 >= cfg->w - 1 || field.y1 >= cfg->h - 1)
            return false;
        centre[0] += (field.x0 + field.x1) / 4.;
        centre[1] += (field.y0 + field.y1) / 4.;
    }
    return true;
}

/* Two neighbours, the first even: the parts of an upsampled cell all read the same field. */
static void test_grids(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        tiny_net net;
        cp_cfg *text;
        cp_cfg_net *cfg;
        int n, compared = 0;
        const cp_model *model = model_of(shapes[k], &net);
        must(cp_cfg_parse("test.cfg", shapes[k], strlen(shapes[k]), &text));
        must(cp_cfg_check(text, 0, &cfg));
        cp_grid *grids = cp_grids_find(model);
        const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
        for (int l = 0; l < n; l++) {
            const cp_grid *grid = &grids[layers[l].layer + 1];
            int least = (int)(layers[l].h < layers[l].w ? layers[l].h : layers[l].w);
            assert_true(grid->plane);
            for (int x = 0; x + 1 < least; x += 2) {
                double centre[2];
                if (!centre_of_two(cfg, layers[l].layer, x, centre))
                    continue;
                assert_true(fabs(grid->start_x + (x + .5) * grid->step_x - centre[0]) < 1e-9);
                assert_true(fabs(grid->start_y + (x + .5) * grid->step_y - centre[1]) < 1e-9);
                compared++;
            }
        }
        assert_true(compared > 20);
        assert_false(grids[cp_model_layer_count(model) - 1].plane); /* the connected layer's outputs */
        cp_free(grids);
        cp_cfg_net_free(cfg);
        cp_cfg_free(text);
        tiny_close(&net);
    }
}

static void test_shares(void **state)
{
    (void)state;
    cp_spread spread;
    must(cp_spread_create(1.5, 4, 5, 20, &spread)); /* centres 1.5, 5.5, ..., 17.5 */
    for (size_t i = 0; i < 5; i++) {
        double sum = 0, middle = 0;
        for (size_t k = 0; k < spread.count[i]; k++) {
            sum += (double)spread.share[i][k];
            middle += (double)spread.share[i][k] * (double)(spread.first[i] + k);
        }
        assert_true(fabs(sum - 1) < 1e-6);
        if (i > 0 && i < 4)
            assert_true(fabs(middle - (1.5 + 4 * (double)i)) < 1e-5 && spread.count[i] == 8);
    }
    cp_spread_free(&spread);
    must(cp_spread_create(-9, 1, 1, 3, &spread)); /* beyond the border */
    assert_true(spread.count[0] == 1 && spread.first[0] == 0 && spread.share[0][0] == 1);
    cp_spread_free(&spread);
}

/* ---------------------------------------------------------------- as the definition reads */

/* (cells, pixels): the share of each cell's mass that each pixel gets along one axis. */
static double *tents(double start, double step, size_t cells, size_t pixels)
{
    double *share = malloc(cells * pixels * sizeof *share);
    for (size_t i = 0; i < cells; i++) {
        double sum = 0;
        for (size_t x = 0; x < pixels; x++)
            sum += share[i * pixels + x] = fmax(0, 1 - fabs((double)x - start - (double)i * step) / fmax(step, 1));
        for (size_t x = 0; x < pixels; x++)
            share[i * pixels + x] /= sum;
    }
    return share;
}

static void add_layer(const cp_neuron_layer *l, const cp_grid *g, const cp_path *path, const float *score, size_t h,
                      size_t w, double *heat)
{
    size_t cells = l->h * l->w;
    double *m = calloc(cells, sizeof *m), total[2] = {0, 0};
    double *across = tents(g->start_x, g->step_x, l->w, w), *down = tents(g->start_y, g->step_y, l->h, h);
    for (size_t i = 0; i < l->count; i++)
        if (!path || cp_path_get(path, l->offset + i))
            m[i % cells] += (double)score[l->offset + i];
    for (size_t i = 0; i < cells; i++)
        total[m[i] < 0] += fabs(m[i]);
    for (size_t i = 0; i < cells; i++)
        for (size_t p = 0; m[i] != 0 && p < h * w; p++)
            heat[(m[i] < 0) * h * w + p] += fabs(m[i]) / total[m[i] < 0] * across[i % l->w * w + p % w] *
                                            down[i / l->w * h + p / w];
    free(m), free(across), free(down);
}

/* The planes whose steps are in [from, to). */
static void expect_map(const cp_model *model, const cp_path *path, const float *score, double from, double to,
                       const float *heat, const cp_contribution *report)
{
    size_t c, h, w;
    int n, used = 0;
    cp_model_input_shape(model, &c, &h, &w);
    double *wanted = calloc(2 * h * w, sizeof *wanted), sums[2] = {0, 0};
    cp_grid *grids = cp_grids_find(model);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        const cp_grid *grid = &grids[layers[l].layer + 1];
        if (!grid->plane || grid->step_x < from || grid->step_x >= to || layers[l].h * layers[l].w == 1)
            continue;
        add_layer(&layers[l], grid, path, score, h, w, wanted);
        used++;
    }
    for (size_t i = 0; i < 2 * h * w; i++) {
        assert_true(fabs(wanted[i] - (double)heat[i]) < 1e-6);
        sums[i / (h * w)] += (double)heat[i];
    }
    assert_int_equal(report->layers, used);
    for (int side = 0; side < 2; side++) /* a whole number: each layer's sums to 1, or it has none */
        assert_true(fabs(sums[side] - round(sums[side])) < 1e-4 && sums[side] < used + .5 && sums[side] > .5);
    free(wanted);
    cp_free(grids);
}

static void test_definition(void **state)
{
    (void)state;
    for (int k = 0; k < SHAPES; k++) {
        tiny_net net;
        size_t c, h, w;
        cp_frame *frame;
        cp_response response;
        cp_path *path;
        cp_contribution report;
        cp_model *model = model_of(shapes[k], &net);
        cp_model_input_shape(model, &c, &h, &w);
        size_t neurons = cp_model_neuron_count(model);
        float *input = malloc(c * h * w * sizeof *input), *score = malloc(neurons * sizeof *score);
        float *heat = malloc(2 * h * w * sizeof *heat), *again = malloc(2 * h * w * sizeof *again);
        uint32_t random = 7;
        for (size_t i = 0; i < c * h * w; i++)
            input[i] = (float)((random = random * 1664525u + 1013904223u) >> 8) / (1 << 24);
        must(cp_frame_create(model, 1, &frame));
        must(cp_frame_forward(frame, input, 1, NULL));
        must(cp_response_class(model, 1, &response));
        must(cp_path_create(model, &path));
        for (size_t i = 0; i < neurons; i++)
            cp_path_set(path, i, (random = random * 1664525u + 1013904223u) >> 30 == 0);
        must(cp_score_mct(frame, 0, &response, true, score));
        const double range[][2] = {{0, 12}, {12, 1e9}, {0, 1e9}};
        for (int p = CP_PLANES_FINE; p <= CP_PLANES_ALL; p++) {
            cp_contribution_options options = {.planes = (cp_planes)p};
            must(cp_map_contribution(frame, 0, &response, path, NULL, &options, heat, &report));
            if (report.layers || p == CP_PLANES_FINE)
                expect_map(model, path, score, range[p][0], range[p][1], heat, &report);
            cp_set_threads(3);
            must(cp_map_contribution(frame, 0, &response, path, score, &options, again, NULL));
            assert_memory_equal(heat, again, 2 * h * w * sizeof *heat);
            cp_set_threads(0);
        }
        must(cp_map_contribution(frame, 0, &response, NULL, NULL, NULL, heat, &report));
        expect_map(model, NULL, score, 0, 12, heat, &report);

        /* Restricted: what a backward run masked by the path shows. */
        const cp_contribution_options restricted = {.planes = CP_PLANES_ALL, .restricted = true};
        must(cp_score_signed(frame, 0, &response, path, score, NULL));
        must(cp_map_contribution(frame, 0, &response, path, NULL, &restricted, again, &report));
        expect_map(model, path, score, 0, 1e9, again, &report);
        must(cp_map_contribution(frame, 0, &response, path, NULL,
                                 &(cp_contribution_options){.planes = CP_PLANES_ALL}, heat, NULL));
        assert_memory_not_equal(heat, again, 2 * h * w * sizeof *heat);
        free(input), free(score), free(heat), free(again);
        cp_path_free(path);
        cp_frame_free(frame);
        tiny_close(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
