/* From a photo to the network input, by Darknet's own functions: what its predict commands do. */
#include <limits.h>
#include <string.h>

#include "io/error.h"
#include "model/model.h"

const char *cp_fit_name(cp_fit fit)
{
    static const char *const names[] = {"stretched", "letterboxed", "cropped"};
    return (unsigned)fit < sizeof names / sizeof *names ? names[fit] : "unknown";
}

/* letterbox_image's integer arithmetic. */
static void place_letterboxed(size_t net_w, size_t net_h, cp_placement *at)
{
    if ((float)net_w / at->photo_w < (float)net_h / at->photo_h)
        at->h = at->photo_h * net_w / at->photo_w;
    else
        at->w = at->photo_w * net_h / at->photo_h;
    at->x = (ptrdiff_t)(net_w - at->w) / 2;
    at->y = (ptrdiff_t)(net_h - at->h) / 2;
}

/* That of resize_min, and of the centre that AlexeyAB's classifier takes of its result. */
static void place_cropped(size_t net_w, size_t net_h, cp_placement *at)
{
    bool upright = at->photo_w < at->photo_h;
    at->w = upright ? net_w : at->photo_w * net_w / at->photo_h;
    at->h = upright ? at->photo_h * net_w / at->photo_w : net_w;
    at->x = -(((ptrdiff_t)at->w - (ptrdiff_t)net_w) / 2);
    at->y = -(((ptrdiff_t)at->h - (ptrdiff_t)net_h) / 2);
}

cp_status cp_place_photo(size_t w, size_t h, size_t net_w, size_t net_h, cp_fit fit, cp_placement *placement)
{
    cp_placement place = {.photo_w = w, .photo_h = h, .w = net_w, .h = net_h};
    if (fit == CP_FIT_LETTERBOX && w && h) place_letterboxed(net_w, net_h, &place);
    if (fit == CP_FIT_CROP && w && h) place_cropped(net_w, net_h, &place);
    if (!place.w || !place.h || !w || !h)
        return cp_fail(CP_EINPUT, "image: %zux%zu is too narrow: nothing of it is left at %zux%zu", w, h, net_w, net_h);
    size_t pixels;
    if (!cp_mul(place.w, place.h, &pixels) || pixels > INT_MAX)
        return cp_fail(CP_EINPUT, "image: %zux%zu is too narrow: with its shorter side at %zu pixels it has %zux%zu", w, h,
                       net_w, place.w, place.h);
    *placement = place;
    return CP_OK;
}

/* One axis: what [at, at + length) and [0, net) have in common. */
static void clip(ptrdiff_t *at, size_t *length, size_t net)
{
    ptrdiff_t end = *at + (ptrdiff_t)*length;
    if (end > (ptrdiff_t)net) end = (ptrdiff_t)net;
    if (*at < 0) *at = 0;
    *length = end > *at ? (size_t)(end - *at) : 0;
}

cp_placement cp_placement_inside(const cp_placement *placement, size_t net_w, size_t net_h)
{
    cp_placement inside = *placement;
    clip(&inside.x, &inside.w, net_w);
    clip(&inside.y, &inside.h, net_h);
    return inside;
}

/* The photo at the input's size, by Darknet's functions; `photo` stays the caller's. */
static image fit_photo(const network *net, image photo, cp_fit fit, const cp_placement *at)
{
    if (fit == CP_FIT_LETTERBOX) return letterbox_image(photo, net->w, net->h);
    if (fit == CP_FIT_STRETCH) return resize_image(photo, net->w, net->h);
    image small = resize_min(photo, net->w); /* the photo itself where it has that size */
    image sized = crop_image(small, (int)-at->x, (int)-at->y, net->w, net->h);
    if (small.data != photo.data) free_image(small);
    return sized;
}

/* As stb_image makes grey, which AlexeyAB's Darknet asks it for where a network takes one channel. */
static uint8_t grey_of(const uint8_t *rgb) { return (uint8_t)((rgb[0] * 77 + rgb[1] * 150 + rgb[2] * 29) >> 8); }

cp_status cp_model_prepare(const cp_model *model, const uint8_t *rgb, size_t w, size_t h, cp_fit fit, float *input,
                           cp_placement *placement)
{
    return cp_model_prepare_alpha(model, rgb, NULL, w, h, fit, input, placement);
}

cp_status cp_model_prepare_alpha(const cp_model *model, const uint8_t *rgb, const uint8_t *alpha, size_t w, size_t h, cp_fit fit,
                                 float *input, cp_placement *placement)
{
    const network *net = model->net;
    size_t channels = (size_t)net->c, plane = w * h;
    if (channels != 1 && channels != 3 && channels != 4)
        return cp_fail(CP_EINPUT, "cfg: %s takes %d channels; of a photo are read 3, 1 of grey, or 4 with alpha", model->cfg_path,
                       net->c);
    /* Debian's reads three channels whatever the cfg says, and gives the network the first of them. */
    bool grey = channels == 1 && model->semantics.lineage != CP_LINEAGE_DEBIAN;
    cp_placement place;
    cp_status status = cp_place_photo(w, h, (size_t)net->w, (size_t)net->h, fit, &place);
    if (status)
        return status;
    image photo = make_image((int)w, (int)h, net->c);
    if (!photo.data) return cp_fail(CP_ERESOURCE, "image: out of memory for %zux%zu pixels", w, h);
    for (size_t i = 0; i < plane; ++i)
        for (size_t c = 0; c < channels; ++c) {
            uint8_t value = grey ? grey_of(rgb + 3 * i) : c < 3 ? rgb[3 * i + c] : alpha ? alpha[i] : 255;
            photo.data[c * plane + i] = (float)value / 255.;
        }
    image sized = fit_photo(net, photo, fit, &place);
    memcpy(input, sized.data, channels * net->w * net->h * sizeof *input);
    free_image(sized);
    free_image(photo);
    if (placement) *placement = place;
    return CP_OK;
}
