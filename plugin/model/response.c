/* Responses: which unit of which layer stands for a prediction. Always the raw logit before a head. */
#include <stdio.h>

#include "io/error.h"
#include "model/model.h"

static cp_status one_unit(const cp_model *model, int layer, size_t index, cp_response *response)
{
    if (index >= model->layer[layer].outputs)
        return cp_fail(CP_EINPUT, "response: unit %zu of layer %d does not exist, the layer has %zu", index, layer,
                       model->layer[layer].outputs);
    response->n = 1;
    response->unit[0].layer = layer;
    response->unit[0].index = index;
    response->unit[0].weight = 1;
    return CP_OK;
}

cp_status cp_response_class(const cp_model *model, int class_id, cp_response *response)
{
    if (model->kind != CP_CLASSIFIER)
        return cp_fail(CP_EINPUT, "response: %s is no classifier, a class alone names no response", model->cfg_path);
    if (class_id < 0 || class_id >= model->classes)
        return cp_fail(CP_EINPUT, "response: class %d is not among 0..%d", class_id, model->classes - 1);
    int layer = model->heads ? cp_model_logit_layer(model, model->head[0]) : 0;
    if (!model->heads) {
        layer = model->layers - 1;
        while (layer > 0 && model->layer[layer].head) --layer;
    }
    snprintf(response->text, sizeof response->text, "logit of class %d (layer %d, unit %d)", class_id, layer, class_id);
    return one_unit(model, layer, class_id, response);
}

size_t cp_head_entry(const cp_cfg_layer *head, cp_target target, int class_id)
{
    bool gaussian = head->type == CP_LAYER_GAUSSIAN_YOLO;
    if (target == CP_TARGET_CLASS) return (gaussian ? 9 : 5) + (size_t)class_id;
    if (target == CP_TARGET_OBJECTNESS) return gaussian ? 8 : 4;
    return (size_t)(target - CP_TARGET_X) * (gaussian ? 2 : 1);
}

/* Index of an entry of one predictor in the head's input. */
static size_t entry_of(const cp_cfg_layer *l, const cp_detection *d, cp_target target)
{
    size_t cells = (size_t)l->w * l->h;
    if (l->type == CP_LAYER_DETECTION) { /* v1: classes per cell, then confidences, then boxes */
        size_t all = (size_t)l->side * l->side, k = (size_t)d->cell * l->num + d->anchor;
        if (target == CP_TARGET_CLASS) return (size_t)d->cell * l->classes + d->class_id;
        if (target == CP_TARGET_OBJECTNESS) return all * l->classes + k;
        return all * (l->classes + l->num) + k * 4 + (target - CP_TARGET_X);
    }
    size_t entries = cp_head_entry(l, CP_TARGET_CLASS, l->classes);
    return (d->anchor * entries + cp_head_entry(l, target, d->class_id)) * cells + d->cell;
}

cp_status cp_response_detection(const cp_model *model, const cp_detection *detection, cp_target target,
                                cp_response *response)
{
    static const char *const names[] = {"class", "objectness", "x", "y", "w", "h"};
    int head = detection->head;
    if (head < 0 || head >= model->layers || !model->layer[head].head)
        return cp_fail(CP_EINPUT, "response: layer %d is no head", head);
    const cp_cfg_layer *l = &model->shapes->layers[head];
    int layer = cp_model_logit_layer(model, head);
    size_t index = entry_of(l, detection, target);
    char what[40];
    if (target == CP_TARGET_CLASS)
        snprintf(what, sizeof what, "class %d", detection->class_id);
    else
        snprintf(what, sizeof what, "%s", names[target]);
    snprintf(response->text, sizeof response->text, "%s logit of anchor %d, cell %d of %s layer %d (layer %d, unit %zu)",
             what, detection->anchor, detection->cell, model->layer[head].type, head, layer, index);
    return one_unit(model, layer, index, response);
}

cp_status cp_response_unit(const cp_model *model, int layer, size_t index, cp_response *response)
{
    if (layer < 0 || layer >= model->layers)
        return cp_fail(CP_EINPUT, "response: layer %d is not among 0..%d", layer, model->layers - 1);
    if (model->layer[layer].head)
        return cp_fail(CP_EINPUT, "response: layer %d is a %s head, which only decodes; its logits are in layer %d", layer,
                       model->layer[layer].type, cp_model_logit_layer(model, layer));
    snprintf(response->text, sizeof response->text, "unit %zu of layer %d (%s)", index, layer, model->layer[layer].type);
    return one_unit(model, layer, index, response);
}

cp_status cp_response_difference(const cp_response *a, const cp_response *b, cp_response *difference)
{
    cp_response sum = *a;
    if (a->n + b->n > CP_RESPONSE_UNITS)
        return cp_fail(CP_EINPUT, "response: a difference of %d and %d units, at most %d in all are allowed", a->n, b->n,
                       CP_RESPONSE_UNITS);
    for (int i = 0; i < b->n; i++) {
        sum.unit[sum.n] = b->unit[i];
        sum.unit[sum.n++].weight = -b->unit[i].weight;
    }
    snprintf(sum.text, sizeof sum.text, "%.75s less %.75s", a->text, b->text);
    *difference = sum;
    return CP_OK;
}
