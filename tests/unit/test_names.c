/* Names and .data files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "model/names.h"

static char folder[] = P_tmpdir "/test_names_XXXXXX";

/* A path in the folder of this test; one of four buffers in turn. */
static const char *in_folder(const char *name)
{
    static char paths[4][200];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int make_folders(void **state)
{
    (void)state;
    return mkdtemp(folder) && !mkdir(in_folder("cfg"), 0700) && !mkdir(in_folder("data"), 0700) ? 0 : -1;
}

static int remove_folders(void **state)
{
    (void)state;
    unlink(in_folder("names"));
    unlink(in_folder("cfg/beside.names"));
    unlink(in_folder("cfg/x.data"));
    unlink(in_folder("data/x.names"));
    rmdir(in_folder("cfg"));
    rmdir(in_folder("data"));
    return rmdir(folder);
}

static const char *write_file(const char *name, const char *text, size_t length)
{
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static cp_names *read_names(const char *text, int classes)
{
    cp_names *names = NULL;
    if (cp_names_read(write_file("names", text, strlen(text)), classes, &names) != CP_OK) fail_msg("%s", cp_error());
    return names;
}

static void expect(const char *path, int classes, const char *message)
{
    cp_names *names = NULL;
    char wanted[300];
    snprintf(wanted, sizeof wanted, message, path);
    assert_int_equal(cp_names_read(path, classes, &names), CP_EINPUT);
    assert_null(names);
    assert_string_equal(cp_error(), wanted);
}

static void test_lines(void **state)
{
    (void)state;
    cp_names *names = read_names("dog\r\n grizzly bear \t\r\n\ncat  ", 4);
    assert_int_equal(names->n, 4);
    assert_string_equal(names->names[0], "dog");
    assert_string_equal(names->names[1], "grizzly bear");
    assert_string_equal(names->names[2], "");
    assert_string_equal(names->names[3], "cat");
    cp_names_free(names);
    /* More names than classes are usual for ImageNet. */
    names = read_names("a\nb\nc\n\n \n", 2);
    assert_int_equal(names->n, 5);
    assert_int_equal(cp_names_beyond(names, 2), 1);
    assert_int_equal(cp_names_beyond(names, 3), 0); /* lines that say nothing */
    assert_int_equal(cp_names_beyond(names, 9), 0);
    cp_names_free(names);
    expect(in_folder("names"), 6, "names: %s has 5 names, the network has 6 classes");
}

static void test_bytes(void **state)
{
    (void)state;
    /* A byte order mark, an escape sequence, good UTF-8, Latin-1, an overlong slash, a surrogate, a cut character. */
    cp_names *names = read_names("\xef\xbb\xbf"
                                 "one\nr\x1b[31med\nna\xc3\xafve \xf0\x9f\x90\x95\nna\xefve\n\xc0\xaf\n\xed\xa0\x80\nx"
                                 "\xe2\x82", 0);
    static const char *const expected[] = {
        "one", "r?[31med", "na\xc3\xafve \xf0\x9f\x90\x95", "na?ve", "??", "???", "x??"};
    assert_int_equal(names->n, 7);
    for (size_t i = 0; i < 7; i++) assert_string_equal(names->names[i], expected[i]);
    cp_names_free(names);
    write_file("names", "a\0b\n", 4);
    assert_int_equal(cp_names_read(in_folder("names"), 1, &names), CP_OK);
    assert_string_equal(names->names[0], "a?b");
    cp_names_free(names);
}

static void test_bad_names(void **state)
{
    (void)state;
    char line[CP_NAMES_MAX_LINE + 3];
    memset(line, 'x', sizeof line);
    memcpy(line, "a\n", 2);
    expect(write_file("names", line, sizeof line), 1, "names: %s: line 2 has 1025 bytes, at most 1024 are allowed");
    expect(write_file("names", "", 0), 1, "names: %s is empty (0 bytes)");
    expect(write_file("names", "\xff\xfe" "d\0o\0g\0", 8), 1,
           "names: %s is UTF-16 text, UTF-8 or plain ASCII is needed: save it as that");
    expect(in_folder("none"), 1, "names: cannot open %s: No such file or directory");
    expect(in_folder("cfg"), 1, "names: %s is a folder, a regular file is needed");
}

static void test_find(void **state)
{
    (void)state;
    cp_names *names = read_names("Dog\ncat\ncrane\ndog\nCRANE\nfish\nlast", 0);
    assert_int_equal(cp_names_find(names, 0, "dog"), 3);
    assert_int_equal(cp_names_find(names, 0, "Dog"), 0);
    assert_int_equal(cp_names_find(names, 0, "DOG"), CP_NAME_AMBIGUOUS);
    assert_int_equal(cp_names_find(names, 0, "Fish"), 5);
    assert_int_equal(cp_names_find(names, 5, "fish"), CP_NAME_MISSING);
    assert_int_equal(cp_names_find(names, 3, "CRANE"), 2);
    cp_names_free(names);
}

static void test_data(void **state)
{
    (void)state;
    static const char text[] = "classes= 3\n#valid = no\nvalid  = /nowhere/valid.txt\nnames = data/x.names\n"
                               "labels=beside.names\ntop = 5\neval=coco\nbackup = backup\n";
    write_file("data/x.names", "a\n", 2);
    write_file("cfg/beside.names", "a\n", 2);
    const char *path = write_file("cfg/x.data", text, sizeof text - 1);
    cp_data *data = NULL;
    if (cp_data_read(path, &data) != CP_OK) fail_msg("%s", cp_error());
    char wanted[300];
    snprintf(wanted, sizeof wanted, "%s/cfg/../data/x.names", folder);
    assert_int_equal(data->classes, 3);
    assert_int_equal(data->top, 5);
    assert_string_equal(data->names, wanted);
    snprintf(wanted, sizeof wanted, "%s/cfg/beside.names", folder);
    assert_string_equal(data->labels, wanted);
    assert_string_equal(data->valid, "/nowhere/valid.txt");
    assert_null(data->train);
    assert_string_equal(data->eval, "coco");
    cp_data_free(data);

    /* From the current folder first; labels stand in for names. */
    char current[300];
    int n = snprintf(current, sizeof current, "labels=%s/names\n", folder);
    write_file("names", "a\n", 2);
    assert_int_equal(cp_data_read(write_file("cfg/x.data", current, (size_t)n), &data), CP_OK);
    assert_string_equal(data->names, in_folder("names"));
    assert_int_equal(data->classes, 0);
    cp_data_free(data);
}

static char said[4][300];
static int n_said;

static void hear(const char *line) { snprintf(said[n_said++ & 3], sizeof said[0], "%s", line); }

/* Windows's line ends, blanks in paths, keys that mean nothing. */
static void test_data_as_it_comes(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf" "classes = 3 things \r\nnmaes=x\r\nnames = x y.names \r\nnames=z\r\n"
                               "labels= be side.names\t\r\nbackup=b\r\nqqq=1";
    write_file("cfg/x y.names", "a\n", 2);
    cp_data *data = NULL;
    const char *path = write_file("cfg/x.data", text, sizeof text - 1);
    cp_set_notice(hear);
    n_said = 0;
    if (cp_data_read(path, &data) != CP_OK) fail_msg("%s", cp_error());
    cp_set_notice(NULL);
    char wanted[300];
    assert_int_equal(data->classes, 3);
    assert_string_equal(data->names, in_folder("cfg/x y.names"));
    /* Darknet drops the blank: that path is there, the other is not. */
    assert_string_equal(data->labels, in_folder("cfg/beside.names"));
    assert_int_equal(n_said, 3);
    snprintf(wanted, sizeof wanted, "%s: line 2: nmaes is no key of a .data file, it is not used; did you mean names?", path);
    assert_string_equal(said[0], wanted);
    snprintf(wanted, sizeof wanted, "%s: line 4: a second names, the first is used", path);
    assert_string_equal(said[1], wanted);
    snprintf(wanted, sizeof wanted, "%s: line 7: qqq is no key of a .data file, it is not used", path);
    assert_string_equal(said[2], wanted);
    cp_data_free(data);
}

static void test_bad_data(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"classes=none\n", "%s: [data], line 1: classes=none is not an integer of 32 bits"},
        {"\nclasses=0\n", "%s: [data], line 2: classes=0, at least 1 is needed"},
        {"top=-1\n", "%s: [data], line 1: top=-1, at least 1 is needed"},
        {"classes\n", "%s: [data], line 1: 'classes' is neither key=value nor a [section]"},
        {"names=\n", "%s: [data], line 1: 'names=' has no value"},
        {"[net]\nwidth=3\n", ".data file: %s is a cfg, a .data file is needed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cp_data *data = NULL;
        char wanted[300];
        const char *path = write_file("cfg/x.data", cases[i].text, strlen(cases[i].text));
        snprintf(wanted, sizeof wanted, cases[i].message, path);
        assert_int_equal(cp_data_read(path, &data), CP_EINPUT);
        assert_string_equal(cp_error(), wanted);
        assert_null(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_bytes), cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_find),  cmocka_unit_test(test_data), cmocka_unit_test(test_data_as_it_comes),  cmocka_unit_test(test_bad_data),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
