#include "path/comparison.h"

#include <math.h>

#include "io/error.h"
#include "path/path.h"
#include "path/statistics.h"

/* Welford's running mean and sum of squared deviations. */
typedef struct {
    size_t n;
    double mean, squares;
} series;

struct cp_comparison {
    int paths, layers;
    size_t images;
    /* Row 0 is the network, row 1 + l neuron layer l. */
    series *density, *dead;    /* (layers + 1, paths) */
    series *jaccard, *chance;  /* (layers + 1, paths, paths), a <= b */
    cp_layer_statistics *rows; /* (paths, layers), of the current image */
};

cp_status cp_comparison_create(const cp_model *model, int n, cp_comparison **out)
{
    *out = NULL;
    if (n < 1 || n > CP_COMPARED_PATHS)
        return cp_fail(CP_EINPUT, "compare: %d paths, allowed are 1 to %d", n, CP_COMPARED_PATHS);
    cp_comparison *c = cp_alloc(1, sizeof *c, "comparison");
    if (!c)
        return CP_ERESOURCE;
    cp_model_neuron_layers(model, &c->layers);
    c->paths = n;
    size_t singles = (size_t)(c->layers + 1) * (size_t)n, pairs = singles * (size_t)n;
    c->density = cp_alloc(singles, sizeof *c->density, "comparison");
    c->dead = cp_alloc(singles, sizeof *c->dead, "comparison");
    c->jaccard = cp_alloc(pairs, sizeof *c->jaccard, "comparison");
    c->chance = cp_alloc(pairs, sizeof *c->chance, "comparison");
    c->rows = cp_alloc(singles, sizeof *c->rows, "comparison");
    if (!c->density || !c->dead || !c->jaccard || !c->chance || !c->rows) {
        cp_comparison_free(c);
        return CP_ERESOURCE;
    }
    *out = c;
    return CP_OK;
}

void cp_comparison_free(cp_comparison *c)
{
    if (!c)
        return;
    cp_free(c->density), cp_free(c->dead), cp_free(c->jaccard), cp_free(c->chance), cp_free(c->rows);
    cp_free(c);
}

static void take(series *s, double value)
{
    double away = value - s->mean;
    s->mean += away / (double)++s->n;
    s->squares += away * (value - s->mean);
}

static series *single(series *of, const cp_comparison *c, int layer, int path)
{
    return of + (size_t)(layer + 1) * (size_t)c->paths + (size_t)path;
}

static series *pair(series *of, const cp_comparison *c, int layer, int a, int b)
{
    int lower = a < b ? a : b, upper = a < b ? b : a;
    return of + ((size_t)(layer + 1) * (size_t)c->paths + (size_t)lower) * (size_t)c->paths + (size_t)upper;
}

static void add_shares(cp_comparison *c, int path, bool dead)
{
    cp_layer_statistics all = {0};
    const cp_layer_statistics *rows = c->rows + (size_t)path * (size_t)c->layers;
    for (int l = -1; l < c->layers; l++) {
        const cp_layer_statistics *row = l < 0 ? &all : &rows[l];
        for (int k = 0; l < 0 && k < c->layers; k++)
            all.count += rows[k].count, all.kept += rows[k].kept, all.kept_dead += rows[k].kept_dead;
        take(single(c->density, c, l, path), (double)row->kept / (double)row->count);
        if (dead && row->kept)
            take(single(c->dead, c, l, path), (double)row->kept_dead / (double)row->kept);
    }
}

static cp_status add_pair(cp_comparison *c, const cp_path *const *paths, int a, int b)
{
    size_t neurons = 0, all_a = 0, all_b = 0;
    const cp_layer_statistics *rows_a = c->rows + (size_t)a * (size_t)c->layers;
    const cp_layer_statistics *rows_b = c->rows + (size_t)b * (size_t)c->layers;
    for (int l = 0; l < c->layers; l++)
        neurons += rows_a[l].count, all_a += rows_a[l].kept, all_b += rows_b[l].kept;
    for (int l = -1; l < c->layers; l++) {
        size_t both, either;
        cp_status status = cp_path_overlap(paths[a], paths[b], l, &both, &either);
        if (status)
            return status;
        if (!either)
            continue;
        double count = (double)(l < 0 ? neurons : rows_a[l].count);
        double p = (double)(l < 0 ? all_a : rows_a[l].kept) / count;
        double q = (double)(l < 0 ? all_b : rows_b[l].kept) / count;
        take(pair(c->jaccard, c, l, a, b), (double)both / (double)either);
        take(pair(c->chance, c, l, a, b), p * q / (p + q - p * q));
    }
    return CP_OK;
}

cp_status cp_comparison_add(cp_comparison *c, const cp_path *const *paths, const cp_frame *frame, int image)
{
    for (int k = 0; k < c->paths; k++) {
        cp_path_layer_statistics(paths[k], frame, image, NULL, c->rows + (size_t)k * (size_t)c->layers);
        add_shares(c, k, frame != NULL);
    }
    for (int a = 0; a < c->paths; a++)
        for (int b = a; b < c->paths; b++) {
            cp_status status = add_pair(c, paths, a, b);
            if (status)
                return status;
        }
    c->images++;
    return CP_OK;
}

size_t cp_comparison_images(const cp_comparison *c) { return c->images; }

static cp_figure figure(const series *s)
{
    return (cp_figure){s->n ? s->mean : NAN, s->n > 1 ? sqrt(s->squares / (double)(s->n - 1)) : NAN, s->n};
}

cp_figure cp_comparison_density(const cp_comparison *c, int path, int layer)
{
    return figure(single(c->density, c, layer, path));
}

cp_figure cp_comparison_dead(const cp_comparison *c, int path, int layer)
{
    return figure(single(c->dead, c, layer, path));
}

cp_figure cp_comparison_jaccard(const cp_comparison *c, int a, int b, int layer)
{
    return figure(pair(c->jaccard, c, layer, a, b));
}

cp_figure cp_comparison_chance(const cp_comparison *c, int a, int b, int layer)
{
    return figure(pair(c->chance, c, layer, a, b));
}
