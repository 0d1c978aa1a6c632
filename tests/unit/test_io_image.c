/* Pictures: known pixels, Darknet's rounding, PNG both ways, and files made to harm. */
#include <math.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include "io/error.h"
#include "io/image.h"
#include "io_temp.h"

/* A picture with no two equal neighbours. */
static cp_picture sample(int w, int h)
{
    cp_picture p;
    assert_ok(cp_picture_new(w, h, &p));
    unsigned v = 12345;
    for (int i = 0; i < 3 * w * h; i++) {
        v = v * 1664525u + 1013904223u;
        p.rgb[i] = (unsigned char)(v >> 24);
    }
    return p;
}

static void assert_same(const cp_picture *a, const cp_picture *b)
{
    assert_int_equal(a->w, b->w);
    assert_int_equal(a->h, b->h);
    assert_memory_equal(a->rgb, b->rgb, 3 * (size_t)a->w * (size_t)a->h);
}

static void known_pixels(void **state)
{
    (void)state;
    cp_picture p;
    temp_put("c.ppm", "P6 2 1 255\n\x01\x02\x03\xff\x80\x00", 17);
    assert_ok(cp_picture_read("c.ppm", &p));
    assert_int_equal(p.w, 2);
    assert_int_equal(p.h, 1);
    assert_memory_equal(p.rgb, "\x01\x02\x03\xff\x80\x00", 6);
    cp_picture_free(&p);
    assert_null(p.rgb);
    temp_put("g.pgm", "P5 1 2 255\n\x07\xfe", 13); /* grey goes to all three, rows from the top */
    assert_ok(cp_picture_read("g.pgm", &p));
    assert_memory_equal(p.rgb, "\x07\x07\x07\xfe\xfe\xfe", 6);
    cp_picture_free(&p);
    /* A 24-bit BMP is stored from the bottom, blue first, rows padded to 4 bytes. */
    static const unsigned char bmp[62] = {'B', 'M', 62, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0,
                                          0,   2,   0,  0, 0, 1, 0, 24, 0, [54] = 30, 20, 10, 0, 33, 22, 11, 0};
    temp_put("b.bmp", bmp, sizeof bmp);
    assert_ok(cp_picture_read("b.bmp", &p));
    assert_memory_equal(p.rgb, "\x0b\x16\x21\x0a\x14\x1e", 6);
    cp_picture_free(&p);
}

static void floats_as_darknet_rounds(void **state)
{
    (void)state;
    cp_picture p, back;
    float chw[3 * 256];
    assert_ok(cp_picture_new(16, 16, &p));
    for (int i = 0; i < 256; i++)
        for (int c = 0; c < 3; c++) p.rgb[3 * i + c] = (unsigned char)(c == 0 ? i : c == 1 ? 255 - i : 7);
    cp_picture_to_float(&p, chw);
    for (int i = 0; i < 256; i++) {
        volatile double exact = i / 255.;
        assert_true(chw[i] == (float)exact); /* plane by plane, red first */
        assert_true(chw[256 + 255 - i] == (float)exact);
        assert_true(chw[512 + i] == (float)(7 / 255.));
    }
    assert_ok(cp_picture_from_float(chw, 16, 16, &back));
    assert_same(&p, &back);
    cp_picture_free(&back);
    float odd[3] = {NAN, -INFINITY, 1e30f};
    assert_ok(cp_picture_from_float(odd, 1, 1, &back));
    assert_memory_equal(back.rgb, "\0\0\xff", 3);
    cp_picture_free(&back);
    cp_picture_free(&p);
}

static void png_round_trip(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 70}, {70, 1}, {33, 17}, {640, 480}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cp_picture p = sample(sizes[i][0], sizes[i][1]), back;
        assert_ok(cp_picture_write_png(&p, "r.png"));
        assert_ok(cp_picture_read("r.png", &back));
        assert_same(&p, &back);
        size_t n, m;
        unsigned char *first = temp_get("r.png", &n);
        assert_ok(cp_picture_write_png(&p, "r2.png"));
        unsigned char *second = temp_get("r2.png", &m);
        assert_int_equal(n, m);
        assert_memory_equal(first, second, n); /* no dates in it */
        free(first);
        free(second);
        cp_picture_free(&p);
        cp_picture_free(&back);
    }
    cp_picture p = sample(4, 4);
    assert_refused(cp_picture_write_png(&p, "none/r.png"), CP_EINPUT, "none/r.png: cannot write");
    cp_picture_free(&p);
}

static void put_png_header(unsigned char *file, unsigned w, unsigned h, int depth)
{
    memcpy(file, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    for (int i = 0; i < 4; i++) {
        file[16 + i] = (unsigned char)(w >> (24 - 8 * i));
        file[20 + i] = (unsigned char)(h >> (24 - 8 * i));
    }
    memcpy(file + 24, "\0\x02\0\0\0\0\0\0\0", 9); /* the checksum is not looked at */
    file[24] = (unsigned char)depth;
}

/* A whole PNG with these packed data; returns its length. */
static size_t put_png(unsigned char *file, unsigned w, unsigned h, int depth, const void *packed, size_t packed_bytes)
{
    put_png_header(file, w, h, depth);
    for (int i = 0; i < 4; i++) file[33 + i] = (unsigned char)(packed_bytes >> (24 - 8 * i));
    memcpy(file + 37, "IDAT", 4);
    memcpy(file + 41, packed, packed_bytes);
    memcpy(file + 45 + packed_bytes, "\0\0\0\0IEND\0\0\0\0", 12);
    return packed_bytes + 57;
}

/* Alpha is dropped, not multiplied in; 16 bits keep the upper 8. */
static void alpha_and_depth(void **state)
{
    (void)state;
    cp_picture p;
    assert_true(stbi_write_png("a.png", 1, 1, 4, "\x10\x20\x30\x00", 4));
    assert_ok(cp_picture_read("a.png", &p));
    assert_memory_equal(p.rgb, "\x10\x20\x30", 3);
    cp_picture_free(&p);
    int packed_bytes;
    unsigned char file[256] = {0}, row[7] = {0, 0x12, 0xff, 0x34, 0x00, 0x56, 0x80};
    unsigned char *packed = stbi_zlib_compress(row, 7, &packed_bytes, 5);
    size_t bytes = put_png(file, 1, 1, 16, packed, (size_t)packed_bytes);
    free(packed);
    assert_ok(cp_picture_decode(file, bytes, "d.png", &p));
    assert_memory_equal(p.rgb, "\x12\x34\x56", 3);
    assert_int_equal(p.largest, 0x5680);
    cp_picture_free(&p);
    temp_put("d.ppm", "P6 1 1 65535\n\x12\xff\x34\x00\x56\x80", 19);
    assert_refused(cp_picture_read("d.ppm", &p), CP_EINPUT, "d.ppm is a PNM of 16 bits");
}

static void no_pictures(void **state)
{
    (void)state;
    cp_picture p;
    mkdir("folder", 0777);
    mkfifo("pipe", 0666);
    temp_put("empty.png", "", 0);
    temp_put("text.jpg", "I am no picture, and none has my name\n", 38);
    temp_put("zero.png", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
    assert_refused(cp_picture_read("none.png", &p), CP_EINPUT, "picture: cannot open none.png: No such file");
    assert_refused(cp_picture_read("folder", &p), CP_EINPUT, "folder is a folder");
    assert_refused(cp_picture_read("pipe", &p), CP_EINPUT, "pipe is a pipe");
    assert_refused(cp_picture_read("empty.png", &p), CP_EINPUT, "empty.png is empty (0 bytes)");
    assert_refused(cp_picture_read("text.jpg", &p), CP_EINPUT, "picture: text.jpg is text, a picture (or, on stdin, a list of pictures) is needed");
    assert_refused(cp_picture_read("zero.png", &p), CP_EINPUT, "zero.png (32 bytes) is no JPEG");
    assert_refused(cp_picture_read("; touch harmed", &p), CP_EINPUT, "cannot open ; touch harmed");
    assert_int_equal(access("harmed", F_OK), -1); /* no shell ever sees a name */
    assert_null(p.rgb);
}

static void truncated_anywhere(void **state)
{
    (void)state;
    cp_picture p = sample(24, 20), q;
    stbi_write_jpg("t.jpg", 24, 20, 3, p.rgb, 80);
    stbi_write_jpg("t4.jpg", 24, 20, 3, p.rgb, 95);
    stbi_write_bmp("t.bmp", 24, 20, 3, p.rgb);
    stbi_write_tga("t.tga", 24, 20, 3, p.rgb);
    assert_ok(cp_picture_write_png(&p, "t.png"));
    FILE *ppm = fopen("t.ppm", "wb");
    fprintf(ppm, "P6\n24 20\n255\n");
    fwrite(p.rgb, 3, 24 * 20, ppm);
    fclose(ppm);
    cp_picture_free(&p);
    static const char *const names[] = {"t.jpg", "t4.jpg", "t.bmp", "t.tga", "t.png", "t.ppm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t bytes;
        unsigned char *file = temp_get(names[i], &bytes);
        assert_ok(cp_picture_read(names[i], &q));
        cp_picture_free(&q);
        /* The last bytes of PNG (IEND and its checksum), JPEG (end mark) and TGA (footer) carry no pixels. */
        size_t tail = strstr(names[i], "png") ? 16 : strstr(names[i], "tga") ? 26 : strstr(names[i], "jpg") ? 2 : 0;
        for (size_t n = 1; n < bytes; n++) {
            cp_status status = cp_picture_decode(file, n, names[i], &q);
            if (status == CP_OK && n < bytes - tail) fail_msg("%s: accepted with %zu of %zu bytes", names[i], n, bytes);
            if (status != CP_OK && status != CP_EINPUT) fail_msg("%s: %zu bytes: %s", names[i], n, cp_error());
            cp_picture_free(&q);
        }
        if (bytes > 200) assert_refused(cp_picture_decode(file, bytes / 2, names[i], &q), CP_EINPUT, names[i]);
        free(file);
    }
}

static void sizes_out_of_bounds(void **state)
{
    (void)state;
    static const struct {
        unsigned w, h;
        const char *message;
    } cases[] = {
        {65535, 65535, "big.png has 65535 x 65535 pixels, at most 134217728 in all are allowed"},
        {16385, 8192, "at most 134217728"},
        {0xffffffffu, 1, "sides of 1 to 65535 are allowed"},
        {65536, 1, "65536"},
        {1, 70000, "big.png"},
        {0, 5, "big.png"},
        {0x80000001u, 1, "big.png"},
    };
    unsigned char file[64] = {0};
    cp_picture p;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_png_header(file, cases[i].w, cases[i].h, 8);
        temp_put("big.png", file, sizeof file);
        assert_refused(cp_picture_read("big.png", &p), CP_EINPUT, cases[i].message);
    }
    const char *ppm = "P6 100000 1 255\n";
    temp_put("big.ppm", ppm, strlen(ppm));
    assert_refused(cp_picture_read("big.ppm", &p), CP_EINPUT, "big.ppm");
    assert_refused(cp_picture_new(0, 1, &p), CP_EINPUT, "0 x 1");
    assert_refused(cp_picture_new(1, 65536, &p), CP_EINPUT, "1 x 65536");
    FILE *huge = fopen("huge.png", "wb");
    assert_int_equal(ftruncate(fileno(huge), ((off_t)256 << 20) + 1), 0);
    fclose(huge);
    assert_refused(cp_picture_read("huge.png", &p), CP_EINPUT, "has 268435457 bytes, at most 268435456 are allowed");
}

/* A PNG of 2 x 2 pixels whose data unpack to 16 MB. */
static void small_picture_that_unpacks_without_end(void **state)
{
    (void)state;
    int packed_bytes, raw_bytes = 16 << 20;
    unsigned char *raw = calloc(1, (size_t)raw_bytes);
    unsigned char *packed = stbi_zlib_compress(raw, raw_bytes, &packed_bytes, 5);
    free(raw);
    assert_true(packed_bytes < raw_bytes / 50);
    unsigned char *file = calloc(1, (size_t)packed_bytes + 64);
    size_t bytes = put_png(file, 2, 2, 8, packed, (size_t)packed_bytes);
    cp_picture p;
    assert_refused(cp_picture_decode(file, bytes, "bomb.png", &p), CP_EINPUT,
                   "bomb.png unpacks to more than its 2 x 2 pixels can hold");
    free(packed);
    free(file);
}

/* Any byte of a good file set to anything: a picture or a message, never a crash (run with sanitizers). */
static void damaged_anywhere(void **state)
{
    (void)state;
    cp_picture p = sample(9, 7), q;
    stbi_write_jpg("d.jpg", 9, 7, 3, p.rgb, 70);
    assert_ok(cp_picture_write_png(&p, "d.png"));
    cp_picture_free(&p);
    for (int k = 0; k < 2; k++) {
        size_t bytes;
        unsigned char *file = temp_get(k ? "d.png" : "d.jpg", &bytes);
        for (size_t i = 0; i < bytes; i++)
            for (int v = 0; v < 4; v++) {
                unsigned char old = file[i];
                file[i] = (unsigned char)(v == 0 ? 0 : v == 1 ? 0xff : v == 2 ? old ^ 0x80 : old + 1);
                cp_status status = cp_picture_decode(file, bytes, "d", &q);
                if (status != CP_OK && status != CP_EINPUT) fail_msg("byte %zu: %s", i, cp_error());
                cp_picture_free(&q);
                file[i] = old;
            }
        free(file);
    }
}

/* More than 256 Huffman codes in one table, which stb_image would write past its end: whole, cut off, after a scan. */
static void jpeg_with_too_many_codes(void **state)
{
    (void)state;
    unsigned char file[8192] = {0xff, 0xd8, 0xff, 0xc4, 0x10, 0x03, 0x00};
    const char *message = "h.jpg is a damaged JPEG: a Huffman table of more than 256 codes";
    cp_picture p;
    memset(file + 7, 255, 16); /* 4080 codes */
    assert_refused(cp_picture_decode(file, sizeof file, "h.jpg", &p), CP_EINPUT, message);
    assert_refused(cp_picture_decode(file, 9, "h.jpg", &p), CP_EINPUT, message);
    memset(file + 9, 0, 14);
    file[7] = 128;
    file[8] = 128; /* 256 are allowed; then it is damaged for other reasons */
    assert_refused(cp_picture_decode(file, sizeof file, "h.jpg", &p), CP_EINPUT, "h.jpg (8192 bytes) is no JPEG");
    cp_picture good = sample(40, 40);
    stbi_write_jpg("good.jpg", 40, 40, 3, good.rgb, 80);
    cp_picture_free(&good);
    size_t bytes;
    unsigned char *jpeg = temp_get("good.jpg", &bytes);
    memcpy(file, jpeg, bytes - 2);
    memcpy(file + bytes - 2, "\xff\xc4\x10\x03\x00", 5);
    memset(file + bytes + 3, 255, 16);
    assert_refused(cp_picture_decode(file, sizeof file, "h.jpg", &p), CP_EINPUT, message);
    free(jpeg);
}

static void others_read_our_png(void **state)
{
    (void)state;
    if (system("/usr/bin/python3 -c 'import PIL' 2>/dev/null") != 0) {
        print_message("skipped: /usr/bin/python3 with PIL is not installed\n");
        skip();
    }
    cp_picture p = sample(31, 22);
    assert_ok(cp_picture_write_png(&p, "o.png"));
    temp_put("o.raw", p.rgb, 3 * 31 * 22);
    cp_picture_free(&p);
    temp_python("import PIL.Image as I\n"
                "i = I.open('o.png'); assert i.mode == 'RGB' and i.size == (31, 22), (i.mode, i.size)\n"
                "assert i.tobytes() == open('o.raw', 'rb').read()\n");
}

/* A JPEG with an APP1 segment that says `orientation`, in either byte order. */
static size_t put_exif_jpeg(unsigned char *file, size_t room, const cp_picture *p, int orientation, bool big)
{
    static const unsigned char little[] = "\xff\xe1\0\x22" "Exif\0\0" "II*\0\x8\0\0\0" "\1\0" "\x12\1\3\0\1\0\0\0\0\0\0\0" "\0\0\0\0";
    static const unsigned char bigger[] = "\xff\xe1\0\x22" "Exif\0\0" "MM\0*\0\0\0\x8" "\0\1" "\1\x12\0\3\0\0\0\1\0\0\0\0" "\0\0\0\0";
    size_t bytes, segment = sizeof little - 1;
    assert_true(stbi_write_jpg("e.jpg", p->w, p->h, 3, p->rgb, 100));
    unsigned char *jpeg = temp_get("e.jpg", &bytes);
    assert_true(bytes + segment <= room);
    memcpy(file, jpeg, 2);
    memcpy(file + 2, big ? bigger : little, segment);
    file[2 + 28 + big] = (unsigned char)orientation;
    memcpy(file + 2 + segment, jpeg + 2, bytes - 2);
    free(jpeg);
    return bytes + segment;
}

/* Where the stored picture's corners are seen, by orientation: top left, top right, bottom left, bottom right of the turned
 * one as corners of the stored one, numbered the same way (EXIF 2.3, 4.6.4 A). */
static void turned_as_exif_says(void **state)
{
    (void)state;
    static const int corners[9][4] = {{0, 1, 2, 3}, {0, 1, 2, 3}, {1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1},
                                      {0, 2, 1, 3}, {2, 0, 3, 1}, {3, 1, 2, 0}, {1, 3, 0, 2}};
    static unsigned char file[65536];
    cp_picture stored, seen;
    assert_ok(cp_picture_new(32, 16, &stored)); /* four plain quarters, so that JPEG does not blur the corners */
    for (int y = 0; y < 16; y++)
        for (int x = 0; x < 32; x++) memset(stored.rgb + 3 * (32 * y + x), 30 + 60 * (2 * (y / 8) + x / 16), 3);
    for (int k = 0; k < 18; k++) {
        int orientation = k % 9;
        size_t bytes = put_exif_jpeg(file, sizeof file, &stored, orientation, k >= 9);
        assert_ok(cp_picture_decode(file, bytes, "e.jpg", &seen));
        assert_int_equal(seen.orientation, orientation ? orientation : 1);
        assert_int_equal(seen.w, orientation < 5 ? 32 : 16);
        assert_int_equal(seen.h, orientation < 5 ? 16 : 32);
        for (int c = 0; c < 4; c++) {
            int x = c % 2 ? seen.w - 1 : 0, y = c / 2 ? seen.h - 1 : 0;
            assert_true(abs(seen.rgb[3 * (seen.w * y + x)] - (30 + 60 * corners[orientation][c])) < 8);
        }
        cp_picture_free(&seen);
        cp_picture_obey_orientation(false);
        assert_ok(cp_picture_decode(file, bytes, "e.jpg", &seen));
        assert_int_equal(seen.w, 32);
        assert_true(abs(seen.rgb[0] - 30) < 8);
        cp_picture_free(&seen);
        cp_picture_obey_orientation(true);
    }
    /* Wherever the segment is damaged or cut, the picture is read, or refused as a picture. */
    size_t bytes = put_exif_jpeg(file, sizeof file, &stored, 6, false);
    for (size_t at = 4; at < 36; at++)
        for (int bit = 0; bit < 8; bit++) {
            file[at] ^= (unsigned char)(1 << bit);
            if (!cp_picture_decode(file, bytes, "e.jpg", &seen)) cp_picture_free(&seen);
            file[at] ^= (unsigned char)(1 << bit);
        }
    cp_picture_free(&stored);
}

static void put_bytes(unsigned char **at, const void *from, size_t n)
{
    memcpy(*at, from, n);
    *at += n;
}

/* An uncompressed TIFF of 2 x 1 pixels, RGB, little endian. */
static size_t put_tiff(unsigned char *file, int orientation)
{
    static const unsigned char pixels[] = {1, 2, 3, 200, 100, 50};
    const unsigned short tags[][2] = {{256, 2}, {257, 1}, {258, 8}, {259, 1}, {262, 2}, {273, 8}, {274, (unsigned short)orientation},
                                      {277, 3}, {278, 1}, {279, 6}};
    enum { TAGS = sizeof tags / sizeof *tags };
    unsigned char *at = file;
    put_bytes(&at, "II*\0\x10\0\0\0", 8);
    put_bytes(&at, pixels, 6);
    put_bytes(&at, "\0\0", 2);
    *at++ = TAGS, *at++ = 0;
    for (int i = 0; i < TAGS; i++) {
        unsigned char entry[12] = {(unsigned char)tags[i][0], (unsigned char)(tags[i][0] >> 8), 3, 0, 1, 0, 0, 0,
                                   (unsigned char)tags[i][1]};
        put_bytes(&at, entry, 12);
    }
    put_bytes(&at, "\0\0\0\0", 4);
    return (size_t)(at - file);
}

static void tiff(void **state)
{
    (void)state;
    unsigned char file[400];
    cp_picture p;
    size_t bytes = put_tiff(file, 1);
#ifdef CP_TIFF
    assert_ok(cp_picture_decode(file, bytes, "a.tif", &p));
    assert_true(p.w == 2 && p.h == 1);
    assert_memory_equal(p.rgb, "\1\2\3\310\144\62", 6);
    cp_picture_free(&p);
    bytes = put_tiff(file, 6);
    assert_ok(cp_picture_decode(file, bytes, "a.tif", &p));
    assert_true(p.w == 1 && p.h == 2 && p.rgb[0] == 1 && p.rgb[3] == 200);
    cp_picture_free(&p);
    for (size_t n = 0; n < bytes - 4; n++) assert_refused(cp_picture_decode(file, n, "a.tif", &p), CP_EINPUT, "a.tif");
#else
    assert_refused(cp_picture_decode(file, bytes, "a.tif", &p), CP_EINPUT,
                   "a.tif is a TIFF, which this build does not read: install libtiff-dev and build again");
#endif
}

static void webp(void **state)
{
    (void)state;
    /* One pixel, lossless, of the colour (10, 200, 30). */
    static const unsigned char file[] = {82, 73, 70, 70, 30, 0, 0, 0, 87, 69, 66, 80, 86, 80, 56, 76, 17, 0, 0,
                                          0, 47, 0, 0, 0, 0, 7, 80, 228, 42, 212, 163, 255, 129, 136, 232, 127,
                                          0, 0};
    cp_picture p;
#ifdef CP_WEBP
    assert_ok(cp_picture_decode(file, sizeof file, "a.webp", &p));
    assert_true(p.w == 1 && p.h == 1);
    assert_memory_equal(p.rgb, "\12\310\36", 3);
    cp_picture_free(&p);
    for (size_t n = 1; n < sizeof file - 4; n++)
        assert_refused(cp_picture_decode(file, n, "a.webp", &p), CP_EINPUT, "a.webp");
#else
    assert_refused(cp_picture_decode(file, sizeof file, "a.webp", &p), CP_EINPUT,
                   "a.webp is a WebP, which this build does not read: install libwebp-dev and build again");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_pixels),       cmocka_unit_test(floats_as_darknet_rounds),
        cmocka_unit_test(png_round_trip),     cmocka_unit_test(alpha_and_depth),
        cmocka_unit_test(no_pictures),        cmocka_unit_test(truncated_anywhere),
        cmocka_unit_test(sizes_out_of_bounds), cmocka_unit_test(small_picture_that_unpacks_without_end),
        cmocka_unit_test(damaged_anywhere),   cmocka_unit_test(jpeg_with_too_many_codes),
        cmocka_unit_test(others_read_our_png), cmocka_unit_test(turned_as_exif_says),
        cmocka_unit_test(tiff),               cmocka_unit_test(webp),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
