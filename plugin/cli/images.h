/* One image on its way: read, prepared for the network, run forward. */
#ifndef CP_CLI_IMAGES_H
#define CP_CLI_IMAGES_H

#include "cli/session.h"
#include "io/hash.h"
#include "io/image.h"

typedef struct {
    const char *path;
    size_t index;       /* place in the list, from 0 */
    char prefix[4096];  /* results are PREFIX.png and so on */
    cp_picture photo;
    cp_placement placement;
    char sha256[CP_SHA256_TEXT];       /* of the file */
    char input_sha256[CP_SHA256_TEXT]; /* of the network input made of it, (c,h,w) floats */
    double started, read, forward; /* seconds: clock at the start; reading and preparing; the forward run */
} cp_item;

/* Reads and decodes the photo and makes the network input of it, (c,h,w). One thread reads all images of a session. */
cp_status cp_item_read(cp_session *session, const char *path, cp_item *item, float *input);
/* The same without a prefix, of a picture that gets no results of its own. */
cp_status cp_item_load(const cp_session *session, const char *path, cp_item *item, float *input);
/* Runs session->input through session->frame. */
cp_status cp_item_forward(cp_session *session, cp_item *item);

#endif
