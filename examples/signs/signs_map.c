/* signs-map: mAP@0.5 of the files that `darknet detector valid` wrote. */
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

static const char usage[] =
    "usage: signs-map LIST NAMES PREFIX [-iou .5]\n"
    "Mean average precision over the scenes in LIST, from PREFIX<name>.txt as `darknet detector valid` writes them\n"
    "(a line per detection: scene, confidence, left, top, right, bottom; pixels from 1).\n"
    "example: signs-map build/signs/valid/list.txt cfg/tiny-yolo-signs.names build/signs/results/comp4_det_test_\n";

enum { LINE = 4096, MOST_CLASSES = 1000 };

typedef struct {
    char **stem;
    size_t n;
    signs_truth *truths; /* of all classes, with the class beside it */
    int *class;
    size_t n_truths;
} set;

static cp_status grow(void **items, size_t n, size_t size)
{
    if (n & (n - 1)) return CP_OK; /* capacities are powers of two */
    void *more = realloc(*items, (n ? 2 * n : 1) * size);
    if (!more) return cp_fail(CP_ERESOURCE, "signs-map: out of memory at %zu items", n);
    *items = more;
    return CP_OK;
}

static void chomp(char *line)
{
    line[strcspn(line, "\r\n")] = 0;
}

static cp_status image_size(const char *path, double *width, double *height)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_file(&image, path)) return cp_fail(CP_EINPUT, "%s: %s", path, image.message);
    *width = image.width;
    *height = image.height;
    png_image_free(&image);
    return CP_OK;
}

static cp_status read_truths(set *s, const char *image_path)
{
    char path[LINE], line[LINE];
    double width = 0, height = 0, x, y, w, h;
    int class;
    cp_status status = image_size(image_path, &width, &height);
    if (status == CP_OK) status = signs_path_of(path, sizeof path, image_path, "labels");
    if (status != CP_OK) return status;
    FILE *file = fopen(path, "r");
    if (!file) return cp_fail(CP_EINPUT, "%s: %s", path, strerror(errno));
    for (int at = 1; status == CP_OK && fgets(line, sizeof line, file); at++) {
        if (sscanf(line, "%d %lf %lf %lf %lf", &class, &x, &y, &w, &h) != 5 || class < 0 || class >= MOST_CLASSES) {
            status = cp_fail(CP_EINPUT, "%s:%d: not a label: class, then x, y, w, h", path, at);
            break;
        }
        status = grow((void **)&s->truths, s->n_truths, sizeof *s->truths);
        if (status == CP_OK) status = grow((void **)&s->class, s->n_truths, sizeof *s->class);
        if (status != CP_OK) break;
        signs_box box = {(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height};
        s->truths[s->n_truths] = (signs_truth){(int)s->n, box, false};
        s->class[s->n_truths++] = class;
    }
    fclose(file);
    return status;
}

static cp_status read_list(set *s, const char *path)
{
    char line[LINE];
    cp_status status = CP_OK;
    FILE *file = fopen(path, "r");
    if (!file) return cp_fail(CP_EINPUT, "%s: %s", path, strerror(errno));
    while (status == CP_OK && fgets(line, sizeof line, file)) {
        chomp(line);
        if (!line[0]) continue;
        status = read_truths(s, line);
        if (status == CP_OK) status = grow((void **)&s->stem, s->n, sizeof *s->stem);
        if (status != CP_OK) break;
        const char *slash = strrchr(line, '/'), *base = slash ? slash + 1 : line;
        s->stem[s->n] = strdup(base);
        if (!s->stem[s->n]) status = cp_fail(CP_ERESOURCE, "signs-map: out of memory");
        else *strrchr(s->stem[s->n++], '.') = 0;
    }
    fclose(file);
    if (status == CP_OK && s->n == 0) status = cp_fail(CP_EINPUT, "%s: no scene in the list", path);
    return status;
}

static int find_scene(const set *s, const char *stem)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->stem[i], stem) == 0) return (int)i;
    return -1;
}

static cp_status read_detections(const set *s, const char *path, signs_detection **detections, size_t *n)
{
    char line[LINE], stem[LINE], last[LINE] = "";
    int scene = -1;
    cp_status status = CP_OK;
    FILE *file = fopen(path, "r");
    if (!file) return cp_fail(CP_EINPUT, "%s: %s", path, strerror(errno));
    for (int at = 1; status == CP_OK && fgets(line, sizeof line, file); at++) {
        signs_detection d;
        signs_box *b = &d.box;
        if (sscanf(line, "%s %lf %lf %lf %lf %lf", stem, &d.confidence, &b->x0, &b->y0, &b->x1, &b->y1) != 6 ||
            !isfinite(d.confidence) || !isfinite(b->x0 + b->y0 + b->x1 + b->y1)) {
            status = cp_fail(CP_EINPUT, "%s:%d: not a detection: scene, confidence, left, top, right, bottom", path,
                             at);
            break;
        }
        if (strcmp(stem, last) != 0) scene = find_scene(s, stem);
        strcpy(last, stem);
        if (scene < 0) {
            status = cp_fail(CP_EINPUT, "%s:%d: scene %s is not in the list", path, at, stem);
            break;
        }
        d.scene = scene;
        d.box.x0--;
        d.box.y0--;
        d.box.x1--;
        d.box.y1--;
        status = grow((void **)detections, *n, sizeof **detections);
        if (status == CP_OK) (*detections)[(*n)++] = d;
    }
    fclose(file);
    return status;
}

static cp_status measure(const set *s, const char *name, int class, const char *prefix, double iou, double *ap)
{
    char path[LINE];
    signs_detection *detections = NULL;
    size_t n = 0, mine = 0, found = 0;
    signs_truth *truths = cp_alloc(s->n_truths, sizeof *truths, "truths");
    cp_status status = truths ? CP_OK : CP_ERESOURCE;
    if (status == CP_OK && snprintf(path, sizeof path, "%s%s.txt", prefix, name) >= (int)sizeof path)
        status = cp_fail(CP_EINPUT, "%s: the path is too long", prefix);
    if (status == CP_OK) status = read_detections(s, path, &detections, &n);
    if (status == CP_OK) {
        for (size_t i = 0; i < s->n_truths; i++)
            if (s->class[i] == class) truths[mine++] = s->truths[i];
        *ap = signs_average_precision(truths, mine, detections, n, iou);
        for (size_t i = 0; i < mine; i++) found += truths[i].found;
        printf("%-10s %5zu signs %7zu detections  found %5.1f%%  AP %.4f\n", name, mine, n,
               mine ? 100.0 * (double)found / (double)mine : 0, *ap);
    }
    cp_free(truths);
    free(detections);
    return status;
}

static cp_status run(set *s, const char *list, const char *names, const char *prefix, double iou)
{
    char line[LINE];
    cp_status status = read_list(s, list);
    if (status != CP_OK) return status;
    FILE *file = fopen(names, "r");
    if (!file) return cp_fail(CP_EINPUT, "%s: %s", names, strerror(errno));
    double sum = 0, ap;
    int classes = 0, counted = 0;
    while (status == CP_OK && fgets(line, sizeof line, file)) {
        chomp(line);
        if (!line[0]) continue;
        status = measure(s, line, classes++, prefix, iou, &ap);
        if (status != CP_OK || isnan(ap)) continue;
        sum += ap;
        counted++;
    }
    fclose(file);
    if (status == CP_OK && counted == 0) status = cp_fail(CP_EINPUT, "%s: none of its classes is in the scenes", names);
    if (status == CP_OK)
        printf("%zu scenes, %d classes, mAP@%g %.4f\n", s->n, counted, iou, sum / counted);
    return status;
}

int main(int argc, char **argv)
{
    double iou = .5;
    bool good = argc == 4 || (argc == 6 && strcmp(argv[4], "-iou") == 0 && sscanf(argv[5], "%lf", &iou) == 1);
    if (!good || !(iou > 0 && iou <= 1)) {
        fputs(usage, stderr);
        return CP_EINPUT;
    }
    set s = {0};
    cp_status status = run(&s, argv[1], argv[2], argv[3], iou);
    if (status != CP_OK) fprintf(stderr, "%s\n", cp_error());
    for (size_t i = 0; i < s.n; i++) free(s.stem[i]);
    free(s.stem);
    free(s.truths);
    free(s.class);
    return status;
}
