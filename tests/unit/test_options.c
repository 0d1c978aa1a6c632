/* The option parser: where options may stand, what values they take, and that a mistake says what would be right. */
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cp_status run_nothing(const cp_options *options)
{
    (void)options;
    return CP_OK;
}

static const cp_command commands[] = {
    {"explain", "<cfg>", "",
     "method=mct sparsity floor class box target unit offpath thresh nms letterbox names out top no-picture", NULL, "",
     run_nothing},
    {"grad", "<cfg>", "", "method=mct|gradient sparsity path offpath out", NULL, "", run_nothing},
    {"layers", "<cfg>", "", "", NULL, "", run_nothing},
    {0},
};

/* Parses a space-separated command line. */
static cp_status parse(const cp_command *command, const char *line, cp_options *options)
{
    static char text[4096];
    static char *words[128];
    int n = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        words[n++] = word;
    words[n] = NULL;
    return cp_options_parse(command, commands, n, words, options);
}

static void expect_refusal(const cp_command *command, const char *line, const char *message)
{
    cp_options options;
    assert_int_equal(parse(command, line, &options), CP_EINPUT);
    if (strcmp(cp_error(), message))
        print_error("for \"%s\"\n", line);
    assert_string_equal(cp_error(), message);
}

static void defaults(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[0], "a.cfg a.weights", &o), CP_OK);
    assert_int_equal(o.n_arguments, 2);
    assert_string_equal(o.method, "mct");
    assert_string_equal(o.target, "class");
    assert_string_equal(o.offpath, "frozen");
    assert_int_equal(o.sparsity.n, 0);
    assert_true(o.thresh == .5 && o.nms == .45 && o.floor == 0);
    assert_int_equal(o.letterbox, 1);
    assert_int_equal(o.top, 5);
    assert_true(o.mem == 0 && !o.json && !o.quiet && !o.out && !o.unit && !o.class_name && !o.box);
}

static void options_stand_anywhere(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[0],
                           "-thresh .25 coco.data -json y.cfg --sparsity=.9,0.99 y.weights -out dog 1.jpg "
                           "--class dog 2.jpg -letterbox 0 -- -odd.jpg",
                           &o),
                     CP_OK);
    const char *expected[] = {"coco.data", "y.cfg", "y.weights", "1.jpg", "2.jpg", "-odd.jpg"};
    assert_int_equal(o.n_arguments, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(o.arguments[i], expected[i]);
    assert_true(o.thresh == .25 && o.json && o.letterbox == 0);
    assert_string_equal(o.out, "dog");
    assert_string_equal(o.class_name, "dog");
    assert_int_equal(o.sparsity.n, 2);
    assert_true(o.sparsity.value[0] == .9 && o.sparsity.value[1] == .99);
    assert_string_equal(o.sparsity.text[0], "0.9");
    assert_string_equal(o.sparsity.text[1], "0.99");
}

static void unambiguous_prefixes(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[0], "-spars .5 -no-pic", &o), CP_OK);
    assert_true(o.sparsity.value[0] == .5 && o.no_picture);
    expect_refusal(&commands[0], "-th 3", "explain: option \"-th\" fits several: -thresh, -threads");
}

static void help_and_host_options(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[2], "-h", &o), CP_OK);
    assert_true(o.help);
    assert_int_equal(parse(&commands[2], "--help", &o), CP_OK);
    assert_true(o.help);
    assert_int_equal(parse(&commands[2], "-i 0 -nogpu", &o), CP_OK);
    assert_true(o.nogpu && !o.help);
}

static void choices_belong_to_the_command(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[1], "-method gradient", &o), CP_OK);
    assert_string_equal(o.method, "gradient");
    expect_refusal(&commands[0], "-method gradient", "-method: unknown value \"gradient\", allowed is mct");
    expect_refusal(&commands[1], "-method gradeint",
                   "-method: unknown value \"gradeint\", allowed is mct|gradient; did you mean gradient?");
    expect_refusal(&commands[0], "-offpath freeze",
                   "-offpath: unknown value \"freeze\", allowed is frozen|zeroed; did you mean frozen?");
    expect_refusal(&commands[0], "-target z",
                   "-target: unknown value \"z\", allowed is class|objectness|x|y|w|h");
}

static void unknown_options(void **state)
{
    (void)state;
    expect_refusal(&commands[0], "-sparcity .9", "explain: unknown option \"-sparcity\"; did you mean -sparsity?");
    expect_refusal(&commands[0], "--tresh .9", "explain: unknown option \"--tresh\"; did you mean -thresh?");
    expect_refusal(&commands[0], "a.cfg -xyzzy",
                   "explain: unknown option \"-xyzzy\"; `darknet critpath explain -h` lists them");
    expect_refusal(&commands[2], "-thresh .5", "layers has no option -thresh; it belongs to explain");
    expect_refusal(&commands[2], "-offpath zeroed", "layers has no option -offpath; it belongs to explain, grad");
    expect_refusal(&commands[0], "-out", "explain: option -out needs a value");
    expect_refusal(&commands[0], "-json=1", "explain: option -json takes no value, found \"-json=1\"");
    expect_refusal(&commands[0], "-=3", "explain: unknown option \"-=3\"; `darknet critpath explain -h` lists them");
}

static void numbers_out_of_range(void **state)
{
    (void)state;
    expect_refusal(&commands[0], "-thresh 1.5", "-thresh: 1.5 is out of range, allowed is 0 to 1");
    expect_refusal(&commands[0], "-thresh half", "-thresh: \"half\" is not a number");
    expect_refusal(&commands[0], "-thresh nan", "-thresh: \"nan\" is not a number");
    expect_refusal(&commands[0], "-thresh 0x1", "-thresh: \"0x1\" is not a number");
    expect_refusal(&commands[0], "-thresh .5e", "-thresh: \".5e\" is not a number");
    expect_refusal(&commands[0], "-nms -1", "-nms: -1 is out of range, allowed is 0 to 1");
    expect_refusal(&commands[0], "-floor 1e9", "-floor: 1e9 is out of range, allowed is 0 to 1");
    expect_refusal(&commands[0], "-letterbox 2", "-letterbox: 2 is out of range, allowed is 0 to 1");
    expect_refusal(&commands[0], "-letterbox yes", "-letterbox: \"yes\" is not a whole number");
    expect_refusal(&commands[0], "-threads 1.5", "-threads: \"1.5\" is not a whole number");
    expect_refusal(&commands[0], "-threads 99999999999999999999",
                   "-threads: 99999999999999999999 is out of range, allowed is 0 to 1024");
    expect_refusal(&commands[0], "-top 0", "-top: 0 is out of range, allowed is 1 to 1000");
}

static void sparsity_lists(void **state)
{
    (void)state;
    cp_options o;
    char line[512] = "-sparsity 0";
    assert_int_equal(parse(&commands[0], line, &o), CP_OK);
    assert_true(o.sparsity.n == 1 && o.sparsity.value[0] == 0);
    for (int i = 1; i < CP_MAX_SPARSITIES; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), ",.%02d", i);
    assert_int_equal(parse(&commands[0], line, &o), CP_OK);
    assert_int_equal(o.sparsity.n, CP_MAX_SPARSITIES);
    strcat(line, ",.99");
    expect_refusal(&commands[0], line, "-sparsity: the list has more than 64 numbers");
    expect_refusal(&commands[0], "-sparsity 1", "-sparsity: 1 is out of range, allowed is 0 to below 1");
    expect_refusal(&commands[0], "-sparsity .9,1.5", "-sparsity: 1.5 is out of range, allowed is 0 to below 1");
    expect_refusal(&commands[0], "-sparsity .9,", "-sparsity: \"\" is not a number");
    expect_refusal(&commands[0], "-sparsity .9,,.99", "-sparsity: \"\" is not a number");
    expect_refusal(&commands[0], "-sparsity .9;.99", "-sparsity: \".9;.99\" is not a number");
    expect_refusal(&commands[0], "-sparsity .9,0.90", "-sparsity: 0.90 is in the list twice");
    expect_refusal(&commands[0], "-sparsity 0.123456789012",
                   "-sparsity: \"0.123456789012\" is too long, a number has at most 12 characters");
}

static void sizes(void **state)
{
    (void)state;
    const struct { const char *text; size_t bytes; } good[] = {
        {"4096", 4096}, {"1k", 1024}, {"512M", 512u << 20}, {"2G", (size_t)2 << 30}, {"2GB", (size_t)2 << 30},
        {"1.5GiB", (size_t)3 << 29}, {".5M", 1u << 19}, {"1T", (size_t)1 << 40}};
    size_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cp_parse_size("-mem", good[i].text, &bytes), CP_OK);
        assert_int_equal(bytes, good[i].bytes);
    }
    const char *bad[] = {"", "G", "-1G", "2X", "2GG", "1..5G", "2 G", "0x10", "."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char expected[128];
        snprintf(expected, sizeof expected, "-mem: \"%s\" is not a size like 2G, 512M or 4096", bad[i]);
        assert_int_equal(cp_parse_size("-mem", bad[i], &bytes), CP_EINPUT);
        assert_string_equal(cp_error(), expected);
    }
    expect_refusal(&commands[0], "-mem 0", "-mem: 0 is out of range, allowed is 1 byte to 1024T");
    expect_refusal(&commands[0], "-mem 9999999T", "-mem: 9999999T is out of range, allowed is 1 byte to 1024T");
}

static void nearest_names(void **state)
{
    (void)state;
    const char *names[] = {"explain", "layers", "score", "path", "grad"};
    const struct { const char *text, *near; } cases[] = {
        {"explian", "explain"}, {"EXPLAIN", "explain"}, {"layer", "layers"}, {"scroe", "score"}, {"pat", "path"},
        {"gradient", NULL}, {"frobnicate", NULL}, {"", NULL},
        {"averyveryverylongwordthatnooptionwilleverbeasnobodywouldtypeit", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *near = cp_nearest_name(cases[i].text, names, 5);
        if (cases[i].near) {
            assert_non_null(near);
            assert_string_equal(near, cases[i].near);
        } else {
            assert_null(near);
        }
    }
}

/* Usage names every option of the command and no other, each default, and the example. */
static void usage_text(void **state)
{
    (void)state;
    cp_command command = {"grad", "<cfg> <weights>", "Pathway gradient.", "method=mct|gradient sparsity", "note",
                          "darknet critpath grad a b", run_nothing};
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    cp_options_usage(&command, to);
    fclose(to);
    assert_non_null(strstr(text, "usage: darknet critpath grad <cfg> <weights> [-options]\nPathway gradient.\n"));
    assert_non_null(strstr(text, "-method mct|gradient"));
    assert_non_null(strstr(text, "-sparsity S[,S...]"));
    assert_non_null(strstr(text, "-threads N"));
    assert_null(strstr(text, "-thresh"));
    assert_non_null(strstr(text, "example: darknet critpath grad a b\n"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 120);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(unambiguous_prefixes),
        cmocka_unit_test(help_and_host_options),
        cmocka_unit_test(choices_belong_to_the_command),
        cmocka_unit_test(unknown_options),
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(sparsity_lists),
        cmocka_unit_test(sizes),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(usage_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
