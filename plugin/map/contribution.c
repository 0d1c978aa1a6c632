/* The signed path contribution map. For every neuron layer that has a plane, m = sum over channels of a * g over the
 * neurons on the path, with its sign, so that opposite contributions at one place cancel. Where m is positive it is heat,
 * where it is negative counter-evidence. Each of the two is divided by its sum, so that every layer counts the same
 * however large its scores are, spread to the input's pixels, and summed over the layers. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "engine/frame_scores.h"
#include "io/clones.h"
#include "io/error.h"
#include "map/grid.h"
#include "map/map.h"
#include "path/path.h"
#include "score/score.h"

enum { FINE_STRIDE = 12,      /* planes whose cells are closer than that in the input are fine */
       FEW = 1 << 18,         /* neurons for which waking threads costs more than it saves */
       POSITIONS = 1 << 15 }; /* of a plane that one thread sums at a time: their sums stay in its second-level cache */

/* A neuron layer that takes part. */
typedef struct {
    int position;             /* among the neuron layers */
    const cp_neuron_layer *layer;
    cp_grid grid;
    size_t cells;
    double *sum;              /* m, (h,w) */
    float *side[2];           /* heat and counter-evidence of the layers with this grid, (h,w) each; in the first of them */
} part;

static bool takes_part(const cp_neuron_layer *layer, const cp_grid *grid, cp_planes planes)
{
    bool fine = fmax(grid->step_x, grid->step_y) < FINE_STRIDE;
    if (!grid->plane || layer->h * layer->w < 2) /* one cell covers everything and says nothing about where */
        return false;
    return planes == CP_PLANES_ALL || fine == (planes == CP_PLANES_FINE);
}

static cp_status choose_parts(const cp_model *model, cp_planes planes, part **out, int *n_parts, double **sums)
{
    int n;
    size_t cells = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_grid *grids = cp_grids_find(model);
    part *parts = *out = cp_alloc((size_t)n, sizeof *parts, "map");
    *n_parts = 0;
    for (int l = 0; grids && parts && l < n; l++) {
        const cp_grid *grid = &grids[layers[l].layer + 1];
        if (takes_part(&layers[l], grid, planes))
            parts[(*n_parts)++] =
                (part){.position = l, .layer = &layers[l], .grid = *grid, .cells = layers[l].h * layers[l].w};
    }
    for (int i = 0; parts && i < *n_parts; i++)
        cells += parts[i].cells;
    *sums = grids && parts ? cp_alloc(cells, sizeof **sums, "map") : NULL;
    cells = 0;
    for (int i = 0; *sums && i < *n_parts; cells += parts[i++].cells)
        parts[i].sum = *sums + cells;
    cp_free(grids);
    return *sums ? CP_OK : CP_ERESOURCE;
}

/* ---------------------------------------------------------------- sums over the channels */

/* sum (64) += the scores whose bits are on. Without a branch per bit, which would be predicted wrongly all the time. */
static inline __attribute__((always_inline)) void add_word(uint64_t bits, const float *score, double *sum)
{
    for (int half = 0; half < 64; half += 32) {
        uint32_t on = (uint32_t)(bits >> half);
        for (int i = 0; i < 32; i++) {
            uint32_t value;
            float kept;
            memcpy(&value, &score[half + i], sizeof value);
            value &= -(on >> i & 1);
            memcpy(&kept, &value, sizeof kept);
            sum[half + i] += (double)kept;
        }
    }
}

static inline __attribute__((always_inline)) void add_some(uint64_t bits, const float *score, double *sum)
{
    for (; bits; bits &= bits - 1) {
        int i = __builtin_ctzll(bits);
        sum[i] += (double)score[i];
    }
}

/* sum[i - first] += score[i] for the bits i of `words` in [first, end). */
CP_CLONES static void add_bits(const uint64_t *words, const float *score, size_t first, size_t end, double *sum)
{
    enum { AHEAD = 24, MANY = 6 };
    size_t last = (end + 63) / 64;
    for (size_t w = first / 64; w < last; w++) {
        uint64_t bits = words[w];
        if (w + AHEAD < last && words[w + AHEAD]) /* words with bits lie here and there */
            for (int line = 0; line < 64; line += 16)
                __builtin_prefetch(score + (w + AHEAD) * 64 + line);
        if (!bits)
            continue;
        if (w * 64 < first || end - w * 64 < 64) {
            for (; bits; bits &= bits - 1) {
                size_t i = w * 64 + (size_t)__builtin_ctzll(bits);
                if (i >= first && i < end)
                    sum[i - first] += (double)score[i];
            }
        } else if (__builtin_popcountll(bits) > MANY) {
            add_word(bits, score + w * 64, sum + (w * 64 - first));
        } else {
            add_some(bits, score + w * 64, sum + (w * 64 - first));
        }
    }
}

/* Positions [from, to) of a plane, channel after channel. words NULL: all neurons. */
static void sum_positions(const part *p, const uint64_t *words, const float *score, size_t from, size_t to)
{
    for (size_t c = 0; c < p->layer->c; c++) {
        size_t first = c * p->cells;
        if (words)
            add_bits(words, score, first + from, first + to, p->sum + from);
        else
            for (size_t i = from; i < to; i++)
                p->sum[i] += (double)score[first + i];
    }
}

static int blocks_of(const part *p) { return (int)((p->cells + POSITIONS - 1) / POSITIONS); }

/* Blocks of all planes in one loop: threads that are done with one layer go on with the next. */
static void sum_planes(const part *parts, int n, const cp_path *path, const float *score)
{
    int all = 0;
    double work = 0;
    for (int i = 0; i < n; i++) {
        all += blocks_of(&parts[i]);
        work += (double)parts[i].layer->count;
    }
#pragma omp parallel for schedule(dynamic) num_threads(work > FEW ? cp_threads() : 1)
    for (int k = 0; k < all; k++) {
        int i = 0, block = k;
        for (; block >= blocks_of(&parts[i]); i++)
            block -= blocks_of(&parts[i]);
        const part *p = &parts[i];
        size_t from = (size_t)block * POSITIONS, to = p->cells - from < POSITIONS ? p->cells : from + POSITIONS;
        sum_positions(p, path ? cp_path_words(path, p->position) : NULL, score + p->layer->offset, from, to);
    }
}

/* ---------------------------------------------------------------- to the input */

static bool same_grid(const part *a, const part *b)
{
    return a->layer->h == b->layer->h && a->layer->w == b->layer->w && a->grid.start_x == b->grid.start_x &&
           a->grid.start_y == b->grid.start_y && a->grid.step_x == b->grid.step_x && a->grid.step_y == b->grid.step_y;
}

enum { LANES = 8 };

/* total: the sums of what is positive and of what is negative, lane by lane, so that they do not wait for each other. */
CP_CLONES static void sum_sides(const double *sum, size_t cells, double total[2])
{
    double lane[2][LANES] = {{0}};
    size_t i = 0;
    for (; i + LANES <= cells; i += LANES)
        for (int k = 0; k < LANES; k++) {
            lane[0][k] += sum[i + k] > 0 ? sum[i + k] : 0;
            lane[1][k] += sum[i + k] < 0 ? -sum[i + k] : 0;
        }
    total[0] = total[1] = 0;
    for (; i < cells; i++)
        total[sum[i] < 0] += fabs(sum[i]);
    for (int k = 0; k < LANES; k++) {
        total[0] += lane[0][k];
        total[1] += lane[1][k];
    }
}

CP_CLONES static void divide_sides(const double *sum, size_t cells, const double total[2], float *restrict heat,
                                   float *restrict against)
{
    double share[2] = {total[0] > 0 ? 1 / total[0] : 0, total[1] > 0 ? 1 / total[1] : 0};
    size_t i = 0;
    for (; i + LANES <= cells; i += LANES)
        for (int k = 0; k < LANES; k++) {
            double m = sum[i + k];
            heat[i + k] += (float)(m > 0 ? m * share[0] : 0);
            against[i + k] += (float)(m < 0 ? -m * share[1] : 0);
        }
    for (; i < cells; i++) {
        heat[i] += (float)(sum[i] > 0 ? sum[i] * share[0] : 0);
        against[i] += (float)(sum[i] < 0 ? -sum[i] * share[1] : 0);
    }
}

/* Divides heat and counter-evidence of one layer by their sums and adds them to the sides of its grid. */
static void add_sides(const part *p, part *to, cp_contribution *report)
{
    double total[2];
    sum_sides(p->sum, p->cells, total);
    if (!(total[0] > 0) && !(total[1] > 0))
        return;
    report->layers++;
    report->against += total[1] / (total[0] + total[1]);
    divide_sides(p->sum, p->cells, total, to->side[0], to->side[1]);
}

/* map (H,W) += the plane, a row at a time. row: W floats. */
static void spread_plane(const float *plane, const cp_spread *across, const cp_spread *down, size_t w, float *row, float *map)
{
    for (size_t y = 0; y < down->cells; y++) {
        bool any = false;
        memset(row, 0, w * sizeof *row);
        for (size_t x = 0; x < across->cells; x++) {
            float mass = plane[y * across->cells + x];
            if (mass == 0)
                continue;
            any = true;
            for (size_t k = 0; k < across->count[x]; k++)
                row[across->first[x] + k] += mass * across->share[x][k];
        }
        for (size_t k = 0; any && k < down->count[y]; k++) {
            float *to = map + (down->first[y] + k) * w, share = down->share[y][k];
            for (size_t x = 0; x < w; x++)
                to[x] += share * row[x];
        }
    }
}

static cp_status spread_part(const part *p, size_t h, size_t w, float *row, float *heat)
{
    cp_spread across, down = {0};
    cp_status status = cp_spread_create(p->grid.start_x, p->grid.step_x, p->layer->w, w, &across);
    if (!status)
        status = cp_spread_create(p->grid.start_y, p->grid.step_y, p->layer->h, h, &down);
    for (int side = 0; side < 2 && !status; side++)
        spread_plane(p->side[side], &across, &down, w, row, heat + (size_t)side * h * w);
    cp_spread_free(&across);
    cp_spread_free(&down);
    return status;
}

/* heat (2,H,W) from the parts' sums. */
static cp_status spread_all(const cp_model *model, part *parts, int n, float *heat, cp_contribution *report)
{
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    cp_status status = CP_OK;
    float *row = cp_alloc(w, sizeof *row, "map");
    if (!row)
        return CP_ERESOURCE;
    memset(heat, 0, 2 * h * w * sizeof *heat);
    for (int i = 0; i < n && !status; i++) {
        int first = 0;
        while (!same_grid(&parts[first], &parts[i]))
            first++;
        if (first == i && !(parts[i].side[0] = cp_alloc(2 * parts[i].cells, sizeof(float), "map")))
            status = CP_ERESOURCE;
        else if (first == i)
            parts[i].side[1] = parts[i].side[0] + parts[i].cells;
        if (!status)
            add_sides(&parts[i], &parts[first], report);
    }
    for (int i = 0; i < n && !status; i++)
        if (parts[i].side[0])
            status = spread_part(&parts[i], h, w, row, heat);
    if (report->layers)
        report->against /= report->layers;
    cp_free(row);
    return status;
}

/* ---------------------------------------------------------------- the whole */

/* Where the scores are computed: only the sums come from there. */
static cp_status sum_planes_there(const part *parts, int n, const cp_path *path, cp_scores *scores, double *sums)
{
    cp_score_plane *plane = cp_alloc((size_t)n + 1, sizeof *plane, "map");
    if (!plane)
        return CP_ERESOURCE;
    for (int i = 0; i < n; i++)
        plane[i] = (cp_score_plane){.layer = parts[i].position, .cells = parts[i].cells,
                                    .first = (size_t)(parts[i].sum - sums)};
    cp_status status = cp_scores_planes(scores, path, n, plane, sums);
    cp_free(plane);
    return status;
}

/* From score[N], or where that is NULL from scores that stay. */
static cp_status contribute(const cp_model *model, const cp_path *path, const float *score, cp_scores *scores,
                            cp_planes planes, float *heat, cp_contribution *report)
{
    cp_contribution unused;
    part *parts = NULL;
    double *sums = NULL;
    int n = 0;
    report = report ? report : &unused;
    *report = (cp_contribution){0};
    cp_status status = choose_parts(model, planes, &parts, &n, &sums);
    if (!status && score)
        sum_planes(parts, n, path, score);
    else if (!status)
        status = sum_planes_there(parts, n, path, scores, sums);
    if (!status)
        status = spread_all(model, parts, n, heat, report);
    for (int i = 0; parts && i < n; i++)
        cp_free(parts[i].side[0]);
    cp_free(parts);
    cp_free(sums);
    return status;
}

cp_status cp_map_contribution(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                              const float *score, const cp_contribution_options *options, float *heat,
                              cp_contribution *report)
{
    const cp_model *model = cp_frame_model(frame);
    const cp_contribution_options defaults = {0};
    cp_status status = CP_OK;
    float *own = NULL;
    options = options ? options : &defaults;
    if (!score || options->restricted) {
        own = cp_alloc_dirty(cp_model_neuron_count(model), sizeof *own, "scores");
        status = own ? cp_score_signed(frame, image, response, options->restricted ? path : NULL, own, NULL)
                     : CP_ERESOURCE;
        score = own;
    }
    if (!status)
        status = contribute(model, path, score, NULL, options->planes, heat, report);
    cp_free(own);
    return status;
}

cp_status cp_map_contribution_of(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                                 cp_scores *scores, const cp_contribution_options *options, float *heat,
                                 cp_contribution *report)
{
    const float *score = NULL;
    cp_status status = CP_OK;
    if (scores && cp_scores_stay(scores) && !(options && options->restricted)) /* which would overwrite them */
        return contribute(cp_frame_model(frame), path, NULL, scores, options ? options->planes : CP_PLANES_FINE, heat,
                          report);
    if (scores)
        status = cp_scores_array(scores, &score);
    return status ? status : cp_map_contribution(frame, image, response, path, score, options, heat, report);
}
