/* Results as lines: resumed after a kill, merged from shards to the bytes of one run, and refused where they are of another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/json.h"
#include "io/ledger.h"

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/critpath-ledger-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[4][120];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    assert_true(fread(text, 1, (1 << 16) - 1, file) < (1 << 16) - 1);
    fclose(file);
    return text;
}

static json_t *manifest(const char *shard, int steps)
{
    json_t *m = json_pack("{s:s,s:i}", "command", "eval", "steps", steps);
    if (shard)
        json_object_set_new(m, "shard", json_string(shard));
    return m;
}

static void write_some(const char *path, const char *shard, bool resume, size_t from, size_t to, size_t step)
{
    cp_ledger *ledger;
    assert_int_equal(cp_ledger_open(path, manifest(shard, 3), resume, &ledger), CP_OK);
    for (size_t i = from; i < to; i += step) {
        if (!cp_ledger_has(ledger, i))
            assert_int_equal(cp_ledger_add(ledger, i, json_pack("{s:f}", "value", (double)i / 4)), CP_OK);
        assert_true(json_real_value(json_object_get(cp_ledger_of(ledger, i), "value")) == (double)i / 4);
        assert_null(cp_ledger_of(ledger, i + 1 + to)); /* written and read in turns */
    }
    assert_int_equal(cp_ledger_count(ledger), (to - from + step - 1) / step);
    for (size_t k = 0; k < cp_ledger_count(ledger); k++) {
        assert_int_equal(cp_ledger_index(ledger, k), from + k * step);
        assert_true(json_real_value(json_object_get(cp_ledger_at(ledger, k), "value")) == (double)(from + k * step) / 4);
    }
    cp_ledger_close(ledger);
}

static void goes_on_after_a_kill(void **state)
{
    (void)state;
    write_some(in_folder("whole"), NULL, false, 0, 10, 1);
    char *whole = read_all(in_folder("whole"));
    /* A kill may leave any number of its bytes. */
    for (size_t bytes = 0; bytes <= strlen(whole); bytes += 5) {
        FILE *file = fopen(in_folder("torn"), "wb");
        assert_true(fwrite(whole, 1, bytes, file) == bytes && !fclose(file));
        write_some(in_folder("torn"), NULL, true, 0, 10, 1);
        char *text = read_all(in_folder("torn"));
        assert_string_equal(text, whole);
        free(text);
    }
    write_some(in_folder("torn"), NULL, false, 0, 3, 1); /* without resume it starts anew */
    free(whole);
}

static void merges_to_the_same_bytes(void **state)
{
    (void)state;
    write_some(in_folder("whole"), NULL, false, 0, 11, 1);
    char *whole = read_all(in_folder("whole"));
    for (size_t n = 1; n <= 7; n++) {
        char path[7][120];
        const char *paths[7];
        for (size_t k = 0; k < n; k++) {
            char name[20];
            snprintf(name, sizeof name, "%zu/%zu", k + 1, n);
            snprintf(path[k], sizeof path[k], "%s/shard%zu", folder, k);
            write_some(path[k], name, false, k, 11, n);
            paths[n - 1 - k] = path[k];
        }
        assert_int_equal(cp_ledger_merge(paths, (int)n, 11, in_folder("merged")), CP_OK);
        char *merged = read_all(in_folder("merged"));
        assert_string_equal(merged, whole);
        free(merged);
        if (n < 2)
            continue;
        assert_int_equal(cp_ledger_merge(paths, (int)n - 1, 0, in_folder("merged")), CP_EINPUT);
        assert_non_null(strstr(cp_error(), "image 0 is in none of"));
        paths[0] = paths[1];
        assert_int_equal(cp_ledger_merge(paths, (int)n, 0, in_folder("merged")), CP_EINPUT);
    }
    free(whole);
}

static void refuses_what_is_of_another_run(void **state)
{
    (void)state;
    cp_ledger *ledger;
    write_some(in_folder("a"), NULL, false, 0, 2, 1);
    assert_int_equal(cp_ledger_open(in_folder("a"), manifest(NULL, 4), true, &ledger), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "\"steps\" is 3 there and 4 here"));
    assert_int_equal(cp_ledger_open(in_folder("a"), manifest("1/2", 3), true, &ledger), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "\"shard\" is null there and \"1/2\" here"));
    static const char *const broken[] = {"[1]\n", "{}\n{\"index\":-1}\n", "{}\n{\"index\":0}\n{\"index\":0}\n", "{}\nx\n"};
    for (int i = 0; i < 4; i++) {
        FILE *file = fopen(in_folder("b"), "wb");
        assert_true(fputs(broken[i], file) >= 0 && !fclose(file));
        assert_int_equal(cp_ledger_open(in_folder("b"), json_object(), true, &ledger), CP_EINPUT);
        assert_null(ledger);
    }
    assert_int_equal(cp_ledger_open(in_folder("no/such/folder"), json_object(), false, &ledger), CP_EINPUT);
    assert_int_equal(cp_ledger_open(in_folder("c"), json_object(), false, &ledger), CP_OK);
    assert_int_equal(cp_ledger_add(ledger, 1, json_object()), CP_OK);
    assert_int_equal(cp_ledger_add(ledger, 1, json_object()), CP_EINTERNAL);
    cp_ledger_close(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_on_after_a_kill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(merges_to_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_what_is_of_another_run, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
