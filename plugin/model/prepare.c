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

/* As stb_image makes grey, which Darknet asks it for where a network takes one channel. */
static uint8_t grey_of(const uint8_t *rgb) { return (uint8_t)((rgb[0] * 77 + rgb[1] * 150 + rgb[2] * 29) >> 8); }

cp_status cp_model_prepare(const cp_model *model, const uint8_t *rgb, size_t w, size_t h, bool letterbox, float *input,
                           cp_placement *placement)
{
    const network *net = model->net;
    size_t channels = (size_t)net->c, plane = w * h;
    if (channels != 1 && channels != 3)
        return cp_fail(CP_EINPUT, "cfg: %s takes %d channels; of a photo are read 3, or 1 of grey", model->cfg_path, net->c);
    cp_placement place;
    cp_status status = cp_place_photo(w, h, (size_t)net->w, (size_t)net->h, letterbox, &place);
    if (status)
        return status;
    image photo = make_image((int)w, (int)h, net->c);
    if (!photo.data) return cp_fail(CP_ERESOURCE, "image: out of memory for %zux%zu pixels", w, h);
    for (size_t i = 0; i < plane; ++i)
        for (size_t c = 0; c < channels; ++c)
            photo.data[c * plane + i] = (float)(channels == 1 ? grey_of(rgb + 3 * i) : rgb[3 * i + c]) / 255.;
    image sized = letterbox ? letterbox_image(photo, net->w, net->h) : resize_image(photo, net->w, net->h);
    memcpy(input, sized.data, channels * net->w * net->h * sizeof *input);
    free_image(sized);
    free_image(photo);
    if (placement) *placement = place;
    return CP_OK;
}
