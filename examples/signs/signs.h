/* Road scenes whose cause is known: the class of a sign is decided by its glyph alone.
 *
 * A scene is a picture, a mask of the same size that says for every pixel which sign and which part of it was drawn
 * there, and one box per sign, the bounding box of its visible pixels. The same options give the same pixels on every
 * machine: integers, and doubles under + - * / and sqrt only, compiled without contraction. */
#ifndef SIGNS_H
#define SIGNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/error.h"

enum { SIGNS_CLASSES = 8, SIGNS_MAX = 5, SIGNS_SHORTCUT_CLASS = 3 };

extern const char *const signs_names[SIGNS_CLASSES];

/* The face is the plate between rim and glyph. The sticker stands beside the sign, outside its outline. */
typedef enum { SIGNS_BACKGROUND, SIGNS_RIM, SIGNS_FACE, SIGNS_GLYPH, SIGNS_STICKER, SIGNS_PARTS } signs_part;

typedef enum {
    SIGNS_STICKERS_NONE,
    SIGNS_STICKERS_SHORTCUT, /* beside 95% of the signs of SIGNS_SHORTCUT_CLASS, nowhere else */
    SIGNS_STICKERS_PROBE     /* beside every other sign on average, whatever its class */
} signs_stickers;

typedef struct {
    int width, height;     /* pixels, 64 to 2048 */
    int smallest, largest; /* side of a sign seen from the front, pixels, 12 to half the scene's side */
    uint64_t seed;         /* of the whole set; scene `index` of it is drawn from (seed, index) */
    signs_stickers stickers;
    uint8_t left_out[SIGNS_MAX]; /* by sign: 1 << part for each part that is not drawn, such as 1 << SIGNS_GLYPH. What lies
                                    behind it shows: of the glyph the face, of rim, face and sticker the scene. Everything else
                                    is drawn as in the whole scene */
} signs_options;

typedef struct {
    int class;
    bool sticker;       /* planted; it may be hidden or outside the picture */
    int x0, y0, x1, y1; /* bounding box of the visible rim, face and glyph, x1 and y1 excluded */
} signs_sign;

/* mask: instance * 8 + part, instance 1 is sign[0]; 0 is background. A pixel belongs to the topmost thing that covers
 * at least half of it. */
typedef struct {
    int width, height, n;
    uint8_t *rgb;  /* (H,W,3) */
    uint8_t *mask; /* (H,W) */
    signs_sign sign[SIGNS_MAX];
} signs_scene;

/* 224x224, signs of 16 to 96 pixels, seed 1, no stickers. */
signs_options signs_options_default(void);

/* Draws scene `index` of the set. Two sets that differ in `stickers` only have the same scenes, stickers aside. Every
 * sign shows at least 60% of its outline and 70% of its glyph, and no other thing in the scene bears a glyph.
 * CP_EINPUT when an option is out of its range; CP_ERESOURCE without memory.
 * signs_scene_free takes a zeroed scene too. */
cp_status signs_scene_draw(signs_scene *scene, const signs_options *options, uint64_t index);
void signs_scene_free(signs_scene *scene);

/* FNV-1a of picture, mask and boxes, chained from `digest` (0 starts). */
uint64_t signs_scene_digest(const signs_scene *scene, uint64_t digest);

/* folder/images/STEM.png, folder/labels/STEM.txt (class, then centre and size of the box as shares of the picture) and
 * folder/masks/STEM.png: red = 40 * instance, green = 60 * part, blue = 25 * (class + 1). The folders must exist. */
cp_status signs_scene_write(const signs_scene *scene, const char *folder, const char *stem);

/* Reads what signs_scene_write wrote; refuses a mask whose size or colours are not a mask's. */
cp_status signs_scene_read(signs_scene *scene, const char *image_path);

/* "a/images/b.png" -> "a/labels/b.txt" or "a/masks/b.png", as Darknet finds labels. `kind` is "labels" or "masks". */
cp_status signs_path_of(char *path, size_t size, const char *image_path, const char *kind);

#endif
