/* What a head makes of one response: its probability, and the classes that it competes with. */
#include <math.h>

#include "io/error.h"
#include "model/class_tree.h"
#include "model/model.h"

/* Where the response's unit stands in the layout of its head. */
typedef struct {
    bool probability;    /* softmax or logistic of it is a probability; not so of a coordinate */
    size_t first, step;  /* the rival classes: units first, first + step, ... */
    int rivals;          /* the response's own among them; 0: it competes with none */
    const cp_class_tree *tree; /* of the classes, or NULL */
    size_t classes;      /* in a tree: the unit of class 0, and the response's own class */
    int class_id;
} place;

static place place_on_grid(const cp_cfg_layer *l, size_t index)
{
    place p = {.step = (size_t)l->w * l->h};
    size_t entries = cp_head_entry(l, CP_TARGET_CLASS, l->classes), first = cp_head_entry(l, CP_TARGET_CLASS, 0);
    size_t entry = index / p.step % entries, cell = index % p.step;
    bool class_score = entry >= first;
    p.probability = entry == first - 1 || (class_score && (l->type != CP_LAYER_REGION || l->softmax || l->tree));
    if (!class_score) return p;
    p.first = (index / (p.step * entries) * entries + first) * p.step + cell;
    p.rivals = l->classes;
    p.tree = l->tree;
    return p;
}

/* In a hierarchy a class competes with its siblings. */
static place among_siblings(place p, size_t index)
{
    if (!p.tree || !p.rivals) return p;
    p.classes = p.first;
    p.class_id = (int)((index - p.first) / p.step);
    int group = p.tree->group[p.class_id];
    p.first += (size_t)p.tree->offset[group] * p.step;
    p.rivals = p.tree->size[group];
    return p;
}

static place place_in_head(const cp_model *model, int head, size_t index)
{
    const cp_cfg_layer *l = &model->shapes->layers[head];
    place p = {.probability = true, .step = 1};
    size_t cells;
    switch (l->type) {
    case CP_LAYER_SOFTMAX:
    case CP_LAYER_LOGISTIC:
        p.rivals = model->classes;
        p.tree = l->tree;
        return p;
    case CP_LAYER_DETECTION: /* v1: classes per cell, then confidences, then boxes */
        cells = (size_t)l->side * l->side;
        p.probability = index < cells * (l->classes + l->num);
        if (index < cells * l->classes) p.first = index / l->classes * l->classes, p.rivals = l->classes;
        return p;
    case CP_LAYER_YOLO:
    case CP_LAYER_GAUSSIAN_YOLO:
    case CP_LAYER_REGION:
        return place_on_grid(l, index);
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
        p = among_siblings(place_in_head(model, head, index), index);
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
    if (!status && p.tree && p.rivals)
        decoded->probability = cp_class_tree_probability(p.tree, probabilities + p.classes, p.step, p.class_id);
    else if (!status)
        decoded->probability = probabilities[index];
    cp_free(probabilities);
    return status;
}

cp_status cp_model_box_probabilities(const cp_model *model, const cp_detection *detection, const float *outputs,
                                     float *probabilities)
{
    cp_detection other = *detection;
    cp_response logit;
    cp_status status = cp_response_detection(model, detection, CP_TARGET_CLASS, &logit);
    if (status) return status;
    float *decoded = cp_alloc(model->layer[detection->head].outputs, sizeof *decoded, "head");
    status = decoded ? cp_model_run_head(model, detection->head, outputs, decoded) : CP_ERESOURCE;
    /* What else the head multiplies with, objectness above all, is the same for all classes of a box. */
    float own = decoded ? decoded[logit.unit[0].index] : 0;
    for (other.class_id = 0; !status && other.class_id < model->classes; other.class_id++) {
        status = cp_response_detection(model, &other, CP_TARGET_CLASS, &logit);
        const cp_cfg_layer *head = &model->shapes->layers[detection->head];
        size_t step = (size_t)head->w * (size_t)head->h;
        if (!status && head->tree)
            probabilities[other.class_id] = detection->objectness * cp_class_tree_probability(
                head->tree, decoded + logit.unit[0].index - (size_t)other.class_id * step, step, other.class_id);
        else if (!status)
            probabilities[other.class_id] = own > 0 ? detection->probability * (decoded[logit.unit[0].index] / own) : 0;
    }
    cp_free(decoded);
    return status;
}
