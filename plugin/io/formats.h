/* The formats of pictures that stb_image does not read: TIFF by libtiff, WebP by libwebp, where the build has them. */
#ifndef CP_IO_FORMATS_H
#define CP_IO_FORMATS_H

#include "io/image.h"

typedef struct {
    const char *name;    /* "TIFF" */
    const char *package; /* Debian's, for a build that lacks it */
    bool (*is_one)(const unsigned char *data, size_t bytes);
    /* Reads into *out, which is new; its orientation is what the file says. NULL: this build cannot. `name` stands in
     * messages. CP_EINPUT: damaged, or above the limits of io/image.h. */
    cp_status (*read)(const unsigned char *data, size_t bytes, const char *name, cp_picture *out);
} cp_picture_format;

/* The format of these bytes, or NULL: none of these. */
const cp_picture_format *cp_picture_format_of(const unsigned char *data, size_t bytes);

#endif
