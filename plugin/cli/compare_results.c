#include "cli/compare.h"
#include "cli/summary.h"
#include "io/atomic.h"
#include "io/csv.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

static const cp_neuron_layer *layers_of(const cp_compared *c, int *n) { return cp_model_neuron_layers(c->model, n); }

/* "network", or "012 convolutional" */
static const char *layer_name(const cp_compared *c, int layer)
{
    int n;
    return layer < 0 ? "network" : layers_of(c, &n)[layer].name + strlen("layer_");
}

/* ---------------------------------------------------------------- text */

static const char *number(double value, double scale, const char *unit, char text[24])
{
    if (isnan(value))
        snprintf(text, 24, "-");
    else
        snprintf(text, 24, scale == 100 ? "%.2f%s" : "%.4f%s", value * scale, unit);
    return text;
}

static void print_rows(const cp_compared *c, int layer, FILE *to)
{
    char a[24], b[24], d[24], pair[140];
    int width = 12;
    for (int k = 0; k < c->n; k++)
        width = (int)strlen(c->name[k]) > width ? (int)strlen(c->name[k]) : width;
    width = 2 * width + 3;
    fprintf(to, "  %-*s %10s %10s %10s\n", width, "path", "share", "dead", "deviation");
    for (int k = 0; k < c->n; k++) {
        cp_figure share = cp_comparison_density(c->comparison, k, layer);
        cp_figure dead = cp_comparison_dead(c->comparison, k, layer);
        fprintf(to, "  %-*s %10s %10s %10s\n", width, c->name[k], number(share.mean, 100, "%", a),
                number(dead.mean, 100, "%", b), number(dead.deviation, 100, "%", d));
    }
    fprintf(to, "  %-*s %10s %10s %10s\n", width, "pair", "Jaccard", "deviation", "chance");
    for (int i = 0; i < c->n; i++)
        for (int k = i + 1; k < c->n; k++) {
            cp_figure jaccard = cp_comparison_jaccard(c->comparison, i, k, layer);
            cp_figure chance = cp_comparison_chance(c->comparison, i, k, layer);
            snprintf(pair, sizeof pair, "%s - %s", c->name[i], c->name[k]);
            fprintf(to, "  %-*s %10s %10s %10s\n", width, pair, number(jaccard.mean, 1, "", a),
                    number(jaccard.deviation, 1, "", b), number(chance.mean, 1, "", d));
        }
}

void cp_compared_print(const cp_compared *c, bool layers, FILE *to)
{
    int n;
    size_t images = cp_comparison_images(c->comparison);
    layers_of(c, &n);
    if (c->sparsity)
        fprintf(to, "sparsity %s, %zu response%s\n", c->sparsity, images, images == 1 ? "" : "s");
    else
        fprintf(to, "path files\n");
    for (int l = -1; l < (layers ? n : 0); l++) {
        if (l >= 0)
            fprintf(to, "%s\n", layer_name(c, l));
        print_rows(c, l, to);
    }
}

/* ---------------------------------------------------------------- json */

static json_t *figure_json(cp_figure f)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "mean", cp_json_real(f.mean));
    bad |= cp_json_set(object, "deviation", cp_json_real(f.deviation));
    bad |= cp_json_set(object, "images", json_integer((json_int_t)f.n));
    return cp_json_finish(object, bad);
}

/* Of the network, and "layers" with the same of each. b < 0: a path, else a pair. */
static json_t *rows_json(const cp_compared *c, int a, int b)
{
    int n, bad = 0;
    json_t *all = NULL, *layers = json_array();
    layers_of(c, &n);
    for (int l = -1; l < n; l++) {
        json_t *object = json_object();
        if (l >= 0)
            bad |= cp_json_set(object, "layer", cp_json_text(layer_name(c, l)));
        else if (b < 0)
            bad |= cp_json_set(object, "name", cp_json_text(c->name[a]));
        else
            bad |= cp_json_set(object, "a", cp_json_text(c->name[a])) |
                   cp_json_set(object, "b", cp_json_text(c->name[b]));
        if (b < 0) {
            bad |= cp_json_set(object, "share", figure_json(cp_comparison_density(c->comparison, a, l)));
            bad |= cp_json_set(object, "dead", figure_json(cp_comparison_dead(c->comparison, a, l)));
        } else {
            bad |= cp_json_set(object, "jaccard", figure_json(cp_comparison_jaccard(c->comparison, a, b, l)));
            bad |= cp_json_set(object, "chance", cp_json_real(cp_comparison_chance(c->comparison, a, b, l).mean));
        }
        if (l < 0)
            all = object;
        else
            bad |= cp_json_append(layers, object);
    }
    bad |= cp_json_set(all, "layers", layers);
    return cp_json_finish(all, bad);
}

json_t *cp_compared_json(const cp_compared *c)
{
    json_t *object = json_object(), *paths = json_array(), *pairs = json_array();
    int bad = cp_json_set(object, "sparsity", c->sparsity ? cp_json_text(c->sparsity) : json_null());
    bad |= cp_json_set(object, "responses", json_integer((json_int_t)cp_comparison_images(c->comparison)));
    for (int k = 0; k < c->n; k++)
        bad |= cp_json_append(paths, rows_json(c, k, -1));
    for (int i = 0; i < c->n; i++)
        for (int k = i + 1; k < c->n; k++)
            bad |= cp_json_append(pairs, rows_json(c, i, k));
    bad |= cp_json_set(object, "paths", paths);
    bad |= cp_json_set(object, "pairs", pairs);
    return cp_json_finish(object, bad);
}

/* ---------------------------------------------------------------- csv */

static void csv_row(const cp_compared *c, FILE *to, const char *quantity, int a, int b, int layer, cp_figure f,
                    double chance)
{
    fprintf(to, "%s,%s,", c->sparsity ? c->sparsity : "", quantity);
    cp_csv_text(to, c->name[a]);
    fputc(',', to);
    if (b >= 0)
        cp_csv_text(to, c->name[b]);
    fprintf(to, ",%s", layer_name(c, layer));
    cp_csv_number(to, f.mean);
    cp_csv_number(to, f.deviation);
    fprintf(to, ",%zu", f.n);
    cp_csv_number(to, chance);
    fputc('\n', to);
}

cp_status cp_compared_csv(const cp_compared *c, const char *path)
{
    int n;
    cp_file *file = NULL;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fputs("sparsity,quantity,a,b,layer,mean,deviation,images,chance\n", to);
    layers_of(c, &n);
    for (int l = -1; l < n; l++) {
        for (int k = 0; k < c->n; k++) {
            csv_row(c, to, "share", k, -1, l, cp_comparison_density(c->comparison, k, l), NAN);
            csv_row(c, to, "dead", k, -1, l, cp_comparison_dead(c->comparison, k, l), NAN);
        }
        for (int i = 0; i < c->n; i++)
            for (int k = i + 1; k < c->n; k++)
                csv_row(c, to, "jaccard", i, k, l, cp_comparison_jaccard(c->comparison, i, k, l),
                        cp_comparison_chance(c->comparison, i, k, l).mean);
    }
    return cp_file_commit(&file);
}

/* ---------------------------------------------------------------- pictures */

static void title_of(const cp_compared *c, const char *what, char title[160])
{
    if (c->sparsity)
        snprintf(title, 160, "%s, sparsity %s", what, c->sparsity);
    else
        snprintf(title, 160, "%s of path files", what);
}

static cp_status draw_matrix(const cp_compared *c, const char *png)
{
    double values[CP_COMPARED_PATHS * CP_COMPARED_PATHS];
    char title[160];
    cp_picture picture = {0};
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < c->n; k++)
            values[i * c->n + k] = cp_comparison_jaccard(c->comparison, i, k, -1).mean;
    title_of(c, "Jaccard", title);
    const cp_matrix matrix = {.title = title, .rows = (size_t)c->n, .columns = (size_t)c->n, .values = values,
                              .row_names = c->name, .column_names = c->name, .lo = 0, .hi = 1, .decimals = 3};
    cp_status status = cp_matrix_draw(&matrix, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, png);
    cp_picture_free(&picture);
    return status;
}

/* The first path against each of the others. */
static cp_status draw_layers(const cp_compared *c, const char *png)
{
    int n;
    const cp_neuron_layer *layers = layers_of(c, &n);
    cp_series series[CP_COMPARED_PATHS];
    char title[160], what[100];
    cp_picture picture = {0};
    cp_status status = CP_ERESOURCE;
    double *values = cp_alloc(2 * (size_t)n * (size_t)c->n, sizeof *values, "chart");
    const char **names = cp_alloc((size_t)n, sizeof *names, "chart");
    if (!values || !names)
        goto done;
    for (int l = 0; l < n; l++)
        names[l] = layers[l].name + strlen("layer_");
    for (int k = 1; k < c->n; k++) {
        double *y = values + 2 * (size_t)n * (size_t)(k - 1), *spread = y + n;
        bool band = false;
        for (int l = 0; l < n; l++) {
            cp_figure f = cp_comparison_jaccard(c->comparison, 0, k, l);
            y[l] = f.mean;
            spread[l] = isnan(f.deviation) ? 0 : f.deviation;
            band = band || spread[l] > 0;
        }
        series[k - 1] = (cp_series){c->name[k], y, band ? spread : NULL};
    }
    snprintf(what, sizeof what, "Jaccard with %.60s", c->name[0]);
    title_of(c, what, title);
    const cp_chart chart = {.title = title, .y_label = "Jaccard", .n_points = (size_t)n, .n_series = (size_t)c->n - 1,
                            .x_names = names, .series = series, .y_min = 0, .y_max = 1, .w = n > 24 ? 40 * n : 0};
    status = cp_chart_draw(&chart, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, png);
done:
    cp_picture_free(&picture);
    cp_free(values);
    cp_free(names);
    return status;
}

cp_status cp_compared_pictures(const cp_compared *c, const char *matrix_png, const char *layers_png)
{
    cp_status status = draw_matrix(c, matrix_png);
    return status ? status : draw_layers(c, layers_png);
}
