/* Maps by name: the pathway maps, the baselines that papers compare with, and the rows that never look at the photo. */
#ifndef CP_EVAL_ATTRIBUTION_H
#define CP_EVAL_ATTRIBUTION_H

#include "eval/degrade.h"
#include "eval/localise.h"

/* What a method is given. */
typedef struct {
    cp_frame *frame;              /* image `image` of an unrestricted forward run */
    int image;
    const cp_response *response;
    const cp_eval_target *target; /* the same, as a probability */
    const cp_map_box *box;        /* of the detection, in pixels of the network input; NULL for a classifier */
    const cp_path *path;          /* for methods that read one, else ignored */
    const float *score;           /* signed scores of the path's method, for the contribution maps; NULL: NeuronMCT's */
    int layer;                    /* the CAMs' layer; -1: chosen (cp_attribution_layer) */
    int samples;                  /* noisy copies, alphas, masks; 0: the method's own default */
    const float *baseline;        /* (c,h,w): where inputintgrad begins; NULL: black */
    uint64_t seed;
    cp_run_options run;
} cp_attribution_call;

typedef struct {
    const char *name, *meaning;   /* meaning: with its source */
    bool reads_path;
    bool needs_box;
    bool magnitude;               /* what counts of a value is its magnitude, as the sign is only the direction of a gradient */
    bool blind;                   /* a control, which never asks the network about the photo; box and cell know the prediction */
    cp_status (*run)(const cp_attribution_call *call, float *map); /* map: (H,W) of the network input */
} cp_attribution;

/* Ended by a row with a NULL name. */
extern const cp_attribution cp_attributions[];
const cp_attribution *cp_attribution_find(const char *name); /* NULL: no such method */

/* The CAMs' layer: the last neuron layer above the response, but not its own, with more than one position. -1: none. */
int cp_attribution_layer(const cp_model *model, const cp_response *response);

/* Rows of the table, one file a family. */
cp_status cp_attribute_contribution(const cp_attribution_call *call, float *map);
cp_status cp_attribute_contribution_all(const cp_attribution_call *call, float *map);
cp_status cp_attribute_contribution_coarse(const cp_attribution_call *call, float *map);
cp_status cp_attribute_contribution_restricted(const cp_attribution_call *call, float *map);
cp_status cp_attribute_pathway(const cp_attribution_call *call, float *map);
cp_status cp_attribute_pathway_zeroed(const cp_attribution_call *call, float *map);
cp_status cp_attribute_gradient(const cp_attribution_call *call, float *map);
cp_status cp_attribute_guided(const cp_attribution_call *call, float *map);
cp_status cp_attribute_input_gradient(const cp_attribution_call *call, float *map);
cp_status cp_attribute_integrated(const cp_attribution_call *call, float *map);
cp_status cp_attribute_smoothgrad(const cp_attribution_call *call, float *map);
cp_status cp_attribute_gradcam(const cp_attribution_call *call, float *map);
cp_status cp_attribute_layercam(const cp_attribution_call *call, float *map);
cp_status cp_attribute_odam(const cp_attribution_call *call, float *map);
cp_status cp_attribute_eigencam(const cp_attribution_call *call, float *map);
cp_status cp_attribute_occlusion(const cp_attribution_call *call, float *map);
cp_status cp_attribute_rise(const cp_attribution_call *call, float *map);
cp_status cp_attribute_random(const cp_attribution_call *call, float *map);
cp_status cp_attribute_centre(const cp_attribution_call *call, float *map);
cp_status cp_attribute_edges(const cp_attribution_call *call, float *map);
cp_status cp_attribute_box(const cp_attribution_call *call, float *map);
cp_status cp_attribute_cell(const cp_attribution_call *call, float *map);

/* Mask k of RISE (Petsiuk et al. 2018; with D-RISE's grid, 2021), (h,w): a grid of 16 x 16 cells and one more, each shown (1) with
 * probability .5 and else hidden (0), is enlarged bilinearly and shifted by up to a cell. Each pixel's mean over k is .5; away from
 * the edge its variance is 1/9. */
void cp_rise_mask(uint64_t seed, int k, size_t h, size_t w, float *mask);

/* A plane (h,w) enlarged bilinearly to (H,W), corners not aligned, as PyTorch's interpolate does. */
void cp_plane_enlarge(const float *plane, size_t h, size_t w, float *map, size_t big_h, size_t big_w);

#endif
