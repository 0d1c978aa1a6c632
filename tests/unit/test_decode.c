/* Decoding: gradients of every parameterisation and the adjoint of views, MACO's spectrum, a planted filter that has to come
 * back, an objective that rises, samples in their order. */
#include "score_net.h"

#include "decode/ascent.h"
#include "decode/samples.h"
#include "decode/spectrum.h"
#include "io/random.h"
#include "tiny_net.h"

static void fill(float *values, size_t n, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++)
        values[i] = (float)cp_random_uniform(&state);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static double correlation(const float *a, const float *b, size_t n)
{
    double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < n; i++) {
        ma += a[i] / (double)n;
        mb += b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        aa += pow(a[i] - ma, 2);
        bb += pow(b[i] - mb, 2);
        ab += (a[i] - ma) * (b[i] - mb);
    }
    return ab / sqrt(aa * bb);
}

/* The image's weighted sum as a function of single parameters, against central differences. */
static void gradient_of(cp_parameterisation kind, size_t c, size_t h, size_t w)
{
    float given[3 * 8 * 9], weight[3 * 8 * 9], gradient[2 * 3 * 8 * 9], h1 = 1e-2f;
    cp_parameters *p;
    fill(given, sizeof given / sizeof *given, 3);
    fill(weight, sizeof weight / sizeof *weight, 4);
    check(cp_parameters_create(kind, c, h, w, given, 5, &p));
    float *value = cp_parameters_values(p);
    uint64_t state = 6;
    for (size_t i = 0; i < cp_parameters_count(p); i++)
        value[i] += .1f * (float)(cp_random_uniform(&state) - .5);
    cp_parameters_image(p);
    cp_parameters_gradient(p, weight, gradient);
    double largest = 0;
    for (size_t i = 0; i < cp_parameters_count(p); i++)
        largest = fmax(largest, fabs((double)gradient[i]));
    assert_true(largest > 0);
    for (size_t i = 0; i < cp_parameters_count(p); i++) {
        float kept = value[i];
        value[i] = kept + h1;
        double up = dot(cp_parameters_image(p), weight, c * h * w);
        value[i] = kept - h1;
        double down = dot(cp_parameters_image(p), weight, c * h * w);
        value[i] = kept;
        double expected = (up - down) / (2 * h1);
        if (fabs(expected - gradient[i]) > .01 * largest)
            fail_msg("parameterisation %d, %zux%zux%zu, value %zu: %g, central difference %g", kind, c, h, w, i, gradient[i], expected);
    }
    cp_parameters_free(p);
}

static void gradients_of_parameters(void **state)
{
    (void)state;
    for (cp_parameterisation kind = CP_PARAMETERS_PIXELS; kind <= CP_PARAMETERS_PHOTO; kind++) {
        gradient_of(kind, 3, 8, 8);
        gradient_of(kind, 3, 7, 9);
        gradient_of(kind, 1, 5, 6);
    }
}

static void photo_stays_photo(void **state)
{
    (void)state;
    float photo[3 * 6 * 6];
    cp_parameters *p;
    fill(photo, 108, 7);
    check(cp_parameters_create(CP_PARAMETERS_PHOTO, 3, 6, 6, photo, 1, &p));
    const float *image = cp_parameters_image(p);
    for (size_t i = 0; i < 108; i++)
        assert_true(fabsf(image[i] - photo[i]) < 1.f / 500);
    cp_parameters_free(p);
}

/* The spectrum of planes: back and forth, and <A x, y> = <x, A* y>. */
static void spectra(void **state)
{
    (void)state;
    for (size_t h = 5; h <= 8; h++)
        for (size_t w = 6; w <= 9; w++) {
            float plane[72], back[72], half[90], random[90], adjoint[90], there[72];
            cp_spectrum *s;
            check(cp_spectrum_create(h, w, &s));
            size_t halves = 2 * h * cp_spectrum_columns(s);
            fill(plane, h * w, h * 10 + w);
            fill(random, halves, w);
            cp_spectrum_of(s, plane, half);
            cp_spectrum_to_plane(s, half, back);
            for (size_t i = 0; i < h * w; i++)
                assert_true(fabsf(back[i] - plane[i]) < 1e-5f);
            cp_spectrum_to_plane(s, random, there);
            cp_spectrum_adjoint(s, plane, adjoint);
            assert_true(fabs(dot(there, plane, h * w) - dot(random, adjoint, halves)) < 1e-5);
            cp_spectrum_free(s);
        }
}

/* MACO moves phases alone: the spectrum of the plane behind colours and sigmoid stays what was given, up to one factor. */
static void maco_keeps_the_spectrum(void **state)
{
    (void)state;
    enum { H = 16, W = 12, COLUMNS = W / 2 + 1 };
    float photo[H * W], given[H * COLUMNS], plane[H * W], half[2 * H * COLUMNS];
    double sum[H * COLUMNS] = {0}, scale = 0;
    cp_parameters *p;
    cp_spectrum *s;
    fill(photo, H * W, 8);
    check(cp_parameters_add_magnitudes(photo, 1, H, W, sum));
    for (size_t i = 0; i < H * COLUMNS; i++)
        given[i] = (float)sum[i];
    check(cp_parameters_create(CP_PARAMETERS_MACO, 1, H, W, given, 9, &p));
    const float *image = cp_parameters_image(p);
    for (size_t i = 0; i < H * W; i++)
        plane[i] = logf(image[i] / (1 - image[i]));
    check(cp_spectrum_create(H, W, &s));
    cp_spectrum_of(s, plane, half);
    for (size_t i = 1; i < H * COLUMNS; i++) /* not the mean, which is taken off */
        scale += hypot(half[2 * i], half[2 * i + 1]) / given[i] / (H * COLUMNS - 1);
    for (size_t i = 1; i < H * COLUMNS; i++)
        assert_true(fabs(hypot(half[2 * i], half[2 * i + 1]) / (scale * given[i]) - 1) < 1e-4);
    cp_spectrum_free(s);
    cp_parameters_free(p);
}

static void views_and_their_adjoint(void **state)
{
    (void)state;
    enum { N = 3 * 24 * 30 };
    static float image[N], view[N], weight[N], back[N], grey[N];
    uint64_t seed = 11;
    fill(image, N, 12);
    fill(weight, N, 13);
    for (cp_views kind = CP_VIEWS_ONE; kind <= CP_VIEWS_CROPS; kind++) {
        cp_view v = cp_view_draw(kind, 24, 30, &seed);
        memset(back, 0, sizeof back);
        cp_view_take(&v, image, 3, 24, 30, view);
        cp_view_add_gradient(&v, weight, 3, 24, 30, back);
        /* affine in the image: what a black one gives is taken off */
        memset(grey, 0, sizeof grey);
        static float black[N];
        cp_view_take(&v, grey, 3, 24, 30, black);
        for (size_t i = 0; i < N; i++)
            view[i] -= black[i];
        double there = dot(view, weight, N), adjoint = dot(image, back, N);
        assert_true(fabs(there - adjoint) < 1e-3 * fabs(there));
        if (kind == CP_VIEWS_ONE)
            assert_true(correlation(view, image, N) > .99999);
    }
}

/* One filter over the whole input, a bright disc: what answers most strongly is that filter. */
static void planted_filter_comes_back(void **state)
{
    (void)state;
    enum { SIDE = 12, N = 3 * SIDE * SIDE };
    static const char cfg[] = "[net]\nwidth=12\nheight=12\nchannels=3\n[convolutional]\nfilters=1\nsize=12\nstride=1\npad=0\n"
                              "activation=leaky\n[connected]\noutput=2\nactivation=linear\n[softmax]\n";
    float weights[1 + N + 2 + 2] = {[0] = 1, [1 + N + 2] = 1, [1 + N + 3] = -1}, *filter = weights + 1;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < SIDE * SIDE; i++) {
            double x = i % SIDE - 5.2, y = i / SIDE - 6.1;
            filter[k * SIDE * SIDE + i] = (x * x + y * y < 16 ? .5f : -.5f);
        }
    tiny_net net;
    tiny_open(&net, cfg, weights, sizeof weights / sizeof *weights);
    for (cp_parameterisation kind = CP_PARAMETERS_PIXELS; kind <= CP_PARAMETERS_FOURIER; kind++) {
        cp_objective objective = {.layer = 0, .first = 0, .count = 1};
        cp_decode_options options = {.settings = cp_decode_defaults(kind, true), .seed = 1};
        options.settings.views = CP_VIEWS_ONE;
        options.settings.iters = 100;
        float image[N];
        cp_decode_report report;
        check(cp_decode_image(net.model, &objective, &options, image, NULL, &report));
        double found = correlation(image, filter, N);
        if (found < .9)
            fail_msg("parameterisation %d: correlation %g with the filter", kind, found);
        assert_true(report.last > report.first && report.rising >= .8);
    }
    tiny_close(&net);
}

/* The zeroed network of a path is what answers; the same seed gives the same bytes at any number of threads. */
static void paths_and_threads(void **state)
{
    (void)state;
    enum { N = 3 * 16 * 16 };
    const ref_layer layers[] = {CONV(6, 3, 1, 1, REF_LEAKY), POOL(2, 2, 1), CONV(8, 3, 1, 1, REF_LEAKY), FULL(4, REF_LINEAR), SOFTMAX};
    pair p;
    pair_open(&p, 3, 16, 16, layers, 5, 31, true);
    cp_response response;
    check(cp_response_class(p.model, 2, &response));
    float *score = calloc(p.neurons, sizeof *score), image[3][N], clear[16 * 16];
    cp_path *path;
    cp_selection selection;
    check(cp_score_mct(p.frame, 0, &response, false, score));
    check(cp_path_create(p.model, &path));
    check(cp_path_select(path, score, .8, 0, &selection));
    cp_objective objective = {.response = &response};
    for (int run = 0; run < 3; run++) {
        cp_decode_options options = {.settings = cp_decode_defaults(CP_PARAMETERS_FOURIER, false), .seed = 7, .path = path};
        options.settings.iters = 30;
        options.settings.per_step = 3;
        options.settings.noise = .01;
        cp_decode_report report;
        cp_set_threads(run ? 2 : 1);
        if (run == 2)
            options.path = NULL;
        check(cp_decode_image(p.model, &objective, &options, image[run], clear, &report));
        assert_true(report.last > report.first && report.rising > .5);
        assert_true(dot(clear, clear, 256) > 0);
    }
    cp_set_threads(0);
    assert_memory_equal(image[0], image[1], sizeof image[0]);
    assert_memory_not_equal(image[0], image[2], sizeof image[0]);
    /* What was made for the path answers more strongly in the path's network than what was made for the whole one. */
    const cp_path *one[] = {path};
    float map[N];
    double own, other;
    check(cp_map_zeroed(p.model, image[0], &response, one, 1, map, &own));
    check(cp_map_zeroed(p.model, image[2], &response, one, 1, map, &other));
    assert_true(own > other);
    cp_path_free(path);
    free(score);
    pair_close(&p);
}

/* A channel that is dead on any grey image is woken by its pre-activation. */
static void dead_channels_wake(void **state)
{
    (void)state;
    static const char cfg[] = "[net]\nwidth=6\nheight=6\nchannels=1\n[convolutional]\nfilters=1\nsize=3\nstride=1\npad=1\n"
                              "activation=relu\n[connected]\noutput=2\nactivation=linear\n[softmax]\n";
    float weights[1 + 9 + 2 + 72] = {-1, 1, 1, 1, 1, -8, 1, 1, 1, 1, 0, 0, 1};
    tiny_net net;
    tiny_open(&net, cfg, weights, sizeof weights / sizeof *weights);
    cp_objective objective = {.layer = 0, .first = 0, .count = 36};
    cp_decode_options options = {.settings = cp_decode_defaults(CP_PARAMETERS_PIXELS, true)};
    float image[36];
    cp_decode_report report;
    check(cp_decode_image(net.model, &objective, &options, image, NULL, &report));
    assert_true(report.first == 0 && report.last > 0);
    tiny_close(&net);
}

static void accents_stay_near(void **state)
{
    (void)state;
    enum { N = 3 * 16 * 16 };
    const ref_layer layers[] = {CONV(6, 3, 1, 1, REF_LEAKY), FULL(4, REF_LINEAR), SOFTMAX};
    pair p;
    pair_open(&p, 3, 16, 16, layers, 3, 41, true);
    cp_response response;
    check(cp_response_class(p.model, 1, &response));
    cp_objective objective = {.response = &response};
    float photo[N], image[N];
    double moved[2];
    fill(photo, N, 42);
    for (int run = 0; run < 2; run++) {
        cp_decode_options options = {.settings = cp_decode_defaults(CP_PARAMETERS_PHOTO, true), .given = photo, .keep = run ? 200 : 0};
        cp_decode_report report;
        check(cp_decode_image(p.model, &objective, &options, image, NULL, &report));
        assert_true(report.last > report.first);
        moved[run] = 0;
        for (size_t i = 0; i < N; i++)
            moved[run] += pow(image[i] - photo[i], 2);
    }
    assert_true(moved[1] < .5 * moved[0]);
    pair_close(&p);
}

static void bad_settings(void **state)
{
    (void)state;
    tiny_net net;
    TINY_OPEN(&net);
    cp_response response;
    check(cp_response_class(net.model, 0, &response));
    cp_objective objective = {.response = &response};
    cp_decode_options options = {.settings = cp_decode_defaults(CP_PARAMETERS_PIXELS, false)};
    float image[1024];
    options.settings.iters = 0;
    assert_int_equal(cp_decode_image(net.model, &objective, &options, image, NULL, NULL), CP_EINPUT);
    options.settings.iters = 1;
    options.settings.rate = NAN;
    assert_int_equal(cp_decode_image(net.model, &objective, &options, image, NULL, NULL), CP_EINPUT);
    options.settings.rate = 1;
    objective = (cp_objective){.layer = 0, .first = 0, .count = 100000};
    assert_int_equal(cp_decode_image(net.model, &objective, &options, image, NULL, NULL), CP_EINPUT);
    tiny_close(&net);
}

static void samples_in_order(void **state)
{
    (void)state;
    cp_sample best[3];
    size_t n = 0;
    const double share[] = {.2, .5, .2, .1, .9, .5};
    const size_t expected[] = {4, 1, 5}; /* equal ones as they came */
    for (size_t i = 0; i < 6; i++)
        cp_sample_insert(best, 3, &n, (cp_sample){share[i], i, 0, 0});
    assert_int_equal(n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(best[i].line, expected[i]);
}

static void shares_of_channels(void **state)
{
    (void)state;
    const ref_layer layers[] = {CONV(2, 1, 1, 0, REF_RELU), CONV(3, 1, 1, 0, REF_RELU), FULL(2, REF_LINEAR), SOFTMAX};
    pair p;
    pair_open(&p, 1, 2, 2, layers, 4, 51, false);
    float score[8 + 12] = {1, -3, 2, 0, 0, 0, 1, 1, 5, 5, 5, 5};
    double share[5];
    size_t best[5], in_layer;
    int layer;
    assert_int_equal(p.neurons, 20);
    cp_channel_shares(p.model, score, share, best);
    assert_true(fabs(share[0] - 0 / 8.) < 1e-12 && fabs(share[1] - 2 / 8.) < 1e-12);
    assert_true(fabs(share[2] - 1) < 1e-12 && share[3] == 0 && share[4] == 0);
    assert_int_equal(best[0], 2);
    assert_int_equal(best[1], 6);
    cp_channel_place(p.model, 3, &layer, &in_layer);
    assert_int_equal(layer, 1);
    assert_int_equal(in_layer, 1);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_parameters), cmocka_unit_test(photo_stays_photo), cmocka_unit_test(spectra),
        cmocka_unit_test(maco_keeps_the_spectrum), cmocka_unit_test(views_and_their_adjoint),
        cmocka_unit_test(planted_filter_comes_back), cmocka_unit_test(paths_and_threads), cmocka_unit_test(dead_channels_wake), cmocka_unit_test(accents_stay_near),
        cmocka_unit_test(bad_settings), cmocka_unit_test(samples_in_order), cmocka_unit_test(shares_of_channels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
