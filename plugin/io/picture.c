/* A picture in memory: its limits, new and freed, as floats and back. */
#include <math.h>
#include <unistd.h>

#include "io/error.h"
#include "io/image.h"

static size_t memory_limit; /* 0: not set */

/* Always allowed: a limit below it is for what grows with the network and the list. */
#define SMALL ((size_t)16 << 20)

void cp_picture_set_memory(size_t bytes) { memory_limit = bytes; }

size_t cp_picture_memory(void)
{
    const size_t least = (size_t)1 << 30;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t quarter = pages > 0 && page > 0 ? (size_t)pages / 4 * (size_t)page : 0;
    if (memory_limit) return memory_limit > SMALL ? memory_limit : SMALL;
    return quarter > least ? quarter : least;
}

static cp_status check_size(int w, int h, const char *name)
{
    size_t pixels;
    if (w < 1 || h < 1 || w > CP_PICTURE_MAX_SIDE || h > CP_PICTURE_MAX_SIDE)
        return cp_fail(CP_EINPUT, "picture: %s is %d x %d pixels, sides of 1 to %d are allowed", name, w, h,
                       CP_PICTURE_MAX_SIDE);
    if (!cp_mul((size_t)w, (size_t)h, &pixels) || pixels > CP_PICTURE_MAX_PIXELS)
        return cp_fail(CP_EINPUT, "picture: %s has %d x %d pixels, at most %zu in all are allowed", name, w, h,
                       CP_PICTURE_MAX_PIXELS);
    return CP_OK;
}

/* Of a file whose header says w x h: the working copies of 16-bit RGBA, or of 8 bits, turned, and as floats. */
static cp_status check_memory(int w, int h, const char *name)
{
    size_t needed = 16 * (size_t)w * (size_t)h, allowed = cp_picture_memory();
    if (needed <= allowed) return CP_OK;
    return cp_fail(CP_EINPUT, "picture: %s has %d x %d pixels, which take about %zu MB, %zu MB are allowed for one picture: "
                   "make it smaller, or raise -mem", name, w, h, (needed >> 20) + 1, allowed >> 20);
}

cp_status cp_picture_check_header(int w, int h, const char *name)
{
    cp_status status = check_size(w, h, name);
    return status ? status : check_memory(w, h, name);
}

cp_status cp_picture_new(int w, int h, cp_picture *out)
{
    *out = (cp_picture){0};
    cp_status status = check_size(w, h, "the one asked for");
    if (status != CP_OK) return status;
    unsigned char *rgb = cp_alloc((size_t)w * (size_t)h, 3, "picture");
    if (!rgb) return CP_ERESOURCE;
    *out = (cp_picture){.w = w, .h = h, .rgb = rgb, .orientation = 1};
    return CP_OK;
}

static bool keeps_alpha;

void cp_picture_keep_alpha(bool keep) { keeps_alpha = keep; }

bool cp_picture_keeps_alpha(void) { return keeps_alpha; }

void cp_picture_free(cp_picture *picture)
{
    cp_free(picture->rgb);
    cp_free(picture->alpha);
    *picture = (cp_picture){0};
}

void cp_picture_to_float(const cp_picture *picture, float *chw)
{
    size_t plane = (size_t)picture->w * (size_t)picture->h;
    float table[256];
    for (int i = 0; i < 256; i++) table[i] = (float)(i / 255.);
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++) chw[c * plane + i] = table[picture->rgb[3 * i + c]];
}

cp_status cp_picture_from_float(const float *chw, int w, int h, cp_picture *out)
{
    cp_status status = cp_picture_new(w, h, out);
    if (status != CP_OK) return status;
    size_t plane = (size_t)w * (size_t)h;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++) {
            float v = chw[c * plane + i];
            v = v > 0 ? (v < 1 ? v : 1) : 0; /* NaN is not > 0 */
            out->rgb[3 * i + c] = (unsigned char)lrintf(255 * v);
        }
    return CP_OK;
}
