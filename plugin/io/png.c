/* Pictures out: PNG through libpng. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/image.h"

/* Sizes are checked before and errors of the file are kept by it: what is left is memory. */
static void on_error(png_structp png, png_const_charp text)
{
    const char *path = png_get_error_ptr(png);
    cp_fail(CP_ERESOURCE, "%s: libpng: %s", path, text);
    longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* Errors are kept in the stream, whose owner reports them. */
static void write_bytes(png_structp png, png_bytep data, size_t bytes)
{
    FILE *to = png_get_io_ptr(png);
    (void)fwrite(data, 1, bytes, to);
}

static void flush_bytes(png_structp png) { (void)png; }

static cp_status encode(const cp_picture *picture, const char *path, FILE *to)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, (png_voidp)path, on_error, on_warning);
    if (!png) return cp_fail(CP_ERESOURCE, "%s: out of memory for libpng", path);
    png_infop info = png_create_info_struct(png);
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        return cp_fail(CP_ERESOURCE, "%s: out of memory for libpng", path);
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return CP_ERESOURCE;
    }
    png_set_write_fn(png, to, write_bytes, flush_bytes);
    png_set_user_limits(png, CP_PICTURE_MAX_SIDE, CP_PICTURE_MAX_SIDE);
    png_set_compression_level(png, 1); /* 4: 5% fewer bytes, the whole picture half as long again */
    png_set_IHDR(png, info, (png_uint_32)picture->w, (png_uint_32)picture->h, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < picture->h; y++) png_write_row(png, picture->rgb + 3 * (size_t)y * (size_t)picture->w);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return CP_OK;
}

static cp_status check(const cp_picture *picture, const char *path)
{
    if (!picture->rgb) return cp_fail(CP_EINTERNAL, "%s: no picture to write", path);
    if (picture->failed) return cp_fail(CP_ERESOURCE, "%s: out of memory for the text in the picture", path);
    return CP_OK;
}

cp_status cp_picture_encode_png(const cp_picture *picture, const char *name, unsigned char **png, size_t *bytes)
{
    char *text = NULL;
    cp_status status = check(picture, name);
    *png = NULL;
    if (status != CP_OK) return status;
    FILE *to = open_memstream(&text, bytes);
    if (!to) return cp_fail(CP_ERESOURCE, "%s: out of memory for a picture", name);
    status = encode(picture, name, to);
    if (fclose(to) && status == CP_OK) status = cp_fail(CP_ERESOURCE, "%s: out of memory for a picture", name);
    if (status == CP_OK)
        *png = (unsigned char *)text;
    else
        free(text);
    return status;
}

cp_status cp_picture_write_png(const cp_picture *picture, const char *path)
{
    cp_file *file;
    cp_status status = check(picture, path);
    if (status == CP_OK) status = cp_file_begin(path, &file);
    if (status != CP_OK) return status;
    status = encode(picture, path, cp_file_stream(file));
    if (status == CP_OK)
        status = cp_file_commit(&file);
    else
        cp_file_abort(&file);
    return status;
}
