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
    *maker = (cp_eval_maker){.session = s, .call = *call};
    cp_status status = cp_path_create(s->model, &maker->path);
    maker->call.path = maker->path;
    return status;
}

void cp_eval_maker_free(cp_eval_maker *maker)
{
    cp_path_free(maker->path);
    for (int i = 0; i < maker->n_scores; i++) {
        cp_free(maker->scores[i].signed_score);
        cp_free(maker->scores[i].score);
    }
    *maker = (cp_eval_maker){0};
}

void cp_eval_maker_renew(cp_eval_maker *maker)
{
    for (int i = 0; i < maker->n_scores; i++)
        maker->scores[i].current = false;
}

static cp_eval_scores *find_scores(cp_eval_maker *maker, const cp_method *method)
{
    for (int i = 0; i < maker->n_scores; i++)
        if (maker->scores[i].method == method)
            return &maker->scores[i];
    if (maker->n_scores == CP_EVAL_MAPS)
        return NULL;
    maker->scores[maker->n_scores] = (cp_eval_scores){.method = method};
    return &maker->scores[maker->n_scores++];
}

/* A method reads image 0 of a session's frame; the maker's frame may be of another network or input than the session's. */
static cp_status run_method(const cp_eval_maker *maker, cp_eval_scores *scores)
{
    cp_session twin = *maker->session;
    cp_scoring scoring;
    double began = cp_seconds();
    size_t n = cp_model_neuron_count(twin.model);
    twin.frame = maker->call.frame;
    twin.model = (cp_model *)cp_frame_model(twin.frame);
    twin.input = (float *)cp_frame_output(twin.frame, -1, 0);
    twin.list = true; /* no line of progress beside the list's */
    cp_status status = cp_method_signed_score(&twin, scores->method, maker->call.response, scores->signed_score, &scoring);
    scores->least_share = scoring.least_share;
    cp_scoring_free(&scoring);
    for (size_t i = 0; i < n && !status; i++)
        scores->score[i] = scores->method->contributes ? fabsf(scores->signed_score[i]) : scores->signed_score[i];
    scores->seconds = cp_seconds() - began;
    scores->current = !status;
    return status;
}

cp_status cp_eval_maker_score(cp_eval_maker *maker, const cp_method *method, const cp_eval_scores **scores)
{
    size_t n = cp_model_neuron_count(maker->session->model);
    cp_eval_scores *found = find_scores(maker, method);
    if (!found)
        return cp_fail(CP_EINTERNAL, "scores of more than %d methods", CP_EVAL_MAPS);
    if (!found->signed_score && !(found->signed_score = cp_alloc(n, sizeof *found->signed_score, "scores")))
        return CP_ERESOURCE;
    if (!found->score && !(found->score = cp_alloc(n, sizeof *found->score, "scores")))
        return CP_ERESOURCE;
    *scores = found;
    return found->current ? CP_OK : run_method(maker, found);
}

/* Scores that only order the neurons are no contributions, and their sum is no mass. */
static cp_status select_path(cp_eval_maker *maker, const cp_eval_map *which, const cp_eval_scores *scores)
{
    cp_selection selection;
    double sparsity = which->sparsity;
    if (isnan(sparsity) && scores->method->contributes)
        return cp_path_select_mass(maker->path, scores->score, maker->session->options->mass, 0, &selection);
    if (isnan(sparsity))
        sparsity = CP_DEFAULT_SPARSITY;
    return cp_path_select(maker->path, scores->score, fmin(sparsity, 1 - scores->least_share), 0, &selection);
}

static cp_status find_path(cp_eval_maker *maker, const cp_eval_map *which, double *seconds)
{
    const cp_eval_scores *scores;
    cp_status status = cp_eval_maker_score(maker, which->scores, &scores);
    if (status)
        return status;
    *seconds = scores->seconds;
    maker->call.score = scores->method->contributes ? scores->signed_score : NULL;
    return select_path(maker, which, scores);
}

cp_status cp_eval_make_map(cp_eval_maker *maker, const cp_eval_map *which, float *map, double *seconds)
{
    const cp_session *s = maker->session;
    double scoring = 0;
    cp_status status = which->scores ? find_path(maker, which, &scoring) : CP_OK;
    double began = cp_seconds();
    if (!status)
        status = which->method->run(&maker->call, map);
    for (size_t i = 0; i < s->h * s->w && !status && which->method->magnitude && !which->keeps_sign; i++)
        map[i] = fabsf(map[i]);
    if (seconds)
        *seconds = cp_seconds() - began + scoring;
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
    cp_status status = CP_OK;
    cp_eval_maker_renew(maker);
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
    call.run.progress = NULL;
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
