/* The results of `compare`, for people, programs and the eye. */
#ifndef CP_CLI_COMPARE_H
#define CP_CLI_COMPARE_H

#include "io/chart.h"
#include "path/comparison.h"

#include <jansson.h>
#include <stdio.h>

/* Path k of the comparison is called name[k] in every table, file and picture. */
typedef struct {
    const cp_model *model;
    const cp_comparison *comparison;
    int n;
    const char *name[CP_COMPARED_PATHS];
    const char *sparsity; /* as the user wrote it; NULL: of path files, each as it is */
} cp_compared;

/* Dead shares and pairs of the network, and with `layers` of each neuron layer. */
void cp_compared_print(const cp_compared *compared, bool layers, FILE *to);
/* NULL: out of memory. */
json_t *cp_compared_json(const cp_compared *compared);
/* One line per figure: sparsity,quantity,a,b,layer,mean,deviation,images,chance. */
cp_status cp_compared_csv(const cp_compared *compared, const char *file);

/* Jaccard as a matrix, and of the first path with each of the others over the layers. */
cp_status cp_compared_pictures(const cp_compared *compared, const char *matrix_png, const char *layers_png);

#endif
