/* The picture of an explanation, for people: up to three panels side by side. The photo with the box; the heat over
 * the photo, with a line round the region that holds half of it and numbers at its parts; the region enlarged, in
 * colour where the rest is grey. Above them a title, below each a caption. */
#ifndef CP_IO_SHEET_H
#define CP_IO_SHEET_H

#include "io/draw.h"

typedef enum { CP_PANEL_PHOTO = 1, CP_PANEL_HEAT = 2, CP_PANEL_ZOOM = 4 } cp_panel;

typedef struct {
    unsigned panels;               /* cp_panel, joined by | */
    const cp_picture *photo;
    const float *heat;             /* over the photo, shape (heat_h, heat_w): each value at least 0 and finite */
    size_t heat_w, heat_h;
    const cp_heat_region *region;  /* of this heat */
    const cp_photo_box *box;       /* NULL: none */
    const char *label;             /* of the box, "dog 57%"; may be NULL */
    const cp_photo_box *truth;     /* drawn dashed; NULL: none */
    const char *truth_label;       /* of it; may be NULL */
    const char *title;             /* may be NULL */
    const char *caption[3];        /* of the panels, in the order above; may be NULL; wrapped */
    const char *colour;            /* CP_COLOUR_MAPS; NULL: inferno */
    double alpha;                  /* opacity of the greatest heat, 0 to 1; heat v has alpha * v^.6 */
} cp_sheet;

/* The default of `alpha`. */
#define CP_SHEET_ALPHA .85

/* *out is new. The same sheet gives the same bytes. */
cp_status cp_sheet_draw(const cp_sheet *sheet, cp_picture *out);

#endif
