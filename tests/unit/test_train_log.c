/* Logs of the recorder: what is written reads back as it was, and what somebody else wrote is refused by file and line. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io_temp.h"
#include "train/log.h"

static cp_record example(int n)
{
    cp_record r = {.iteration = 7, .seen = 448, .loss = NAN, .probes = true, .pictures = 3, .answers_changed = 2,
                   .n_layers = n};
    r.network = (cp_record_row){-1, "network", (size_t)n * 10, 3, 4, .25, 1. / 3, NAN, NAN};
    r.layers = calloc((size_t)n, sizeof *r.layers); /* as cp_alloc, which cp_free takes */
    for (int l = 0; l < n; l++) {
        r.layers[l] = (cp_record_row){l, "", 10, (size_t)l, 1, NAN, .5, 1e-30, INFINITY};
        snprintf(r.layers[l].name, sizeof r.layers[l].name, "layer_%03d_convolutional", l);
    }
    return r;
}

static void append(const char *path, const cp_record *r)
{
    json_t *o = cp_record_json(r);
    FILE *file = fopen(path, "a");
    assert_true(o && file);
    assert_int_equal(cp_json_write_stream(o, file), CP_OK);
    fclose(file);
    json_decref(o);
}

static void reads_back(void **state)
{
    (void)state;
    cp_record r = example(3), faulty = example(3);
    cp_records records = {0};
    bool cut;
    strcpy(r.file, "net_7.weights");
    strcpy(faulty.fault, "layer 2: weight 3 of 4 is NaN");
    faulty.loss = 1.5;
    append("log", &r);
    append("log", &faulty);
    if (cp_log_read("log", &records, &cut)) fail_msg("%s", cp_error());
    assert_false(cut);
    assert_int_equal(records.n, 2);
    const cp_record *a = &records.record[0], *b = &records.record[1];
    assert_true(a->iteration == 7 && a->seen == 448 && isnan(a->loss) && a->probes && a->pictures == 3);
    assert_true(a->answers_changed == 2 && a->n_layers == 3 && !*a->fault);
    assert_string_equal(a->file, "net_7.weights");
    assert_true(a->network.units == 30 && a->network.dead == 3 && a->network.always_on == 4);
    assert_true(a->network.flipped == .25 && a->network.overlap == 1. / 3);
    assert_string_equal(cp_record_row_name(&a->layers[2]), "002_convolutional");
    assert_true(a->layers[2].layer == 2 && a->layers[2].dead == 2 && isnan(a->layers[2].flipped));
    assert_true(a->layers[1].activation_gradient == 1e-30 && isnan(a->layers[1].weight_gradient)); /* no infinity */
    assert_true(b->loss == 1.5 && b->answers_changed == -1 && b->network.dead == 0);
    assert_string_equal(b->fault, faulty.fault);

    size_t bytes;
    if (cp_records_write_csv(&records, "log.csv")) fail_msg("%s", cp_error());
    char *csv = (char *)temp_get("log.csv", &bytes);
    assert_non_null(strstr(csv, "\n7,448,,network,30,3,4,0.25,0.333333333,,\n"));
    assert_non_null(strstr(csv, "\n7,448,,layer_002_convolutional,10,2,1,,0.5,1e-30,\n"));
    assert_non_null(strstr(csv, "\n7,448,1.5,network,30,,,"));
    free(csv);
    cp_records_free(&records);
    free(r.layers), free(faulty.layers);
}

/* A good line with `from` replaced by `to`. */
static void expect_refusal(const char *from, const char *to, const char *message)
{
    cp_record r = example(2);
    cp_records records = {0};
    size_t bytes;
    bool cut;
    remove("good"), remove("bad");
    append("good", &r);
    append("bad", &r);
    char *line = (char *)temp_get("good", &bytes), *at = strstr(line, from);
    if (!at) fail_msg("no %s in %s", from, line);
    FILE *file = fopen("bad", "a");
    fprintf(file, "%.*s%s%s", (int)(at - line), line, to, at + strlen(from));
    fclose(file);
    cp_status status = cp_log_read("bad", &records, &cut);
    if (status != CP_EINPUT || !strstr(cp_error(), message) || !strstr(cp_error(), "bad:2") || strchr(cp_error(), '\n'))
        fail_msg("%s -> %s: %d, %s", from, to, status, cp_error());
    cp_records_free(&records);
    free(line);
    free(r.layers);
}

static void broken_lines(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{", "[", ""}, {"{\"critpath\"", "{\"other\"", "critpath"}, {"\"iteration\": 7", "\"iteration\": -7", "iteration"},
        {"\"iteration\": 7", "\"iteration\": 7.5", "iteration"}, {"\"iteration\": 7", "\"iteration\": 1e99", "iteration"},
        {"\"iteration\": 7", "\"iteration\": 7, \"iteration\": 8", ""}, {"\"pictures\": 3", "\"pictures\": \"3\"", "pictures"},
        {"\"dead\": 3", "\"dead\": 31", "dead"}, {"\"dead\": 3", "\"dead\": null", "dead"}, {"0.25", "1.25", "flipped"},
        {"\"answers_changed\": 2", "\"answers_changed\": 4", "answers_changed"}, {"\"loss\": null", "\"loss\": [1]", "loss"},
        {"\"network\": {", "\"network\": [{}], \"x\": {", "no object"}, {"\"layers\": [", "\"layers\": [], \"x\": [", "0 rows"},
        {"\"layers\": [", "\"layers\": [1, ", "no object"}, {"layer_001", "layer_002", "another network"},
        {"\"units\": 10", "\"units\": 11", "another network"}, {"layer_000_convolutional\", ", "layer_000\xff\", ", ""},
        {"\"name\"", "\"named\"", "name"}, {"null", "nul", ""}, {"critpath\": \"", "critpath\": \"\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refusal(cases[i][0], cases[i][1], cases[i][2]);
}

static void no_logs(void **state)
{
    (void)state;
    cp_records records = {0};
    bool cut;
    temp_put("empty", "", 0);
    temp_put("cut", "{\"critpath\"", 11);
    temp_put("blank", "\n", 1);
    temp_put("zeros", "\0\0\0\n", 4);
    static const char *const names[] = {"empty", "cut", "blank", "zeros", "absent", "."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(cp_log_read(names[i], &records, &cut), CP_EINPUT);
        assert_int_equal(records.n, 0);
    }
    /* What would end on a terminal is made harmless. */
    cp_record r = example(1);
    remove("log");
    strcpy(r.file, "a\033[2Jb");
    append("log", &r);
    if (cp_log_read("log", &records, &cut)) fail_msg("%s", cp_error());
    assert_string_equal(records.record[0].file, "a?[2Jb");
    cp_records_free(&records);
    free(r.layers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(broken_lines),
        cmocka_unit_test(no_logs),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
