/* Which channels are one group, which cannot be cut and why, and which are chosen: on cfgs worked out by hand. */
#include "prune_net.h"

#include "io/npz.h"

#define NET "[net]\nheight=8\nwidth=8\nchannels=3\n"
#define CONV(n, activation) \
    "[convolutional]\nfilters=" #n "\nsize=3\npad=1\nactivation=" #activation "\n"
#define HALF(n, activation) \
    "[convolutional]\nfilters=" #n "\nsize=3\nstride=2\npad=1\nactivation=" #activation "\n"
#define GROUPED(n, g) "[convolutional]\nfilters=" #n "\nsize=3\npad=1\ngroups=" #g "\nactivation=relu\n"
#define END "[avgpool]\n[connected]\noutput=2\nactivation=linear\n[softmax]\n"

static subject *open_text(const char *text)
{
    char cfg[96];
    snprintf(cfg, sizeof cfg, "%s/net.cfg", folder);
    FILE *file = fopen(cfg, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
    return open_subject(cfg, "");
}

static void same(const subject *s, int a, size_t i, int b, size_t j)
{
    if (group_at(s, a, i) != group_at(s, b, j))
        fail_msg("channel %zu of layer %d and %zu of layer %d are not one group", i, a, j, b);
}

static void apart(const subject *s, int a, size_t i, int b, size_t j)
{
    if (group_at(s, a, i) == group_at(s, b, j))
        fail_msg("channel %zu of layer %d and %zu of layer %d are one group", i, a, j, b);
}

/* ---- groups ---- */

static void ends_are_kept(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(4, relu) END);
    /* 3 of the input, 4 filters that the pool hands on, 2 logits */
    assert_int_equal(s->channels.n_groups, 9);
    assert_int_equal(s->channels.cuttable, 4);
    for (size_t i = 0; i < 4; i++) same(s, 0, i, 1, i);
    apart(s, 0, 0, 0, 1);
    assert_string_equal(reason_at(s, -1, 0), "the network's input");
    assert_string_equal(reason_at(s, 0, 3), "");
    assert_string_equal(reason_at(s, 2, 1), "read by layer 3 [softmax]");
    close_subject(s);
    /* without a head; and a branch that nobody reads */
    s = open_text(NET CONV(4, relu) CONV(5, relu) "[route]\nlayers=-2\n" CONV(2, linear));
    assert_string_equal(reason_at(s, 1, 0), "an output of the network");
    assert_string_equal(reason_at(s, 3, 1), "an output of the network");
    same(s, 2, 3, 0, 3);
    close_subject(s);
}

static void shortcuts_tie_what_they_add(void **state)
{
    (void)state;
    /* 4 channels at 8x8, 6 at 4x4: the first 4 are added, 2 stay alone. Then 3 more, of which 6 get added to 3 */
    subject *s = open_text(NET CONV(4, relu) HALF(6, relu) CONV(6, linear) "[shortcut]\nfrom=-3\nactivation=relu\n"
                           CONV(3, linear) "[shortcut]\nfrom=-2\nactivation=relu\n" END);
    for (size_t i = 0; i < 4; i++) {
        same(s, 3, i, 2, i);
        same(s, 3, i, 0, i);
        apart(s, 3, i, 1, i);
    }
    same(s, 3, 5, 2, 5);
    apart(s, 3, 4, 3, 5);
    for (size_t i = 0; i < 3; i++) same(s, 5, i, 3, i), same(s, 5, i, 4, i), same(s, 5, i, 0, i);
    /* 3 input + 6 of the sum + 6 inside + 2 logits */
    assert_int_equal(s->channels.n_groups, 17);
    assert_int_equal(s->channels.cuttable, 12);
    close_subject(s);
}

static void routes_place_and_depthwise_follows(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(4, relu) CONV(2, relu) "[route]\nlayers=-1,0\n" GROUPED(12, 6) END);
    same(s, 2, 0, 1, 0);
    same(s, 2, 1, 1, 1);
    for (size_t i = 0; i < 4; i++) same(s, 2, 2 + i, 0, i);
    /* two filters per channel */
    for (size_t i = 0; i < 12; i++) same(s, 3, i, 2, i / 2);
    assert_int_equal(s->channels.cuttable, 6);
    s->kept[group_at(s, 0, 1)] = s->kept[group_at(s, 1, 0)] = false;
    cp_cfg *smaller;
    done(cp_prune_cfg(s->cfg, &s->channels, s->kept, &smaller));
    assert_string_equal(cp_cfg_string(smaller, 1, "filters", ""), "3");
    assert_string_equal(cp_cfg_string(smaller, 2, "filters", ""), "1");
    assert_string_equal(cp_cfg_string(smaller, 4, "filters", ""), "8");
    assert_string_equal(cp_cfg_string(smaller, 4, "groups", ""), "4");
    assert_string_equal(cp_cfg_string(smaller, 6, "output", ""), "2");
    cp_cfg_free(smaller);
    close_subject(s);
    /* over other sizes there are no channels to tell apart */
    s = open_text(NET CONV(4, relu) HALF(4, relu) "[route]\nlayers=0,1\n[connected]\noutput=2\nactivation=linear\n");
    assert_string_equal(reason_at(s, 0, 0), "read by layer 2 [route], which joins other sizes");
    assert_string_equal(reason_at(s, 1, 3), "read by layer 2 [route], which joins other sizes");
    assert_int_equal(s->channels.cuttable, 0);
    close_subject(s);
}

static void groups_of_several_channels_stay(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(4, relu) GROUPED(6, 2) CONV(5, relu) END);
    assert_string_equal(reason_at(s, 0, 0), "read by layer 1 [convolutional], whose 2 groups must stay alike");
    assert_string_equal(reason_at(s, 1, 5), "its 2 groups must stay alike");
    assert_int_equal(s->channels.cuttable, 5);
    close_subject(s);
}

/* Darknet's reorg of stride 2 over 8 channels samples two channels of 16x16, each lying where 4 real ones do; planes
 * 0, 2, 4, 6 of its output, of 4 real channels each, are of the first. */
static void reorg_ties_blocks(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(8, relu) "[reorg]\nstride=2\n" END);
    for (size_t i = 1; i < 8; i++) {
        if (i < 4) same(s, 0, i, 0, 0);
        else same(s, 0, i, 0, 4);
    }
    apart(s, 0, 0, 0, 4);
    for (size_t i = 0; i < 32; i++) same(s, 1, i, 0, i / 4 % 2 * 4);
    assert_int_equal(s->channels.cuttable, 2);
    close_subject(s);
    s = open_text(NET CONV(8, relu) "[reorg]\nstride=2\nreverse=1\n" END);
    assert_string_equal(reason_at(s, 0, 0), "read by layer 1 [reorg]");
    assert_string_equal(reason_at(s, 1, 1), "reverse=1 makes it of all channels");
    close_subject(s);
}

static void macs(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(4, relu) GROUPED(8, 4) END);
    /* 64 places x (4 filters x 3 channels x 9 + 8 filters x 1 channel x 9) + 8 x 2 */
    assert_true(cp_net_macs(s->net) == 64. * (108 + 72) + 16);
    close_subject(s);
}

/* ---- the choice ---- */

static cp_channel_scores score_layers(const subject *s, size_t n, const int *layers, const double (*values)[8])
{
    cp_channel_scores scores;
    done(cp_channel_scores_create(&s->channels, &scores));
    for (size_t k = 0; k < n; k++) {
        scores.scored[layers[k]] = true;
        memcpy(scores.score + cp_channels_first(&s->channels, layers[k]), values[k],
               cp_channels_count(&s->channels, layers[k]) * sizeof(double));
    }
    scores.n = 1;
    return scores;
}

/* "1010": which filters of a layer stay. */
static void expect_kept(const subject *s, int layer, const char *wanted)
{
    char found[64] = "";
    for (size_t i = 0; i < strlen(wanted); i++) strcat(found, s->kept[group_at(s, layer, i)] ? "1" : "0");
    assert_string_equal(found, wanted);
}

static void the_best_of_the_network_stay(void **state)
{
    (void)state;
    static const int layers[] = {0, 1};
    static const double values[][8] = {{.9, .8, 0, .7}, {.1, 0, 0, .2}};
    subject *s = open_text(NET CONV(4, relu) CONV(4, relu) END);
    cp_channel_scores scores = score_layers(s, 2, layers, values);
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = NAN}, s->kept)); /* whatever has a score */
    expect_kept(s, 0, "1101");
    expect_kept(s, 1, "1001");
    expect_kept(s, 3, "11");
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = .5}, s->kept));
    expect_kept(s, 0, "1101");
    expect_kept(s, 1, "0001");
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = .25}, s->kept)); /* one of each layer first */
    expect_kept(s, 0, "1000");
    expect_kept(s, 1, "0001");
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = .5, .floor = .5}, s->kept));
    expect_kept(s, 0, "1100");
    expect_kept(s, 1, "1001");
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = 1}, s->kept)); /* a zero does not stay */
    expect_kept(s, 0, "1101");
    expect_kept(s, 1, "1001");
    assert_int_equal(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = 0}, s->kept), CP_EINPUT);
    scores.n = 0;
    assert_int_equal(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = .5}, s->kept), CP_EINPUT);
    cp_channel_scores_free(&scores);
    close_subject(s);
}

static void a_group_needs_one_layer_that_wants_it(void **state)
{
    (void)state;
    static const int layers[] = {0, 1, 3};
    static const double values[][8] = {{0, .5, 0, 0}, {.1, .1, .1, .1}, {0, 0, .5, 0}};
    subject *s = open_text(NET CONV(4, relu) CONV(4, relu) CONV(4, linear)
                           "[shortcut]\nfrom=-3\nactivation=relu\n" END);
    cp_channel_scores scores = score_layers(s, 3, layers, values);
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = NAN}, s->kept));
    expect_kept(s, 0, "0110");
    expect_kept(s, 2, "0110");
    expect_kept(s, 3, "0110");
    expect_kept(s, 1, "1111");
    cp_channel_scores_free(&scores);
    close_subject(s);
    /* a layer that no path speaks of stays whole, and says why */
    s = open_text(NET CONV(4, relu) CONV(4, linear) END);
    scores = score_layers(s, 1, layers, values);
    done(cp_channels_choose(&s->channels, &scores, &(cp_choice){.keep = NAN}, s->kept));
    expect_kept(s, 0, "0100");
    expect_kept(s, 1, "1111");
    assert_string_equal(reason_at(s, 1, 2), "no path says anything of it: no neuron layer");
    assert_int_equal(s->channels.cuttable, 4);
    cp_channel_scores_free(&scores);
    close_subject(s);
}

static void chance_keeps_as_many(void **state)
{
    (void)state;
    static const int layers[] = {0, 1};
    static const double values[][8] = {{.9, .8, .7, .6, .5, 0, 0, 0}, {.9, 0, 0, 0, 0, 0, .2, .1}};
    subject *s = open_text(NET CONV(8, relu) CONV(8, relu) END);
    cp_channel_scores scores = score_layers(s, 2, layers, values);
    size_t n = s->channels.n_groups, different = 0;
    bool first[64];
    assert_true(n <= sizeof first);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const cp_choice choice = {.keep = .5, .random = true, .seed = seed};
        done(cp_channels_choose(&s->channels, &scores, &choice, s->kept));
        assert_int_equal(stay(s, 0), 5);
        assert_int_equal(stay(s, 1), 3);
        expect_kept(s, 3, "11");
        if (seed == 1) memcpy(first, s->kept, n);
        else different += memcmp(first, s->kept, n) != 0;
        bool again[64];
        memcpy(again, s->kept, n);
        done(cp_channels_choose(&s->channels, &scores, &choice, s->kept));
        assert_memory_equal(again, s->kept, n);
    }
    assert_true(different >= 15);
    cp_channel_scores_free(&scores);
    close_subject(s);
}

/* ---- files ---- */

static char npz[96];

static void put_array(const char *name, cp_dtype dtype, size_t c, size_t side, const void *values)
{
    cp_npz_writer *writer;
    cp_array_type type = cp_array_chw(dtype, c, side, side);
    snprintf(npz, sizeof npz, "%s/scores.npz", folder);
    done(cp_npz_create(npz, false, &writer));
    done(cp_npz_add(writer, name, &type, values));
    done(cp_npz_commit(&writer));
}

static void expect_refusal(const subject *s, cp_channel_scores *scores, const char *reason)
{
    assert_int_equal(cp_channel_scores_add_file(scores, s->cfg, NULL, npz), CP_EINPUT);
    if (!strstr(cp_error(), reason)) fail_msg("\"%s\" does not say \"%s\"", cp_error(), reason);
}

static void files_add_up(void **state)
{
    (void)state;
    subject *s = open_text(NET CONV(4, relu) CONV(4, relu) END);
    cp_channel_scores scores;
    done(cp_channel_scores_create(&s->channels, &scores));
    const double *found = scores.score + cp_channels_first(&s->channels, 0);
    bool on[4 * 64] = {0};
    on[0] = true;                                      /* 1 of 64 neurons of channel 0 */
    for (int i = 64; i < 128; i++) on[i] = true;       /* channel 1 */
    put_array("layer_000_convolutional", CP_BOOL, 4, 8, on);
    done(cp_channel_scores_add_file(&scores, s->cfg, NULL, npz));
    assert_true(found[0] == 1. / 64 && found[1] == 1 && found[2] == 0 && found[3] == 0);
    const float gates[] = {0, 0, 6, 2};                /* mean 2 */
    put_array("layer_000_convolutional", CP_FLOAT32, 4, 1, gates);
    done(cp_channel_scores_add_file(&scores, s->cfg, NULL, npz));
    assert_true(found[0] == 1. / 64 && found[1] == 1 && found[2] == 3 && found[3] == 1);
    assert_int_equal(scores.n, 2);
    assert_true(scores.scored[0] && !scores.scored[1]);

    const float bad[] = {0, -1, 2, 3}, none[4] = {0}, nan[] = {0, NAN, 1, 1};
    put_array("layer_000_convolutional", CP_FLOAT32, 4, 1, bad);
    expect_refusal(s, &scores, "value 1 is -1, 0 or more is needed");
    put_array("layer_000_convolutional", CP_FLOAT32, 4, 1, nan);
    expect_refusal(s, &scores, "value 1 is nan");
    put_array("layer_000_convolutional", CP_FLOAT32, 4, 1, none);
    expect_refusal(s, &scores, "keeps nothing");
    put_array("layer_000_convolutional", CP_FLOAT32, 3, 1, gates);
    expect_refusal(s, &scores, "in the cfg (4, 8, 8)");
    put_array("layer_001_maxpool", CP_FLOAT32, 4, 1, gates);
    expect_refusal(s, &scores, "is called 'layer_001_convolutional' in the cfg");
    put_array("layer_004_softmax", CP_FLOAT32, 4, 1, gates);
    expect_refusal(s, &scores, "no mask goes behind such a layer");
    put_array("layer_000_convolutional", CP_INT32, 4, 1, gates);
    expect_refusal(s, &scores, "is int32, bool or float32 is needed");
    cp_channel_scores_free(&scores);
    close_subject(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_kept),
        cmocka_unit_test(shortcuts_tie_what_they_add),
        cmocka_unit_test(routes_place_and_depthwise_follows),
        cmocka_unit_test(groups_of_several_channels_stay),
        cmocka_unit_test(reorg_ties_blocks),
        cmocka_unit_test(macs),
        cmocka_unit_test(the_best_of_the_network_stay),
        cmocka_unit_test(a_group_needs_one_layer_that_wants_it),
        cmocka_unit_test(chance_keeps_as_many),
        cmocka_unit_test(files_add_up),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
