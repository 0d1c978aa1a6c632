/* What the nodes of a graph show: names, shares, and the part of the photo that each one's best neuron reads. */
#include "cli/graph_view.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/resample.h"
#include "map/grid.h"

#include <math.h>
#include <string.h>

enum { SIDE_MOST = 68, SIDE_LEAST = 36, PHOTO = 220, ANSWER = 150 };

static const double WIDE = .3;      /* of the photo: of a field that covers more the part is shown in which the channel scores */
static const double SHADE = .45;    /* of the light there where it does not */
static const double MUCH = .3;      /* of the channel's best neuron: what scores less does not widen that part */
static const double PART = .3;      /* of the photo's longer side, the least that is shown of such a field */
static const double AROUND = 1/18.; /* and of any other */

const char *cp_graph_layers(const cp_graph_view *v, int column, char text[32])
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(v->session->model, &n);
    const cp_graph_column *c = &v->graph.column[column];
    int first = layers[c->first].layer, last = layers[c->last].layer;
    snprintf(text, 32, first == last ? "%d" : "%d-%d", first, last);
    return text;
}

static const char *percent(double share, char text[24])
{
    double p = 100 * share;
    snprintf(text, 24, p >= 9.95 ? "%.0f%%" : p >= .095 ? "%.1f%%" : p > 0 ? "%.2g%%" : "0%%", p);
    return text;
}

static void name_node(cp_graph_view *v, int i)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(v->session->model, &n);
    const cp_graph_node *node = &v->graph.node[i];
    cp_graph_node_view *view = &v->node[i];
    char share[24], range[32];
    percent(node->share, share);
    switch (node->kind) {
    case CP_NODE_PHOTO:
        snprintf(view->id, sizeof view->id, "photo");
        return;
    case CP_NODE_ANSWER:
        snprintf(view->id, sizeof view->id, "answer");
        return;
    case CP_NODE_CHANNEL:
        snprintf(view->id, sizeof view->id, "%d:%zu", layers[node->position].layer, node->channel);
        if (v->graph.column[node->column - 1].first == v->graph.column[node->column - 1].last)
            snprintf(view->label, sizeof view->label, "#%zu  %s", node->channel, share);
        else
            snprintf(view->label, sizeof view->label, "%d#%zu  %s", layers[node->position].layer, node->channel, share);
        return;
    case CP_NODE_REST:
        snprintf(view->id, sizeof view->id, "%.18s:rest", cp_graph_layers(v, node->column - 1, range));
        if (node->members)
            snprintf(view->label, sizeof view->label, "+%zu  %s", node->members, share);
        else
            snprintf(view->label, sizeof view->label, "rest  %s", share);
        return;
    }
}

/* The neuron of the channel that scores most, on the path. */
static size_t best_neuron(const cp_neuron_layer *layer, size_t channel, const float *score, const cp_path *path)
{
    size_t plane = layer->h * layer->w, first = layer->offset + channel * plane, best = first;
    bool found = false;
    for (size_t i = first; i < first + plane; i++)
        if ((!path || cp_path_get(path, i)) && (!found || fabsf(score[i]) > fabsf(score[best]))) {
            best = i;
            found = true;
        }
    return best - first;
}

/* What is shown: the field, or more where that is small, within the photo. */
static cp_photo_box crop_of(const cp_picture *photo, const double field[4], double around)
{
    double least = around * (photo->w > photo->h ? photo->w : photo->h);
    double w = fmin(photo->w, fmax(field[2], least)), h = fmin(photo->h, fmax(field[3], least));
    double x = field[0] + field[2] / 2 - w / 2, y = field[1] + field[3] / 2 - h / 2;
    return (cp_photo_box){fmax(0, fmin(x, photo->w - w)), fmax(0, fmin(y, photo->h - h)), w, h};
}

/* The part of the photo over which the cells of a channel score much. */
static void widen_to_scores(const cp_item *item, const cp_neuron_layer *layer, const float *plane, const cp_grid *grid,
                            double part[4])
{
    const cp_placement *at = &item->placement;
    double most = 0, x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY;
    double sx = (double)at->photo_w / (double)at->w, sy = (double)at->photo_h / (double)at->h;
    for (size_t i = 0; i < layer->h * layer->w; i++)
        most = fmax(most, fabs(plane[i]));
    for (size_t i = 0; i < layer->h * layer->w; i++) {
        double x = grid->start_x + (double)(i % layer->w) * grid->step_x, y = grid->start_y + (double)(i / layer->w) * grid->step_y;
        if (fabs(plane[i]) < MUCH * most)
            continue;
        x0 = fmin(x0, x - grid->step_x), x1 = fmax(x1, x + grid->step_x);
        y0 = fmin(y0, y - grid->step_y), y1 = fmax(y1, y + grid->step_y);
    }
    part[0] = (x0 + .5 - (double)at->x) * sx;
    part[1] = (y0 + .5 - (double)at->y) * sy;
    part[2] = (x1 - x0) * sx;
    part[3] = (y1 - y0) * sy;
}

/* A plane of magnitudes at a place between its cells. */
static double sample(const float *plane, size_t h, size_t w, double y, double x)
{
    y = fmax(0, fmin(y, (double)h - 1));
    x = fmax(0, fmin(x, (double)w - 1));
    size_t y0 = (size_t)y, x0 = (size_t)x, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    double fy = y - (double)y0, fx = x - (double)x0;
    return (1 - fy) * ((1 - fx) * fabs(plane[y0 * w + x0]) + fx * fabs(plane[y0 * w + x1])) +
           fy * ((1 - fx) * fabs(plane[y1 * w + x0]) + fx * fabs(plane[y1 * w + x1]));
}

/* Darkens the picture of a crop where the channel does not score. */
static void shade(const cp_item *item, const cp_neuron_layer *layer, const float *plane, const cp_grid *grid,
                  const cp_photo_box *crop, cp_picture *picture)
{
    const cp_placement *at = &item->placement;
    double most = 0, sx = (double)at->w / (double)at->photo_w, sy = (double)at->h / (double)at->photo_h;
    for (size_t i = 0; i < layer->h * layer->w; i++)
        most = fmax(most, fabs(plane[i]));
    for (int y = 0; y < picture->h && most > 0; y++)
        for (int x = 0; x < picture->w; x++) {
            double px = crop->x + (x + .5) * crop->w / picture->w, py = crop->y + (y + .5) * crop->h / picture->h;
            double ix = px * sx + (double)at->x - .5, iy = py * sy + (double)at->y - .5;
            double light = sample(plane, layer->h, layer->w, (iy - grid->start_y) / grid->step_y,
                                  (ix - grid->start_x) / grid->step_x) / most;
            double factor = SHADE + (1 - SHADE) * sqrt(light);
            unsigned char *rgb = picture->rgb + 3 * ((size_t)y * (size_t)picture->w + (size_t)x);
            for (int c = 0; c < 3; c++)
                rgb[c] = (unsigned char)lrint(factor * rgb[c]);
        }
}

/* The longer side of a picture of w x h is `side`. */
static cp_status scaled(const cp_picture *photo, const cp_photo_box *part, double side, cp_picture *out)
{
    double scale = side / fmax(part->w, part->h);
    int w = (int)lrint(part->w * scale), h = (int)lrint(part->h * scale);
    return cp_resample_picture(photo, part, w < 1 ? 1 : w, h < 1 ? 1 : h, out);
}

/* Areas go by share. */
static double side_of(const cp_graph_view *v, const cp_graph_node *node)
{
    double most = 0;
    for (int i = 0; i < v->graph.n; i++)
        if (v->graph.node[i].kind == CP_NODE_CHANNEL)
            most = fmax(most, v->graph.node[i].share);
    double side = most > 0 ? SIDE_MOST * sqrt(node->share / most) : SIDE_LEAST;
    return fmin(SIDE_MOST, fmax(SIDE_LEAST, side));
}

static cp_status picture_channel(cp_graph_view *v, int i, const cp_graph_source *from, const cp_grid *grids)
{
    int n;
    const cp_item *item = from->item;
    const float *score = from->score;
    const cp_graph_node *node = &v->graph.node[i];
    const cp_neuron_layer *layer = &cp_model_neuron_layers(v->session->model, &n)[node->position];
    cp_graph_node_view *view = &v->node[i];
    size_t best = best_neuron(layer, node->channel, score, from->path), plane = layer->h * layer->w;
    const cp_picture *photo = &item->photo;
    cp_status status = cp_photo_field(v->session, item, layer->layer, best % layer->w, best / layer->w, &view->has_field,
                                      view->field);
    if (status || !view->has_field)
        return status;
    bool wide = view->field[2] * view->field[3] > WIDE * photo->w * photo->h;
    bool lit = wide && plane > 1 && grids[layer->layer + 1].plane;
    double part[4];
    memcpy(part, view->field, sizeof part);
    if (lit)
        widen_to_scores(item, layer, score + layer->offset + node->channel * plane, &grids[layer->layer + 1], part);
    cp_photo_box crop = crop_of(photo, part, lit ? PART : AROUND);
    status = scaled(photo, &crop, side_of(v, node), &view->picture);
    if (status)
        return status;
    if (lit)
        shade(item, layer, score + layer->offset + node->channel * plane, &grids[layer->layer + 1], &crop, &view->picture);
    if (!lit && (crop.w > view->field[2] * 1.5 || crop.h > view->field[3] * 1.5)) { /* only a part of what is shown */
        double scale = view->picture.w / crop.w;
        int w = (int)ceil(view->field[2] * scale) + 2, h = (int)ceil(view->field[3] * scale) + 2;
        cp_draw_box(&view->picture, (int)((view->field[0] - crop.x) * scale) - 1, (int)((view->field[1] - crop.y) * scale) - 1,
                    w, h, 1, (cp_colour){255, 255, 255});
    }
    return CP_OK;
}

static cp_status whole_photo(const cp_picture *photo, cp_picture *out)
{
    cp_photo_box all = {0, 0, photo->w, photo->h};
    return scaled(photo, &all, PHOTO, out);
}

static void copy_into(const cp_picture *from, int y, cp_picture *to)
{
    for (int row = 0; row < from->h; row++)
        memcpy(to->rgb + 3 * (size_t)(y + row) * (size_t)to->w, from->rgb + 3 * (size_t)row * (size_t)from->w, 3 * (size_t)from->w);
}

/* The photos of two paths, the first above, each framed in the colour of its path. */
static cp_status picture_two_photos(const cp_graph_view *v, cp_picture *out)
{
    enum { BETWEEN = 10 };
    cp_picture photo[2] = {{0}, {0}};
    cp_status status = CP_OK;
    for (int k = 0; k < 2 && !status; k++)
        status = whole_photo(&v->source[k].item->photo, &photo[k]);
    if (!status)
        status = cp_picture_new(photo[0].w > photo[1].w ? photo[0].w : photo[1].w, photo[0].h + BETWEEN + photo[1].h, out);
    if (!status)
        memset(out->rgb, 255, 3 * (size_t)out->w * (size_t)out->h);
    for (int k = 0, y = 0; k < 2 && !status; k++) {
        copy_into(&photo[k], y, out);
        cp_draw_box(out, 0, y, photo[k].w, photo[k].h, 3, cp_colour_signed(k ? .85 : -.85));
        y += photo[k].h + BETWEEN;
    }
    for (int k = 0; k < 2; k++)
        cp_picture_free(&photo[k]);
    return status;
}

/* The photo with the box of the detection; the answer is what is in it. */
static cp_status picture_ends(cp_graph_view *v)
{
    const cp_item *item = v->source[0].item, *other = v->source[1].item;
    const cp_picture *photo = &item->photo;
    cp_photo_box box;
    cp_picture *picture = &v->node[0].picture;
    if (other && strcmp(item->sha256, other->sha256))
        return picture_two_photos(v, picture);
    cp_status status = whole_photo(photo, picture);
    if (status || !v->subject || !v->subject->detection)
        return status;
    cp_detection_rectangle(v->session, item, v->subject->detection, &box.x, &box.y, &box.w, &box.h);
    double scale = picture->w / (double)photo->w;
    cp_draw_detection(picture, box.x * scale, box.y * scale, (box.x + box.w) * scale, (box.y + box.h) * scale, 2, NULL);
    double x1 = fmin(photo->w, box.x + box.w), y1 = fmin(photo->h, box.y + box.h);
    box.x = fmax(0, box.x);
    box.y = fmax(0, box.y);
    box.w = x1 - box.x;
    box.h = y1 - box.y;
    return box.w >= 1 && box.h >= 1 ? scaled(photo, &box, ANSWER, &v->node[v->graph.n - 1].picture) : CP_OK;
}

cp_status cp_graph_view_make(cp_graph_view *v)
{
    bool pictures = v->source[0].item;
    cp_grid *grids = pictures ? cp_grids_find(v->session->model) : NULL;
    cp_status status = pictures && !grids ? CP_ERESOURCE : CP_OK;
    for (int i = 0; i < v->graph.n && !status; i++) {
        const cp_graph_source *from = &v->source[v->compares && v->node[i].second];
        name_node(v, i);
        for (int k = 0; k < v->graph.n; k++)
            v->node[i].effect += v->graph.edge[i][k];
        v->node[i].w = v->node[i].h = side_of(v, &v->graph.node[i]);
        if (pictures && v->graph.node[i].kind == CP_NODE_CHANNEL)
            status = picture_channel(v, i, from, grids);
    }
    if (!status && pictures)
        status = picture_ends(v);
    for (int i = 0; i < v->graph.n && !status; i++)
        if (v->node[i].picture.rgb) {
            v->node[i].w = v->node[i].picture.w;
            v->node[i].h = v->node[i].picture.h;
        }
    cp_free(grids);
    return status;
}

void cp_graph_view_free(cp_graph_view *v)
{
    for (int i = 0; i < CP_GRAPH_NODES; i++)
        cp_picture_free(&v->node[i].picture);
}
