/* Predictions from logits: the heads decode, by Darknet's own functions, on buffers of this call. */
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/model.h"

int cp_model_logit_layer(const cp_model *model, int head)
{
    return model->layer[head].head ? model->layer[head].sources[0] : head;
}

int cp_model_heads(const cp_model *model, const int **heads)
{
    *heads = model->head;
    return model->heads;
}

/* On a copy of the head that owns its buffers. */
cp_status cp_model_run_head(const cp_model *model, int head, const float *logits, float *output)
{
    layer l = model->net->layers[head];
    network net = *model->net;
    net.input = (float *)logits;
    net.truth = NULL;
    net.train = 0;
    net.index = head;
    float unused_cost = 0;
    l.output = output;
    l.cost = &unused_cost;
    l.delta = cp_alloc(l.outputs, sizeof(float), "head");
    if (!l.delta) return CP_ERESOURCE;
    l.forward(l, net);
    cp_free(l.delta);
    return CP_OK;
}

cp_status cp_model_classify(const cp_model *model, const float *logits, float *probabilities)
{
    if (model->kind != CP_CLASSIFIER)
        return cp_fail(CP_EINPUT, "model: %s is no classifier: its last layer is %s", model->cfg_path,
                       model->layer[model->layers - 1].type);
    if (!model->heads) {
        memcpy(probabilities, logits, model->classes * sizeof *probabilities);
        return CP_OK;
    }
    return cp_model_run_head(model, model->head[0], logits, probabilities);
}

/* Which predictor a slot of Darknet's detection array belongs to; NMS moves the structs but keeps their prob pointer. */
typedef struct {
    const float *prob;
    int head, anchor, cell;
} slot;

static int compare_slots(const void *a, const void *b)
{
    const float *p = ((const slot *)a)->prob, *q = ((const slot *)b)->prob;
    return p < q ? -1 : p > q;
}

/* Follows the order in which fill_network_boxes fills the array. */
static void number_slots(const network *net, float thresh, const detection *dets, int boxes, slot *slots)
{
    int k = 0;
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        int cells = l->w * l->h;
        if (l->type == YOLO) {
            for (int cell = 0; cell < cells; ++cell)
                for (int a = 0; a < l->n; ++a) {
                    if (l->output[a * cells * (4 + l->classes + 1) + 4 * cells + cell] <= thresh || k >= boxes) continue;
                    slots[k] = (slot){dets[k].prob, i, a, cell};
                    ++k;
                }
        } else if (l->type == REGION) {
            for (int a = 0; a < l->n; ++a)
                for (int cell = 0; cell < cells && k < boxes; ++cell, ++k) slots[k] = (slot){dets[k].prob, i, a, cell};
        } else if (l->type == DETECTION) {
            for (int cell = 0; cell < l->side * l->side; ++cell)
                for (int a = 0; a < l->n && k < boxes; ++a, ++k) slots[k] = (slot){dets[k].prob, i, a, cell};
        }
    }
    qsort(slots, k, sizeof *slots, compare_slots);
}

static cp_status collect(const cp_model *model, const detection *dets, int boxes, const slot *slots, float thresh,
                         size_t photo_w, size_t photo_h, cp_detection **out, int *count)
{
    size_t n = 0;
    for (int i = 0; i < boxes; ++i)
        for (int c = 0; c < model->classes; ++c) n += dets[i].prob[c] > thresh;
    *out = cp_alloc(n, sizeof **out, "detections");
    if (!*out) return CP_ERESOURCE;
    *count = 0;
    for (int i = 0; i < boxes; ++i) {
        slot key = {.prob = dets[i].prob};
        const slot *where = bsearch(&key, slots, boxes, sizeof *slots, compare_slots);
        for (int c = 0; c < model->classes && where; ++c) {
            if (!(dets[i].prob[c] > thresh)) continue;
            cp_detection *d = &(*out)[(*count)++];
            box b = dets[i].bbox;
            if (model->net->layers[where->head].type == DETECTION) /* it alone answers in pixels */
                b.x /= photo_w, b.w /= photo_w, b.y /= photo_h, b.h /= photo_h;
            *d = (cp_detection){.x = b.x, .y = b.y, .w = b.w, .h = b.h, .objectness = dets[i].objectness,
                                .probability = dets[i].prob[c], .class_id = c, .head = where->head,
                                .anchor = where->anchor, .cell = where->cell};
        }
    }
    return CP_OK;
}

cp_status cp_model_detect(const cp_model *model, const float *const *logits, size_t photo_w, size_t photo_h, float thresh,
                          float nms, cp_detection **detections, int *count)
{
    *detections = NULL, *count = 0;
    if (model->kind != CP_DETECTOR)
        return cp_fail(CP_EINPUT, "model: %s has no yolo, region or detection layer", model->cfg_path);
    /* Darknet decodes from its layers' outputs: a copy of the layer array gets outputs of this call. */
    network net = *model->net;
    slot *slots = NULL;
    detection *dets = NULL;
    int boxes = 0;
    cp_status status = CP_ERESOURCE;
    net.layers = cp_alloc(net.n, sizeof *net.layers, "detections");
    if (!net.layers) return CP_ERESOURCE;
    memcpy(net.layers, model->net->layers, net.n * sizeof *net.layers);
    for (int k = 0; k < model->heads; ++k) net.layers[model->head[k]].output = NULL;
    for (int k = 0; k < model->heads; ++k) {
        layer *l = &net.layers[model->head[k]];
        l->output = cp_alloc(l->outputs, sizeof(float), "detections");
        if (!l->output) goto done;
        status = cp_model_run_head(model, model->head[k], logits[k], l->output);
        if (status) goto done;
    }
    dets = get_network_boxes(&net, (int)photo_w, (int)photo_h, thresh, thresh, 0, 1, &boxes);
    slots = cp_alloc(boxes, sizeof *slots, "detections");
    status = slots ? CP_OK : CP_ERESOURCE;
    if (status) goto done;
    number_slots(&net, thresh, dets, boxes, slots);
    if (nms > 0) do_nms_sort(dets, boxes, model->classes, nms);
    status = collect(model, dets, boxes, slots, thresh, photo_w, photo_h, detections, count);
done:
    if (dets) free_detections(dets, boxes);
    cp_free(slots);
    for (int k = 0; k < model->heads; ++k) cp_free(net.layers[model->head[k]].output);
    cp_free(net.layers);
    return status;
}

void cp_free_detections(cp_detection *detections) { cp_free(detections); }
