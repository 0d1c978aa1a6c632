/* Sets of channels: how alike two are, and the path of a class. */
#include "eval/channel_sets.h"

#include <math.h>

#include "io/error.h"

double cp_channel_sets_jaccard(const cp_channel_set *a, const cp_channel_set *b)
{
    size_t i = 0, j = 0, both = 0;
    while (i < a->n && j < b->n) {
        uint32_t p = a->channel[i], q = b->channel[j];
        both += p == q;
        i += p <= q, j += q <= p;
    }
    size_t either = a->n + b->n - both;
    return either ? (double)both / (double)either : 0;
}

cp_status cp_channel_counts_new(size_t channels, cp_channel_counts *counts)
{
    *counts = (cp_channel_counts){.count = cp_alloc(channels, sizeof *counts->count, "class path"),
                                  .channels = channels};
    return counts->count ? CP_OK : CP_ERESOURCE;
}

void cp_channel_counts_free(cp_channel_counts *counts)
{
    cp_free(counts->count);
    *counts = (cp_channel_counts){0};
}

void cp_channel_counts_add(cp_channel_counts *counts, const cp_channel_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        counts->count[set->channel[i]]++;
    counts->sets++;
}

static bool holds(const cp_channel_set *set, size_t channel)
{
    size_t from = 0, to = set->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (set->channel[middle] < channel)
            from = middle + 1;
        else
            to = middle;
    }
    return from < set->n && set->channel[from] == channel;
}

static bool held(const cp_channel_counts *counts, size_t channel, size_t sets, size_t own)
{
    return sets && 2 * (counts->count[channel] - own) >= sets;
}

bool cp_channel_counts_hold(const cp_channel_counts *counts, size_t channel, const cp_channel_set *without)
{
    return held(counts, channel, counts->sets - (without != NULL), without && holds(without, channel));
}

double cp_channel_counts_jaccard(const cp_channel_counts *counts, const cp_channel_set *set, bool own, double *inside)
{
    size_t sets = counts->sets - own, both = 0, path = 0, at = 0;
    for (size_t c = 0; c < counts->channels; c++) {
        bool mine = at < set->n && set->channel[at] == c;
        at += mine;
        bool there = held(counts, c, sets, own && mine);
        path += there;
        both += there && mine;
    }
    *inside = sets && set->n ? (double)both / (double)set->n : NAN;
    size_t either = path + set->n - both;
    return sets && either ? (double)both / (double)either : NAN;
}
