/* [pathmask] on the device against the CPU in its three modes: values, gradients, gates, another size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "io/npz.h"
#include "train/pathmask.h"
#include "twins.h"

enum { C = 4, H = 6, W = 8, N = C * H * W };

static char folder[] = P_tmpdir "/gpu_pathmask_XXXXXX";

static void write_array(const char *name, cp_dtype dtype, size_t h, size_t w, const void *data)
{
    char path[100];
    cp_npz_writer *writer;
    cp_array_type type = cp_array_chw(dtype, C, h, w);
    snprintf(path, sizeof path, "%s/%s.npz", folder, name);
    assert_int_equal(cp_npz_create(path, false, &writer), CP_OK);
    assert_int_equal(cp_npz_add(writer, "a", &type, data), CP_OK);
    assert_int_equal(cp_npz_commit(&writer), CP_OK);
}

static int set_up(void **state)
{
    (void)state;
    bool bits[N];
    float constants[N], gates[N];
    parse_pathmask = cp_pathmask_parse;
    resize_pathmask = cp_pathmask_resize;
    if (!mkdtemp(folder)) return 1;
    for (int i = 0; i < N; ++i) {
        bits[i] = i % 3 != 1;
        constants[i] = sinf((float)i);
        gates[i] = i % 7 ? .2f + i % 5 * .4f : 0;
    }
    write_array("bits", CP_BOOL, H, W, bits);
    write_array("channels", CP_BOOL, 1, 1, bits);
    write_array("constants", CP_FLOAT32, H, W, constants);
    write_array("channel-constants", CP_FLOAT32, 1, 1, constants);
    write_array("gates", CP_FLOAT32, H, W, gates);
    write_array("channel-gates", CP_FLOAT32, 1, 1, gates + 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

#define CONV(filters, size) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=leaky\n"

/* The masked layer is read through the mask and around it. `keys` is a format in which every %s is the folder. */
static twins open_masked(const char *keys)
{
    char mask[300], cfg[1000];
    snprintf(mask, sizeof mask, keys, folder, folder);
    snprintf(cfg, sizeof cfg, "[net]\nbatch=2\nsubdivisions=1\nwidth=8\nheight=6\nchannels=3\nlearning_rate=.05\n"
             "momentum=.5\ndecay=0\npolicy=constant\nmax_batches=100\n%s[pathmask]\n%s%s[shortcut]\nfrom=-3\n"
             "activation=linear\n[avgpool]\n[softmax]\n", CONV(4, 3), mask, CONV(4, 1));
    return twins_open(cfg);
}

static const char *const modes[] = {
    "file=%s/bits.npz\nlayer=a\nmode=frozen\noff=%s/constants.npz\n",
    "file=%s/channels.npz\nlayer=a\nmode=frozen\noff=%s/channel-constants.npz\n",
    "file=%s/bits.npz\nlayer=a\nmode=zero\n",
    "file=%s/gates.npz\nlayer=a\nmode=gate\nlambda=.03\n",
    "file=%s/channel-gates.npz\nlayer=a\nmode=gate\n",
    "mode=gate\ninit=.5\n",
};

static void test_modes(void **state)
{
    (void)state;
    for (int k = 0; k < 6; ++k) {
        char name[20];
        snprintf(name, sizeof name, "mode %d", k);
        twins_now = name;
        twins t = open_masked(modes[k]);
        layer a = t.cpu->layers[1], b = t.gpu->layers[1];
        float start = a.scales[0];
        twins_infer(&t);
        twins_train(&t);
        assert_int_equal(a.n, b.n);
        for (int i = 0; i < a.n; ++i) assert_true(fabsf(a.scales[i] - b.scales[i]) < 1e-4);
        twins_same("gates", 1, b.x_gpu, a.x, N, 1e-4);
        assert_int_equal(a.scales[0] != start, k == 4 || k == 5); /* frozen, zero and a gate of 0 stay */
        twins_close(&t);
    }
}

/* A choice, not a product. */
static void test_off_path_is_replaced_whatever_it_was(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k += 2) {
        twins t = open_masked(modes[k]);
        layer mask = t.gpu->layers[1];
        network view = *t.gpu;
        float in[2 * N], *out;
        for (int i = 0; i < 2 * N; ++i) in[i] = i % N % 3 != 1 ? -0.f : i % 2 ? NAN : INFINITY;
        gpu_index = 0;
        view.input_gpu = cuda_make_array(in, 2 * N);
        mask.forward_gpu(mask, view);
        out = twins_pull(mask.output_gpu, 2 * N);
        for (int i = 0; i < 2 * N; ++i) {
            bool off = i % N % 3 == 1;
            assert_true(out[i] == (off && k == 0 ? sinf((float)(i % N)) : 0));
            if (!off) assert_true(signbit(out[i]));
        }
        free(out);
        cuda_free(view.input_gpu);
        twins_close(&t);
    }
}

static void test_another_size(void **state)
{
    (void)state;
    twins_now = "another size";
    twins t = open_masked(modes[1]);
    t.cpu->n = t.gpu->n = 3; /* Darknet resizes no [softmax] */
    gpu_index = -1;
    resize_network(t.cpu, 10, 4);
    gpu_index = 0;
    resize_network(t.gpu, 10, 4);
    assert_int_equal(t.gpu->layers[1].out_w, 10);
    twins_infer(&t);
    t.cpu->n = t.gpu->n = 6;
    twins_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_off_path_is_replaced_whatever_it_was),
        cmocka_unit_test(test_another_size),
    };
    if (!twins_devices()) return 77;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
