#include "decode/ascent.h"

#include <math.h>
#include <string.h>

#include "decode/adam.h"
#include "engine/memory.h"
#include "io/error.h"
#include "io/random.h"
#include "map/map.h"

enum { TENTHS = 10 };

typedef struct {
    const cp_model *model;
    const cp_objective *objective;
    const cp_decode_options *options;
    size_t c, h, w, size;
    cp_parameters *parameters;
    cp_frame *frame;
    int batch;
    const cp_path *path;
    cp_path *opened;       /* the path with the response's own units, where it lacks them */
    float *seed;           /* of the mean of a channel: outputs of its layer */
    float *views;          /* (batch,c,h,w) */
    float *gradients;      /* (batch,c,h,w) */
    float *image_gradient; /* (c,h,w) */
    float *gradient;       /* (parameters) */
    cp_adam adam;
    double scale;          /* of the objective at the start */
    uint64_t state;
} job;

cp_decode_settings cp_decode_defaults(cp_parameterisation parameterisation, bool placed)
{
    switch (parameterisation) {
    case CP_PARAMETERS_PIXELS:
        return (cp_decode_settings){parameterisation, CP_VIEWS_ONE, 1, 512, .05, 0};
    case CP_PARAMETERS_MACO:
        return (cp_decode_settings){parameterisation, placed ? CP_VIEWS_SHIFTS : CP_VIEWS_CROPS, 8, 256, 1, .05};
    case CP_PARAMETERS_PHOTO:
        return (cp_decode_settings){parameterisation, CP_VIEWS_SHIFTS, 2, 100, .05, 0};
    default:
        return (cp_decode_settings){CP_PARAMETERS_FOURIER, placed ? CP_VIEWS_SHIFTS : CP_VIEWS_TURNS, 1, 128, .05, 0};
    }
}

/* ---------------------------------------------------------------- objective */

static double measure(const job *j, int image)
{
    const cp_objective *o = j->objective;
    if (o->response)
        return cp_frame_response(j->frame, image, o->response);
    const float *output = cp_frame_output(j->frame, o->layer, image);
    double sum = 0;
    for (size_t i = 0; i < o->count; i++)
        sum += output[o->first + i];
    return sum / (double)o->count;
}

static cp_status forward(const job *j, int n)
{
    cp_restriction restrictions[CP_DEVICE_BATCH] = {{0}};
    for (int i = 0; i < n && j->path; i++)
        restrictions[i] = (cp_restriction){.kind = CP_ZEROED, .path = j->path};
    return cp_frame_forward(j->frame, j->views, n, j->path ? restrictions : NULL);
}

static bool is_zero(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] != 0)
            return false;
    return true;
}

/* The unit in the middle of a channel, before its activation. */
static cp_response middle_of(const job *j)
{
    const cp_objective *o = j->objective;
    const cp_layer_info *layer = cp_model_layer(j->model, o->layer);
    size_t middle = o->count == layer->h * layer->w ? layer->h / 2 * layer->w + layer->w / 2 : 0;
    return (cp_response){.n = 1, .unit = {{o->layer, o->first + middle, 1}}};
}

/* A channel that is dead all over the image has no gradient; that of its middle's pre-activation leads out of there. */
static cp_status backward(const job *j, int n)
{
    cp_entry entries[CP_DEVICE_BATCH] = {{0}};
    cp_response middle;
    for (int i = 0; i < n; i++)
        entries[i] = (cp_entry){.image = i, .response = j->objective->response, .path = j->path, .seed = j->seed,
                                .seed_layer = j->objective->layer};
    cp_status status = cp_frame_backward(j->frame, entries, n, NULL, j->gradients);
    if (status || !j->seed || !is_zero(j->gradients, (size_t)n * j->size))
        return status;
    middle = middle_of(j);
    for (int i = 0; i < n; i++)
        entries[i] = (cp_entry){.image = i, .response = &middle, .path = j->path, .before_activation = true};
    return cp_frame_backward(j->frame, entries, n, NULL, j->gradients);
}

/* The objective of an image as it is. */
static cp_status measure_image(const job *j, const float *image, double *value)
{
    memcpy(j->views, image, j->size * sizeof *image);
    cp_status status = forward(j, 1);
    if (!status)
        *value = measure(j, 0);
    return status;
}

/* ---------------------------------------------------------------- a step */

static void draw_view(job *j, const float *image, int i, cp_view *view)
{
    const cp_decode_settings *s = &j->options->settings;
    float *out = j->views + (size_t)i * j->size;
    if (s->views == CP_VIEWS_ONE) {
        memcpy(out, image, j->size * sizeof *out);
    } else {
        *view = cp_view_draw(s->views, j->h, j->w, &j->state);
        cp_view_take(view, image, j->c, j->h, j->w, out);
    }
    for (size_t k = 0; k < j->size && s->noise > 0; k += 2) {
        float pair[2];
        cp_random_normal(&j->state, pair);
        out[k] += (float)s->noise * pair[0];
        if (k + 1 < j->size)
            out[k + 1] += (float)s->noise * pair[1];
    }
}

static void gather_gradient(job *j, const cp_view *view, int i)
{
    const float *gradient = j->gradients + (size_t)i * j->size;
    if (j->options->settings.views != CP_VIEWS_ONE) {
        cp_view_add_gradient(view, gradient, j->c, j->h, j->w, j->image_gradient);
        return;
    }
    for (size_t k = 0; k < j->size; k++)
        j->image_gradient[k] += gradient[k];
}

/* The mean objective of this step's views, and its gradient over the image. */
static cp_status ascend(job *j, const float *image, double *value)
{
    int wanted = j->options->settings.per_step;
    cp_view views[CP_DEVICE_BATCH];
    cp_status status = CP_OK;
    double sum = 0;
    memset(j->image_gradient, 0, j->size * sizeof *j->image_gradient);
    for (int first = 0; first < wanted && !status; first += j->batch) {
        int some = wanted - first < j->batch ? wanted - first : j->batch;
        for (int i = 0; i < some; i++)
            draw_view(j, image, i, &views[i]);
        status = forward(j, some);
        if (!status)
            status = backward(j, some);
        for (int i = 0; i < some && !status; i++) {
            sum += measure(j, i);
            gather_gradient(j, &views[i], i);
        }
    }
    for (size_t k = 0; k < j->size; k++)
        j->image_gradient[k] /= (float)wanted;
    *value = sum / wanted;
    return status;
}

/* mean((image - photo)^2) in units of the objective at the start, so that one weight suits all responses. */
static void stay_near(job *j, const float *image)
{
    const cp_decode_options *o = j->options;
    if (o->settings.parameterisation != CP_PARAMETERS_PHOTO || !(o->keep > 0))
        return;
    float pull = (float)(2 * o->keep * j->scale / (double)j->size);
    for (size_t k = 0; k < j->size; k++)
        j->image_gradient[k] -= pull * (image[k] - o->given[k]);
}

static void add_transparency(const job *j, float *transparency)
{
    size_t plane = j->h * j->w;
    for (size_t k = 0; k < j->size && transparency; k++)
        transparency[k % plane] += fabsf(j->image_gradient[k]);
}

/* ---------------------------------------------------------------- the run */

static cp_status check(const cp_decode_options *o)
{
    if (o->settings.iters < 1 || o->settings.per_step < 1)
        return cp_fail(CP_EINPUT, "decode: %d steps of %d views, allowed is 1 and more", o->settings.iters,
                       o->settings.per_step);
    if (!(o->settings.rate > 0) || !isfinite(o->settings.rate))
        return cp_fail(CP_EINPUT, "decode: rate %g, allowed is above 0", o->settings.rate);
    return CP_OK;
}

/* Where the objective is the mean of a channel: its gradient over the layer. */
static cp_status make_seed(job *j)
{
    const cp_objective *o = j->objective;
    if (o->response)
        return CP_OK;
    size_t outputs = cp_model_layer(j->model, o->layer)->outputs;
    if (!o->count || o->count > outputs || o->first > outputs - o->count)
        return cp_fail(CP_EINPUT, "decode: units %zu to %zu of layer %d, which has %zu", o->first, o->first + o->count,
                       o->layer, outputs);
    if (!(j->seed = cp_alloc(outputs, sizeof *j->seed, "objective")))
        return CP_ERESOURCE;
    for (size_t i = 0; i < o->count; i++)
        j->seed[o->first + i] = 1 / (float)o->count;
    return CP_OK;
}

static cp_status open_path(job *j)
{
    j->path = j->options->path;
    if (!j->path || !j->objective->response)
        return CP_OK;
    cp_status status = cp_path_with_response(j->model, j->objective->response, j->path, &j->opened);
    j->path = j->opened ? j->opened : j->path;
    return status;
}

static cp_status start(const cp_model *model, const cp_objective *objective, const cp_decode_options *options, job *j)
{
    *j = (job){.model = model, .objective = objective, .options = options, .state = options->seed};
    cp_model_input_shape(model, &j->c, &j->h, &j->w);
    j->size = j->c * j->h * j->w;
    int wanted = options->settings.per_step < CP_DEVICE_BATCH ? options->settings.per_step : CP_DEVICE_BATCH;
    cp_status status = check(options);
    if (!status)
        status = make_seed(j);
    if (!status)
        status = open_path(j);
    if (!status)
        status = cp_parameters_create(options->settings.parameterisation, j->c, j->h, j->w, options->given,
                                      cp_random_next(&j->state), &j->parameters);
    if (!status)
        status = cp_frame_create_fitting(model, wanted, true, options->run.memory, &j->batch, &j->frame);
    if (status)
        return status;
    size_t n = cp_parameters_count(j->parameters);
    j->views = cp_alloc((size_t)j->batch * j->size, sizeof *j->views, "views");
    j->gradients = cp_alloc((size_t)j->batch * j->size, sizeof *j->gradients, "views");
    j->image_gradient = cp_alloc(j->size, sizeof *j->image_gradient, "gradient");
    j->gradient = cp_alloc(n, sizeof *j->gradient, "optimiser");
    status = cp_adam_create(n, &j->adam);
    return j->views && j->gradients && j->image_gradient && j->gradient ? status : CP_ERESOURCE;
}

static void stop(job *j)
{
    float *const rooms[] = {j->seed, j->views, j->gradients, j->image_gradient, j->gradient};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        cp_free(rooms[i]);
    cp_adam_free(&j->adam);
    cp_path_free(j->opened);
    cp_parameters_free(j->parameters);
    cp_frame_free(j->frame);
}

static double rising(const double tenth[TENTHS], const int count[TENTHS])
{
    int up = 0, steps = 0;
    for (int i = 1; i < TENTHS; i++)
        if (count[i] && count[i - 1]) {
            up += tenth[i] / count[i] > tenth[i - 1] / count[i - 1];
            steps++;
        }
    return steps ? (double)up / steps : NAN;
}

cp_status cp_decode_image(const cp_model *model, const cp_objective *objective, const cp_decode_options *options,
                          float *image, float *transparency, cp_decode_report *report)
{
    job j;
    cp_decode_report made = {.first = NAN, .last = NAN};
    double tenth[TENTHS] = {0};
    int count[TENTHS] = {0}, iters = options->settings.iters;
    cp_status status = start(model, objective, options, &j);
    const float *now = status ? NULL : cp_parameters_image(j.parameters);
    if (!status)
        status = measure_image(&j, now, &made.first);
    j.scale = fabs(made.first) > 1 ? fabs(made.first) : 1;
    if (transparency)
        memset(transparency, 0, j.h * j.w * sizeof *transparency);
    for (int step = 0; step < iters && !status; step++) {
        double value = 0;
        status = ascend(&j, now, &value);
        if (status)
            break;
        if (!isfinite(value))
            status = cp_fail(CP_EINPUT, "decode: after %d steps the response is %f; allowed is a finite number", step, value);
        tenth[(long)step * TENTHS / iters] += value;
        count[(long)step * TENTHS / iters]++;
        add_transparency(&j, transparency);
        stay_near(&j, now);
        cp_parameters_gradient(j.parameters, j.image_gradient, j.gradient);
        cp_adam_step(&j.adam, j.gradient, options->settings.rate, options->settings.parameterisation == CP_PARAMETERS_MACO,
                     cp_parameters_values(j.parameters));
        now = cp_parameters_image(j.parameters);
        if (!status && options->shown)
            status = options->shown(options->user, step + 1, now);
        if (!status && options->run.progress)
            options->run.progress(options->run.user, (double)(step + 1) / iters);
    }
    if (!status)
        status = measure_image(&j, now, &made.last);
    if (!status)
        memcpy(image, now, j.size * sizeof *image);
    made.rising = rising(tenth, count);
    if (report)
        *report = made;
    stop(&j);
    return status;
}
