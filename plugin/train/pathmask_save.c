/* Gates to files. */
#include "train/pathmask.h"

#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/npz.h"
#include "io/progress.h"

/* NULL: the layer saves nothing. */
static const char *save_of(const layer *l) { return l->type == PATHMASK && l->update ? l->cweights : NULL; }

static const char *name_of(const layer *l) { return l->cweights + strlen(l->cweights) + 1; }

static bool same_save(const layer *a, const layer *b)
{
    return save_of(a) && save_of(b) && !strcmp(save_of(a), save_of(b));
}

/* Two sections under one name would leave one of them out. */
static cp_status check_name(const network *net, int first, int at)
{
    for (int i = first; i < at; ++i)
        if (same_save(&net->layers[i], &net->layers[at]) &&
            !strcmp(name_of(&net->layers[i]), name_of(&net->layers[at])))
            return cp_fail(CP_EINPUT, "%s: layers %d and %d would both write %.80s", save_of(&net->layers[at]), i, at,
                           name_of(&net->layers[at]));
    return CP_OK;
}

/* The file of layer `first` and of all behind it that share it. */
static cp_status save_file(const network *net, int first)
{
    const char *file = save_of(&net->layers[first]);
    cp_npz_writer *writer = NULL;
    cp_status status = cp_npz_create(file, false, &writer);
    for (int i = first; !status && i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (!same_save(l, &net->layers[first])) continue;
        bool by_channel = l->n == l->c;
        cp_array_type type = cp_array_chw(CP_FLOAT32, l->c, by_channel ? 1 : l->h, by_channel ? 1 : l->w);
        status = check_name(net, first, i);
        if (!status) status = cp_npz_add(writer, name_of(l), &type, l->scales);
    }
    if (!status) status = cp_npz_commit(&writer);
    cp_npz_discard(&writer);
    if (!status) fprintf(cp_stderr(), "Saving gates to %s\n", file);
    return status;
}

cp_status cp_pathmask_save(const network *net)
{
    cp_status status = CP_OK;
    for (int i = 0; !status && i < net->n; ++i) {
        bool first = save_of(&net->layers[i]) != NULL, learned = false;
        for (int k = 0; first && k < i; ++k) first = !same_save(&net->layers[k], &net->layers[i]);
        for (int k = i; first && k < net->n; ++k)
            learned |= same_save(&net->layers[k], &net->layers[i]) && net->layers[k].indexes[0] > 0;
        if (learned) status = save_file(net, i);
    }
    return status;
}
