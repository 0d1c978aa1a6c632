/* What a head makes of one response: its probability, and the classes that it competes with. */
#include <math.h>

#include "io/error.h"
#include "model/model.h"

/* Where the response's unit stands in the layout of its head. */
typedef struct {
    bool probability;    /* softmax or logistic of it is a probability; not so of a coordinate */
    size_t first, step;  /* the rival classes: units first, first + step, ... */
    int rivals;          /* the response's own among them; 0: it competes with none */
} place;

static place place_in_head(const cp_model *model, int head, size_t index)
{
    const layer *l = &model->net->layers[head];
    place p = {.probability = true, .step = 1};
    size_t cells, entries, entry, coords, cell;
    switch (l->type) {
    case SOFTMAX:
    case LOGXENT:
        p.rivals = model->classes;
        return p;
    case DETECTION: /* v1: classes per cell, then confidences, then boxes */
        cells = (size_t)l->side * l->side;
        p.probability = index < cells * (l->classes + l->n);
        if (index < cells * l->classes) p.first = index / l->classes * l->classes, p.rivals = l->classes;
        return p;
    case YOLO:
    case REGION:
        cells = (size_t)l->w * l->h;
        coords = l->type == REGION ? l->coords : 4;
        entries = coords + l->classes + 1;
        entry = index / cells % entries, cell = index % cells;
        p.probability = entry == coords || (entry > coords && (l->type == YOLO || l->softmax || l->softmax_tree));
        if (entry <= coords || (l->type == REGION && (l->background || l->softmax_tree))) return p;
        p.first = index / (cells * entries) * cells * entries + (coords + 1) * cells + cell;
        p.step = cells, p.rivals = l->classes;
        return p;
    default:
        p.probability = false;
        return p;
    }
}

/* The head that reads the response's layer, or -1. */
static int head_of(const cp_model *model, const cp_response *response)
{
    if (response->n != 1) return -1;
    int value = model->layer[response->unit[0].layer].value;
    for (int k = 0; k < model->heads; ++k) {
        int logits = cp_model_logit_layer(model, model->head[k]);
        if (model->layer[model->head[k]].head && model->layer[logits].value == value) return model->head[k];
    }
    return -1;
}

cp_status cp_response_decode(const cp_model *model, const cp_response *response, const float *outputs,
                             cp_decoded *decoded)
{
    int head = head_of(model, response);
    size_t index = response->unit[0].index;
    place p = {.step = 1};
    *decoded = (cp_decoded){.head = head, .probability = NAN};
    if (head >= 0) {
        p = place_in_head(model, head, index);
    } else if (model->kind == CP_CLASSIFIER && !model->heads && response->n == 1 &&
               model->layer[response->unit[0].layer].value == model->layer[model->layers - 1].value) {
        p.rivals = model->classes; /* logits without a head */
    }
    size_t best = p.first;
    for (int i = 1; i < p.rivals; ++i)
        if (outputs[p.first + i * p.step] > outputs[best]) best = p.first + i * p.step;
    decoded->rivals = p.rivals;
    decoded->largest = p.rivals > 0 && best == index;
    if (!p.probability) return CP_OK;
    float *probabilities = cp_alloc(model->layer[head].outputs, sizeof *probabilities, "head");
    cp_status status = probabilities ? cp_model_run_head(model, head, outputs, probabilities) : CP_ERESOURCE;
    if (!status) decoded->probability = probabilities[index];
    cp_free(probabilities);
    return status;
}
