#include "map/grid.h"

#include <math.h>
#include <string.h>

#include "io/error.h"
#include "model/cfg.h"

static size_t width_of(const cp_model *model, int layer, size_t *height)
{
    size_t c, h, w;
    if (layer < 0)
        cp_model_input_shape(model, &c, &h, &w);
    else
        h = cp_model_layer(model, layer)->h, w = cp_model_layer(model, layer)->w;
    *height = h ? h : 1;
    return w ? w : 1;
}

/* One axis of one layer: from the grid of its source, `in` cells wide, to its own, `out` cells wide. */
static void step_over(const cp_layer_info *l, size_t in, size_t out, double *start, double *step)
{
    double middle = (l->size - 1) / 2., ratio = (double)in / (double)out;
    if (!strcmp(l->type, "convolutional") || !strcmp(l->type, "local")) {
        *start += (middle - l->pad) * *step;
        *step *= l->stride;
    } else if (!strcmp(l->type, "maxpool")) { /* pad is that of both sides together */
        *start += (middle - l->pad / 2) * *step;
        *step *= l->stride;
    } else if (!strcmp(l->type, "deconvolutional")) {
        *start += (l->pad - middle) / l->stride * *step;
        *step /= l->stride;
    } else if (!strcmp(l->type, "crop")) {
        *start += (double)((in - out) / 2) * *step;
    } else { /* the same cells, or blocks of cells, or parts of cells: upsample, reorg, avgpool */
        *start += (ratio - 1) / 2 * *step;
        *step *= ratio;
    }
}

/* The next layer reads a layer with antialiasing through windows, of which the even ones lie half a cell further. */
static void look_through_blur(const cp_cfg_layer *from, cp_grid *grid, size_t *h, size_t *w)
{
    double middle = from->blur.size == 3 ? 0 : .5;
    if (!cp_layer_is_blurred(from))
        return;
    grid->start_x += middle * grid->step_x, grid->start_y += middle * grid->step_y;
    grid->step_x *= from->blur.stride_x, grid->step_y *= from->blur.stride_y;
    *h = (size_t)from->blur.out_h, *w = (size_t)from->blur.out_w;
}

static cp_grid grid_of(const cp_model *model, const cp_grid *grids, const cp_layer_info *l)
{
    /* Parts of a route and the two of a shortcut cover the same area: the first stands for all. */
    int source = l->n_sources ? l->sources[0] : -1;
    cp_grid grid = grids[source + 1];
    size_t h, out_h, w = width_of(model, source, &h), out_w = width_of(model, l->index, &out_h);
    grid.plane &= strcmp(l->type, "connected") != 0;
    if (source >= 0) look_through_blur(&cp_model_shapes(model)->layers[source], &grid, &h, &w);
    step_over(l, w, out_w, &grid.start_x, &grid.step_x);
    step_over(l, h, out_h, &grid.start_y, &grid.step_y);
    return grid;
}

cp_grid *cp_grids_find(const cp_model *model)
{
    int n = cp_model_layer_count(model);
    cp_grid *grids = cp_alloc((size_t)n + 1, sizeof *grids, "map");
    if (!grids)
        return NULL;
    grids[0] = (cp_grid){.plane = true, .step_x = 1, .step_y = 1};
    for (int i = 0; i < n; i++)
        grids[i + 1] = grid_of(model, grids, cp_model_layer(model, i));
    return grids;
}

/* Fills the shares of one cell centred at `centre`; returns how many pixels it reaches. */
static size_t share_out(double centre, double reach, size_t pixels, size_t *first, float *share)
{
    double last = (double)pixels - 1, low = ceil(centre - reach), high = floor(centre + reach), sum = 0;
    size_t n = 0;
    low = low < 0 ? 0 : low;
    high = high > last ? last : high;
    for (double x = low; x <= high; x++)
        sum += fmax(0, 1 - fabs(x - centre) / reach);
    if (!(sum > 0)) { /* a window that lies in the padding alone: the pixel at the border */
        *first = centre < 0 ? 0 : pixels - 1;
        share[0] = 1;
        return 1;
    }
    *first = (size_t)low;
    for (double x = low; x <= high; x++)
        share[n++] = (float)(fmax(0, 1 - fabs(x - centre) / reach) / sum);
    return n;
}

cp_status cp_spread_create(double start, double step, size_t cells, size_t pixels, cp_spread *spread)
{
    double reach = step > 1 ? step : 1;
    size_t room = (size_t)(2 * reach) + 2, all;
    *spread = (cp_spread){.cells = cells};
    room = room < pixels ? room : pixels;
    if (!cp_mul(room, cells, &all))
        return cp_fail(CP_ERESOURCE, "map: %zu cells of %zu pixels do not fit in memory", cells, room);
    spread->first = cp_alloc(cells, sizeof *spread->first, "map");
    spread->count = cp_alloc(cells, sizeof *spread->count, "map");
    spread->share = cp_alloc(cells, sizeof *spread->share, "map");
    spread->shares = cp_alloc(all, sizeof *spread->shares, "map");
    if (!spread->first || !spread->count || !spread->share || !spread->shares) {
        cp_spread_free(spread);
        return CP_ERESOURCE;
    }
    for (size_t i = 0; i < cells; i++) {
        spread->share[i] = spread->shares + i * room;
        spread->count[i] = share_out(start + (double)i * step, reach, pixels, &spread->first[i], spread->share[i]);
    }
    return CP_OK;
}

void cp_spread_free(cp_spread *spread)
{
    cp_free(spread->first);
    cp_free(spread->count);
    cp_free(spread->share);
    cp_free(spread->shares);
    *spread = (cp_spread){0};
}
