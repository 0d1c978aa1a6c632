/* .npy: headers byte by byte, both ways with NumPy, and files made to harm. */
#include "io/error.h"
#include "io/npy.h"
#include "io_temp.h"

static void header_bytes(void **state)
{
    (void)state;
    unsigned char header[256];
    size_t bytes;
    cp_array_type type = cp_array_chw(CP_FLOAT32, 3, 4, 5);
    cp_npy_header_write(&type, header, &bytes);
    assert_int_equal(bytes, 128);
    assert_memory_equal(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes of text follow */
    const char *text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }";
    assert_memory_equal(header + 10, text, strlen(text));
    assert_int_equal(header[127], '\n');
    for (size_t i = 10 + strlen(text); i < 127; i++) assert_int_equal(header[i], ' ');
}

static void header_of_any_rank_reads_back(void **state)
{
    (void)state;
    for (int rank = 0; rank <= CP_NPY_MAX_RANK; rank++)
        for (int dtype = CP_FLOAT32; dtype <= CP_UINT8; dtype++) {
            cp_array_type type = {.dtype = (cp_dtype)dtype, .rank = rank}, found;
            for (int i = 0; i < rank; i++) type.shape[i] = (size_t)i + (i < 3 ? 100000 : 1) - (i < 3 ? 0 : (size_t)i);
            if (rank > 2) type.shape[2] = 0; /* else the product overflows */
            unsigned char header[256];
            size_t bytes, at;
            cp_npy_header_write(&type, header, &bytes);
            assert_true(bytes <= 256 && bytes % 64 == 0);
            assert_ok(cp_npy_header_parse(header, bytes, "a", &found, &at));
            assert_int_equal(at, bytes);
            assert_true(cp_array_type_equal(&type, &found));
        }
}

static void text_for_messages(void **state)
{
    (void)state;
    char text[CP_ARRAY_TYPE_TEXT];
    cp_array_type type = cp_array_chw(CP_BOOL, 64, 32, 1);
    assert_string_equal(cp_array_type_text(&type, text), "bool (64, 32, 1)");
    type = (cp_array_type){CP_INT32, 1, {7}};
    assert_string_equal(cp_array_type_text(&type, text), "int32 (7,)");
    type = (cp_array_type){.dtype = CP_UINT8, .rank = CP_NPY_MAX_RANK};
    for (int i = 0; i < CP_NPY_MAX_RANK; i++) type.shape[i] = SIZE_MAX;
    assert_true(strlen(cp_array_type_text(&type, text)) < CP_ARRAY_TYPE_TEXT - 1);
    size_t bytes;
    assert_false(cp_array_bytes(&type, &bytes));
}

static void round_trip(void **state)
{
    (void)state;
    float values[24];
    void *data;
    cp_array_type type = cp_array_chw(CP_FLOAT32, 2, 3, 4), found;
    for (int i = 0; i < 24; i++) values[i] = 0.1f * (float)i - 1;
    assert_ok(cp_npy_write("f.npy", &type, values));
    assert_ok(cp_npy_read("f.npy", &type, &found, &data));
    assert_true(cp_array_type_equal(&type, &found));
    assert_memory_equal(data, values, sizeof values);
    cp_free(data);
    cp_array_type other = cp_array_chw(CP_FLOAT32, 2, 4, 3);
    assert_refused(cp_npy_read("f.npy", &other, &found, &data), CP_EINPUT,
                   "f.npy: the array is float32 (2, 3, 4), needed is float32 (2, 4, 3)");
    assert_null(data);
}

static void numpy_reads_ours(void **state)
{
    (void)state;
    float f[6] = {0, -1.5f, 1e-45f, 3.4e38f, -0.0f, 0.1f};
    unsigned char b[4] = {1, 0, 0, 1};
    int32_t n[2] = {INT32_MIN, 7};
    cp_array_type type = cp_array_chw(CP_FLOAT32, 1, 2, 3);
    assert_ok(cp_npy_write("f.npy", &type, f));
    assert_ok(cp_npy_write("b.npy", &(cp_array_type){CP_BOOL, 2, {2, 2}}, b));
    assert_ok(cp_npy_write("n.npy", &(cp_array_type){CP_INT32, 1, {2}}, n));
    assert_ok(cp_npy_write("s.npy", &(cp_array_type){CP_UINT8, 0, {0}}, b));
    temp_python("import numpy as np\n"
                "f = np.load('f.npy'); assert f.dtype == np.float32 and f.shape == (1, 2, 3)\n"
                "assert (f == np.array([[[0, -1.5, 1e-45], [3.4e38, -0.0, .1]]], np.float32)).all()\n"
                "b = np.load('b.npy'); assert b.dtype == bool and b.tolist() == [[True, False], [False, True]]\n"
                "n = np.load('n.npy'); assert n.dtype == np.int32 and n.tolist() == [-2**31, 7]\n"
                "s = np.load('s.npy'); assert s.dtype == np.uint8 and s.shape == () and s == 1\n");
}

static void reads_numpys(void **state)
{
    (void)state;
    temp_python("import numpy as np\n"
                "np.save('f.npy', np.arange(24, dtype=np.float32).reshape(2, 3, 4))\n"
                "np.save('b.npy', np.array([True, False, True]))\n"
                "np.save('e.npy', np.zeros((3, 0), np.int32))\n"
                "np.save('s.npy', np.float32(2.5))\n"
                "with open('v2.npy', 'wb') as o: np.lib.format.write_array(o, np.ones(2, np.uint8), version=(2, 0))\n"
                "np.save('fortran.npy', np.asfortranarray(np.ones((2, 3), np.float32)))\n"
                "np.save('double.npy', np.ones(3)); np.save('big.npy', np.ones(3, '>f4'))\n"
                "np.save('record.npy', np.zeros(3, [('a', '<f4'), ('b', '<i4')]))\n"
                "np.save('object.npy', np.array([None, 1]), allow_pickle=True)\n");
    cp_array_type found;
    void *data;
    assert_ok(cp_npy_read("f.npy", NULL, &found, &data));
    cp_array_type wanted = cp_array_chw(CP_FLOAT32, 2, 3, 4);
    assert_true(cp_array_type_equal(&found, &wanted));
    for (int i = 0; i < 24; i++) assert_true(((float *)data)[i] == (float)i);
    cp_free(data);
    assert_ok(cp_npy_read("b.npy", &(cp_array_type){CP_BOOL, 1, {3}}, &found, &data));
    assert_memory_equal(data, "\1\0\1", 3);
    cp_free(data);
    assert_ok(cp_npy_read("e.npy", &(cp_array_type){CP_INT32, 2, {3, 0}}, &found, &data));
    cp_free(data);
    assert_ok(cp_npy_read("s.npy", &(cp_array_type){CP_FLOAT32, 0, {0}}, &found, &data));
    assert_true(*(float *)data == 2.5f);
    cp_free(data);
    assert_ok(cp_npy_read("v2.npy", &(cp_array_type){CP_UINT8, 1, {2}}, &found, &data));
    cp_free(data);
    assert_refused(cp_npy_read("fortran.npy", NULL, &found, &data), CP_EINPUT, "fortran_order is True");
    assert_refused(cp_npy_read("double.npy", NULL, &found, &data), CP_EINPUT, "array type '<f8' is not supported");
    assert_refused(cp_npy_read("big.npy", NULL, &found, &data), CP_EINPUT, "array type '>f4' is not supported");
    assert_refused(cp_npy_read("record.npy", NULL, &found, &data), CP_EINPUT, "'descr' is no plain type");
    assert_refused(cp_npy_read("object.npy", NULL, &found, &data), CP_EINPUT, "array type '|O' is not supported");
}

/* A file with this header text and this many bytes of data. */
static void put_npy(const char *magic, const char *text, size_t data_bytes)
{
    unsigned char file[8192] = {0};
    size_t n = strlen(text);
    memcpy(file, magic, 8);
    file[8] = (unsigned char)(n & 255);
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + 10, text, n);
    temp_put("h.npy", file, 10 + n + data_bytes);
}

static void hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "no dictionary"},
        {"[]", "no dictionary"},
        {"{}", "'descr' is missing"},
        {"{'descr': '<f4', 'fortran_order': False}", "'shape' is missing"},
        {"{'descr': '<f4', 'shape': (1,)}", "'fortran_order' is missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", "damaged after 'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "text after the dictionary"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 1}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,,)}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", "at most 8 sizes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "'shape' is no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", "does not fit in memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}", "does not fit in memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", "4 bytes of data"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "4 bytes of data, float32 (2,) needs 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", "4 bytes of data, float32 (0,) needs 0"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "neither True nor False"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False}", "'descr' is unknown or there twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "'x' is unknown"},
        {"{descr: '<f4'}", "a key in quotes"},
        {"{'descr' '<f4'}", "a colon"},
        {"{'descr': '<f4\\'', 'fortran_order': False, 'shape': (1,)}", "no plain type"},
        {"{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}", "no plain type"},
        {"{'de", "a key in quotes"},
    };
    cp_array_type found;
    void *data;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_npy("\x93NUMPY\x01\x00", cases[i].text, 4);
        assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, cases[i].message);
        assert_null(data);
    }
    /* The same scaffold is accepted when nothing is wrong, in any order and spacing. */
    put_npy("\x93NUMPY\x01\x00", "{ \"shape\":( 1 , ),'fortran_order' :False ,'descr':'<f4'}\n", 4);
    assert_ok(cp_npy_read("h.npy", NULL, &found, &data));
    cp_free(data);
}

static void hostile_frames(void **state)
{
    (void)state;
    const char *good = "{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }";
    cp_array_type found;
    void *data;
    put_npy("\x93NUMPX\x01\x00", good, 4);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "no NumPy array");
    put_npy("\x93NUMPY\x03\x00", good, 4);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "version 3.0");
    put_npy("\x93NUMPY\x01\x00", good, 5);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "5 bytes of data, bool (4,) needs 4");
    temp_put("h.npy", "\x93NUMPY\x01\x00\xff\xff{", 11);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "header of 65535 bytes, at most 4086");
    temp_put("h.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "header of 4294967295 bytes");
    temp_put("h.npy", "\x93NUMPY\x01\x00\x10\x00{", 11);
    assert_refused(cp_npy_read("h.npy", NULL, &found, &data), CP_EINPUT, "header of 16 bytes, but only 1 are there");

    put_npy("\x93NUMPY\x01\x00", good, 4);
    size_t bytes;
    unsigned char *file = temp_get("h.npy", &bytes);
    for (size_t n = 0; n < bytes; n++) { /* truncated anywhere */
        temp_put("t.npy", file, n);
        assert_int_equal(cp_npy_read("t.npy", NULL, &found, &data), CP_EINPUT);
    }
    file[bytes - 2] = 2; /* a bool that is neither */
    temp_put("t.npy", file, bytes);
    assert_refused(cp_npy_read("t.npy", NULL, &found, &data), CP_EINPUT, "element 2 is 2, a bool is 0 or 1");
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_bytes),    cmocka_unit_test(header_of_any_rank_reads_back),
        cmocka_unit_test(text_for_messages), cmocka_unit_test(round_trip),
        cmocka_unit_test(numpy_reads_ours), cmocka_unit_test(reads_numpys),
        cmocka_unit_test(hostile_headers), cmocka_unit_test(hostile_frames),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
