#include "io/contact_sheet.h"

#include "io/resample.h"

enum { MARGIN = 20, LEAST_WIDTH = 760, GAP = 12, TITLE_SIZE = 26, HEADING_SIZE = 20, CAPTION_SIZE = 15, CAPTION_LINES = 3 };

static const cp_colour paper = {255, 255, 255}, ink = {28, 28, 28}, soft_ink = {70, 70, 70};

static int row_height(const cp_contact_row *row, int side)
{
    return (row->heading[0] ? HEADING_SIZE + GAP / 2 : 0) + (row->n ? side + CAPTION_LINES * CAPTION_SIZE : 0) + GAP;
}

static cp_status draw_contact(cp_picture *sheet, const cp_contact *contact, int x, int y, int side)
{
    const cp_picture *from = contact->picture;
    cp_picture small;
    char lines[CAPTION_LINES][CP_TEXT_LINE];
    size_t n = 0;
    if (from) {
        int longer = from->w > from->h ? from->w : from->h;
        int w = from->w * side / longer, h = from->h * side / longer;
        w = w > 0 ? w : 1;
        h = h > 0 ? h : 1;
        cp_status status = cp_resample_picture(from, NULL, w, h, &small);
        if (status)
            return status;
        cp_draw_picture(sheet, x + (side - w) / 2, y + (side - h) / 2, &small);
        cp_picture_free(&small);
    }
    cp_text_wrap(CAPTION_SIZE, contact->caption, side, lines, CAPTION_LINES, &n);
    for (size_t i = 0; i < n; i++)
        cp_draw_text(sheet, x, y + side + 2 + (int)i * CAPTION_SIZE, CAPTION_SIZE, soft_ink, lines[i]);
    return CP_OK;
}

static cp_status draw_row(cp_picture *sheet, const cp_contact_row *row, int y, int side)
{
    char text[CP_TEXT_LINE];
    cp_status status = CP_OK;
    if (row->heading[0]) {
        cp_draw_text(sheet, MARGIN, y, HEADING_SIZE, ink,
                     cp_text_fit(HEADING_SIZE, row->heading, sheet->w - 2 * MARGIN, text, sizeof text));
        y += HEADING_SIZE + GAP / 2;
    }
    for (size_t i = 0; i < row->n && !status; i++)
        status = draw_contact(sheet, &row->contact[i], MARGIN + (int)i * (side + GAP), y, side);
    return status;
}

cp_status cp_contact_sheet_draw(const char *title, const cp_contact_row *rows, size_t n, int side, cp_picture *out)
{
    char text[CP_TEXT_LINE];
    size_t columns = 1;
    int h = MARGIN + (title ? TITLE_SIZE + GAP : 0), y = h;
    for (size_t i = 0; i < n; i++) {
        columns = rows[i].n > columns ? rows[i].n : columns;
        h += row_height(&rows[i], side);
    }
    int w = 2 * MARGIN + (int)columns * (side + GAP) - GAP;
    cp_status status = cp_picture_new(w > LEAST_WIDTH ? w : LEAST_WIDTH, h + MARGIN - GAP, out);
    if (status)
        return status;
    cp_draw_fill(out, 0, 0, out->w, out->h, paper);
    if (title)
        cp_draw_text(out, MARGIN, MARGIN, TITLE_SIZE, ink,
                     cp_text_fit(TITLE_SIZE, title, out->w - 2 * MARGIN, text, sizeof text));
    for (size_t i = 0; i < n && !status; i++) {
        status = draw_row(out, &rows[i], y, side);
        y += row_height(&rows[i], side);
    }
    if (status)
        cp_picture_free(out);
    return status;
}
