/* Clusters of paths: average linkage by a chain of nearest neighbours (Murtagh 1983), in the time of all pairs. */
#include <stdlib.h>
#include <string.h>

#include "eval/channel_sets.h"
#include "io/error.h"

typedef struct {
    size_t n;
    float *alike;    /* (n,n): mean Jaccard between the members of two clusters, named by a member each */
    size_t *members; /* (n); 0: merged into another */
    size_t *chain, length;
    size_t *merged; /* (n): the cluster that it went into, by a merge that counts; itself: none */
} linkage;

static void fill(linkage *l, const cp_channel_set *set)
{
    for (size_t i = 0; i < l->n; i++) {
        l->members[i] = 1;
        l->merged[i] = i;
        for (size_t j = 0; j <= i; j++)
            l->alike[i * l->n + j] = l->alike[j * l->n + i] = (float)cp_channel_sets_jaccard(&set[i], &set[j]);
    }
}

/* The cluster nearest to i, of equals the one before it in the chain, so that the chain ends. */
static size_t nearest(const linkage *l, size_t i)
{
    size_t best = l->length > 1 ? l->chain[l->length - 2] : l->n;
    for (size_t j = 0; j < l->n; j++)
        if (j != i && l->members[j] && (best == l->n || l->alike[i * l->n + j] > l->alike[i * l->n + best]))
            best = j;
    return best;
}

/* Lance and Williams's update of the mean. The merge counts where the two are alike enough: means only fall from
 * there on. */
static void merge(linkage *l, size_t i, size_t j, double alike)
{
    size_t keep = i < j ? i : j, gone = i < j ? j : i, n = l->n;
    double a = (double)l->members[keep], b = (double)l->members[gone];
    if (l->alike[keep * n + gone] >= alike)
        l->merged[gone] = keep;
    for (size_t k = 0; k < n; k++)
        if (l->members[k] && k != keep && k != gone)
            l->alike[keep * n + k] = l->alike[k * n + keep] = (float)((a * l->alike[keep * n + k] +
                                                                       b * l->alike[gone * n + k]) /
                                                                      (a + b));
    l->members[keep] += l->members[gone];
    l->members[gone] = 0;
}

static void link_all(linkage *l, double alike)
{
    for (size_t left = l->n, first = 0; left > 1;) {
        if (!l->length) {
            while (!l->members[first])
                first++;
            l->chain[l->length++] = first;
        }
        size_t top = l->chain[l->length - 1], next = nearest(l, top);
        if (l->length > 1 && next == l->chain[l->length - 2]) {
            l->length -= 2;
            merge(l, top, next, alike);
            left--;
        } else {
            l->chain[l->length++] = next;
        }
    }
}

typedef struct {
    size_t root, members;
} size_row;

static int by_size(const void *a, const void *b)
{
    const size_row *p = a, *q = b;
    if (p->members != q->members)
        return p->members > q->members ? -1 : 1;
    return p->root < q->root ? -1 : p->root > q->root;
}

/* Roots are their clusters' first members, since the smaller number is kept. */
static cp_status number_clusters(linkage *l, int *cluster, size_t *clusters)
{
    size_row *row = cp_alloc(l->n, sizeof *row, "clusters");
    if (!row)
        return CP_ERESOURCE;
    for (size_t i = 0; i < l->n; i++) {
        l->merged[i] = l->merged[l->merged[i]];
        row[i].root = i;
        row[l->merged[i]].members++;
    }
    qsort(row, l->n, sizeof *row, by_size);
    for (*clusters = 0; *clusters < l->n && row[*clusters].members; ++*clusters)
        l->chain[row[*clusters].root] = *clusters;
    for (size_t i = 0; i < l->n; i++)
        cluster[i] = (int)l->chain[l->merged[i]];
    cp_free(row);
    return CP_OK;
}

cp_status cp_channel_sets_cluster(const cp_channel_set *set, size_t n, double alike, int *cluster, size_t *clusters)
{
    linkage l = {.n = n};
    size_t pairs;
    *clusters = 0;
    if (!n)
        return CP_OK;
    if (!cp_mul(n, n, &pairs))
        return cp_fail(CP_ERESOURCE, "clusters: %zu paths are too many", n);
    l.alike = cp_alloc(pairs, sizeof *l.alike, "clusters");
    l.members = cp_alloc(n, sizeof *l.members, "clusters");
    l.chain = cp_alloc(n + 1, sizeof *l.chain, "clusters");
    l.merged = cp_alloc(n, sizeof *l.merged, "clusters");
    cp_status status = l.alike && l.members && l.chain && l.merged ? CP_OK : CP_ERESOURCE;
    if (!status) {
        fill(&l, set);
        link_all(&l, alike);
        status = number_clusters(&l, cluster, clusters);
    }
    cp_free(l.alike);
    cp_free(l.members);
    cp_free(l.chain);
    cp_free(l.merged);
    return status;
}
