#include "io/formats.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#ifdef CP_TIFF
#include <tiffio.h>
#endif
#ifdef CP_WEBP
#include <webp/decode.h>
#endif

#include "io/error.h"

static bool is_tiff(const unsigned char *d, size_t n)
{
    return n >= 4 && (!memcmp(d, "II*\0", 4) || !memcmp(d, "MM\0*", 4) || !memcmp(d, "II+\0", 4) || !memcmp(d, "MM\0+", 4));
}

static bool is_webp(const unsigned char *d, size_t n) { return n >= 12 && !memcmp(d, "RIFF", 4) && !memcmp(d + 8, "WEBP", 4); }

#ifdef CP_TIFF
/* A file in memory as libtiff's stream. */
typedef struct {
    const unsigned char *data;
    toff_t bytes, at;
} memory_file;

static tmsize_t file_read(thandle_t user, void *to, tmsize_t bytes)
{
    memory_file *f = user;
    toff_t left = f->at < f->bytes ? f->bytes - f->at : 0, n = bytes < 0 ? 0 : (toff_t)bytes < left ? (toff_t)bytes : left;
    memcpy(to, f->data + (n ? f->at : 0), (size_t)n);
    f->at += n;
    return (tmsize_t)n;
}

static tmsize_t file_write(thandle_t user, void *from, tmsize_t bytes)
{
    (void)user, (void)from, (void)bytes;
    return -1;
}

static toff_t file_seek(thandle_t user, toff_t offset, int whence)
{
    memory_file *f = user;
    f->at = offset + (whence == SEEK_CUR ? f->at : whence == SEEK_END ? f->bytes : 0);
    return f->at;
}

static toff_t file_size(thandle_t user) { return ((memory_file *)user)->bytes; }

static int file_close(thandle_t user)
{
    (void)user;
    return 0;
}

/* libtiff gives colours multiplied by their alpha. */
static void unmultiply(cp_picture *out, size_t pixel, unsigned alpha)
{
    out->alpha[pixel] = (unsigned char)alpha;
    for (int c = 0; c < 3 && alpha; c++) {
        unsigned value = (out->rgb[3 * pixel + c] * 255u + alpha / 2) / alpha;
        out->rgb[3 * pixel + c] = (unsigned char)(value > 255 ? 255 : value);
    }
}

/* A TIFF may say that one strip or tile is far larger than what its pixels need, and libtiff unpacks it as a whole. */
static cp_status check_tiff(TIFF *tiff, int w, int h, const char *name)
{
    cp_status status = cp_picture_check_header(w, h, name);
    uint64_t piece = TIFFIsTiled(tiff) ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
    if (status || piece <= cp_picture_memory()) return status;
    return cp_fail(CP_EINPUT, "picture: %s has pieces of %llu bytes, %zu are allowed for one picture", name,
                   (unsigned long long)piece, cp_picture_memory());
}

/* The pixels in the order in which they are stored, 8 bits a channel. */
static cp_status read_stored(TIFF *tiff, const char *name, cp_picture *out)
{
    char why[1024] = "";
    TIFFRGBAImage image;
    if (!TIFFRGBAImageBegin(&image, tiff, 1, why))
        return cp_fail(CP_EINPUT, "picture: %s is a TIFF of a kind that is not read: %s", name, why);
    cp_status status = CP_EINPUT;
    uint32_t *raster = NULL;
    int w = image.width > INT_MAX ? INT_MAX : (int)image.width, h = image.height > INT_MAX ? INT_MAX : (int)image.height;
    if ((status = check_tiff(tiff, w, h, name))) goto done;
    size_t pixels = (size_t)image.width * image.height;
    if ((status = cp_picture_new((int)image.width, (int)image.height, out))) {
        cp_fail_prefix(status, "%s", name);
        goto done;
    }
    if (!(raster = cp_alloc(pixels, sizeof *raster, "picture"))) {
        status = CP_ERESOURCE;
        goto done;
    }
    image.req_orientation = image.orientation;
    bool alpha = image.alpha == EXTRASAMPLE_UNASSALPHA && cp_picture_keeps_alpha();
    if (alpha && !(out->alpha = cp_alloc(pixels, 1, "picture"))) {
        status = CP_ERESOURCE;
        goto done;
    }
    if (!TIFFRGBAImageGet(&image, raster, image.width, image.height))
        status = cp_fail(CP_EINPUT, "picture: %s (%u x %u pixels) is a damaged TIFF", name, (unsigned)image.width,
                         (unsigned)image.height);
    for (size_t i = 0; i < pixels; i++) {
        out->rgb[3 * i] = (unsigned char)TIFFGetR(raster[i]);
        out->rgb[3 * i + 1] = (unsigned char)TIFFGetG(raster[i]);
        out->rgb[3 * i + 2] = (unsigned char)TIFFGetB(raster[i]);
        if (alpha) unmultiply(out, i, TIFFGetA(raster[i]));
    }
done:
    cp_free(raster);
    TIFFRGBAImageEnd(&image);
    return status;
}

static cp_status read_tiff(const unsigned char *data, size_t bytes, const char *name, cp_picture *out)
{
    memory_file file = {data, bytes, 0};
    uint16_t orientation = 1;
    TIFFSetErrorHandler(NULL); /* they would print */
    TIFFSetWarningHandler(NULL);
    TIFF *tiff = TIFFClientOpen(name, "rm", &file, file_read, file_write, file_seek, file_close, file_size, NULL, NULL);
    if (!tiff) return cp_fail(CP_EINPUT, "picture: %s (%zu bytes) is a damaged TIFF", name, bytes);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    cp_status status = read_stored(tiff, name, out);
    TIFFClose(tiff);
    if (status) cp_picture_free(out);
    else out->orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;
    return status;
}
#else
#define read_tiff NULL
#endif

#ifdef CP_WEBP
static cp_status read_webp_alpha(const unsigned char *data, size_t bytes, const char *name, cp_picture *out)
{
    size_t n = (size_t)out->w * (size_t)out->h;
    unsigned char *rgba = cp_alloc(n, 4, "picture");
    out->alpha = cp_alloc(n, 1, "picture");
    cp_status status = rgba && out->alpha ? CP_OK : CP_ERESOURCE;
    if (!status && !WebPDecodeRGBAInto(data, bytes, rgba, 4 * n, 4 * out->w))
        status = cp_fail(CP_EINPUT, "picture: %s (%d x %d pixels) is a damaged WebP", name, out->w, out->h);
    for (size_t i = 0; i < n && !status; i++) {
        memcpy(out->rgb + 3 * i, rgba + 4 * i, 3);
        out->alpha[i] = rgba[4 * i + 3];
    }
    cp_free(rgba);
    if (status) cp_picture_free(out);
    return status;
}

static cp_status read_webp(const unsigned char *data, size_t bytes, const char *name, cp_picture *out)
{
    WebPBitstreamFeatures f;
    if (WebPGetFeatures(data, bytes, &f) != VP8_STATUS_OK)
        return cp_fail(CP_EINPUT, "picture: %s (%zu bytes) is a damaged WebP", name, bytes);
    if (f.has_animation) return cp_fail(CP_EINPUT, "picture: %s is an animated WebP, a still one is needed", name);
    cp_status status = cp_picture_check_header(f.width, f.height, name);
    if (status) return status;
    if ((status = cp_picture_new(f.width, f.height, out))) return cp_fail_prefix(status, "%s", name);
    if (f.has_alpha && cp_picture_keeps_alpha()) return read_webp_alpha(data, bytes, name, out);
    if (WebPDecodeRGBInto(data, bytes, out->rgb, 3 * (size_t)f.width * (size_t)f.height, 3 * f.width)) return CP_OK;
    cp_picture_free(out);
    return cp_fail(CP_EINPUT, "picture: %s (%d x %d pixels) is a damaged WebP", name, f.width, f.height);
}
#else
#define read_webp NULL
#endif

const cp_picture_format *cp_picture_format_of(const unsigned char *data, size_t bytes)
{
    static const cp_picture_format formats[] = {{"TIFF", "libtiff-dev", is_tiff, read_tiff},
                                                {"WebP", "libwebp-dev", is_webp, read_webp}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].is_one(data, bytes)) return &formats[i];
    return NULL;
}
