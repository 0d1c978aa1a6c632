/* `compare` with planted paths: every pair has a Jaccard of its own, so that a label at the wrong row, column, line or
 * picture fails. Also the figures themselves, by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>

#include <cmocka.h>
#include <jansson.h>

#include "cli/compare.h"
#include "io/draw.h"
#include "io/error.h"
#include "path/path_file.h"
#include "tiny_net.h"

int run_critpath(int argc, char **argv);

/* ---------------------------------------------------------------- planted paths on the residual network */

enum { PATHS = 4, LAYERS = 3 };
static const char *const names[PATHS] = {"zebra", "ant", "mole", "bee"}; /* in no order that sorting would make */
static const size_t counts[LAYERS] = {144, 36, 36}, offsets[LAYERS] = {0, 144, 180};
static const char *const layer_names[LAYERS] = {"000_convolutional", "002_convolutional", "004_shortcut"};
/* Path k holds the neurons [from, to) of each layer. */
static const size_t ranges[PATHS][LAYERS][2] = {
    {{0, 40}, {0, 10}, {0, 36}},
    {{10, 60}, {5, 20}, {30, 36}},
    {{0, 144}, {9, 12}, {0, 7}},
    {{39, 50}, {0, 30}, {1, 3}},
};

static size_t overlap(size_t a, size_t b, int l, size_t *either)
{
    size_t from = ranges[a][l][0] > ranges[b][l][0] ? ranges[a][l][0] : ranges[b][l][0];
    size_t to = ranges[a][l][1] < ranges[b][l][1] ? ranges[a][l][1] : ranges[b][l][1];
    size_t both = to > from ? to - from : 0;
    *either = ranges[a][l][1] - ranges[a][l][0] + ranges[b][l][1] - ranges[b][l][0] - both;
    return both;
}

/* l < 0: the network */
static double jaccard(size_t a, size_t b, int l)
{
    size_t both = 0, either = 0, part;
    for (int k = l < 0 ? 0 : l; k < (l < 0 ? LAYERS : l + 1); k++) {
        both += overlap(a, b, k, &part);
        either += part;
    }
    return (double)both / (double)either;
}

static double density(size_t a, int l)
{
    size_t kept = 0, all = 0;
    for (int k = l < 0 ? 0 : l; k < (l < 0 ? LAYERS : l + 1); k++) {
        kept += ranges[a][k][1] - ranges[a][k][0];
        all += counts[k];
    }
    return (double)kept / (double)all;
}

static double chance(size_t a, size_t b, int l)
{
    double p = density(a, l), q = density(b, l);
    return p * q / (p + q - p * q);
}

static void plant(const cp_model *model, size_t k, cp_path **path)
{
    assert_int_equal(cp_path_create(model, path), CP_OK);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = ranges[k][l][0]; i < ranges[k][l][1]; i++)
            cp_path_set(*path, offsets[l] + i, true);
}

static size_t position(const char *name)
{
    size_t k = 0;
    while (k < PATHS && strcmp(names[k], name))
        k++;
    assert_true(k < PATHS);
    return k;
}

static void all_figures_differ(void **state)
{
    (void)state;
    for (int l = -1; l < LAYERS; l++) {
        double seen[PATHS * PATHS];
        int n = 0;
        for (size_t a = 0; a < PATHS; a++)
            for (size_t b = a + 1; b < PATHS; b++) {
                for (int i = 0; i < n; i++)
                    assert_true(fabs(seen[i] - jaccard(a, b, l)) > 1e-6 || l > 0);
                seen[n++] = jaccard(a, b, l);
            }
    }
}

/* ---------------------------------------------------------------- the command */

typedef struct {
    tiny_net net;
    char file[PATHS][320], out[320], photo[320];
} setting;

static void open_setting(setting *s)
{
    float input[RESIDUAL_INPUT];
    residual_open(&s->net, input);
    snprintf(s->out, sizeof s->out, "%s/out", s->net.folder);
    for (size_t k = 0; k < PATHS; k++) {
        cp_path *path;
        cp_file_meta meta = {.method = "planted", .sparsity_asked = NAN};
        plant(s->net.model, k, &path);
        snprintf(s->file[k], sizeof s->file[k], "%s/%s.path.npz", s->net.folder, names[k]);
        assert_int_equal(cp_path_write(s->file[k], path, &meta), CP_OK);
        cp_path_free(path);
    }
}

static void close_setting(setting *s)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", s->net.folder);
    tiny_close(&s->net);
    assert_int_equal(system(command), 0);
}

/* stdout of `darknet critpath compare ...` goes to a file beside the network's. */
static int run(setting *s, const char *const *extra, char *text, size_t room)
{
    char *argv[32] = {"darknet", "critpath", "compare", s->net.cfg, s->net.weights}, path[400];
    int argc = 5;
    for (size_t k = 0; k < PATHS; k++)
        argv[argc++] = s->file[k];
    while (*extra)
        argv[argc++] = (char *)*extra++;
    snprintf(path, sizeof path, "%s/stdout", s->net.folder);
    fflush(stdout);
    int kept = dup(1), to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(kept >= 0 && to >= 0 && dup2(to, 1) == 1);
    int code = run_critpath(argc, argv);
    fflush(stdout);
    assert_int_equal(dup2(kept, 1), 1);
    close(kept), close(to);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, room - 1, file)] = 0;
    fclose(file);
    return code;
}

static double number_in(const json_t *object, const char *figure)
{
    const json_t *value = json_object_get(object, figure);
    value = json_is_object(value) ? json_object_get(value, "mean") : value;
    assert_true(json_is_real(value) || json_is_integer(value));
    return json_number_value(value);
}

static void labels_of_the_json(void **state)
{
    (void)state;
    static char text[1 << 18];
    setting s;
    open_setting(&s);
    assert_int_equal(run(&s, (const char *const[]){"-json", NULL}, text, sizeof text), 0);
    json_t *all = json_loads(text, 0, NULL);
    assert_non_null(all);
    json_t *paths = json_object_get(all, "paths"), *pairs = json_object_get(all, "pairs"), *row, *layer;
    size_t i, l;
    assert_int_equal(json_array_size(paths), PATHS);
    assert_int_equal(json_array_size(pairs), PATHS * (PATHS - 1) / 2);
    json_array_foreach(paths, i, row) {
        size_t k = position(json_string_value(json_object_get(row, "name")));
        assert_int_equal(k, i);
        assert_true(fabs(number_in(row, "share") - density(k, -1)) < 1e-12);
        assert_true(json_is_null(json_object_get(json_object_get(row, "dead"), "mean"))); /* no image */
        json_array_foreach(json_object_get(row, "layers"), l, layer) {
            assert_string_equal(json_string_value(json_object_get(layer, "layer")), layer_names[l]);
            assert_true(fabs(number_in(layer, "share") - density(k, (int)l)) < 1e-12);
        }
        assert_int_equal(l, LAYERS);
    }
    json_array_foreach(pairs, i, row) {
        size_t a = position(json_string_value(json_object_get(row, "a")));
        size_t b = position(json_string_value(json_object_get(row, "b")));
        assert_true(a < b);
        assert_true(fabs(number_in(row, "jaccard") - jaccard(a, b, -1)) < 1e-12);
        assert_true(fabs(number_in(row, "chance") - chance(a, b, -1)) < 1e-12);
        json_array_foreach(json_object_get(row, "layers"), l, layer) {
            assert_string_equal(json_string_value(json_object_get(layer, "layer")), layer_names[l]);
            assert_true(fabs(number_in(layer, "jaccard") - jaccard(a, b, (int)l)) < 1e-12);
            assert_true(fabs(number_in(layer, "chance") - chance(a, b, (int)l)) < 1e-12);
        }
        assert_int_equal(l, LAYERS);
    }
    json_decref(all);
    close_setting(&s);
}

static void labels_of_the_table(void **state)
{
    (void)state;
    static char text[1 << 18];
    setting s;
    open_setting(&s);
    assert_int_equal(run(&s, (const char *const[]){"-layers", NULL}, text, sizeof text), 0);
    int layer = -1, pairs = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char a[64], b[64];
        double found, expected_chance;
        for (int l = 0; l < LAYERS; l++)
            if (!strcmp(line, layer_names[l]))
                layer = l;
        if (sscanf(line, " %63[a-z] - %63[a-z] %lf - %lf", a, b, &found, &expected_chance) != 4)
            continue;
        assert_true(fabs(found - jaccard(position(a), position(b), layer)) < 5.1e-5);
        assert_true(fabs(expected_chance - chance(position(a), position(b), layer)) < 5.1e-5);
        pairs++;
    }
    assert_int_equal(pairs, (LAYERS + 1) * PATHS * (PATHS - 1) / 2);
    close_setting(&s);
}

static void labels_of_the_csv(void **state)
{
    (void)state;
    static char text[1 << 18];
    char path[400], line[500];
    setting s;
    int pairs = 0, shares = 0;
    open_setting(&s);
    assert_int_equal(run(&s, (const char *const[]){"-out", s.out, "-no-picture", NULL}, text, sizeof text), 0);
    snprintf(path, sizeof path, "%s.csv", s.out);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *field[9], *rest = line;
        for (int i = 0; i < 9; i++)
            assert_non_null(field[i] = strsep(&rest, ","));
        int l = -1;
        while (l < LAYERS && strcmp(field[4], l < 0 ? "network" : layer_names[l]))
            l++;
        if (!strcmp(field[1], "jaccard")) {
            size_t a = position(field[2]), b = position(field[3]);
            assert_true(l < LAYERS);
            assert_true(fabs(atof(field[5]) - jaccard(a, b, l)) < 1e-8);
            assert_true(fabs(atof(field[8]) - chance(a, b, l)) < 1e-8);
            pairs++;
        } else if (!strcmp(field[1], "share")) {
            assert_true(fabs(atof(field[5]) - density(position(field[2]), l)) < 1e-8);
            shares++;
        }
    }
    assert_int_equal(pairs, (LAYERS + 1) * PATHS * (PATHS - 1) / 2);
    assert_int_equal(shares, (LAYERS + 1) * PATHS);
    fclose(file);
    close_setting(&s);
}

static void same_picture(const char *png, const cp_picture *expected)
{
    cp_picture found;
    if (cp_picture_read(png, &found))
        fail_msg("%s", cp_error());
    assert_int_equal(found.w, expected->w);
    assert_int_equal(found.h, expected->h);
    assert_memory_equal(found.rgb, expected->rgb, 3 * (size_t)found.w * (size_t)found.h);
    cp_picture_free(&found);
}

/* The pictures are those of a matrix and a chart put together here from the planted ranges. */
static void labels_of_the_pictures(void **state)
{
    (void)state;
    static char text[1 << 18];
    char path[400];
    double values[PATHS * PATHS], y[PATHS - 1][LAYERS];
    cp_series series[PATHS - 1];
    cp_picture picture;
    setting s;
    open_setting(&s);
    assert_int_equal(run(&s, (const char *const[]){"-out", s.out, NULL}, text, sizeof text), 0);
    for (size_t a = 0; a < PATHS; a++)
        for (size_t b = 0; b < PATHS; b++)
            values[a * PATHS + b] = a == b ? 1 : jaccard(a, b, -1);
    const cp_matrix matrix = {.title = "Jaccard of path files", .rows = PATHS, .columns = PATHS, .values = values,
                              .row_names = names, .column_names = names, .lo = 0, .hi = 1, .decimals = 3};
    assert_int_equal(cp_matrix_draw(&matrix, &picture), CP_OK);
    snprintf(path, sizeof path, "%s.matrix.png", s.out);
    same_picture(path, &picture);
    cp_picture_free(&picture);
    for (size_t b = 1; b < PATHS; b++) {
        for (int l = 0; l < LAYERS; l++)
            y[b - 1][l] = jaccard(0, b, l);
        series[b - 1] = (cp_series){names[b], y[b - 1], NULL};
    }
    const cp_chart chart = {.title = "Jaccard with zebra of path files", .y_label = "Jaccard", .n_points = LAYERS,
                            .n_series = PATHS - 1, .x_names = layer_names, .series = series, .y_max = 1};
    assert_int_equal(cp_chart_draw(&chart, &picture), CP_OK);
    snprintf(path, sizeof path, "%s.layers.png", s.out);
    same_picture(path, &picture);
    cp_picture_free(&picture);
    close_setting(&s);
}

static void refusals(void **state)
{
    (void)state;
    static char text[1 << 16];
    setting s;
    open_setting(&s);
    assert_int_equal(run(&s, (const char *const[]){"-methods", "mct,nonsense", NULL}, text, sizeof text), 2);
    assert_non_null(strstr(cp_error(), "nonsense"));
    assert_int_equal(run(&s, (const char *const[]){"-methods", "mct,mct", NULL}, text, sizeof text), 2);
    assert_non_null(strstr(cp_error(), "twice"));
    assert_int_equal(run(&s, (const char *const[]){"-methods", "mct", NULL}, text, sizeof text), 2);
    assert_non_null(strstr(cp_error(), "image"));
    assert_int_equal(run(&s, (const char *const[]){"a.png", "b.png", NULL}, text, sizeof text), 2);
    assert_non_null(strstr(cp_error(), "one at most"));
    close_setting(&s);
}

/* ---------------------------------------------------------------- methods on images */

static char *csv_of(const char *folder, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 18);
    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Mean of "quantity,a,b,network" in a CSV of sparsity 0.9 or 0.99; *other is the chance. */
static double mean_in(const char *csv, const char *row, double *other)
{
    const char *at = strstr(csv, row);
    double mean, deviation;
    size_t images;
    assert_non_null(at);
    at += strlen(row);
    int n = sscanf(at, ",network,%lf,%lf,%zu,%lf", &mean, &deviation, &images, other);
    assert_true(n >= 3 && images == 2);
    return mean;
}

/* A ReLU network: no contribution comes from a dead neuron; independent paths meet by chance; the files are the same at
 * any number of threads. */
static void methods_on_images(void **state)
{
    (void)state;
    setting s;
    char photo[2][320], *csv[2][2];
    open_setting(&s);
    for (int i = 0; i < 2; i++) {
        cp_picture picture;
        unsigned seed = 5 + (unsigned)i;
        assert_int_equal(cp_picture_new(40, 30, &picture), CP_OK);
        for (int k = 0; k < 3 * 40 * 30; k++)
            picture.rgb[k] = (unsigned char)(127 + 120 * tiny_random(&seed));
        snprintf(photo[i], sizeof photo[i], "%s/photo%d.png", s.net.folder, i);
        assert_int_equal(cp_picture_write_png(&picture, photo[i]), CP_OK);
        cp_picture_free(&picture);
    }
    for (int t = 0; t < 2; t++) {
        char *argv[] = {"darknet", "critpath", "compare", "tests/oracle/cfg/vgg.cfg", "tests/oracle/vgg.weights",
                        photo[0], photo[1], "-methods", "mct,greedy,dgr,dgr-random,random,active", "-iterations", "12",
                        "-rounds", "2", "-sparsity", ".9,.99", "-out", s.out, "-no-picture", "-quiet", "-json",
                        "-threads", t ? "3" : "1"};
        fflush(stdout);
        int kept = dup(1), to = open("/dev/null", O_WRONLY);
        assert_int_equal(dup2(to, 1), 1);
        int code = run_critpath(sizeof argv / sizeof *argv, argv);
        fflush(stdout);
        assert_int_equal(dup2(kept, 1), 1);
        close(kept), close(to);
        assert_int_equal(code, 0);
        csv[t][0] = csv_of(s.net.folder, "out-0.9.csv");
        csv[t][1] = csv_of(s.net.folder, "out-0.99.csv");
    }
    cp_set_threads(0);
    for (int i = 0; i < 2; i++) {
        const char *text = csv[0][i];
        double unused, expected, p = i ? .01 : .1;
        assert_string_equal(text, csv[1][i]);
        assert_true(fabs(mean_in(text, "share,mct,", &unused) - p) < 1e-4);
        assert_true(fabs(mean_in(text, "share,random,", &unused) - p) < 1e-4);
        assert_true(mean_in(text, "share,greedy,", &unused) >= p - 1e-4);
        assert_true(mean_in(text, "dead,mct,", &unused) == 0);
        assert_true(mean_in(text, "dead,active,", &unused) == 0);
        assert_true(mean_in(text, "dead,random,", &unused) > .05);
        assert_true(mean_in(text, "share,active,", &unused) > .2);
        double found = mean_in(text, "jaccard,mct,random", &expected);
        assert_true(fabs(found - expected) < 5 * expected / sqrt(p * p * 13000));
        for (int t = 0; t < 2; t++)
            free(csv[t][i]);
    }
    close_setting(&s);
}

/* ---------------------------------------------------------------- figures by hand */

/* On {1,2,3,4} the tiny network's activations are (1, 2, 0): the third neuron is dead. */
static void dead_share_and_deviation(void **state)
{
    (void)state;
    tiny_net net;
    cp_frame *frame;
    cp_path *paths[2];
    cp_comparison *c;
    TINY_OPEN(&net);
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, tiny_input, 1, NULL), CP_OK);
    assert_int_equal(cp_comparison_create(net.model, 2, &c), CP_OK);
    for (int k = 0; k < 2; k++)
        assert_int_equal(cp_path_create(net.model, &paths[k]), CP_OK);
    *cp_path_words_mutable(paths[0], 0) = 5; /* neurons 0, 2: half is dead */
    *cp_path_words_mutable(paths[1], 0) = 3;
    assert_int_equal(cp_comparison_add(c, (const cp_path *const *)paths, frame, 0), CP_OK);
    assert_true(cp_comparison_dead(c, 0, -1).mean == .5 && isnan(cp_comparison_dead(c, 0, -1).deviation));
    *cp_path_words_mutable(paths[0], 0) = 2;
    assert_int_equal(cp_comparison_add(c, (const cp_path *const *)paths, frame, 0), CP_OK);
    *cp_path_words_mutable(paths[0], 0) = 0; /* empty: no share of it is dead, and it meets nothing */
    assert_int_equal(cp_comparison_add(c, (const cp_path *const *)paths, frame, 0), CP_OK);
    *cp_path_words_mutable(paths[1], 0) = 0;
    assert_int_equal(cp_comparison_add(c, (const cp_path *const *)paths, frame, 0), CP_OK);
    cp_figure dead = cp_comparison_dead(c, 0, 0), jaccard_of = cp_comparison_jaccard(c, 1, 0, -1);
    assert_true(dead.n == 2 && dead.mean == .25 && fabs(dead.deviation - sqrt(.125)) < 1e-12);
    assert_true(cp_comparison_dead(c, 1, 0).n == 3 && cp_comparison_dead(c, 1, 0).mean == 0);
    /* 1/3, 1/2, 0; then both are empty */
    assert_true(jaccard_of.n == 3 && fabs(jaccard_of.mean - 5. / 18) < 1e-12);
    assert_true(fabs(jaccard_of.deviation - sqrt((1 + 16 + 25) / 2.) / 18) < 1e-12);
    double p = 2. / 3, half = p * p / (2 * p - p * p), other = p / 3 / (1 - p / 3);
    assert_true(fabs(cp_comparison_chance(c, 0, 1, -1).mean - (half + other) / 3) < 1e-12);
    assert_int_equal(cp_comparison_images(c), 4);
    for (int k = 0; k < 2; k++)
        cp_path_free(paths[k]);
    cp_comparison_free(c);
    cp_frame_free(frame);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_figures_differ),
        cmocka_unit_test(labels_of_the_json),
        cmocka_unit_test(labels_of_the_table),
        cmocka_unit_test(labels_of_the_csv),
        cmocka_unit_test(labels_of_the_pictures),
        cmocka_unit_test(refusals),
        cmocka_unit_test(methods_on_images),
        cmocka_unit_test(dead_share_and_deviation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
