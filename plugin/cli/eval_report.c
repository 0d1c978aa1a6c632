/* What the ledger's lines come to: means with standard errors, differences from the best baseline on the same photos, curves. */
#include <math.h>
#include <string.h>

#include "cli/eval.h"
#include "cli/output_path.h"
#include "eval/paired.h"
#include "io/atomic.h"
#include "io/chart.h"
#include "io/csv.h"
#include "io/draw.h"
#include "io/error.h"
#include "io/json.h"
#include "model/labels.h"

typedef struct {
    const cp_eval_plan *plan;
    size_t n;                                        /* responses */
    double *value[CP_EVAL_MAPS][CP_EVAL_METRICS];    /* by response */
    double *curve[CP_EVAL_MAPS][2];                  /* by point: sums of deletion and insertion */
    size_t curves[CP_EVAL_MAPS];                     /* responses in them */
    size_t true_boxes, masks, boxes;
} table;

/* ---------------------------------------------------------------- from the lines */

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void add_curve(const json_t *map, const char *key, int n, double *sum)
{
    const json_t *curve = json_object_get(map, key);
    for (int i = 0; i < n && json_array_size(curve) == (size_t)n; i++)
        sum[i] += json_number_value(json_array_get(curve, (size_t)i));
}

static void add_response(table *t, const json_t *response)
{
    const json_t *maps = json_object_get(response, "maps");
    const char *box = json_string_value(json_object_get(response, "box"));
    t->boxes += box != NULL;
    t->true_boxes += box && !strcmp(box, "true");
    t->masks += box && !strcmp(box, "mask");
    for (int i = 0; i < t->plan->n_maps; i++) {
        const json_t *map = json_object_get(maps, t->plan->map[i].name);
        for (int k = 0; k < CP_EVAL_METRICS; k++)
            t->value[i][k][t->n] = number(map, cp_eval_metrics[k].name);
        add_curve(map, "deletion_curve", t->plan->n_points, t->curve[i][0]);
        add_curve(map, "insertion_curve", t->plan->n_points, t->curve[i][1]);
        t->curves[i] += map != NULL;
    }
    t->n++;
}

static cp_status fill(table *t, cp_ledger *ledger)
{
    size_t all = 0;
    for (size_t k = 0; k < cp_ledger_count(ledger); k++)
        all += json_array_size(json_object_get(cp_ledger_at(ledger, k), "responses"));
    for (int i = 0; i < t->plan->n_maps; i++) {
        for (int k = 0; k < CP_EVAL_METRICS; k++)
            if (!(t->value[i][k] = cp_alloc(all, sizeof(double), "results")))
                return CP_ERESOURCE;
        for (int k = 0; k < 2; k++)
            if (!(t->curve[i][k] = cp_alloc((size_t)t->plan->n_points, sizeof(double), "results")))
                return CP_ERESOURCE;
    }
    for (size_t k = 0; k < cp_ledger_count(ledger); k++) {
        const json_t *responses = json_object_get(cp_ledger_at(ledger, k), "responses");
        for (size_t r = 0; r < json_array_size(responses); r++)
            add_response(t, json_array_get(responses, r));
    }
    return CP_OK;
}

static void free_table(table *t)
{
    for (int i = 0; i < CP_EVAL_MAPS; i++) {
        for (int k = 0; k < CP_EVAL_METRICS; k++)
            cp_free(t->value[i][k]);
        cp_free(t->curve[i][0]);
        cp_free(t->curve[i][1]);
    }
}

/* ---------------------------------------------------------------- text */

static void print_name(const table *t, int i, FILE *to)
{
    const cp_eval_map *m = &t->plan->map[i];
    char name[100];
    snprintf(name, sizeof name, "%s%s", m->name, m->method->magnitude ? " |.|" : "");
    fprintf(to, "  %-32s", name);
}

static void print_row(const table *t, int i, FILE *to)
{
    print_name(t, i, to);
    for (int k = 0; k < CP_EVAL_METRICS; k++) {
        if (!t->plan->metric[k])
            continue;
        cp_mean mean = cp_mean_of(t->value[i][k], t->n);
        if (!mean.n)
            fprintf(to, "  %14s", "-");
        else if (mean.n < 2)
            fprintf(to, "  %14.4f", mean.mean);
        else
            fprintf(to, "  %6.4f (%.4f)", mean.mean, mean.error);
    }
    fprintf(to, "\n");
}

/* Controls stand below the maps that are measured against them. */
static void print_means(const table *t, FILE *to)
{
    fprintf(to, "  %-32s", "map");
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        if (t->plan->metric[k])
            fprintf(to, "  %14s", cp_eval_metrics[k].name);
    fprintf(to, "\n");
    for (int i = 0; i < t->plan->n_maps; i++)
        if (!t->plan->map[i].method->blind)
            print_row(t, i, to);
    fprintf(to, CP_CONTROLS_TITLE);
    for (int i = 0; i < t->plan->n_maps; i++)
        if (t->plan->map[i].method->blind)
            print_row(t, i, to);
}

/* The map that reads no path and has the best mean, the rows that never look among them; -1: none has the metric. */
static int best_baseline(const table *t, int k)
{
    int best = -1;
    double best_mean = 0;
    for (int i = 0; i < t->plan->n_maps; i++) {
        cp_mean mean = cp_mean_of(t->value[i][k], t->n);
        double good = mean.mean * cp_eval_metrics[k].better;
        if (t->plan->map[i].method->reads_path || !mean.n || (best >= 0 && good <= best_mean))
            continue;
        best = i, best_mean = good;
    }
    return best;
}

static void print_differences(const table *t, uint64_t seed, FILE *to)
{
    for (int k = 0; k < CP_EVAL_METRICS; k++) {
        int base = cp_eval_metrics[k].better && k != CP_EVAL_SECONDS && t->plan->metric[k] ? best_baseline(t, k) : -1;
        if (base < 0 || t->n < 2)
            continue;
        fprintf(to, "  %s, against %s, the best of the maps that read no path:", cp_eval_metrics[k].name,
                t->plan->map[base].name);
        for (int i = 0; i < t->plan->n_maps; i++) {
            if (!t->plan->map[i].method->reads_path)
                continue;
            cp_paired paired = cp_compare_paired(t->value[i][k], t->value[base][k], t->n, 0, seed);
            if (paired.difference.n)
                fprintf(to, " %s %+.4f (p %.2g)", t->plan->map[i].name, paired.difference.mean, paired.p);
        }
        fprintf(to, "\n");
    }
}

static void print_report(const table *t, uint64_t seed, size_t images, FILE *to)
{
    fprintf(to, "%zu responses of %zu images; means, in brackets their standard errors", t->n, images);
    if (t->boxes > t->masks)
        fprintf(to, "; %zu of %zu boxes are true ones, the rest predicted", t->true_boxes, t->boxes - t->masks);
    if (t->masks)
        fprintf(to, "; %zu masks", t->masks);
    fprintf(to, "\n");
    print_means(t, to);
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        if (t->plan->metric[k])
            fprintf(to, "  %s: %s%s\n", cp_eval_metrics[k].name, cp_eval_metrics[k].meaning,
                    cp_eval_metrics[k].better > 0   ? "; more is better"
                    : cp_eval_metrics[k].better < 0 ? "; less is better"
                                                    : "");
    print_differences(t, seed, to);
}

/* ---------------------------------------------------------------- files */

static cp_status write_csv(const table *t, cp_ledger *ledger, const char *path)
{
    cp_file *file;
    size_t row = 0;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "image,response,box,map,read,blur");
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        if (t->plan->metric[k])
            fprintf(to, ",%s", cp_eval_metrics[k].name);
    fprintf(to, "\n");
    for (size_t line = 0; line < cp_ledger_count(ledger); line++) {
        const json_t *record = cp_ledger_at(ledger, line), *responses = json_object_get(record, "responses");
        for (size_t r = 0; r < json_array_size(responses); r++, row++)
            for (int i = 0; i < t->plan->n_maps; i++) {
                const cp_eval_map *m = &t->plan->map[i];
                const char *box = json_string_value(json_object_get(json_array_get(responses, r), "box"));
                cp_csv_text(to, json_string_value(json_object_get(record, "image")));
                fprintf(to, ",%zu,%s,%s,%s,%g", r + 1, box ? box : "", m->name, m->method->magnitude ? "magnitude" : "signed",
                        m->blur);
                for (int k = 0; k < CP_EVAL_METRICS; k++)
                    if (t->plan->metric[k])
                        cp_csv_number(to, t->value[i][k][row]);
                fprintf(to, "\n");
            }
    }
    return cp_file_commit(&file);
}

/* Two charts, one below the other: deletion, insertion. */
static cp_status draw_curves(const table *t, const char *path)
{
    enum { WIDTH = 960, HEIGHT = 500 };
    int n = t->plan->n_points;
    cp_picture both = {0};
    cp_status status = cp_picture_new(WIDTH, 2 * HEIGHT, &both);
    double *y = cp_alloc((size_t)t->plan->n_maps * (size_t)n, sizeof *y, "picture");
    if (!status && !y)
        status = CP_ERESOURCE;
    for (int insert = 0; insert < 2 && !status; insert++) {
        cp_series series[CP_EVAL_MAPS];
        cp_picture one = {0};
        for (int i = 0; i < t->plan->n_maps; i++) {
            for (int p = 0; p < n; p++)
                y[i * n + p] = t->curves[i] ? t->curve[i][insert][p] / (double)t->curves[i] : NAN;
            series[i] = (cp_series){.name = t->plan->map[i].name, .y = y + i * n};
        }
        const cp_chart chart = {.title = insert ? "insertion: the highest pixels come back into the blurred photo"
                                                : "deletion: the highest pixels take the mean colour",
                                .x_label = "share of the photo's pixels", .y_label = "probability", .n_points = (size_t)n,
                                .n_series = (size_t)t->plan->n_maps, .x = t->plan->fraction, .series = series,
                                .w = WIDTH, .h = HEIGHT};
        status = cp_chart_draw(&chart, &one);
        if (!status)
            cp_draw_picture(&both, 0, insert * HEIGHT, &one);
        cp_picture_free(&one);
    }
    if (!status)
        status = cp_picture_write_png(&both, path);
    cp_free(y);
    cp_picture_free(&both);
    return status;
}

/* Where no box is a true one though labels lie nearby, that is what people want to know. */
static void say_missing_labels(const cp_session *s, const table *t, cp_ledger *ledger)
{
    const json_t *first = t->boxes > t->masks && !t->true_boxes ? cp_ledger_at(ledger, 0) : NULL;
    const char *image = json_string_value(json_object_get(first, "image"));
    char hint[700];
    if (image && *cp_labels_hint(image, hint))
        cp_note(s, "eval: no label file was found%s", hint);
}

cp_status cp_eval_report(cp_session *s, const cp_eval_plan *plan, cp_ledger *ledger, const char *prefix)
{
    table t = {.plan = plan};
    const cp_item whole = {.path = "eval.npz"};
    cp_item item = whole;
    char csv[4096], png[4096] = "", lines[4200];
    snprintf(item.prefix, sizeof item.prefix, "%s", prefix);
    cp_status status = fill(&t, ledger);
    if (!status)
        status = cp_output_path(s, &item, "", ".csv", csv);
    if (!status)
        status = write_csv(&t, ledger, csv);
    bool curves = plan->metric[CP_EVAL_DELETION] && plan->metric[CP_EVAL_INSERTION] && t.n;
    if (!status && curves && s->options->picture != CP_PICTURE_NONE)
        status = cp_output_path(s, &item, "", ".png", png);
    if (!status && *png)
        status = draw_curves(&t, png);
    if (!status && !s->options->json) {
        print_report(&t, (uint64_t)s->options->seed, cp_ledger_count(ledger), stdout);
        snprintf(lines, sizeof lines, "%s.jsonl", prefix);
        cp_print_files(stdout, lines, csv, png, NULL);
        say_missing_labels(s, &t, ledger);
    }
    free_table(&t);
    return status;
}
