/* The option parser: where options may stand, what values they take, and that a mistake says what would be right. */
#include "cli/commands.h"
#include "cli/pathway.h"
#include "io/suggest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cp_status run_nothing(const cp_command *command, const cp_options *options)
{
    (void)command, (void)options;
    return CP_OK;
}

static const cp_option_change grad_changes[] = {
    {.option = "offpath", .initial = "zeroed"},
    {.option = "sparsity", .methods = "greedy intgrad"},
    {0}};
static const cp_command commands[] = {
    {"explain", "<cfg>", "",
     "method sparsity floor seed steps tol preset class box target unit offpath thresh nms letterbox names out top "
     "no-picture",
     NULL, "", run_nothing, .changes = NULL},
    {"grad", "<cfg>", "", "method sparsity path offpath out", NULL, "", run_nothing, .plain = true,
     .changes = grad_changes},
    {"layers", "<cfg>", "", "", NULL, "", run_nothing, .changes = NULL},
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
    assert_true(o.target == CP_TARGET_CLASS && o.offpath == CP_OFFPATH_FROZEN && o.granularity == -1);
    assert_int_equal(o.sparsity.n, 0);
    assert_true(o.thresh == -1 && o.nms == .45 && o.floor == 0);
    assert_int_equal(o.letterbox, -1);
    assert_int_equal(o.top, 5);
    assert_true(o.mem == 0 && !o.json && !o.quiet && !o.out && !o.unit && !o.class_name && !o.box);
    assert_int_equal(parse(&commands[1], "a.cfg", &o), CP_OK);
    assert_int_equal(o.offpath, CP_OFFPATH_ZEROED); /* the command's own */
}

/* Names in the table and the enums have one order. */
static void choices_are_positions(void **state)
{
    (void)state;
    const struct { const char *option, *name; int value;
    } choices[] = {{"target", "class", CP_TARGET_CLASS},
                   {"target", "objectness", CP_TARGET_OBJECTNESS},
                   {"target", "h", CP_TARGET_H},
                   {"offpath", "frozen", CP_OFFPATH_FROZEN},
                   {"offpath", "zeroed", CP_OFFPATH_ZEROED},
                   {"granularity", "neuron", CP_NEURON},
                   {"granularity", "channel", CP_CHANNEL},
                   {"preset", "code", CP_DGR_CODE},
                   {"preset", "wang", CP_DGR_WANG},
                   {"init", "1", CP_INIT_ONE},
                   {"init", "random", CP_INIT_RANDOM},
                   {"mode", "frozen", CP_MODE_FROZEN},
                   {"mode", "zero", CP_MODE_ZERO},
                   {"mode", "gate", CP_MODE_GATE},
                   {"removed", "zero", CP_REMOVED_ZERO},
                   {"removed", "mean", CP_REMOVED_MEAN},
                   {"norms", "auto", CP_EXACT_AUTO},
                   {"norms", "exact", CP_EXACT_ALWAYS},
                   {"norms", "estimate", CP_EXACT_NEVER}};
    cp_options o;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        assert_string_equal(cp_choice_name(choices[i].option, choices[i].value), choices[i].name);
    assert_int_equal(parse(&commands[0], "-target objectness -preset wang -method dgr -offpath zeroed", &o), CP_OK);
    assert_true(o.target == CP_TARGET_OBJECTNESS && o.preset == CP_DGR_WANG && o.offpath == CP_OFFPATH_ZEROED);
}

/* Every method of the table is one that runs, but for the plain gradient, which has no scores. */
static void methods_are_known(void **state)
{
    (void)state;
    for (const cp_method_text *row = cp_method_texts; row->name; row++)
        assert_int_equal(!cp_method_find(row->name), !row[1].name);
    for (const cp_command *command = cp_commands; command->name; command++)
        assert_int_equal(command->plain, cp_command_takes(command, "method") && !strcmp(command->name, "grad"));
    for (int i = 0; i < cp_option_count; i++) {
        char names[200], *rest = names;
        snprintf(names, sizeof names, "%s", cp_option_table[i].methods ? cp_option_table[i].methods : "mct");
        for (char *name; (name = strsep(&rest, " "));)
            assert_non_null(cp_method_find(name));
    }
}

/* Each word of a command's row is an option, each option some command's, and every default is one that can be given. */
static void tables_agree(void **state)
{
    (void)state;
    for (const cp_command *command = cp_commands; command->name; command++) {
        char names[2000], *rest = names;
        snprintf(names, sizeof names, "%s", command->options);
        for (char *name; (name = strsep(&rest, " "));)
            assert_true(!*name || cp_option_find(name));
        for (const cp_option_change *change = command->changes; change && change->option; change++)
            assert_true(cp_option_find(change->option) && cp_command_takes(command, change->option));
    }
    for (int i = 0; i < cp_option_count; i++) {
        int takers = 0;
        for (const cp_command *command = cp_commands; command->name; command++)
            takers += cp_command_takes(command, cp_option_table[i].name);
        assert_true(takers > 0);
        assert_ptr_equal(cp_option_find(cp_option_table[i].name), &cp_option_table[i]);
    }
}

static void options_of_other_methods(void **state)
{
    (void)state;
    cp_options o;
    assert_int_equal(parse(&commands[0], "-method intgrad -tol .1", &o), CP_OK);
    assert_int_equal(parse(&commands[0], "-tol .1 -method intgrad", &o), CP_OK);
    expect_refusal(&commands[0], "-tol .1", "explain: -tol does nothing with method mct; it is of intgrad");
    expect_refusal(&commands[0], "-preset wang -method greedy",
                   "explain: -preset does nothing with method greedy; it is of dgr dgr-random dgr-active");
    expect_refusal(&commands[1], "-sparsity .5",
                   "grad: -sparsity does nothing with method mct; it is of greedy intgrad");
    assert_int_equal(parse(&commands[1], "-sparsity .5 -method greedy", &o), CP_OK);
    assert_int_equal(parse(&commands[0], "-tol .1 -h", &o), CP_OK); /* who asks for help gets it */
    const cp_command *compare = cp_command_find("compare");
    assert_int_equal(parse(compare, "-tol .1", &o), CP_OK); /* intgrad is among the default ones */
    assert_int_equal(parse(compare, "-methods mct,intgrad -tol .1", &o), CP_OK);
    expect_refusal(compare, "-methods mct,greedy -tol .1",
                   "compare: -tol does nothing with method mct,greedy; it is of intgrad");
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
    expect_refusal(&commands[0], "-method gradient", "-method: unknown value \"gradient\", allowed is "
                   "mct|intgrad|lrp|eapig|ablation|shapley|greedy|dgr|dgr-random|dgr-active|effective|random|activation|active");
    expect_refusal(&commands[1], "-method gradeint", "-method: unknown value \"gradeint\", allowed is "
                   "mct|intgrad|lrp|eapig|ablation|shapley|greedy|dgr|dgr-random|dgr-active|effective|random|activation|active|gradient|"
             "contribution|contribution-all|contribution-coarse|contribution-restricted|pathway|pathway-zeroed|inputmct|"
             "inputintgrad|smoothgrad|gbp|gradcam|layercam|odam|eigencam|occlusion|rise|centre|edges|box|cell; did you mean gradient?");
    expect_refusal(&commands[0], "-offpath freeze",
                   "-offpath: unknown value \"freeze\", allowed is frozen|zeroed|kept; did you mean frozen?");
    expect_refusal(&commands[0], "-target z",
                   "-target: unknown value \"z\", allowed is class|objectness|x|y|w|h");
}

/* What the paper takes, unless an option says otherwise, with any method. */
static void preset_paper(void **state)
{
    (void)state;
    cp_options o;
    const cp_command *explain = cp_command_find("explain");
    assert_int_equal(parse(explain, "-preset paper", &o), CP_OK);
    assert_true(o.sparsity.n == 1 && o.sparsity.value[0] == .9 && o.map == CP_MAP_GRADIENT);
    assert_string_equal(o.steps, "auto");
    assert_int_equal(parse(explain, "-preset paper -method intgrad -sparsity .99 -map contribution", &o), CP_OK);
    assert_true(o.sparsity.n == 1 && o.sparsity.value[0] == .99 && o.map == CP_MAP_CONTRIBUTION);
    assert_string_equal(o.steps, "50");
    assert_int_equal(parse(explain, "", &o), CP_OK);
    assert_true(o.sparsity.n == 0 && o.map == CP_MAP_CONTRIBUTION);
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
    expect_refusal(&commands[0], "-sparsity 0.12345678901234567890123",
                   "-sparsity: \"0.12345678901234567890123\" is too long, a number has at most 24 characters");
    /* As many digits as JSON has. */
    char digits[] = "-sparsity 0.98904789201183433";
    assert_int_equal(parse(&commands[0], digits, &o), CP_OK);
    assert_true(o.sparsity.value[0] == 0.98904789201183433);
    assert_string_equal(o.sparsity.text[0], "0.98904789201183433");
    const cp_command *explain = cp_command_find("explain"), *compare = cp_command_find("compare");
    char automatic[] = "-sparsity auto,.9";
    assert_int_equal(parse(explain, automatic, &o), CP_OK);
    assert_true(o.sparsity.n == 2 && isnan(o.sparsity.value[0]) && o.sparsity.value[1] == .9 && o.mass == CP_MASS);
    expect_refusal(explain, "-sparsity auto,auto", "-sparsity: auto is in the list twice");
    expect_refusal(compare, "-sparsity auto", "-sparsity: \"auto\" is not a number");
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

static void suggestions(void **state)
{
    (void)state;
    const char *names[] = {"cab",       "tabby", "tiger cat", "Egyptian cat",
                           "catamaran", "dog",   "cat bear",  "concatenation"};
    const struct { const char *text, *hint; } cases[] = {
        {"cat", "; did you mean \"tiger cat\", \"Egyptian cat\", \"cat bear\"?"}, /* whole words, not what is nearest */
        {"CAT", "; did you mean \"tiger cat\", \"Egyptian cat\", \"cat bear\"?"},
        {"atama", "; did you mean \"catamaran\"?"},                               /* a part of a word */
        {"dgo", "; did you mean \"dog\"?"},
        {"ca", "; did you mean \"cab\"?"},                                        /* too short to be a part */
        {"zebra", ""}};
    char hint[500];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(cp_suggest(cases[i].text, names, 8, hint, sizeof hint), cases[i].hint);
    cp_suggest("cat", names, 8, hint, 20); /* what does not fit is cut */
    assert_int_equal(strlen(hint), 19);
}

/* Among Darknet's 21,842 short names of ImageNet. */
static void cats_of_imagenet(void **state)
{
    (void)state;
    FILE *file = fopen(DARKNET_SRC "/data/imagenet.shortnames.list", "r");
    char *names[1000], hint[500];
    size_t size = 0;
    int n = 0;
    assert_non_null(file);
    for (; n < 1000; n++) {
        names[n] = NULL;
        assert_true(getline(&names[n], &size, file) > 0);
        names[n][strcspn(names[n], "\n")] = 0;
        size = 0;
    }
    fclose(file);
    assert_string_equal(cp_suggest("cat", (const char *const *)names, n, hint, sizeof hint),
                        "; did you mean \"Egyptian cat\", "
                        "\"Persian cat\", \"tiger cat\", \"Siamese cat\", \"Madagascar cat\"?");
    while (n)
        free(names[--n]);
}

static void program_names(void **state)
{
    (void)state;
    const struct { const char *argv0, *program; } cases[] = {
        {"build/darknet", "darknet critpath"}, {"darknet", "darknet critpath"}, {"/usr/bin/critpath", "critpath"},
        {"critpath", "critpath"}, {"darknet-critpath", "darknet critpath"}, {NULL, "darknet critpath"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cp_set_program(cases[i].argv0);
        assert_string_equal(cp_program(), cases[i].program);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(unambiguous_prefixes),
        cmocka_unit_test(help_and_host_options),
        cmocka_unit_test(choices_belong_to_the_command),
        cmocka_unit_test(preset_paper),
        cmocka_unit_test(unknown_options),
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(sparsity_lists),
        cmocka_unit_test(sizes),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(cats_of_imagenet),
        cmocka_unit_test(program_names),
        cmocka_unit_test(choices_are_positions),
        cmocka_unit_test(methods_are_known),
        cmocka_unit_test(tables_agree),
        cmocka_unit_test(options_of_other_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
