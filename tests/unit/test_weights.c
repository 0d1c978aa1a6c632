/* The check of weights files: sizes, headers, values; on files made here and on real ones where they are. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include <cmocka.h>

#include "io/error.h"
#include "model/weights.h"

/* 3 filters of 2x3x3 with batch norm, then 2 outputs of 3 * 25 inputs. */
static const char small_cfg[] = "[net]\nwidth=5\nheight=5\nchannels=2\n"
                                "[conv]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\n"
                                "[conn]\noutput=2\n[softmax]\n";
enum {
    BIASES = 0, SCALES = 3, MEAN = 6, VARIANCE = 9, WEIGHTS = 12, /* of layer 0 */
    CONN_BIASES = 12 + 54, CONN_WEIGHTS = CONN_BIASES + 2,
    FLOATS = CONN_WEIGHTS + 150
};

static char folder[] = P_tmpdir "/test_weights_XXXXXX";
static char path[sizeof folder + 16];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/w", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static cp_cfg_net *network(const char *text)
{
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    assert_int_equal(cp_cfg_parse("t.cfg", text, strlen(text), &cfg), CP_OK);
    if (cp_cfg_check(cfg, 0, &net) != CP_OK) fail_msg("%s", cp_error());
    cp_cfg_free(cfg);
    return net;
}

static void write_file(const void *header, size_t header_bytes, const void *body, size_t body_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(header, 1, header_bytes, file), header_bytes);
    assert_int_equal(fwrite(body, 1, body_bytes, file), body_bytes);
    assert_int_equal(fclose(file), 0);
}

static const int32_t header[5] = {0, 2, 0, 7, 0};

static void fill(float *floats)
{
    for (int i = 0; i < FLOATS; i++) floats[i] = (float)(i % 7) / 8;
}

static void expect(cp_status status, const cp_cfg_net *net, const char *message)
{
    char wanted[300];
    snprintf(wanted, sizeof wanted, message, path);
    assert_int_equal(cp_weights_check(path, net, "t.cfg", NULL), status);
    assert_string_equal(cp_error(), wanted);
}

static void test_sizes(void **state)
{
    (void)state;
    float floats[FLOATS + 1] = {0};
    fill(floats);
    cp_cfg_net *net = network(small_cfg);
    assert_int_equal(net->n_weights, FLOATS);
    assert_int_equal(cp_weights_bytes(net), 20 + 4 * FLOATS);
    write_file(header, 20, floats, 4 * FLOATS);
    assert_int_equal(cp_weights_check(path, net, "t.cfg", NULL), CP_OK);
    write_file(header, 0, floats, 0);
    expect(CP_EINPUT, net, "weights: %s is empty (0 bytes)");
    write_file(header, 7, floats, 0);
    expect(CP_EINPUT, net, "weights: %s has 7 bytes, t.cfg needs 892");
    write_file(header, 14, floats, 0);
    expect(CP_EINPUT, net, "weights: %s has 14 bytes, t.cfg needs 892");
    write_file(header, 20, floats, 0);
    expect(CP_EINPUT, net, "weights: %s has 20 bytes, t.cfg needs 892");
    write_file(header, 20, floats, 4 * FLOATS - 1);
    expect(CP_EINPUT, net, "weights: %s has 891 bytes, t.cfg needs 892");
    write_file(header, 20, floats, 4 * FLOATS + 1);
    expect(CP_EINPUT, net, "weights: %s has 893 bytes, t.cfg needs 892");
    /* Version 0.1 has 4 bytes fewer. */
    static const int32_t old[4] = {0, 1, 0, 7};
    write_file(old, 16, floats, 4 * FLOATS + 4);
    expect(CP_EINPUT, net, "weights: %s has 892 bytes, t.cfg needs 888");
    unlink(path);
    expect(CP_EINPUT, net, "weights: cannot open %s: No such file or directory");
    assert_int_equal(mkdir(path, 0700), 0);
    expect(CP_EINPUT, net, "weights: %s is a folder, a regular file is needed");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect(CP_EINPUT, net, "weights: %s is a pipe, a regular file is needed");
    unlink(path);
    cp_cfg_net_free(net);
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        int32_t words[5];
        size_t bytes;
        bool transposed;
        uint64_t seen;
    } good[] = {
        {{0, 1, 0, 7, 0}, 16, false, 7},
        {{0, 2, 0, 7, 1}, 20, false, (1ULL << 32) + 7},
        {{1, 0, 0, 7, 0}, 20, false, 7},
        {{0, 999, 0, 7, 0}, 20, false, 7},
        {{0, 1000, 0, 7, 0}, 16, false, 7},
        {{0, 1001, 0, 7, 0}, 16, true, 7},
        {{0x3a83126f, 0x3f666666, 0x3a03126f, 7, 0}, 16, true, 7}, /* learning rate, momentum, decay */
        {{INT32_MAX, INT32_MAX, 0, 7, 0}, 16, true, 7},
    };
    float floats[FLOATS];
    fill(floats);
    cp_cfg_net *net = network(small_cfg);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cp_weights_info info;
        write_file(good[i].words, good[i].bytes, floats, sizeof floats);
        if (cp_weights_check(path, net, "t.cfg", &info) != CP_OK) fail_msg("case %zu: %s", i, cp_error());
        assert_int_equal(info.header_bytes, good[i].bytes);
        assert_int_equal(info.bytes, good[i].bytes + sizeof floats);
        assert_int_equal(info.transposed, good[i].transposed);
        assert_int_equal(info.seen, good[i].seen);
        assert_int_equal(info.minor, good[i].words[1]);
    }
    static const int32_t negative[4] = {-5, 0, 0, 7};
    write_file(negative, 16, floats, sizeof floats);
    expect(CP_EINPUT, net, "weights: %s has version -5.0 in its header, 0.0 or later is needed");
    cp_cfg_net_free(net);
}

typedef struct {
    int at;
    float value;
    const char *message; /* NULL: fine */
} value_case;

static void check_values(const cp_cfg_net *net)
{
    static const value_case cases[] = {
        {BIASES + 1, NAN, "weights: %s: layer 0 [convolutional]: biases 1 of 3 is NaN, a finite number is needed"},
        {SCALES + 2, INFINITY,
         "weights: %s: layer 0 [convolutional]: scales 2 of 3 is infinity, a finite number is needed"},
        {MEAN, -INFINITY,
         "weights: %s: layer 0 [convolutional]: rolling_mean 0 of 3 is -infinity, a finite number is needed"},
        {VARIANCE + 2, NAN,
         "weights: %s: layer 0 [convolutional]: rolling_variance 2 of 3 is NaN, a finite number is needed"},
        {WEIGHTS + 53, NAN, "weights: %s: layer 0 [convolutional]: weights 53 of 54 is NaN, a finite number is needed"},
        {CONN_BIASES, INFINITY,
         "weights: %s: layer 1 [connected]: biases 0 of 2 is infinity, a finite number is needed"},
        {CONN_WEIGHTS + 149, NAN,
         "weights: %s: layer 1 [connected]: weights 149 of 150 is NaN, a finite number is needed"},
        {VARIANCE + 1, -0.5f,
         "weights: %s: layer 0 [convolutional]: rolling_variance 1 of 3 is -0.5, at least 0 is needed"},
        {VARIANCE, -1e-30f,
         "weights: %s: layer 0 [convolutional]: rolling_variance 0 of 3 is -1e-30, at least 0 is needed"},
        {VARIANCE, -9.9e-31f, NULL},
        {VARIANCE, -7e-44f, NULL},
        {VARIANCE, -0.0f, NULL},
        {VARIANCE, 7e-44f, NULL},
        {MEAN, -7e-44f, NULL},
        {WEIGHTS, -3e38f, NULL},
    };
    float floats[FLOATS];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill(floats);
        floats[cases[i].at] = cases[i].value;
        write_file(header, 20, floats, sizeof floats);
        if (cases[i].message) {
            expect(CP_EINPUT, net, cases[i].message);
            continue;
        }
        cp_weights_info info;
        if (cp_weights_check(path, net, "t.cfg", &info) != CP_OK) fail_msg("case %zu: %s", i, cp_error());
        bool tiny = cases[i].at == VARIANCE && (i == 9 || i == 10);
        assert_int_equal(info.tiny_negative_variances, tiny ? 1 : 0);
    }
}

static void test_values(void **state)
{
    (void)state;
    cp_cfg_net *net = network(small_cfg);
    check_values(net);
    cp_cfg_net_free(net);
}

/* Darknet's -Ofast link makes denormals zero in the whole process. */
static void test_values_with_denormals_off(void **state)
{
    (void)state;
#ifdef __SSE__
    cp_cfg_net *net = network(small_cfg);
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ and DAZ */
    check_values(net);
    _mm_setcsr(mode);
    cp_cfg_net_free(net);
#else
    skip();
#endif
}

/* More than one read: 600 * 600 weights, the last of them bad. */
static void test_long_arrays(void **state)
{
    (void)state;
    size_t n = 600 + 600 * 600;
    float *floats = calloc(n, sizeof *floats);
    assert_non_null(floats);
    cp_cfg_net *net = network("[net]\ninputs=600\n[conn]\noutput=600\n");
    write_file(header, 20, floats, n * sizeof *floats);
    assert_int_equal(cp_weights_check(path, net, "t.cfg", NULL), CP_OK);
    floats[n - 1] = NAN;
    write_file(header, 20, floats, n * sizeof *floats);
    expect(CP_EINPUT, net,
           "weights: %s: layer 0 [connected]: weights 359999 of 360000 is NaN, a finite number is needed");
    free(floats);
    cp_cfg_net_free(net);
}

static const char *data_folder(void)
{
    const char *data = getenv("CRITPATH_DATA");
    return data ? data : "../shared/data";
}

static void test_real_files(void **state)
{
    (void)state;
    static const char *const names[] = {"resnet20-cifar10", "squeezenet", "tiny", "yolo-fastest-1.1-xl",
                                        "yoloface-50k"};
    int found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char cfg_path[4096], weights_path[4096];
        snprintf(cfg_path, sizeof cfg_path, "%s/weights/%s.cfg", data_folder(), names[i]);
        snprintf(weights_path, sizeof weights_path, "%s/weights/%s.weights", data_folder(), names[i]);
        if (access(weights_path, R_OK)) continue;
        cp_cfg *cfg = NULL;
        cp_cfg_net *net = NULL;
        cp_status status = cp_cfg_read(cfg_path, &cfg);
        if (status == CP_OK) status = cp_cfg_check(cfg, 0, &net);
        if (status == CP_OK) status = cp_weights_check(weights_path, net, cfg_path, NULL);
        if (status != CP_OK) fail_msg("%s", cp_error());
        cp_cfg_net_free(net);
        cp_cfg_free(cfg);
        found++;
    }
    if (found) return;
    fprintf(stderr, "skipped: no weights in %s/weights\n", data_folder());
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_headers),
        cmocka_unit_test(test_values),      cmocka_unit_test(test_values_with_denormals_off),
        cmocka_unit_test(test_long_arrays), cmocka_unit_test(test_real_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
