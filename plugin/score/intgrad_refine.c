/* The adaptive rule of NeuronIntGrad for one layer.
 *
 * In a network of piecewise linear layers Phi(alpha*a) is piecewise linear, so the gradient jumps wherever a unit
 * after the layer changes sides, most often near alpha = 0, where biases outweigh what is left of the input. Smooth
 * rules converge slowly on such steps. But every run forward gives Phi(alpha) too, so the integral of the slope sum
 * a_j*g_j over any piece between two alphas is known, and with it what each panel of the rule has wrong in the sum.
 * What is wrong in single scores is estimated by how far the vector a*g moves from one end of a panel to the other.
 *
 * So: trapezoids over panels that are halved where either error is largest, all nodes used again, until both are small
 * and the neurons that score most are the same as at half as many nodes. The panel at 0
 * takes its right end alone, as at 0 itself every unit without bias sits on its kink, and is cut short of its middle.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "score/intgrad.h"

enum { SKETCH = 64, MOST_PER_ROUND = 8, TOP_SHARE = 10, SCORE_BITS = 16 };

static const double TOLERANCE = .01;
static const double SPREAD = 5;            /* error of the score vector allowed, relative to its norm, in tolerances */
static const double END_SHARE = .1;             /* alpha = 1 alone is believed at this share of the tolerance */
static const double FIRST_PANEL_CUT = .25; /* .25 needs a fifth fewer evaluations than .5 */
static const double DISAGREEMENT = 4;      /* 1 - Jaccard allowed of the best tenths of two refinements, in tolerances */
static const double WORST_SHARE = .5;      /* of the worst panel's error: those above it are halved in one round */
static const double NARROWEST = 0x1p-60;

typedef struct {
    double alpha, phi;
    double slope;          /* sum of a_j * g_j */
    double sketch[SKETCH]; /* random projection of the vector a*g: keeps distances (Alon et al. 1999) */
    const float *g;        /* NULL: not kept */
} node;

typedef struct {
    cp_integral *of;
    node *node;            /* ascending alpha; the first is 0 and has no gradient */
    int n;
    float **block;         /* the gradients of one run each, kept */
    int blocks;
    size_t kept, bytes;    /* floats kept; bytes allowed */
    double *error;         /* of panel [node i, node i+1], 1 = allowed */
    double *total;         /* the integral of the gradient, as it was when its order was last looked at */
    uint8_t *top;          /* and which neurons were its best tenth */
    int looked;            /* at so many nodes; 0: not yet */
} rule;

/* Element i adds to place i%64 with the sign that the bits of a hash of i/64 give. */
static void make_sketch(const float *a, const float *g, size_t n, double *sketch)
{
    memset(sketch, 0, SKETCH * sizeof *sketch);
    for (size_t first = 0; first < n; first += SKETCH) {
        uint64_t signs = (first / SKETCH + 1) * 0x9e3779b97f4a7c15u;
        signs = (signs ^ signs >> 30) * 0xbf58476d1ce4e5b9u;
        signs = (signs ^ signs >> 27) * 0x94d049bb133111ebu;
        int count = n - first < SKETCH ? (int)(n - first) : SKETCH;
        for (int k = 0; k < count; k++) {
            double c = (double)a[first + k] * g[first + k];
            sketch[k] += signs >> k & 1 ? c : -c;
        }
    }
}

/* What the rule gives for the sum over panel [node i, node i+1] beyond the truth. */
static double sum_error(const rule *r, int i)
{
    const node *a = &r->node[i], *b = a + 1;
    double slope = i ? (a->slope + b->slope) / 2 : b->slope;
    return (b->alpha - a->alpha) * slope - (b->phi - a->phi);
}

/* Deviation of the panel's share of the score vector, if its jump falls anywhere in the panel. The panel at 0 is taken
 * to move as much as its neighbour. */
static double spread(const rule *r, int i)
{
    const node *a = &r->node[i ? i : 1];
    double square = 0;
    if (r->n == 2)
        return 0;
    for (int k = 0; k < SKETCH; k++)
        square += (a[1].sketch[k] - a[0].sketch[k]) * (a[1].sketch[k] - a[0].sketch[k]);
    return (r->node[i + 1].alpha - r->node[i].alpha) * sqrt(square / 12);
}

static double weight(const rule *r, int i)
{
    double from = i == 1 ? -r->node[1].alpha : r->node[i - 1].alpha;
    double to = i == r->n - 1 ? r->node[i].alpha : r->node[i + 1].alpha;
    return (to - from) / 2;
}

static double score_norm(const rule *r)
{
    double square = 0;
    for (int k = 0; k < SKETCH; k++) {
        double sum = 0;
        for (int i = 1; i < r->n; i++)
            sum += weight(r, i) * r->node[i].sketch[k];
        square += sum * sum;
    }
    return sqrt(square);
}

/* Fills r->error; true when the integral is as good as asked. */
static bool is_good(rule *r, double tolerance, double response)
{
    double allowed = tolerance * fabs(response), allowed_spread = SPREAD * tolerance * score_norm(r);
    double residual = 0, square = 0;
    for (int i = 0; i + 1 < r->n; i++) {
        double wrong = sum_error(r, i), wide = spread(r, i);
        residual += wrong;
        square += wide * wide;
        r->error[i] = fmax(fabs(wrong) / allowed, allowed_spread > 0 ? wide / allowed_spread : 0);
    }
    if (r->n == 2)
        return fabs(residual) <= END_SHARE * allowed;
    return fabs(residual) <= allowed && sqrt(square) <= allowed_spread;
}

static void place(rule *r, double alpha, double phi, const float *g, bool keep)
{
    node *new = &r->node[r->n++];
    *new = (node){.alpha = alpha, .phi = phi, .slope = cp_dot(r->of->suffix.a, g, r->of->suffix.layer->count)};
    make_sketch(r->of->suffix.a, g, r->of->suffix.layer->count, new->sketch);
    new->g = keep ? g : NULL;
}

/* Runs at `n` new alphas and puts the nodes at the end of the list, unsorted. */
static cp_status evaluate(rule *r, const double *alpha, int n)
{
    size_t count = r->of->suffix.layer->count, floats = (size_t)n * count;
    double phi[MOST_PER_ROUND];
    float *gradient = cp_alloc_dirty(floats, sizeof *gradient, "gradients");
    if (!gradient)
        return CP_ERESOURCE;
    cp_status status = cp_intgrad_run(r->of, alpha, n, phi, gradient);
    bool keep = !status && (r->kept + floats) * sizeof *gradient <= r->bytes;
    for (int e = 0; e < n && !status; e++)
        place(r, alpha[e], phi[e], gradient + (size_t)e * count, keep);
    if (keep) {
        r->block[r->blocks++] = gradient;
        r->kept += floats;
    } else {
        cp_free(gradient);
    }
    return status;
}

static int by_alpha(const void *a, const void *b)
{
    double one = ((const node *)a)->alpha, other = ((const node *)b)->alpha;
    return (one > other) - (one < other);
}

/* New alphas in the panels to cut now: the worst, and those nearly as bad, at most `most`. Clears their errors. */
static int choose(rule *r, int most, double *alpha)
{
    double worst = 0;
    int n = 0;
    for (; n < most; n++) {
        int best = -1;
        for (int i = 0; i + 1 < r->n; i++)
            if (r->node[i + 1].alpha > NARROWEST && (best < 0 || r->error[i] > r->error[best]))
                best = i;
        if (best < 0 || !(r->error[best] > 0) || r->error[best] < WORST_SHARE * worst)
            break;
        if (!n)
            worst = r->error[best];
        r->error[best] = 0;
        const node *a = &r->node[best];
        alpha[n] = a->alpha + (a[1].alpha - a->alpha) * (best ? .5 : FIRST_PANEL_CUT);
    }
    return n;
}

/* total = weight * gradient of every node, summed. Those that were not kept are run once more. */
static cp_status accumulate(rule *r)
{
    size_t count = r->of->suffix.layer->count;
    double *total = r->total;
    double alpha[MOST_PER_ROUND], weights[MOST_PER_ROUND];
    int batch = r->of->suffix.batch < MOST_PER_ROUND ? r->of->suffix.batch : MOST_PER_ROUND, n = 0;
    cp_status status = CP_OK;
    float *gradient = NULL;
    memset(total, 0, count * sizeof *total);
    for (int i = 1; i < r->n; i++)
        if (r->node[i].g)
            cp_accumulate(total, weight(r, i), r->node[i].g, count);
    for (int i = 1; i < r->n && !status; i++) {
        if (!r->node[i].g) {
            alpha[n] = r->node[i].alpha;
            weights[n++] = weight(r, i);
        }
        if (!n || (n < batch && i < r->n - 1))
            continue;
        if (!gradient && !(gradient = cp_alloc_dirty((size_t)batch * count, sizeof *gradient, "gradients")))
            return CP_ERESOURCE;
        status = cp_intgrad_run(r->of, alpha, n, NULL, gradient);
        for (int e = 0; e < n && !status; e++)
            cp_accumulate(total, weights[e], gradient + (size_t)e * count, count);
        n = 0;
    }
    cp_free(gradient);
    return status;
}

/* The order of a score is that of its upper bits, which leave one part in 256. */
static uint32_t score_bits(const rule *r, size_t i)
{
    float score = fabsf(r->of->suffix.a[i] * (float)r->total[i]);
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits >> (31 - SCORE_BITS);
}

/* The score bits from which on the neurons are a tenth of the layer, or all that score. */
static cp_status find_top(const rule *r, uint32_t *least)
{
    size_t count = r->of->suffix.layer->count, above = 0, *histogram;
    histogram = cp_alloc((size_t)1 << SCORE_BITS, sizeof *histogram, "scores");
    if (!histogram)
        return CP_ERESOURCE;
    for (size_t i = 0; i < count; i++)
        histogram[score_bits(r, i)]++;
    *least = 1 << SCORE_BITS;
    while (*least > 1 && above * TOP_SHARE < count)
        above += histogram[--*least];
    cp_free(histogram);
    return CP_OK;
}

/* Whether the layer's best tenth is nearly the same as before the nodes were twice as many: the order of the scores
 * settles more slowly than their sum. Looked at whenever they have become twice as many. */
static cp_status look_at_order(rule *r, double tolerance, bool *settled)
{
    size_t count = r->of->suffix.layer->count, both = 0, either = 0;
    uint32_t least;
    *settled = r->n == 2; /* one straight piece: there is no order to settle */
    if (*settled || r->n < 2 * r->looked)
        return CP_OK;
    cp_status status = accumulate(r);
    if (!status)
        status = find_top(r, &least);
    for (size_t i = 0; i < count && !status; i++) {
        bool in = score_bits(r, i) >= least;
        both += in && r->top[i];
        either += in || r->top[i];
        r->top[i] = in;
    }
    *settled = r->looked && (double)(either - both) <= DISAGREEMENT * tolerance * (double)either;
    r->looked = r->n;
    return status;
}

/* New nodes where the panels are worst. */
static cp_status add_nodes(rule *r, int cap, cp_intgrad_layer *report)
{
    double alpha[MOST_PER_ROUND];
    int left = cap - report->evaluations, batch = r->of->suffix.batch;
    int n = choose(r, left < MOST_PER_ROUND ? left : MOST_PER_ROUND, alpha);
    cp_status status = CP_OK;
    report->capped = !n;
    report->evaluations += n;
    for (int first = 0; first < n && !status; first += batch)
        status = evaluate(r, alpha + first, n - first < batch ? n - first : batch);
    if (!status)
        qsort(r->node, (size_t)r->n, sizeof *r->node, by_alpha);
    return status;
}

cp_status cp_intgrad_refine(cp_integral *of, const cp_intgrad_options *options, const float *last, size_t bytes,
                            double *total, cp_intgrad_layer *report)
{
    int cap = options->max_evaluations ? options->max_evaluations : CP_INTGRAD_MOST;
    double tolerance = options->tolerance > 0 ? options->tolerance : TOLERANCE;
    size_t count = of->suffix.layer->count;
    bool settled = false;
    rule r = {.of = of, .bytes = bytes, .total = total};
    r.node = cp_alloc((size_t)cap + 2, sizeof *r.node, "nodes");
    r.error = cp_alloc((size_t)cap + 2, sizeof *r.error, "nodes");
    r.block = cp_alloc((size_t)cap, sizeof *r.block, "nodes");
    r.top = cp_alloc(count, sizeof *r.top, "scores");
    cp_status status = r.node && r.error && r.block && r.top ? CP_OK : CP_ERESOURCE;
    if (status)
        goto done;
    r.node[r.n++] = (node){.phi = report->zero};
    place(&r, 1, of->suffix.full, last, true);
    while (!status && !report->capped) {
        if (is_good(&r, tolerance, of->suffix.full))
            status = look_at_order(&r, tolerance, &settled);
        if (status || settled)
            break;
        status = add_nodes(&r, cap, report);
    }
    if (!status && r.looked != r.n)
        status = accumulate(&r);
done:
    for (int b = 0; b < r.blocks; b++)
        cp_free(r.block[b]);
    cp_free(r.block);
    cp_free(r.error);
    cp_free(r.node);
    cp_free(r.top);
    return status;
}
