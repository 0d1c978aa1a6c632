/* Decodes what the network answered. */
#include "cli/prediction.h"

#include "io/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADS = 64 };

/* Descending probability, then the smaller number: the order of Darknet's top_k. */
static void sort_top(cp_prediction *p, int classes)
{
    for (int k = 0; k < p->n_top; k++) {
        int best = -1;
        for (int c = 0; c < classes; c++) {
            float value = p->probabilities[c];
            bool below = !k || value < p->probabilities[p->top[k - 1]] ||
                         (value == p->probabilities[p->top[k - 1]] && c > p->top[k - 1]);
            if (below && (best < 0 || value > p->probabilities[best]))
                best = c;
        }
        p->top[k] = best;
    }
}

static cp_status classify(const cp_session *s, const cp_item *item, cp_prediction *p)
{
    const int *heads;
    int classes = cp_model_classes(s->model);
    cp_response first;
    cp_status status = cp_response_class(s->model, 0, &first);
    p->bare = !cp_model_heads(s->model, &heads);
    if (status)
        return status;
    p->logits = cp_frame_output(s->frame, first.unit[0].layer, 0);
    for (int c = 0; c < classes; c++)
        if (!isfinite(p->logits[c]))
            return cp_fail(CP_EINPUT, "%s: the logit of class %d is %f, allowed is a finite number", item->path, c,
                           (double)p->logits[c]);
    p->n_top = s->options->top < classes ? s->options->top : classes;
    p->probabilities = cp_alloc((size_t)classes, sizeof(float), "prediction");
    p->top = cp_alloc((size_t)p->n_top, sizeof(int), "prediction");
    if (!p->probabilities || !p->top)
        return CP_ERESOURCE;
    if ((status = cp_model_classify(s->model, p->logits, p->probabilities)))
        return status;
    sort_top(p, classes);
    return CP_OK;
}

/* Darknet decodes boxes as if the photo were letterboxed; a stretched one is decoded relative to the input itself. */
cp_status cp_prediction_detect(const cp_session *s, const cp_item *item, float thresh, cp_detection **detections,
                               int *count)
{
    const float *logits[MAX_HEADS];
    const int *heads;
    int n = cp_model_heads(s->model, &heads);
    if (n > MAX_HEADS)
        return cp_fail(CP_EINPUT, "%s: %d heads, allowed are %d", s->cfg_path, n, MAX_HEADS);
    for (int k = 0; k < n; k++)
        logits[k] = cp_frame_output(s->frame, cp_model_logit_layer(s->model, heads[k]), 0);
    bool bars = s->options->letterbox == CP_FIT_LETTERBOX;
    return cp_model_detect(s->model, logits, bars ? item->placement.photo_w : s->w,
                           bars ? item->placement.photo_h : s->h, thresh, (float)s->options->nms, detections, count);
}

static int by_probability(const void *a, const void *b)
{
    const cp_detection *p = *(cp_detection *const *)a, *q = *(cp_detection *const *)b;
    if (p->probability != q->probability)
        return p->probability < q->probability ? 1 : -1;
    return p < q ? -1 : p > q;
}

static cp_status rank_detections(cp_prediction *p)
{
    size_t n = (size_t)p->n_detections;
    p->ranked = cp_alloc(n, sizeof *p->ranked, "prediction");
    p->box = cp_alloc(n, sizeof *p->box, "prediction");
    if (!p->ranked || !p->box)
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        p->ranked[i] = &p->detections[i];
    qsort(p->ranked, n, sizeof *p->ranked, by_probability);
    for (size_t i = 0; i < n; i++)
        p->box[p->ranked[i] - p->detections] = (int)i + 1;
    return CP_OK;
}

cp_status cp_predict(const cp_session *s, const cp_item *item, cp_prediction *p)
{
    *p = (cp_prediction){.kind = cp_model_get_kind(s->model)};
    cp_status status = CP_OK;
    if (p->kind == CP_CLASSIFIER)
        status = classify(s, item, p);
    else if (p->kind == CP_DETECTOR)
        status = cp_prediction_detect(s, item, (float)s->options->thresh, &p->detections, &p->n_detections);
    if (!status && p->kind == CP_DETECTOR)
        status = rank_detections(p);
    return status;
}

void cp_prediction_free(cp_prediction *p)
{
    cp_free(p->probabilities);
    cp_free(p->top);
    cp_free(p->ranked);
    cp_free(p->box);
    cp_free_detections(p->detections);
    *p = (cp_prediction){0};
}

void cp_detection_rectangle(const cp_session *s, const cp_item *item, const cp_detection *d, double *x, double *y,
                            double *w, double *h)
{
    const cp_placement *at = &item->placement;
    double left = d->x - d->w / 2., top = d->y - d->h / 2., width = d->w, height = d->h;
    /* Darknet leaves a v1 box relative to the letterboxed input; the others are relative to the photo. */
    if (!strcmp(cp_model_layer(s->model, d->head)->type, "detection")) {
        left = (left * (double)s->w - (double)at->x) / (double)at->w;
        top = (top * (double)s->h - (double)at->y) / (double)at->h;
        width *= (double)s->w / (double)at->w;
        height *= (double)s->h / (double)at->h;
    }
    *x = left * (double)at->photo_w;
    *y = top * (double)at->photo_h;
    *w = width * (double)at->photo_w;
    *h = height * (double)at->photo_h;
}

/* "dog 57%" */
void cp_label_detection(const cp_session *s, int class_id, float probability, char label[160])
{
    char number[24];
    snprintf(label, 160, probability < .01f ? "%.100s %.1g%%" : "%.100s %.0f%%", cp_session_class(s, class_id, number),
             (double)(probability * 100));
}

/* probabilities: of all classes in the box; to be freed. */
cp_status cp_box_probabilities(const cp_session *s, const cp_detection *d, float **probabilities)
{
    *probabilities = cp_alloc((size_t)cp_model_classes(s->model), sizeof **probabilities, "probabilities");
    if (!*probabilities)
        return CP_ERESOURCE;
    const float *logits = cp_frame_output(s->frame, cp_model_logit_layer(s->model, d->head), 0);
    return cp_model_box_probabilities(s->model, d, logits, *probabilities);
}
