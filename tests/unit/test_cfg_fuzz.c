/* The fuzz target of tests/fuzz over a corpus made here: good cfgs damaged in the ways that files get damaged. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "../fuzz/fuzz_cfg.c"

#include <cmocka.h>

static const char *const good[] = {
    "[net]\nbatch=8\nsubdivisions=2\nwidth=16\nheight=12\nchannels=3\npolicy=steps\nsteps=1,2\nscales=.1,.1\n"
    "[crop]\ncrop_width=14\ncrop_height=10\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\n"
    "activation=leaky\n[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n"
    "[shortcut]\nfrom=-3\nactivation=relu\n[dropout]\nprobability=.5\n[connected]\noutput=10\n[softmax]\n[cost]\n",

    "[net]\nwidth=16\nheight=16\nchannels=3\n[conv]\nfilters=8\nsize=3\npad=1\ngroups=1\n[maxpool]\nsize=2\nstride=2\n"
    "[conv]\nfilters=14\nsize=1\nactivation=linear\n[yolo]\nmask=1,2\nanchors=10,14, 23,27, 37,58\nclasses=2\nnum=3\n"
    "[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n[conv]\nfilters=7\nsize=1\nactivation=linear\n"
    "[yolo]\nmask=0\nanchors=10,14, 23,27, 37,58\nclasses=2\nnum=3\n",

    "[net]\nwidth=8\nheight=8\nchannels=4\n[reorg]\nstride=2\n[deconv]\nfilters=3\nsize=2\nstride=2\n[local]\n"
    "filters=2\nsize=3\nstride=2\npad=1\n[activation]\nactivation=elu\n[connected]\noutput=48\nbatch_normalize=1\n"
    "[detection]\nclasses=2\ncoords=4\nside=2\nnum=2\nsoftmax=0\n",

    "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=14\nsize=3\nstride=2\npad=1\n[avg]\n[route]\nlayers=0\n"
    "[region]\nanchors=1,2,3,4\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\n",
};

static uint32_t state_of_random = 1;

static size_t pick(size_t n)
{
    state_of_random = state_of_random * 1664525 + 1013904223;
    return (state_of_random >> 8) % n;
}

/* Replaces `cut` bytes at `at` by `text`. */
static size_t splice(char *into, size_t length, size_t at, size_t cut, const char *text)
{
    size_t n = strlen(text);
    if (at + cut > length) cut = length - at;
    memmove(into + at + n, into + at + cut, length - at - cut);
    memcpy(into + at, text, n);
    return length - cut + n;
}

static size_t damage(char *text, size_t length)
{
    static const char *const pieces[] = {
        "0", "-1", "2147483647", "-2147483648", "99999999999", "1e9", "nan", "", ",", "=", "\n", "[", "]", "#", "\r\n",
        "x", "[route]\nlayers=-1,0\n", "[shortcut]\nfrom=1\n", "[yolo]\n", "[softmax]\n", "[lrn]\n", "[net]\n",
        "size=0\n", "stride=0\n", "groups=0\n", "filters=-5\n", "padding=65536\n", "num=1000000\n",
        "[conn]\noutput=65536\n",
    };
    size_t at = pick(length);
    switch (pick(5)) {
    case 0: text[at] = (char)pick(256); return length;
    case 1: return splice(text, length, at, pick(40), "");
    case 2: return splice(text, length, at, 0, pieces[pick(sizeof pieces / sizeof *pieces)]);
    default: { /* a value */
        char *equals = memchr(text + at, '=', length - at);
        if (!equals) return length;
        size_t value = (size_t)(equals - text) + 1;
        char *end = memchr(text + value, '\n', length - value);
        return splice(text, length, value, (end ? (size_t)(end - text) : length) - value,
                      pieces[pick(sizeof pieces / sizeof *pieces)]);
    }
    }
}

static void test_damaged(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8000; n++) {
        char text[4096];
        size_t length = strlen(good[n % 4]);
        memcpy(text, good[n % 4], length);
        for (size_t times = pick(4); times && length > 1 && length < 3000; times--) length = damage(text, length);
        LLVMFuzzerTestOneInput((const uint8_t *)text, length);
    }
}

/* The damage starts from cfgs that are accepted, or it would show little. */
static void test_undamaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cp_cfg *cfg = NULL;
        cp_cfg_net *net = NULL;
        assert_int_equal(cp_cfg_parse("good", good[i], strlen(good[i]), &cfg), CP_OK);
        if (cp_cfg_check(cfg, 0, &net) != CP_OK) fail_msg("%zu: %s", i, cp_error());
        cp_cfg_net_free(net);
        cp_cfg_free(cfg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_undamaged), cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
