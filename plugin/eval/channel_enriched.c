/* Channels that wrong answers use more often than right ones: odds, exact p, and p over all channels by permuting
 * the labels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/channel_sets.h"
#include "io/error.h"
#include "io/random.h"

typedef struct {
    const cp_channel_set **set; /* the wrong ones first */
    size_t n, n_wrong, channels;
    uint32_t *total;   /* (channels) sets that hold it */
    uint32_t *count;   /* (channels) those of them that are dealt as wrong */
    double *factorial; /* (n + 1) logarithms */
    double **tail;     /* (n + 1) by total: (n_wrong + 1) p by count, or NULL: not needed yet */
} counts;

static double choose(const counts *c, size_t n, size_t k)
{
    return c->factorial[n] - c->factorial[k] - c->factorial[n - k];
}

/* P(at least k of the sets that hold a channel are wrong), for all k, for a channel that `total` sets hold. */
static cp_status fill_tail(counts *c, size_t total)
{
    if (c->tail[total])
        return CP_OK;
    double *p = c->tail[total] = cp_alloc(c->n_wrong + 1, sizeof *p, "over-represented channels");
    if (!p)
        return CP_ERESOURCE;
    double sum = 0;
    for (size_t k = c->n_wrong + 1; k-- > 0;) {
        bool possible = k <= total && total - k <= c->n - c->n_wrong;
        if (possible)
            sum += exp(choose(c, c->n_wrong, k) + choose(c, c->n - c->n_wrong, total - k) - choose(c, c->n, total));
        p[k] = fmin(sum, 1);
    }
    return CP_OK;
}

static cp_status start(counts *c)
{
    c->total = cp_alloc(c->channels, sizeof *c->total, "over-represented channels");
    c->count = cp_alloc(c->channels, sizeof *c->count, "over-represented channels");
    c->factorial = cp_alloc(c->n + 1, sizeof *c->factorial, "over-represented channels");
    c->tail = cp_alloc(c->n + 1, sizeof *c->tail, "over-represented channels");
    if (!c->total || !c->count || !c->factorial || !c->tail)
        return CP_ERESOURCE;
    for (size_t i = 2; i <= c->n; i++)
        c->factorial[i] = c->factorial[i - 1] + log((double)i);
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->set[i]->n; j++)
            c->total[c->set[i]->channel[j]]++;
    cp_status status = CP_OK;
    for (size_t k = 0; k < c->channels && !status; k++)
        status = fill_tail(c, c->total[k]);
    return status;
}

static void end(counts *c)
{
    for (size_t i = 0; c->tail && i <= c->n; i++)
        cp_free(c->tail[i]);
    cp_free(c->tail);
    cp_free(c->total);
    cp_free(c->count);
    cp_free(c->factorial);
    cp_free(c->set);
}

/* Counts the first n_wrong sets; returns the smallest p of any channel. */
static double deal(counts *c)
{
    double least = 1;
    memset(c->count, 0, c->channels * sizeof *c->count);
    for (size_t i = 0; i < c->n_wrong; i++)
        for (size_t j = 0; j < c->set[i]->n; j++)
            c->count[c->set[i]->channel[j]]++;
    for (size_t k = 0; k < c->channels; k++)
        least = fmin(least, c->tail[c->total[k]][c->count[k]]);
    return least;
}

static int by_p(const void *a, const void *b)
{
    const cp_enriched *p = a, *q = b;
    if (p->p != q->p)
        return p->p < q->p ? -1 : 1;
    if (p->log_odds != q->log_odds)
        return p->log_odds > q->log_odds ? -1 : 1;
    return p->channel < q->channel ? -1 : p->channel > q->channel;
}

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* least: the smallest p of each permutation. Ties of rounding count as equal. */
static cp_status permute(counts *c, int permutations, uint64_t seed, double *least)
{
    for (int k = 0; k < permutations; k++) {
        for (size_t i = 0; i < c->n_wrong; i++) { /* the first n_wrong of a shuffle */
            size_t other = i + (size_t)cp_random_below(&seed, c->n - i);
            const cp_channel_set *set = c->set[i];
            c->set[i] = c->set[other];
            c->set[other] = set;
        }
        least[k] = deal(c);
    }
    qsort(least, (size_t)permutations, sizeof *least, ascending);
    return CP_OK;
}

static double share_below(const double *least, int permutations, double p)
{
    int from = 0, to = permutations;
    while (from < to) {
        int middle = from + (to - from) / 2;
        if (least[middle] <= p * (1 + 1e-9))
            from = middle + 1;
        else
            to = middle;
    }
    return (1. + from) / (1. + permutations);
}

cp_status cp_enriched_find(const cp_channel_set *wrong, size_t n_wrong, const cp_channel_set *right, size_t n_right,
                           size_t channels, int permutations, uint64_t seed, cp_enriched *enriched, size_t most,
                           size_t *n)
{
    counts c = {.n = n_wrong + n_right, .n_wrong = n_wrong, .channels = channels};
    size_t found = 0;
    *n = 0;
    if (!n_wrong || !n_right || !most)
        return CP_OK;
    permutations = permutations > 0 ? permutations : 9999;
    cp_enriched *all = cp_alloc(channels, sizeof *all, "over-represented channels");
    double *least = cp_alloc((size_t)permutations, sizeof *least, "permutations");
    c.set = cp_alloc(c.n, sizeof *c.set, "over-represented channels");
    cp_status status = all && least && c.set ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < c.n && !status; i++)
        c.set[i] = i < n_wrong ? &wrong[i] : &right[i - n_wrong];
    if (!status)
        status = start(&c);
    if (!status)
        deal(&c);
    for (size_t k = 0; k < channels && !status; k++) {
        double in = c.count[k], out = c.total[k] - in, no_in = (double)n_wrong - in, no_out = (double)n_right - out;
        if (in * (double)n_right > out * (double)n_wrong)
            all[found++] = (cp_enriched){.channel = k,
                                         .wrong = c.count[k],
                                         .right = c.total[k] - c.count[k],
                                         .log_odds = log((in + .5) * (no_out + .5) / ((no_in + .5) * (out + .5))),
                                         .p = c.tail[c.total[k]][c.count[k]]};
    }
    if (!status) {
        qsort(all, found, sizeof *all, by_p);
        *n = found < most ? found : most;
    }
    if (!status && *n)
        status = permute(&c, permutations, seed, least);
    for (size_t i = 0; i < *n && !status; i++) {
        enriched[i] = all[i];
        enriched[i].adjusted = share_below(least, permutations, all[i].p);
    }
    end(&c);
    cp_free(all);
    cp_free(least);
    return status;
}
