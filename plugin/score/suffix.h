/* The part of the network that reads one neuron layer, run again for changed values of that layer. */
#ifndef CP_SCORE_SUFFIX_H
#define CP_SCORE_SUFFIX_H

#include "critpath.h"

typedef struct {
    const cp_model *model;
    const cp_response *response;
    const cp_neuron_layer *layer;
    const float *a;      /* the layer's output in the original run, `count` floats */
    double full;         /* Phi in the original run */
    int batch;           /* entries of a run */
    const cp_frame *base; /* image `image` of it is the original run */
    int image;
    cp_frame *branch;
    cp_entry *entries;
} cp_suffix;

/* Whether Phi depends on the output of neuron layer `position` in other ways than by being a unit of it. */
bool cp_suffix_matters(const cp_model *model, const cp_response *response, int position);

/* Relative cost of a run: multiply-accumulates of the layers between neuron layer `position` and the response. */
double cp_suffix_work(const cp_model *model, const cp_response *response, int position);

/* The batch from 1 to `most` (cp_most_entries) that runs fastest of those whose branch fits in `bytes`; `backward`: with the
 * gradients of all entries. */
int cp_suffix_batch(const cp_frame *frame, const cp_response *response, int position, int most, bool backward,
                    size_t bytes);

/* `frame` must stay unchanged until cp_suffix_close, which accepts what a failed open left. */
cp_status cp_suffix_open(cp_frame *frame, int image, const cp_response *response, int position, int batch,
                         cp_suffix *suffix);
void cp_suffix_close(cp_suffix *suffix);

/* The entries' values of the layer are those of suffix->branch (engine/branch.h). phi[n]: the response of entries 0..n-1. CP_EINPUT when one is not finite. */
cp_status cp_suffix_forward(cp_suffix *suffix, int n, double *phi);
/* The same of a run forward that has been made. */
cp_status cp_suffix_responses(const cp_suffix *suffix, int n, double *phi);
/* gradient (n, count): dPhi/da of the layer at the entries of the last forward run. */
cp_status cp_suffix_backward(cp_suffix *suffix, int n, float *gradient);

/* Response of the layer set to 0. */
cp_status cp_suffix_zero(cp_suffix *suffix, double *phi);

/* Bytes of cp_run_options.memory, or what 0 stands for: on the host, and for branches of the frame. */
size_t cp_run_memory(const cp_run_options *run);
size_t cp_run_frame_memory(const cp_frame *frame, const cp_run_options *run);
void cp_run_progress(const cp_run_options *run, double fraction);

#endif
