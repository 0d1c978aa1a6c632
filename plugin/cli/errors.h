/* The parts of `errors`: what one image gives as a line of the ledger, what the lines come to, and the files made of
 * them. */
#ifndef CP_CLI_ERRORS_H
#define CP_CLI_ERRORS_H

#include "cli/shard.h"
#include "cli/subject.h"
#include "eval/channel_sets.h"
#include "eval/detection.h"
#include "eval/paired.h"
#include "io/hash.h"
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
    size_t redone;       /* lines that -resume found out of date, and dropped */
    cp_names *labels;    /* classifier: names that say the class of a photo by its path */
    char **words;        /* (classes) the same as words in small letters; NULL: labels count by their very bytes */
    double shown;        /* -thresh: detections of at least that are explained */
    cp_ledger *ledger;
    /* Space for one explanation. */
    float *signed_score, *score, *channel, *heat;
    cp_path *path;
    double measuring; /* seconds of the walk */
} cp_errors;

/* ---- the true class, of a classifier's photos ---- */

/* Which labels are in a path. class_id: the only one, or the one that holds all the others; -1: none, or several. */
typedef struct {
    int class_id;
    size_t n;     /* labels in the path */
    int first[2]; /* of them */
} cp_errors_truth;

/* Reads the labels from a file of one per line. whole_words: they are names, found where all their words follow each
 * other in the path, case aside, and whatever is no letter or digit lies between words; otherwise they are found by
 * their bytes, as Darknet finds those of labels=. */
cp_status cp_errors_truth_open(cp_errors *e, const char *path, bool whole_words);
void cp_errors_truth_close(cp_errors *e);
/* Of what is looked for. */
cp_status cp_errors_truth_hash(const cp_errors *e, char sha256[CP_SHA256_TEXT]);
cp_status cp_errors_truth_find(const cp_errors *e, const char *path, cp_errors_truth *truth);
/* Fails with CP_EINPUT and the reason for which a photo without one true class is left out. */
cp_status cp_errors_truth_say(const cp_errors *e, const char *path, const cp_errors_truth *truth);

/* ---- one image ---- */

/* Why an image that could be read has no results. */
typedef enum { CP_ERRORS_COUNTS, CP_ERRORS_NO_LABEL, CP_ERRORS_LABELS, CP_ERRORS_LABEL_FILE } cp_errors_left_out;
/* "no label", as "left_out" of a ledger line has it. */
const char *cp_errors_left_out_name(cp_errors_left_out reason);

cp_status cp_errors_open_space(cp_errors *e);
void cp_errors_close_space(cp_errors *e);
/* Everything about one image, which has run forward, into `record`. Where its labels say nothing of use, CP_EINPUT and
 * *left_out, which the record names, too. */
cp_status cp_errors_measure(cp_errors *e, cp_item *item, json_t *record, cp_errors_left_out *left_out);
/* The predictor that comes nearest to an object: of those that give its class at least 1e-4, the one whose box
 * overlaps it most; found: there is one. */
cp_status cp_errors_nearest(const cp_session *session, const cp_item *item, const cp_label *object,
                            cp_detection *nearest, bool *found);
/* A detection's box, relative to the photo. */
cp_label cp_errors_box(const cp_session *session, const cp_item *item, const cp_detection *detection);

/* Drops the lines of images that could not be read or were left out, and of those whose photo or label file has changed
 * since; a photo that is gone keeps its line. */
cp_status cp_errors_drop_stale(cp_errors *e);

/* ---- all images ---- */

/* One answer that a person sees: a detection of at least -thresh, a missed object, or what a classifier says. */
typedef struct {
    size_t line; /* of the ledger */
    int number;  /* of the detection in its image, or of the object; a classifier: 0 */
    cp_found_type type;
    int class_id, object_class; /* -1: none */
    float score;
    double box[4]; /* corner and size in photo pixels; NAN: none */
    double truth[4]; /* the same of the object that a detection is compared with; without a size: none */
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
    size_t images, unreadable;
    size_t unlabelled;                  /* detectors: without a label file, which counts as empty; classifiers: no label
                                         * in the path, left out */
    size_t left_out;                    /* readable ones without results, for one of these reasons: */
    size_t ambiguous, bad_label_files;  /* left out: several labels in the path, a label file with a bad line */
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
