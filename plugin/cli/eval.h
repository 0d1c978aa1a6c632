/* The parts of `eval`: which maps and tests, one response measured, and what the ledger's lines come to. */
#ifndef CP_CLI_EVAL_H
#define CP_CLI_EVAL_H

#include "cli/pathway.h"
#include "eval/attribution.h"
#include "io/ledger.h"

enum { CP_EVAL_MAPS = 32, CP_EVAL_POINTS = 1000 };

/* One map that is measured: NAME[:SCORES][@SPARSITY][~BLUR]. */
typedef struct {
    char name[64];
    const cp_attribution *method;
    const cp_method *scores; /* that the path is made of; NULL: the map reads no path */
    double sparsity; /* NAN: by the mass of the scores */
    double blur;     /* share of the photo's longer side */
    bool keeps_sign; /* no magnitudes, even where the sign is but a direction */
} cp_eval_map;

/* The tests, in the order of the tables. */
typedef enum {
    CP_EVAL_DELETION,
    CP_EVAL_INSERTION,
    CP_EVAL_MORF,
    CP_EVAL_LERF,
    CP_EVAL_ROAD_MORF,
    CP_EVAL_ROAD_LERF,
    CP_EVAL_ENERGY,
    CP_EVAL_LIFT,
    CP_EVAL_POINTING,
    CP_EVAL_RANKING,
    CP_EVAL_COMPACTNESS,
    CP_EVAL_CONFUSION,
    CP_EVAL_GINI,
    CP_EVAL_ENTROPY,
    CP_EVAL_SENSITIVITY,
    CP_EVAL_SUFFICIENCY,
    CP_EVAL_NECESSITY,
    CP_EVAL_CPR,
    CP_EVAL_CMD,
    CP_EVAL_SECONDS,
    CP_EVAL_METRICS
} cp_eval_metric;

typedef struct {
    const char *name, *meaning;
    int better;      /* +1: more is better, -1: less, 0: neither */
    bool unasked;    /* measured without being named in -metrics */
} cp_eval_metric_row;
extern const cp_eval_metric_row cp_eval_metrics[CP_EVAL_METRICS];

typedef struct {
    cp_eval_map map[CP_EVAL_MAPS];
    int n_maps;
    bool metric[CP_EVAL_METRICS];
    double fraction[CP_EVAL_POINTS + 1]; /* of deletion and insertion: 0 to 1 */
    int n_points;
} cp_eval_plan;

/* From -methods, -metrics, -points, -blur; detectors get the rows box and cell, all get random and centre, where missing. */
cp_status cp_eval_plan_read(const cp_session *session, cp_eval_plan *plan);
/* The part of the ledger's manifest that the plan is; NULL: out of memory. */
json_t *cp_eval_plan_json(const cp_eval_plan *plan);

/* The neurons of what the call's frame holds, scored by one method. */
typedef struct {
    const cp_method *method;
    float *signed_score, *score; /* (N); magnitudes */
    double least_share;          /* of the neurons, that a path has at least: cp_scoring */
    double seconds;              /* that they took */
    bool current;                /* of what the frame holds now */
} cp_eval_scores;

/* Makes the maps of one response, as the plan has them. */
typedef struct {
    cp_session *session;
    cp_attribution_call call; /* frame, response, target and box are the caller's, image 0; path and score are those of the map
                                 that was made last */
    cp_eval_scores scores[CP_EVAL_MAPS]; /* by method, made when a map first wants them */
    int n_scores;
    cp_path *path;
} cp_eval_maker;

/* The predicted box of a detection, in pixels of the network input. */
cp_map_box cp_eval_box(const cp_session *session, const cp_item *item, const cp_detection *detection);
/* A box of the photo, by its corner and size in photo pixels, likewise. */
cp_map_box cp_eval_box_in_input(const cp_placement *placement, double x, double y, double w, double h);

/* Room for scores and path; to be freed in any case. */
cp_status cp_eval_maker_open(cp_session *session, const cp_attribution_call *call, cp_eval_maker *maker);
/* The frame has run another image: scores of the last one are none of it. */
void cp_eval_maker_renew(cp_eval_maker *maker);
/* The neurons' scores by a method. */
cp_status cp_eval_maker_score(cp_eval_maker *maker, const cp_method *method, const cp_eval_scores **scores);
/* map: (H,W), magnitudes where the method's sign is but a direction, blurred. seconds, with the
 * scores where a path is read, without blurring: may be NULL. */
cp_status cp_eval_make_map(cp_eval_maker *maker, const cp_eval_map *which, float *map, double *seconds);
void cp_eval_maker_free(cp_eval_maker *maker);

/* Max-sensitivity (Yeh et al. 2019) of each map: the largest |map(x + d) - map(x)| / |map(x)| over ten d, drawn uniformly from
 * [-.02, .02] for each value of the input. sensitivity: (plan->n_maps); NAN for a map that is zero or cannot be made. */
cp_status cp_eval_sensitivity(const cp_eval_maker *maker, const cp_eval_plan *plan, double *sensitivity);

/* Above the rows of maps that are `blind`, in tables. */
#define CP_CONTROLS_TITLE "  controls, which never ask the network about the photo:\n"

/* Every map of one response by every test, as the object of a ledger line's "responses". */
cp_status cp_eval_measure(cp_session *session, const cp_item *item, const cp_subject *subject, const cp_eval_plan *plan,
                          json_t **response);

/* Table on stdout unless -json, PREFIX.csv and PREFIX.png from all lines. */
cp_status cp_eval_report(cp_session *session, const cp_eval_plan *plan, cp_ledger *ledger, const char *prefix);

#endif
