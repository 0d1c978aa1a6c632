/* What `sanity` has found: which map does not depend on the network, and how alike each map stays, layer by layer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/mean_text.h"
#include "cli/output_path.h"
#include "cli/sanity.h"
#include "eval/paired.h"
#include "io/atomic.h"
#include "io/chart.h"
#include "io/csv.h"
#include "io/draw.h"
#include "io/error.h"
#include "io/json.h"

/* A map whose mean correlation with itself is that high, when no weight is left, says nothing about the network. */
static const double IGNORES = .9, HARDLY = .5;

typedef enum { SSIM, RANK, RANK_ABS, HOG, ENTROPY, MEASURES } measure;
static const char *const names[MEASURES] = {"ssim", "spearman", "spearman_abs", "hog", "entropy_change"};

static double value_of(const cp_sanity_value *v, measure m)
{
    const double values[MEASURES] = {v->similarity.ssim, v->similarity.rank, v->similarity.rank_abs, v->similarity.hog,
                                     v->entropy};
    return values[m];
}

static cp_mean mean_of(const cp_sanity *s, int stage, int map, measure m)
{
    cp_mean none = {0, NAN, NAN};
    double *values = stage < 0 ? NULL : cp_alloc(s->n, sizeof *values, "results");
    if (!values)
        return none;
    for (size_t i = 0; i < s->n; i++)
        values[i] = value_of(cp_sanity_at(s, stage, map, i), m);
    cp_mean mean = cp_mean_of(values, s->n);
    cp_free(values);
    return mean;
}

/* The first stage of a kind; RANDOM with `all`: that where no layer is left. -1: none. */
static int find_stage(const cp_sanity *s, cp_sanity_test test, bool all)
{
    for (int i = 0; i < s->n_stages; i++)
        if (s->stage[i].test == test && s->stage[i].all == all)
            return i;
    return -1;
}

/* The sum of a map, as a share of what the response gains from black to the photo. */
static cp_mean completeness_of(const cp_sanity *s, int map)
{
    size_t plane = s->session->h * s->session->w;
    double *values = cp_alloc(s->n, sizeof *values, "results");
    if (!values)
        return (cp_mean){0, NAN, NAN};
    for (size_t i = 0; i < s->n; i++) {
        const cp_sanity_subject *k = &s->subject[i];
        double sum = 0;
        for (size_t p = 0; p < plane; p++)
            sum += k->maps[(size_t)map * plane + p];
        values[i] = k->made[map] && k->gain != 0 ? sum / k->gain : NAN;
    }
    cp_mean mean = cp_mean_of(values, s->n);
    cp_free(values);
    return mean;
}

static const char *verdict_of(double similarity)
{
    return similarity >= IGNORES  ? "ignores the network"
           : similarity >= HARDLY ? "depends little on the network"
                                  : NULL;
}

static const char *stage_name(const cp_sanity_stage *stage, char text[24])
{
    if (stage->test == CP_SANITY_CLASS)
        return "other class";
    if (stage->test == CP_SANITY_SHIFT)
        return "shifted input";
    if (stage->layer < 0)
        return "all layers";
    snprintf(text, 24, "layer %d", stage->layer);
    return text;
}

/* ---------------------------------------------------------------- text */

static void print_row(const cp_sanity *s, int i, FILE *to)
{
    int all = find_stage(s, CP_SANITY_RANDOM, true), class = find_stage(s, CP_SANITY_CLASS, false);
    int shift = find_stage(s, CP_SANITY_SHIFT, false);
    const cp_mean row[] = {mean_of(s, 0, i, RANK_ABS),     mean_of(s, all, i, RANK_ABS),
                           mean_of(s, all, i, SSIM),       mean_of(s, all, i, RANK),
                           mean_of(s, all, i, ENTROPY),    mean_of(s, class, i, RANK_ABS),
                           mean_of(s, shift, i, RANK_ABS), completeness_of(s, i)};
    fprintf(to, "  %-32s", s->plan.map[i].name);
    for (size_t k = 0; k < sizeof row / sizeof *row; k++)
        cp_mean_print(&row[k], to);
    fprintf(to, "\n");
}

static void print_summary(const cp_sanity *s, FILE *to)
{
    char first[24] = "";
    fprintf(to, "  %-32s  %14s  %14s  %14s  %14s  %14s  %14s  %14s  %14s\n", "map", stage_name(&s->stage[0], first),
            "all random", "ssim", "signed", "entropy", "other class", "shifted", "sum / gain");
    for (int i = 0; i < s->plan.n_maps; i++)
        if (!s->plan.map[i].method->blind)
            print_row(s, i, to);
    fprintf(to, CP_CONTROLS_TITLE);
    for (int i = 0; i < s->plan.n_maps; i++)
        if (s->plan.map[i].method->blind)
            print_row(s, i, to);
}

static void print_layers(const cp_sanity *s, FILE *to)
{
    const measure shown[] = {RANK_ABS, RANK, SSIM, HOG};
    for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) {
        if (shown[k] == HOG && !s->session->options->hog)
            continue;
        fprintf(to, "%s:\n  %-16s", names[shown[k]], "");
        for (int i = 0; i < s->plan.n_maps; i++)
            fprintf(to, "  %16.16s", s->plan.map[i].name);
        fprintf(to, "\n");
        for (int stage = 0; stage < s->n_stages; stage++) {
            char text[24];
            fprintf(to, "  %-16s", stage_name(&s->stage[stage], text));
            for (int i = 0; i < s->plan.n_maps; i++) {
                cp_mean mean = mean_of(s, stage, i, shown[k]);
                fprintf(to, "  ");
                cp_mean_print(&mean, to);
            }
            fprintf(to, "\n");
        }
    }
}

/* Findings are of maps that claim to explain the network. A control has to ignore it: one that does not, or is not seen to,
 * would say that the test itself is wrong. */
static void print_verdicts(const cp_sanity *s, FILE *to)
{
    int all = find_stage(s, CP_SANITY_RANDOM, true), controls = 0, ignoring = 0;
    for (int i = 0; i < s->plan.n_maps; i++) {
        cp_mean mean = mean_of(s, all, i, RANK_ABS);
        const char *verdict = mean.n ? verdict_of(mean.mean) : NULL;
        if (s->plan.map[i].method->blind) {
            controls += mean.n > 0;
            ignoring += mean.n > 0 && mean.mean >= IGNORES;
        } else if (verdict) {
            fprintf(to, "  %s %s: with all layers random it has a rank correlation of %.2f, which is above %g\n",
                    s->plan.map[i].name, verdict, mean.mean, mean.mean >= IGNORES ? IGNORES : HARDLY);
        }
    }
    fprintf(to, "  controls that ignore the network, as all must: %d of %d\n", ignoring, controls);
}

/* Their weights stay, since no map could change. */
static void print_unread(const cp_sanity *s, FILE *to)
{
    if (!s->n_unread)
        return;
    fprintf(to, "layers that no response reads keep their weights:");
    for (int i = 0; i < s->n_unread; i++)
        fprintf(to, "%s %d", i ? "," : "", s->unread[i]);
    fprintf(to, "\n");
}

static void print_report(const cp_sanity *s, FILE *to)
{
    static const char *const orders[] = {"from the last layer to the first", "from the first layer to the last",
                                         "each layer alone"};
    const cp_options *o = s->session->options;
    cp_mean drift = cp_mean_of(s->drift, s->n);
    fprintf(to, "%zu responses of %zu images; means, in brackets their standard errors\n", s->n, s->images);
    fprintf(to, "random weights %s, %s; how alike each map is to that of the network as it is\n",
            o->initialiser == CP_INITIALISER_DARKNET ? "as Darknet starts a training" : "from N(0, .1)",
            orders[o->order]);
    print_unread(s, to);
    if (o->noisy)
        fprintf(to, "maps are means over %d noisy copies of the photo (smooth MPRT)\n", o->noisy);
    print_summary(s, to);
    fprintf(
        to,
        "  where the column does not say otherwise: rank correlation of magnitudes. ssim, signed (rank correlation), "
            "entropy (its relative change,\n"
        "  efficient MPRT): with all layers random. sum / gain: of the map, over the response's gain from black to the photo;\n"
        "  1 is complete, which inputintgrad promises. Maps are compared where the response can read the input. -: a map is constant\n");
    if (drift.n)
        fprintf(
            to,
            "  shifted: the photo less its mean colour, and the network with it; its response changes by %.2g of itself\n",
            drift.mean);
    print_verdicts(s, to);
    if (o->layers)
        print_layers(s, to);
}

/* ---------------------------------------------------------------- files */

static cp_status write_csv(const cp_sanity *s, const char *path)
{
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "image,response,map,test,layer");
    for (int m = 0; m < MEASURES; m++)
        fprintf(to, ",%s", names[m]);
    fprintf(to, "\n");
    for (size_t i = 0; i < s->n; i++)
        for (int map = 0; map < s->plan.n_maps; map++)
            for (int stage = 0; stage < s->n_stages; stage++) {
                static const char *const tests[] = {"random", "class", "shift"};
                const cp_sanity_stage *at = &s->stage[stage];
                cp_csv_text(to, s->subject[i].path);
                fputc(',', to);
                cp_csv_text(to, s->subject[i].response.text);
                fprintf(to, ",%s,%s,", s->plan.map[map].name, tests[at->test]);
                if (at->layer >= 0)
                    fprintf(to, "%d", at->layer);
                for (int m = 0; m < MEASURES; m++)
                    cp_csv_number(to, value_of(cp_sanity_at(s, stage, map, i), (measure)m));
                fprintf(to, "\n");
            }
    return cp_file_commit(&file);
}

static json_t *map_json(const cp_sanity *s, int map, int *bad)
{
    json_t *object = json_object(), *stages = json_array();
    int all = find_stage(s, CP_SANITY_RANDOM, true);
    cp_mean last = mean_of(s, all, map, RANK_ABS);
    for (int stage = 0; stage < s->n_stages; stage++) {
        char text[24];
        json_t *entry = json_object();
        *bad |= cp_json_set(entry, "test", cp_json_text(stage_name(&s->stage[stage], text)));
        for (int m = 0; m < MEASURES; m++)
            *bad |= cp_json_set(entry, names[m], cp_json_real(mean_of(s, stage, map, (measure)m).mean));
        *bad |= cp_json_append(stages, entry);
    }
    *bad |= cp_json_set(object, "control", json_boolean(s->plan.map[map].method->blind));
    *bad |= cp_json_set(object, "verdict", cp_json_text(last.n ? verdict_of(last.mean) : NULL));
    *bad |= cp_json_set(object, "completeness", cp_json_real(completeness_of(s, map).mean));
    *bad |= cp_json_set(object, "stages", stages);
    return object;
}

static cp_status make_json(const cp_sanity *s, json_t *object)
{
    json_t *maps = json_object(), *unread = json_array();
    int bad = cp_json_set(object, "critpath", cp_json_text(CP_VERSION));
    for (int i = 0; i < s->n_unread; i++)
        bad |= cp_json_append(unread, json_integer(s->unread[i]));
    bad |= cp_json_set(object, "unread_layers", unread);
    bad |= cp_json_set(object, "responses", json_integer((json_int_t)s->n));
    bad |= cp_json_set(object, "drift", cp_json_real(cp_mean_of(s->drift, s->n).mean));
    for (int i = 0; i < s->plan.n_maps; i++)
        bad |= cp_json_set(maps, s->plan.map[i].name, map_json(s, i, &bad));
    bad |= cp_json_set(object, "maps", maps);
    return bad ? CP_ERESOURCE : CP_OK;
}

/* One chart: a measure over the stages with random weights. */
static cp_status draw_measure(const cp_sanity *s, measure m, const char *title, cp_picture *picture)
{
    cp_series series[CP_EVAL_MAPS];
    const char **labels = NULL;
    size_t n = 0, maps = (size_t)s->plan.n_maps;
    while (n < (size_t)s->n_stages && s->stage[n].test == CP_SANITY_RANDOM)
        n++;
    double *y = cp_alloc(maps * n, sizeof *y, "picture");
    char(*text)[24] = cp_alloc(n, sizeof *text, "picture");
    labels = cp_alloc(n, sizeof *labels, "picture");
    cp_status status = y && text && labels ? CP_OK : CP_ERESOURCE;
    for (size_t stage = 0; stage < n && !status; stage++) {
        labels[stage] = "all";
        if (s->stage[stage].layer >= 0) {
            snprintf(text[stage], sizeof text[stage], "%d", s->stage[stage].layer);
            labels[stage] = text[stage];
        }
        for (size_t i = 0; i < maps; i++)
            y[i * n + stage] = mean_of(s, (int)stage, (int)i, m).mean;
    }
    for (size_t i = 0; i < maps && !status; i++)
        series[i] = (cp_series){.name = s->plan.map[i].name, .y = y + i * n};
    const cp_chart chart = {.title = title,
                            .x_label = "layer that got random weights last",
                            .y_label = names[m],
                            .n_points = n,
                            .n_series = maps,
                            .x_names = labels,
                            .series = series,
                            .y_min = -.2,
                            .y_max = 1,
                            .w = 960,
                            .h = 500};
    if (!status)
        status = cp_chart_draw(&chart, picture);
    cp_free(y);
    cp_free(text);
    cp_free(labels);
    return status;
}

static cp_status draw(const cp_sanity *s, const char *path)
{
    cp_picture both = {0};
    cp_status status = cp_picture_new(960, 1000, &both);
    for (int k = 0; k < 2 && !status; k++) {
        cp_picture one = {0};
        status = draw_measure(s, k ? SSIM : RANK_ABS,
                              k ? "structural similarity with the map of the network as it is"
                                : "rank correlation of magnitudes with the map of the network as it is",
                              &one);
        if (!status)
            cp_draw_picture(&both, 0, k * 500, &one);
        cp_picture_free(&one);
    }
    if (!status)
        status = cp_picture_write_png(&both, path);
    cp_picture_free(&both);
    return status;
}

cp_status cp_sanity_report(cp_sanity *s, const char *prefix)
{
    cp_item item = {.path = "sanity.npz"};
    char csv[4096], json[4096], png[4096] = "";
    json_t *object = json_object();
    snprintf(item.prefix, sizeof item.prefix, "%s", prefix);
    cp_status status = object ? make_json(s, object) : CP_ERESOURCE;
    if (!status)
        status = cp_output_path(s->session, &item, "", ".csv", csv);
    if (!status)
        status = cp_output_path(s->session, &item, "", ".json", json);
    if (!status)
        status = write_csv(s, csv);
    if (!status)
        status = cp_json_write_file(object, json);
    if (!status && !s->session->options->no_picture)
        status = cp_output_path(s->session, &item, "", ".png", png);
    if (!status && *png)
        status = draw(s, png);
    if (!status && s->session->options->json)
        status = cp_json_write_stream(object, s->session->out);
    if (!status && !s->session->options->json) {
        print_report(s, stdout);
        cp_print_files(stdout, csv, json, png, NULL);
    }
    json_decref(object);
    return status;
}
