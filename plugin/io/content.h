/* What a file is, by its first bytes: so that arguments in a wrong order are named instead of read as something else. */
#ifndef CP_IO_CONTENT_H
#define CP_IO_CONTENT_H

#include "critpath.h"

enum {
    CP_CONTENT_HEAD = 512, /* so many bytes decide */
    CP_CONTENT_PICTURE = 1,
    CP_CONTENT_ZIP = 2, /* .npz */
    CP_CONTENT_NPY = 4,
    CP_CONTENT_WEIGHTS = 8,
    CP_CONTENT_CFG = 16,
    CP_CONTENT_DATA = 32,
    CP_CONTENT_JSON = 64,
    CP_CONTENT_TEXT = 128, /* none of the others that are text */
    CP_CONTENT_OTHER = 256 /* known, and nothing here reads it */
};

typedef struct {
    const char *name; /* "a PNG picture" */
    int content;
} cp_content;

/* NULL: the bytes do not say. */
const cp_content *cp_content_of(const void *head, size_t bytes);

/* CP_EINPUT where a file that begins with these bytes is certainly not what `kind` needs, "cfg: dog.png is a PNG picture, a cfg is
 * needed". `kind` is the name that messages have for it; of one that is not known here everything is right. */
cp_status cp_content_check(const char *kind, const char *name, const void *head, size_t bytes);

#endif
