/* Class activation maps: activations a and gradients g = dPhi/da of one layer, or of several, enlarged to the input. */
#include <math.h>
#include <string.h>

#include "eval/attribution.h"
#include "io/error.h"

/* One layer's activations and gradients; plane = h*w. */
typedef struct {
    const cp_layer_info *info;
    const float *a;
    float *g;
    size_t plane;
} layer_view;

void cp_plane_enlarge(const float *plane, size_t h, size_t w, float *map, size_t big_h, size_t big_w)
{
    for (size_t y = 0; y < big_h; y++) {
        double v = fmax(0, ((double)y + .5) * (double)h / (double)big_h - .5);
        size_t y0 = (size_t)v, y1 = y0 + 1 < h ? y0 + 1 : y0;
        float fy = (float)(v - (double)y0);
        for (size_t x = 0; x < big_w; x++) {
            double u = fmax(0, ((double)x + .5) * (double)w / (double)big_w - .5);
            size_t x0 = (size_t)u, x1 = x0 + 1 < w ? x0 + 1 : x0;
            float fx = (float)(u - (double)x0);
            float top = plane[y0 * w + x0] * (1 - fx) + plane[y0 * w + x1] * fx;
            float bottom = plane[y1 * w + x0] * (1 - fx) + plane[y1 * w + x1] * fx;
            map[y * big_w + x] = top * (1 - fy) + bottom * fy;
        }
    }
}

static cp_status view_layer(const cp_attribution_call *call, int layer, layer_view *view)
{
    const cp_model *model = cp_frame_model(call->frame);
    *view = (layer_view){.info = cp_model_layer(model, layer)};
    view->plane = view->info->h * view->info->w;
    view->a = cp_frame_output(call->frame, layer, call->image);
    view->g = cp_alloc(view->info->outputs, sizeof *view->g, "gradients");
    if (!view->g)
        return CP_ERESOURCE;
    const cp_entry entry = {.image = call->image, .response = call->response};
    return cp_frame_backward_to(call->frame, &entry, 1, layer, view->g);
}

int cp_attribution_layer(const cp_model *model, const cp_response *response)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    int own = cp_model_layer(model, response->unit[0].layer)->value;
    for (int l = n - 1; l >= 0; l--)
        if (layers[l].layer != own && layers[l].h * layers[l].w > 1 && cp_model_depends(model, own, layers[l].layer))
            return layers[l].layer;
    return -1;
}

/* The call's layer, or the one chosen. */
static cp_status choose_layer(const cp_attribution_call *call, int *layer)
{
    const cp_model *model = cp_frame_model(call->frame);
    *layer = call->layer >= 0 ? call->layer : cp_attribution_layer(model, call->response);
    if (*layer < 0)
        return cp_fail(CP_EINPUT, "map: no layer with more than one position leads to the response");
    if (*layer >= cp_model_layer_count(model) || cp_model_layer(model, *layer)->head)
        return cp_fail(CP_EINPUT, "map: layer %d, allowed is 0 to %d and no head", *layer, cp_model_layer_count(model) - 1);
    const cp_layer_info *info = cp_model_layer(model, *layer);
    if (info->h * info->w <= 1)
        return cp_fail(CP_EINPUT, "map: layer %d (%s) has one position", *layer, info->type);
    return CP_OK;
}

/* Combines a and g to one plane. */
typedef void (*combination)(const layer_view *view, float *plane);

static cp_status run(const cp_attribution_call *call, int layer, combination combine, float *map)
{
    layer_view view = {0};
    size_t c, h, w;
    cp_model_input_shape(cp_frame_model(call->frame), &c, &h, &w);
    cp_status status = view_layer(call, layer, &view);
    float *plane = status ? NULL : cp_alloc(view.plane, sizeof *plane, "map");
    if (!status && !plane)
        status = CP_ERESOURCE;
    if (!status) {
        combine(&view, plane);
        cp_plane_enlarge(plane, view.info->h, view.info->w, map, h, w);
    }
    cp_free(plane);
    cp_free(view.g);
    return status;
}

static cp_status run_chosen(const cp_attribution_call *call, combination combine, float *map)
{
    int layer;
    cp_status status = choose_layer(call, &layer);
    return status ? status : run(call, layer, combine, map);
}

static void rectify(float *plane, size_t n)
{
    for (size_t i = 0; i < n; i++)
        plane[i] = plane[i] > 0 ? plane[i] : 0;
}

static void gradcam(const layer_view *v, float *plane)
{
    for (size_t c = 0; c < v->info->c; c++) {
        const float *a = v->a + c * v->plane, *g = v->g + c * v->plane;
        double weight = 0;
        for (size_t i = 0; i < v->plane; i++)
            weight += g[i];
        for (size_t i = 0; i < v->plane; i++)
            plane[i] += (float)(weight / (double)v->plane) * a[i];
    }
    rectify(plane, v->plane);
}

/* The sum over channels of a and g, position by position. That the response is one instance's is ODAM's point, and so it is
 * here for every method. */
static void odam(const layer_view *v, float *plane)
{
    for (size_t i = 0; i < v->info->outputs; i++)
        plane[i % v->plane] += v->g[i] * v->a[i];
    rectify(plane, v->plane);
}

static void layercam(const layer_view *v, float *plane)
{
    for (size_t i = 0; i < v->info->outputs; i++)
        plane[i % v->plane] += fmaxf(v->g[i], 0) * v->a[i];
    rectify(plane, v->plane);
}

cp_status cp_attribute_gradcam(const cp_attribution_call *call, float *map) { return run_chosen(call, gradcam, map); }

cp_status cp_attribute_odam(const cp_attribution_call *call, float *map) { return run_chosen(call, odam, map); }

static void scale_to_one(float *map, size_t n)
{
    float low = map[0], high = map[0];
    for (size_t i = 1; i < n; i++)
        low = fminf(low, map[i]), high = fmaxf(high, map[i]);
    for (size_t i = 0; i < n; i++)
        map[i] = high > low ? (map[i] - low) / (high - low) : 0;
}

/* The largest over the last neuron layer of each resolution; with a layer named, that one. */
cp_status cp_attribute_layercam(const cp_attribution_call *call, float *map)
{
    const cp_model *model = cp_frame_model(call->frame);
    size_t c, h, w, last_plane = 0;
    int n, last;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_status status = choose_layer(call, &last);
    if (status || call->layer >= 0)
        return status ? status : run(call, last, layercam, map);
    cp_model_input_shape(model, &c, &h, &w);
    float *one = cp_alloc(h * w, sizeof *one, "map");
    if (!one)
        return CP_ERESOURCE;
    memset(map, 0, h * w * sizeof *map);
    for (int l = n - 1; l >= 0 && !status; l--) {
        size_t plane = layers[l].h * layers[l].w;
        int layer = layers[l].layer;
        if (layer > last || plane <= 1 || plane == last_plane || !cp_model_depends(model, last, layer))
            continue;
        last_plane = plane;
        status = run(call, layer, layercam, one);
        scale_to_one(one, h * w);
        for (size_t i = 0; i < h * w; i++)
            map[i] = fmaxf(map[i], one[i]);
    }
    cp_free(one);
    return status;
}

/* The first principal component of the positions' activation vectors, centred, by power iteration; its sign such that it
 * agrees with the mean activation. */
static void eigencam(const layer_view *v, float *plane, float *mean, float *direction)
{
    enum { ROUNDS = 100 };
    size_t channels = v->info->c;
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t i = 0; i < v->plane; i++)
            sum += v->a[c * v->plane + i];
        mean[c] = (float)(sum / (double)v->plane);
        direction[c] = 1;
    }
    for (int round = 0; round <= ROUNDS; round++) {
        memset(plane, 0, v->plane * sizeof *plane);
        for (size_t c = 0; c < channels; c++)
            for (size_t i = 0; i < v->plane; i++)
                plane[i] += (v->a[c * v->plane + i] - mean[c]) * direction[c];
        if (round == ROUNDS)
            break;
        double norm = 0;
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (size_t i = 0; i < v->plane; i++)
                sum += (double)plane[i] * (v->a[c * v->plane + i] - mean[c]);
            direction[c] = (float)sum;
            norm += sum * sum;
        }
        for (size_t c = 0; c < channels && norm > 0; c++)
            direction[c] = (float)(direction[c] / sqrt(norm));
    }
    double agreement = 0;
    for (size_t i = 0; i < v->info->outputs; i++)
        agreement += (double)plane[i % v->plane] * v->a[i];
    for (size_t i = 0; i < v->plane && agreement < 0; i++)
        plane[i] = -plane[i];
    rectify(plane, v->plane);
}

cp_status cp_attribute_eigencam(const cp_attribution_call *call, float *map)
{
    int layer;
    layer_view view = {0};
    size_t c, h, w;
    cp_status status = choose_layer(call, &layer);
    if (status)
        return status;
    const cp_model *model = cp_frame_model(call->frame);
    cp_model_input_shape(model, &c, &h, &w);
    view.info = cp_model_layer(model, layer);
    view.plane = view.info->h * view.info->w;
    view.a = cp_frame_output(call->frame, layer, call->image);
    float *plane = cp_alloc(view.plane + 2 * view.info->c, sizeof *plane, "map");
    if (!plane)
        return CP_ERESOURCE;
    eigencam(&view, plane, plane + view.plane, plane + view.plane + view.info->c);
    cp_plane_enlarge(plane, view.info->h, view.info->w, map, h, w);
    cp_free(plane);
    return CP_OK;
}
