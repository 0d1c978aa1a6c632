/* .npz: both ways with NumPy, the same bytes every time, and archives made to harm. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <zip.h>

#include "io/error.h"
#include "io/npz.h"
#include "io_temp.h"

static const float scores[6] = {0, -1.5f, 2, 3.25f, 1e-45f, 1e38f};
static const unsigned char bits[4] = {1, 0, 0, 1};
static const cp_array_type score_type = {CP_FLOAT32, 3, {1, 2, 3}}, bit_type = {CP_BOOL, 3, {4, 1, 1}};

static void put_npz(const char *path, bool deflate)
{
    cp_npz_writer *writer;
    assert_ok(cp_npz_create(path, deflate, &writer));
    assert_ok(cp_npz_add_bytes(writer, "meta.json", "{\"a\": 1}\n", 9));
    assert_ok(cp_npz_add(writer, "layer_002_connected", &bit_type, bits));
    assert_ok(cp_npz_add(writer, "layer_000_convolutional", &score_type, scores));
    assert_ok(cp_npz_commit(&writer));
    assert_null(writer);
}

static void round_trip(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        put_npz("r.npz", deflate);
        cp_npz *npz;
        assert_ok(cp_npz_open("r.npz", &npz));
        assert_int_equal(cp_npz_count(npz), 2);
        assert_string_equal(cp_npz_name(npz, 0), "layer_000_convolutional"); /* by name, not as added */
        assert_string_equal(cp_npz_name(npz, 1), "layer_002_connected");
        size_t index;
        assert_false(cp_npz_find(npz, "layer_001", &index));
        assert_true(cp_npz_find(npz, "layer_002_connected", &index));
        assert_int_equal(index, 1);
        cp_array_type type;
        assert_ok(cp_npz_type(npz, 0, &type));
        assert_true(cp_array_type_equal(&type, &score_type));
        float f[6];
        unsigned char b[4];
        assert_ok(cp_npz_read(npz, 0, &score_type, f));
        assert_memory_equal(f, scores, sizeof f);
        assert_ok(cp_npz_read(npz, 1, &bit_type, b));
        assert_memory_equal(b, bits, sizeof b);
        assert_ok(cp_npz_read(npz, 1, &bit_type, b)); /* again */
        unsigned char *meta;
        size_t bytes;
        assert_true(cp_npz_has_bytes(npz, "meta.json"));
        assert_false(cp_npz_has_bytes(npz, "layer_002_connected.npy"));
        assert_ok(cp_npz_read_bytes(npz, "meta.json", 9, &meta, &bytes));
        assert_int_equal(bytes, 9);
        assert_string_equal((char *)meta, "{\"a\": 1}\n");
        cp_free(meta);
        assert_refused(cp_npz_read_bytes(npz, "meta.json", 8, &meta, &bytes), CP_EINPUT,
                       "meta.json has 9 bytes, at most 8 are allowed");
        assert_refused(cp_npz_read_bytes(npz, "x", 8, &meta, &bytes), CP_EINPUT, "r.npz: has no member 'x'");
        assert_refused(cp_npz_read(npz, 0, &bit_type, b), CP_EINPUT,
                       "array layer_000_convolutional is float32 (1, 2, 3), needed is bool (4, 1, 1)");
        cp_npz_close(npz);
    }
}

/* Whatever the day and the time zone. */
static void same_bytes_every_time(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        size_t n, m;
        setenv("TZ", "UTC", 1);
        tzset();
        put_npz("a.npz", deflate);
        setenv("TZ", "Asia/Kolkata", 1);
        tzset();
        put_npz("b.npz", deflate);
        unsigned char *a = temp_get("a.npz", &n), *b = temp_get("b.npz", &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
        free(a);
        free(b);
    }
    unsetenv("TZ");
    assert_int_equal(system("sleep 2.1; true"), 0); /* the format counts in steps of two seconds */
    size_t n, m;
    put_npz("a.npz", true);
    unsigned char *a = temp_get("a.npz", &n), *b = temp_get("b.npz", &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
}

static void nothing_stands_before_commit(void **state)
{
    (void)state;
    mkdir("n", 0777);
    cp_npz_writer *writer;
    assert_ok(cp_npz_create("n/a.npz", true, &writer));
    assert_ok(cp_npz_add(writer, "a", &bit_type, bits));
    cp_npz_discard(&writer);
    cp_npz_discard(&writer);
    assert_int_equal(temp_count("n"), 0);
    assert_ok(cp_npz_create("n/a.npz", true, &writer));
    assert_refused(cp_npz_commit(&writer), CP_EINTERNAL, "without members");
    assert_ok(cp_npz_create("n/a.npz", true, &writer));
    assert_ok(cp_npz_add(writer, "a", &bit_type, bits));
    assert_ok(cp_npz_add(writer, "a", &bit_type, bits));
    assert_refused(cp_npz_commit(&writer), CP_EINTERNAL, "'a.npy' was added twice");
    assert_ok(cp_npz_create("n/a.npz", true, &writer));
    assert_refused(cp_npz_add(writer, "../a", &bit_type, bits), CP_EINTERNAL, "cannot be the name");
    assert_refused(cp_npz_add(writer, "", &bit_type, bits), CP_EINTERNAL, "cannot be the name");
    cp_npz_discard(&writer);
    assert_int_equal(temp_count("n"), 0);
    assert_refused(cp_npz_create("none/a.npz", true, &writer), CP_EINPUT, "its folder does not exist");
}

static void numpy_reads_ours(void **state)
{
    (void)state;
    put_npz("stored.npz", false);
    put_npz("deflated.npz", true);
    temp_python("import numpy as np, zipfile\n"
                "for name in 'stored.npz', 'deflated.npz':\n"
                "    z = np.load(name)\n"
                "    assert z.files == ['layer_000_convolutional', 'layer_002_connected', 'meta.json'], z.files\n"
                "    a, b = z['layer_000_convolutional'], z['layer_002_connected']\n"
                "    assert a.dtype == np.float32 and a.shape == (1, 2, 3)\n"
                "    assert a.ravel().tolist() == np.array([0, -1.5, 2, 3.25, 1e-45, 1e38], np.float32).tolist()\n"
                "    assert b.dtype == bool and b.shape == (4, 1, 1)\n"
                "    assert b.ravel().tolist() == [True, False, False, True]\n"
                "    assert z['meta.json'] == b'{\"a\": 1}\\n'\n"
                "    assert zipfile.ZipFile(name).testzip() is None\n");
}

static void reads_numpys(void **state)
{
    (void)state;
    temp_python("import numpy as np, zipfile\n"
                "a = np.arange(300000, dtype=np.float32).reshape(3, 100, 1000); b = np.arange(4) % 3 == 0\n"
                "np.savez('s.npz', a=a, b=b); np.savez_compressed('c.npz', a=a, b=b)\n"
                "np.savez('f.npz', a=np.asfortranarray(a)); np.savez('d.npz', a=a.astype(float))\n"
                "z = zipfile.ZipFile('l.npz', 'w', zipfile.ZIP_LZMA); z.writestr('a.npy', b'x' * 99); z.close()\n"
                "z = zipfile.ZipFile('p.npz', 'w'); z.writestr('../a.npy', b'x' * 99); z.close()\n"
                "z = zipfile.ZipFile('e.npz', 'w'); z.writestr('\\033[2J.npy', b'x' * 99); z.close()\n"
                "import warnings; warnings.simplefilter('ignore')\n"
                "z = zipfile.ZipFile('t.npz', 'w'); z.writestr('a.npy', b'x'); z.writestr('a.npy', b'y'); z.close()\n");
    float *values = malloc(300000 * sizeof *values);
    unsigned char b[4];
    cp_npz *npz;
    size_t index;
    cp_array_type type = cp_array_chw(CP_FLOAT32, 3, 100, 1000);
    for (int i = 0; i < 2; i++) {
        assert_ok(cp_npz_open(i ? "c.npz" : "s.npz", &npz));
        assert_int_equal(cp_npz_count(npz), 2);
        assert_true(cp_npz_find(npz, "a", &index));
        assert_ok(cp_npz_read(npz, index, &type, values));
        for (int k = 0; k < 300000; k++)
            if (values[k] != (float)k) fail_msg("element %d is %g", k, values[k]);
        assert_true(cp_npz_find(npz, "b", &index));
        assert_ok(cp_npz_read(npz, index, &(cp_array_type){CP_BOOL, 1, {4}}, b));
        assert_memory_equal(b, "\1\0\0\1", 4);
        cp_npz_close(npz);
    }
    assert_ok(cp_npz_open("f.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &type, values), CP_EINPUT, "f.npz: a.npy: array header: fortran_order is True");
    cp_npz_close(npz);
    assert_ok(cp_npz_open("d.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &type, values), CP_EINPUT, "'<f8' is not supported");
    cp_npz_close(npz);
    assert_refused(cp_npz_open("l.npz", &npz), CP_EINPUT, "'a.npy' has compression method 14");
    assert_refused(cp_npz_open("p.npz", &npz), CP_EINPUT, "member 0 has no plain name");
    assert_refused(cp_npz_open("e.npz", &npz), CP_EINPUT, "member 0 has no plain name");
    assert_refused(cp_npz_open("t.npz", &npz), CP_EINPUT, "'a.npy' is there twice");
    assert_null(npz);
    free(values);
}

/* Everything a caller does with a file it did not write. CP_OK only if all of it went well. */
static cp_status read_all(const char *path)
{
    cp_npz *npz;
    float f[6];
    unsigned char b[4], *meta = NULL;
    size_t index, bytes;
    cp_status status = cp_npz_open(path, &npz);
    if (status != CP_OK) return status;
    if (!cp_npz_find(npz, "layer_000_convolutional", &index)) status = cp_fail(CP_EINPUT, "no layer 0");
    if (status == CP_OK) status = cp_npz_read(npz, index, &score_type, f);
    if (status == CP_OK && !cp_npz_find(npz, "layer_002_connected", &index)) status = cp_fail(CP_EINPUT, "no layer 2");
    if (status == CP_OK) status = cp_npz_read(npz, index, &bit_type, b);
    if (status == CP_OK) status = cp_npz_read_bytes(npz, "meta.json", 4096, &meta, &bytes);
    if (status == CP_OK && (memcmp(f, scores, sizeof f) || memcmp(b, bits, sizeof b) || bytes != 9 ||
                            memcmp(meta, "{\"a\": 1}\n", 9)))
        fail_msg("%s: damage was read as data", path);
    cp_free(meta);
    cp_npz_close(npz);
    return status;
}

static void truncated_anywhere(void **state)
{
    (void)state;
    for (int deflate = 0; deflate < 2; deflate++) {
        size_t bytes;
        put_npz("whole.npz", deflate);
        assert_ok(read_all("whole.npz"));
        unsigned char *file = temp_get("whole.npz", &bytes);
        for (size_t n = 0; n < bytes; n++) {
            temp_put("cut.npz", file, n);
            assert_int_equal(read_all("cut.npz"), CP_EINPUT);
        }
        free(file);
    }
}

/* Each byte in turn set to other values: refused, or the very data that were written (unused fields), nothing else. */
static void damaged_anywhere(void **state)
{
    (void)state;
    int refused = 0, cases = 0;
    for (int deflate = 0; deflate < 2; deflate++) {
        size_t bytes;
        put_npz("whole.npz", deflate);
        unsigned char *file = temp_get("whole.npz", &bytes);
        for (size_t i = 0; i < bytes; i++)
            for (int k = 0; k < 3; k++) {
                unsigned char old = file[i];
                file[i] = k == 0 ? (unsigned char)~old : k == 1 ? old ^ 1 : 0xff;
                if (file[i] == old) continue;
                temp_put("bad.npz", file, bytes);
                cp_status status = read_all("bad.npz");
                if (status != CP_OK && status != CP_EINPUT) fail_msg("byte %zu: %d %s", i, status, cp_error());
                refused += status != CP_OK;
                cases++;
                file[i] = old;
            }
        free(file);
    }
    assert_true(refused > cases / 2);
}

static void no_archive_at_all(void **state)
{
    (void)state;
    cp_npz *npz;
    temp_put("text", "this is no archive at all, however long it may be", 49);
    temp_put("empty", "", 0);
    mkdir("folder", 0777);
    mkfifo("pipe", 0666);
    assert_refused(cp_npz_open("none", &npz), CP_EINPUT, "cannot open none");
    assert_refused(cp_npz_open("text", &npz), CP_EINPUT, "npz file: text is text, an .npz file is needed");
    assert_refused(cp_npz_open("empty", &npz), CP_EINPUT, "empty is empty");
    assert_refused(cp_npz_open("folder", &npz), CP_EINPUT, "is a folder");
    assert_refused(cp_npz_open("pipe", &npz), CP_EINPUT, "is a pipe");
    put_npz("r.npz", false);
    assert_ok(cp_npz_open("r.npz", &npz));
    cp_npz_close(npz);
    cp_npz_close(NULL);
}

/* One stored member of these bytes, by libzip itself. */
static void put_member(const char *path, const char *name, const void *data, size_t bytes, bool deflate)
{
    int error;
    unlink(path);
    zip_t *archive = zip_open(path, ZIP_CREATE, &error);
    assert_non_null(archive);
    zip_source_t *source = zip_source_buffer(archive, data, bytes, 0);
    zip_int64_t index = zip_file_add(archive, name, source, 0);
    assert_true(index >= 0);
    zip_set_file_compression(archive, (zip_uint64_t)index, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9);
    assert_int_equal(zip_close(archive), 0);
}

static void sizes_that_lie(void **state)
{
    (void)state;
    unsigned char header[256], data[600] = {0};
    size_t bytes;
    cp_npz *npz;
    cp_array_type type;
    float f[6];
    cp_npy_header_write(&score_type, header, &bytes);
    memcpy(data, header, bytes);
    put_member("long.npz", "a.npy", data, bytes + 25, false);
    assert_ok(cp_npz_open("long.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &score_type, f), CP_EINPUT,
                   "long.npz: a.npy: 25 bytes of data, float32 (1, 2, 3) needs 24");
    assert_refused(cp_npz_type(npz, 0, &type), CP_EINPUT, "25 bytes of data");
    cp_npz_close(npz);
    put_member("short.npz", "a.npy", data, bytes + 23, false);
    assert_ok(cp_npz_open("short.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &score_type, f), CP_EINPUT, "23 bytes of data");
    cp_npz_close(npz);
    put_member("head.npz", "a.npy", data, bytes - 20, false);
    assert_ok(cp_npz_open("head.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &score_type, f), CP_EINPUT, "bytes, but only");
    cp_npz_close(npz);
    put_member("none.npz", "a.npy", "", 0, false);
    assert_ok(cp_npz_open("none.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &score_type, f), CP_EINPUT, "0 bytes are too few for an array header");
    cp_npz_close(npz);
    memset(data + bytes, 7, 24);
    cp_array_type bools = cp_array_chw(CP_BOOL, 2, 3, 4);
    cp_npy_header_write(&bools, data, &bytes);
    put_member("bools.npz", "a.npy", data, bytes + 24, true);
    assert_ok(cp_npz_open("bools.npz", &npz));
    assert_refused(cp_npz_read(npz, 0, &bools, f), CP_EINPUT, "bools.npz: a: element 0 is 7, a bool is 0 or 1");
    cp_npz_close(npz);
}

static int read_bombs(void)
{
    cp_npz *npz;
    float f[6];
    size_t bytes;
    unsigned char *meta;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    if (cp_npz_open("bomb.npz", &npz) != CP_OK) return 1;
    if (cp_npz_read(npz, 0, &score_type, f) != CP_EINPUT) return 2;
    if (!strstr(cp_error(), "is uint8 (33554304,), needed is float32 (1, 2, 3)")) return 3;
    cp_npz_close(npz);
    if (cp_npz_open("text.npz", &npz) != CP_OK) return 4;
    if (cp_npz_read_bytes(npz, "meta.json", 1 << 20, &meta, &bytes) != CP_EINPUT) return 5;
    if (!strstr(cp_error(), "meta.json has 33554432 bytes, at most 1048576 are allowed")) return 6;
    cp_npz_close(npz);
    getrusage(RUSAGE_SELF, &after);
    return after.ru_maxrss > before.ru_maxrss + 8192 ? 7 : 0; /* kB */
}

/* 32 MB of zeros in 32 kB: refused by size alone, and no memory is taken. */
static void bomb_takes_no_memory(void **state)
{
    (void)state;
    size_t bytes = 32 << 20, header_bytes;
    unsigned char *zeros = calloc(1, bytes);
    cp_npy_header_write(&(cp_array_type){CP_UINT8, 1, {bytes - 128}}, zeros, &header_bytes);
    assert_int_equal(header_bytes, 128);
    put_member("bomb.npz", "a.npy", zeros, bytes, true);
    put_member("text.npz", "meta.json", zeros, bytes, true);
    free(zeros);
    struct stat st;
    assert_int_equal(stat("bomb.npz", &st), 0);
    assert_true(st.st_size < 100000);
    fflush(NULL);
    pid_t pid = fork(); /* whose peak starts at what it has now */
    if (pid == 0) _exit(read_bombs());
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int write_above_limit(void)
{
    struct rlimit limit = {20000, 20000};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    float *values = calloc(100000, sizeof *values);
    cp_npz_writer *writer;
    if (cp_npz_create("d/a.npz", false, &writer) != CP_OK) return 1;
    if (cp_npz_add(writer, "a", &(cp_array_type){CP_FLOAT32, 1, {100000}}, values) != CP_OK) return 2;
    if (cp_npz_commit(&writer) != CP_ERESOURCE || !strstr(cp_error(), "d/a.npz: cannot write: File too large")) {
        fprintf(stderr, "%s\n", cp_error());
        return 3;
    }
    free(values);
    return 0;
}

static void no_room_leaves_the_old_file(void **state)
{
    (void)state;
    mkdir("d", 0777);
    temp_put("d/a.npz", "old", 3);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(write_above_limit());
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    size_t bytes;
    char *data = (char *)temp_get("d/a.npz", &bytes);
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(temp_count("d"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),           cmocka_unit_test(same_bytes_every_time),
        cmocka_unit_test(nothing_stands_before_commit), cmocka_unit_test(numpy_reads_ours),
        cmocka_unit_test(reads_numpys),         cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(damaged_anywhere),     cmocka_unit_test(no_archive_at_all),
        cmocka_unit_test(sizes_that_lie),       cmocka_unit_test(bomb_takes_no_memory),
        cmocka_unit_test(no_room_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
