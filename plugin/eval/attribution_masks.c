/* Maps that only ask the network, again and again, what it answers when parts of the photo are hidden. */
#include <math.h>
#include <string.h>

#include "engine/memory.h"
#include "eval/attribution.h"
#include "io/error.h"
#include "io/random.h"

enum { BATCH = 8, MASKS = 500, GRID = 16, SQUARES = 12 };
static const float GREY = .5f;
static const double KEPT = .5; /* probability that a cell of RISE's grid is shown */

typedef struct {
    const cp_attribution_call *call;
    const cp_model *model;
    size_t c, h, w;
    float *mask;       /* (batch,h,w): 1 shown, 0 hidden */
    double *sum, *weight; /* (h,w) */
} job;

/* Writes mask k. */
typedef void (*mask_maker)(const job *j, int k, float *mask);
/* Adds what the network answered behind the mask. */
typedef void (*gatherer)(job *j, const float *mask, double probability);

static void hide(const job *j, const float *mask, float fill, float *input)
{
    size_t plane = j->h * j->w;
    const float *photo = cp_frame_output(j->call->frame, -1, j->call->image);
    for (size_t i = 0; i < j->c * plane; i++)
        input[i] = photo[i] * mask[i % plane] + fill * (1 - mask[i % plane]);
}

static cp_status run_masks(job *j, int n, float fill, mask_maker make, gatherer gather)
{
    size_t plane = j->h * j->w, floats = j->c * plane;
    int batch, wanted = cp_most_entries(NULL, BATCH);
    cp_frame *frame = NULL;
    cp_status status =
        cp_frame_create_fitting(j->model, n < wanted ? n : wanted, false, j->call->run.memory, &batch, &frame);
    float *inputs = cp_alloc((size_t)batch * floats, sizeof *inputs, "masked photos");
    j->mask = cp_alloc((size_t)batch * plane, sizeof *j->mask, "masks");
    if (!status && (!inputs || !j->mask))
        status = CP_ERESOURCE;
    for (int first = 0; first < n && !status; first += batch) {
        int some = n - first < batch ? n - first : batch;
        for (int i = 0; i < some; i++) {
            make(j, first + i, j->mask + (size_t)i * plane);
            hide(j, j->mask + (size_t)i * plane, fill, inputs + (size_t)i * floats);
        }
        status = cp_frame_forward(frame, inputs, some, NULL);
        for (int i = 0; i < some && !status; i++) {
            double probability;
            status = cp_eval_probability(frame, i, j->call->target, &probability);
            if (!status)
                gather(j, j->mask + (size_t)i * plane, probability);
        }
        if (!status && j->call->run.progress)
            j->call->run.progress(j->call->run.user, (double)(first + some) / n);
    }
    cp_free(inputs);
    cp_free(j->mask);
    cp_frame_free(frame);
    return status;
}

static cp_status start(const cp_attribution_call *call, job *j)
{
    *j = (job){.call = call, .model = cp_frame_model(call->frame)};
    cp_model_input_shape(j->model, &j->c, &j->h, &j->w);
    j->sum = cp_alloc(j->h * j->w, sizeof *j->sum, "map");
    j->weight = cp_alloc(j->h * j->w, sizeof *j->weight, "map");
    return j->sum && j->weight ? CP_OK : CP_ERESOURCE;
}

static void finish(job *j, cp_status status, float *map)
{
    for (size_t i = 0; i < j->h * j->w && !status; i++)
        map[i] = j->weight[i] > 0 ? (float)(j->sum[i] / j->weight[i]) : 0;
    cp_free(j->sum);
    cp_free(j->weight);
}

/* ---------------------------------------------------------------- occlusion */

/* Squares of a sixth of the photo's side, half a square apart, centred on a grid of SQUARES x SQUARES. */
static void make_square(const job *j, int k, float *mask)
{
    const cp_placement *at = &j->call->target->placement;
    double step_x = (double)at->w / SQUARES, step_y = (double)at->h / SQUARES;
    double x = (double)at->x + (k % SQUARES + .5) * step_x, y = (double)at->y + (k / SQUARES + .5) * step_y;
    for (size_t i = 0; i < j->h * j->w; i++) {
        double u = (double)(i % j->w) + .5 - x, v = (double)(i / j->w) + .5 - y;
        mask[i] = fabs(u) < step_x && fabs(v) < step_y ? 0 : 1;
    }
}

static void gather_hidden(job *j, const float *mask, double probability)
{
    for (size_t i = 0; i < j->h * j->w; i++)
        if (mask[i] < .5f) {
            j->sum[i] -= probability;
            j->weight[i] += 1;
        }
}

cp_status cp_attribute_occlusion(const cp_attribution_call *call, float *map)
{
    job j;
    double whole = 0;
    cp_status status = start(call, &j);
    if (!status)
        status = cp_eval_probability(call->frame, call->image, call->target, &whole);
    if (!status)
        status = run_masks(&j, SQUARES * SQUARES, GREY, make_square, gather_hidden);
    finish(&j, status, map);
    for (size_t i = 0; i < j.h * j.w && !status; i++)
        if (map[i] != 0) /* covered: p(whole) - mean p(hidden) */
            map[i] += (float)whole;
    return status;
}

/* ---------------------------------------------------------------- RISE */

void cp_rise_mask(uint64_t seed, int k, size_t h, size_t w, float *mask)
{
    float cell[(GRID + 1) * (GRID + 1)];
    uint64_t state = seed;
    state = cp_random_next(&state) + (uint64_t)k;
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++)
        cell[i] = cp_random_uniform(&state) < KEPT;
    double step_x = (double)w / GRID, step_y = (double)h / GRID;
    double shift_x = (double)cp_random_below(&state, 1024) / 1024, shift_y = (double)cp_random_below(&state, 1024) / 1024;
    for (size_t y = 0; y < h; y++) {
        double v = fmin(((double)y + .5) / step_y + shift_y - .5, GRID - 1e-6);
        size_t row = v > 0 ? (size_t)v : 0;
        float fy = v > 0 ? (float)(v - (double)row) : 0;
        for (size_t x = 0; x < w; x++) {
            double u = fmin(((double)x + .5) / step_x + shift_x - .5, GRID - 1e-6);
            size_t column = u > 0 ? (size_t)u : 0;
            float fx = u > 0 ? (float)(u - (double)column) : 0;
            const float *at = cell + row * (GRID + 1) + column;
            mask[y * w + x] = (at[0] * (1 - fx) + at[1] * fx) * (1 - fy) +
                                 (at[GRID + 1] * (1 - fx) + at[GRID + 2] * fx) * fy;
        }
    }
}

static void make_grid(const job *j, int k, float *mask) { cp_rise_mask(j->call->seed, k, j->h, j->w, mask); }

static void gather_shown(job *j, const float *mask, double probability)
{
    for (size_t i = 0; i < j->h * j->w; i++) {
        j->sum[i] += mask[i] * probability;
        j->weight[i] += mask[i];
    }
}

cp_status cp_attribute_rise(const cp_attribution_call *call, float *map)
{
    job j;
    cp_status status = start(call, &j);
    if (!status)
        status = run_masks(&j, call->samples > 0 ? call->samples : MASKS, 0, make_grid, gather_shown);
    finish(&j, status, map);
    return status;
}
