/* What every kernel must keep of a convolution's windows: a neuron that the response cannot read has no score, and equal
 * windows have equal outputs, so that of equal values a max-pool takes the first. Under CRITPATH_CONVOLUTION this runs for
 * each kernel. The receptive fields here are found window by window from the reference's layers. */
#include "score_net.h"

#define GROUPED(f, k, s, p, g, a) \
    {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, .groups = g, .activation = a}
#define UPSAMPLE(s) {.type = REF_UPSAMPLE, .stride = s}
#define NAMED(array) #array, array, (int)(sizeof array / sizeof *array)

/* Deep and wide enough for deltas that Winograd's tiles take; few deltas go another way. */
static const ref_layer chain[] = {
    CONV(64, 3, 1, 1, REF_LEAKY), CONV(64, 3, 1, 1, REF_LEAKY), CONV(64, 3, 1, 1, REF_RELU), CONV(64, 3, 1, 1, REF_LEAKY),
    CONV(64, 3, 1, 1, REF_LEAKY), CONV(64, 3, 1, 1, REF_LEAKY), CONV(64, 3, 1, 1, REF_LEAKY)};
static const ref_layer pools[] = { /* the YOLO-LITE and tiny YOLO kind */
    CONV(16, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(32, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(48, 3, 1, 1, REF_LEAKY),
    CONV(48, 3, 1, 1, REF_LEAKY), POOL(2, 1, -1), CONV(32, 1, 1, 0, REF_LEAKY), CONV(32, 3, 1, 1, REF_LEAKY)};
static const ref_layer mobile[] = { /* depthwise and pointwise */
    CONV(16, 3, 2, 1, REF_RELU), GROUPED(16, 3, 1, 1, 16, REF_RELU), CONV(32, 1, 1, 0, REF_RELU),
    GROUPED(32, 3, 2, 1, 32, REF_RELU), CONV(48, 1, 1, 0, REF_RELU), GROUPED(48, 3, 1, 1, 48, REF_RELU),
    CONV(48, 1, 1, 0, REF_RELU)};
static const ref_layer residual[] = {
    CONV(32, 3, 1, 1, REF_LEAKY), CONV(16, 1, 1, 0, REF_LEAKY), CONV(32, 3, 1, 1, REF_LEAKY), ADD(0, REF_LINEAR),
    CONV(48, 3, 2, 1, REF_LEAKY), CONV(24, 1, 1, 0, REF_LEAKY), CONV(48, 3, 1, 1, REF_LINEAR), ADD(4, REF_LEAKY),
    CONV(48, 3, 1, 1, REF_LEAKY)};
static const ref_layer cross_stage[] = { /* groups, and stages that meet again */
    CONV(32, 3, 1, 1, REF_LEAKY), CONV(32, 1, 1, 0, REF_LEAKY), GROUPED(32, 3, 1, 1, 4, REF_LEAKY), CONV(32, 1, 1, 0, REF_LINEAR),
    ADD(0, REF_LEAKY), ROUTE2(4, 1), CONV(48, 3, 1, 1, REF_LEAKY)};
static const ref_layer pyramid[] = {
    CONV(16, 3, 1, 1, REF_LEAKY), CONV(32, 3, 2, 1, REF_LEAKY), CONV(48, 3, 2, 1, REF_LEAKY), CONV(48, 3, 1, 1, REF_LEAKY),
    CONV(32, 1, 1, 0, REF_LEAKY), UPSAMPLE(2), ROUTE2(5, 1), CONV(32, 3, 1, 1, REF_LEAKY)};

/* ---------------------------------------------------------------- receptive fields */

typedef struct {
    unsigned char *at[REF_MAX_LAYERS + 1]; /* by layer + 1: (h, w) */
} field;

static void extent(const ref_net *net, int layer, int *h, int *w)
{
    *h = layer < 0 ? net->h : net->layer[layer].out_h;
    *w = layer < 0 ? net->w : net->layer[layer].out_w;
}

static void mark_source(const ref_net *net, field *f, int i, int source)
{
    const ref_layer *l = &net->layer[i];
    int h, w, size = l->size ? l->size : 1, stride = l->stride ? l->stride : 1, before = l->padding;
    bool windowed = l->type == REF_CONVOLUTIONAL || l->type == REF_MAXPOOL;
    extent(net, source, &h, &w);
    if (before < 0)
        before = (size - 1) / 2;
    else if (l->type == REF_MAXPOOL)
        before /= 2;
    for (int p = 0; p < l->out_h * l->out_w; p++) {
        int y = p / l->out_w, x = p % l->out_w;
        if (!f->at[i + 1][p])
            continue;
        if (!windowed) {
            f->at[source + 1][(y * h / l->out_h) * w + x * w / l->out_w] = 1;
            continue;
        }
        for (int k = 0; k < size * size; k++) {
            int iy = y * stride - before + k / size, ix = x * stride - before + k % size;
            if (iy >= 0 && iy < h && ix >= 0 && ix < w)
                f->at[source + 1][iy * w + ix] = 1;
        }
    }
}

static field field_of(const ref_net *net, const cp_response *response)
{
    field f;
    for (int i = -1; i < net->n; i++) {
        int h, w;
        extent(net, i, &h, &w);
        assert_non_null(f.at[i + 1] = calloc((size_t)h * (size_t)w, 1));
    }
    for (int k = 0; k < response->n; k++) {
        const ref_layer *l = &net->layer[response->unit[k].layer];
        f.at[response->unit[k].layer + 1][response->unit[k].index % (size_t)(l->out_h * l->out_w)] = 1;
    }
    for (int i = net->n - 1; i >= 0; i--) {
        const ref_layer *l = &net->layer[i];
        if (l->type != REF_ROUTE)
            mark_source(net, &f, i, i - 1);
        for (int s = 0; s < l->n_sources; s++)
            mark_source(net, &f, i, l->sources[s]);
    }
    return f;
}

static void field_free(const ref_net *net, field *f)
{
    for (int i = 0; i <= net->n; i++)
        free(f->at[i]);
}

/* values (c, h, w) of a layer, -1 the input: 0 outside the field. Returns how many inside are not. */
static size_t expect_inside(const ref_net *net, const field *f, int layer, const float *value, size_t count, const char *name,
                            const char *what)
{
    int h, w;
    size_t inside = 0;
    extent(net, layer, &h, &w);
    for (size_t i = 0; i < count; i++) {
        bool in = f->at[layer + 1][i % (size_t)(h * w)];
        inside += in && value[i] != 0;
        if (!in && value[i] != 0)
            fail_msg("%s: %s of layer %d at %zu, outside the receptive field, is %g", name, what, layer, i, value[i]);
    }
    return inside;
}

static void expect_scores_inside(const pair *p, const field *f, const float *score, const char *name, const char *what)
{
    size_t inside = 0;
    for (int l = 0; l < p->n_layers; l++)
        inside += expect_inside(&p->net, f, p->layers[l].layer, score + p->layers[l].offset, p->layers[l].count, name, what);
    assert_true(inside > 100);
}

/* Gradients of the whole network, and along a path, whose deltas are few and scattered. */
static void check_maps(pair *p, const field *f, const cp_response *response, const float *score, const char *name)
{
    size_t inputs = (size_t)p->net.c * (size_t)p->net.h * (size_t)p->net.w;
    float *map = malloc(inputs * sizeof *map);
    cp_path *path;
    assert_non_null(map);
    check(cp_path_create(p->model, &path));
    for (int k = 0; k < 3; k++) {
        static const double sparsity[] = {0, .9, .99};
        cp_entry entry = {.response = response, .path = k ? path : NULL};
        check(cp_path_select(path, score, sparsity[k], 0, NULL));
        check(cp_frame_backward(p->frame, &entry, 1, NULL, map));
        assert_true(expect_inside(&p->net, f, -1, map, inputs, name, "gradient") || k == 2);
    }
    cp_path_free(path);
    free(map);
}

static void check_response(pair *p, const cp_response *response, const char *name)
{
    const cp_intgrad_options fixed = {.steps = 5}, adaptive = {.steps = 0};
    cp_run_options run = {0};
    field f = field_of(&p->net, response);
    float *score = malloc(p->neurons * sizeof *score);
    assert_non_null(score);
    check(cp_score_mct(p->frame, 0, response, false, score));
    expect_scores_inside(p, &f, score, name, "mct");
    check_maps(p, &f, response, score, name);
    check(cp_score_intgrad(p->frame, 0, response, &fixed, score, NULL));
    expect_scores_inside(p, &f, score, name, "intgrad");
    check(cp_score_intgrad(p->frame, 0, response, &adaptive, score, NULL));
    expect_scores_inside(p, &f, score, name, "adaptive intgrad");
    size_t sample = 300, *neuron = malloc(sample * sizeof *neuron);
    check(cp_score_sample(p->model, response, sample, 1, neuron, &sample));
    check(cp_score_ablation(p->frame, 0, response, neuron, sample, &run, score));
    float *all = calloc(p->neurons, sizeof *all);
    for (size_t k = 0; k < sample; k++)
        all[neuron[k]] = score[k];
    for (int l = 0; l < p->n_layers; l++)
        expect_inside(&p->net, &f, p->layers[l].layer, all + p->layers[l].offset, p->layers[l].count, name, "ablation");
    free(all);
    free(neuron);
    free(score);
    field_free(&p->net, &f);
}

static void check_network(const char *name, const ref_layer *layers, int n, int side)
{
    pair p;
    pair_open(&p, 3, side, side, layers, n, 11, true);
    const ref_layer *last = &p.net.layer[n - 1];
    int plane = last->out_h * last->out_w, middle = last->out_h / 2 * last->out_w + last->out_w / 2;
    cp_response response;
    check(cp_response_unit(p.model, n - 1, (size_t)(3 * plane + middle), &response));
    check_response(&p, &response, name);
    check(cp_response_unit(p.model, n - 1, 0, &response)); /* in the corner */
    response.n = 2;                                        /* and one on another side */
    response.unit[1] = response.unit[0];
    response.unit[1].index = (size_t)(5 * plane - 2);
    check_response(&p, &response, name);
    pair_close(&p);
}

static void test_outside_is_zero(void **unused)
{
    (void)unused;
    check_network(NAMED(chain), 20);
    check_network(NAMED(pools), 64);
    check_network(NAMED(mobile), 48);
    check_network(NAMED(residual), 40);
    check_network(NAMED(cross_stage), 32);
    check_network(NAMED(pyramid), 56);
}

/* A neuron above 0 that loses against another one in its only pool: without it the response is what it was, to the last
 * bit, when both come from the same kernels. */
static void test_losers(void **unused)
{
    (void)unused;
    pair p;
    cp_response response;
    size_t losers = 0, neuron[200], n = 0;
    float drop[200];
    pair_open(&p, 3, 64, 64, pools, (int)(sizeof pools / sizeof *pools), 11, true);
    const float *a = cp_frame_output(p.frame, 0, 0);
    for (size_t c = 0; c < 16 && n < 200; c++)
        for (size_t i = 0; i < 32 * 32 && n < 200; i += 3) {
            size_t at = c * 64 * 64 + i / 32 * 2 * 64 + i % 32 * 2;
            if (a[at] > 0 && a[at] < a[at + 65] && ++losers % 4 == 0)
                neuron[n++] = at;
        }
    assert_int_equal(n, 200);
    check(cp_response_unit(p.model, 8, 5 * 16 * 16 + 100, &response));
    check(cp_score_ablation(p.frame, 0, &response, neuron, n, NULL, drop));
    for (size_t k = 0; k < n; k++)
        if (drop[k] != 0)
            fail_msg("without neuron %zu, which no pool takes, the response moves by %g", neuron[k], drop[k]);
    pair_close(&p);
}

/* ---------------------------------------------------------------- equal windows */

/* Repeats with a period that no tile has: two positions a period apart see the same wherever no window meets a border. */
static void check_period(const char *name, const ref_layer *layers, int n, int side, int period, const int *margins)
{
    pair p;
    pair_open(&p, 3, side, side, layers, n, 5, true);
    float *input = malloc(sizeof *input * 3 * (size_t)(side * side));
    assert_non_null(input);
    for (int i = 0; i < 3 * side * side; i++) {
        int x = i % side % period, y = i / side % side % period, c = i / side / side;
        input[i] = (float)p.net.input[(c * side + y) * side + x];
    }
    check(cp_frame_forward(p.frame, input, 1, NULL));
    for (int l = 0, step = period; l < n; l++) {
        const ref_layer *layer = &p.net.layer[l];
        const float *a = cp_frame_output(p.frame, l, 0);
        if (layer->stride > 1)
            step /= layer->stride;
        for (int i = 0; i < layer->outputs; i++) {
            int x = i % layer->out_w, y = i / layer->out_w % layer->out_h, m = margins[l];
            if (x < m || y < m || y >= layer->out_h - m || x + step >= layer->out_w - m)
                continue;
            if (a[i] != a[i + step] || (y + step < layer->out_h - m && a[i] != a[i + step * layer->out_w]))
                fail_msg("%s: layer %d at %d: %.9g, a period further %.9g or %.9g", name, l, i, a[i], a[i + step],
                         a[i + step * layer->out_w]);
        }
    }
    free(input);
    pair_close(&p);
}

static void test_periods(void **unused)
{
    (void)unused;
    /* How far borders reach in; the last pool comes last, as what follows it need not be even. */
    static const ref_layer three[] = {CONV(16, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(32, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0),
                                      CONV(48, 3, 1, 1, REF_LEAKY), CONV(24, 1, 1, 0, REF_LEAKY), CONV(48, 3, 1, 1, REF_RELU),
                                      POOL(3, 1, 2)};
    static const ref_layer strided[] = {CONV(20, 3, 2, 1, REF_LEAKY), CONV(520, 1, 1, 0, REF_RELU), CONV(40, 1, 1, 0, REF_LEAKY),
                                        CONV(32, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0)};
    static const ref_layer grouped[] = {CONV(32, 3, 1, 1, REF_LEAKY), GROUPED(32, 3, 1, 1, 32, REF_RELU),
                                        GROUPED(32, 3, 1, 1, 4, REF_LEAKY), GROUPED(96, 5, 1, 2, 2, REF_LEAKY), POOL(2, 2, 0)};
    static const int three_margins[] = {1, 1, 2, 2, 3, 3, 4, 5}, strided_margins[] = {1, 1, 1, 2, 2},
                     grouped_margins[] = {1, 2, 3, 5, 4};
    check_period("three", three, 8, 96, 20, three_margins);
    check_period("strided", strided, 5, 92, 20, strided_margins);
    check_period("grouped", grouped, 5, 46, 14, grouped_margins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outside_is_zero), cmocka_unit_test(test_losers),
                                       cmocka_unit_test(test_periods)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
