/* The pictures that ROAR and KAR train on. */
#include "eval/roar.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/degrade.h"
#include "io/error.h"

cp_status cp_roar_remove(const float *map, size_t c, size_t h, size_t w, double fraction, bool least,
                         const float *colour, float *picture)
{
    const cp_placement whole = {.photo_w = w, .photo_h = h, .w = w, .h = h};
    size_t plane = h * w;
    if (!(fraction >= 0 && fraction <= 1))
        return cp_fail(CP_EINPUT, "removing pixels: fraction %g, allowed is 0 to 1", fraction);
    size_t *order = cp_alloc(plane, sizeof *order, "ranking of pixels");
    cp_status status = order ? cp_eval_rank_pixels(map, w, &whole, least, order) : CP_ERESOURCE;
    size_t removed = (size_t)round(fraction * (double)plane);
    for (size_t k = 0; k < c && !status; k++)
        for (size_t i = 0; i < removed; i++)
            picture[k * plane + order[i]] = colour[k];
    cp_free(order);
    return status;
}

/* The next name of a path and its length; "." and empty ones are passed over. */
static size_t next_name(const char **at)
{
    for (;;) {
        *at += strspn(*at, "/");
        size_t length = strcspn(*at, "/");
        if (length != 1 || **at != '.')
            return length;
        ++*at;
    }
}

cp_status cp_roar_path(const char *folder, const char *original, char *path)
{
    size_t used = strlen(folder), length;
    if (used >= CP_ROAR_PATH)
        return cp_fail(CP_EINPUT, "folder: %zu bytes, allowed are %d", used, CP_ROAR_PATH - 1);
    memcpy(path, folder, used + 1);
    for (const char *at = original; (length = next_name(&at)) > 0; at += length) {
        bool above = length == 2 && !memcmp(at, "..", 2);
        int wrote = snprintf(path + used, CP_ROAR_PATH - used, "/%.*s", above ? 2 : (int)length, above ? "up" : at);
        used += (size_t)wrote;
        if (used >= CP_ROAR_PATH)
            break;
    }
    if (used + sizeof ".ppm" > CP_ROAR_PATH)
        return cp_fail(CP_EINPUT, "%.100s...: %zu bytes in %s, allowed are %d", original, strlen(original), folder,
                       CP_ROAR_PATH - 1);
    memcpy(path + used, ".ppm", sizeof ".ppm");
    return CP_OK;
}
