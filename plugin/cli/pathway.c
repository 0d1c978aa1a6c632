#include "cli/pathway.h"
#include "io/error.h"
#include "map/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LITTLE = .01; /* of the plain gradient's L1: a map that holds less is said to */

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
    if (isnan(pathway->asked) && !pathway->lowered && pathway->mass_asked > 0)
        snprintf(text, 120, "sparsity %.6g (auto: %.4g%% of the score)", selection->sparsity, 100 * selection->mass);
    else if (isnan(pathway->asked))
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

static cp_status select_channels(const cp_session *s, const float *score, double sparsity, double mass,
                                 const cp_response *response, cp_path *path, cp_selection *selection, cp_cut *cut)
{
    double floor = s->options->floor;
    float *channel = cp_alloc(cp_model_channel_count(s->model), sizeof *channel, "channels");
    if (!channel)
        return CP_ERESOURCE;
    cp_score_to_channels(s->model, score, channel);
    cp_status status = mass > 0 ? cp_path_select_channels_mass(path, channel, mass, floor, selection)
                                : cp_path_select_channels(path, channel, sparsity, floor, selection);
    if (!status && cut)
        status = cp_path_find_cut_channels(path, channel, response, cut);
    cp_free(channel);
    return status;
}

cp_status cp_select_path(const cp_session *s, const float *score, double least_share, double sparsity, double mass,
                         const cp_response *response, cp_path *path, cp_selection *selection, cp_cut *cut)
{
    double floor = s->options->floor;
    sparsity = sparsity < 1 - least_share ? sparsity : 1 - least_share;
    if (cp_by_channel(s->options))
        return select_channels(s, score, sparsity, mass, response, path, selection, cut);
    cp_status status = mass > 0 ? cp_path_select_mass(path, score, mass, floor, selection)
                                : cp_path_select(path, score, sparsity, floor, selection);
    return status || !cut ? status : cp_path_find_cut(path, score, response, cut);
}

/* At a sparsity, or (NAN) by pathway->mass_asked. */
static cp_status select_one(cp_session *s, const cp_pathways *p, const cp_response *response, double sparsity,
                            cp_pathway *pathway)
{
    double mass = isnan(sparsity) ? pathway->mass_asked : 0, floor = s->options->floor;
    cp_selection *selection = &pathway->selection;
    pathway->channels = cp_by_channel(s->options);
    if (pathway->channels) {
        const float *score;
        cp_status status = cp_scores_array(p->scores, &score);
        if (status)
            return status;
        return cp_select_path(s, score, p->report.least_share, sparsity, mass, response, pathway->path, selection,
                              &pathway->cut);
    }
    sparsity = sparsity < 1 - p->report.least_share ? sparsity : 1 - p->report.least_share;
    cp_status status = mass > 0 ? cp_scores_select_mass(p->scores, mass, floor, pathway->path, selection)
                                : cp_scores_select(p->scores, sparsity, floor, pathway->path, selection);
    return status ? status : cp_scores_find_cut(p->scores, pathway->path, response, &pathway->cut);
}

/* Shown with six digits, and never above the value: a higher sparsity would be cut. */
static double floor_micro(double sparsity) { return floor(sparsity * 1e6) / 1e6; }

const char *cp_cut_advice(const cp_cut *cut, char text[80])
{
    if (isnan(cut->sparsest_uncut))
        snprintf(text, 80, "; at no sparsity is it whole");
    else
        snprintf(text, 80, "; the sparsest that is not: -sparsity %.6f", floor_micro(cut->sparsest_uncut));
    return text;
}

/* Where there is text on stdout, that says it. */
static void say_cut(const cp_session *s, const char *source, const cp_pathway *pathway)
{
    char why[200], advice[80];
    if (s->options->json)
        cp_note(s, "%s: the path at sparsity %s%s is cut, %s%s", source, pathway->text,
                pathway->channels ? " of the channels" : "", cp_cut_text(s, &pathway->cut, why),
                cp_cut_advice(&pathway->cut, advice));
}

/* A cut path that nobody asked for gives way to the sparsest that is not cut. */
static cp_status lower(cp_session *s, const char *source, const cp_pathways *p, const cp_response *response,
                       cp_pathway *pathway)
{
    char why[200], taken[32];
    double uncut = pathway->cut.sparsest_uncut;
    snprintf(taken, sizeof taken, "%.6f", floor_micro(uncut));
    cp_note(s, "%s: at sparsity %s%s the path would be cut, %s; taken is %s, the sparsest that is not", source,
            pathway->text, pathway->channels ? " of the channels" : "", cp_cut_text(s, &pathway->cut, why), taken);
    cp_status status = select_one(s, p, response, uncut, pathway);
    pathway->asked = uncut;
    pathway->lowered = true;
    snprintf(pathway->text, sizeof pathway->text, "%s", taken);
    return status;
}

/* One of the sparsities asked for, or (`number` < 0) the default. */
static cp_status select_asked(cp_session *s, const char *source, const cp_response *response, const cp_pathways *p,
                              int number, cp_pathway *pathway)
{
    const cp_number_list *list = &s->options->sparsity;
    bool mass = cp_scores_signed(p->scores);
    const char *text = number >= 0 ? list->text[number] : mass ? "auto" : "0.9";
    double asked = number >= 0 ? list->value[number] : mass ? NAN : CP_DEFAULT_SPARSITY;
    if (isnan(asked) && !mass)
        return cp_fail(CP_EINPUT, "%s: -sparsity auto goes by the mass of the scores, but these only order the neurons; "
                       "give a number", source);
    pathway->asked = asked;
    pathway->mass_asked = isnan(asked) ? s->options->mass : NAN;
    pathway->zeroed_response = pathway->gradient_share = NAN;
    snprintf(pathway->text, sizeof pathway->text, "%s", text);
    if (p->n > 1)
        snprintf(pathway->tag, sizeof pathway->tag, "-%s", pathway->text);
    cp_status status = cp_path_create(s->model, &pathway->path);
    if (!status)
        status = select_one(s, p, response, asked, pathway);
    if (status)
        return status;
    const cp_selection *selection = &pathway->selection;
    bool open = number < 0 || isnan(asked); /* whichever sparsity serves */
    if (pathway->cut.cut && open && !isnan(pathway->cut.sparsest_uncut))
        return lower(s, source, p, response, pathway);
    if (pathway->cut.cut)
        say_cut(s, source, pathway);
    pathway->everything = !pathway->channels && selection->kept < selection->asked;
    if (pathway->everything && number >= 0)
        cp_note(s, "%s: at sparsity %s the path holds all %zu neurons that score above zero; below %.6f nothing changes",
                source, pathway->text, selection->kept, selection->sparsity);
    return CP_OK;
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
        cp_status status = select_asked(s, source, response, p, asked->n ? i : -1, &p->pathway[i]);
        if (status)
            return status;
    }
    p->selecting = cp_seconds() - began;
    return CP_OK;
}

static double l1(const float *map, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)map[i]);
    return sum;
}

cp_status cp_pathways_find(cp_session *s, const cp_item *item, const cp_response *response, bool maps, cp_pathways *p)
{
    const cp_method *method = cp_method_find(s->options->method);
    size_t volume = s->c * s->h * s->w;
    *p = (cp_pathways){.gradient = NAN};
    float *gradient = maps ? cp_alloc_dirty(volume, sizeof *gradient, "gradient") : NULL;
    if (maps && !gradient)
        return CP_ERESOURCE;
    double began = cp_seconds();
    cp_status status = cp_method_scores(s, method, response, gradient, &p->scores, &p->report);
    p->scoring = cp_seconds() - began;
    if (!status && maps)
        p->gradient = l1(gradient, volume);
    cp_free(gradient);
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

static bool has_heat(const float *heat, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (heat[i] > 0)
            return true;
    return false;
}

/* Of the planes asked for; by default of the fine ones, or, where these hold no heat, of the coarse ones, which is said. */
static cp_status map_contribution(cp_session *s, const cp_item *item, const cp_response *response, cp_scores *scores,
                                  cp_pathway *pathway)
{
    int asked = s->options->planes;
    cp_contribution_options options = {.planes = asked == CP_PLANES_AUTO ? CP_PLANES_FINE : (cp_planes)(asked - 1),
                                       .restricted = s->options->restricted};
    cp_status status = cp_map_contribution_of(s->frame, 0, response, pathway->path, scores, &options, pathway->heat,
                                              &pathway->contribution);
    if (!status && asked == CP_PLANES_AUTO && !has_heat(pathway->heat, s->h * s->w)) {
        options.planes = CP_PLANES_COARSE;
        status = cp_map_contribution_of(s->frame, 0, response, pathway->path, scores, &options, pathway->heat,
                                        &pathway->contribution);
        if (!status && has_heat(pathway->heat, s->h * s->w))
            cp_note(s, "%s: no layer of small cells has a neuron on the path that speaks for the response; the map is that of "
                    "the coarse layers (-planes coarse)", item->path);
    }
    pathway->planes = options.planes;
    return status;
}

/* By the method's own scores where they have signs, else by NeuronMCT's. */
static cp_status map_contributions(cp_session *s, const cp_item *item, const cp_response *response, cp_pathways *p)
{
    size_t size = 2 * s->h * s->w;
    cp_scores *scores = p->scores && cp_scores_signed(p->scores) ? p->scores : NULL;
    cp_status status = (p->heats = cp_alloc((size_t)p->n * size, sizeof(float), "maps")) ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < p->n && !status; i++) {
        cp_pathway *pathway = &p->pathway[i];
        pathway->heat = p->heats + (size_t)i * size;
        status = map_contribution(s, item, response, scores, pathway);
    }
    return status;
}

cp_status cp_pathways_map(cp_session *s, const cp_item *item, const cp_subject *subject, cp_pathways *p)
{
    size_t volume = s->c * s->h * s->w;
    const cp_response *response = &subject->response;
    bool zeroed = s->options->offpath != CP_OFFPATH_FROZEN;
    const cp_offpath offpath = {.kind = s->options->offpath == CP_OFFPATH_KEPT ? CP_KEPT : CP_ZEROED,
                                .values = s->baseline};
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
        status = zeroed ? cp_map_offpath(s->model, s->input, response, &offpath, paths + first, n, maps, values + first)
                        : cp_map_frozen(s->frame, 0, response, paths + first, n, maps);
        if (status)
            return status;
    }
    if ((status = map_contributions(s, item, response, p)))
        return status;
    p->mapping = cp_seconds() - began;
    for (int i = 0; i < p->n; i++) {
        cp_pathway *pathway = &p->pathway[i];
        pathway->map = p->maps + (size_t)i * volume;
        pathway->gradient_share = p->gradient > 0 ? l1(pathway->map, volume) / p->gradient : NAN;
        if (zeroed)
            pathway->zeroed_response = values[i];
        if (pathway->gradient_share > 0 && pathway->gradient_share < LITTLE && s->options->sparsity.n)
            cp_note(s, "%s: the map at sparsity %s holds %.2g%% of the plain gradient, next to nothing", item->path,
                    pathway->text, 100 * pathway->gradient_share);
        if (cp_zero_map_reason(s, pathway->map, subject, pathway, reason) && !pathway->cut.cut)
            cp_note(s, "%s: the map at sparsity %s is zero everywhere: %s", item->path, pathway->text, reason);
    }
    return CP_OK;
}
