/* Detections from logits: the heads' activations, boxes, and the merging of those that overlap. What Debian's Darknet has is
 * computed by its own functions, so that the numbers are its own; the rest follows AlexeyAB's (yolo_layer.c, box.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/class_tree.h"
#include "model/model.h"

/* Darknet's, but not in darknet.h. */
box get_yolo_box(float *x, float *biases, int n, int index, int i, int j, int lw, int lh, int w, int h, int stride);
void correct_yolo_boxes(detection *dets, int n, int w, int h, int netw, int neth, int relative);
void get_region_detections(layer l, int w, int h, int netw, int neth, float thresh, int *map, float tree_thresh,
                           int relative, detection *dets);
void get_detection_detections(layer l, int w, int h, float thresh, detection *dets);
float box_iou(box a, box b);

/* One run of the decoder. Candidates are Darknet's structs, whose `prob` says which place they had at first. */
typedef struct {
    const cp_model *model;
    int photo_w, photo_h;
    float thresh, nms;
    float **output;     /* by head */
    detection *box;     /* n of them */
    float *prob;        /* (n, classes) */
    struct place {
        int head, anchor, cell;
    } *place;
    int n, classes;     /* classes: the most that any head has */
} decoder;

static const cp_cfg_layer *shape_of(const decoder *d, int k) { return &d->model->shapes->layers[d->model->head[k]]; }

static size_t cells_of(const cp_cfg_layer *head)
{
    return head->type == CP_LAYER_DETECTION ? (size_t)head->side * head->side : (size_t)head->w * head->h;
}

/* ---- candidates ---- */

static bool is_yolo(const cp_cfg_layer *head)
{
    return head->type == CP_LAYER_YOLO || head->type == CP_LAYER_GAUSSIAN_YOLO;
}

static size_t entries_of(const cp_cfg_layer *head) { return cp_head_entry(head, CP_TARGET_CLASS, head->classes); }

/* Of a [yolo], only predictors whose objectness is above the threshold are candidates. */
static int count_candidates(const decoder *d, int k)
{
    const cp_cfg_layer *head = shape_of(d, k);
    size_t cells = cells_of(head), objectness = cp_head_entry(head, CP_TARGET_OBJECTNESS, 0);
    int n = 0;
    if (!is_yolo(head)) return (int)(cells * head->n_mask);
    for (size_t a = 0; a < head->n_mask; ++a)
        for (size_t cell = 0; cell < cells; ++cell)
            n += d->output[k][(a * entries_of(head) + objectness) * cells + cell] > d->thresh;
    return n;
}

/* With new_coords the outputs are no exponents: (2 w)^2 times the anchor. entry: the predictor's first value. */
static box yolo_box(const decoder *d, int k, const float *entry, int anchor, int cell)
{
    const layer *l = &d->model->net->layers[d->model->head[k]];
    const cp_cfg_layer *head = shape_of(d, k);
    int cells = head->w * head->h, step = head->type == CP_LAYER_GAUSSIAN_YOLO ? 2 * cells : cells;
    box b = get_yolo_box((float *)entry, l->biases, head->mask[anchor], 0, cell % head->w, cell / head->w, head->w, head->h,
                         d->model->net->w, d->model->net->h, step);
    if (head->new_coords) {
        float w = entry[2 * step], h = entry[3 * step];
        b.w = w * w * 4 * l->biases[2 * head->mask[anchor]] / d->model->net->w;
        b.h = h * h * 4 * l->biases[2 * head->mask[anchor] + 1] / d->model->net->h;
    }
    float shift = head->point == CP_POINT_LEFT_TOP ? .5f : head->point == CP_POINT_RIGHT_BOTTOM ? -.5f : 0;
    b.x += shift * b.w;
    b.y += shift * b.h;
    return b;
}

/* How sure a [Gaussian_yolo] is of the place: 1 less the mean of the four deviations. */
static float certainty(const cp_cfg_layer *head, const float *entry, int cells)
{
    if (head->type != CP_LAYER_GAUSSIAN_YOLO) return 1;
    return 1 - (entry[cells] + entry[3 * cells] + entry[5 * cells] + entry[7 * cells]) / 4;
}

/* In Darknet's order: cell by cell, and in each its anchors. */
static int take_yolo(decoder *d, int k, int at)
{
    const cp_cfg_layer *head = shape_of(d, k);
    int cells = head->w * head->h, first = at;
    size_t classes = cp_head_entry(head, CP_TARGET_CLASS, 0);
    for (int cell = 0; cell < cells; ++cell)
        for (int a = 0; a < (int)head->n_mask; ++a) {
            const float *entry = d->output[k] + (size_t)a * entries_of(head) * cells + cell;
            float objectness = entry[(classes - 1) * cells], sure = certainty(head, entry, cells);
            if (!(objectness > d->thresh)) continue;
            detection *box = &d->box[at];
            box->bbox = yolo_box(d, k, entry, a, cell);
            box->objectness = objectness;
            for (int c = 0; c < head->classes; ++c) {
                float prob = objectness * entry[(classes + c) * cells] * sure;
                box->prob[c] = prob > d->thresh ? prob : 0;
            }
            d->place[at++] = (struct place){d->model->head[k], a, cell};
        }
    correct_yolo_boxes(d->box + first, at - first, d->photo_w, d->photo_h, d->model->net->w, d->model->net->h, 1);
    return at;
}

/* In a hierarchy the answer is the deepest class on the likeliest way down that is still this probable: what
 * `detector test` has where -hier is not given. */
static const float tree_thresh = .5f;

static int take_region(decoder *d, int k, int at)
{
    const cp_cfg_layer *head = shape_of(d, k);
    layer l = d->model->net->layers[d->model->head[k]];
    int cells = head->w * head->h;
    const cp_class_tree *t = head->tree;
    tree hierarchy = {0};
    l.output = d->output[k];
    if (t) {
        hierarchy = (tree){.n = t->n, .groups = t->groups, .leaf = t->leaf, .parent = t->parent, .child = t->child,
                           .group = t->group, .group_size = t->size, .group_offset = t->offset};
        l.softmax_tree = &hierarchy;
    }
    get_region_detections(l, d->photo_w, d->photo_h, d->model->net->w, d->model->net->h, d->thresh, 0, tree_thresh, 1,
                          d->box + at);
    for (int a = 0; a < head->num; ++a)
        for (int cell = 0; cell < cells; ++cell) d->place[at++] = (struct place){d->model->head[k], a, cell};
    return at;
}

static int take_detection(decoder *d, int k, int at)
{
    const cp_cfg_layer *head = shape_of(d, k);
    layer l = d->model->net->layers[d->model->head[k]];
    l.output = d->output[k];
    get_detection_detections(l, d->photo_w, d->photo_h, d->thresh, d->box + at);
    for (int cell = 0; cell < head->side * head->side; ++cell)
        for (int a = 0; a < head->num; ++a, ++at) {
            box *b = &d->box[at].bbox; /* it alone answers in pixels */
            b->x /= d->photo_w, b->w /= d->photo_w, b->y /= d->photo_h, b->h /= d->photo_h;
            d->place[at] = (struct place){d->model->head[k], a, cell};
        }
    return at;
}

static cp_status allocate(decoder *d)
{
    size_t probs;
    for (int k = 0; k < d->model->heads; ++k) {
        d->n += count_candidates(d, k);
        if (shape_of(d, k)->classes > d->classes) d->classes = shape_of(d, k)->classes;
    }
    if (!cp_mul((size_t)d->n, (size_t)d->classes, &probs)) return cp_fail(CP_ERESOURCE, "detections: too many");
    d->box = cp_alloc(d->n, sizeof *d->box, "detections");
    d->place = cp_alloc(d->n, sizeof *d->place, "detections");
    d->prob = cp_alloc(probs, sizeof *d->prob, "detections");
    if (!d->box || !d->place || !d->prob) return CP_ERESOURCE;
    for (int i = 0; i < d->n; ++i) d->box[i].prob = d->prob + (size_t)i * d->classes, d->box[i].classes = d->classes;
    return CP_OK;
}

static void take_all(decoder *d)
{
    for (int k = 0, at = 0; k < d->model->heads; ++k) {
        const cp_cfg_layer *head = shape_of(d, k);
        at = is_yolo(head)                     ? take_yolo(d, k, at)
             : head->type == CP_LAYER_REGION ? take_region(d, k, at)
                                             : take_detection(d, k, at);
    }
}

/* ---- merging ---- */

/* The IoU less a power of the distance of the centres over the diagonal of the box around both (AlexeyAB's box.c). */
static float distance_iou(box a, box b, float beta)
{
    float left = fminf(a.x - a.w / 2, b.x - b.w / 2), right = fmaxf(a.x + a.w / 2, b.x + b.w / 2);
    float top = fminf(a.y - a.h / 2, b.y - b.h / 2), bottom = fmaxf(a.y + a.h / 2, b.y + b.h / 2);
    float w = right - left, h = bottom - top, c = w * w + h * h;
    float d = (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y), iou = box_iou(a, b);
    return c == 0 ? iou : iou - powf(d / c, beta);
}

/* By falling probability of class `sort_class`; of equal ones the order is qsort's, as in Darknet. */
static int compare_boxes(const void *a, const void *b)
{
    const detection *p = a, *q = b;
    float difference = p->prob[p->sort_class] - q->prob[q->sort_class];
    return difference < 0 ? 1 : difference > 0 ? -1 : 0;
}

static void merge_class(decoder *d, int n, int c, float beta)
{
    for (int i = 0; i < n; ++i) d->box[i].sort_class = c;
    qsort(d->box, n, sizeof *d->box, compare_boxes);
    for (int i = 0; i < n; ++i) {
        if (d->box[i].prob[c] == 0) continue;
        for (int j = i + 1; j < n; ++j)
            if (distance_iou(d->box[i].bbox, d->box[j].bbox, beta) > d->nms) d->box[j].prob[c] = 0;
    }
}

/* Candidates without objectness go to the end, in the order that do_nms_sort gives them. */
static int put_empty_last(decoder *d)
{
    int last = d->n - 1;
    for (int i = 0; i <= last; ++i)
        if (d->box[i].objectness == 0) {
            detection swap = d->box[i];
            d->box[i--] = d->box[last];
            d->box[last--] = swap;
        }
    return last + 1;
}

/* The last head of the cfg says how. Corners' merging is for [Gaussian_yolo] and there the IoU decides. */
static void merge(decoder *d)
{
    const cp_cfg_layer *last = shape_of(d, d->model->heads - 1);
    if (last->nms_kind == CP_NMS_GREEDY || last->nms_kind == CP_NMS_DIOU) {
        int n = put_empty_last(d);
        for (int c = 0; c < d->classes; ++c) merge_class(d, n, c, last->nms_kind == CP_NMS_DIOU ? last->beta_nms : .6f);
    } else {
        do_nms_sort(d->box, d->n, d->classes, d->nms);
    }
}

/* ---- what is left ---- */

static int best_class(const decoder *d, const detection *b)
{
    int best = 0;
    for (int c = 1; c < d->classes; ++c)
        if (b->prob[c] > b->prob[best]) best = c;
    return best;
}

/* AlexeyAB's Darknet prints boxes from left to right, the best class of each first. */
static int compare_lefts(const void *a, const void *b)
{
    const detection *p = a, *q = b;
    float difference = (p->bbox.x - p->bbox.w / 2) - (q->bbox.x - q->bbox.w / 2);
    if (difference != 0) return difference < 0 ? -1 : 1;
    return p->prob < q->prob ? -1 : p->prob > q->prob;
}

static void add(const decoder *d, const detection *b, int c, cp_detection *to)
{
    struct place at = d->place[(b->prob - d->prob) / d->classes];
    *to = (cp_detection){.x = b->bbox.x, .y = b->bbox.y, .w = b->bbox.w, .h = b->bbox.h, .objectness = b->objectness,
                         .probability = b->prob[c], .class_id = c, .head = at.head, .anchor = at.anchor, .cell = at.cell};
}

static cp_status collect(decoder *d, cp_detection **out, int *count)
{
    size_t n = 0;
    bool by_left = d->model->semantics.lineage != CP_LINEAGE_DEBIAN;
    for (int i = 0; i < d->n; ++i)
        for (int c = 0; c < d->classes; ++c) n += d->box[i].prob[c] > d->thresh;
    *out = cp_alloc(n, sizeof **out, "detections");
    if (!*out) return CP_ERESOURCE;
    if (by_left) qsort(d->box, d->n, sizeof *d->box, compare_lefts);
    for (int i = 0; i < d->n; ++i) {
        int first = by_left ? best_class(d, &d->box[i]) : -1;
        if (first >= 0 && d->box[i].prob[first] > d->thresh) add(d, &d->box[i], first, &(*out)[(*count)++]);
        for (int c = 0; c < d->classes; ++c)
            if (c != first && d->box[i].prob[c] > d->thresh) add(d, &d->box[i], c, &(*out)[(*count)++]);
    }
    return CP_OK;
}

static cp_status run_heads(decoder *d, const float *const *logits)
{
    d->output = cp_alloc(d->model->heads, sizeof *d->output, "detections");
    if (!d->output) return CP_ERESOURCE;
    for (int k = 0; k < d->model->heads; ++k) {
        d->output[k] = cp_alloc(d->model->layer[d->model->head[k]].outputs, sizeof(float), "detections");
        if (!d->output[k]) return CP_ERESOURCE;
        cp_status status = cp_model_run_head(d->model, d->model->head[k], logits[k], d->output[k]);
        if (status) return status;
    }
    return CP_OK;
}

cp_status cp_model_detect(const cp_model *model, const float *const *logits, size_t photo_w, size_t photo_h, float thresh,
                          float nms, cp_detection **detections, int *count)
{
    *detections = NULL, *count = 0;
    if (model->kind != CP_DETECTOR)
        return cp_fail(CP_EINPUT, "model: %s has no yolo, region or detection layer", model->cfg_path);
    decoder d = {.model = model, .photo_w = (int)photo_w, .photo_h = (int)photo_h, .thresh = thresh, .nms = nms};
    cp_status status = run_heads(&d, logits);
    if (!status) status = allocate(&d);
    if (!status) {
        take_all(&d);
        if (nms > 0) merge(&d);
        status = collect(&d, detections, count);
    }
    for (int k = 0; k < model->heads && d.output; ++k) cp_free(d.output[k]);
    cp_free(d.output), cp_free(d.box), cp_free(d.place), cp_free(d.prob);
    return status;
}

void cp_free_detections(cp_detection *detections) { cp_free(detections); }
