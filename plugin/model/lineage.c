/* Whose Darknet a network is answered for. Debian's, AlexeyAB's and hank-ai's read the same cfg and weights, and prepare
 * photos, normalise batches and print boxes in different ways. */
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "model/model.h"

static cp_lineage asked = CP_LINEAGE_AUTO;

void cp_set_lineage(cp_lineage lineage) { asked = lineage; }

const char *cp_lineage_name(cp_lineage lineage)
{
    static const char *const names[] = {"auto", "debian", "alexey", "hankai"};
    return (unsigned)lineage < sizeof names / sizeof *names ? names[lineage] : "unknown";
}

/* Debian's Darknet does not know these keys of a [yolo], and goes on without them. */
static cp_status decode_as_debian(cp_cfg_net *net)
{
    cp_status status = CP_OK;
    for (size_t i = 0; i < net->n_layers && !status; ++i) {
        cp_cfg_layer *l = &net->layers[i];
        if (l->type == CP_LAYER_CONVOLUTIONAL && l->size == 1 && l->stride * l->stride_y > 1)
            status = cp_cfg_add_warning(net, "-host debian: Debian's Darknet itself ignores the stride of a 1x1 convolution");
        if (l->type != CP_LAYER_YOLO || (l->scale_x_y == 1 && l->nms_kind == CP_NMS_DEFAULT)) continue;
        char text[160];
        snprintf(text, sizeof text, "layer %zu [yolo], line %d: -host debian: its scale_x_y and nms_kind are not used", i,
                 l->line);
        l->scale_x_y = 1;
        l->nms_kind = CP_NMS_DEFAULT;
        status = cp_cfg_add_warning(net, text);
    }
    return status;
}

/* Keys of AlexeyAB's are hank-ai's too, who went on from there: where nothing is asked for, they mean AlexeyAB. */
cp_status cp_model_find_semantics(cp_model *model)
{
    cp_semantics *s = &model->semantics;
    cp_cfg_net *net = model->shapes;
    *s = (cp_semantics){.lineage = asked, .fit = CP_FIT_LETTERBOX, .thresh = .5, .nms = .45};
    if (asked != CP_LINEAGE_AUTO) snprintf(s->reason, sizeof s->reason, "asked for");
    else if (*net->modern) snprintf(s->reason, sizeof s->reason, "%s", net->modern);
    else snprintf(s->reason, sizeof s->reason, "nothing in the cfg is of another");
    if (asked == CP_LINEAGE_AUTO) s->lineage = *net->modern ? CP_LINEAGE_ALEXEY : CP_LINEAGE_DEBIAN;
    if (s->lineage == CP_LINEAGE_DEBIAN) return decode_as_debian(net);
    s->fit = net->letter_box ? CP_FIT_LETTERBOX : CP_FIT_STRETCH;
    s->thresh = .25;
    return CP_OK;
}

/* Their classifiers take the centre of the photo. */
void cp_model_find_fit(cp_model *model)
{
    cp_semantics *s = &model->semantics;
    if (s->lineage != CP_LINEAGE_DEBIAN && model->kind == CP_CLASSIFIER) s->fit = CP_FIT_CROP;
}

const cp_semantics *cp_model_semantics(const cp_model *model) { return &model->semantics; }

const char *cp_cfg_lineage(const char *path)
{
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    cp_lineage found = CP_LINEAGE_DEBIAN;
    if (!cp_cfg_read(path, &cfg) && !cp_cfg_check_all(cfg, 0, &net) && *net->modern) found = CP_LINEAGE_ALEXEY;
    cp_cfg_net_free(net);
    cp_cfg_free(cfg);
    return cp_lineage_name(found);
}
