/* JSON: numbers that read back, what becomes null, what is refused. */
#include <float.h>
#include <math.h>

#include "io/error.h"
#include "io/json.h"
#include "io_temp.h"

static char *text_of(json_t *value, bool indent)
{
    char *text;
    size_t bytes;
    assert_ok(cp_json_format(value, indent, &text, &bytes));
    assert_int_equal(strlen(text), bytes);
    json_decref(value);
    return text;
}

static void assert_text(json_t *value, const char *wanted)
{
    char *text = text_of(value, false);
    assert_string_equal(text, wanted);
    cp_free(text);
}

static void numbers(void **state)
{
    (void)state;
    assert_text(cp_json_real(0.1), "0.1");
    assert_text(cp_json_real(1), "1.0");
    assert_text(cp_json_real(-0.0), "-0.0");
    assert_text(cp_json_real(1e300), "1e+300");
    assert_text(cp_json_real(0.1 + 0.2), "0.30000000000000004");
    assert_text(cp_json_float(0.1f), "0.1");
    assert_text(cp_json_float(16777216.f), "16777216.0");
    assert_text(cp_json_float(0.9f), "0.9");
    assert_text(cp_json_real(NAN), "null");
    assert_text(cp_json_real(-INFINITY), "null");
    assert_text(cp_json_float(INFINITY), "null");
    assert_text(json_integer(-9007199254740993), "-9007199254740993");
}

static double back(json_t *value)
{
    char *text = text_of(value, false);
    json_t *parsed = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(parsed);
    double number = json_real_value(parsed);
    json_decref(parsed);
    cp_free(text);
    return number;
}

static void any_number_reads_back(void **state)
{
    (void)state;
    uint64_t v = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        v ^= v << 13;
        v ^= v >> 7;
        v ^= v << 17;
        double d;
        float f;
        memcpy(&d, &v, sizeof d);
        memcpy(&f, &v, sizeof f);
        if (isfinite(d) && back(cp_json_real(d)) != d) fail_msg("%.17g", d);
        if (isfinite(f) && (float)back(cp_json_float(f)) != f) fail_msg("%.9g", f);
    }
    assert_true(back(cp_json_real(DBL_MAX)) == DBL_MAX);
    assert_true(back(cp_json_real(5e-324)) == 5e-324);
    assert_true((float)back(cp_json_float(1e-45f)) == 1e-45f);
}

static void text(void **state)
{
    (void)state;
    assert_text(cp_json_text("dog"), "\"dog\"");
    assert_text(cp_json_text(NULL), "null");
    assert_text(cp_json_text("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\u0001\"");
    assert_text(cp_json_text("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
    assert_text(cp_json_text("caf\xe9!"), "\"caf\xef\xbf\xbd!\"");          /* Latin-1 */
    assert_text(cp_json_text("\xc3"), "\"\xef\xbf\xbd\"");                 /* cut in a character */
    assert_text(cp_json_text("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\""); /* overlong */
    assert_text(cp_json_text("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
}

static json_t *sample(void)
{
    json_t *object = json_object(), *shape = json_array(), *boxes = json_array(), *box = json_object();
    assert_ok(cp_json_set(object, "name", cp_json_text("dog")));
    assert_ok(cp_json_append(shape, json_integer(3)));
    assert_ok(cp_json_append(shape, cp_json_real(0.5)));
    assert_ok(cp_json_set(object, "shape", shape));
    assert_ok(cp_json_set(box, "x", json_integer(1)));
    assert_ok(cp_json_append(boxes, box));
    assert_ok(cp_json_set(object, "boxes", boxes));
    assert_ok(cp_json_set(object, "cut", json_false()));
    assert_ok(cp_json_set(object, "none", json_object()));
    return object;
}

static void layout(void **state)
{
    (void)state;
    assert_text(sample(),
                "{\"name\": \"dog\", \"shape\": [3, 0.5], \"boxes\": [{\"x\": 1}], \"cut\": false, \"none\": {}}");
    char *indented = text_of(sample(), true);
    assert_string_equal(indented,
                        "{\n  \"name\": \"dog\",\n  \"shape\": [3, 0.5],\n  \"boxes\": [\n    {\n      \"x\": 1\n"
                        "    }\n  ],\n  \"cut\": false,\n  \"none\": {}\n}\n");
    cp_free(indented);
}

static void files_and_streams(void **state)
{
    (void)state;
    json_t *object = sample(), *parsed;
    assert_ok(cp_json_write_file(object, "o.json"));
    assert_ok(cp_json_read_file("o.json", &parsed));
    assert_true(json_equal(object, parsed));
    json_decref(parsed);
    assert_refused(cp_json_write_file(object, "none/o.json"), CP_EINPUT, "none/o.json: cannot write");
    FILE *stream = fopen("lines", "wb");
    assert_ok(cp_json_write_stream(object, stream));
    assert_ok(cp_json_write_stream(object, stream));
    fclose(stream);
    size_t bytes;
    char *lines = (char *)temp_get("lines", &bytes);
    assert_ptr_equal(strchr(strchr(lines, '\n') + 1, '\n'), lines + bytes - 1); /* two lines */
    free(lines);
    FILE *full = fopen("/dev/full", "wb");
    if (full) {
        assert_refused(cp_json_write_stream(object, full), CP_ERESOURCE, "cannot write");
        fclose(full);
    }
    json_decref(object);
    assert_refused(cp_json_write_file(NULL, "o.json"), CP_ERESOURCE, "o.json: JSON: no value");
    assert_refused(cp_json_set(NULL, "k", json_null()), CP_ERESOURCE, "'k'");
}

static void refused_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "m:1: "},
        {"{\"a\": 1,\n\"b\": }", "m:2: unexpected token"},
        {"{\"a\": 1, \"a\": 2}", "duplicate object key"},
        {"{} {}", "end of file expected"},
        {"{\"a\": \"\xff\"}", "unable to decode byte 0xff"},
        {"{\"a\": NaN}", "m:1: "},
        {"{\"a\": 1e999}", "overflow"},
        {"{\"a\": 99999999999999999999}", "too big integer"},
        {"{\"a\": \"\\u0000\"", "m:1: "},
        {"{\"a", "m:1: "},
    };
    json_t *value;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(cp_json_parse(cases[i].text, strlen(cases[i].text), "m", &value), CP_EINPUT, cases[i].message);
        assert_null(value);
    }
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    assert_refused(cp_json_parse(deep, 200000, "m", &value), CP_EINPUT, "depth");
    free(deep);
    assert_refused(cp_json_parse("", CP_JSON_MAX_BYTES + 1, "m", &value), CP_EINPUT, "at most 67108864");
    temp_put("bad.json", "{\n\n!}", 5);
    assert_refused(cp_json_read_file("bad.json", &value), CP_EINPUT, "bad.json:3: ");
    assert_refused(cp_json_read_file("none.json", &value), CP_EINPUT, "cannot open none.json");
}

static void members(void **state)
{
    (void)state;
    const char *source = "{\"t\": \"x\", \"i\": 7, \"r\": 0.5, \"n\": null, \"z\": \"a\\u0000b\"}", *text_value;
    json_t *object;
    json_int_t integer;
    double real;
    /* a zero byte in text is refused by the parser unless asked for, and by the getter in any case */
    assert_int_equal(cp_json_parse(source, strlen(source), "m", &object), CP_EINPUT);
    source = "{\"t\": \"x\", \"i\": 7, \"r\": 0.5, \"n\": null}";
    assert_ok(cp_json_parse(source, strlen(source), "m", &object));
    assert_ok(cp_json_get_text(object, "t", "m", &text_value));
    assert_string_equal(text_value, "x");
    assert_ok(cp_json_get_integer(object, "i", "m", 0, 7, &integer));
    assert_int_equal(integer, 7);
    assert_ok(cp_json_get_real(object, "r", "m", 0, 1, &real));
    assert_true(real == 0.5);
    assert_ok(cp_json_get_real(object, "i", "m", 0, 9, &real)); /* an integer is a number */
    assert_refused(cp_json_get_text(object, "i", "m", &text_value), CP_EINPUT, "m: 'i' is an integer, text is needed");
    assert_refused(cp_json_get_text(object, "q", "m", &text_value), CP_EINPUT, "m: 'q' is absent, text is needed");
    assert_refused(cp_json_get_integer(object, "r", "m", 0, 9, &integer), CP_EINPUT, "'r' is a real number");
    assert_refused(cp_json_get_integer(object, "i", "m", 0, 6, &integer), CP_EINPUT, "m: 'i' is 7, 0 to 6 is allowed");
    assert_refused(cp_json_get_real(object, "n", "m", 0, 1, &real), CP_EINPUT, "'n' is null, a number is needed");
    assert_refused(cp_json_get_real(object, "r", "m", 0.6, 1, &real), CP_EINPUT, "'r' is 0.5, 0.6 to 1 is allowed");
    assert_refused(cp_json_get_real(NULL, "r", "m", 0, 1, &real), CP_EINPUT, "absent");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(any_number_reads_back), cmocka_unit_test(text),
        cmocka_unit_test(layout),  cmocka_unit_test(files_and_streams),     cmocka_unit_test(refused_text),
        cmocka_unit_test(members),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
