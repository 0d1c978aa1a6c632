/* Darknet's label files: the true boxes of a photo. */
#ifndef CP_MODEL_LABELS_H
#define CP_MODEL_LABELS_H

#include "critpath.h"
#include "io/hash.h"

enum { CP_LABELS_MAX_BYTES = 16 << 20 };

/* One line: class, then centre and size relative to the photo. */
typedef struct {
    int class_id;
    double x, y, w, h;
} cp_label;

/* Where Darknet looks for the labels of a photo: "images" or "JPEGImages" in its path become "labels", its ending .txt. Free with
 * cp_free; NULL out of memory. */
char *cp_labels_path(const char *photo);

/* The same with the last "images" of the path in the place of the first: where people expect the labels of
 * "images/set/images/1.jpg". Free with cp_free; NULL out of memory. */
char *cp_labels_path_last(const char *photo);

/* Where a photo's mask lies, likewise: "masks" in the place of "images", its ending .png. */
char *cp_masks_path(const char *photo);

/* Reads a mask as large as the photo, w x h; mask: w * h bytes, freed with cp_free. Any pixel but black belongs to the object, of
 * which the mask has 1. object above 0: the mask is of several objects, and grey level k is that of the k-th line of the label
 * file; the pixels of `object` have 1. CP_EINPUT, with the file: none, no picture, another size, colours where levels are
 * wanted. *pixels: those that have 1; 0 is no error. */
cp_status cp_mask_read(const char *path, size_t w, size_t h, size_t object, uint8_t **mask, size_t *pixels);

/* Why a photo's labels may not be found: "; LABELS is there, but Darknet replaces the first "images" of a path: give paths that hold
 * it once", or "" where that is not so. Returns hint. */
const char *cp_labels_hint(const char *photo, char hint[700]);

/* All lines of a label file; an empty file has none. CP_EINPUT, with file and line: no file, a class outside 0..classes-1, no
 * number, a box without an area, a coordinate or size outside 0..1 by more than .01. *labels is freed with cp_free. */
cp_status cp_labels_read(const char *path, int classes, cp_label **labels, size_t *n);

/* Of the label file's bytes; *there false, and sha256 empty: there is none. CP_EINPUT: it cannot be read. */
cp_status cp_labels_hash(const char *photo, char sha256[CP_SHA256_TEXT], bool *there);

/* Intersection over union of two boxes given by centre and size. */
double cp_box_overlap(double ax, double ay, double aw, double ah, double bx, double by, double bw, double bh);

#endif
