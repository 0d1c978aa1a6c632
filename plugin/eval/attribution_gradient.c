/* Maps from gradients at the input. */
#include <math.h>
#include <string.h>

#include "engine/memory.h"
#include "eval/attribution.h"
#include "io/error.h"
#include "io/random.h"

enum { ALPHAS = 50, NOISY_COPIES = 50, BATCH = 8 };
static const double NOISE = .15; /* SmoothGrad's sigma, as a share of the range of the input, which is [0,1] */

typedef struct {
    const cp_model *model;
    size_t c, h, w, floats;
} shape;

static shape shape_of(const cp_attribution_call *call)
{
    shape s = {.model = cp_frame_model(call->frame)};
    cp_model_input_shape(s.model, &s.c, &s.h, &s.w);
    s.floats = s.c * s.h * s.w;
    return s;
}

/* The map (c,h,w) of a path, or of none, as one plane. */
static cp_status one_map(const cp_attribution_call *call, const cp_path *path, bool zeroed, float *map)
{
    shape s = shape_of(call);
    float *full = cp_alloc(s.floats, sizeof *full, "map");
    if (!full)
        return CP_ERESOURCE;
    cp_status status = zeroed ? cp_map_zeroed(s.model, cp_frame_output(call->frame, -1, call->image), call->response, &path,
                                              1, full, NULL)
                              : cp_map_frozen(call->frame, call->image, call->response, &path, 1, full);
    if (!status)
        cp_map_reduce(full, s.c, s.h, s.w, map);
    cp_free(full);
    return status;
}

cp_status cp_attribute_pathway(const cp_attribution_call *call, float *map)
{
    return one_map(call, call->path, false, map);
}

cp_status cp_attribute_pathway_zeroed(const cp_attribution_call *call, float *map)
{
    return one_map(call, call->path, true, map);
}

cp_status cp_attribute_gradient(const cp_attribution_call *call, float *map) { return one_map(call, NULL, false, map); }

cp_status cp_attribute_guided(const cp_attribution_call *call, float *map)
{
    shape s = shape_of(call);
    const cp_entry entry = {.image = call->image, .response = call->response, .guided = true};
    float *full = cp_alloc(s.floats, sizeof *full, "map");
    if (!full)
        return CP_ERESOURCE;
    cp_status status = cp_frame_backward(call->frame, &entry, 1, NULL, full);
    if (!status)
        cp_map_reduce(full, s.c, s.h, s.w, map);
    cp_free(full);
    return status;
}

/* map = sum over channels of weight * gradient. */
static void sum_channels(const shape *s, const float *weight, const float *gradient, float *map)
{
    size_t plane = s->h * s->w;
    memset(map, 0, plane * sizeof *map);
    for (size_t i = 0; i < s->floats; i++)
        map[i % plane] += weight[i] * gradient[i];
}

cp_status cp_attribute_input_gradient(const cp_attribution_call *call, float *map)
{
    shape s = shape_of(call);
    const cp_path *none = NULL;
    float *gradient = cp_alloc(s.floats, sizeof *gradient, "map");
    if (!gradient)
        return CP_ERESOURCE;
    cp_status status = cp_map_frozen(call->frame, call->image, call->response, &none, 1, gradient);
    if (!status)
        sum_channels(&s, cp_frame_output(call->frame, -1, call->image), gradient, map);
    cp_free(gradient);
    return status;
}

/* ---------------------------------------------------------------- means over changed inputs */

/* Writes the input of sample k. */
typedef void (*cp_sampler)(const cp_attribution_call *call, const shape *s, int k, int n, float *input);

static cp_status run_samples(const cp_attribution_call *call, const shape *s, int n, cp_sampler sampler, cp_frame *frame,
                             int batch, float *inputs, float *gradients, double *sum)
{
    cp_status status = CP_OK;
    for (int first = 0; first < n && !status; first += batch) {
        int some = n - first < batch ? n - first : batch;
        cp_entry entries[CP_DEVICE_BATCH] = {{0}};
        for (int i = 0; i < some; i++) {
            sampler(call, s, first + i, n, inputs + (size_t)i * s->floats);
            entries[i] = (cp_entry){.image = i, .response = call->response};
        }
        status = cp_frame_forward(frame, inputs, some, NULL);
        if (!status)
            status = cp_frame_backward(frame, entries, some, NULL, gradients);
        for (size_t i = 0; i < (size_t)some * s->floats && !status; i++)
            sum[i % s->floats] += gradients[i];
        if (!status && call->run.progress)
            call->run.progress(call->run.user, (double)(first + some) / n);
    }
    return status;
}

/* mean (c,h,w): of the gradients at n inputs. */
static cp_status mean_gradient(const cp_attribution_call *call, const shape *s, int n, cp_sampler sampler, float *mean)
{
    cp_frame *frame = NULL;
    int batch, wanted = cp_most_entries(NULL, BATCH);
    cp_status status = cp_frame_create_fitting(s->model, n < wanted ? n : wanted, true, call->run.memory, &batch, &frame);
    float *inputs = cp_alloc((size_t)batch * s->floats, sizeof *inputs, "inputs");
    float *gradients = cp_alloc((size_t)batch * s->floats, sizeof *gradients, "gradients");
    double *sum = cp_alloc(s->floats, sizeof *sum, "gradients");
    if (!status && (!inputs || !gradients || !sum))
        status = CP_ERESOURCE;
    if (!status)
        status = run_samples(call, s, n, sampler, frame, batch, inputs, gradients, sum);
    for (size_t i = 0; i < s->floats && !status; i++)
        mean[i] = (float)(sum[i] / n);
    cp_frame_free(frame);
    cp_free(inputs);
    cp_free(gradients);
    cp_free(sum);
    return status;
}

/* Midpoints of the way from the baseline. */
static void along_the_way(const cp_attribution_call *call, const shape *s, int k, int n, float *input)
{
    const float *photo = cp_frame_output(call->frame, -1, call->image);
    float alpha = ((float)k + .5f) / (float)n;
    for (size_t i = 0; i < s->floats; i++)
        input[i] = call->baseline ? call->baseline[i] + alpha * (photo[i] - call->baseline[i]) : alpha * photo[i];
}

cp_status cp_attribute_integrated(const cp_attribution_call *call, float *map)
{
    shape s = shape_of(call);
    float *mean = cp_alloc(s.floats, sizeof *mean, "map");
    if (!mean)
        return CP_ERESOURCE;
    const float *photo = cp_frame_output(call->frame, -1, call->image);
    size_t plane = s.h * s.w;
    cp_status status = mean_gradient(call, &s, call->samples > 0 ? call->samples : ALPHAS, along_the_way, mean);
    if (!status)
        sum_channels(&s, photo, mean, map);
    for (size_t i = 0; i < s.floats && !status && call->baseline; i++)
        map[i % plane] -= call->baseline[i] * mean[i];
    cp_free(mean);
    return status;
}

static void with_noise(const cp_attribution_call *call, const shape *s, int k, int n, float *input)
{
    const float *photo = cp_frame_output(call->frame, -1, call->image);
    uint64_t state = call->seed;
    (void)n;
    state = cp_random_next(&state) + (uint64_t)k;
    for (size_t i = 0; i < s->floats; i += 2) {
        float noise[2];
        cp_random_normal(&state, noise);
        input[i] = photo[i] + (float)NOISE * noise[0];
        if (i + 1 < s->floats)
            input[i + 1] = photo[i + 1] + (float)NOISE * noise[1];
    }
}

cp_status cp_attribute_smoothgrad(const cp_attribution_call *call, float *map)
{
    shape s = shape_of(call);
    float *mean = cp_alloc(s.floats, sizeof *mean, "map");
    if (!mean)
        return CP_ERESOURCE;
    cp_status status = mean_gradient(call, &s, call->samples > 0 ? call->samples : NOISY_COPIES, with_noise, mean);
    if (!status)
        cp_map_reduce(mean, s.c, s.h, s.w, map);
    cp_free(mean);
    return status;
}
