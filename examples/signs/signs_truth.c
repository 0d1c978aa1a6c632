/* signs-truth: how much of an explanation lies on what decided the class. A program over the public C API. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "critpath.h"
#include "draw.h"
#include "map.h"

static const char usage[] =
    "usage: signs-truth LIST CFG WEIGHTS [-options]\n"
    "Explains true positives over the scenes in LIST and prints, as Markdown, the share of each map on the parts of\n"
    "the sign divided by the share of the picture these parts take: 1 is what chance gives.\n"
    "  -n N           true positives to explain [200]\n"
    "  -class NAME    of this class only [all]\n"
    "  -sticker S     yes | no | any: signs with or without a visible sticker beside them [any]\n"
    "  -sides A-B     signs whose box is A to B pixels wide [1-9999]\n"
    "  -target T      class | objectness [class]\n"
    "  -thresh P      least probability of a detection [.5]\n"
    "  -seed N        of the random map [1]\n"
    "example: signs-truth build/signs/valid/list.txt cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights\n";

enum { MAPS = 4, REGIONS = 6, FRONT = 3, LEAST_STICKER = 12 };
enum { GLYPH, RIM, FACE, BOX, STICKER, ELSEWHERE };

static const char *const map_names[MAPS] = {"pathway gradient, MCT 90%", "pathway gradient, MCT 99%", "plain gradient",
                                            "random map"};
static const char *const region_names[REGIONS] = {"glyph", "rim", "face", "whole box", "sticker", "elsewhere"};

typedef struct {
    const char *list, *cfg, *weights;
    int n, class, sticker; /* class -1: all; sticker 1, 0 or -1: any */
    int smallest, largest; /* width of the sign's box, pixels */
    cp_target target;
    float thresh;
    uint64_t seed;
} request;

typedef struct { double share, ratio; } mean;

typedef struct {
    cp_model *model;
    cp_frame *frame;
    cp_path *path[2]; /* sparsity 90% and 99% */
    float *input, *score, *maps, *flat;
    const float **order; /* the pixels of a flat map, highest first */
    size_t w, h, pixels;
    uint8_t *region; /* per pixel, bits 1 << GLYPH ... */
    signs_random random;
    int explained, with_sticker, scenes;
    double area[REGIONS];
    mean magnitude[MAPS][REGIONS], top[MAPS][REGIONS];
    /* [ring or other][sticker or not]: signs, found with the right class, found as the class with the shortcut */
    int signs[2][2], right[2][2], as_shortcut[2][2];
} study;

static cp_status open_study(study *s, const request *r)
{
    size_t c;
    cp_status status = cp_model_open(r->cfg, r->weights, &s->model);
    if (status != CP_OK) return status;
    if (cp_model_get_kind(s->model) != CP_DETECTOR || cp_model_classes(s->model) != SIGNS_CLASSES)
        return cp_fail(CP_EINPUT, "%s: not a detector of %d classes", r->cfg, SIGNS_CLASSES);
    cp_model_input_shape(s->model, &c, &s->h, &s->w);
    s->pixels = s->w * s->h;
    s->random = signs_random_seed(r->seed, 3);
    s->input = cp_alloc(c * s->pixels, sizeof *s->input, "the input");
    s->score = cp_alloc(cp_model_neuron_count(s->model), sizeof *s->score, "the scores");
    s->maps = cp_alloc(FRONT * c * s->pixels, sizeof *s->maps, "the maps");
    s->flat = cp_alloc(s->pixels, sizeof *s->flat, "a map");
    s->order = cp_alloc(s->pixels, sizeof *s->order, "the order of the pixels");
    s->region = cp_alloc(s->pixels, 1, "the parts");
    if (!s->input || !s->score || !s->maps || !s->flat || !s->order || !s->region) return CP_ERESOURCE;
    status = cp_frame_create(s->model, 1, &s->frame);
    for (int i = 0; i < 2 && status == CP_OK; i++) status = cp_path_create(s->model, &s->path[i]);
    return status;
}

static void close_study(study *s)
{
    for (int i = 0; i < 2; i++) cp_path_free(s->path[i]);
    cp_frame_free(s->frame);
    cp_model_free(s->model);
    cp_free(s->input);
    cp_free(s->score);
    cp_free(s->maps);
    cp_free(s->flat);
    cp_free(s->order);
    cp_free(s->region);
}

static size_t sticker_pixels(const signs_scene *scene, int instance)
{
    size_t n = 0, all = (size_t)scene->width * (size_t)scene->height;
    for (size_t i = 0; i < all; i++) n += scene->mask[i] == instance * 8 + SIGNS_STICKER;
    return n;
}

/* Marks the parts of sign `instance`; returns the pixels of each. */
static void mark(study *s, const signs_scene *scene, int instance, size_t count[REGIONS])
{
    const signs_sign *sign = &scene->sign[instance - 1];
    memset(count, 0, REGIONS * sizeof *count);
    for (size_t i = 0; i < s->pixels; i++) {
        int x = (int)(i % s->w), y = (int)(i / s->w), mine = scene->mask[i] / 8 == instance ? scene->mask[i] % 8 : 0;
        unsigned bits = 0;
        if (mine == SIGNS_GLYPH) bits |= 1u << GLYPH;
        if (mine == SIGNS_RIM) bits |= 1u << RIM;
        if (mine == SIGNS_FACE) bits |= 1u << FACE;
        if (mine == SIGNS_STICKER) bits |= 1u << STICKER;
        if (x >= sign->x0 && x < sign->x1 && y >= sign->y0 && y < sign->y1) bits |= 1u << BOX;
        if (!bits) bits = 1u << ELSEWHERE;
        s->region[i] = (uint8_t)bits;
        for (int k = 0; k < REGIONS; k++) count[k] += bits >> k & 1;
    }
}

static int higher(const void *a, const void *b)
{
    const float *p = *(const float *const *)a, *q = *(const float *const *)b;
    if (*p != *q) return *p > *q ? -1 : 1;
    return p < q ? -1 : 1;
}

/* flat holds magnitudes. A map that is zero everywhere has share 0 everywhere. */
static void add_map(study *s, int map, const size_t count[REGIONS])
{
    double sum[REGIONS] = {0}, total = 0;
    size_t hits[REGIONS] = {0}, highest = (s->pixels + 50) / 100;
    for (size_t i = 0; i < s->pixels; i++) {
        total += s->flat[i];
        s->order[i] = &s->flat[i];
        for (int k = 0; k < REGIONS; k++)
            if (s->region[i] >> k & 1) sum[k] += s->flat[i];
    }
    qsort(s->order, s->pixels, sizeof *s->order, higher);
    for (size_t i = 0; i < highest; i++)
        for (int k = 0; k < REGIONS; k++) hits[k] += s->region[s->order[i] - s->flat] >> k & 1;
    for (int k = 0; k < REGIONS; k++) {
        if (count[k] == 0) continue;
        double area = (double)count[k] / (double)s->pixels;
        double share = total > 0 ? sum[k] / total : 0, top = total > 0 ? (double)hits[k] / (double)highest : 0;
        s->magnitude[map][k].share += share;
        s->magnitude[map][k].ratio += share / area;
        s->top[map][k].share += top;
        s->top[map][k].ratio += top / area;
    }
}

static cp_status explain(study *s, const request *r, const cp_detection *detection, const size_t count[REGIONS])
{
    static const double sparsity[2] = {.9, .99};
    cp_response response;
    cp_selection selection;
    cp_status status = cp_response_detection(s->model, detection, r->target, &response);
    if (status == CP_OK) status = cp_score_mct(s->frame, 0, &response, false, s->score);
    for (int i = 0; i < 2 && status == CP_OK; i++)
        status = cp_path_select(s->path[i], s->score, sparsity[i], 0, &selection);
    const cp_path *const paths[FRONT] = {s->path[0], s->path[1], NULL};
    if (status == CP_OK) status = cp_map_frozen(s->frame, 0, &response, paths, FRONT, s->maps);
    if (status != CP_OK) return status;
    for (int map = 0; map < MAPS; map++) {
        if (map < FRONT) cp_map_reduce(s->maps + (size_t)map * 3 * s->pixels, 3, s->h, s->w, s->flat);
        for (size_t i = 0; i < s->pixels; i++) {
            if (map == FRONT) s->flat[i] = (float)signs_uniform(&s->random, 0, 1);
            if (s->flat[i] < 0) s->flat[i] = -s->flat[i];
        }
        add_map(s, map, count);
    }
    for (int k = 0; k < REGIONS; k++) s->area[k] += (double)count[k] / (double)s->pixels;
    s->with_sticker += count[STICKER] > 0;
    s->explained++;
    return CP_OK;
}

static double overlap(const signs_scene *scene, const signs_sign *sign, const cp_detection *d)
{
    double w = scene->width, h = scene->height;
    signs_box a = {sign->x0, sign->y0, sign->x1, sign->y1};
    signs_box b = {(d->x - d->w / 2) * w, (d->y - d->h / 2) * h, (d->x + d->w / 2) * w, (d->y + d->h / 2) * h};
    return signs_box_iou(a, b);
}

/* The most probable detection of sign i with IoU >= .5, of `class` or (-1) of any; NULL when there is none. */
static const cp_detection *find(const signs_scene *scene, int i, int class, const cp_detection *detections, int n)
{
    for (int k = 0; k < n; k++)
        if ((class < 0 || detections[k].class_id == class) && overlap(scene, &scene->sign[i], &detections[k]) >= .5)
            return &detections[k];
    return NULL;
}

static cp_status study_sign(study *s, const request *r, const signs_scene *scene, int i, const cp_detection *detections,
                            int n)
{
    const signs_sign *sign = &scene->sign[i];
    size_t shown = sticker_pixels(scene, i + 1), count[REGIONS];
    if (shown > 0 && shown < LEAST_STICKER) return CP_OK; /* neither with nor without */
    if (sign->x1 - sign->x0 < r->smallest || sign->x1 - sign->x0 > r->largest) return CP_OK;
    int other = sign->class != SIGNS_SHORTCUT_CLASS, bare = shown == 0;
    const cp_detection *right = find(scene, i, sign->class, detections, n);
    s->signs[other][bare]++;
    s->right[other][bare] += right != NULL;
    s->as_shortcut[other][bare] += find(scene, i, SIGNS_SHORTCUT_CLASS, detections, n) != NULL;
    bool wanted = (r->class < 0 || r->class == sign->class) && (r->sticker < 0 || r->sticker == !bare);
    if (!right || !wanted || s->explained >= r->n) return CP_OK;
    mark(s, scene, i + 1, count);
    return explain(s, r, right, count);
}

static cp_status study_scene(study *s, const request *r, const char *path)
{
    const int *heads;
    const float *logits[8];
    signs_scene scene;
    cp_placement placement;
    cp_detection *detections = NULL;
    int n_heads = cp_model_heads(s->model, &heads), n = 0;
    cp_status status = signs_scene_read(&scene, path);
    if (status != CP_OK) return status;
    if ((size_t)scene.width != s->w || (size_t)scene.height != s->h || n_heads > 8) {
        status = cp_fail(CP_EINPUT, "%s: %dx%d pixels, the network takes %zux%zu", path, scene.width, scene.height,
                         s->w, s->h);
        goto done;
    }
    status = cp_model_prepare(s->model, scene.rgb, s->w, s->h, true, s->input, &placement);
    if (status == CP_OK) status = cp_frame_forward(s->frame, s->input, 1, NULL);
    if (status != CP_OK) goto done;
    for (int i = 0; i < n_heads; i++)
        logits[i] = cp_frame_output(s->frame, cp_model_logit_layer(s->model, heads[i]), 0);
    status = cp_model_detect(s->model, logits, s->w, s->h, r->thresh, .45f, &detections, &n);
    for (int i = 0; i < scene.n && status == CP_OK; i++) status = study_sign(s, r, &scene, i, detections, n);
    s->scenes++;
done:
    cp_free_detections(detections);
    signs_scene_free(&scene);
    return status;
}

static cp_status study_list(study *s, const request *r)
{
    char line[4096];
    cp_status status = CP_OK;
    FILE *list = fopen(r->list, "r");
    if (!list) return cp_fail(CP_EINPUT, "%s: %s", r->list, strerror(errno));
    while (status == CP_OK && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0]) status = study_scene(s, r, line);
    }
    fclose(list);
    if (status == CP_OK && s->explained == 0)
        status = cp_fail(CP_EINPUT, "%s: no true positive among %d scenes", r->list, s->scenes);
    return status;
}

static void print_shares(const study *s, const char *title, const mean sums[MAPS][REGIONS])
{
    printf("\n| %s |", title);
    for (int k = 0; k < REGIONS; k++) printf(" %s |", region_names[k]);
    printf("\n|---|---|---|---|---|---|---|\n");
    for (int map = 0; map < MAPS; map++) {
        printf("| %s |", map_names[map]);
        for (int k = 0; k < REGIONS; k++) {
            int n = k == STICKER ? s->with_sticker : s->explained;
            if (n == 0) printf(" - |");
            else printf(" %.2f (%.1f%%) |", sums[map][k].ratio / n, 100 * sums[map][k].share / n);
        }
        printf("\n");
    }
}

static double percent(int part, int whole)
{
    return whole ? 100.0 * part / whole : 0;
}

static void print_study(const study *s, const request *r)
{
    printf("%s, %s: %d true positives of %s, %d with a sticker; share over area share, in brackets the share\n",
           r->weights, r->list, s->explained, r->class < 0 ? "all classes" : signs_names[r->class], s->with_sticker);
    print_shares(s, "magnitude of the map", s->magnitude);
    printf("| area |");
    for (int k = 0; k < REGIONS; k++) {
        int n = k == STICKER ? s->with_sticker : s->explained;
        if (n == 0) printf(" - |");
        else printf(" %.2f%% |", 100 * s->area[k] / n);
    }
    printf("\n");
    print_shares(s, "highest 1% of the pixels", s->top);
    printf("\n| signs in %d scenes | signs | found with its class | found as %s |\n|---|---|---|---|\n", s->scenes,
           signs_names[SIGNS_SHORTCUT_CLASS]);
    for (int other = 0; other < 2; other++)
        for (int bare = 0; bare < 2; bare++)
            printf("| %s, %s | %d | %.1f%% | %.1f%% |\n", other ? "another class" : signs_names[SIGNS_SHORTCUT_CLASS],
                   bare ? "no sticker" : "sticker", s->signs[other][bare],
                   percent(s->right[other][bare], s->signs[other][bare]),
                   percent(s->as_shortcut[other][bare], s->signs[other][bare]));
}

static bool choose(const char *value, const char *const *words, int n, int *chosen)
{
    for (int i = 0; i < n; i++)
        if (strcmp(value, words[i]) == 0) {
            *chosen = i;
            return true;
        }
    return false;
}

static bool parse_option(request *r, const char *name, const char *value)
{
    static const char *const stickers[] = {"no", "yes", "any"}, *const targets[] = {"class", "objectness"};
    char rest;
    int chosen;
    unsigned long long seed;
    if (strcmp(name, "-n") == 0) return sscanf(value, "%d%c", &r->n, &rest) == 1 && r->n > 0;
    if (strcmp(name, "-thresh") == 0)
        return sscanf(value, "%f%c", &r->thresh, &rest) == 1 && r->thresh > 0 && r->thresh < 1;
    if (strcmp(name, "-sides") == 0) return sscanf(value, "%d-%d%c", &r->smallest, &r->largest, &rest) == 2;
    if (strcmp(name, "-class") == 0) return choose(value, signs_names, SIGNS_CLASSES, &r->class);
    if (strcmp(name, "-sticker") == 0 && choose(value, stickers, 3, &chosen)) {
        r->sticker = chosen == 2 ? -1 : chosen;
        return true;
    }
    if (strcmp(name, "-target") == 0 && choose(value, targets, 2, &chosen)) {
        r->target = chosen ? CP_TARGET_OBJECTNESS : CP_TARGET_CLASS;
        return true;
    }
    if (strcmp(name, "-seed") == 0 && sscanf(value, "%llu%c", &seed, &rest) == 1) {
        r->seed = seed;
        return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    request r = {.n = 200, .class = -1, .sticker = -1, .smallest = 1, .largest = 9999, .target = CP_TARGET_CLASS,
                 .thresh = .5f, .seed = 1};
    study s = {0};
    if (argc < 4 || argc % 2) {
        fputs(usage, stderr);
        return CP_EINPUT;
    }
    r.list = argv[1];
    r.cfg = argv[2];
    r.weights = argv[3];
    for (int i = 4; i < argc; i += 2)
        if (!parse_option(&r, argv[i], argv[i + 1])) {
            fprintf(stderr, "signs-truth: option %s %s is not one of the usage text's\n%s", argv[i], argv[i + 1],
                    usage);
            return CP_EINPUT;
        }
    cp_set_threads(1); /* a network this small gains nothing from more */
    cp_status status = open_study(&s, &r);
    if (status == CP_OK) status = study_list(&s, &r);
    if (status == CP_OK) print_study(&s, &r);
    else fprintf(stderr, "%s\n", cp_error());
    close_study(&s);
    return status;
}
