/* What becomes of the maps when layers get random weights, when another class is asked about, and when the photo is
 * shifted together with the network. */
#include <math.h>
#include <string.h>

#include "cli/sanity.h"
#include "io/error.h"
#include "io/file.h"
#include "io/progress.h"
#include "io/random.h"

enum { LEAST_SIDE = 5, LEAST_CELL = 8 };
static const double NOISE = .1; /* of smooth MPRT, standard deviation; the input's range is [0,1] */

typedef struct {
    cp_sanity *sanity;
    cp_variant *variant;
    float *maps; /* (maps,h,w) */
    bool *made;
    float *input; /* (c,h,w): shifted */
    cp_progress *progress;
} job;

cp_sanity_value *cp_sanity_at(const cp_sanity *s, int stage, int map, size_t subject)
{
    return &s->value[((size_t)stage * (size_t)s->plan.n_maps + (size_t)map) * s->n + subject];
}

bool cp_sanity_reads(const cp_sanity *s, const cp_response *response, int layer)
{
    const cp_model *model = s->session->model;
    for (int u = 0; u < response->n; u++) {
        int own = cp_model_layer(model, response->unit[u].layer)->value;
        if (own == layer || cp_model_depends(model, own, layer))
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- maps */

/* Adds the maps of what the frame holds. One that cannot be made, as of a network without any active neuron, is left
 * out. */
static cp_status add_maps(cp_eval_maker *maker, const cp_eval_plan *plan, double weight, float *one, float *maps,
                          bool *made)
{
    size_t plane = maker->session->h * maker->session->w;
    cp_status status = CP_OK;
    cp_eval_maker_renew(maker);
    for (int i = 0; i < plan->n_maps && !status; i++) {
        if (plan->map[i].method->needs_box && !maker->call.box)
            made[i] = false;
        if (!made[i])
            continue;
        status = cp_eval_make_map(maker, &plan->map[i], one, NULL);
        for (size_t p = 0; p < plane && !status; p++)
            maps[(size_t)i * plane + p] += (float)(weight * one[p]);
        if (status == CP_EINPUT) {
            made[i] = false;
            status = CP_OK;
        }
    }
    return status;
}

static void add_noise(const float *photo, size_t n, uint64_t *state, float *input)
{
    for (size_t i = 0; i < n; i += 2) {
        float pair[2];
        cp_random_normal(state, pair);
        for (size_t k = i; k < n && k < i + 2; k++)
            input[k] = photo[k] + (float)NOISE * pair[k - i];
    }
}

/* The plain map, or (smooth MPRT) the mean over noisy copies, with the same noise in every network. */
static cp_status run_copies(const cp_sanity *s, cp_frame *frame, cp_eval_maker *maker, const float *photo, float *noisy,
                            float *one, float *maps, bool *made)
{
    int copies = s->session->options->noisy;
    size_t floats = s->session->c * s->session->h * s->session->w;
    uint64_t state = maker->call.seed;
    cp_status status = CP_OK;
    for (int k = 0; k < (copies ? copies : 1) && !status; k++) {
        if (copies)
            add_noise(photo, floats, &state, noisy);
        status = cp_frame_forward(frame, copies ? noisy : photo, 1, NULL);
        if (!status)
            status = add_maps(maker, &s->plan, copies ? 1. / copies : 1, one, maps, made);
    }
    return status;
}

cp_status cp_sanity_make_maps(const cp_sanity *s, cp_frame *frame, const cp_sanity_subject *subject, const float *input,
                              const cp_sanity_subject *other, float *maps, bool *made)
{
    cp_session twin = *s->session; /* the maker reads shapes and options of it, and the frame's model */
    size_t plane = twin.h * twin.w, n_maps = (size_t)s->plan.n_maps;
    const cp_sanity_subject *asked = other ? other : subject;
    const cp_eval_target target = {asked->class_id, asked->detected ? &asked->detection : NULL, subject->placement};
    const cp_attribution_call call = {.frame = frame,
                                      .response = &asked->response,
                                      .target = &target,
                                      .box = subject->detected ? &subject->box : NULL,
                                      .layer = twin.options->layer,
                                      .seed = subject->seed,
                                      .run = {.memory = twin.options->mem}};
    cp_eval_maker maker;
    twin.model = (cp_model *)cp_frame_model(frame);
    memset(maps, 0, n_maps * plane * sizeof *maps);
    for (size_t i = 0; i < n_maps; i++)
        made[i] = true;
    float *one = cp_alloc(plane, sizeof *one, "map"), *noisy = cp_alloc(twin.c * plane, sizeof *noisy, "network input");
    cp_status status = cp_eval_maker_open(&twin, &call, &maker);
    if (!status && (!one || !noisy))
        status = CP_ERESOURCE;
    if (!status)
        status = run_copies(s, frame, &maker, input, noisy, one, maps, made);
    cp_eval_maker_free(&maker);
    cp_free(one);
    cp_free(noisy);
    return status;
}

/* ---------------------------------------------------------------- comparison */

static bool is_finite_map(const float *map, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(map[i]))
            return false;
    return true;
}

/* original, map: (h,w). */
static cp_status compare_planes(const float *original, const float *map, size_t h, size_t w, bool with_hog,
                                cp_sanity_value *value)
{
    double before, after;
    if (!is_finite_map(original, h * w) || !is_finite_map(map, h * w))
        return CP_OK;
    cp_status status = cp_similarity_of(original, map, h, w, with_hog && h >= LEAST_CELL && w >= LEAST_CELL,
                                        &value->similarity);
    if (!status)
        status = cp_map_entropy(original, h * w, &before);
    if (!status)
        status = cp_map_entropy(map, h * w, &after);
    if (!status && before > 0)
        value->entropy = (after - before) / before;
    return status;
}

/* Within the response's receptive field, or all of a map where that has no window of SSIM. */
static cp_status compare(const cp_sanity *s, const cp_rectangle *field, const float *original, const float *map,
                         cp_sanity_value *value)
{
    const cp_session *session = s->session;
    cp_rectangle all = {0, 0, (int)session->w - 1, (int)session->h - 1};
    bool small = field->x1 - field->x0 + 1 < LEAST_SIDE || field->y1 - field->y0 + 1 < LEAST_SIDE;
    const cp_rectangle *at = small ? &all : field;
    size_t w = (size_t)(at->x1 - at->x0 + 1), h = (size_t)(at->y1 - at->y0 + 1);
    float *part = cp_alloc(h * w, 2 * sizeof *part, "maps");
    if (!part)
        return CP_ERESOURCE;
    for (size_t y = 0; y < h; y++) {
        size_t from = ((size_t)at->y0 + y) * session->w + (size_t)at->x0;
        memcpy(part + y * w, original + from, w * sizeof *part);
        memcpy(part + (h + y) * w, map + from, w * sizeof *part);
    }
    cp_status status = compare_planes(part, part + h * w, h, w, session->options->hog, value);
    cp_free(part);
    return status;
}

static cp_status compare_all(const job *j, int stage, size_t subject)
{
    const cp_sanity *s = j->sanity;
    size_t plane = s->session->h * s->session->w;
    const cp_sanity_subject *k = &s->subject[subject];
    cp_status status = CP_OK;
    for (int i = 0; i < s->plan.n_maps && !status; i++)
        if (k->made[i] && j->made[i])
            status = compare(s, &k->field, k->maps + (size_t)i * plane, j->maps + (size_t)i * plane,
                             cp_sanity_at(s, stage, i, subject));
    return status;
}

/* ---------------------------------------------------------------- stages */

/* "layer 12, photo.jpg" */
static void say(const job *j, int stage, size_t subject)
{
    const cp_sanity_stage *at = &j->sanity->stage[stage];
    const char *path = j->sanity->subject[subject].path;
    char text[160], layer[24];
    snprintf(layer, sizeof layer, "layer %d", at->layer);
    snprintf(text, sizeof text, "%s, %.100s",
             at->test == CP_SANITY_CLASS   ? "other class"
             : at->test == CP_SANITY_SHIFT ? "shifted input"
             : at->layer < 0               ? "all layers"
                                           : layer,
             cp_file_name(path));
    cp_progress_say(j->progress, text);
}

static void finish(const job *j) { cp_progress_add(j->progress, 1); }

/* Where the response reads none of the layers that are random its map is the same, which says nothing of the map. */
static bool is_concerned(const cp_sanity *s, int stage, size_t subject)
{
    const cp_sanity_stage *at = &s->stage[stage];
    for (int i = 0; i < at->n_random; i++)
        if (cp_sanity_reads(s, &s->subject[subject].response, at->random[i]))
            return true;
    return false;
}

static cp_status measure_subjects(job *j, int stage, cp_frame *frame)
{
    const cp_sanity *s = j->sanity;
    cp_status status = CP_OK;
    for (size_t i = 0; i < s->n && !status; i++, finish(j)) {
        if (!is_concerned(s, stage, i))
            continue;
        say(j, stage, i);
        status = cp_sanity_make_maps(s, frame, &s->subject[i], s->subject[i].input, NULL, j->maps, j->made);
        if (!status)
            status = compare_all(j, stage, i);
    }
    return status;
}

static cp_status measure_random(job *j, int stage)
{
    const cp_sanity_stage *at = &j->sanity->stage[stage];
    const cp_options *o = j->sanity->session->options;
    cp_frame *frame = NULL;
    cp_draw draw = o->initialiser == CP_INITIALISER_DARKNET ? CP_DRAW_DARKNET : CP_DRAW_NORMAL;
    cp_status status = cp_variant_randomise(j->variant, at->random, at->n_random, draw, (uint64_t)o->seed + 1);
    if (!status)
        status = cp_frame_create(cp_variant_model(j->variant), 1, &frame);
    if (!status)
        status = measure_subjects(j, stage, frame);
    cp_frame_free(frame);
    return status;
}

/* The same box, of a detector, but another class. */
static cp_status choose_other(const cp_sanity *s, const cp_sanity_subject *subject, cp_sanity_subject *other)
{
    const cp_model *model = s->session->model;
    int classes = cp_model_classes(model);
    uint64_t state = subject->seed;
    *other = *subject;
    other->class_id = (int)((uint64_t)(subject->class_id + 1) + cp_random_below(&state, (uint64_t)(classes - 1))) %
                      classes;
    other->detection.class_id = other->class_id;
    return other->detected ? cp_response_detection(model, &other->detection, CP_TARGET_CLASS, &other->response)
                           : cp_response_class(model, other->class_id, &other->response);
}

static cp_status measure_class(job *j, int stage)
{
    const cp_sanity *s = j->sanity;
    cp_status status = CP_OK;
    for (size_t i = 0; i < s->n && !status; i++) {
        cp_sanity_subject other;
        say(j, stage, i);
        status = choose_other(s, &s->subject[i], &other);
        if (!status)
            status = cp_sanity_make_maps(s, s->session->frame, &s->subject[i], s->subject[i].input, &other, j->maps,
                                         j->made);
        if (!status)
            status = compare_all(j, stage, i);
        finish(j);
    }
    return status;
}

/* The photo less its mean colour, by the network whose first layer expects that. */
static cp_status shift_subject(job *j, int stage, size_t subject)
{
    const cp_sanity *s = j->sanity;
    const cp_sanity_subject *k = &s->subject[subject];
    size_t plane = s->session->h * s->session->w, floats = s->session->c * plane;
    double before = cp_frame_response(s->session->frame, 0, &k->response);
    float *shift = cp_alloc(s->session->c, sizeof *shift, "shift");
    cp_frame *frame = NULL;
    cp_status status = shift ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < floats && !status; i++)
        shift[i / plane] -= k->input[i] / (float)plane;
    for (size_t i = 0; i < floats && !status; i++)
        j->input[i] = k->input[i] + shift[i / plane];
    if (!status)
        status = cp_variant_shift(j->variant, shift);
    if (!status)
        status = cp_frame_create(cp_variant_model(j->variant), 1, &frame);
    if (!status)
        status = cp_frame_forward(s->session->frame, k->input, 1, NULL);
    if (!status)
        before = cp_frame_response(s->session->frame, 0, &k->response);
    if (!status)
        status = cp_frame_forward(frame, j->input, 1, NULL);
    if (!status)
        s->drift[subject] = fabs(cp_frame_response(frame, 0, &k->response) - before) / fmax(fabs(before), 1e-9);
    if (!status)
        status = cp_sanity_make_maps(s, frame, k, j->input, NULL, j->maps, j->made);
    if (!status)
        status = compare_all(j, stage, subject);
    cp_frame_free(frame);
    cp_free(shift);
    return status;
}

/* A network whose first layer cannot take up a shift has no such test. */
static cp_status measure_shift(job *j, int stage)
{
    cp_status status = CP_OK;
    for (size_t i = 0; i < j->sanity->n && !status; i++, finish(j)) {
        say(j, stage, i);
        status = shift_subject(j, stage, i);
    }
    if (status != CP_EINPUT)
        return status;
    cp_note(j->sanity->session, "sanity: no shifted input: %s", cp_error());
    return CP_OK;
}

/* ---------------------------------------------------------------- originals */

/* Also what the response gains from black to the photo. */
static cp_status make_originals(job *j)
{
    const cp_sanity *s = j->sanity;
    cp_frame *frame = s->session->frame;
    size_t floats = s->session->c * s->session->h * s->session->w;
    cp_status status = CP_OK;
    memset(j->input, 0, floats * sizeof *j->input);
    for (size_t i = 0; i < s->n && !status; i++) {
        cp_sanity_subject *k = &s->subject[i];
        status = cp_frame_forward(frame, j->input, 1, NULL);
        double black = status ? NAN : cp_frame_response(frame, 0, &k->response);
        if (!status)
            status = cp_frame_forward(frame, k->input, 1, NULL);
        if (!status)
            k->gain = cp_frame_response(frame, 0, &k->response) - black;
        if (!status)
            status = cp_sanity_make_maps(s, frame, k, k->input, NULL, k->maps, k->made);
        finish(j);
    }
    return status;
}

static cp_status measure_stages(job *j)
{
    const cp_sanity *s = j->sanity;
    cp_status status = CP_OK;
    for (int i = 0; i < s->n_stages && !status; i++) {
        switch (s->stage[i].test) {
        case CP_SANITY_RANDOM: status = measure_random(j, i); break;
        case CP_SANITY_CLASS: status = measure_class(j, i); break;
        case CP_SANITY_SHIFT: status = measure_shift(j, i); break;
        }
    }
    return status;
}

cp_status cp_sanity_measure(cp_sanity *s)
{
    const cp_session *session = s->session;
    job j = {.sanity = s};
    size_t maps = (size_t)s->plan.n_maps, plane = session->h * session->w;
    size_t values = (size_t)s->n_stages * maps * s->n;
    s->value = cp_alloc(values, sizeof *s->value, "results");
    s->drift = cp_alloc(s->n, sizeof *s->drift, "results");
    j.maps = cp_alloc(maps * plane, sizeof *j.maps, "maps");
    j.made = cp_alloc(maps, sizeof *j.made, "maps");
    j.input = cp_alloc(session->c * plane, sizeof *j.input, "network input");
    cp_status status = s->value && s->drift && j.maps && j.made && j.input ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < values && !status; i++)
        s->value[i] = (cp_sanity_value){{NAN, NAN, NAN, NAN}, NAN};
    for (size_t i = 0; i < s->n && !status; i++)
        s->drift[i] = NAN;
    if (!status)
        status = cp_variant_open(session->cfg_path, session->weights_path, &j.variant);
    j.progress = cp_progress_start("sanity", (double)(s->n_stages + 1) * (double)s->n, session->options->quiet);
    if (!status)
        status = make_originals(&j);
    if (!status)
        status = measure_stages(&j);
    cp_progress_end(&j.progress);
    cp_variant_free(j.variant);
    cp_free(j.maps);
    cp_free(j.made);
    cp_free(j.input);
    return status;
}
