/* The heads, by Darknet's own functions, on buffers of this call; detections: boxes.c. */
#include <string.h>

#include "io/error.h"
#include "model/class_tree.h"
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

/* Darknet's, but not in darknet.h. */
void activate_array(float *x, const int n, const ACTIVATION a);

/* What AlexeyAB's [yolo] has beyond Darknet's: centres that reach across the border of their cell, and with new_coords
 * values that the layer before has put through its logistic. output: as copied from the logits, then finished. */
static void finish_yolo(const cp_cfg_layer *head, float *output)
{
    int cells = head->w * head->h;
    for (size_t a = 0; a < head->n_mask; ++a, output += (head->classes + 5) * cells) {
        if (head->logistic) activate_array(output, (head->classes + 5) * cells, LOGISTIC);
        for (int i = 0; i < 2 * cells && head->scale_x_y != 1; ++i)
            output[i] = head->scale_x_y * output[i] - (head->scale_x_y - 1) / 2;
    }
}

/* All but the two logarithms of the size go through the logistic (AlexeyAB's gaussian_yolo_layer.c). */
static void finish_gaussian(const cp_cfg_layer *head, float *output)
{
    int cells = head->w * head->h;
    for (size_t a = 0; a < head->n_mask; ++a, output += (head->classes + 9) * cells) {
        activate_array(output, 4 * cells, LOGISTIC);
        activate_array(output + 5 * cells, cells, LOGISTIC);
        activate_array(output + 7 * cells, (head->classes + 2) * cells, LOGISTIC);
        for (int i = 0; i < cells; ++i)
            for (int k = 0; k <= 2; k += 2)
                output[k * cells + i] = head->scale_x_y * output[k * cells + i] - (head->scale_x_y - 1) / 2;
    }
}

/* With a hierarchy Darknet's CPU code softmaxes other places than those it means in a [region]; this is what its GPU code
 * does, as in a [softmax]. */
static void finish_tree(const cp_cfg_layer *head, float *output)
{
    size_t cells = (size_t)head->w * (size_t)head->h, entries = 5 + (size_t)head->classes;
    if (head->type == CP_LAYER_SOFTMAX) {
        cp_class_tree_softmax(head->tree, output, 1, head->temperature, output);
        return;
    }
    for (size_t a = 0; a < head->n_mask; ++a, output += entries * cells) {
        activate_array(output, (int)(2 * cells), LOGISTIC);
        activate_array(output + 4 * cells, (int)cells, LOGISTIC);
        for (size_t i = 0; i < cells; ++i) cp_class_tree_softmax(head->tree, output + 5 * cells + i, cells, 1, output + 5 * cells + i);
    }
}

/* On a copy of the head that owns its buffers. */
cp_status cp_model_run_head(const cp_model *model, int head, const float *logits, float *output)
{
    layer l = model->net->layers[head];
    const cp_cfg_layer *shape = &model->shapes->layers[head];
    bool yolo = shape->type == CP_LAYER_YOLO;
    if (yolo && shape->new_coords) {
        memcpy(output, logits, l.outputs * sizeof *output);
        finish_yolo(shape, output);
        return CP_OK;
    }
    if (shape->tree) {
        memcpy(output, logits, l.outputs * sizeof *output);
        finish_tree(shape, output);
        return CP_OK;
    }
    if (shape->type == CP_LAYER_GAUSSIAN_YOLO) {
        memcpy(output, logits, l.outputs * sizeof *output);
        finish_gaussian(shape, output);
        return CP_OK;
    }
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
    if (yolo) finish_yolo(shape, output);
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
    const cp_class_tree *tree = model->shapes->layers[model->head[0]].tree;
    bool leaves = model->semantics.lineage == CP_LINEAGE_DEBIAN; /* AlexeyAB's answers with any class */
    cp_status status = cp_model_run_head(model, model->head[0], logits, probabilities);
    for (int c = 0; tree && !status && c < tree->n; ++c) /* a parent comes before its children */
        if (tree->parent[c] >= 0) probabilities[c] *= probabilities[tree->parent[c]];
    for (int c = 0; tree && !status && leaves && c < tree->n; ++c)
        if (!tree->leaf[c]) probabilities[c] = 0;
    return status;
}
