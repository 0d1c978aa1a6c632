/* The parts of `roar`: the maps of all pictures, the pictures without what the maps name, the trainings, the report. */
#ifndef CP_CLI_COMMAND_ROAR_H
#define CP_CLI_COMMAND_ROAR_H

#include "cli/accuracy.h"
#include "cli/eval.h"

enum { CP_ROAR_FILE = 4096 };
enum { CP_ROAR_TRAIN, CP_ROAR_VALID, CP_ROAR_PARTS };
enum { CP_ROAR_HIGHEST, CP_ROAR_LOWEST }; /* which pixels go: ROAR, KAR */

typedef struct {
    cp_session *session;
    const char *data;  /* the .data file */
    char folder[2048]; /* of all results */
    cp_eval_plan plan; /* the maps */
    cp_valid_list list[CP_ROAR_PARTS];
    float colour[4];                        /* mean of the training pictures, by channel */
    double fraction[CP_MAX_SPARSITIES + 1]; /* [0] is 0: nothing removed */
    int n_fractions, repeats, directions;   /* directions: 1 ROAR, 2 KAR too */
    int road;                               /* pictures of ROAD */
    cp_ledger *ledger;                      /* a line per step: trainings, then ROAD of each map */
} cp_roar;

extern const char *const cp_roar_parts[CP_ROAR_PARTS]; /* "train", "valid" */

/* Steps are numbered; a step that the ledger has is done. Those with nothing removed come first and are the same for
 * all maps and both directions. */
size_t cp_roar_step(const cp_roar *roar, int map, int direction, int fraction, int repeat);
size_t cp_roar_road_step(const cp_roar *roar, int map);

/* PATH of the file of map `map` for a part: .npy, float32 (pictures, H, W). */
void cp_roar_map_path(const cp_roar *roar, int map, int part, char path[CP_ROAR_FILE]);
/* Takes away the files of an earlier run, so that none is gone on with. */
void cp_roar_forget_maps(const cp_roar *roar);
/* Makes what is missing of the maps of both parts, of each picture's own prediction. */
cp_status cp_roar_make_maps(cp_roar *roar);
/* The map of a picture from an open file of maps of a part. */
cp_status cp_roar_read_map(const cp_roar *roar, int part, FILE *file, const char *path, size_t picture, float *map);

/* All trainings that the ledger lacks. */
cp_status cp_roar_train(cp_roar *roar);
/* ROAD of the maps that the ledger lacks: the mean probability of what was predicted, over the fractions, highest
 * pixels imputed first. */
cp_status cp_roar_measure_road(cp_roar *roar);

/* Table on stdout or, with -json, an object; FOLDER/roar.csv and FOLDER/roar.png. */
cp_status cp_roar_report(cp_roar *roar);

#endif
