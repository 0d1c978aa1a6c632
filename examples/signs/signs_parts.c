/* signs-parts: maps against scenes whose parts are left out exactly, by the protocols of FunnyBirds (docs/methods.md
 * 5.11), and the sticker painted out as the baseline of integrated gradients. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "eval/attribution.h"
#include "eval/paired.h"
#include "eval/parts.h"
#include "map.h"

static const char usage[] =
    "usage: signs-parts CFG WEIGHTS [-options]\n"
    "Leaves parts of signs out of drawn scenes, and prints, as Markdown, how well each map knows which parts the detector needs.\n"
    "  -n N           true positives to study [50]\n"
    "  -methods M,... maps, as `critpath eval` names them [all but occlusion and rise]\n"
    "  -stickers K    none | shortcut | probe, as signs-make has them [none]\n"
    "  -sticker S     yes | any: only signs with a visible sticker, or all [any]\n"
    "  -seed N        of the set of scenes [11]\n"
    "  -thresh P      least probability of a detection [.5]\n"
    "example: signs-parts cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights -n 20 -methods contribution,gradient\n";

enum { MAPS = 32, MOST = 1000, LEAST_PART = 12, PARTS = SIGNS_PARTS - 1, NONE = -1 };
enum { BLACK, BARE, BASELINES };

typedef struct {
    const char *cfg, *weights;
    int n;
    bool sticker; /* only signs with one */
    float thresh;
    signs_options scene;
} request;

/* What one map has got. */
typedef struct {
    const cp_attribution *method;
    double deletion[MOST], sensitivity[MOST]; /* by sign; NAN: none */
    double keep[CP_PARTS_THRESHOLDS], remove[CP_PARTS_THRESHOLDS], ignore[CP_PARTS_THRESHOLDS];
    int ignored;
} marks;

typedef struct {
    const request *r;
    cp_model *model;
    cp_frame *frame, *probe; /* of the whole scene; of one with parts left out */
    cp_path *path;
    float *input, *bare, *score, *size, *map;
    uint8_t *part;
    size_t h, w;
    marks *marks;
    int n_marks, studied, scenes;
    double pairs, share[BASELINES], dropped, size_dropped, error; /* counterfactual pairs: how many, and sums */
} study;

/* A true positive. */
typedef struct {
    int sign;
    cp_detection detection;
    cp_response response;
    double value;
} found;

/* ---------------------------------------------------------------- the detector */

static cp_status detect(study *s, cp_frame *frame, const uint8_t *rgb, float *input, cp_detection **detections, int *n)
{
    const int *heads;
    const float *logits[8];
    cp_placement placement;
    int n_heads = cp_model_heads(s->model, &heads);
    if (n_heads > 8)
        return cp_fail(CP_EINPUT, "%s: %d heads, at most 8 are looked at", s->r->cfg, n_heads);
    cp_status status = cp_model_prepare(s->model, rgb, s->w, s->h, true, input, &placement);
    if (status == CP_OK)
        status = cp_frame_forward(frame, input, 1, NULL);
    for (int i = 0; i < n_heads && status == CP_OK; i++)
        logits[i] = cp_frame_output(frame, cp_model_logit_layer(s->model, heads[i]), 0);
    if (status == CP_OK)
        status = cp_model_detect(s->model, logits, s->w, s->h, s->r->thresh, .45f, detections, n);
    return status;
}

/* The most probable detection that overlaps the sign by half. */
static const cp_detection *at_sign(const signs_scene *scene, const signs_sign *sign, const cp_detection *detections,
                                   int n)
{
    const cp_detection *best = NULL;
    double w = scene->width, h = scene->height;
    signs_box a = {sign->x0, sign->y0, sign->x1, sign->y1};
    for (int k = 0; k < n; k++) {
        const cp_detection *d = &detections[k];
        signs_box b = {(d->x - d->w / 2) * w, (d->y - d->h / 2) * h, (d->x + d->w / 2) * w, (d->y + d->h / 2) * h};
        if (signs_box_iou(a, b) >= .5 && (!best || d->probability > best->probability))
            best = d;
    }
    return best;
}

/* The scene without parts of one sign: the class that is seen there now (NONE: none), what is left of a response, and
 * the input. */
static cp_status look_without(study *s, uint64_t index, const signs_scene *whole, int sign, unsigned left_out,
                              const found *f, float *input, int *class, double *value)
{
    signs_options options = s->r->scene;
    signs_scene scene;
    cp_detection *detections = NULL;
    int n = 0;
    options.left_out[sign] = (uint8_t)left_out;
    cp_status status = signs_scene_draw(&scene, &options, index);
    if (status == CP_OK)
        status = detect(s, s->probe, scene.rgb, input, &detections, &n);
    if (status == CP_OK) {
        const cp_detection *d = at_sign(whole, &whole->sign[f->sign], detections, n);
        *class = d ? d->class_id : NONE;
        *value = cp_frame_response(s->probe, 0, &f->response);
    }
    cp_free_detections(detections);
    signs_scene_free(&scene);
    return status;
}

/* ---------------------------------------------------------------- maps */

/* As `eval` reads it, or with every sign kept. */
static cp_status make_map(study *s, const cp_attribution *method, const found *f, const float *baseline,
                          bool keeps_sign, float *map)
{
    const cp_detection *d = &f->detection;
    const cp_eval_target target = {d->class_id, d, {s->w, s->h, 0, 0, s->w, s->h}};
    const cp_map_box box = {(d->x - d->w / 2) * (double)s->w, (d->y - d->h / 2) * (double)s->h, d->w * (double)s->w,
                            d->h * (double)s->h};
    const cp_attribution_call call = {.frame = s->frame,
                                      .response = &f->response,
                                      .target = &target,
                                      .box = &box,
                                      .path = s->path,
                                      .score = s->score,
                                      .layer = -1,
                                      .baseline = baseline,
                                      .seed = s->r->scene.seed};
    size_t neurons = cp_model_neuron_count(s->model);
    cp_selection selection;
    cp_status status = CP_OK;
    if (method->reads_path) {
        status = cp_score_mct(s->frame, 0, &f->response, true, s->score);
        for (size_t i = 0; i < neurons; i++)
            s->size[i] = fabsf(s->score[i]);
        if (status == CP_OK)
            status = cp_path_select_mass(s->path, s->size, CP_MASS, 0, &selection);
    }
    if (status == CP_OK)
        status = method->run(&call, map);
    for (size_t i = 0; i < s->h * s->w && method->magnitude && !keeps_sign; i++)
        map[i] = fabsf(map[i]);
    return status;
}

static double sum_of(const float *map, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += map[i];
    return sum;
}

/* ---------------------------------------------------------------- the protocols */

/* The parts of a sign that can be seen; parts[k] is a signs_part. s->part numbers their pixels from 1, and those of
 * the other signs, each as a whole, behind them. */
static int number_parts(study *s, const signs_scene *scene, int sign, int parts[PARTS])
{
    size_t count[SIGNS_PARTS] = {0}, n = s->h * s->w;
    int number[SIGNS_PARTS] = {0}, shown = 0;
    for (size_t i = 0; i < n; i++)
        if (scene->mask[i] / 8 == sign + 1)
            count[scene->mask[i] % 8]++;
    for (int part = 1; part < SIGNS_PARTS; part++)
        if (count[part] >= LEAST_PART) {
            parts[shown++] = part;
            number[part] = shown;
        }
    for (size_t i = 0; i < n; i++) {
        int owner = scene->mask[i] / 8 - 1;
        s->part[i] = (uint8_t)(owner < 0       ? 0
                               : owner == sign ? number[scene->mask[i] % 8]
                                               : shown + 1 + owner - (owner > sign));
    }
    return shown;
}

typedef struct {
    int n, others, parts[PARTS];
    double drop[PARTS + SIGNS_MAX];
    bool same[1 << PARTS];
    bool has_sticker;
    double bare_drop;
} truth;

static unsigned bits_of(const truth *t, unsigned subset)
{
    unsigned bits = 0;
    for (int k = 0; k < t->n; k++)
        bits |= (subset >> k & 1) << t->parts[k];
    return bits;
}

/* What the detector needs, by leaving it out. */
static cp_status find_truth(study *s, uint64_t index, const signs_scene *scene, const found *f, truth *t)
{
    cp_status status = CP_OK;
    int class;
    double value;
    float *input = cp_alloc(3 * s->h * s->w, sizeof *input, "an input");
    if (!input)
        return CP_ERESOURCE;
    t->n = number_parts(s, scene, f->sign, t->parts);
    t->others = scene->n - 1;
    for (unsigned subset = 0; subset < 1u << t->n && status == CP_OK; subset++) {
        status = look_without(s, index, scene, f->sign, bits_of(t, subset), f, input, &class, &value);
        t->same[subset] = class == f->detection.class_id;
        for (int k = 0; k < t->n; k++)
            if (subset == 1u << k) {
                t->drop[k] = f->value - value;
                t->has_sticker |= t->parts[k] == SIGNS_STICKER;
                if (t->parts[k] == SIGNS_STICKER)
                    memcpy(s->bare, input, 3 * s->h * s->w * sizeof *input);
                if (t->parts[k] == SIGNS_STICKER)
                    t->bare_drop = t->drop[k];
            }
    }
    for (int j = 0; j < t->others && status == CP_OK; j++) {
        status = look_without(s, index, scene, j + (j >= f->sign), 0xff, f, input, &class, &value);
        t->drop[t->n + j] = f->value - value;
    }
    cp_free(input);
    return status;
}

static cp_status judge(study *s, marks *m, const found *f, const truth *t)
{
    double importance[PARTS + SIGNS_MAX];
    cp_parts_scores scores;
    cp_status status = make_map(s, m->method, f, NULL, false, s->map);
    if (status != CP_OK)
        return status;
    cp_parts_importance(s->map, s->part, s->h, s->w, t->n + t->others, importance);
    const cp_parts_case given = {t->n, importance, sum_of(s->map, s->h * s->w), t->drop, f->value, t->same, t->others};
    status = cp_parts_judge(&given, &scores);
    if (status != CP_OK)
        return status;
    m->deletion[s->studied] = scores.deletion;
    for (int k = 0; k < CP_PARTS_THRESHOLDS; k++) {
        m->keep[k] += scores.keep[k];
        m->remove[k] += scores.remove[k];
        if (!isnan(scores.ignore[k]))
            m->ignore[k] += scores.ignore[k];
    }
    m->ignored += !isnan(scores.ignore[0]);
    return CP_OK;
}

/* Two signs that the detector sees, each of which needs its own parts more than the other's: the parts of one must get
 * more when its detection is explained than when the other's is, and the reverse. */
static cp_status judge_targets(study *s, uint64_t index, const signs_scene *scene, const found *a, const found *b)
{
    double a_without[2], b_without[2], own[2], other[2];
    int class, parts[PARTS];
    float *input = cp_alloc(3 * s->h * s->w, sizeof *input, "an input");
    cp_status status = input ? CP_OK : CP_ERESOURCE;
    for (int k = 0; k < 2 && status == CP_OK; k++) {
        status = look_without(s, index, scene, k ? b->sign : a->sign, 0xff, a, input, &class, &a_without[k]);
        b_without[k] = cp_frame_response(s->probe, 0, &b->response);
    }
    cp_free(input);
    if (status != CP_OK || !(a_without[0] < a_without[1] && b_without[1] < b_without[0]))
        return status;
    int n = number_parts(s, scene, a->sign, parts), at_b = n + b->sign - (b->sign > a->sign);
    for (int i = 0; i < s->n_marks && status == CP_OK; i++) {
        double importance[PARTS + SIGNS_MAX];
        for (int k = 0; k < 2 && status == CP_OK; k++) {
            status = make_map(s, s->marks[i].method, k ? b : a, NULL, false, s->map);
            cp_parts_importance(s->map, s->part, s->h, s->w, n + scene->n - 1, importance);
            own[k] = importance[at_b];
            other[k] = 0;
            for (int p = 0; p < n; p++)
                other[k] += importance[p];
        }
        s->marks[i].sensitivity[s->studied] = ((other[0] > other[1]) + (own[0] < own[1])) / 2.;
    }
    return status;
}

/* Integrated gradients from black, and from the same scene with the sticker painted out. */
static cp_status judge_pair(study *s, const found *f, const truth *t)
{
    cp_status status = CP_OK;
    const cp_attribution *method = cp_attribution_find("inputintgrad");
    if (!t->has_sticker)
        return CP_OK;
    for (int k = 0; k < BASELINES && status == CP_OK; k++) {
        double importance[PARTS];
        status = make_map(s, method, f, k == BARE ? s->bare : NULL, true, s->map);
        if (status != CP_OK)
            return status;
        double sum = 0;
        for (size_t i = 0; i < s->h * s->w; i++)
            sum += fabs(s->map[i]);
        if (k == BARE)
            s->error += fabs(sum_of(s->map, s->h * s->w) - t->bare_drop);
        for (size_t i = 0; i < s->h * s->w; i++)
            s->map[i] = fabsf(s->map[i]);
        cp_parts_importance(s->map, s->part, s->h, s->w, t->n, importance);
        s->share[k] += sum > 0 ? importance[t->n - 1] / sum : 0; /* the sticker is the last part */
    }
    s->dropped += t->bare_drop;
    s->size_dropped += fabs(t->bare_drop);
    s->pairs++;
    return status;
}

/* ---------------------------------------------------------------- scenes */

static cp_status study_sign(study *s, uint64_t index, const signs_scene *scene, const found *list, int n, int which)
{
    truth t = {0};
    const found *f = &list[which];
    cp_status status = find_truth(s, index, scene, f, &t);
    if (status != CP_OK || (s->r->sticker && !t.has_sticker))
        return status;
    for (int i = 0; i < s->n_marks && status == CP_OK; i++) {
        s->marks[i].deletion[s->studied] = s->marks[i].sensitivity[s->studied] = NAN;
        status = judge(s, &s->marks[i], f, &t);
    }
    if (status == CP_OK)
        status = judge_pair(s, f, &t);
    if (status == CP_OK && n > 1)
        status = judge_targets(s, index, scene, f, &list[which ? 0 : 1]);
    s->studied++;
    return status;
}

static cp_status study_scene(study *s, uint64_t index)
{
    signs_scene scene;
    cp_detection *detections = NULL;
    found list[SIGNS_MAX];
    int n = 0, seen = 0;
    cp_status status = signs_scene_draw(&scene, &s->r->scene, index);
    if (status == CP_OK)
        status = detect(s, s->frame, scene.rgb, s->input, &detections, &n);
    for (int i = 0; i < scene.n && status == CP_OK; i++) {
        const cp_detection *d = at_sign(&scene, &scene.sign[i], detections, n);
        if (!d || d->class_id != scene.sign[i].class)
            continue;
        found *f = &list[seen++];
        *f = (found){.sign = i, .detection = *d};
        status = cp_response_detection(s->model, d, CP_TARGET_CLASS, &f->response);
        if (status == CP_OK)
            f->value = cp_frame_response(s->frame, 0, &f->response);
    }
    for (int k = 0; k < seen && s->studied < s->r->n && status == CP_OK; k++)
        status = study_sign(s, index, &scene, list, seen, k);
    s->scenes++;
    cp_free_detections(detections);
    signs_scene_free(&scene);
    return status;
}

/* ---------------------------------------------------------------- results */

/* The threshold at which the three checks come out best. */
static int best_threshold(const marks *m, int n)
{
    int best = 0;
    double most = -1;
    for (int k = 0; k < CP_PARTS_THRESHOLDS; k++) {
        double sum = (m->keep[k] + m->remove[k]) / n + (m->ignored ? m->ignore[k] / m->ignored : 0);
        if (sum > most)
            best = k, most = sum;
    }
    return best;
}

static void print_mean(const double *values, int n)
{
    cp_mean mean = cp_mean_of(values, (size_t)n);
    if (mean.n)
        printf(" %.3f ± %.3f |", mean.mean, mean.n > 1 ? mean.error : 0);
    else
        printf(" - |");
}

static void print_study(const study *s)
{
    printf("%s: %d true positives of %d scenes\n\n", s->r->weights, s->studied, s->scenes);
    printf("| map | single deletion | preservation | deletion | distractibility | at threshold | target sensitivity |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < s->n_marks; i++) {
        const marks *m = &s->marks[i];
        int t = best_threshold(m, s->studied);
        printf("| %s |", m->method->name);
        print_mean(m->deletion, s->studied);
        printf(" %.3f | %.3f |", m->keep[t] / s->studied, m->remove[t] / s->studied);
        if (m->ignored)
            printf(" %.3f |", m->ignore[t] / m->ignored);
        else
            printf(" - |");
        printf(" %.2f |", cp_parts_threshold(t));
        print_mean(m->sensitivity, s->studied);
        printf("\n");
    }
    if (s->pairs > 0)
        printf(
            "\n%.0f pairs with and without the sticker: the response drops by %.3f without it; of inputintgrad's magnitude %.1f%% "
            "lie on the sticker from black, %.1f%% from the bare scene, whose sum misses %.1f%% of the drop\n",
            s->pairs, s->dropped / s->pairs, 100 * s->share[BLACK] / s->pairs, 100 * s->share[BARE] / s->pairs,
            100 * s->error / s->size_dropped);
}

/* ---------------------------------------------------------------- the program */

static cp_status choose_methods(study *s, const char *list)
{
    s->marks = cp_alloc(MAPS, sizeof *s->marks, "the results");
    if (!s->marks)
        return CP_ERESOURCE;
    for (const cp_attribution *a = cp_attributions; !list && a->name; a++)
        if (s->n_marks < MAPS && strcmp(a->name, "occlusion") && strcmp(a->name, "rise"))
            s->marks[s->n_marks++].method = a;
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        char name[64];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        const cp_attribution *method = cp_attribution_find(name);
        if (!method || s->n_marks == MAPS)
            return cp_fail(CP_EINPUT, "signs-parts: -methods: \"%s\" is no map, or more than %d are named", name, MAPS);
        s->marks[s->n_marks++].method = method;
        at += length;
    }
    return CP_OK;
}

static cp_status open_study(study *s, const request *r)
{
    size_t c, n;
    cp_status status = cp_model_open(r->cfg, r->weights, &s->model);
    if (status != CP_OK)
        return status;
    if (cp_model_get_kind(s->model) != CP_DETECTOR || cp_model_classes(s->model) != SIGNS_CLASSES)
        return cp_fail(CP_EINPUT, "%s: not a detector of %d classes", r->cfg, SIGNS_CLASSES);
    cp_model_input_shape(s->model, &c, &s->h, &s->w);
    if (s->w != (size_t)r->scene.width || s->h != (size_t)r->scene.height)
        return cp_fail(CP_EINPUT, "%s: takes %zux%zu pixels, scenes have %dx%d", r->cfg, s->w, s->h, r->scene.width,
                       r->scene.height);
    n = cp_model_neuron_count(s->model);
    s->input = cp_alloc(c * s->h * s->w, sizeof *s->input, "the input");
    s->bare = cp_alloc(c * s->h * s->w, sizeof *s->bare, "the input");
    s->score = cp_alloc(n, sizeof *s->score, "the scores");
    s->size = cp_alloc(n, sizeof *s->size, "the scores");
    s->map = cp_alloc(s->h * s->w, sizeof *s->map, "a map");
    s->part = cp_alloc(s->h * s->w, 1, "the parts");
    if (!s->input || !s->bare || !s->score || !s->size || !s->map || !s->part)
        return CP_ERESOURCE;
    status = cp_frame_create(s->model, 1, &s->frame);
    if (status == CP_OK)
        status = cp_frame_create(s->model, 1, &s->probe);
    return status == CP_OK ? cp_path_create(s->model, &s->path) : status;
}

static void close_study(study *s)
{
    cp_path_free(s->path);
    cp_frame_free(s->frame);
    cp_frame_free(s->probe);
    cp_model_free(s->model);
    cp_free(s->input);
    cp_free(s->bare);
    cp_free(s->score);
    cp_free(s->size);
    cp_free(s->map);
    cp_free(s->part);
    cp_free(s->marks);
}

static bool parse_option(request *r, const char **methods, const char *name, const char *value)
{
    static const char *const kinds[] = {"none", "shortcut", "probe"};
    char rest;
    unsigned long long seed;
    if (strcmp(name, "-n") == 0)
        return sscanf(value, "%d%c", &r->n, &rest) == 1 && r->n > 0 && r->n <= MOST;
    if (strcmp(name, "-thresh") == 0)
        return sscanf(value, "%f%c", &r->thresh, &rest) == 1 && r->thresh > 0 && r->thresh < 1;
    if (strcmp(name, "-sticker") == 0) {
        r->sticker = strcmp(value, "yes") == 0;
        return r->sticker || strcmp(value, "any") == 0;
    }
    if (strcmp(name, "-methods") == 0) {
        *methods = value;
        return true;
    }
    if (strcmp(name, "-seed") == 0 && sscanf(value, "%llu%c", &seed, &rest) == 1) {
        r->scene.seed = seed;
        return true;
    }
    for (int k = 0; k < 3 && strcmp(name, "-stickers") == 0; k++)
        if (strcmp(value, kinds[k]) == 0) {
            r->scene.stickers = (signs_stickers)k;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    request r = {.n = 50, .thresh = .5f, .scene = signs_options_default()};
    study s = {.r = &r};
    const char *methods = NULL;
    r.scene.seed = 11;
    if (argc < 3 || argc % 2 == 0) {
        fputs(usage, stderr);
        return CP_EINPUT;
    }
    r.cfg = argv[1];
    r.weights = argv[2];
    for (int i = 3; i < argc; i += 2)
        if (!parse_option(&r, &methods, argv[i], argv[i + 1])) {
            fprintf(stderr, "signs-parts: option %s %s is not one of the usage text's\n%s", argv[i], argv[i + 1],
                    usage);
            return CP_EINPUT;
        }
    cp_set_threads(1); /* a network this small gains nothing from more */
    cp_status status = open_study(&s, &r);
    if (status == CP_OK)
        status = choose_methods(&s, methods);
    for (uint64_t index = 0; s.studied < r.n && index < 100u * (unsigned)r.n && status == CP_OK; index++)
        status = study_scene(&s, index);
    if (status == CP_OK && !s.studied)
        status = cp_fail(CP_EINPUT, "signs-parts: no true positive in %d scenes", s.scenes);
    if (status == CP_OK)
        print_study(&s);
    else
        fprintf(stderr, "%s\n", cp_error());
    close_study(&s);
    return status;
}
