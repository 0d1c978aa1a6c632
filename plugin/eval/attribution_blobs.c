/* Rows that any claim about a map needs beside it: they know nothing of the photo, or nothing but the prediction. */
#include <math.h>
#include <string.h>

#include "eval/attribution.h"
#include "io/error.h"
#include "io/random.h"

cp_status cp_attribute_random(const cp_attribution_call *call, float *map)
{
    size_t c, h, w;
    uint64_t state = call->seed;
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    for (size_t i = 0; i < h * w; i++)
        map[i] = (float)cp_random_uniform(&state);
    return CP_OK;
}

static void draw_blob(const cp_attribution_call *call, double x, double y, double sx, double sy, float *map)
{
    size_t c, h, w;
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    for (size_t i = 0; i < h * w; i++) {
        double u = ((double)(i % w) + .5 - x) / sx, v = ((double)(i / w) + .5 - y) / sy;
        map[i] = (float)exp(-.5 * (u * u + v * v));
    }
}

cp_status cp_attribute_centre(const cp_attribution_call *call, float *map)
{
    const cp_placement *at = &call->target->placement;
    draw_blob(call, (double)at->x + (double)at->w / 2., (double)at->y + (double)at->h / 2., (double)at->w / 4.,
              (double)at->h / 4., map);
    return CP_OK;
}

/* Sobel's operator at (y, x), pixels beyond the edge being those on it. */
static double edge_at(const float *plane, size_t h, size_t w, size_t y, size_t x)
{
    static const int smooth[3] = {1, 2, 1}, step[3] = {-1, 0, 1};
    double down = 0, right = 0;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            size_t row = y + (size_t)i > h ? h - 1 : y + (size_t)i == 0 ? 0 : y + (size_t)i - 1;
            size_t column = x + (size_t)k > w ? w - 1 : x + (size_t)k == 0 ? 0 : x + (size_t)k - 1;
            double value = plane[row * w + column];
            down += step[i] * smooth[k] * value;
            right += smooth[i] * step[k] * value;
        }
    return sqrt(down * down + right * right);
}

cp_status cp_attribute_edges(const cp_attribution_call *call, float *map)
{
    size_t c, h, w;
    const float *photo = cp_frame_output(call->frame, -1, call->image);
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    for (size_t i = 0; i < h * w; i++) {
        double sum = 0;
        for (size_t k = 0; k < c; k++)
            sum += edge_at(photo + k * h * w, h, w, i / w, i % w);
        map[i] = (float)sum;
    }
    return CP_OK;
}

cp_status cp_attribute_box(const cp_attribution_call *call, float *map)
{
    const cp_map_box *box = call->box;
    if (!box)
        return cp_fail(CP_EINPUT, "box: the response is of no detection");
    draw_blob(call, box->x + box->w / 2, box->y + box->h / 2, fmax(box->w / 4, .5), fmax(box->h / 4, .5), map);
    return CP_OK;
}

cp_status cp_attribute_cell(const cp_attribution_call *call, float *map)
{
    const cp_model *model = cp_frame_model(call->frame);
    const cp_detection *d = call->target->detection;
    size_t c, h, w;
    if (!d)
        return cp_fail(CP_EINPUT, "cell: the response is of no detection");
    cp_model_input_shape(model, &c, &h, &w);
    const cp_layer_info *head = cp_model_layer(model, d->head);
    size_t columns = head->w, rows = head->h;
    if (!strcmp(head->type, "detection")) /* YOLO v1: a connected layer's cells */
        columns = rows = (size_t)lround(sqrt((double)(head->outputs / (size_t)(cp_model_classes(model) + 1))));
    if (!columns || !rows || (size_t)d->cell >= columns * rows)
        return cp_fail(CP_EINPUT, "cell: %d of head %d, which has %zu x %zu", d->cell, d->head, columns, rows);
    double step_x = (double)w / (double)columns, step_y = (double)h / (double)rows;
    draw_blob(call, ((double)((size_t)d->cell % columns) + .5) * step_x, ((double)((size_t)d->cell / columns) + .5) * step_y,
              step_x, step_y, map);
    return CP_OK;
}
