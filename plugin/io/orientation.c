#include "io/orientation.h"

#include <limits.h>
#include <string.h>

#include <libexif/exif-data.h>

#include "io/error.h"

int cp_exif_orientation(const unsigned char *data, size_t bytes)
{
    if (bytes < 4 || bytes > UINT_MAX || data[0] != 0xff || data[1] != 0xd8) return 1;
    ExifData *exif = exif_data_new();
    if (!exif) return 1;
    /* What the camera's maker adds is of no use here, and the least tested part of the library. */
    exif_data_set_option(exif, EXIF_DATA_OPTION_DONT_CHANGE_MAKER_NOTE);
    exif_data_load_data(exif, data, (unsigned)bytes);
    const ExifEntry *entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    int orientation = 1;
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->components >= 1 && entry->size >= 2)
        orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
    exif_data_unref(exif);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/* Where pixel (x, y) of the turned picture, w x h, is in the stored one. */
static void find_source(int orientation, int w, int h, int x, int y, int *from_x, int *from_y)
{
    bool mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool inverted = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    if (orientation < 5) {
        *from_x = mirrored ? w - 1 - x : x;
        *from_y = inverted ? h - 1 - y : y;
    } else { /* the stored picture is h x w */
        *from_x = mirrored ? h - 1 - y : y;
        *from_y = inverted ? w - 1 - x : x;
    }
}

cp_status cp_picture_turn(cp_picture *picture, int orientation)
{
    if (orientation < 2 || orientation > 8) return CP_OK;
    int w = orientation < 5 ? picture->w : picture->h, h = orientation < 5 ? picture->h : picture->w, from_x, from_y;
    unsigned char *turned = cp_alloc((size_t)w * (size_t)h, 3, "picture"), *alpha = NULL;
    if (picture->alpha) alpha = cp_alloc((size_t)w * (size_t)h, 1, "picture");
    if (!turned || (picture->alpha && !alpha)) {
        cp_free(turned);
        cp_free(alpha);
        return CP_ERESOURCE;
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            find_source(orientation, w, h, x, y, &from_x, &from_y);
            memcpy(turned + 3 * ((size_t)y * (size_t)w + (size_t)x),
                   picture->rgb + 3 * ((size_t)from_y * (size_t)picture->w + (size_t)from_x), 3);
            if (alpha) alpha[(size_t)y * (size_t)w + (size_t)x] = picture->alpha[(size_t)from_y * (size_t)picture->w + (size_t)from_x];
        }
    cp_free(picture->rgb);
    cp_free(picture->alpha);
    picture->rgb = turned;
    picture->alpha = alpha;
    picture->w = w;
    picture->h = h;
    return CP_OK;
}
