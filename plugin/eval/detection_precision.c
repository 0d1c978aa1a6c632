/* Average precision: as AlexeyAB's `detector map` has it, and as TIDE has it, with what each type of error costs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/detection.h"
#include "io/error.h"

/* A detection, without its box. */
typedef struct {
    float score;
    int class_id, object_class;
    uint8_t type;
    bool fixes;
    size_t same; /* number of the object in the data set, from 1; 0: none */
} point;

struct cp_precision {
    int classes;
    point *point;
    size_t n, room;
    size_t *objects, *missed, *unfound; /* by class */
    size_t seen, in_image;              /* objects of the images before; of this one */
};

cp_status cp_precision_new(int classes, cp_precision **precision)
{
    cp_precision *p = *precision = cp_alloc(1, sizeof *p, "average precision");
    if (!p)
        return CP_ERESOURCE;
    p->classes = classes;
    p->objects = cp_alloc((size_t)classes, sizeof *p->objects, "average precision");
    p->missed = cp_alloc((size_t)classes, sizeof *p->missed, "average precision");
    p->unfound = cp_alloc((size_t)classes, sizeof *p->unfound, "average precision");
    if (p->objects && p->missed && p->unfound)
        return CP_OK;
    cp_precision_free(p);
    *precision = NULL;
    return CP_ERESOURCE;
}

void cp_precision_free(cp_precision *p)
{
    if (!p)
        return;
    free(p->point);
    cp_free(p->objects);
    cp_free(p->missed);
    cp_free(p->unfound);
    cp_free(p);
}

void cp_precision_add_object(cp_precision *p, int class_id, const cp_object *object)
{
    p->objects[class_id]++;
    p->unfound[class_id] += object->found < 0;
    p->missed[class_id] += object->found < 0 && object->fixed < 0;
    p->in_image++;
}

cp_status cp_precision_add(cp_precision *p, int class_id, float score, const cp_verdict *v, int object_class)
{
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 1024;
        point *grown = realloc(p->point, room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "average precision: out of memory for %zu detections", room);
        p->point = grown;
        p->room = room;
    }
    p->point[p->n++] = (point){.score = score,
                               .class_id = class_id,
                               .object_class = object_class,
                               .type = (uint8_t)v->type,
                               .fixes = v->fixes,
                               .same = v->same < 0 ? 0 : p->seen + (size_t)v->same + 1};
    return CP_OK;
}

void cp_precision_end_image(cp_precision *p)
{
    p->seen += p->in_image;
    p->in_image = 0;
}

/* ---------------------------------------------------------------- curves */

/* A detection in the order in which it counts. */
typedef struct {
    float score;
    int class_id;
    bool right;
    size_t order, same;
} counted;

static int by_class(const void *a, const void *b)
{
    const counted *p = a, *q = b;
    if (p->class_id != q->class_id)
        return p->class_id < q->class_id ? -1 : 1;
    if (p->score != q->score)
        return p->score < q->score ? 1 : -1;
    return p->order < q->order ? -1 : p->order > q->order;
}

/* The smoothed precision at `points` recalls, from 0 to 1; 0 points: the area under it (PASCAL VOC 2010). precision,
 * recall: (n). */
static double average(double *precision, const double *recall, size_t n, int points)
{
    double sum = 0;
    for (size_t i = n; i-- > 1;)
        precision[i - 1] = fmax(precision[i - 1], precision[i]);
    if (!points) {
        for (size_t i = 0; i < n; i++)
            sum += (recall[i] - (i ? recall[i - 1] : 0)) * precision[i];
        return sum;
    }
    size_t at = 0;
    for (int k = 0; k < points; k++) {
        double least = (double)k / (points - 1);
        while (at < n && recall[at] < least)
            at++;
        sum += at < n ? precision[at] : 0;
    }
    return sum / points;
}

/* Precision and recall behind each of the n detections of a class. */
static void follow(const counted *c, size_t n, size_t objects, double *precision, double *recall)
{
    size_t right = 0;
    for (size_t i = 0; i < n; i++) {
        right += c[i].right;
        precision[i] = (double)right / (double)(i + 1);
        recall[i] = objects ? (double)right / (double)objects : 0;
    }
}

/* One end of the class that begins at `from`. */
static size_t end_of_class(const counted *c, size_t n, size_t from)
{
    size_t to = from;
    while (to < n && c[to].class_id == c[from].class_id)
        to++;
    return to;
}

/* Space for all curves, and the detections in their order. */
typedef struct {
    counted *c;
    size_t n;
    double *precision, *recall;
    size_t *objects; /* by class, as the mending of a type leaves them */
} space;

/* TIDE's mean over the classes that have an object or a detection. by_class: what each has, or NULL. */
static double tide_mean(const cp_precision *p, space *s, cp_class_precision *by)
{
    double sum = 0;
    size_t classes = 0, from = 0;
    qsort(s->c, s->n, sizeof *s->c, by_class);
    for (int k = 0; k < p->classes; k++) {
        size_t to = from < s->n && s->c[from].class_id == k ? end_of_class(s->c, s->n, from) : from;
        follow(s->c + from, to - from, s->objects[k], s->precision, s->recall);
        double here = s->objects[k] ? average(s->precision, s->recall, to - from, 101) : 0;
        classes += s->objects[k] || to > from;
        sum += here;
        if (by)
            by[k].tide = here;
        from = to;
    }
    return classes ? sum / (double)classes : NAN;
}

/* The detections as they would be with the errors of type `mended` mended (CP_FOUND_TYPES: none). TIDE puts the
 * errors before the right ones where scores are equal, but not where nothing is mended. */
static void fill(const cp_precision *p, int mended, space *s)
{
    s->n = 0;
    memcpy(s->objects, p->objects, (size_t)p->classes * sizeof *p->objects);
    for (int k = 0; k < p->classes && mended == CP_FOUND_MISSED; k++)
        s->objects[k] -= p->missed[k];
    for (size_t i = 0; i < p->n; i++) {
        const point *q = &p->point[i];
        bool right = q->type == CP_FOUND_RIGHT, now = q->type == mended;
        if (now && !q->fixes)
            continue;
        s->c[s->n++] = (counted){q->score, now && q->type == CP_FOUND_CLS ? q->object_class : q->class_id, right || now,
                                 i + (right && mended != CP_FOUND_TYPES ? p->n : 0), q->same};
    }
}

static double gain_of(const cp_precision *p, int mended, space *s, double before)
{
    fill(p, mended, s);
    return fmax(tide_mean(p, s, NULL) - before, 0);
}

/* Every false positive last; or objects that nothing has found not counted. */
static double gain_of_all(const cp_precision *p, bool positives, space *s, double before)
{
    fill(p, CP_FOUND_TYPES, s);
    for (size_t i = 0; i < s->n && positives; i++)
        s->c[i].score = s->c[i].right;
    for (int k = 0; k < p->classes && !positives; k++)
        s->objects[k] -= p->unfound[k];
    return tide_mean(p, s, NULL) - before;
}

/* ---------------------------------------------------------------- AlexeyAB */

/* A detection is right when the object of its class that it overlaps most is still free, whatever other objects
 * there are. */
static void measure_alexey(const cp_precision *p, space *s, bool *taken, cp_class_precision *by)
{
    fill(p, CP_FOUND_TYPES, s);
    qsort(s->c, s->n, sizeof *s->c, by_class);
    for (size_t i = 0; i < s->n; i++) {
        s->c[i].right = s->c[i].same && !taken[s->c[i].same];
        taken[s->c[i].same] = true;
    }
    for (size_t from = 0, to; from < s->n; from = to) {
        to = end_of_class(s->c, s->n, from);
        cp_class_precision *one = &by[s->c[from].class_id];
        const int points[] = {0, 11, 101};
        double *const out[] = {&one->area, &one->points11, &one->points101};
        for (int k = 0; k < 3; k++) {
            follow(s->c + from, to - from, one->objects, s->precision, s->recall);
            *out[k] = one->objects ? average(s->precision, s->recall, to - from, points[k]) : 0;
        }
    }
}

static void count(const cp_precision *p, cp_class_precision *by)
{
    for (int k = 0; k < p->classes; k++) {
        by[k].objects = p->objects[k];
        by[k].missed = by[k].type[CP_FOUND_MISSED] = p->missed[k];
    }
    for (size_t i = 0; i < p->n; i++) {
        by[p->point[i].class_id].found++;
        by[p->point[i].class_id].type[p->point[i].type]++;
    }
}

static void sum_up(const cp_precision *p, cp_precision_report *r)
{
    for (int k = 0; k < p->classes; k++) {
        const cp_class_precision *one = &r->by_class[k];
        r->all.objects += one->objects;
        r->all.found += one->found;
        r->all.missed += one->missed;
        for (int t = 0; t < CP_FOUND_TYPES; t++)
            r->all.type[t] += one->type[t];
        r->all.area += one->area / p->classes;
        r->all.points11 += one->points11 / p->classes;
        r->all.points101 += one->points101 / p->classes;
        r->classes_with_objects += one->objects > 0;
        r->area_of_those += one->objects ? one->area : 0;
    }
    r->area_of_those = r->classes_with_objects ? r->area_of_those / (double)r->classes_with_objects : NAN;
}

cp_status cp_precision_measure(const cp_precision *p, cp_precision_report *r)
{
    space s = {.c = cp_alloc(p->n, sizeof *s.c, "average precision"),
               .precision = cp_alloc(p->n, sizeof *s.precision, "average precision"),
               .recall = cp_alloc(p->n, sizeof *s.recall, "average precision"),
               .objects = cp_alloc((size_t)p->classes, sizeof *s.objects, "average precision")};
    bool *taken = cp_alloc(p->seen + p->in_image + 1, sizeof *taken, "average precision");
    *r = (cp_precision_report){.by_class = cp_alloc((size_t)p->classes, sizeof *r->by_class, "average precision")};
    cp_status status = s.c && s.precision && s.recall && s.objects && taken && r->by_class ? CP_OK : CP_ERESOURCE;
    if (!status) {
        count(p, r->by_class);
        measure_alexey(p, &s, taken, r->by_class);
        fill(p, CP_FOUND_TYPES, &s);
        r->all.tide = tide_mean(p, &s, r->by_class);
        for (int t = CP_FOUND_CLS; t < CP_FOUND_TYPES; t++)
            r->gain[t] = gain_of(p, t, &s, r->all.tide);
        r->gain_positives = gain_of_all(p, true, &s, r->all.tide);
        r->gain_negatives = gain_of_all(p, false, &s, r->all.tide);
        sum_up(p, r);
    }
    cp_free(s.c);
    cp_free(s.precision);
    cp_free(s.recall);
    cp_free(s.objects);
    cp_free(taken);
    return status;
}

void cp_precision_report_free(cp_precision_report *r)
{
    cp_free(r->by_class);
    *r = (cp_precision_report){0};
}
