/* `linearity`: the radius of the linear region around an image, of the frozen network of a path and of the full one. */
#include "cli/commands.h"
#include "cli/pathway.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"
#include "io/progress.h"

#include <math.h>
#include <string.h>

/* Both regions of one path. */
typedef struct {
    cp_session *session;
    const cp_subject *subject;
    const cp_pathway *pathway;
    const cp_region *frozen, *full;
    const char *no_full; /* why the full network has none, else NULL */
} report;

/* "1.23e-05", or "-" without such borders. */
static const char *distance(bool found, double value, char text[24])
{
    if (!found)
        snprintf(text, 24, "-");
    else
        snprintf(text, 24, "%.4g", value);
    return text;
}

/* "layer 3 convolutional, neuron 12,4,7" (channel,y,x); "layer 1 maxpool, window 3,0,2" */
static void name_border(const cp_session *s, const cp_border *border, const char *kind, char text[160])
{
    const cp_layer_info *info = cp_model_layer(s->model, border->layer);
    size_t plane = info->h * info->w, at = border->index % plane;
    snprintf(text, 160, "layer %d %s, %s %zu,%zu,%zu", border->layer, info->type, kind, border->index / plane,
             at / info->w, at % info->w);
}

/* ---------------------------------------------------------------- text */

/* Of the nearest border of either kind, ties left out. */
static double border_distance(const cp_region *region)
{
    double unit = region->unit.found ? region->unit.distance : INFINITY;
    return region->window.found ? fmin(unit, region->window.distance) : unit;
}

static void print_region(const report *r, const char *name, const cp_region *region)
{
    FILE *to = r->session->out;
    char all[32], radius[24], unit[24], window[24], where[160];
    bool pools = r->session->options->maxpool;
    double nearest = border_distance(region);
    if (region->tied) /* the distances behind it are of the other borders */
        fprintf(to, "%-13s radius 0: %s rivals are tied with the winner of their max-pool (areas of one colour)\n    "
                "without these ties ", name, cp_grouped(region->tied, all));
    else
        fprintf(to, "%-13s radius ", name);
    fprintf(to, "%s%s: neurons %s", region->exact || nearest == 0 ? "" : "<= ",
            distance(isfinite(nearest), nearest, radius), distance(region->unit.found, region->unit.distance, unit));
    fprintf(to, ", max-pools %s (%s neurons counted",
            pools ? distance(region->window.found, region->window.distance, window) : "left out",
            cp_grouped(region->units, all));
    fprintf(to, ", %s of gradient 0", cp_grouped(region->flat, all));
    if (pools)
        fprintf(to, "; %s rivals in max-pools", cp_grouped(region->windows, all));
    fprintf(to, ")\n");
    if (region->unit.found) {
        name_border(r->session, &region->unit, "neuron", where);
        fprintf(to, "    nearest neuron:   %s; |z| %.4g, gradient %.4g\n", where, region->unit.gap, region->unit.norm);
    }
    if (region->window.found) {
        name_border(r->session, &region->window, "window", where);
        fprintf(to, "    nearest max-pool: %s; lead %.4g, gradient %.4g\n", where, region->window.gap,
                region->window.norm);
    }
}

static void print_decades(const report *r)
{
    FILE *to = r->session->out;
    const cp_region *columns[] = {r->frozen, r->no_full ? NULL : r->full};
    int first = CP_DECADES, last = -1;
    for (int d = 0; d < CP_DECADES; d++)
        for (int c = 0; c < 2; c++)
            if (columns[c] && (columns[c]->unit_decade[d] || columns[c]->window_decade[d])) {
                first = d < first ? d : first;
                last = d;
            }
    if (last < 0)
        return;
    fprintf(to, "%-22s %16s %12s %16s %12s\n", r->frozen->exact ? "distance" : "distance (estimates)",
            "neurons, frozen", "max-pools", "neurons, full", "max-pools");
    for (int d = first; d <= last; d++) {
        char range[40], text[32];
        int power = CP_DECADE_FIRST + d;
        if (d == 0)
            snprintf(range, sizeof range, "below 1e%d", power + 1);
        else if (d == CP_DECADES - 1)
            snprintf(range, sizeof range, "1e%d and more", power);
        else
            snprintf(range, sizeof range, "1e%d to 1e%d", power, power + 1);
        fprintf(to, "  %-20s", range);
        for (int c = 0; c < 2; c++) {
            fprintf(to, " %16s", columns[c] ? cp_grouped(columns[c]->unit_decade[d], text) : "-");
            fprintf(to, " %12s", columns[c] ? cp_grouped(columns[c]->window_decade[d], text) : "-");
        }
        fprintf(to, "\n");
    }
}

static void print_report(const report *r)
{
    FILE *to = r->session->out;
    const cp_region *any = r->frozen;
    char kept[32], all[32];
    fprintf(to, "response: %s = %.6g\npath: %s, sparsity %.6g, %s of %s neurons\n", r->subject->response.text,
            cp_frame_response(r->session->frame, 0, &r->subject->response), r->session->options->method,
            r->pathway->selection.sparsity, cp_grouped(cp_path_count(r->pathway->path), kept),
            cp_grouped(cp_model_neuron_count(r->session->model), all));
    if (any->exact)
        fprintf(to, "linear region, l2 in units of the network input; exact (%d linear passes)\n", any->passes);
    else
        fprintf(to, "linear region, l2 in units of the network input; an ESTIMATE (%d probes, %d borders made exact): "
                "the true radius can only be smaller\n", any->passes, any->refined);
    print_region(r, "frozen path:", r->frozen);
    if (r->no_full)
        fprintf(to, "full network: not available: %s\n", r->no_full);
    else
        print_region(r, "full network:", r->full);
    print_decades(r);
}

/* ---------------------------------------------------------------- JSON */

static json_t *border_json(const cp_session *s, const cp_border *border)
{
    if (!border->found)
        return json_null();
    json_t *object = json_object();
    int bad = cp_json_set(object, "distance", cp_json_real(border->distance));
    bad |= cp_json_set(object, "gap", cp_json_real(border->gap));
    bad |= cp_json_set(object, "gradient", cp_json_real(border->norm));
    bad |= cp_json_set(object, "layer", json_integer(border->layer));
    bad |= cp_json_set(object, "type", cp_json_text(cp_model_layer(s->model, border->layer)->type));
    bad |= cp_json_set(object, "index", json_integer((json_int_t)border->index));
    if (!strcmp(cp_model_layer(s->model, border->layer)->type, "maxpool")) {
        bad |= cp_json_set(object, "winner", json_integer((json_int_t)border->winner));
        bad |= cp_json_set(object, "rival", json_integer((json_int_t)border->rival));
    }
    return cp_json_finish(object, bad);
}

static json_t *region_json(const cp_session *s, const cp_region *region)
{
    json_t *decades = json_array();
    json_t *object = cp_json_pack("{s:b,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:o,s:o}", "exact", region->exact,
                                  "radius", cp_json_real(region->radius), "unit", border_json(s, &region->unit),
                                  "window", border_json(s, &region->window), "neurons", (json_int_t)region->units,
                                  "flat", (json_int_t)region->flat, "window_rivals", (json_int_t)region->windows,
                                  "tied_rivals", (json_int_t)region->tied, "passes", json_integer(region->passes),
                                  "refined", json_integer(region->refined));
    int bad = !object;
    for (int d = 0; d < CP_DECADES; d++)
        if (region->unit_decade[d] || region->window_decade[d])
            bad |= cp_json_append(decades, json_pack("{s:i,s:I,s:I}", "power", CP_DECADE_FIRST + d, "neurons",
                                                     (json_int_t)region->unit_decade[d], "windows",
                                                     (json_int_t)region->window_decade[d]));
    bad |= cp_json_set(object, "decades", decades);
    return cp_json_finish(object, bad);
}

static cp_status write_json(const report *r, const cp_item *item)
{
    const cp_session *s = r->session;
    json_t *object = cp_item_json(s, item), *line = json_object();
    int bad = cp_json_set(line, "response", cp_json_text(r->subject->response.text));
    bad |= cp_json_set(line, "value", cp_json_real(cp_frame_response(s->frame, 0, &r->subject->response)));
    bad |= cp_json_set(line, "method", cp_json_text(s->options->method));
    bad |= cp_pathway_json(s, r->pathway, line);
    bad |= cp_json_set(line, "max_pools", json_boolean(s->options->maxpool));
    bad |= cp_json_set(line, "seed", json_integer(s->options->seed));
    bad |= cp_json_set(line, "frozen", region_json(s, r->frozen));
    bad |= cp_json_set(line, "full", r->no_full ? json_null() : region_json(s, r->full));
    bad |= cp_json_set(line, "full_missing", cp_json_text(r->no_full));
    bad |= cp_json_set(object, "linearity", line);
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, r->session->out);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------- run */

static void show_progress(void *progress, double fraction) { cp_progress_update(progress, fraction); }

static cp_status find(cp_session *s, const cp_response *response, const cp_path *path, cp_region *region)
{
    const cp_options *o = s->options;
    cp_progress *progress = cp_progress_start(path ? "frozen path" : "full network", 1, o->quiet || s->list);
    cp_region_options options = {
        .run = {.memory = o->mem, .progress = show_progress, .user = progress},
        .exactness = (cp_exactness)o->norms,
        .without_windows = !o->maxpool, .probes = o->probes, .refine = o->refine, .seed = (uint64_t)o->seed};
    cp_status status = cp_region_find(s->frame, 0, response, path, &options, region);
    cp_progress_end(&progress);
    return status;
}

static cp_status linearity_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    cp_pathways pathways = {0};
    cp_region full = {0};
    char reason[400] = "";
    double began = cp_seconds();
    cp_status status = find(s, &subject->response, NULL, &full);
    if (status == CP_EINPUT) { /* a smooth activation: the frozen path may do without it */
        snprintf(reason, sizeof reason, "%s", cp_error());
        status = CP_OK;
    }
    double full_seconds = cp_seconds() - began, frozen_seconds = 0;
    if (!status)
        status = cp_pathways_find(s, item, &subject->response, false, &pathways);
    for (int i = 0; i < pathways.n && !status; i++) {
        cp_region frozen = {0};
        report r = {s, subject, &pathways.pathway[i], &frozen, &full, *reason ? reason : NULL};
        began = cp_seconds();
        status = find(s, &subject->response, pathways.pathway[i].path, &frozen);
        frozen_seconds += cp_seconds() - began;
        if (!status && s->options->json)
            status = write_json(&r, item);
        else if (!status)
            print_report(&r);
        cp_region_free(&frozen);
    }
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f, full %.3f, frozen %.3f s; peak memory %zu MB", item->path,
                item->read, item->forward, pathways.scoring, full_seconds, frozen_seconds, cp_peak_memory() >> 20);
    cp_pathways_free(&pathways);
    cp_region_free(&full);
    return status;
}

static cp_status linearity_image(cp_session *s, cp_item *item, void *user)
{
    return cp_each_subject(s, item, user, linearity_subject);
}

cp_status cp_run_linearity(const cp_command *command, const cp_options *options) { return cp_run_on_images(command, options, linearity_image); }
