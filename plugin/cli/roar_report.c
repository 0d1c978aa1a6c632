/* What the trainings come to: accuracy by what was removed, the area under it, and how well ROAD would have told the
 * same. */
#include <math.h>
#include <string.h>

#include "cli/mean_text.h"
#include "cli/command_roar.h"
#include "eval/paired.h"
#include "io/atomic.h"
#include "io/chart.h"
#include "io/csv.h"
#include "io/error.h"
#include "io/json.h"

enum { CURVES = 2 * CP_EVAL_MAPS, POINTS = CP_MAX_SPARSITIES + 1 };
static const char *const directions[] = {"highest", "lowest"};

typedef struct {
    cp_mean accuracy[POINTS]; /* by fraction, over the repeats */
    cp_mean area;             /* under the accuracy over the fractions, divided by their range */
} curve;

typedef struct {
    curve curve[2][CP_EVAL_MAPS];
    double road[CP_EVAL_MAPS]; /* area of the probability; NAN: not measured */
    double road_curve[CP_EVAL_MAPS][POINTS];
    double rank[2]; /* Spearman's, of the areas of direction d and ROAD's, over the maps; NAN: none */
} table;

/* ---------------------------------------------------------------- from the lines */

static const json_t *line_of(const cp_roar *r, size_t step) { return cp_ledger_of(r->ledger, step); }

static double accuracy_of(const cp_roar *r, int map, int direction, int fraction, int repeat)
{
    const json_t *line = line_of(r, cp_roar_step(r, map, direction, fraction, repeat));
    const json_t *value = json_object_get(line, "accuracy");
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static cp_status fill_curve(const cp_roar *r, int map, int direction, curve *c)
{
    double *value = cp_alloc((size_t)r->repeats, sizeof *value, "results"),
           *area = cp_alloc((size_t)r->repeats, sizeof *area, "results");
    double y[POINTS];
    if (!value || !area) {
        cp_free(value);
        cp_free(area);
        return CP_ERESOURCE;
    }
    for (int f = 0; f < r->n_fractions; f++) {
        for (int k = 0; k < r->repeats; k++)
            value[k] = accuracy_of(r, map, direction, f, k);
        c->accuracy[f] = cp_mean_of(value, (size_t)r->repeats);
    }
    for (int k = 0; k < r->repeats; k++) {
        for (int f = 0; f < r->n_fractions; f++)
            y[f] = accuracy_of(r, map, direction, f, k);
        area[k] = cp_curve_area(r->fraction, y, r->n_fractions);
    }
    c->area = cp_mean_of(area, (size_t)r->repeats);
    cp_free(value);
    cp_free(area);
    return CP_OK;
}

static void fill_road(const cp_roar *r, table *t)
{
    for (int i = 0; i < r->plan.n_maps; i++) {
        const json_t *values = json_object_get(line_of(r, cp_roar_road_step(r, i)), "probability");
        for (int f = 0; f < r->n_fractions; f++) {
            const json_t *value = json_array_get(values, (size_t)f);
            t->road_curve[i][f] = json_is_number(value) ? json_number_value(value) : NAN;
        }
        t->road[i] = cp_curve_area(r->fraction, t->road_curve[i], r->n_fractions);
    }
}

static cp_status fill(const cp_roar *r, table *t)
{
    cp_status status = CP_OK;
    fill_road(r, t);
    for (int d = 0; d < r->directions && !status; d++) {
        float area[CP_EVAL_MAPS], road[CP_EVAL_MAPS];
        for (int i = 0; i < r->plan.n_maps && !status; i++) {
            status = fill_curve(r, i, d, &t->curve[d][i]);
            area[i] = (float)t->curve[d][i].area.mean;
            road[i] = (float)t->road[i];
        }
        if (!status)
            status = cp_rank_correlation(area, road, (size_t)r->plan.n_maps, &t->rank[d]);
    }
    return status;
}

/* ---------------------------------------------------------------- text */

static void print_table(const cp_roar *r, const table *t, FILE *to)
{
    fprintf(to, "%zu training and %zu test pictures, %d training%s each; accuracy", r->list[CP_ROAR_TRAIN].n,
            r->list[CP_ROAR_VALID].n, r->repeats, r->repeats > 1 ? "s, in brackets their standard errors," : "");
    fprintf(to, " after a share of the pixels was removed and the network trained anew\n");
    for (int d = 0; d < r->directions; d++) {
        fprintf(to, "  %-32s", d ? "lowest pixels removed (KAR)" : "highest pixels removed (ROAR)");
        for (int f = 0; f < r->n_fractions; f++)
            fprintf(to, "  %13g%%", 100 * r->fraction[f]);
        fprintf(to, "  %14s  %14s\n", "area", "ROAD");
        for (int i = 0; i < r->plan.n_maps; i++) {
            const cp_eval_map *m = &r->plan.map[i];
            char name[100];
            snprintf(name, sizeof name, "%s%s", m->name, m->method->magnitude ? " |.|" : "");
            fprintf(to, "  %-32s", name);
            for (int f = 0; f < r->n_fractions; f++)
                cp_mean_print(&t->curve[d][i].accuracy[f], to);
            cp_mean_print(&t->curve[d][i].area, to);
            const cp_mean road = cp_mean_of(&t->road[i], 1); /* none where ROAD was not asked for */
            cp_mean_print(&road, to);
            fprintf(to, "\n");
        }
        if (!isnan(t->rank[d]))
            fprintf(to, "  rank correlation of area and ROAD over the maps: %+.3f\n", t->rank[d]);
    }
    fprintf(
        to,
        "  area: under the accuracy over the share removed, divided by the range; ROAR: less is better, KAR: more\n"
        "  ROAD: area under the probability of the prediction of the network as it is, highest pixels imputed first\n");
}

/* ---------------------------------------------------------------- files */

static cp_status write_csv(const cp_roar *r, const char *path)
{
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "map,removed,fraction,repeat,accuracy\n");
    for (int i = 0; i < r->plan.n_maps; i++)
        for (int d = 0; d < r->directions; d++)
            for (int f = 0; f < r->n_fractions; f++)
                for (int k = 0; k < r->repeats; k++) {
                    fprintf(to, "%s,%s,%g,%d", r->plan.map[i].name, directions[d], r->fraction[f], k);
                    cp_csv_number(to, accuracy_of(r, i, d, f, k));
                    fprintf(to, "\n");
                }
    return cp_file_commit(&file);
}

static cp_status draw(const cp_roar *r, const table *t, const char *path)
{
    static double y[CURVES][POINTS];
    static char name[CURVES][90];
    cp_series series[CURVES];
    cp_picture picture = {0};
    int n = 0;
    for (int d = 0; d < r->directions; d++)
        for (int i = 0; i < r->plan.n_maps; i++, n++) {
            for (int f = 0; f < r->n_fractions; f++)
                y[n][f] = t->curve[d][i].accuracy[f].n ? t->curve[d][i].accuracy[f].mean : NAN;
            snprintf(name[n], sizeof name[n], "%s%s", r->plan.map[i].name, d ? ", lowest" : "");
            series[n] = (cp_series){.name = name[n], .y = y[n]};
        }
    const cp_chart chart = {.title = "accuracy of networks trained without what the map ranks highest",
                            .x_label = "share of the pixels removed",
                            .y_label = "accuracy",
                            .n_points = (size_t)r->n_fractions,
                            .n_series = (size_t)n,
                            .x = r->fraction,
                            .series = series};
    cp_status status = cp_chart_draw(&chart, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, path);
    cp_picture_free(&picture);
    return status;
}

static cp_status print_json(const cp_roar *r, const table *t)
{
    json_t *object = json_object(), *maps = json_object();
    int bad = 0;
    for (int i = 0; i < r->plan.n_maps; i++) {
        json_t *map = json_object();
        bad |= cp_json_set(map, "roar", cp_json_real(t->curve[0][i].area.mean));
        if (r->directions == 2)
            bad |= cp_json_set(map, "kar", cp_json_real(t->curve[1][i].area.mean));
        bad |= cp_json_set(map, "road", cp_json_real(t->road[i]));
        bad |= cp_json_set(maps, r->plan.map[i].name, map);
    }
    bad |= cp_json_set(object, "maps", maps);
    bad |= cp_json_set(object, "rank_correlation", cp_json_real(t->rank[0]));
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, r->session->out);
    json_decref(object);
    return status;
}

cp_status cp_roar_report(cp_roar *r)
{
    char csv[CP_ROAR_FILE], png[CP_ROAR_FILE], lines[CP_ROAR_FILE + 16];
    table *t = cp_alloc(1, sizeof *t, "results");
    cp_status status = t ? fill(r, t) : CP_ERESOURCE;
    snprintf(csv, sizeof csv, "%s/roar.csv", r->folder);
    snprintf(png, sizeof png, "%s/roar.png", r->folder);
    if (!status)
        status = write_csv(r, csv);
    if (!status)
        status = draw(r, t, png);
    if (!status && r->session->options->json)
        status = print_json(r, t);
    if (!status && !r->session->options->json) {
        print_table(r, t, stdout);
        snprintf(lines, sizeof lines, "%s/roar.jsonl", r->folder);
        cp_print_files(stdout, lines, csv, png, NULL);
    }
    cp_free(t);
    return status;
}
