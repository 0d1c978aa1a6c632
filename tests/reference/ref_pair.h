/* One network twice: in the reference and opened by the engine, with a response and a forward run. For cmocka tests:
 * what goes wrong fails the test. */
#ifndef REF_PAIR_H
#define REF_PAIR_H

#include "critpath.h"
#include "ref_cases.h"

/* The frame has two images; the reference's is the second, so that offsets count. */
enum { REF_BATCH = 2, REF_IMAGE = 1 };

typedef struct {
    const char *name;
    ref_net net;
    cp_model *model;
    cp_frame *frame;
    cp_response response;     /* of four units of layer `last` */
    int last;
    size_t inputs, neurons;
    const cp_neuron_layer *layers;
    int n_layers;
    float *input;             /* (REF_BATCH, C, H, W) */
    float *a, *g;             /* N: what the observer of the last backward run saw */
    float *map;               /* its input gradient */
    unsigned char *off;       /* N, after ref_pair_random_path: 1 = off the path */
    cp_path *path;
} ref_pair;

/* Files, model, frame, forward run. Seeds are tried until nothing sits near a kink. */
void ref_pair_open(ref_pair *pair, const ref_case *which);
void ref_pair_close(ref_pair *pair);

void ref_check(cp_status status);
double ref_pair_response(const ref_pair *pair);

/* Backward run of the entry, which may name a path or gates: fills a, g, map. */
void ref_pair_backward(ref_pair *pair, cp_frame *frame, const cp_entry *entry);

/* A new path: that share of the units of every even and every odd neuron layer, drawn; all of the response's layer. */
void ref_pair_random_path(ref_pair *pair, double even, double odd);

/* Restricts the reference and runs it: off-path units keep their value; or activations are multiplied by gates[N]. With
 * neither, the full network. */
void ref_pair_restrict(ref_pair *pair, bool frozen, const double *gates);

/* d response / d *value by central differences in the reference, layers from `first` on recomputed. */
double ref_pair_difference(ref_pair *pair, double *value, int first);

/* Largest error and largest expected value, gathered; judged at 1e-3. */
typedef struct {
    double error, size;
} ref_errors;

void ref_compare(ref_errors *errors, double found, double expected);
void ref_judge(const ref_errors *errors, const char *net, const char *what);

#endif
