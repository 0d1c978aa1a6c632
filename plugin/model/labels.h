/* Darknet's label files: the true boxes of a photo. */
#ifndef CP_MODEL_LABELS_H
#define CP_MODEL_LABELS_H

#include "critpath.h"

enum { CP_LABELS_MAX_BYTES = 16 << 20 };

/* One line: class, then centre and size relative to the photo. */
typedef struct {
    int class_id;
    double x, y, w, h;
} cp_label;

/* Where Darknet looks for the labels of a photo: "images" or "JPEGImages" in its path become "labels", its ending .txt. Free with
 * cp_free; NULL out of memory. */
char *cp_labels_path(const char *photo);

/* All lines of a label file; an empty file has none. CP_EINPUT, with file and line: no file, a class outside 0..classes-1, no
 * number, a box without an area. *labels is freed with cp_free. */
cp_status cp_labels_read(const char *path, int classes, cp_label **labels, size_t *n);

/* Intersection over union of two boxes given by centre and size. */
double cp_box_overlap(double ax, double ay, double aw, double ah, double bx, double by, double bw, double bh);

#endif
