#include "cli/curves.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "io/chart.h"
#include "io/draw.h"
#include "io/error.h"

enum { LAYERS = 6, SERIES = LAYERS + 1, PANEL_W = 820, PANEL_H = 400, MAX_PANELS = 8 };

typedef enum { DEAD, ALWAYS_ON, FLIPPED, OVERLAP, ACTIVATION_GRADIENT, WEIGHT_GRADIENT, LOSS, VALUES } value_kind;

static const struct {
    const char *title, *unit;
    bool log; /* drawn as its decimal logarithm */
} panels[VALUES] = {
    [DEAD] = {"dead in every picture", "share of the neurons", false},
    [ALWAYS_ON] = {"active in every picture", "share of the neurons", false},
    [FLIPPED] = {"turned on or off since the last record", "share of the neurons", false},
    [OVERLAP] = {"path and the last record's path", "Jaccard", false},
    [ACTIVATION_GRADIENT] = {"gradient of the activations", "log10 of the l2 norm", true},
    [WEIGHT_GRADIENT] = {"gradient of the weights", "log10 of the l2 norm", true},
    [LOSS] = {"loss of the batch", "loss", false},
};

static double value_of(const cp_record *record, const cp_record_row *row, value_kind kind)
{
    double units = row->units ? (double)row->units : NAN, value = NAN;
    bool fault = *record->fault != 0;
    switch (kind) {
    case DEAD: value = fault ? NAN : (double)row->dead / units; break;
    case ALWAYS_ON: value = fault ? NAN : (double)row->always_on / units; break;
    case FLIPPED: value = row->flipped; break;
    case OVERLAP: value = row->overlap; break;
    case ACTIVATION_GRADIENT: value = row->layer < 0 ? NAN : row->activation_gradient; break;
    case WEIGHT_GRADIENT: value = row->layer < 0 ? NAN : row->weight_gradient; break;
    case LOSS: value = row->layer < 0 ? record->loss : NAN; break;
    case VALUES: break;
    }
    return panels[kind].log ? value > 0 ? log10(value) : NAN : value;
}

/* Row s of a panel: the network, then layers spread evenly over all. */
static const cp_record_row *row_of(const cp_record *record, int s)
{
    int n = record->n_layers;
    if (s == 0)
        return &record->network;
    return &record->layers[n <= LAYERS ? s - 1 : (int)lrint((double)(s - 1) * (n - 1) / (LAYERS - 1))];
}

/* Draws a panel, or leaves the picture empty where no record has the value. */
static cp_status draw_panel(const cp_records *records, const char *name, value_kind kind, const double *x, double *y,
                            cp_picture *out)
{
    const cp_record *first = &records->record[0];
    int rows = 1 + (first->n_layers < LAYERS ? first->n_layers : LAYERS), drawn = 0;
    cp_series series[SERIES];
    char title[200];
    for (int s = 0; s < rows; s++) {
        const cp_record_row *row = row_of(first, s);
        double *values = y + (size_t)s * records->n;
        bool any = false;
        for (size_t i = 0; i < records->n; i++) {
            values[i] = value_of(&records->record[i], row_of(&records->record[i], s), kind);
            any |= isfinite(values[i]);
        }
        const char *layer = cp_record_row_name(row);
        /* What has no value keeps its place, so that a layer has the same colour in every panel. */
        series[s] = (cp_series){any && kind != LOSS ? layer : NULL, values, NULL};
        drawn += any;
    }
    if (!drawn)
        return CP_OK;
    snprintf(title, sizeof title, "%s: %s", name, panels[kind].title);
    cp_chart chart = {.title = title, .x_label = "iteration", .y_label = panels[kind].unit, .n_points = records->n,
                      .n_series = (size_t)rows, .x = x, .series = series, .w = PANEL_W, .h = PANEL_H};
    return cp_chart_draw(&chart, out);
}

/* Two columns. */
static cp_status write_sheet(const cp_picture *panel, int n, const char *path)
{
    cp_picture sheet = {0};
    cp_status status = cp_picture_new(n > 1 ? 2 * PANEL_W : PANEL_W, (n + 1) / 2 * PANEL_H, &sheet);
    if (!status) {
        cp_draw_fill(&sheet, 0, 0, sheet.w, sheet.h, (cp_colour){255, 255, 255});
        for (int i = 0; i < n; i++)
            cp_draw_picture(&sheet, i % 2 * PANEL_W, i / 2 * PANEL_H, &panel[i]);
        status = cp_picture_write_png(&sheet, path);
    }
    cp_picture_free(&sheet);
    return status;
}

cp_status cp_curves_write(const cp_records *records, const char *name, const char *path)
{
    cp_picture panel[MAX_PANELS] = {{0}};
    int n = 0;
    double *x = cp_alloc(records->n, sizeof *x, "curves");
    double *y = cp_alloc(records->n * SERIES, sizeof *y, "curves");
    cp_status status = x && y ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < records->n && !status; i++)
        x[i] = (double)records->record[i].iteration;
    for (int kind = 0; kind < VALUES && !status; kind++) {
        status = draw_panel(records, name, (value_kind)kind, x, y, &panel[n]);
        n += panel[n].rgb != NULL;
    }
    if (!status)
        status = n ? write_sheet(panel, n, path) : cp_fail(CP_EINPUT, "%s: no record has a value to draw", name);
    for (int i = 0; i < n; i++)
        cp_picture_free(&panel[i]);
    cp_free(x);
    cp_free(y);
    return status;
}
