/* The maps that `eval` measures, made as the plan has them, and how much they change when the photo hardly does. */
#include <math.h>
#include <string.h>

#include "cli/eval.h"
#include "io/error.h"
#include "io/random.h"

enum { NEIGHBOURS = 10 };
static const double RADIUS = .02; /* of an input in [0,1] */

cp_map_box cp_eval_box_in_input(const cp_placement *at, double x, double y, double w, double h)
{
    double sx = (double)at->w / (double)at->photo_w, sy = (double)at->h / (double)at->photo_h;
    return (cp_map_box){(double)at->x + x * sx, (double)at->y + y * sy, w * sx, h * sy};
}

cp_map_box cp_eval_box(const cp_session *s, const cp_item *item, const cp_detection *detection)
{
    double x, y, w, h;
    cp_detection_rectangle(s, item, detection, &x, &y, &w, &h);
    return cp_eval_box_in_input(&item->placement, x, y, w, h);
}

cp_status cp_eval_maker_open(cp_session *s, const cp_attribution_call *call, cp_eval_maker *maker)
{
    size_t n = cp_model_neuron_count(s->model);
    *maker = (cp_eval_maker){.session = s, .call = *call};
    maker->signed_score = cp_alloc(n, sizeof *maker->signed_score, "scores");
    maker->score = cp_alloc(n, sizeof *maker->score, "scores");
    if (!maker->signed_score || !maker->score)
        return CP_ERESOURCE;
    maker->call.score = maker->signed_score;
    cp_status status = cp_path_create(s->model, &maker->path);
    maker->call.path = maker->path;
    return status;
}

void cp_eval_maker_free(cp_eval_maker *maker)
{
    cp_path_free(maker->path);
    cp_free(maker->signed_score);
    cp_free(maker->score);
    *maker = (cp_eval_maker){0};
}

cp_status cp_eval_maker_score(cp_eval_maker *maker)
{
    size_t n = cp_model_neuron_count(maker->session->model);
    double began = cp_seconds();
    cp_status status = cp_score_mct(maker->call.frame, maker->call.image, maker->call.response, true, maker->signed_score);
    for (size_t i = 0; i < n && !status; i++)
        maker->score[i] = fabsf(maker->signed_score[i]);
    maker->scoring = cp_seconds() - began;
    return status;
}

static cp_status select_path(cp_eval_maker *maker, const cp_eval_map *which)
{
    cp_selection selection;
    if (isnan(which->sparsity))
        return cp_path_select_mass(maker->path, maker->score, maker->session->options->mass, 0, &selection);
    return cp_path_select(maker->path, maker->score, which->sparsity, 0, &selection);
}

cp_status cp_eval_make_map(cp_eval_maker *maker, const cp_eval_map *which, float *map, double *seconds)
{
    const cp_session *s = maker->session;
    double began = cp_seconds();
    cp_status status = which->method->reads_path ? select_path(maker, which) : CP_OK;
    if (!status)
        status = which->method->run(&maker->call, map);
    for (size_t i = 0; i < s->h * s->w && !status && which->method->magnitude && !which->keeps_sign; i++)
        map[i] = fabsf(map[i]);
    if (seconds)
        *seconds = cp_seconds() - began + (which->method->reads_path ? maker->scoring : 0);
    if (!status && which->blur > 0)
        status = cp_eval_smooth(map, s->w, &maker->call.target->placement, which->blur);
    return status ? cp_fail_prefix(status, "%s", which->name) : CP_OK;
}

/* ---------------------------------------------------------------- sensitivity */

static bool can_make(const cp_eval_maker *maker, const cp_eval_map *which)
{
    return !which->method->needs_box || maker->call.box;
}

/* The input of the photo and, around it, a draw. */
static void draw_neighbour(const cp_session *s, const float *photo, uint64_t *state, float *input)
{
    for (size_t i = 0; i < s->c * s->h * s->w; i++)
        input[i] = photo[i] + (float)(RADIUS * (2 * cp_random_uniform(state) - 1));
}

static double relative_change(const float *map, const float *original, size_t n)
{
    double change = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)map[i] - original[i];
        change += d * d;
        size += (double)original[i] * original[i];
    }
    return size > 0 ? sqrt(change / size) : NAN;
}

/* Every map of what the maker's frame holds. */
static cp_status make_all(cp_eval_maker *maker, const cp_eval_plan *plan, float *maps)
{
    size_t plane = maker->session->h * maker->session->w;
    cp_status status = cp_eval_maker_score(maker);
    for (int i = 0; i < plan->n_maps && !status; i++)
        if (can_make(maker, &plan->map[i]))
            status = cp_eval_make_map(maker, &plan->map[i], maps + (size_t)i * plane, NULL);
    return status;
}

static cp_status follow_neighbours(cp_eval_maker *maker, const cp_eval_plan *plan, const float *photo, float *maps,
                                   float *input, float *others, double *sensitivity)
{
    size_t plane = maker->session->h * maker->session->w;
    uint64_t state = maker->call.seed;
    cp_status status = CP_OK;
    for (int i = 0; i < plan->n_maps; i++)
        sensitivity[i] = can_make(maker, &plan->map[i]) ? 0 : NAN;
    for (int k = 0; k < NEIGHBOURS && !status; k++) {
        draw_neighbour(maker->session, photo, &state, input);
        status = cp_frame_forward(maker->call.frame, input, 1, NULL);
        if (!status)
            status = make_all(maker, plan, others);
        for (int i = 0; i < plan->n_maps && !status; i++) {
            size_t at = (size_t)i * plane;
            double change = relative_change(others + at, maps + at, plane);
            if (!isnan(sensitivity[i]) && !(change <= sensitivity[i])) /* a zero map's NAN stays */
                sensitivity[i] = change;
        }
    }
    return status;
}

cp_status cp_eval_sensitivity(const cp_eval_maker *original, const cp_eval_plan *plan, double *sensitivity)
{
    const cp_session *s = original->session;
    size_t plane = s->h * s->w, all = (size_t)plan->n_maps * plane;
    cp_eval_maker maker;
    cp_frame *frame = NULL;
    cp_attribution_call call = original->call;
    const float *photo = cp_frame_output(call.frame, -1, call.image);
    cp_status status = cp_frame_create(s->model, 1, &frame);
    call.frame = frame;
    call.image = 0;
    float *maps = cp_alloc(all, sizeof *maps, "maps"), *others = cp_alloc(all, sizeof *others, "maps");
    float *input = cp_alloc(s->c * plane, sizeof *input, "input");
    cp_status opened = cp_eval_maker_open(original->session, &call, &maker);
    if (!status && (!maps || !others || !input || opened))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_frame_forward(frame, photo, 1, NULL);
    if (!status)
        status = make_all(&maker, plan, maps);
    if (!status)
        status = follow_neighbours(&maker, plan, photo, maps, input, others, sensitivity);
    cp_eval_maker_free(&maker);
    cp_frame_free(frame);
    cp_free(maps);
    cp_free(others);
    cp_free(input);
    return status;
}
