/* The parts of `errors`: what one image gives as a line of the ledger, what the lines come to, and the files made of
 * them. */
#ifndef CP_CLI_ERRORS_H
#define CP_CLI_ERRORS_H

#include "cli/shard.h"
#include "cli/subject.h"
#include "eval/channel_sets.h"
#include "eval/detection.h"
#include "eval/paired.h"
#include "io/ledger.h"
#include "io/lines.h"

/* Least probability of the detections that average precision counts, as in `detector map`. */
#define CP_ERRORS_LEAST .005

enum {
    CP_ERRORS_PATHS = 2000,      /* of a type that are compared with each other */
    CP_ERRORS_RIGHT_PATHS = 300, /* of a class, wrong ones and right ones, that are compared with each other */
    CP_ERRORS_CHANNELS = 10,     /* over-represented ones that are listed, of a class */
    CP_ERRORS_PERMUTATIONS = 999
};

/* One run. */
typedef struct {
    cp_session *session;
    const char *data;    /* the .data file, or NULL */
    cp_lines lines;      /* of the list, where the images come from one */
    const char **images; /* all of them; n */
    size_t n;
    cp_shard shard;
    size_t *todo;        /* place in `images` of each image that the walk visits */
    char **walked;       /* their paths */
    size_t n_todo, next; /* next: the first of them without a line */
    cp_names *labels;    /* classifier: names that say the class of a photo by its path */
    double shown;        /* -thresh: detections of at least that are explained */
    cp_ledger *ledger;
    /* Space for one explanation. */
    float *signed_score, *score, *channel, *heat;
    cp_path *path;
    double measuring; /* seconds of the walk */
} cp_errors;

/* ---- one image ---- */

cp_status cp_errors_open_space(cp_errors *e);
void cp_errors_close_space(cp_errors *e);
/* Everything about one image, which has run forward, into `record`. */
cp_status cp_errors_measure(cp_errors *e, cp_item *item, json_t *record);
/* The predictor that comes nearest to an object: of those that give its class at least 1e-4, the one whose box
 * overlaps it most; found: there is one. */
cp_status cp_errors_nearest(const cp_session *session, const cp_item *item, const cp_label *object,
                            cp_detection *nearest, bool *found);
/* A detection's box, relative to the photo. */
cp_label cp_errors_box(const cp_session *session, const cp_item *item, const cp_detection *detection);

/* ---- all images ---- */

/* One answer that a person sees: a detection of at least -thresh, a missed object, or what a classifier says. */
typedef struct {
    size_t line; /* of the ledger */
    int number;  /* of the detection in its image, or of the object; a classifier: 0 */
    cp_found_type type;
    int class_id, object_class; /* -1: none */
    float score;
    double box[4]; /* corner and size in photo pixels; NAN: none */
    double overlap, inside, lift;
    double path_overlap; /* |P and C| / |P or C| with the class path */
    double path_inside;  /* |P and C| / |P| */
    double typical;      /* the same with the path of all errors of its type */
    int cluster;         /* number within its type; -1: none */
} cp_errors_row;

typedef struct {
    cp_found_type type;
    int number;
    size_t members;
    int *classes; /* (model's classes) members of each */
    size_t n_shared;
    size_t
        shared[CP_ERRORS_CHANNELS]; /* channels that at least four of five members hold, those that right answers hold
                                 least */
    double held[CP_ERRORS_CHANNELS], held_right[CP_ERRORS_CHANNELS];
    size_t first; /* row of a member: the first of the list */
} cp_errors_cluster;

typedef struct {
    int class_id;
    size_t wrong, right; /* answers compared */
    cp_enriched found[CP_ERRORS_CHANNELS];
    size_t n;
} cp_errors_enriched;

typedef struct {
    size_t images, unreadable, unlabelled; /* unlabelled: detectors, without a label file */
    cp_precision_report precision;         /* detectors: of all detections of at least CP_ERRORS_LEAST */
    cp_errors_row *row;
    size_t n_rows;
    size_t type[CP_FOUND_TYPES]; /* rows */
    cp_mean inside[CP_FOUND_TYPES], path_overlap[CP_FOUND_TYPES], path_inside[CP_FOUND_TYPES];
    double alike; /* of two right answers of one class, in the mean: what makes a cluster */
    cp_errors_cluster *cluster;
    size_t n_clusters, sampled[CP_FOUND_TYPES];
    cp_errors_enriched *enriched; /* classes with wrong and right answers */
    size_t n_enriched;
    size_t *confusion; /* (classes, classes) true by said, of classifiers; NULL otherwise */
} cp_errors_found;

cp_status cp_errors_gather(cp_errors *e, cp_errors_found *found);
void cp_errors_found_free(cp_errors_found *found);

/* Where a channel is: neuron layer's number in the cfg, and channel there. */
void cp_errors_channel(const cp_model *model, size_t channel, int *layer, size_t *in_layer);

/* ---- files ---- */

typedef struct {
    char name[4096];
    size_t row;
    bool worst;
} cp_errors_picture;

/* The worst and the most typical of each type, drawn; -examples of each. Every photo is opened once more. *pictures
 * is freed with cp_free. */
cp_status cp_errors_draw(cp_errors *e, cp_item *whole, const cp_errors_found *found, cp_errors_picture **pictures,
                         size_t *n);

/* PREFIX.csv, PREFIX.json, of detectors PREFIX.results.json and PREFIX.truth.json, of classifiers
 * PREFIX.confusion.csv; then PREFIX.manifest.json, and the text on stdout, or with -json PREFIX.json's object. */
cp_status cp_errors_write(cp_errors *e, cp_item *whole, const cp_errors_found *found, const cp_errors_picture *pictures,
                          size_t n_pictures);
void cp_errors_print(const cp_errors *e, const cp_errors_found *found, FILE *to);
/* PREFIX.json as an object; NULL: out of memory. */
json_t *cp_errors_json(const cp_errors *e, const cp_errors_found *found, const cp_errors_picture *pictures,
                       size_t n_pictures);

#endif
