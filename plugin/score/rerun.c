/* What comes before the first neuron layer's restriction is the same in every run of one image. In many networks that
 * is one layer, but the one with the most outputs. */
#include "score/rerun.h"

#include "engine/branch.h"

/* The first neuron layer, if every other one depends on it; else -1. */
static int common_first(const cp_model *model)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 1; l < n; l++)
        if (!cp_model_depends(model, layers[l].layer, layers[0].layer))
            return -1;
    return n ? layers[0].layer : -1;
}

cp_status cp_rerun_open(const cp_model *model, const float *input, cp_rerun *rerun)
{
    *rerun = (cp_rerun){.input = input, .first = common_first(model)};
    cp_status status = cp_frame_create(model, 1, rerun->first < 0 ? &rerun->frame : &rerun->whole);
    if (status)
        return status;
    status = cp_frame_forward(rerun->whole ? rerun->whole : rerun->frame, input, 1, NULL);
    if (status || !rerun->whole)
        return status;
    status = cp_frame_branch(rerun->whole, 0, rerun->first, NULL, 1, &rerun->frame);
    return status ? status : cp_rerun_forward(rerun, NULL);
}

cp_status cp_rerun_forward(cp_rerun *rerun, const cp_restriction *restriction)
{
    if (!rerun->whole)
        return cp_frame_forward(rerun->frame, rerun->input, 1, restriction);
    cp_branch_start(rerun->frame, 0, CP_FROM_BASE);
    return cp_frame_forward_after(rerun->frame, rerun->first, 1, restriction);
}

void cp_rerun_close(cp_rerun *rerun)
{
    cp_frame_free(rerun->frame);
    cp_frame_free(rerun->whole);
    rerun->frame = rerun->whole = NULL;
}
