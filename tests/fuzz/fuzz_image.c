/* Any bytes as a picture: a picture within the limits, or CP_EINPUT and nothing taken. */
#include <stdlib.h>

#include "io/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    cp_picture picture;
    if (bytes > 1 << 16) return 0;
    cp_status status = cp_picture_decode(data, bytes, "fuzz", &picture);
    if (status == CP_OK) {
        unsigned sum = 0; /* every pixel is there to be read */
        for (size_t i = 0; i < 3 * (size_t)picture.w * (size_t)picture.h; i++) sum += picture.rgb[i];
        volatile unsigned use = sum;
        (void)use;
    } else if (picture.rgb || (status != CP_EINPUT && status != CP_ERESOURCE)) {
        abort();
    }
    cp_picture_free(&picture);
    return 0;
}
