/* Detections against true boxes: matching, types of errors (TIDE: Bolya et al. 2020), average precision
 * (docs/methods.md 5.12). */
#ifndef CP_EVAL_DETECTION_H
#define CP_EVAL_DETECTION_H

#include "model/labels.h"

/* IoU from which a box is found, and up to which a detection is background: t_f and t_b of TIDE. */
#define CP_FOUND_OVERLAP .5
#define CP_BACKGROUND_OVERLAP .1

typedef enum {
    CP_FOUND_RIGHT,
    CP_FOUND_CLS,    /* IoU >= .5 with an object of another class */
    CP_FOUND_LOC,    /* IoU of .1 to .5 with an object of its class */
    CP_FOUND_BOTH,   /* none of the others: class and place are off */
    CP_FOUND_DUPE,   /* IoU >= .5 with an object of its class that a better detection has taken */
    CP_FOUND_BKG,    /* IoU <= .1 with every object */
    CP_FOUND_MISSED, /* an object that no detection has, and that no Loc or Cls error would have found */
    CP_FOUND_TYPES
} cp_found_type;

/* "right", "Cls", "Loc", "Both", "Dupe", "Bkg", "Missed" */
const char *cp_found_type_name(cp_found_type type);
/* The reverse; CP_FOUND_TYPES: no type has that name. */
cp_found_type cp_found_type_of(const char *name);

typedef struct {
    cp_label box; /* relative to the photo */
    float score;
} cp_found;

/* What became of a detection. */
typedef struct {
    cp_found_type type;
    int object; /* right, Dupe: the object; Loc, Cls: the one that a better box or class would have found; else the
                   one that it overlaps most, -1 where it overlaps none */
    double overlap; /* IoU with that */
    bool fixes;     /* Loc, Cls: mended, it is the one that finds the object */
    int same; /* the object of its class that it overlaps most and by more than .5, taken or not; -1: none. What
                 AlexeyAB's `detector map` goes by */
} cp_verdict;

/* What became of an object. */
typedef struct {
    int found; /* the detection that has it; -1: none */
    int fixed; /* the best Loc or Cls error that would have found it; -1: none, or it is found */
} cp_object;

/* Greedy matching of one image's detections, the best score first, of equals the first in the array: each takes the
 * free object of its class that it overlaps most, if by .5. verdict: (n), object: (n_labels). */
cp_status cp_detections_match(const cp_found *found, size_t n, const cp_label *label, size_t n_labels,
                              cp_verdict *verdict, cp_object *object);

/* ---- average precision over a data set ---- */

typedef struct cp_precision cp_precision;

/* Takes some 24 bytes per detection and no more per image. */
cp_status cp_precision_new(int classes, cp_precision **precision);
void cp_precision_free(cp_precision *precision);
/* One object, then (in any order) the image's detections, then its end. class_id: within the classes. object: of the
 * verdict, -1 without one. */
void cp_precision_add_object(cp_precision *precision, int class_id, const cp_object *object);
cp_status cp_precision_add(cp_precision *precision, int class_id, float score, const cp_verdict *verdict,
                           int object_class);
void cp_precision_end_image(cp_precision *precision);

typedef struct {
    size_t objects, found, missed;    /* missed: by cp_object, see CP_FOUND_MISSED */
    size_t type[CP_FOUND_TYPES];      /* detections by type; MISSED as above */
    double area, points11, points101; /* AP as `detector map` has it: -points 0, 11, 101 */
    double tide;                      /* AP of TIDE's matching at 101 points of recall */
} cp_class_precision;

typedef struct {
    cp_class_precision *by_class;
    cp_class_precision all; /* sums, and means over all classes, as AlexeyAB's mAP is; tide: over the classes that have
                                         objects or detections */
    size_t classes_with_objects;
    double area_of_those;                  /* mean of the area over them */
    double gain[CP_FOUND_TYPES];           /* dAP: what tide would gain with all errors of a type mended, at least 0 */
    double gain_positives, gain_negatives; /* all false positives mended, all false negatives */
} cp_precision_report;

/* Of equal scores the detection added first counts first. Free with cp_precision_report_free. */
cp_status cp_precision_measure(const cp_precision *precision, cp_precision_report *report);
void cp_precision_report_free(cp_precision_report *report);

#endif
