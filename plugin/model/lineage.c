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

/* Keys of AlexeyAB's are hank-ai's too, who went on from there: where nothing is asked for, they mean AlexeyAB. */
void cp_model_find_semantics(cp_model *model)
{
    cp_semantics *s = &model->semantics;
    const cp_cfg_net *net = model->shapes;
    *s = (cp_semantics){.lineage = asked, .letterbox = true, .thresh = .5, .nms = .45};
    if (asked != CP_LINEAGE_AUTO) snprintf(s->reason, sizeof s->reason, "asked for");
    else if (*net->modern) snprintf(s->reason, sizeof s->reason, "%s", net->modern);
    else snprintf(s->reason, sizeof s->reason, "nothing in the cfg is of another");
    if (asked == CP_LINEAGE_AUTO) s->lineage = *net->modern ? CP_LINEAGE_ALEXEY : CP_LINEAGE_DEBIAN;
    if (s->lineage == CP_LINEAGE_DEBIAN) return;
    s->letterbox = net->letter_box;
    s->thresh = .25;
}

const cp_semantics *cp_model_semantics(const cp_model *model) { return &model->semantics; }
