/* A matrix as a picture: coloured cells with their values, names on both sides. */
#include <math.h>
#include <stdio.h>

#include "io/chart.h"
#include "io/draw.h"
#include "io/error.h"

#define TITLE_SIZE 24
#define TEXT_SIZE 17
#define MARGIN 16
#define MAX_NAME 220 /* pixels */

static const cp_colour paper = {255, 255, 255}, ink = {34, 34, 34}, light = {250, 250, 250};

static double widest_name(const char *const *names, size_t n)
{
    double widest = 0;
    for (size_t i = 0; i < n; i++) widest = fmax(widest, cp_text_width(TEXT_SIZE, names[i]));
    return fmin(widest, MAX_NAME);
}

static cp_status check(const cp_matrix *m)
{
    if (m->rows < 1 || m->rows > 64 || m->columns < 1 || m->columns > 64 || !m->values || !m->row_names ||
        !m->column_names)
        return cp_fail(CP_EINPUT, "matrix: %zu x %zu cells, 1 to 64 either way are allowed", m->rows, m->columns);
    if (!(m->lo < m->hi) || !isfinite(m->lo) || !isfinite(m->hi))
        return cp_fail(CP_EINPUT, "matrix: colours from %g to %g, an ascending range is needed", m->lo, m->hi);
    if (m->decimals < 0 || m->decimals > 6)
        return cp_fail(CP_EINPUT, "matrix: %d decimals, 0 to 6 are allowed", m->decimals);
    return CP_OK;
}

static void value_text(const cp_matrix *m, double v, char text[64])
{
    snprintf(text, 64, fabs(v) < 1e7 ? "%.*f" : "%.*e", m->decimals, v);
}

static void draw_cell(cp_picture *p, const cp_matrix *m, int x, int y, int w, int h, double v)
{
    char text[64];
    if (!isfinite(v)) {
        cp_draw_fill(p, x, y, w, h, (cp_colour){238, 238, 238});
        return;
    }
    double t = (v - m->lo) / (m->hi - m->lo);
    /* Light cells for small values, so that the eye goes to the large ones. */
    cp_colour c = cp_colour_unsigned(1 - 0.9 * fmax(0, fmin(t, 1)));
    cp_draw_fill(p, x, y, w, h, c);
    value_text(m, v, text);
    double lightness = 0.299 * c.r + 0.587 * c.g + 0.114 * c.b;
    cp_draw_text(p, x + (w - cp_text_width(TEXT_SIZE, text)) / 2, y + (h - TEXT_SIZE) / 2.0, TEXT_SIZE,
                 lightness > 128 ? ink : light, text);
}

cp_status cp_matrix_draw(const cp_matrix *m, cp_picture *out)
{
    *out = (cp_picture){0};
    cp_status status = check(m);
    if (status != CP_OK) return status;
    char text[256];
    double widest = 0;
    for (size_t i = 0; i < m->rows * m->columns; i++) {
        if (!isfinite(m->values[i])) continue;
        value_text(m, m->values[i], text);
        widest = fmax(widest, cp_text_width(TEXT_SIZE, text));
    }
    double column_names = widest_name(m->column_names, m->columns);
    int cell_w = (int)fmax(widest + 14, 48), cell_h = 40;
    bool turned = column_names > cell_w - 6;
    int left = MARGIN + (m->row_label ? TEXT_SIZE + 10 : 0) + (int)ceil(widest_name(m->row_names, m->rows)) + 10;
    int top = MARGIN + (m->title ? TITLE_SIZE + 12 : 0) + (m->column_label ? TEXT_SIZE + 8 : 0) +
              (turned ? (int)ceil(column_names) : TEXT_SIZE) + 8;
    int w = left + (int)m->columns * cell_w, h = top + (int)m->rows * cell_h;
    int title_w = m->title ? (int)fmin(cp_text_width(TITLE_SIZE, m->title) + 2 * MARGIN, 1200) : 0;
    status = cp_picture_new((w + MARGIN > title_w ? w + MARGIN : title_w), h + MARGIN, out);
    if (status != CP_OK) return status;
    cp_draw_fill(out, 0, 0, out->w, out->h, paper);

    int y = MARGIN;
    if (m->title) {
        cp_text_fit(TITLE_SIZE, m->title, out->w - 2 * MARGIN, text, sizeof text);
        cp_draw_text(out, MARGIN, y - 4, TITLE_SIZE, ink, text);
        y += TITLE_SIZE + 12;
    }
    if (m->column_label)
        cp_draw_text(out, fmax(left + (w - left - cp_text_width(TEXT_SIZE, m->column_label)) / 2, MARGIN), y, TEXT_SIZE,
                     ink, m->column_label);
    if (m->row_label)
        cp_draw_text_up(out, MARGIN - 4, top + (h - top + cp_text_width(TEXT_SIZE, m->row_label)) / 2, TEXT_SIZE, ink,
                        m->row_label);
    for (size_t j = 0; j < m->columns; j++) {
        double x = left + (double)j * cell_w;
        cp_text_fit(TEXT_SIZE, m->column_names[j], MAX_NAME, text, sizeof text);
        double width = cp_text_width(TEXT_SIZE, text);
        if (turned)
            cp_draw_text_up(out, x + (cell_w - TEXT_SIZE) / 2.0, top - 6, TEXT_SIZE, ink, text);
        else
            cp_draw_text(out, x + (cell_w - width) / 2, top - TEXT_SIZE - 6, TEXT_SIZE, ink, text);
    }
    for (size_t i = 0; i < m->rows; i++) {
        int cell_y = top + (int)i * cell_h;
        cp_text_fit(TEXT_SIZE, m->row_names[i], MAX_NAME, text, sizeof text);
        double x = left - 10 - cp_text_width(TEXT_SIZE, text);
        cp_draw_text(out, x, cell_y + (cell_h - TEXT_SIZE) / 2.0, TEXT_SIZE, ink, text);
        for (size_t j = 0; j < m->columns; j++)
            draw_cell(out, m, left + (int)j * cell_w + 1, cell_y + 1, cell_w - 2, cell_h - 2,
                      m->values[i * m->columns + j]);
    }
    return CP_OK;
}
