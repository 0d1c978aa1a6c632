/* The text of a cfg: reading as Darknet reads it, typed values, editing, writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "model/cfg.h"

static cp_cfg *parse(const char *text)
{
    cp_cfg *cfg = NULL;
    cp_status status = cp_cfg_parse("t.cfg", text, strlen(text), &cfg);
    if (status != CP_OK) fail_msg("%s", cp_error());
    return cfg;
}

static void expect_bytes(const char *text, size_t length, const char *message)
{
    cp_cfg *cfg = NULL;
    assert_int_equal(cp_cfg_parse("t.cfg", text, length, &cfg), CP_EINPUT);
    assert_string_equal(cp_error(), message);
    assert_null(cfg);
}

static void expect(const char *text, const char *message) { expect_bytes(text, strlen(text), message); }

static void test_reads_as_darknet_does(void **state)
{
    (void)state;
    cp_cfg *cfg = parse("# a comment\n"
                        "\n"
                        " [ n e t ] \n"
                        "\t; another\n"
                        "width = 4 2\n"
                        "width=7\n"
                        "anchors =  1.5, 2 ,-3e1\n"
                        "key = a=b\n"
                        "[convolutional]\n"
                        "filters=3#three");
    assert_int_equal(cp_cfg_sections(cfg), 2);
    assert_string_equal(cp_cfg_type(cfg, 0), "net");
    assert_int_equal(cp_cfg_line(cfg, 0), 3);
    assert_int_equal(cp_cfg_line(cfg, 1), 9);
    int n;
    assert_int_equal(cp_cfg_int(cfg, 0, "width", 1, &n), CP_OK);
    assert_int_equal(n, 42);
    assert_int_equal(cp_cfg_int(cfg, 0, "height", -5, &n), CP_OK);
    assert_int_equal(n, -5);
    assert_int_equal(cp_cfg_int(cfg, 1, "filters", 1, &n), CP_OK);
    assert_int_equal(n, 3);
    assert_string_equal(cp_cfg_string(cfg, 0, "key", NULL), "a=b");
    assert_null(cp_cfg_string(cfg, 0, "none", NULL));
    float *floats;
    size_t count;
    assert_int_equal(cp_cfg_floats(cfg, 0, "anchors", &floats, &count), CP_OK);
    assert_int_equal(count, 3);
    assert_true(floats[0] == 1.5f && floats[1] == 2 && floats[2] == -30);
    cp_free(floats);
    cp_cfg_free(cfg);
}

static void test_values_must_be_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *value, *as_int, *as_float;
    } cases[] = {
        {"abc", "is not an integer of 32 bits", "is not a finite number"},
        {"2147483648", "is not an integer of 32 bits", NULL},
        {"-2147483649", "is not an integer of 32 bits", NULL},
        {"99999999999999999999", "is not an integer of 32 bits", NULL},
        {"1e999", NULL, "is not a finite number"},
        {"1e39", NULL, "is not a finite number"},
        {"nan", "is not an integer of 32 bits", "is not a finite number"},
        {"inf", "is not an integer of 32 bits", "is not a finite number"},
        {"-", "is not an integer of 32 bits", "is not a finite number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100], message[200];
        snprintf(text, sizeof text, "[net]\n[conv]\nk=%s\n", cases[i].value);
        cp_cfg *cfg = parse(text);
        int n;
        float f;
        snprintf(message, sizeof message, "t.cfg: layer 0 [conv], line 3: k=%s %s", cases[i].value, cases[i].as_int ? cases[i].as_int : "");
        assert_int_equal(cp_cfg_int(cfg, 1, "k", 0, &n), cases[i].as_int ? CP_EINPUT : CP_OK);
        if (cases[i].as_int) assert_string_equal(cp_error(), message);
        if (cases[i].as_float) {
            snprintf(message, sizeof message, "t.cfg: layer 0 [conv], line 3: k=%s %s", cases[i].value,
                     cases[i].as_float);
            assert_int_equal(cp_cfg_float(cfg, 1, "k", 0, &f), CP_EINPUT);
            assert_string_equal(cp_error(), message);
        } else {
            assert_int_equal(cp_cfg_float(cfg, 1, "k", 0, &f), CP_OK);
        }
        cp_cfg_free(cfg);
    }
    /* What follows a number is ignored, as by atoi and atof. */
    cp_cfg *cut = parse("[net]\nk=5x\nl=3,4\nm=1.5\nn=0x10\n");
    static const int whole[] = {5, 3, 1, 0};
    static const float real[] = {5, 3, 1.5f, 0};
    for (int i = 0; i < 4; i++) {
        char key[] = {(char)('k' + i), 0};
        int n;
        float f;
        assert_int_equal(cp_cfg_int(cut, 0, key, -1, &n), CP_OK);
        assert_int_equal(n, whole[i]);
        assert_int_equal(cp_cfg_float(cut, 0, key, -1, &f), CP_OK);
        assert_true(f == real[i]);
    }
    cp_cfg_free(cut);
    cp_cfg *cfg = parse("[net]\na=1,,2\nb=1,2,\nc=,1\nd=1,2#x,3\ne=-2147483648,+2147483647\n");
    int *ints;
    size_t n;
    assert_int_equal(cp_cfg_ints(cfg, 0, "a", &ints, &n), CP_EINPUT);
    assert_string_equal(cp_error(), "t.cfg: [net], line 2: a: item 2 of 3, '', is not an integer of 32 bits");
    assert_int_equal(cp_cfg_ints(cfg, 0, "b", &ints, &n), CP_EINPUT);
    assert_int_equal(cp_cfg_ints(cfg, 0, "c", &ints, &n), CP_EINPUT);
    assert_null(ints);
    assert_int_equal(cp_cfg_ints(cfg, 0, "d", &ints, &n), CP_OK); /* a comment, whose commas do not count */
    assert_int_equal(n, 2);
    assert_int_equal(ints[1], 2);
    cp_free(ints);
    assert_int_equal(cp_cfg_ints(cfg, 0, "e", &ints, &n), CP_OK);
    assert_int_equal(ints[0], INT32_MIN);
    assert_int_equal(ints[1], INT32_MAX);
    cp_free(ints);
    cp_cfg_free(cfg);
}

static void test_form_is_refused(void **state)
{
    (void)state;
    expect("", "t.cfg: no section, the first must be [net]");
    expect("# only this\n", "t.cfg: no section, the first must be [net]");
    expect("width=3\n[net]\n", "t.cfg: line 1: 'width=3' stands before the first section, which must be [net]");
    expect("[net]\nwidth\n", "t.cfg: [net], line 2: 'width' is neither key=value nor a [section]");
    expect("[net]\nwidth=\n", "t.cfg: [net], line 2: 'width=' has no value");
    expect("[net]\n=3\n", "t.cfg: [net], line 2: '=3' is neither key=value nor a [section]");
    expect("[net\n", "t.cfg: line 1: '[net' is no section, [type] is needed");
    expect("[]\n", "t.cfg: line 1: '[]' is no section, [type] is needed");
    expect("[net]\n\x1b[31mred=1\n", "t.cfg: line 2 holds the byte 0x1b, a cfg is a text file");
    expect_bytes("[net]\na=1\0b\n", 12, "t.cfg: line 2 holds the byte 0x00, a cfg is a text file");
}

/* Carriage returns and blanks at line ends, a byte order mark, comments behind sections and lists. */
static void test_text_as_it_comes(void **state)
{
    (void)state;
    cp_cfg *cfg = parse("\xef\xbb\xbf[net] # hank-ai's\r\nwidth = 32 \t\r\n\r\n; no\r\n[yolo]\r\nmask = 0,1 # 2,3\r\n"
                        "anchors=1,2, 3,4, # the rest\r\nlayers=-1,-4#both\r\nfrom=-1 # a, b\r\nlast=7\r");
    assert_int_equal(cp_cfg_sections(cfg), 2);
    assert_string_equal(cp_cfg_type(cfg, 0), "net");
    assert_string_equal(cp_cfg_string(cfg, 0, "width", ""), "32");
    assert_string_equal(cp_cfg_string(cfg, 1, "last", ""), "7");
    assert_string_equal(cp_cfg_string(cfg, 1, "mask", ""), "0,1");
    assert_string_equal(cp_cfg_string(cfg, 1, "anchors", ""), "1,2,3,4");
    int *ints;
    size_t n;
    assert_int_equal(cp_cfg_ints(cfg, 1, "layers", &ints, &n), CP_OK);
    assert_true(n == 2 && ints[0] == -1 && ints[1] == -4);
    cp_free(ints);
    assert_int_equal(cp_cfg_ints(cfg, 1, "from", &ints, &n), CP_EINPUT);
    assert_string_equal(cp_error(), "t.cfg: layer 0 [yolo], line 9: from=-1#a,b: Darknet counts the comma in the comment, too: "
                                    "take it out");
    cp_cfg_free(cfg);
    static const char utf16[] = "cfg: t.cfg is UTF-16 text, UTF-8 or plain ASCII is needed: save it as that";
    expect_bytes("\xff\xfe[\0n\0e\0t\0]\0", 12, utf16);
    expect_bytes("\xfe\xff\0[\0n\0e\0t\0]", 12, utf16);
    expect_bytes("[\0n\0e\0t\0]\0", 10, utf16);
    expect_bytes("\0[\0n\0e\0t\0]", 10, utf16);
    expect_bytes("\xff\xfe\0\0[\0\0\0", 8, "cfg: t.cfg is UTF-32 text, UTF-8 or plain ASCII is needed: save it as that");
}

static void test_limits(void **state)
{
    (void)state;
    size_t room = CP_CFG_MAX_BYTES + 2;
    char *text = malloc(room);
    assert_non_null(text);
    memset(text, '#', room);
    expect_bytes(text, CP_CFG_MAX_BYTES + 1, "t.cfg: 1048577 bytes, a cfg has at most 1048576");
    expect_bytes(text, CP_CFG_MAX_LINE, "t.cfg: line 1 has 65536 bytes, at most 65535 are allowed");
    size_t n = 0;
    for (int i = 0; i < CP_CFG_MAX_SECTIONS + 1; i++) n += (size_t)sprintf(text + n, "[a]\n");
    expect_bytes(text, n, "t.cfg: line 10001: more than 10000 sections");
    n = (size_t)sprintf(text, "[net]\n");
    for (int i = 0; i < CP_CFG_MAX_KEYS + 1; i++) n += (size_t)sprintf(text + n, "k=1\n");
    expect_bytes(text, n, "t.cfg: [net], line 302: more than 300 keys");
    free(text);
    cp_cfg *cfg = NULL;
    assert_int_equal(cp_cfg_read(".", &cfg), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "a folder"));
    assert_int_equal(cp_cfg_read("no/such.cfg", &cfg), CP_EINPUT);
    assert_string_equal(cp_error(), "cfg: cannot open no/such.cfg: No such file or directory");
}

/* Rendered text of an edited cfg; the cfg is freed. */
static void expect_text(cp_cfg *cfg, const char *expected)
{
    char *text;
    size_t length;
    assert_int_equal(cp_cfg_render(cfg, &text, &length), CP_OK);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, expected);
    cp_free(text);
    cp_cfg_free(cfg);
}

static void test_set_and_prepare(void **state)
{
    (void)state;
    cp_cfg *cfg = parse("[net]\nbatch=64\nsubdivisions=16\nadam=1\nwidth=8\ninputs=3\n[yolo]\nmap=x\nnum=3\n"
                        "[region]\nmap=y\n[conv]\nmap=z\n");
    cp_cfg *copy = NULL;
    assert_int_equal(cp_cfg_copy(cfg, &copy), CP_OK);
    assert_int_equal(cp_cfg_prepare(copy, 4, 100, 2000), CP_OK);
    expect_text(copy, "[net]\nbatch=4\nsubdivisions=1\nadam=0\nwidth=100\nheight=2000\n\n[yolo]\nnum=3\n\n[region]\n\n"
                      "[conv]\nmap=z\n");
    cp_cfg_unset(cfg, 0, "adam");
    cp_cfg_unset(cfg, 0, "nothing");
    assert_int_equal(cp_cfg_set(cfg, 2, "mask", "%s", "1,2"), CP_OK);
    assert_int_equal(cp_cfg_set(cfg, 2, "mask", "a b"), CP_EINTERNAL);
    expect_text(cfg, "[net]\nbatch=64\nsubdivisions=16\nwidth=8\ninputs=3\n\n[yolo]\nmap=x\nnum=3\n\n[region]\nmap=y\n"
                     "mask=1,2\n\n[conv]\nmap=z\n");
    cfg = parse("[net]\nsubdivisions=0\n");
    assert_int_equal(cp_cfg_prepare(cfg, 1, 0, 0), CP_EINPUT);
    assert_string_equal(cp_error(), "t.cfg: [net], line 2: subdivisions=0, at least 1 is needed");
    cp_cfg_free(cfg);
}

static const char references[] = "[net]\n[a]\n[b]\n[c]\n[route]\nlayers=-1,1,-3\n[shortcut]\nfrom=-3\n[d]\n"
                                 "[route]\nlayers=2,5\n";

static void test_insert_renumbers(void **state)
{
    (void)state;
    /* Before layer 2 [c]: layer 3 names 2, 1, 0; layer 4 names 1; layer 6 names 2 and 5. */
    cp_cfg *cfg = parse(references);
    assert_int_equal(cp_cfg_insert_layer(cfg, 2, "mask", false), CP_OK);
    expect_text(cfg, "[net]\n\n[a]\n\n[b]\n\n[mask]\n\n[c]\n\n[route]\nlayers=-1,1,-4\n\n[shortcut]\nfrom=-4\n\n[d]\n\n"
                     "[route]\nlayers=3,6\n");
    /* What read layer 1 now reads the new layer 2. */
    cfg = parse(references);
    assert_int_equal(cp_cfg_insert_layer(cfg, 2, "mask", true), CP_OK);
    expect_text(cfg, "[net]\n\n[a]\n\n[b]\n\n[mask]\n\n[c]\n\n[route]\nlayers=-1,2,-4\n\n[shortcut]\nfrom=-3\n\n[d]\n\n"
                     "[route]\nlayers=3,6\n");
    cfg = parse(references);
    assert_int_equal(cp_cfg_insert_layer(cfg, 7, "end", true), CP_OK);
    expect_text(cfg, "[net]\n\n[a]\n\n[b]\n\n[c]\n\n[route]\nlayers=-1,1,-3\n\n[shortcut]\nfrom=-3\n\n[d]\n\n"
                     "[route]\nlayers=2,5\n\n[end]\n");
    cfg = parse(references);
    assert_int_equal(cp_cfg_insert_layer(cfg, 0, "first", false), CP_OK);
    expect_text(cfg, "[net]\n\n[first]\n\n[a]\n\n[b]\n\n[c]\n\n[route]\nlayers=-1,2,-3\n\n[shortcut]\nfrom=-3\n\n"
                     "[d]\n\n[route]\nlayers=3,6\n");
}

static void test_remove_renumbers(void **state)
{
    (void)state;
    cp_cfg *cfg = parse(references);
    assert_int_equal(cp_cfg_remove_layer(cfg, 2), CP_OK);
    expect_text(cfg, "[net]\n\n[a]\n\n[b]\n\n[route]\nlayers=-1,1,-2\n\n[shortcut]\nfrom=-2\n\n[d]\n\n"
                     "[route]\nlayers=1,4\n");
    /* Inserting and removing again is the identity. */
    cfg = parse(references);
    assert_int_equal(cp_cfg_insert_layer(cfg, 3, "mask", true), CP_OK);
    assert_int_equal(cp_cfg_remove_layer(cfg, 3), CP_OK);
    expect_text(cfg, "[net]\n\n[a]\n\n[b]\n\n[c]\n\n[route]\nlayers=-1,1,-3\n\n[shortcut]\nfrom=-3\n\n[d]\n\n"
                     "[route]\nlayers=2,5\n");
    cfg = parse(references);
    assert_int_equal(cp_cfg_remove_layer(cfg, 0), CP_EINPUT);
    assert_string_equal(cp_error(), "t.cfg: layer 3 [route], line 5: reads layer 0, which cannot be removed");
    cp_cfg_free(cfg);
    cfg = parse("[net]\n[a]\n[route]\nlayers=1\n");
    assert_int_equal(cp_cfg_insert_layer(cfg, 0, "x", false), CP_EINPUT);
    assert_string_equal(cp_error(), "t.cfg: layer 1 [route], line 4: layers names layer 1, a layer before 1 is needed");
    cp_cfg_free(cfg);
}

static void test_write_and_read_back(void **state)
{
    (void)state;
    char path[] = P_tmpdir "/test_cfg_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    cp_cfg *cfg = parse(references), *again = NULL;
    assert_int_equal(cp_cfg_write(cfg, path), CP_OK);
    assert_int_equal(cp_cfg_read(path, &again), CP_OK);
    assert_string_equal(cp_cfg_path(again), path);
    assert_int_equal(cp_cfg_sections(again), 8);
    assert_string_equal(cp_cfg_string(again, 4, "layers", ""), "-1,1,-3");
    cp_cfg_free(again);
    cp_cfg_free(cfg);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_as_darknet_does), cmocka_unit_test(test_values_must_be_numbers),
        cmocka_unit_test(test_form_is_refused),       cmocka_unit_test(test_text_as_it_comes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_set_and_prepare),       cmocka_unit_test(test_insert_renumbers),
        cmocka_unit_test(test_remove_renumbers),      cmocka_unit_test(test_write_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
