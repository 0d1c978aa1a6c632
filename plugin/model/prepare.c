/* From a photo to the network input, by Darknet's own functions: what its predict commands do. */
#include <string.h>

#include "io/error.h"
#include "model/model.h"

cp_status cp_place_photo(size_t w, size_t h, size_t net_w, size_t net_h, bool letterbox, cp_placement *placement)
{
    cp_placement place = {.photo_w = w, .photo_h = h, .w = net_w, .h = net_h};
    if (letterbox && w && h) { /* letterbox_image's integer arithmetic */
        if ((float)net_w / w < (float)net_h / h)
            place.h = h * net_w / w;
        else
            place.w = w * net_h / h;
        place.x = (net_w - place.w) / 2;
        place.y = (net_h - place.h) / 2;
    }
    if (!place.w || !place.h || !w || !h)
        return cp_fail(CP_EINPUT, "image: %zux%zu is too narrow: nothing of it is left at %zux%zu", w, h, net_w, net_h);
    *placement = place;
    return CP_OK;
}

cp_status cp_model_prepare(const cp_model *model, const uint8_t *rgb, size_t w, size_t h, bool letterbox, float *input,
                           cp_placement *placement)
{
    const network *net = model->net;
    if (net->c != 3)
        return cp_fail(CP_EINPUT, "cfg: %s takes %d channels, a photo has 3", model->cfg_path, net->c);
    cp_placement place;
    cp_status status = cp_place_photo(w, h, (size_t)net->w, (size_t)net->h, letterbox, &place);
    if (status)
        return status;
    image photo = make_image((int)w, (int)h, 3);
    if (!photo.data) return cp_fail(CP_ERESOURCE, "image: out of memory for %zux%zu pixels", w, h);
    for (size_t i = 0; i < w * h; ++i)
        for (size_t c = 0; c < 3; ++c) photo.data[c * w * h + i] = (float)rgb[3 * i + c] / 255.;
    image sized = letterbox ? letterbox_image(photo, net->w, net->h) : resize_image(photo, net->w, net->h);
    memcpy(input, sized.data, (size_t)3 * net->w * net->h * sizeof *input);
    free_image(sized);
    free_image(photo);
    if (placement) *placement = place;
    return CP_OK;
}
