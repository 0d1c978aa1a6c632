/* The protocols of FunnyBirds for one object: single deletion, preservation and deletion checks, distractibility. */
#include "eval/parts.h"

#include <math.h>

#include "io/error.h"

enum { GROWN = 2 };
static const double FIRST = .01, LAST = .5, NEEDLESS = .05;

double cp_parts_threshold(int k) { return FIRST + (LAST - FIRST) * k / (CP_PARTS_THRESHOLDS - 1); }

/* The parts within reach of a pixel, as bits. */
static unsigned parts_around(const uint8_t *part, size_t h, size_t w, size_t y, size_t x, int n)
{
    unsigned found = 0;
    size_t y0 = y < GROWN ? 0 : y - GROWN, x0 = x < GROWN ? 0 : x - GROWN;
    for (size_t v = y0; v <= y + GROWN && v < h; v++)
        for (size_t u = x0; u <= x + GROWN && u < w; u++)
            if (part[v * w + u] && part[v * w + u] <= n)
                found |= 1u << (part[v * w + u] - 1);
    return found;
}

void cp_parts_importance(const float *map, const uint8_t *part, size_t h, size_t w, int n, double *importance)
{
    for (int k = 0; k < n; k++)
        importance[k] = 0;
    for (size_t i = 0; i < h * w; i++) {
        unsigned here = parts_around(part, h, w, i / w, i % w, n);
        for (int k = 0; k < n && here; k++)
            importance[k] += here >> k & 1 ? map[i] : 0;
    }
}

static cp_status judge_deletion(const cp_parts_case *g, double *score)
{
    float drop[CP_PARTS_MOST], importance[CP_PARTS_MOST];
    double rho;
    for (int k = 0; k < g->n; k++)
        drop[k] = (float)g->drop[k], importance[k] = (float)g->importance[k];
    cp_status status = cp_rank_correlation(drop, importance, (size_t)g->n, &rho);
    *score = (rho + 1) / 2;
    return status;
}

/* Whether the response can do without thing k: it drops little, or rises. */
static bool is_needless(const cp_parts_case *g, int k)
{
    return fabs(g->drop[k]) < NEEDLESS * fabs(g->response) || g->drop[k] < 0;
}

cp_status cp_parts_judge(const cp_parts_case *g, cp_parts_scores *scores)
{
    int all = g->n + g->others, needless = 0;
    if (g->n < 1 || g->others < 0 || all > CP_PARTS_MOST)
        return cp_fail(CP_EINPUT, "parts: %d and %d others, together 1 to %d are allowed", g->n, g->others,
                       CP_PARTS_MOST);
    for (int k = 0; k < all; k++)
        needless += is_needless(g, k);
    for (int t = 0; t < CP_PARTS_THRESHOLDS; t++) {
        unsigned important = 0, everything = (1u << g->n) - 1;
        int ignored = 0;
        for (int k = 0; k < all; k++) {
            bool counts = g->importance[k] > cp_parts_threshold(t) * g->sum;
            important |= k < g->n && counts ? 1u << k : 0;
            ignored += is_needless(g, k) && !counts;
        }
        scores->keep[t] = g->same[everything & ~important];
        scores->remove[t] = !g->same[important];
        scores->ignore[t] = needless ? (double)ignored / needless : NAN;
    }
    return judge_deletion(g, &scores->deletion);
}
