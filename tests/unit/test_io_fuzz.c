/* The fuzzers' targets with the same 4000 or so damaged inputs every time. tests/fuzz/run looks for new ones. */
#define _GNU_SOURCE
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#define LLVMFuzzerTestOneInput fuzz_image
#include "../fuzz/fuzz_image.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_npz
#include "../fuzz/fuzz_npz.c"
#include "../fuzz/damage.h"
#include "io_temp.h"

static void replay(const char *name, int (*target)(const uint8_t *, size_t), int rounds)
{
    size_t bytes;
    unsigned char *good = temp_get(name, &bytes), *bad = malloc(bytes);
    target(good, bytes);
    for (int i = 0; i < rounds; i++) {
        memcpy(bad, good, bytes);
        size_t n = damage(bad, bytes);
        unsigned char *exact = malloc(n); /* a read past its end is seen by the sanitizer */
        memcpy(exact, bad, n);
        target(exact, n);
        free(exact);
    }
    free(bad);
    free(good);
}

static void pictures(void **state)
{
    (void)state;
    unsigned char rgb[3 * 20 * 15];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (unsigned char)(damage_next(4) ? i : damage_next(256));
    stbi_write_jpg("a.jpg", 20, 15, 3, rgb, 60);
    stbi_write_jpg("b.jpg", 20, 15, 3, rgb, 95);
    stbi_write_png("a.png", 20, 15, 3, rgb, 60);
    stbi_write_bmp("a.bmp", 20, 15, 3, rgb);
    stbi_write_tga("a.tga", 20, 15, 3, rgb);
    static const char *const names[] = {"a.jpg", "b.jpg", "a.png", "a.bmp", "a.tga"};
    for (size_t i = 0; i < 5; i++) replay(names[i], fuzz_image, 500);
}

static void archives(void **state)
{
    (void)state;
    static const float values[12] = {1, 2, 3};
    for (int deflate = 0; deflate < 2; deflate++) {
        cp_npz_writer *writer;
        cp_array_type floats = cp_array_chw(CP_FLOAT32, 3, 2, 2), bools = cp_array_chw(CP_BOOL, 1, 2, 2);
        assert_ok(cp_npz_create("a.npz", deflate, &writer));
        assert_ok(cp_npz_add(writer, "layer_000_convolutional", &floats, values));
        assert_ok(cp_npz_add(writer, "layer_001_connected", &bools, "\1\0\1\1"));
        assert_ok(cp_npz_add_bytes(writer, "meta.json", "{}", 2));
        assert_ok(cp_npz_commit(&writer));
        replay("a.npz", fuzz_npz, 750);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures), cmocka_unit_test(archives)};
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
