/* Pictures: decoded with the decoder that Darknet uses, so the same file gives the same pixels; written as PNG. TIFF and
 * WebP, which OpenCV builds of Darknet read, by their own libraries. */
#ifndef CP_IO_IMAGE_H
#define CP_IO_IMAGE_H

#include "critpath.h"

#define CP_PICTURE_MAX_BYTES ((uint64_t)256 << 20) /* of the file */
#define CP_PICTURE_MAX_SIDE 65535
#define CP_PICTURE_MAX_PIXELS ((size_t)1 << 27)

/* 8-bit RGB, interleaved, row by row from the top left: pixel (x, y) at rgb + 3 * (y * w + x). */
typedef struct {
    int w, h;
    unsigned char *rgb;
    unsigned char *alpha; /* w * h of them, 255: opaque; of a picture that was read with cp_picture_keep_alpha and has them, else NULL */
    bool failed; /* a text could not be drawn for want of memory: the picture is not written */
    /* Of a picture that was read: */
    int orientation; /* in which the file says that it is stored, 1 to 8 (EXIF); 1: upright, or nothing said */
    int largest;     /* of a file with 16 bits a channel, of which the upper 8 are here: its largest value; else 0 */
} cp_picture;

/* Black picture of w x h. Sides outside 1..CP_PICTURE_MAX_SIDE or too many pixels: CP_EINPUT. */
cp_status cp_picture_new(int w, int h, cp_picture *out);
void cp_picture_free(cp_picture *picture);

/* Reads JPEG, PNG, BMP, TGA, GIF (first frame), PSD or PNM, and TIFF and WebP where the build has their libraries. Grey is
 * spread over RGB, alpha dropped unless it is asked for, of 16 bits the upper 8 are kept, as Darknet does. A photo is turned as its orientation
 * says. Any file that is no such picture, or above the limits: CP_EINPUT. */
cp_status cp_picture_read(const char *path, cp_picture *out);

/* The memory that one picture may take while it is decoded; 0: a quarter of the machine's, at least 1 GB. Headers decide
 * before anything is decoded: about 16 bytes a pixel are needed. For the whole process. */
void cp_picture_set_memory(size_t bytes);
size_t cp_picture_memory(void);
/* Of a file whose header says w x h: whether that is within the limits, before anything is decoded. */
cp_status cp_picture_check_header(int w, int h, const char *name);

/* Whether photos are turned: true at first, as Darknet does that was built with OpenCV; false: they stay as stored, as in
 * builds with stb_image. For the whole process. */
void cp_picture_obey_orientation(bool obey);
bool cp_picture_obeys_orientation(void);

/* Whether alpha is kept, for networks that read it: false at first. For the whole process. */
void cp_picture_keep_alpha(bool keep);
bool cp_picture_keeps_alpha(void);

/* The same from memory; `name` is used in messages. */
cp_status cp_picture_decode(const unsigned char *data, size_t bytes, const char *name, cp_picture *out);

/* chw, shape (3, h, w), gets the bytes / 255, rounded as Darknet's load_image_color rounds. */
void cp_picture_to_float(const cp_picture *picture, float *chw);

/* The reverse, from shape (3, h, w): clamped to [0, 1], rounded to nearest; NaN becomes 0. */
cp_status cp_picture_from_float(const float *chw, int w, int h, cp_picture *out);

/* 8-bit RGB PNG; the same picture always gives the same bytes. Written atomically, errors as io/atomic.h. */
cp_status cp_picture_write_png(const cp_picture *picture, const char *path);
/* The same bytes in memory, to be freed with free; `name` is used in messages. */
cp_status cp_picture_encode_png(const cp_picture *picture, const char *name, unsigned char **png, size_t *bytes);

#endif
