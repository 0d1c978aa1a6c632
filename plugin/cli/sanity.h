/* The parts of `sanity`: the responses and their maps, what becomes of these when the network changes, the report. */
#ifndef CP_CLI_SANITY_H
#define CP_CLI_SANITY_H

#include "cli/eval.h"
#include "eval/similarity.h"
#include "model/receptive.h"
#include "model/variant.h"

/* One response of one image, which stays the same in all networks. */
typedef struct {
    char *path;   /* of the image */
    float *input; /* (c,h,w) */
    cp_response response;
    int class_id;
    bool detected;
    cp_detection detection; /* detected: of this one */
    cp_placement placement;
    cp_map_box box;     /* detected: the predicted box, in pixels of the input */
    cp_rectangle field; /* what the response can read of the input; beyond it every network's gradient is zero, and no
                                   map is compared there */
    uint64_t seed;      /* of methods and noise */
    float *maps;        /* (maps,h,w): by the network as it is, with signs */
    bool *made;         /* by map: there is one */
    double gain;        /* response to the photo less that to black */
} cp_sanity_subject;

/* What a map of the photo is compared with. */
typedef enum {
    CP_SANITY_RANDOM, /* that of the network with random weights in some layers */
    CP_SANITY_CLASS,  /* that of another class, drawn at random */
    CP_SANITY_SHIFT   /* that of the photo less its mean colour, by a network that answers it in the same way */
} cp_sanity_test;

typedef struct {
    cp_sanity_test test;
    int layer;             /* RANDOM: the last one that got random weights; -1: all have them at once */
    int *random, n_random; /* RANDOM: all layers that have them */
    bool all;              /* RANDOM: those are all layers */
} cp_sanity_stage;

typedef struct {
    cp_similarity similarity;
    double entropy; /* relative change of the map's entropy (efficient MPRT); NAN: no map */
} cp_sanity_value;

typedef struct {
    cp_session *session;
    cp_eval_plan plan; /* its maps keep their signs */
    cp_request request;
    cp_sanity_subject *subject;
    size_t n, room, images;
    cp_sanity_stage *stage;
    int n_stages;
    int *unread, n_unread; /* layers with weights that no response reads: they stay as they are */
    cp_sanity_value *value; /* (stages, maps, n) */
    double *drift; /* (n): relative change of the response under CP_SANITY_SHIFT; NAN: that test cannot be made */
} cp_sanity;

/* Whether the response reads a layer of those that a stage makes random; elsewhere its map stays as it is. */
bool cp_sanity_reads(const cp_sanity *sanity, const cp_response *response, int layer);
/* By position in `value`. */
cp_sanity_value *cp_sanity_at(const cp_sanity *sanity, int stage, int map, size_t subject);

/* The maps of the subject's response, or of `other`, by the network of a frame, for the subject's input or another
 * one. */
cp_status cp_sanity_make_maps(const cp_sanity *sanity, cp_frame *frame, const cp_sanity_subject *subject,
                              const float *input, const cp_sanity_subject *other, float *maps, bool *made);
/* Every stage of every subject. */
cp_status cp_sanity_measure(cp_sanity *sanity);
/* Table on stdout, PREFIX.csv, .json and .png. */
cp_status cp_sanity_report(cp_sanity *sanity, const char *prefix);

#endif
