#include "cli/pathway.h"
#include "io/error.h"
#include "map/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>


/* ---------------------------------------------------------------- selection */

const char *cp_cut_text(const cp_session *s, const cp_cut *cut, char text[200])
{
    snprintf(text, 200, "layer %d %s keeps no neuron", cut->layer, cp_model_layer(s->model, cut->layer)->type);
    return text;
}

const char *cp_reached_text(const cp_session *s, const cp_pathway *pathway, char text[120])
{
    const cp_selection *selection = &pathway->selection;
    double off = selection->sparsity - pathway->asked, one = 1. / (double)(cp_model_neuron_count(s->model) + 1);
    if (isnan(pathway->asked))
        snprintf(text, 120, "sparsity %.6g", selection->sparsity);
    else if (fabs(off) <= one || cp_model_neuron_count(s->model) == 0)
        snprintf(text, 120, "sparsity %s", pathway->text);
    else if (pathway->channels)
        snprintf(text, 120, "sparsity %.6g (asked %s of the channels)", selection->sparsity, pathway->text);
    else
        snprintf(text, 120, "sparsity %.6g (asked %s, %s)", selection->sparsity, pathway->text,
                 off > 0 ? "no other neuron scores above zero" : s->options->floor > 0 ? "the rest by -floor"
                                                               : "the method goes no further");
    return text;
}

static cp_status select_channels(const cp_session *s, const float *score, double sparsity,
                                 const cp_response *response, cp_path *path, cp_selection *selection, cp_cut *cut)
{
    float *channel = cp_alloc(cp_model_channel_count(s->model), sizeof *channel, "channels");
    if (!channel)
        return CP_ERESOURCE;
    cp_score_to_channels(s->model, score, channel);
    cp_status status = cp_path_select_channels(path, channel, sparsity, s->options->floor, selection);
    if (!status && cut)
        status = cp_path_find_cut_channels(path, channel, response, cut);
    cp_free(channel);
    return status;
}

cp_status cp_select_path(const cp_session *s, const float *score, double least_share, double sparsity,
                         const cp_response *response, cp_path *path, cp_selection *selection, cp_cut *cut)
{
    sparsity = sparsity < 1 - least_share ? sparsity : 1 - least_share;
    if (cp_by_channel(s->options))
        return select_channels(s, score, sparsity, response, path, selection, cut);
    cp_status status = cp_path_select(path, score, sparsity, s->options->floor, selection);
    return status || !cut ? status : cp_path_find_cut(path, score, response, cut);
}

static cp_status select_one(cp_session *s, const cp_pathways *p, const cp_response *response, double sparsity,
                            cp_pathway *pathway)
{
    pathway->asked = sparsity;
    pathway->channels = cp_by_channel(s->options);
    if (pathway->channels) {
        const float *score;
        cp_status status = cp_scores_array(p->scores, &score);
        return status ? status : cp_select_path(s, score, p->report.least_share, sparsity, response, pathway->path,
                                                &pathway->selection, &pathway->cut);
    }
    sparsity = sparsity < 1 - p->report.least_share ? sparsity : 1 - p->report.least_share;
    cp_status status = cp_scores_select(p->scores, sparsity, s->options->floor, pathway->path, &pathway->selection);
    return status ? status : cp_scores_find_cut(p->scores, pathway->path, response, &pathway->cut);
}

/* Shown with six digits, and never above the value: a higher sparsity would be cut. */
static double floor_micro(double sparsity) { return floor(sparsity * 1e6) / 1e6; }

static void say_cut(const cp_session *s, const char *source, const cp_pathway *pathway)
{
    char why[200], advice[80] = "at no sparsity is it whole";
    if (!isnan(pathway->cut.sparsest_uncut))
        snprintf(advice, sizeof advice, "the sparsest that is not: -sparsity %.6f",
                 floor_micro(pathway->cut.sparsest_uncut));
    cp_note(s, "%s: the path at sparsity %s%s is cut, %s; %s", source, pathway->text,
            pathway->channels ? " of the channels" : "", cp_cut_text(s, &pathway->cut, why), advice);
}

cp_status cp_pathways_select(cp_session *s, const char *source, const cp_response *response, cp_pathways *p)
{
    const cp_number_list *asked = &s->options->sparsity;
    p->n = asked->n ? asked->n : 1;
    p->pathway = cp_alloc((size_t)p->n, sizeof *p->pathway, "paths");
    if (!p->pathway)
        return CP_ERESOURCE;
    double began = cp_seconds();
    for (int i = 0; i < p->n; i++) {
        cp_pathway *pathway = &p->pathway[i];
        pathway->zeroed_response = NAN;
        snprintf(pathway->text, sizeof pathway->text, "%s", asked->n ? asked->text[i] : "0.9");
        if (p->n > 1)
            snprintf(pathway->tag, sizeof pathway->tag, "-%s", pathway->text);
        cp_status status = cp_path_create(s->model, &pathway->path);
        if (!status)
            status = select_one(s, p, response, asked->n ? asked->value[i] : CP_DEFAULT_SPARSITY, pathway);
        if (status)
            return status;
        double uncut = pathway->cut.sparsest_uncut;
        if (pathway->cut.cut && !asked->n && !isnan(uncut)) {
            char why[200];
            cp_note(s, "%s: at sparsity 0.9%s the path would be cut, %s; taken is %.6f, the sparsest that is not", source,
                    pathway->channels ? " of the channels" : "", cp_cut_text(s, &pathway->cut, why), floor_micro(uncut));
            if ((status = select_one(s, p, response, uncut, pathway)))
                return status;
            pathway->lowered = true;
            snprintf(pathway->text, sizeof pathway->text, "%.6f", floor_micro(uncut));
        } else if (pathway->cut.cut) {
            say_cut(s, source, pathway);
        }
    }
    p->selecting = cp_seconds() - began;
    return CP_OK;
}

cp_status cp_pathways_find(cp_session *s, const cp_item *item, const cp_response *response, cp_pathways *p)
{
    const cp_method *method = cp_method_find(s->options->method);
    *p = (cp_pathways){0};
    double began = cp_seconds();
    cp_status status = cp_method_scores(s, method, response, &p->scores, &p->report);
    p->scoring = cp_seconds() - began;
    return status ? status : cp_pathways_select(s, item->path, response, p);
}

void cp_pathways_free(cp_pathways *p)
{
    for (int i = 0; i < p->n && p->pathway; i++)
        cp_path_free(p->pathway[i].path);
    cp_free(p->pathway);
    cp_scores_free(p->scores);
    cp_scoring_free(&p->report);
    cp_free(p->maps);
    cp_free(p->heats);
    *p = (cp_pathways){0};
}

/* ---------------------------------------------------------------- maps */

const char *cp_zero_map_reason(const cp_session *s, const float *map, const cp_subject *subject,
                               const cp_pathway *pathway, char text[300])
{
    bool zero = cp_map_zero_reason(map, s->c * s->h * s->w, s->frame, 0, &subject->response,
                                   pathway ? pathway->path : NULL, pathway ? &pathway->cut : NULL, text, 300);
    return zero ? text : NULL;
}

static cp_status map_contributions(cp_session *s, const cp_response *response, cp_pathways *p)
{
    size_t size = 2 * s->h * s->w;
    cp_status status = (p->heats = cp_alloc((size_t)p->n * size, sizeof(float), "maps")) ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < p->n && !status; i++) {
        cp_pathway *pathway = &p->pathway[i];
        pathway->heat = p->heats + (size_t)i * size;
        status = cp_map_contribution(s->frame, 0, response, pathway->path, NULL, NULL, pathway->heat,
                                     &pathway->contribution);
    }
    return status;
}

cp_status cp_pathways_map(cp_session *s, const cp_item *item, const cp_subject *subject, cp_pathways *p)
{
    size_t volume = s->c * s->h * s->w;
    const cp_response *response = &subject->response;
    bool zeroed = s->options->offpath == CP_OFFPATH_ZEROED;
    const cp_path *paths[CP_MAX_SPARSITIES];
    double values[CP_MAX_SPARSITIES];
    char reason[300];
    int step;
    cp_status status = cp_session_entries(s, p->n, &step);
    if (status)
        return status;
    p->maps = cp_alloc((size_t)p->n * volume, sizeof(float), "maps");
    if (!p->maps)
        return CP_ERESOURCE;
    for (int i = 0; i < p->n; i++)
        paths[i] = p->pathway[i].path;
    double began = cp_seconds();
    for (int first = 0; first < p->n; first += step) {
        int n = first + step < p->n ? step : p->n - first;
        float *maps = p->maps + (size_t)first * volume;
        status = zeroed ? cp_map_zeroed(s->model, s->input, response, paths + first, n, maps, values + first)
                        : cp_map_frozen(s->frame, 0, response, paths + first, n, maps);
        if (status)
            return status;
    }
    if ((status = map_contributions(s, response, p)))
        return status;
    p->mapping = cp_seconds() - began;
    for (int i = 0; i < p->n; i++) {
        cp_pathway *pathway = &p->pathway[i];
        pathway->map = p->maps + (size_t)i * volume;
        if (zeroed)
            pathway->zeroed_response = values[i];
        if (cp_zero_map_reason(s, pathway->map, subject, pathway, reason) && !pathway->cut.cut)
            cp_note(s, "%s: the map at sparsity %s is zero everywhere: %s", item->path, pathway->text, reason);
    }
    return CP_OK;
}
