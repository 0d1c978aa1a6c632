#include "cli/typical.h"

#include "io/error.h"

#include <math.h>
#include <string.h>

enum { FEW_IMAGES = 4 };
static const double FEW_NEURONS = .05; /* of this path's: then the usual path is next to nothing */

cp_status cp_typical_find(const cp_session *s, int class_id, const cp_path *path, cp_typical *t)
{
    int n;
    size_t both, either;
    cp_path *usual = NULL;
    cp_model_neuron_layers(s->model, &n);
    *t = (cp_typical){.class_id = class_id, .share = NAN, .layer = cp_alloc((size_t)n + 1, sizeof *t->layer, "class path")};
    if (!t->layer)
        return CP_ERESOURCE;
    const cp_class_count *count = class_id >= 0 ? cp_class_paths_find(s->typical, class_id) : NULL;
    if (!count) {
        t->missing = class_id < 0 ? "the response is no class" : "no image of this class was counted";
        return CP_OK;
    }
    cp_status status = cp_path_create(s->model, &usual);
    if (status)
        return status;
    cp_class_usual(count, s->options->usual, usual);
    t->images = count->images;
    t->usual = cp_path_count(usual);
    t->own = cp_path_count(path);
    for (int l = -1; l < n && !status; l++) {
        size_t own = l < 0 ? cp_path_count(path) : cp_path_layer_count(path, l);
        status = cp_path_overlap(path, usual, l, &both, &either);
        *(l < 0 ? &t->share : &t->layer[l]) = own ? (double)both / (double)own : NAN;
    }
    cp_path_free(usual);
    return status;
}

void cp_typical_print(const cp_session *s, const cp_typical *t, bool by_layer, FILE *to)
{
    int n;
    char number[24];
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    if (t->missing) {
        fprintf(to, "typical: %s\n", t->missing);
        return;
    }
    fprintf(to, "typical: %.1f%% of the path lies on the usual path of %s (%zu neurons, on at least %g%% of the paths of %d "
            "%s%s)\n", 100 * t->share, cp_session_class(s, t->class_id, number), t->usual, 100 * s->options->usual, t->images,
            cp_class_paths_by_answer(s->typical) ? "answer" : "image", t->images == 1 ? "" : "s");
    if (t->usual < FEW_NEURONS * (double)t->own)
        fprintf(to, "  the usual path is small beside this one of %zu neurons, as where answers lie at different places: the share says "
                    "little; -usual 0 takes every neuron that was ever on it\n", t->own);
    if (t->images < FEW_IMAGES)
        fprintf(to, "  few were counted: what they have in common may be chance\n");
    for (int l = 0; l < n && by_layer; l++)
        if (!isnan(t->layer[l]))
            fprintf(to, "  %-24s %7.1f%%\n", layers[l].name + strlen("layer_"), 100 * t->layer[l]);
}

json_t *cp_typical_json(const cp_session *s, const cp_typical *t)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    json_t *object = json_object(), *list = json_array();
    int bad = cp_json_set(object, "missing", cp_json_text(t->missing));
    bad |= cp_json_set(object, "class", json_integer(t->class_id));
    bad |= cp_json_set(object, "images", json_integer(t->images));
    bad |= cp_json_set(object, "usual", cp_json_real(s->options->usual));
    bad |= cp_json_set(object, "neurons", json_integer((json_int_t)t->usual));
    bad |= cp_json_set(object, "share", cp_json_real(t->share));
    for (int l = 0; l < n && !t->missing; l++) {
        json_t *row = json_object();
        bad |= cp_json_set(row, "layer", json_integer(layers[l].layer));
        bad |= cp_json_set(row, "share", cp_json_real(t->layer[l]));
        bad |= cp_json_append(list, row);
    }
    bad |= cp_json_set(object, "layers", list);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}
