/* A contact sheet: rows of small pictures, each with a caption, under a heading. */
#ifndef CP_IO_CONTACT_SHEET_H
#define CP_IO_CONTACT_SHEET_H

#include "io/draw.h"

typedef struct {
    const cp_picture *picture; /* NULL: an empty place */
    char caption[160];         /* wrapped, at most three lines */
} cp_contact;

typedef struct {
    char heading[256];         /* "": none */
    const cp_contact *contact;
    size_t n;
} cp_contact_row;

/* side: of a picture's longer side, in pixels; smaller pictures are enlarged. title may be NULL. *out is new. CP_EINPUT: a
 * sheet larger than pictures may be. */
cp_status cp_contact_sheet_draw(const char *title, const cp_contact_row *rows, size_t n, int side, cp_picture *out);

#endif
