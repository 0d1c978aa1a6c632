/* Sets of channels: class paths, over-represented channels against every dealing of the labels, clusters against all
 * pairs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/channel_sets.h"
#include "io/random.h"

enum { CHANNELS = 24, MOST = 40 };

static uint32_t space[MOST][CHANNELS];

/* The set of the bits of `bits`, kept in space[i]. */
static cp_channel_set set_of(int i, uint32_t bits)
{
    cp_channel_set set = {.channel = space[i]};
    for (uint32_t c = 0; c < CHANNELS; c++)
        if (bits >> c & 1)
            set.channel[set.n++] = c;
    return set;
}

static void class_path_is_what_half_of_the_sets_hold(void **state)
{
    (void)state;
    cp_channel_counts counts;
    double inside;
    assert_int_equal(cp_channel_counts_new(CHANNELS, &counts), CP_OK);
    cp_channel_set a = set_of(0, 0xf), b = set_of(1, 0x7), c = set_of(2, 0x30);
    assert_true(isnan(cp_channel_counts_jaccard(&counts, &a, false, &inside)) && isnan(inside));
    cp_channel_counts_add(&counts, &a);
    cp_channel_counts_add(&counts, &b);
    cp_channel_counts_add(&counts, &c);
    for (size_t k = 0; k < CHANNELS; k++) /* of three, two */
        assert_int_equal(cp_channel_counts_hold(&counts, k, NULL), k < 3);
    assert_true(cp_channel_counts_jaccard(&counts, &a, false, &inside) == 3. / 4);
    assert_true(inside == 3. / 4);
    /* Without itself, of b and c, one is enough: {0,1,2,4,5}. */
    assert_true(cp_channel_counts_jaccard(&counts, &a, true, &inside) == 3. / 6);
    assert_true(inside == 3. / 4);
    assert_true(cp_channel_counts_hold(&counts, 5, &a) && !cp_channel_counts_hold(&counts, 5, &c));
    assert_true(cp_channel_sets_jaccard(&a, &b) == 3. / 4 && cp_channel_sets_jaccard(&a, &c) == 0);
    cp_channel_counts_free(&counts);
}

/* P by dealing 4 of 8 labels in all 70 ways. */
static void p_is_that_of_all_permutations(void **state)
{
    (void)state;
    const uint32_t bits[8] = {0x1ff, 0x0f1, 0x133, 0x055, 0x0fe, 0x14a, 0x08c, 0x030};
    cp_channel_set set[8];
    cp_enriched found[CHANNELS];
    size_t n;
    for (int i = 0; i < 8; i++)
        set[i] = set_of(i, bits[i]);
    assert_int_equal(cp_enriched_find(set, 4, set + 4, 4, CHANNELS, 20000, 7, found, CHANNELS, &n), CP_OK);
    assert_true(n > 2);
    assert_int_equal(found[0].channel, 0); /* all four wrong ones hold it, no right one does */
    assert_true(fabs(found[0].log_odds - log(4.5 * 4.5 / (.5 * .5))) < 1e-12);
    for (size_t i = 0; i < n; i++) {
        int dealings = 0, single = 0, family = 0;
        for (int deal = 0; deal < 256; deal++) {
            if (__builtin_popcount((unsigned)deal) != 4)
                continue;
            dealings++;
            size_t here = 0;
            for (int k = 0; k < 8; k++)
                here += (deal >> k & 1) && bits[k] >> found[i].channel & 1;
            single += here >= found[i].wrong;
            bool any = false;
            for (int c = 0; c < CHANNELS && !any; c++) { /* the p of channel c under this dealing, by all dealings */
                int mine = 0, more = 0;
                for (int k = 0; k < 8; k++)
                    mine += (deal >> k & 1) && bits[k] >> c & 1;
                for (int other = 0; other < 256; other++) {
                    int there = 0;
                    for (int k = 0; k < 8; k++)
                        there += (other >> k & 1) && bits[k] >> c & 1;
                    more += __builtin_popcount((unsigned)other) == 4 && there >= mine;
                }
                any = more / 70. <= found[i].p * (1 + 1e-9);
            }
            family += any;
        }
        assert_int_equal(dealings, 70);
        assert_true(fabs(found[i].p - single / 70.) < 1e-12);
        assert_true(fabs(found[i].adjusted - family / 70.) < .02); /* 20000 draws */
        assert_true(found[i].adjusted >= found[i].p - .02);
    }
    assert_int_equal(cp_enriched_find(set, 4, set, 0, CHANNELS, 10, 7, found, CHANNELS, &n), CP_OK);
    assert_int_equal(n, 0);
}

/* With labels dealt at random, p over all channels is below .05 in one run of twenty. */
static void no_false_alarm(void **state)
{
    (void)state;
    uint64_t seed = 1;
    int alarms = 0;
    for (int run = 0; run < 200; run++) {
        cp_channel_set set[20];
        cp_enriched best;
        size_t n;
        for (int i = 0; i < 20; i++)
            set[i] = set_of(i, (uint32_t)cp_random_next(&seed) & 0xffffff);
        assert_int_equal(cp_enriched_find(set, 8, set + 8, 12, CHANNELS, 400, seed, &best, 1, &n), CP_OK);
        alarms += n && best.adjusted <= .05;
    }
    assert_in_range(alarms, 0, 20);
}

static void clusters_are_found(void **state)
{
    (void)state;
    enum { N = 30 };
    cp_channel_set set[N];
    int cluster[N];
    size_t n;
    uint64_t seed = 5;
    /* Three families: 15, 10 and 4 members around a set of 8 channels each, and one by itself. */
    const uint32_t core[] = {0x0000ff, 0x00ff00, 0x7f0000};
    for (int i = 0; i < N - 1; i++)
        set[i] = set_of(i, core[i % 2    ? 0
                                : i < 20 ? 1
                                : i < 24 ? 1 + (i > 21)
                                         : 2] ^
                               1u << cp_random_below(&seed, CHANNELS));
    set[N - 1] = set_of(N - 1, 0x800000);
    assert_int_equal(cp_channel_sets_cluster(set, N, .5, cluster, &n), CP_OK);
    int size[N] = {0};
    for (int i = 0; i < N; i++) {
        assert_in_range(cluster[i], 0, n - 1);
        size[cluster[i]]++;
    }
    for (size_t k = 1; k < n; k++)
        assert_true(size[k] <= size[k - 1]);
    for (int i = 0; i < N - 1; i++) /* odd ones together, the others not with them */
        assert_int_equal(cluster[i] == cluster[1], i % 2);
    assert_int_equal(size[cluster[N - 1]], 1);
    /* The mean over pairs: what was joined is alike, what was not is not. */
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < a; b++) {
            double sum = 0;
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++)
                    if (cluster[i] == (int)a && cluster[j] == (int)b)
                        sum += cp_channel_sets_jaccard(&set[i], &set[j]);
            assert_true(sum / size[a] / size[b] < .5);
        }
    assert_int_equal(cp_channel_sets_cluster(set, N, 0, cluster, &n), CP_OK);
    assert_int_equal(n, 1);
    assert_int_equal(cp_channel_sets_cluster(set, N, 1.1, cluster, &n), CP_OK);
    assert_int_equal(n, N);
    assert_int_equal(cp_channel_sets_cluster(set, 0, .5, cluster, &n), CP_OK);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(class_path_is_what_half_of_the_sets_hold),
        cmocka_unit_test(p_is_that_of_all_permutations),
        cmocka_unit_test(no_false_alarm),
        cmocka_unit_test(clusters_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
