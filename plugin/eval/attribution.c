#include "eval/attribution.h"

#include <string.h>

/* A new map is a row here, its function in a file of its family, and its test. */
const cp_attribution cp_attributions[] = {
    {"contribution", "signed path contribution map, fine planes", true, false, false, false, cp_attribute_contribution},
    {"contribution-all", "the same, of all planes", true, false, false, false, cp_attribute_contribution_all},
    {"contribution-coarse", "the same, of coarse planes", true, false, false, false, cp_attribute_contribution_coarse},
    {"contribution-restricted", "the same, gradients of the path-restricted network", true, false, false, false,
     cp_attribute_contribution_restricted},
    {"pathway", "pathway gradient of the frozen network (Khakzar et al. 2021)", true, false, true, false, cp_attribute_pathway},
    {"pathway-zeroed", "pathway gradient of the zeroed network", true, false, true, false, cp_attribute_pathway_zeroed},
    {"gradient", "plain gradient (Simonyan et al. 2014)", false, false, true, false, cp_attribute_gradient},
    {"inputmct", "input times gradient, summed over channels", false, false, true, false, cp_attribute_input_gradient},
    {"inputintgrad", "integrated gradients from black, summed over channels (Sundararajan et al. 2017)", false, false, true, false,
     cp_attribute_integrated},
    {"smoothgrad", "mean gradient of noisy copies (Smilkov et al. 2017)", false, false, true, false, cp_attribute_smoothgrad},
    {"gbp", "guided backpropagation (Springenberg et al. 2015)", false, false, true, false, cp_attribute_guided},
    {"gradcam", "Grad-CAM (Selvaraju et al. 2017)", false, false, false, false, cp_attribute_gradcam},
    {"layercam", "LayerCAM, fused over resolutions (Jiang et al. 2021)", false, false, false, false, cp_attribute_layercam},
    {"odam", "ODAM (Zhao and Chan 2022), on one layer the same as HiResCAM (Draelos and Carin 2020)", false, false, false, false, cp_attribute_odam},
    {"eigencam", "EigenCAM (Muhammad and Yeasin 2020)", false, false, false, false, cp_attribute_eigencam},
    {"occlusion", "drop of the probability under a grey square (Zeiler and Fergus 2014)", false, false, false, false,
     cp_attribute_occlusion},
    {"rise", "RISE and D-RISE, random masks (Petsiuk et al. 2018, 2021)", false, false, false, false, cp_attribute_rise},
    {"random", "uniform noise: chance", false, false, false, true, cp_attribute_random},
    {"centre", "a Gaussian in the middle of the photo, which it never looks at", false, false, false, true, cp_attribute_centre},
    {"edges", "the photo's edges (Sobel), which never ask the network", false, false, false, true, cp_attribute_edges},
    {"box", "the predicted box as a blob, which looks at the prediction alone", false, true, false, true, cp_attribute_box},
    {"cell", "a blob on the cell of the detection", false, true, false, true, cp_attribute_cell},
    {0},
};

const cp_attribution *cp_attribution_find(const char *name)
{
    for (const cp_attribution *a = cp_attributions; a->name; a++)
        if (!strcmp(a->name, name))
            return a;
    return NULL;
}
