/* [pathmask] inside Darknet's own networks: values and gradients against differences, gates against steps computed by
 * hand, weights, resizing, and sections that are wrong. The networks are linear, so one difference is exact. */
#define _GNU_SOURCE /* asprintf */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/npz.h"
#include "train/pathmask.h"

/* Darknet's, in headers of its sources only */
list *make_list(void);
void option_insert(list *l, char *key, char *val);
void free_list_contents(list *l);

enum { C = 3, H = 4, W = 5, N = C * H * W, BATCH = 2, INPUT = 2 * H * W };

static char folder[] = P_tmpdir "/pathmask_XXXXXX";
static bool bits[N], channel_bits[C];
static float constants[N], gates[N], channel_gates[C], bad_gates[N];

static const char *in_folder(const char *name)
{
    static char path[4][64];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

static void write_array(const char *name, const char *layer, cp_dtype dtype, size_t c, size_t h, size_t w,
                        const void *data)
{
    cp_npz_writer *writer;
    cp_array_type type = cp_array_chw(dtype, c, h, w);
    assert_int_equal(cp_npz_create(in_folder(name), false, &writer), CP_OK);
    assert_int_equal(cp_npz_add(writer, layer, &type, data), CP_OK);
    assert_int_equal(cp_npz_commit(&writer), CP_OK);
}

static int set_up(void **state)
{
    (void)state;
    srand(11);
    parse_pathmask = cp_pathmask_parse;
    resize_pathmask = cp_pathmask_resize;
    if (!mkdtemp(folder)) return 1;
    for (int i = 0; i < N; ++i) {
        bits[i] = i % 3 != 1;
        constants[i] = rand_uniform(-1, 1);
        gates[i] = i % 7 ? rand_uniform(.2, 2) : 0;
        bad_gates[i] = i == 17 ? -1 : 1;
    }
    for (int i = 0; i < C; ++i) {
        channel_bits[i] = i != 1;
        channel_gates[i] = i + .5f;
    }
    bool ones[N];
    memset(ones, true, sizeof ones);
    write_array("ones.npz", "a", CP_BOOL, C, H, W, ones);
    write_array("bits.npz", "a", CP_BOOL, C, H, W, bits);
    write_array("channels.npz", "a", CP_BOOL, C, 1, 1, channel_bits);
    write_array("constants.npz", "a", CP_FLOAT32, C, H, W, constants);
    write_array("channel-constants.npz", "a", CP_FLOAT32, C, 1, 1, constants);
    write_array("gates.npz", "a", CP_FLOAT32, C, H, W, gates);
    write_array("channel-gates.npz", "a", CP_FLOAT32, C, 1, 1, channel_gates);
    write_array("bad-gates.npz", "a", CP_FLOAT32, C, H, W, bad_gates);
    write_array("turned.npz", "a", CP_BOOL, C, W, H, bits);
    bad_gates[17] = NAN;
    write_array("nan-gates.npz", "a", CP_FLOAT32, C, H, W, bad_gates);
    FILE *from = fopen(in_folder("bits.npz"), "rb"), *to = fopen(in_folder("cut.npz"), "wb");
    char bytes[100];
    return !from || !to || fread(bytes, 1, 100, from) != 100 || fwrite(bytes, 1, 100, to) != 100 || fclose(from) ||
           fclose(to);
}

static int tear_down(void **state)
{
    (void)state;
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* `mask` is a printf format of the section's keys, in which every %s is the folder. */
static network *parse(int batch, const char *before, const char *mask, const char *after)
{
    char path[64], *text, *keys;
    assert_true(asprintf(&keys, mask, folder, folder) > 0);
    assert_true(asprintf(&text, "[net]\nbatch=%d\nwidth=5\nheight=4\nchannels=2\nlearning_rate=.1\nmomentum=.5\n"
                         "decay=0\npolicy=constant\n%s%s%s", batch, before, keys, after) > 0);
    snprintf(path, sizeof path, "%s", in_folder("net.cfg"));
    FILE *file = fopen(path, "w");
    assert_true(file && fputs(text, file) >= 0 && fclose(file) == 0);
    free(keys);
    free(text);
    return parse_network_cfg(path);
}

/* With what Darknet's own free_network leaves behind. */
static void release(network *net)
{
    free(net->seen);
    free(net->t);
    free(net->cost);
    free(net->workspace);
    free_network(net);
}

#define CONV(filters, size) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=linear\n"
#define FROZEN_KEYS "[pathmask]\nfile=%s/bits.npz\nlayer=a\nmode=frozen\noff=%s/constants.npz\n"
#define ZERO_KEYS "[pathmask]\nfile=%s/bits.npz\nlayer=a\nmode=zero\n"
#define GATE_KEYS "[pathmask]\nfile=%s/gates.npz\nlayer=a\nmode=gate\n"
#define CHANNEL_GATE_KEYS "[pathmask]\nfile=%s/channel-gates.npz\nlayer=a\nmode=gate\n"

/* ---------------------------------------------------------------- forward */

static void test_values(void **state)
{
    (void)state;
    const char *const keys[] = {FROZEN_KEYS, ZERO_KEYS, GATE_KEYS, CHANNEL_GATE_KEYS,
                                "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=zero\n",
                                "[pathmask]\nfile=%s/bits.npz\nlayer=a\nmode=gate\ninit=.25\n",
                                "[pathmask]\nmode=gate\ninit=3\n"};
    for (int k = 0; k < 7; ++k) {
        network *net = parse(BATCH, CONV(3, 3), keys[k], "");
        for (int i = 0; i < BATCH * INPUT; ++i) net->input[i] = rand_uniform(-1, 1);
        for (int train = 0; train < 2; ++train) {
            net->train = train;
            forward_network(net);
            const float *in = net->layers[0].output, *out = net->layers[1].output;
            for (int i = 0; i < BATCH * N; ++i) {
                int j = i % N, c = j / (H * W);
                float expected = k == 0   ? bits[j] ? in[i] : constants[j]
                                 : k == 1 ? bits[j] ? in[i] : 0
                                 : k == 2 ? gates[j] * in[i]
                                 : k == 3 ? channel_gates[c] * in[i]
                                 : k == 4 ? channel_bits[c] ? in[i] : 0
                                 : k == 5 ? bits[j] ? .25f * in[i] : 0 * in[i]
                                          : 3 * in[i];
                assert_true(out[i] == expected);
            }
        }
        release(net);
    }
}

static void test_off_path_is_replaced_whatever_it_was(void **state)
{
    (void)state;
    network *net = parse(1, CONV(3, 3), ZERO_KEYS, "");
    layer mask = net->layers[1];
    float in[N];
    for (int i = 0; i < N; ++i) in[i] = bits[i] ? -0.f : NAN;
    network view = *net;
    view.input = in;
    mask.forward(mask, view);
    for (int i = 0; i < N; ++i) {
        assert_true(mask.output[i] == 0);
        assert_int_equal(signbit(mask.output[i]) != 0, bits[i]);
    }
    release(net);
}

/* ---------------------------------------------------------------- backward */

static double sum_of_outputs(network *net)
{
    double sum = 0;
    forward_network(net);
    layer last = net->layers[net->n - 1];
    for (int i = 0; i < last.outputs * last.batch; ++i) sum += (i % 5 - 1.7) * last.output[i];
    return sum;
}

/* Gradients of the weighted sum by the input, which goes through the mask and around it, and by the gates. */
static void check_gradients(const char *keys, bool learns)
{
    network *net = parse(BATCH, CONV(3, 3), keys, CONV(3, 1) "[shortcut]\nfrom=-3\nactivation=linear\n" CONV(2, 3));
    float *input = net->input, gradient[BATCH * INPUT] = {0};
    for (int i = 0; i < BATCH * INPUT; ++i) input[i] = rand_uniform(-1, 1);
    double at = sum_of_outputs(net), largest = 0;
    layer last = net->layers[net->n - 1], mask = net->layers[1];
    for (int i = 0; i < last.outputs * last.batch; ++i) last.delta[i] = i % 5 - 1.7;
    net->delta = gradient;
    backward_network(net);
    net->delta = NULL;
    for (int i = 0; i < BATCH * INPUT; ++i) {
        float kept = input[i];
        input[i] = kept + 1;
        double expected = sum_of_outputs(net) - at;
        input[i] = kept;
        assert_true(fabs(gradient[i] - expected) < 2e-4);
        largest = fmax(largest, fabs(expected));
    }
    assert_true(largest > .1);
    assert_int_equal(mask.update != NULL, learns);
    for (int g = 0; learns && g < mask.n; ++g) {
        double expected = 0;
        for (int side = -1; side <= 1; side += 2) {
            for (int i = 0; i < N; ++i) mask.x[i] = mask.scales[i / (N / mask.n)] + side * (i / (N / mask.n) == g);
            expected += side * sum_of_outputs(net) / 2;
        }
        assert_true(fabs(mask.scale_updates[g] - expected) < 2e-4 * (1 + fabs(expected)));
        largest = fmax(largest, fabs(expected));
    }
    release(net);
}

static void test_gradient_frozen(void **state) { (void)state; check_gradients(FROZEN_KEYS, false); }
static void test_gradient_zero(void **state) { (void)state; check_gradients(ZERO_KEYS, false); }
static void test_gradient_gate(void **state)
{
    (void)state;
    check_gradients(GATE_KEYS, true);
    check_gradients(CHANNEL_GATE_KEYS, true);
}

/* ---------------------------------------------------------------- learning */

/* Two steps, gates by channel: u = gradient - lambda * batch (no lambda at 0), e = e + rate / batch * u kept in [0,
 * clamp], u *= momentum. */
static void test_gates_learn(void **state)
{
    (void)state;
    network *net = parse(BATCH, CONV(3, 3), "[pathmask]\nfile=%s/channel-gates.npz\nlayer=a\nmode=gate\nlambda=.25\n"
                         "clamp=2.45\n", "");
    layer mask = net->layers[1];
    const update_args a = {.batch = BATCH, .learning_rate = .1f, .momentum = .5f, .decay = .3f};
    mask.scale_updates[0] = 4;   /* e .5 + .05 * (4 - .5) = .675; u 1.75 */
    mask.scale_updates[1] = -60; /* e 1.5 - .05 * 60.5 < 0: 0; u -30.25 */
    mask.scale_updates[2] = 0;   /* e 2.5 - .05 * .5 = 2.475, above the clamp; u -.25 */
    mask.update(mask, a);
    const float once[C] = {.675f, 0, 2.45f};
    for (int i = 0; i < N; ++i) assert_true(fabsf(mask.x[i] - once[i / (H * W)]) < 1e-6);
    mask.scale_updates[1] += 40.25f; /* u 10: e .5, then u 5 */
    mask.update(mask, a);
    const float twice[C] = {.675f + .05f * 1.25f, .5f, 2.45f - .05f * .75f};
    for (int i = 0; i < N; ++i) assert_true(fabsf(mask.x[i] - twice[i / (H * W)]) < 1e-6);
    assert_true(fabsf(mask.scale_updates[1] - 5) < 1e-5);
    release(net);
}

/* Darknet's own training: filters off the path stay as they were, the others move, in the two modes without gates. */
static void test_training_leaves_off_path_filters(void **state)
{
    (void)state;
    const char *const keys[] = {
        "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=zero\n",
        "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=frozen\noff=%s/channel-constants.npz\n"};
    for (int k = 0; k < 2; ++k) {
        network *net = parse(BATCH, CONV(3, 3), keys[k], CONV(2, 3) "[cost]\ntype=sse\n");
        layer conv = net->layers[0];
        float before[C * 18];
        memcpy(before, conv.weights, sizeof before);
        for (int step = 0; step < 3; ++step) {
            for (int i = 0; i < BATCH * INPUT; ++i) net->input[i] = rand_uniform(-1, 1);
            for (int i = 0; i < BATCH * net->truths; ++i) net->truth[i] = rand_uniform(-1, 1);
            train_network_datum(net);
        }
        for (int i = 0; i < C * 18; ++i) assert_int_equal(conv.weights[i] == before[i], !channel_bits[i / 18]);
        release(net);
    }
}

static void test_weights_do_not_know_the_mask(void **state)
{
    (void)state;
    network *plain = parse(1, CONV(3, 3), "[activation]\nactivation=leaky\n", CONV(4, 3));
    network *masked = parse(1, CONV(3, 3) "[activation]\nactivation=leaky\n",
                            "[pathmask]\nfile=%s/ones.npz\nlayer=a\nmode=zero\n", CONV(4, 3));
    float input[INPUT];
    for (int i = 0; i < INPUT; ++i) input[i] = rand_uniform(-1, 1);
    save_weights(plain, (char *)in_folder("plain.weights"));
    load_weights(masked, (char *)in_folder("plain.weights"));
    const float *expected = network_predict(plain, input), *got = network_predict(masked, input);
    assert_memory_equal(got, expected, plain->outputs * sizeof *got);
    save_weights(masked, (char *)in_folder("masked.weights"));
    FILE *a = fopen(in_folder("plain.weights"), "rb"), *b = fopen(in_folder("masked.weights"), "rb");
    char bytes[2][4096];
    size_t n = fread(bytes[0], 1, 4096, a), m = fread(bytes[1], 1, 4096, b);
    assert_int_equal(n, m);
    assert_true(n > 200);
    assert_memory_equal(bytes[0], bytes[1], n);
    fclose(a);
    fclose(b);
    release(plain);
    release(masked);
}

/* ---------------------------------------------------------------- gates to files */

static void check_array(const char *file, const char *name, size_t c, size_t h, size_t w, const float *expected)
{
    float values[N];
    cp_npz *npz;
    size_t at;
    cp_array_type type = cp_array_chw(CP_FLOAT32, c, h, w);
    assert_int_equal(cp_npz_open(file, &npz), CP_OK);
    assert_true(cp_npz_find(npz, name, &at));
    assert_int_equal(cp_npz_read(npz, at, &type, values), CP_OK);
    assert_memory_equal(values, expected, c * h * w * sizeof *values);
    cp_npz_close(npz);
}

/* Two sections in one file, by neuron and by channel; a third has its own. They go on from there. */
static void test_gates_are_saved(void **state)
{
    (void)state;
    const char *const sections = "[pathmask]\nfile=%s/gates.npz\nlayer=a\nmode=gate\nsave=%s/trained.npz\n";
    char after[400];
    snprintf(after, sizeof after, "[pathmask]\nmode=gate\nlayer=b\ngranularity=channel\nsave=%s/trained.npz\n"
             CONV(2, 3) "[pathmask]\nmode=gate\nlayer=a\nsave=%s/other.npz\n", folder, folder);
    network *net = parse(BATCH, CONV(3, 3), sections, after);
    assert_int_equal(cp_pathmask_save(net), CP_OK); /* not trained: nothing to say */
    assert_int_equal(access(in_folder("trained.npz"), F_OK), -1);
    assert_int_equal(net->layers[2].n, C);
    layer a = net->layers[1], b = net->layers[2], other = net->layers[4];
    const update_args args = {.batch = BATCH, .learning_rate = .1f, .momentum = .5f};
    for (int i = 0; i < a.n; ++i) a.scale_updates[i] = rand_uniform(-1, 1);
    for (int i = 0; i < b.n; ++i) b.scale_updates[i] = rand_uniform(-1, 1);
    a.update(a, args);
    b.update(b, args);
    assert_int_equal(cp_pathmask_save(net), CP_OK);
    check_array(in_folder("trained.npz"), "a", C, H, W, a.scales);
    check_array(in_folder("trained.npz"), "b", C, 1, 1, b.scales);
    assert_int_equal(access(in_folder("other.npz"), F_OK), -1);
    other.update(other, args);
    assert_int_equal(cp_pathmask_save(net), CP_OK);
    check_array(in_folder("other.npz"), "a", 2, H, W, other.scales);

    network *next = parse(BATCH, CONV(3, 3), "[pathmask]\nfile=%s/trained.npz\nlayer=a\nmode=gate\n"
                          "[pathmask]\nfile=%s/trained.npz\nlayer=b\nmode=gate\n", "");
    assert_memory_equal(next->layers[1].scales, a.scales, a.n * sizeof *a.scales);
    assert_int_equal(next->layers[2].n, C);
    assert_memory_equal(next->layers[2].scales, b.scales, C * sizeof *b.scales);
    release(next);
    release(net);

    snprintf(after, sizeof after, "[pathmask]\nmode=gate\nlayer=a\nsave=%s/trained.npz\n", folder);
    net = parse(BATCH, CONV(3, 3), sections, after);
    net->layers[1].update(net->layers[1], args);
    assert_int_equal(cp_pathmask_save(net), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "layers 1 and 2 would both write a"));
    release(net);
}

static void test_gates_set(void **state)
{
    (void)state;
    network *net = parse(1, CONV(3, 3), CHANNEL_GATE_KEYS, "");
    layer *mask = &net->layers[1];
    const float set[C] = {2, 0, .125f};
    mask->scale_updates[1] = 7;
    cp_pathmask_set_gates(mask, set);
    for (int i = 0; i < N; ++i) assert_true(mask->x[i] == set[i / (H * W)]);
    assert_true(mask->scale_updates[1] == 0);
    release(net);
}

/* ---------------------------------------------------------------- another size, wrong sections */

static void test_another_size(void **state)
{
    (void)state;
    network *net = parse(BATCH, CONV(3, 3), "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=frozen\n"
                         "off=%s/channel-constants.npz\n", CONV(2, 3));
    resize_network(net, 8, 6);
    for (int i = 0; i < BATCH * 2 * 8 * 6; ++i) net->input[i] = rand_uniform(-1, 1);
    forward_network(net);
    for (int i = 0; i < BATCH * C * 48; ++i) {
        int c = i / 48 % C;
        assert_true(net->layers[1].output[i] == (channel_bits[c] ? net->layers[0].output[i] : constants[c]));
    }
    assert_int_equal(net->layers[2].out_w, 8);
    release(net);

    const char *const keys[] = {ZERO_KEYS, "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=frozen\n"
                                "off=%s/constants.npz\n"};
    for (int k = 0; k < 2; ++k) {
        net = parse(1, CONV(3, 3), keys[k], "");
        layer mask = net->layers[1];
        assert_int_equal(cp_pathmask_fit(&mask, 5, 4), CP_OK);
        assert_int_equal(cp_pathmask_fit(&mask, 8, 6), CP_EINPUT);
        assert_non_null(strstr(cp_error(), "5x4"));
        assert_non_null(strstr(cp_error(), "8x6"));
        release(net);
    }
    net = parse(1, CONV(3, 3), "[pathmask]\nfile=%s/channels.npz\nlayer=a\nmode=zero\n", "");
    assert_int_equal(cp_pathmask_fit(&net->layers[1], 60000, 60000), CP_EINPUT);
    release(net);
}

/* Keys in pairs; file names without the folder. */
static void check_refused(const char *keys, const char *message)
{
    char copy[200], values[8][100], *rest = copy, *pair;
    list *options = make_list();
    layer l;
    int n = 0;
    snprintf(copy, sizeof copy, "%s", keys);
    while ((pair = strsep(&rest, " "))) {
        char *value = strchr(pair, '=');
        *value++ = 0;
        bool is_file = strstr(value, ".npz") != NULL;
        snprintf(values[n], sizeof values[n], "%s", is_file ? in_folder(value) : value);
        option_insert(options, pair, values[n++]);
    }
    cp_status status = cp_pathmask_make(options, 1, W, H, C, N, &l);
    if (status != CP_EINPUT || !strstr(cp_error(), message) || strchr(cp_error(), '\n'))
        fail_msg("%s: status %d, '%s'", keys, status, cp_error());
    free_list_contents(options);
    free_list(options);
}

static void test_wrong_sections(void **state)
{
    (void)state;
    check_refused("file=bits.npz layer=a", "mode= is missing");
    check_refused("file=bits.npz layer=a mode=freeze", "mode=freeze is unknown, allowed is frozen, zero or gate");
    check_refused("layer=a mode=zero", "mode=zero needs file=");
    check_refused("file=bits.npz mode=zero", "layer= is missing");
    check_refused("file=bits.npz layer=a mode=frozen", "mode=frozen needs off=");
    check_refused("file=bits.npz layer=a mode=zero off=constants.npz", "off= goes with mode=frozen");
    check_refused("file=bits.npz layer=a mode=zero lambda=.1", "lambda= goes with mode=gate");
    check_refused("file=bits.npz layer=a mode=zero init=1", "init= goes with mode=gate");
    check_refused("mode=gate lambda=-1", "lambda=-1, allowed");
    check_refused("mode=gate lambda=nan", "lambda=nan, allowed");
    check_refused("mode=gate init=1x", "init=1x, allowed");
    check_refused("mode=gate clamp=0", "clamp=0, allowed");
    check_refused("file=bits.npz layer=a mode=zero clamp=1", "clamp= goes with mode=gate");
    check_refused("file=bits.npz layer=a mode=zero save=x.npz", "save= goes with mode=gate");
    check_refused("file=bits.npz layer=a mode=zero granularity=channel", "granularity= goes with mode=gate");
    check_refused("mode=gate granularity=layer", "granularity=layer is unknown, allowed is neuron or channel");
    check_refused("file=gates.npz layer=a mode=gate granularity=channel", "granularity= goes without file=");
    check_refused("mode=gate save=x.npz", "save= needs layer=");
    check_refused("mode=gate layer=a save=absent/x.npz", "absent/: No such file");
    check_refused("mode=gate layer=a save=net.cfg/x.npz", "net.cfg/: Not a directory");
    check_refused("mode=gate layer=a save=/tmp/", "save=/tmp/ is a folder");
    check_refused("file=absent.npz layer=a mode=zero", "absent.npz");
    check_refused("file=cut.npz layer=a mode=zero", "cut.npz");
    check_refused("file=net.npz/ layer=a mode=zero", "net.npz/");
    check_refused("file=bits.npz layer=b mode=zero", "has no array 'b'; its first is a");
    check_refused("file=turned.npz layer=a mode=zero", "bool (3, 5, 4), the layer before is (3, 4, 5)");
    check_refused("file=gates.npz layer=a mode=zero", "float32 (3, 4, 5), needed is bool");
    check_refused("file=bits.npz layer=a mode=frozen off=bits.npz", "bool (3, 4, 5), needed is float32");
    check_refused("file=bits.npz layer=a mode=frozen off=turned.npz", "the layer before is (3, 4, 5)");
    check_refused("file=bad-gates.npz layer=a mode=gate", "gate 17 is -1");
    check_refused("file=nan-gates.npz layer=a mode=gate", "value 17 is not finite");
}

int main(void)
{
    gpu_index = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_off_path_is_replaced_whatever_it_was),
        cmocka_unit_test(test_gradient_frozen),
        cmocka_unit_test(test_gradient_zero),
        cmocka_unit_test(test_gradient_gate),
        cmocka_unit_test(test_gates_learn),
        cmocka_unit_test(test_training_leaves_off_path_filters),
        cmocka_unit_test(test_weights_do_not_know_the_mask),
        cmocka_unit_test(test_gates_are_saved),
        cmocka_unit_test(test_gates_set),
        cmocka_unit_test(test_another_size),
        cmocka_unit_test(test_wrong_sections),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
