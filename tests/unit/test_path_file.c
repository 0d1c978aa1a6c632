/* Score and path files: round trip, NumPy, and files that are not what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"
#include "path/path_file.h"
#include "tiny_net.h"

#define INPUT_HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static tiny_net net;
static char file[320];
static float input[RESIDUAL_INPUT], score[RESIDUAL_NEURONS];
static cp_path *path;
static cp_file_meta meta;

static int set_up(void **state)
{
    (void)state;
    cp_set_threads(1);
    residual_open(&net, input);
    snprintf(file, sizeof file, "%s/dog.npz", net.folder);
    unsigned seed = 99;
    for (int i = 0; i < RESIDUAL_NEURONS; i++)
        score[i] = i % 3 ? fabsf(tiny_random(&seed)) : 0;
    score[1] = FLT_TRUE_MIN;
    score[2] = FLT_MAX;
    cp_selection selection;
    if (cp_path_create(net.model, &path) || cp_path_select(path, score, .8, 0, &selection))
        return 1;
    meta = (cp_file_meta){.method = "mct", .input_sha256 = INPUT_HASH, .seed = 7, .sparsity_asked = .8,
                          .threshold = selection.threshold};
    return cp_response_class(net.model, 2, &meta.response);
}

static int tear_down(void **state)
{
    (void)state;
    cp_path_free(path);
    unlink(file);
    tiny_close(&net);
    return 0;
}

/* ---------------------------------------------------------------- what is written comes back */

static void check_meta(const cp_file_meta *got)
{
    assert_string_equal(got->method, "mct");
    assert_string_equal(got->input_sha256, INPUT_HASH);
    assert_string_equal(got->program_version, CP_VERSION);
    assert_int_equal(got->seed, 7);
    assert_int_equal(got->response.n, 1);
    assert_int_equal(got->response.unit[0].layer, meta.response.unit[0].layer);
    assert_int_equal(got->response.unit[0].index, meta.response.unit[0].index);
    assert_true(got->response.unit[0].weight == meta.response.unit[0].weight);
    assert_string_equal(got->response.text, meta.response.text);
}

static void test_path_round_trip(void **state)
{
    (void)state;
    cp_path *read;
    cp_file_meta got;
    size_t both, either;
    assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
    assert_int_equal(cp_path_read(file, net.model, INPUT_HASH, &read, &got), CP_OK);
    check_meta(&got);
    assert_true(got.sparsity_asked == .8);
    assert_true(got.sparsity == 1 - (double)cp_path_count(path) / RESIDUAL_NEURONS);
    assert_true(got.threshold == meta.threshold);
    assert_int_equal(cp_path_overlap(path, read, -1, &both, &either), CP_OK);
    assert_int_equal(both, cp_path_count(path));
    assert_int_equal(either, both);
    cp_path_free(read);

    /* A path of no single image, response or sparsity. */
    cp_file_meta bare = {.sparsity_asked = NAN};
    assert_int_equal(cp_path_write(file, path, &bare), CP_OK);
    assert_int_equal(cp_path_read(file, net.model, NULL, &read, &got), CP_OK);
    assert_true(isnan(got.sparsity_asked));
    assert_int_equal(got.response.n, 0);
    assert_string_equal(got.input_sha256, "");
    cp_path_free(read);
    assert_int_equal(cp_path_read(file, net.model, INPUT_HASH, &read, NULL), CP_EINPUT);
    assert_null(read);
}

static void test_score_round_trip(void **state)
{
    (void)state;
    float got[RESIDUAL_NEURONS];
    cp_file_meta got_meta;
    assert_int_equal(cp_score_write(file, net.model, score, &meta), CP_OK);
    assert_int_equal(cp_score_read(file, net.model, INPUT_HASH, got, &got_meta), CP_OK);
    check_meta(&got_meta);
    assert_false(got_meta.signed_scores);
    assert_memory_equal(got, score, sizeof score);

    float bent[RESIDUAL_NEURONS];
    memcpy(bent, score, sizeof bent);
    bent[100] = -2;
    assert_int_equal(cp_score_write(file, net.model, bent, &meta), CP_EINPUT);
    assert_int_equal(cp_score_read(file, net.model, NULL, got, NULL), CP_OK); /* the old file is still there */
    assert_memory_equal(got, score, sizeof score);
    cp_file_meta with_sign = meta;
    with_sign.signed_scores = true;
    assert_int_equal(cp_score_write(file, net.model, bent, &with_sign), CP_OK);
    assert_int_equal(cp_score_read(file, net.model, NULL, got, &got_meta), CP_OK);
    assert_true(got_meta.signed_scores);
    assert_memory_equal(got, bent, sizeof bent);
    bent[100] = NAN;
    assert_int_equal(cp_score_write(file, net.model, bent, &with_sign), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "layer_000_convolutional: neuron 100 is "));
}

/* Same bytes for the same content: no times, no order of a hash table. */
static void test_same_bytes(void **state)
{
    (void)state;
    unsigned char first[65536], second[65536];
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
        FILE *f = fopen(file, "rb");
        sizes[i] = fread(i ? second : first, 1, sizeof first, f);
        fclose(f);
    }
    assert_true(sizes[0] > 0 && sizes[0] < sizeof first);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(first, second, sizes[0]);
}

static void test_numpy_reads_it(void **state)
{
    (void)state;
    char command[1400];
    const char *python = "python3";
    if (system("python3 -c 'import numpy' 2>/dev/null") != 0)
        python = "/usr/bin/python3";
    snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", python);
    if (system(command) != 0) {
        print_message("skipped: no python3 with numpy\n");
        skip();
    }
    assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
    snprintf(command, sizeof command,
             "%s -c \"import numpy, json; z = numpy.load('%s'); m = json.loads(z['meta.json']); "
             "s = [(n, z[n].shape, str(z[n].dtype)) for n in sorted(z.files) if n != 'meta.json']; "
             "assert s == [('layer_000_convolutional', (4, 6, 6), 'bool'),"
             "             ('layer_002_convolutional', (4, 3, 3), 'bool'),"
             "             ('layer_004_shortcut', (4, 3, 3), 'bool')], s; "
             "assert sum(int(z[n].sum()) for n, _, _ in s) == m['kept'] == %zu, m; "
             "assert m['sparsity_asked'] == 0.8 and m['method'] == 'mct' and m['input_sha256'] == '%s', m; "
             "assert [l['shape'] for l in m['layers']] == [[4, 6, 6], [4, 3, 3], [4, 3, 3]], m\"",
             python, file, cp_path_count(path), INPUT_HASH);
    assert_int_equal(system(command), 0);
    assert_int_equal(cp_score_write(file, net.model, score, &meta), CP_OK);
    snprintf(command, sizeof command,
             "%s -c \"import numpy; z = numpy.load('%s'); a = z['layer_000_convolutional']; "
             "assert a.dtype == numpy.float32 and a.shape == (4, 6, 6); "
             "assert a.flat[2] == numpy.finfo(numpy.float32).max and a.flat[143] == numpy.float32(%.9g)\"",
             python, file, (double)score[143]);
    assert_int_equal(system(command), 0);
}

/* ---------------------------------------------------------------- files that are not what they should be */

/* What to spoil in a file that is otherwise right. */
typedef struct {
    const char *key;      /* of meta.json, or NULL */
    const char *json;     /* its value; NULL: removed */
    const char *message;  /* part of the error */
} spoiled;

enum { NO_META = 1, NOT_JSON, MISSING_LAYER, EXTRA_LAYER, OTHER_SHAPE, OTHER_TYPE, NOT_BOOL, META_ARRAY };

/* Writes a path or score file by hand with one thing wrong. */
static void write_spoiled(bool is_path, const spoiled *change, int fault, float bad_score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(net.model, &n);
    cp_npz *good;
    cp_npz_writer *writer;
    unsigned char *text, *bools[3];
    size_t bytes;
    float scores[RESIDUAL_NEURONS];
    json_t *root;
    assert_int_equal(is_path ? cp_path_write(file, path, &meta) : cp_score_write(file, net.model, score, &meta), CP_OK);
    assert_int_equal(cp_npz_open(file, &good), CP_OK);
    assert_int_equal(cp_npz_read_bytes(good, "meta.json", 1 << 20, &text, &bytes), CP_OK);
    assert_int_equal(cp_json_parse(text, bytes, "meta.json", &root), CP_OK);
    cp_free(text);
    cp_npz_close(good);
    if (change && change->json) {
        json_t *value = json_loads(change->json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        json_object_set_new(root, change->key, value);
    } else if (change) {
        json_object_del(root, change->key);
    }
    memcpy(scores, score, sizeof scores);
    if (bad_score != 0)
        scores[layers[1].offset + 5] = bad_score;
    assert_int_equal(cp_npz_create(file, false, &writer), CP_OK);
    for (int l = 0; l < n; l++) {
        bools[l] = cp_alloc(layers[l].count, 1, "test");
        for (size_t i = 0; i < layers[l].count; i++)
            bools[l][i] = cp_path_get(path, layers[l].offset + i);
        cp_array_type type = cp_array_chw(is_path ? CP_BOOL : CP_FLOAT32, layers[l].c, layers[l].h, layers[l].w);
        if (fault == OTHER_SHAPE && l == 1)
            type = cp_array_chw(type.dtype, 3, 3, 4);
        if (fault == OTHER_TYPE && l == 1)
            type.dtype = is_path ? CP_UINT8 : CP_INT32;
        if (fault == NOT_BOOL && l == 1)
            bools[l][7] = 2;
        if (fault == MISSING_LAYER && l == 1)
            continue;
        const void *data = is_path ? (void *)bools[l] : (void *)(scores + layers[l].offset);
        assert_int_equal(cp_npz_add(writer, layers[l].name, &type, data), CP_OK);
        if (fault == EXTRA_LAYER && l == 1)
            assert_int_equal(cp_npz_add(writer, "layer_003_convolutional", &type, data), CP_OK);
    }
    if (fault == META_ARRAY)
        assert_int_equal(cp_npz_add_bytes(writer, "meta.json", "[1]", 3), CP_OK);
    else if (fault == NOT_JSON)
        assert_int_equal(cp_npz_add_bytes(writer, "meta.json", "{\"a\": ", 6), CP_OK);
    else if (fault != NO_META) {
        char *formatted;
        assert_int_equal(cp_json_format(root, true, &formatted, &bytes), CP_OK);
        assert_int_equal(cp_npz_add_bytes(writer, "meta.json", formatted, bytes), CP_OK);
        cp_free(formatted);
    }
    assert_int_equal(cp_npz_commit(&writer), CP_OK);
    for (int l = 0; l < n; l++)
        cp_free(bools[l]);
    json_decref(root);
}

/* Reading must fail with one line that names the file and holds `message`. */
static void expect_refusal(bool is_path, const char *message)
{
    cp_path *read = NULL;
    float got[RESIDUAL_NEURONS];
    cp_status status = is_path ? cp_path_read(file, net.model, NULL, &read, NULL)
                               : cp_score_read(file, net.model, NULL, got, NULL);
    if (status != CP_EINPUT || !strstr(cp_error(), message) || !strstr(cp_error(), "dog.npz") ||
        strchr(cp_error(), '\n'))
        fail_msg("status %d, '%s' instead of '%s'", status, status ? cp_error() : "", message);
    assert_null(read);
}

#define LAYER(name, shape) "{\"name\": \"" name "\", \"shape\": " shape "}"
#define RESPONSE(units) "{\"text\": \"x\", \"units\": " units "}"

static void test_meta_of_both(void **state)
{
    (void)state;
    static const spoiled cases[] = {
        {"format", NULL, "'format' is absent"},
        {"format", "\"critpath map\"", "format 'critpath map', needed is 'critpath "},
        {"format", "3", "'format' is an integer"},
        {"format_version", "2", "'format_version' is 2, 1 to 1 is allowed"},
        {"format_version", "0", "'format_version' is 0"},
        {"format_version", "1.5", "'format_version' is a real number"},
        {"program_version", "\"0123456789012345678901234567890123456789\"", "'program_version' has 40 bytes"},
        {"cfg_sha256", "\"" INPUT_HASH "\"", "made with another cfg: sha256 0123456789ab in the file, "},
        {"cfg_sha256", "\"0123\"", "'cfg_sha256' is '0123', 64 hex digits"},
        {"cfg_sha256", "null", "'cfg_sha256' is null"},
        {"weights_sha256", "\"" INPUT_HASH "\"", "made with another weights: sha256 0123456789ab in the file, "},
        {"weights_sha256", "\"\"", "made with another weights: sha256 of none"},
        {"weights_sha256", NULL, "'weights_sha256' is absent"},
        {"input_sha256", "\"ABCD\"", "'input_sha256' is 'ABCD'"},
        {"input_sha256", "17", "'input_sha256' is an integer"},
        {"method", NULL, "'method' is absent"},
        {"method", "\"0123456789012345678901234567890123456789\"", "'method' has 40 bytes, at most 31"},
        {"seed", "-1", "'seed' is -1"},
        {"response", NULL, "'response' is not an object"},
        {"response", RESPONSE("7"), "'response' is not an object"},
        {"response", RESPONSE("[1,2,3,4,5]"), "up to 4 'units'"},
        {"response", RESPONSE("[{\"layer\": 8, \"index\": 0, \"weight\": 1}]"), "'layer' is 8, 0 to 7"},
        {"response", RESPONSE("[{\"layer\": -1, \"index\": 0, \"weight\": 1}]"), "'layer' is -1"},
        {"response", RESPONSE("[{\"layer\": 6, \"index\": 3, \"weight\": 1}]"), "'index' is 3, 0 to 2"},
        {"response", RESPONSE("[{\"layer\": 6, \"index\": 0, \"weight\": 1e300}]"), "'weight' is 1e+300"},
        {"response", RESPONSE("[{\"layer\": 6, \"index\": 0}]"), "'weight' is absent"},
        {"layers", NULL, "'layers' lists 0 neuron layers, the model has 3"},
        {"layers", "[1, 2]", "'layers' lists 2 neuron layers"},
        {"layers", "[1, 2, 3]", "'name' is absent"},
        {"layers", "[" LAYER("layer_000_connected", "[4,6,6]") ", 1, 2]",
         "is called 'layer_000_connected', in the model 'layer_000_convolutional'"},
        {"layers", "[" LAYER("layer_000_convolutional", "[4,6,7]") ", 1, 2]",
         "'shape' of layer_000_convolutional is not that of the model, [4, 6, 6]"},
        {"layers", "[" LAYER("layer_000_convolutional", "[4,6]") ", 1, 2]", "'shape' of layer_000_convolutional"},
        {"layers", "[" LAYER("layer_000_convolutional", "[4.0,6,6]") ", 1, 2]", "'shape' of layer_000_convolutional"},
    };
    for (int is_path = 0; is_path < 2; is_path++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            write_spoiled(is_path, &cases[i], 0, 0);
            expect_refusal(is_path, cases[i].message);
        }
}

static void test_meta_of_one(void **state)
{
    (void)state;
    static const spoiled of_paths[] = {
        {"sparsity_asked", "1.5", "'sparsity_asked' is 1.5"}, {"sparsity_asked", NULL, "'sparsity_asked' is absent"},
        {"sparsity", "-0.1", "'sparsity' is -0.1"},           {"sparsity", "\"x\"", "'sparsity' is text"},
        {"threshold", "-1", "'threshold' is -1"},             {"threshold", "null", "'threshold' is null"},
        {"kept", "1", "'kept' is 1, the arrays hold "},       {"kept", NULL, "'kept' is absent"},
    };
    for (size_t i = 0; i < sizeof of_paths / sizeof *of_paths; i++) {
        write_spoiled(true, &of_paths[i], 0, 0);
        expect_refusal(true, of_paths[i].message);
    }
    static const spoiled of_scores[] = {{"signed", NULL, "'signed' is not"}, {"signed", "1", "'signed' is not"}};
    for (size_t i = 0; i < 2; i++) {
        write_spoiled(false, &of_scores[i], 0, 0);
        expect_refusal(false, of_scores[i].message);
    }
    /* One kind for the other. */
    assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
    expect_refusal(false, "format 'critpath path', needed is 'critpath score'");
    assert_int_equal(cp_score_write(file, net.model, score, &meta), CP_OK);
    expect_refusal(true, "format 'critpath score', needed is 'critpath path'");
}

static void test_arrays(void **state)
{
    (void)state;
    static const struct { int fault; const char *message; } cases[] = {
        {NO_META, "has no member 'meta.json'"},
        {NOT_JSON, "meta.json:"},
        {META_ARRAY, "not a JSON object"},
        {MISSING_LAYER, "has no array 'layer_002_convolutional', which is a neuron layer of the model"},
        {EXTRA_LAYER, "array 'layer_003_convolutional' is no neuron layer of the model"},
        {OTHER_SHAPE, "layer_002_convolutional is "},
        {OTHER_TYPE, "layer_002_convolutional is "},
    };
    for (int is_path = 0; is_path < 2; is_path++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            write_spoiled(is_path, NULL, cases[i].fault, 0);
            expect_refusal(is_path, cases[i].message);
        }
    write_spoiled(true, NULL, NOT_BOOL, 0);
    expect_refusal(true, "layer_002_convolutional");
    static const struct { float value; const char *message; } scores[] = {
        {NAN, "layer_002_convolutional: neuron 5 is "}, {INFINITY, "neuron 5 is inf"},
        {-INFINITY, "neuron 5 is -inf"}, {-1, "neuron 5 is -1, allowed are finite numbers >= 0"},
    };
    for (size_t i = 0; i < 4; i++) {
        write_spoiled(false, NULL, 0, scores[i].value);
        expect_refusal(false, scores[i].message);
    }
}

/* A file cut anywhere, or with a byte changed: an error or, where the byte does not matter, the same path. */
static void test_damage(void **state)
{
    (void)state;
    static unsigned char bytes[65536];
    assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
    FILE *f = fopen(file, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t cut = 0; cut < n; cut += 97) {
        tiny_write(file, bytes, cut);
        expect_refusal(true, "");
    }
    for (size_t at = 0; at < n; at += 53) {
        cp_path *read = NULL;
        size_t both, either;
        bytes[at] ^= 0x55;
        tiny_write(file, bytes, n);
        if (cp_path_read(file, net.model, NULL, &read, NULL) == CP_OK) {
            assert_int_equal(cp_path_overlap(path, read, -1, &both, &either), CP_OK);
            assert_int_equal(both, either);
        }
        cp_path_free(read);
        bytes[at] ^= 0x55;
    }
    unlink(file);
    expect_refusal(true, "");
}

static void test_another_model(void **state)
{
    (void)state;
    tiny_net other;
    cp_path *read;
    TINY_OPEN(&other);
    assert_int_equal(cp_path_write(file, path, &meta), CP_OK);
    assert_int_equal(cp_path_read(file, other.model, NULL, &read, NULL), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "made with another cfg"));
    tiny_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_round_trip), cmocka_unit_test(test_score_round_trip),
        cmocka_unit_test(test_same_bytes),      cmocka_unit_test(test_numpy_reads_it),
        cmocka_unit_test(test_meta_of_both),    cmocka_unit_test(test_meta_of_one),
        cmocka_unit_test(test_arrays),          cmocka_unit_test(test_damage),
        cmocka_unit_test(test_another_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
