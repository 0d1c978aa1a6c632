/* The files that commands write for an image, from one table: a row per kind of file holds its ending, its key under
 * `files` in the JSON of explain, and its writer. */
#ifndef CP_CLI_RESULTS_H
#define CP_CLI_RESULTS_H

#include "cli/drawing.h"
#include "cli/pathway.h"
#include "path/path_file.h"

/* PREFIX.png, PREFIX.npy (planes,H,W), PREFIX.heat.npy (2,H,W), PREFIX.path.npz, PREFIX.score.npz, PREFIX.json. */
typedef enum {
    CP_RESULT_PICTURE, CP_RESULT_MAP, CP_RESULT_HEAT, CP_RESULT_PATH, CP_RESULT_SCORE, CP_RESULT_JSON, CP_RESULTS
} cp_result_kind;

/* What there is to write. A writer reads what its row names; the rest may be 0. */
typedef struct {
    const cp_item *item;
    const cp_subject *subject;   /* path, score; NULL: `from` says what response and input they are of */
    const cp_file_meta *from;    /* of the score file that a path is made from */
    const cp_pathway *pathway;   /* path */
    const float *score;          /* score: (N) */
    const float *map;            /* map and picture: a gradient or another map, (planes,H,W) */
    size_t planes;
    const float *heat;           /* heat and picture: (2,H,W), or NULL: the picture is of the map */
    const cp_heat_region *where; /* picture: of the heat, at cp_blur_of(options, true), or NULL */
    const cp_drawn *drawn;       /* picture */
    const json_t *object;        /* json */
    const char *tag;             /* stands between PREFIX and the ending; NULL: nothing */
} cp_result;

/* What the picture of a subject shows beside photo and map. path: what was computed; zero: why the map is zero, or
 * NULL. */
void cp_drawn_make(const cp_session *session, const cp_item *item, const cp_subject *subject, const char *path,
                   const char *zero, cp_drawn *drawn);

/* Writes one kind of file. path: its name; "" where the options ask for none (-no-picture). Others of the list compute
 * meanwhile. */
cp_status cp_result_write(const cp_session *session, cp_result_kind kind, const cp_result *result, char path[4096]);
/* The kind's key in the JSON of explain: "map". */
const char *cp_result_key(cp_result_kind kind);

#endif
