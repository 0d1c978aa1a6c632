/* -typical: how much of an answer's path lies on the usual path of its class. docs/methods.md 2. */
#ifndef CP_CLI_TYPICAL_H
#define CP_CLI_TYPICAL_H

#include "cli/pathway.h"
#include "path/class_paths.h"

/* |P and C| / |P| of a path P and a class path C. */
typedef struct {
    const char *missing;  /* why there is nothing to say; NULL: there is */
    int class_id;
    int32_t images;       /* that the class path was counted on, or answers (cp_class_paths_by_answer) */
    size_t usual, own;    /* neurons of the class path, and of this one */
    double share;         /* over the network */
    double *layer;        /* by neuron layer; NAN where the path has none */
} cp_typical;

/* typical->layer is to be freed with cp_free in any case. */
cp_status cp_typical_find(const cp_session *session, int class_id, const cp_path *path, cp_typical *typical);
void cp_typical_print(const cp_session *session, const cp_typical *typical, bool layers, FILE *to);
/* NULL: out of memory. */
json_t *cp_typical_json(const cp_session *session, const cp_typical *typical);

#endif
