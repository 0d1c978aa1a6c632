#include "io/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/error.h"
#include "io/file.h"
#include "io/formats.h"
#include "io/orientation.h"

/* What stb_image may take in one piece while it decodes this thread's picture; set from the picture's size, so that a
 * small file that unpacks without end is refused. */
static _Thread_local size_t piece_limit;
static _Thread_local bool piece_refused, piece_failed;

static bool piece_allowed(size_t bytes)
{
    if (bytes <= piece_limit) return true;
    piece_refused = true;
    return false;
}

/* stb_image does not always say why it has failed. */
static void *had(void *memory)
{
    if (!memory) piece_failed = true;
    return memory;
}

static void *stb_malloc(size_t bytes) { return piece_allowed(bytes) ? had(malloc(bytes)) : NULL; }
static void *stb_realloc(void *old, size_t bytes) { return piece_allowed(bytes) ? had(realloc(old, bytes)) : NULL; }

/* Darknet carries its own copy of stb_image: static, or the linker would take one for the other. */
#define STBI_MALLOC(bytes) stb_malloc(bytes)
#define STBI_REALLOC(old, bytes) stb_realloc(old, bytes)
#define STBI_FREE(memory) free(memory)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS CP_PICTURE_MAX_SIDE
#pragma GCC diagnostic ignored "-Wunused-function" /* reported at the end of this file, so never popped */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

/* A file in memory as stb_image's stream, which remembers whether more was wanted than is there. stb_image fills the
 * rest of a truncated file with zeros in several formats. */
struct reader {
    const unsigned char *data;
    size_t bytes, at;
    bool past_end;
};

static int reader_read(void *user, char *out, int bytes)
{
    struct reader *r = user;
    size_t n = r->bytes - r->at < (size_t)bytes ? r->bytes - r->at : (size_t)bytes;
    /* stb_image reads ahead by blocks of 128, so a short block is normal at the end, an empty one means that it lacks a
     * byte. Other lengths are what it needs. */
    if (n < (size_t)bytes && (n == 0 || bytes != 128)) r->past_end = true;
    memcpy(out, r->data + r->at, n);
    r->at += n;
    return (int)n;
}

static void reader_skip(void *user, int bytes)
{
    struct reader *r = user;
    if (bytes < 0) { /* steps back into the block read last */
        size_t back = (size_t)(-(long)bytes);
        r->at -= back < r->at ? back : r->at;
    } else if ((size_t)bytes > r->bytes - r->at) {
        r->at = r->bytes;
        r->past_end = true;
    } else {
        r->at += (size_t)bytes;
    }
}

static int reader_eof(void *user)
{
    struct reader *r = user;
    return r->at >= r->bytes;
}

static const stbi_io_callbacks callbacks = {reader_read, reader_skip, reader_eof};

static int big_endian(const unsigned char *b)
{
    uint32_t v = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return v > INT32_MAX ? INT32_MAX : (int)v;
}

/* Width and height as a PNG's header has them; false when it is no PNG. */
static bool png_size(const unsigned char *data, size_t bytes, int *w, int *h)
{
    if (bytes < 24 || memcmp(data, "\x89PNG\r\n\x1a\n", 8) != 0 || memcmp(data + 12, "IHDR", 4) != 0) return false;
    *w = big_endian(data + 16);
    *h = big_endian(data + 20);
    return true;
}

/* One Huffman segment: `length` bytes from `at` on, which may lie about what follows. */
static bool huffman_tables_fit(const unsigned char *data, size_t bytes, size_t at, long length)
{
    while (length > 0) {
        int codes = 0;
        for (size_t i = 1; i <= 16 && i < bytes - at; i++) codes += data[at + i];
        if (codes > 256) return false;
        if (bytes - at <= 17 + (size_t)codes) return true; /* from here on stb_image reads zeros */
        at += 17 + (size_t)codes;
        length -= 17 + codes;
    }
    return true;
}

/* stb_image before 2.29 writes past its tables when a JPEG declares more than 256 Huffman codes in one of them. This
 * walks over the segments as stb_image does and looks at those tables alone; all else is left to stb_image. */
static bool jpeg_tables_fit(const unsigned char *data, size_t bytes)
{
    size_t at = 0;
    for (;;) { /* at the place where a marker may begin */
        while (at < bytes && data[at] != 0xff) at++;
        while (at < bytes && data[at] == 0xff) at++;
        if (at >= bytes) return true;
        int marker = data[at++];
        if (marker == 0xd9) return true;
        if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8)) continue; /* no segment follows */
        if (bytes - at < 2) return true;
        size_t length = (size_t)data[at] << 8 | data[at + 1];
        if (length < 2) return true;
        if (marker == 0xc4 && !huffman_tables_fit(data, bytes, at + 2, (long)length - 2)) return false;
        if (bytes - at < length) return true;
        at += length;
    }
}

/* The upper bytes of w * h pixels with 16 bits a channel, of all that stb_image reads; NULL as from stb_image. */
static unsigned char *load_deep(struct reader *reader, int *w, int *h, int channels, int *largest)
{
    int stored, most = 0;
    unsigned short *deep = stbi_load_16_from_callbacks(&callbacks, reader, w, h, &stored, channels);
    size_t n = deep ? (size_t)channels * (size_t)*w * (size_t)*h : 0;
    unsigned char *bytes = deep ? malloc(n) : NULL;
    if (deep) had(bytes);
    for (size_t i = 0; bytes && i < n; i++) {
        bytes[i] = (unsigned char)(deep[i] >> 8);
        if (deep[i] > most && (channels == 3 || i % 4 != 3)) most = deep[i]; /* of the colours */
    }
    free(deep);
    *largest = most;
    return bytes;
}

/* Interleaved RGB or RGBA into the picture. */
static cp_status take_pixels(const unsigned char *bytes, int channels, cp_picture *out)
{
    size_t n = (size_t)out->w * (size_t)out->h;
    if (channels == 3) {
        memcpy(out->rgb, bytes, 3 * n);
        return CP_OK;
    }
    if (!(out->alpha = cp_alloc(n, 1, "picture"))) {
        cp_picture_free(out);
        return CP_ERESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(out->rgb + 3 * i, bytes + 4 * i, 3);
        out->alpha[i] = bytes[4 * i + 3];
    }
    return CP_OK;
}

static cp_status decode_by_stb(const unsigned char *data, size_t bytes, const char *name, cp_picture *out)
{
    int w = 0, h = 0, channels = 0;
    if (png_size(data, bytes, &w, &h)) { /* stb_image says only that the type is unknown when a PNG is too large */
        cp_status status = cp_picture_check_header(w, h, name);
        if (status != CP_OK) return status;
    }
    if (data[0] == 0xff && !jpeg_tables_fit(data, bytes))
        return cp_fail(CP_EINPUT, "picture: %s is a damaged JPEG: a Huffman table of more than 256 codes", name);
    struct reader reader = {data, bytes, 0, false};
    piece_limit = (size_t)1 << 20;
    piece_refused = piece_failed = false;
    if (!stbi_info_from_callbacks(&callbacks, &reader, &w, &h, &channels))
        return piece_failed ? cp_fail(CP_ERESOURCE, "picture: %s: out of memory", name) :
            cp_fail(CP_EINPUT, "picture: %s (%zu bytes) is no JPEG, PNG, BMP, TGA, GIF, PSD or PNM, or damaged: %s",
                       name, bytes, stbi_failure_reason());
    cp_status status = cp_picture_check_header(w, h, name);
    if (status != CP_OK) return status;
    reader = (struct reader){data, bytes, 0, false};
    bool deep = stbi_is_16_bit_from_callbacks(&callbacks, &reader);
    /* Of those the decoder would take the lower byte. */
    if (data[0] == 'P' && deep)
        return cp_fail(CP_EINPUT, "picture: %s is a PNM of 16 bits, 8 bits are read", name);

    /* 16 bytes a pixel cover 16-bit RGBA and every decoder's working copies; 64 is more than one JPEG block row. */
    piece_limit = 16 * ((size_t)w + 64) * ((size_t)h + 64) + ((size_t)1 << 20);
    reader = (struct reader){data, bytes, 0, false};
    int w2 = 0, h2 = 0, largest = 0, wanted = cp_picture_keeps_alpha() && channels % 2 == 0 ? 4 : 3; /* of 2 and 4 the last is alpha */
    unsigned char *rgb = deep ? load_deep(&reader, &w2, &h2, wanted, &largest)
                              : stbi_load_from_callbacks(&callbacks, &reader, &w2, &h2, &channels, wanted);
    if (!rgb && piece_refused)
        status = cp_fail(CP_EINPUT, "picture: %s unpacks to more than its %d x %d pixels can hold", name, w, h);
    else if (!rgb && piece_failed)
        status = cp_fail(CP_ERESOURCE, "picture: %s: out of memory for %d x %d pixels", name, w, h);
    else if (reader.past_end)
        status = cp_fail(CP_EINPUT, "picture: %s is truncated: its %zu bytes end before the last of its %d x %d pixels",
                         name, bytes, w, h);
    else if (!rgb)
        status = cp_fail(CP_EINPUT, "picture: %s (%d x %d pixels) is damaged: %s", name, w, h, stbi_failure_reason());
    else if (w2 != w || h2 != h)
        status = cp_fail(CP_EINPUT, "picture: %s is damaged: its header says %d x %d pixels, its data %d x %d", name, w,
                         h, w2, h2);
    if (status == CP_OK && (status = cp_picture_new(w, h, out)) == CP_OK) status = take_pixels(rgb, wanted, out);
    stbi_image_free(rgb);
    out->largest = status ? 0 : largest;
    return status;
}

static bool obeys_orientation = true;

void cp_picture_obey_orientation(bool obey) { obeys_orientation = obey; }

bool cp_picture_obeys_orientation(void) { return obeys_orientation; }

cp_status cp_picture_decode(const unsigned char *data, size_t bytes, const char *name, cp_picture *out)
{
    *out = (cp_picture){0};
    if (bytes == 0 || bytes > CP_PICTURE_MAX_BYTES)
        return cp_fail(CP_EINPUT, "picture: %s has %zu bytes, 1 to %llu are allowed", name, bytes,
                       (unsigned long long)CP_PICTURE_MAX_BYTES);
    const cp_picture_format *format = cp_picture_format_of(data, bytes);
    if (format && !format->read)
        return cp_fail(CP_EINPUT, "picture: %s is a %s, which this build does not read: install %s and build again", name,
                       format->name, format->package);
    cp_status status = format ? format->read(data, bytes, name, out) : decode_by_stb(data, bytes, name, out);
    if (status == CP_OK && !format) out->orientation = cp_exif_orientation(data, bytes);
    if (status == CP_OK && obeys_orientation && (status = cp_picture_turn(out, out->orientation)) != CP_OK)
        cp_picture_free(out);
    return status;
}


cp_status cp_picture_read(const char *path, cp_picture *out)
{
    unsigned char *data;
    size_t bytes;
    *out = (cp_picture){0};
    cp_status status = cp_file_read(path, "picture", CP_PICTURE_MAX_BYTES, &data, &bytes);
    if (status != CP_OK) return status;
    status = cp_picture_decode(data, bytes, path, out);
    cp_free(data);
    return status;
}
