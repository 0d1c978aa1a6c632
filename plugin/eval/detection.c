/* Which detection has found which object, and of what type its error is. */
#include "eval/detection.h"

#include <stdlib.h>
#include <string.h>

#include "io/error.h"

static const char *const names[CP_FOUND_TYPES] = {"right", "Cls", "Loc", "Both", "Dupe", "Bkg", "Missed"};

const char *cp_found_type_name(cp_found_type type) { return names[type]; }

cp_found_type cp_found_type_of(const char *name)
{
    int type = 0;
    while (type < CP_FOUND_TYPES && (!name || strcmp(names[type], name)))
        type++;
    return (cp_found_type)type;
}

/* What a search among the objects takes. */
typedef enum { ANY = 0, SAME_CLASS = 1, OTHER_CLASS = 2, FREE = 4, TAKEN = 8 } wanted;

typedef struct {
    const cp_found *found;
    size_t n;
    const cp_label *label;
    size_t n_labels;
    const cp_object *object;
} scene;

static double overlap_of(const cp_label *a, const cp_label *b)
{
    return cp_box_overlap(a->x, a->y, a->w, a->h, b->x, b->y, b->w, b->h);
}

/* The object of that kind that the detection overlaps most, the first of equals; -1: none at all. */
static int best_object(const scene *s, const cp_label *box, int kind, double *overlap)
{
    int best = -1;
    *overlap = 0;
    for (size_t j = 0; j < s->n_labels; j++) {
        bool same = s->label[j].class_id == box->class_id, free = s->object[j].found < 0;
        if ((kind & SAME_CLASS && !same) || (kind & OTHER_CLASS && same) || (kind & FREE && !free) ||
            (kind & TAKEN && free))
            continue;
        double here = overlap_of(box, &s->label[j]);
        if (here > *overlap)
            best = (int)j, *overlap = here;
    }
    return best;
}

static void set(cp_verdict *v, cp_found_type type, int object, double overlap)
{
    v->type = type;
    v->object = object;
    v->overlap = overlap;
}

/* Of a detection without an object of its own: TIDE's types, in TIDE's order. */
static void name_error(const scene *s, const cp_label *box, cp_verdict *v)
{
    double overlap;
    int object = best_object(s, box, SAME_CLASS, &overlap);
    if (overlap >= CP_BACKGROUND_OVERLAP && overlap <= CP_FOUND_OVERLAP) {
        set(v, CP_FOUND_LOC, object, overlap);
        return;
    }
    object = best_object(s, box, OTHER_CLASS, &overlap);
    if (overlap >= CP_FOUND_OVERLAP) {
        set(v, CP_FOUND_CLS, object, overlap);
        return;
    }
    object = best_object(s, box, SAME_CLASS | TAKEN, &overlap);
    if (overlap >= CP_FOUND_OVERLAP) {
        set(v, CP_FOUND_DUPE, object, overlap);
        return;
    }
    object = best_object(s, box, ANY, &overlap);
    set(v, overlap <= CP_BACKGROUND_OVERLAP ? CP_FOUND_BKG : CP_FOUND_BOTH, object, overlap);
}

/* ---- the order of the scores ---- */

typedef struct {
    float score;
    size_t index;
} rank;

static int by_score(const void *a, const void *b)
{
    const rank *p = a, *q = b;
    if (p->score != q->score)
        return p->score < q->score ? 1 : -1;
    return p->index < q->index ? -1 : p->index > q->index;
}

cp_status cp_detections_match(const cp_found *found, size_t n, const cp_label *label, size_t n_labels,
                              cp_verdict *verdict, cp_object *object)
{
    const scene s = {found, n, label, n_labels, object};
    rank *order = cp_alloc(n, sizeof *order, "detections");
    double overlap;
    if (!order)
        return CP_ERESOURCE;
    for (size_t j = 0; j < n_labels; j++)
        object[j] = (cp_object){-1, -1};
    for (size_t i = 0; i < n; i++)
        order[i] = (rank){found[i].score, i};
    qsort(order, n, sizeof *order, by_score);
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k].index;
        verdict[i] = (cp_verdict){.type = CP_FOUND_TYPES, .object = -1, .same = -1};
        int mine = best_object(&s, &found[i].box, SAME_CLASS, &overlap);
        verdict[i].same = overlap > CP_FOUND_OVERLAP ? mine : -1;
        mine = best_object(&s, &found[i].box, SAME_CLASS | FREE, &overlap);
        if (overlap < CP_FOUND_OVERLAP)
            continue;
        set(&verdict[i], CP_FOUND_RIGHT, mine, overlap);
        object[mine].found = (int)i;
    }
    for (size_t k = 0; k < n; k++) {
        cp_verdict *v = &verdict[order[k].index];
        if (v->type == CP_FOUND_RIGHT)
            continue;
        name_error(&s, &found[order[k].index].box, v);
        bool could = v->type == CP_FOUND_LOC || v->type == CP_FOUND_CLS;
        if (could && object[v->object].found < 0 && object[v->object].fixed < 0) {
            object[v->object].fixed = (int)order[k].index;
            v->fixes = true;
        }
    }
    cp_free(order);
    return CP_OK;
}
