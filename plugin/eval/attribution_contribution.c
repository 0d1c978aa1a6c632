/* The signed path contribution map: its heat. Counter-evidence takes no part in a ranking of evidence. */
#include <string.h>

#include "eval/attribution.h"
#include "io/error.h"

static cp_status contribution(const cp_attribution_call *call, cp_planes planes, bool restricted, float *map)
{
    size_t c, h, w;
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    float *heat = cp_alloc(h * w, 2 * sizeof *heat, "heat");
    if (!heat)
        return CP_ERESOURCE;
    const cp_contribution_options options = {.planes = planes, .restricted = restricted};
    cp_status status = cp_map_contribution(call->frame, call->image, call->response, call->path,
                                           restricted ? NULL : call->score, &options, heat, NULL);
    if (!status)
        memcpy(map, heat, h * w * sizeof *map);
    cp_free(heat);
    return status;
}

static bool has_heat(const cp_attribution_call *call, const float *map)
{
    size_t c, h, w;
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    for (size_t i = 0; i < h * w; i++)
        if (map[i] > 0)
            return true;
    return false;
}

/* As explain has it: where the path has nothing that speaks for the response in layers of small cells, the coarse ones show it.
 * In a network of random weights scores may fall tenfold from layer to layer, and the last layers hold the whole path. */
static cp_status fine_or_coarse(const cp_attribution_call *call, bool restricted, float *map)
{
    cp_status status = contribution(call, CP_PLANES_FINE, restricted, map);
    return status || has_heat(call, map) ? status : contribution(call, CP_PLANES_COARSE, restricted, map);
}

cp_status cp_attribute_contribution(const cp_attribution_call *call, float *map)
{
    return fine_or_coarse(call, false, map);
}

cp_status cp_attribute_contribution_all(const cp_attribution_call *call, float *map)
{
    return contribution(call, CP_PLANES_ALL, false, map);
}

cp_status cp_attribute_contribution_coarse(const cp_attribution_call *call, float *map)
{
    return contribution(call, CP_PLANES_COARSE, false, map);
}

cp_status cp_attribute_contribution_restricted(const cp_attribution_call *call, float *map)
{
    return fine_or_coarse(call, true, map);
}
