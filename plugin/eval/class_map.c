#include "eval/class_map.h"

#include <string.h>

int cp_class_map_find(const cp_model *model, int logits)
{
    int layer = cp_model_layer(model, logits)->value;
    size_t classes = (size_t)cp_model_classes(model);
    const cp_layer_info *info = cp_model_layer(model, layer);
    if (cp_model_get_kind(model) != CP_CLASSIFIER || info->outputs != classes)
        return -1;
    while (!info->neuron && info->n_sources == 1 && info->sources[0] >= 0 && !strcmp(info->type, "avgpool")) {
        layer = cp_model_layer(model, info->sources[0])->value;
        info = cp_model_layer(model, layer);
    }
    return info->neuron && info->c == classes ? cp_model_neuron_position(model, layer) : -1;
}
