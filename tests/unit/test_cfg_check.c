/* What a cfg means: shapes worked out by hand, and every kind of bad cfg with its one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/error.h"
#include "model/cfg.h"
#include "model/layer_row.h"

/* [net] of lines 1 to 4; the layers start on line 5. */
#define NET "[net]\nwidth=8\nheight=6\nchannels=4\n"
#define CONV "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=leaky\n" /* 6 lines */

static cp_status check(const char *text, size_t max_bytes, cp_cfg_net **net)
{
    cp_cfg *cfg = NULL;
    *net = NULL;
    cp_status status = cp_cfg_parse("t.cfg", text, strlen(text), &cfg);
    if (status == CP_OK) status = cp_cfg_check(cfg, max_bytes, net);
    cp_cfg_free(cfg);
    return status;
}

static cp_cfg_net *accept(const char *text)
{
    cp_cfg_net *net;
    if (check(text, 0, &net) != CP_OK) fail_msg("%s", cp_error());
    return net;
}

/* ---- the table ---- */

static void expect_range(const cp_layer_row *row, const cp_cfg_key *key, long value)
{
    static const char *const needed[][2] = {{"out_channels", "maxpool_depth=1\n"}, {"route", "layers=0\n"}, {"detection", "coords=4\n"},
                                            {"Gaussian_yolo", "mask=0\n"}};
    char text[400], wanted[100];
    cp_cfg_net *net;
    const char *besides = "";
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!strcmp(row->name, needed[i][0]) || !strcmp(key->name, needed[i][0])) besides = needed[i][1];
    snprintf(text, sizeof text, NET "%s[%s]\n%s=%ld\n%s", CONV, row->name, key->name, value, besides);
    snprintf(wanted, sizeof wanted, "%s=%ld", key->name, value);
    cp_status status = check(text, 0, &net);
    if (status != CP_EINPUT || !strstr(cp_error(), wanted))
        fail_msg("%s status %d: %s", text, (int)status, status ? cp_error() : "");
}

/* The numbers beside the range of every key of every type are refused, with the key and the number. */
static void test_ranges_of_the_table(void **state)
{
    const cp_layer_row *const *families[] = {cp_layer_filters, cp_layer_planes, cp_layer_joins, cp_layer_values, cp_layer_heads};
    int ranges = 0;
    (void)state;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const cp_layer_row *const *row = families[f]; *row; row++)
            for (const cp_cfg_key *key = (*row)->keys; key->name; key++) {
                if (key->kind != CP_KEY_USED) continue;
                if (key->min > INT_MIN) expect_range(*row, key, (long)key->min - 1), ranges++;
                if (key->max < INT_MAX) expect_range(*row, key, (long)key->max + 1), ranges++;
            }
    assert_true(ranges > 30);
}

/* ---- bad ones ---- */

typedef struct {
    const char *text, *message;
} bad_cfg;

static void expect_all(const bad_cfg *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cp_cfg_net *net;
        cp_status status = check(cases[i].text, 0, &net);
        if (status != CP_EINPUT || strcmp(cp_error(), cases[i].message))
            fail_msg("case %zu: status %d\n  is     %s\n  wanted %s", i, (int)status, cp_error(), cases[i].message);
        assert_null(net);
    }
}

#define EXPECT_ALL(cases) expect_all(cases, sizeof cases / sizeof *cases)

static void test_bad_net(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {"[convolutional]\nfilters=3\n[net]\n", "t.cfg: the first section is [convolutional], it must be [net]"},
        {"[net]\nwidth=8\nheight=6\nchannels=4\n", "t.cfg: no layer behind [net]"},
        {"[net]\n" CONV,
         "t.cfg: [net], line 1: width=0 height=0 channels=0 inputs=0, all three sizes (or inputs alone) are needed"},
        {"[net]\nwidth=8\nheight=8\n" CONV,
         "t.cfg: [net], line 1: width=8 height=8 channels=0 inputs=0, all three sizes (or inputs alone) are needed"},
        {NET "inputs=5\n" CONV, "t.cfg: [net], line 5: inputs=5, width*height*channels is 192"},
        {"[net]\nwidth=-8\nheight=6\nchannels=4\n" CONV, "t.cfg: [net], line 2: width=-8, at least 0 is needed"},
        {"[net]\nwidth=wide\nheight=6\nchannels=4\n" CONV,
         "t.cfg: [net], line 2: width=wide is not an integer of 32 bits"},
        {"[net]\nwidth=65536\nheight=65536\nchannels=1\n" CONV,
         "t.cfg: [net], line 1: an input of 65536x65536x1, more than the 2147483647 that Darknet can count"},
        {NET "subdivisions=0\n" CONV, "t.cfg: [net], line 5: subdivisions=0, at least 1 is needed"},
        {NET "batch=0\n" CONV, "t.cfg: [net], line 5: batch=0, at least 1 is needed"},
        {NET "batch=-4\nsubdivisions=-4\n" CONV, "t.cfg: [net], line 5: batch=-4, at least 1 is needed"},
        {NET "batch=2000000000\n" CONV,
         "t.cfg: [net], line 1: a batch of 2000000000x192x1, more than the 2147483647 that Darknet "
         "can count"},
        {NET "time_steps=5\n" CONV, "t.cfg: [net], line 5: time_steps=5, only 1 is allowed"},
        {NET "policy=steps\nsteps=1,2\n" CONV, "t.cfg: [net], line 5: policy=steps without scales"},
        {NET "policy=steps\nsteps=1,2\nscales=.1\n" CONV,
         "t.cfg: [net], line 7: scales has 1 numbers, steps has 2"},
    };
    EXPECT_ALL(cases);
}

static void test_bad_types(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {NET "[convolution]\n", "t.cfg: layer 0 [convolution], line 5: Darknet has no layer of this type"},
        {NET CONV NET, "t.cfg: layer 1 [net], line 11: only the first section may be [net]"},
        {NET CONV "[lrn]\n",
         "t.cfg: layer 1 [lrn], line 11: not supported: Darknet's own forward is wrong here: its window drifts and "
         "norms turn negative"},
        {NET "[normalization]\n",
         "t.cfg: layer 0 [normalization], line 5: not supported: Darknet's own forward is wrong here: its window "
         "drifts and norms turn negative"},
        {NET "[l2norm]\n",
         "t.cfg: layer 0 [l2norm], line 5: not supported: Darknet divides by zero in it and its gradient is wrong"},
        {NET "[iseg]\n",
         "t.cfg: layer 0 [iseg], line 5: not supported: Darknet's forward reads the ground truth, which a prediction "
         "does not have"},
        {NET "[rnn]\n", "t.cfg: layer 0 [rnn], line 5: not supported: recurrent layers have no image input"},
        {NET "[gru]\n", "t.cfg: layer 0 [gru], line 5: not supported: recurrent layers have no image input"},
        {NET "[lstm]\n", "t.cfg: layer 0 [lstm], line 5: not supported: recurrent layers have no image input"},
        {NET "[crnn]\n",
         "t.cfg: layer 0 [crnn], line 5: not supported: recurrent layers keep a state between images"},
    };
    EXPECT_ALL(cases);
}

static void test_bad_convolutions(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {NET "[conv]\nsize=0\n", "t.cfg: layer 0 [conv], line 6: size=0, at least 1 is needed"},
        {NET "[conv]\nstride=0\n", "t.cfg: layer 0 [conv], line 6: stride=0, at least 1 is needed"},
        {NET "[conv]\nfilters=-3\n", "t.cfg: layer 0 [conv], line 6: filters=-3, at least 1 is needed"},
        {NET "[conv]\nsize=3\npadding=-1\n", "t.cfg: layer 0 [conv], line 7: padding=-1, at least 0 is needed"},
        {NET "[conv]\ngroups=0\n", "t.cfg: layer 0 [conv], line 6: groups=0, at least 1 is needed"},
        {NET "[conv]\nfilters=6\nsize=3\ngroups=4\n",
         "t.cfg: layer 0 [conv], line 8: groups=4 must divide the 4 channels of the input and filters=6"},
        {NET "[conv]\nfilters=6\nsize=3\ngroups=3\n",
         "t.cfg: layer 0 [conv], line 8: groups=3 must divide the 4 channels of the input and filters=6"},
        {NET "[conv]\nactivation=silu\n",
         "t.cfg: layer 0 [conv], line 6: activation=silu is none of Darknet's, did you mean selu?"},
        {NET CONV "[shortcut]\nfrom=-1\nactivation=normalize_channels\n",
         "t.cfg: layer 1 [shortcut], line 13: activation=normalize_channels is not supported here: Darknet has it for "
         "convolutions only"},
        {NET "[connected]\nactivation=mish\n",
         "t.cfg: layer 0 [connected], line 6: activation=mish is not supported here: Darknet has it for convolutions and "
         "shortcuts only"},
        {NET "[conv]\nsize=1\npadding=1\n",
         "t.cfg: layer 0 [conv], line 7: size=1 with padding=1: Darknet ignores it in a 1x1 convolution, 0 is needed"},
        /* 7 - 8 rounds to 0 in C: Darknet would go on with one row that does not exist. */
        {NET "[conv]\nsize=7\nstride=2\n",
         "t.cfg: layer 0 [conv], line 6: size=7, the input of 8x6 with 0 pixels of padding has room for 6"},
        {NET "[conv]\nxnor=1\n",
         "t.cfg: layer 0 [conv], line 6: xnor=1 is not supported: Darknet has no right gradient for it"},
        {NET "[conv]\nbinary=1\n",
         "t.cfg: layer 0 [conv], line 6: binary=1 is not supported: Darknet has no right gradient for it"},
        {NET "[conv]\nflipped=1\n",
         "t.cfg: layer 0 [conv], line 6: flipped=1 is not supported: save the weights unflipped"},
        {NET "[conv]\ndontload=1\n",
         "t.cfg: layer 0 [conv], line 6: dontload=1 leaves weights at random values, 0 is needed"},
        {NET "[conv]\nfilters=8\nnumload=4\n",
         "t.cfg: layer 0 [conv], line 7: numload=4 leaves weights at random values, 0 is needed"},
        {NET "[conv]\nbatch_normalize=1\ndontloadscales=1\n",
         "t.cfg: layer 0 [conv], line 7: dontloadscales=1 leaves weights at random values, 0 is needed"},
        {NET "[conv]\nsize=3\ndilation=2\n",
         "t.cfg: layer 0 [conv], line 7: dilation=2 with size=3 and padding=0: Darknet's sizes agree only for "
         "size=2*padding+1"},
        {NET CONV "[conv]\nsize=3\nfilters=5\nshare_index=0\n",
         "t.cfg: layer 1 [conv], line 14: layer 0 is no convolution of 5 filters of size 3 over 4 channels"},
        {NET "[conv]\nantialiasing=-1\n", "t.cfg: layer 0 [conv], line 6: antialiasing=-1, at least 0 is needed"},
        {NET "[conv]\nantialiasing=1\n[conv]\n[route]\nlayers=-1,0\n",
         "t.cfg: layer 2 [route], line 9: layers=0 names layer 0, which has antialiasing: Darknet's sizes of it agree only for "
         "the layer behind it"},
        {NET "[max]\nantialiasing=1\n[softmax]\n",
         "t.cfg: layer 1 [softmax], line 7: reads layer 0 through its antialiasing, which is supported for layers with "
         "weights, pools and shortcuts"},
        {NET "[conv]\nsize=6\nantialiasing=2\n[conv]\n",
         "t.cfg: layer 0 [conv], line 7: antialiasing=2 of 3x1 values, at least 2x2 are needed"},
        {NET "[conv]\nfilters=100000000\n",
         "t.cfg: layer 0 [conv], line 5: an output of 8x6x100000000, more than the 2147483647 that Darknet can count"},
        {NET "[conv]\nfilters=1000\nsize=100000\npad=1\n",
         "t.cfg: layer 0 [conv], line 5: weights of 4x1000x100000x100000, more than the 2147483647 that Darknet can "
         "count"},
        {NET "[conv]\nfilters=9\nsize=2147483647\nstride=2147483647\npadding=2147483647\n",
         "t.cfg: layer 0 [conv], line 5: weights of 4x9x2147483647x2147483647, more than the 2147483647 that Darknet "
         "can count"},
        {NET "[deconv]\nsize=1\nstride=1\npadding=3\n",
         "t.cfg: layer 0 [deconv], line 8: padding of 3 leaves an output of 2x0, at least 1x1 is needed"},
        {NET "[local]\nsize=5\npad=1\n",
         "t.cfg: layer 0 [local], line 7: pad=1 with size=5: Darknet's sizes agree only for pad=0 or size=2*pad+1"},
        {NET "[connected]\noutput=0\n", "t.cfg: layer 0 [connected], line 6: output=0, at least 1 is needed"},
        {NET "[connected]\noutput=1000000000\n",
         "t.cfg: layer 0 [connected], line 5: weights of 1000000000x192x1, more than the 2147483647 that Darknet can "
         "count"},
        {"[net]\ninputs=10\n" CONV,
         "t.cfg: layer 0 [convolutional], line 3: the layer before gives 10 values but no image (channels, height "
         "and width), which is needed"},
    };
    EXPECT_ALL(cases);
}

static void test_bad_references(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {NET CONV "[shortcut]\nactivation=linear\n", "t.cfg: layer 1 [shortcut], line 11: from= is missing"},
        {NET CONV "[shortcut]\nfrom=-2\n",
         "t.cfg: layer 1 [shortcut], line 12: from=-2 names layer -1, 0 to 0 is allowed"},
        {NET CONV "[shortcut]\nfrom=1\n",
         "t.cfg: layer 1 [shortcut], line 12: from=1 names layer 1, 0 to 0 is allowed"},
        {NET CONV "[shortcut]\nfrom=2\n" CONV,
         "t.cfg: layer 1 [shortcut], line 12: from=2 names layer 2, 0 to 0 is allowed"},
        {NET CONV "[shortcut]\nfrom=-2147483648\n",
         "t.cfg: layer 1 [shortcut], line 12: from=-2147483648 names layer -2147483647, 0 to 0 is allowed"},
        {NET CONV "[shortcut]\nfrom=-1,x\n",
         "t.cfg: layer 1 [shortcut], line 12: from: item 2 of 2, 'x', is not an integer of 32 bits"},
        {NET CONV "[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0,1\n",
         "t.cfg: layer 2 [shortcut], line 15: layer 0 gives 8x6, 4x3 is needed"},
        {NET CONV "[scale_channels]\nfrom=0\n",
         "t.cfg: layer 1 [scale_channels], line 12: layer 0 gives 8x6x4, the layer before 8x6x4: 1x1 with as many "
         "channels is needed"},
        {NET CONV "[maxpool]\n[sam]\nfrom=0,1\n",
         "t.cfg: layer 2 [sam], line 13: from names 2 layers, at most 1 is allowed"},
        {NET "[shortcut]\nfrom=-1\n", "t.cfg: layer 0 [shortcut], line 6: from=-1, there is no layer before this one"},
        {NET CONV "[maxpool]\nsize=2\nstride=2\n[conv]\nfilters=3\nsize=1\n[shortcut]\nfrom=0\nalpha=.5\n",
         "t.cfg: layer 3 [shortcut], line 19: alpha=0.5 with inputs of different sizes (4x3x3 and 8x6x4): Darknet "
         "leaves a part unscaled, 1 is needed"},
        {NET CONV "[conv]\nfilters=1\nsize=3\nstride=4\n[shortcut]\nfrom=0\n",
         "t.cfg: layer 2 [shortcut], line 16: layer 0 gives 8x6, which Darknet cannot add to 2x1: one stride for "
         "both axes is needed"},
        {NET CONV "[shortcut]\nfrom=-1\nweights_type=per_pixel\n",
         "t.cfg: layer 1 [shortcut], line 13: weights_type=per_pixel is none of none, per_feature and per_channel"},
        {NET CONV "[route]\n", "t.cfg: layer 1 [route], line 11: layers= is missing"},
        {NET CONV "[route]\nlayers=-1,3\n",
         "t.cfg: layer 1 [route], line 12: layers=3 names layer 3, 0 to 0 is allowed"},
        {NET CONV "[route]\nlayers=-1,\n",
         "t.cfg: layer 1 [route], line 12: layers: item 2 of 2, '', is not an integer of 32 bits"},
        {NET CONV "[route]\nlayers=-1\ngroups=3\n",
         "t.cfg: layer 1 [route], line 13: groups=3 must divide the 4 channels of layer 0"},
        {NET CONV "[route]\nlayers=-1\ngroups=2\ngroup_id=2\n",
         "t.cfg: layer 1 [route], line 14: group_id=2, 0 to 1 is allowed (groups=2)"},
        {NET CONV "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n" CONV,
         "t.cfg: layer 3 [convolutional], line 16: the layer before gives 240 values but no image (channels, height "
         "and width), which is needed"},
        {NET CONV "[softmax]\n" CONV,
         "t.cfg: layer 2 [convolutional], line 12: the layer before gives 192 values but no image (channels, height "
         "and width), which is needed"},
        {NET CONV "[softmax]\n[connected]\noutput=2\n",
         "t.cfg: layer 2 [connected], line 12: reads layer 1 [softmax], a head, whose output only [cost] may read"},
        {NET CONV "[logistic]\n[route]\nlayers=-2,-1\n",
         "t.cfg: layer 2 [route], line 12: reads layer 1 [logistic], a head, whose output only [cost] may read"},
        {NET CONV "[cost]\n[cost]\n",
         "t.cfg: layer 2 [cost], line 12: reads layer 1 [cost], a head, whose output only [cost] may read"},
        {NET "[softmax]\n", "t.cfg: layer 0 [softmax], line 5: a head as layer 0: it needs a layer before"},
        {NET "[dropout]\n", "t.cfg: layer 0 [dropout], line 5: as layer 0, Darknet needs a layer before it"},
        {NET CONV "[crop]\ncrop_height=2\ncrop_width=2\n",
         "t.cfg: layer 1 [crop], line 11: only supported as layer 0, where it is preprocessing"},
    };
    EXPECT_ALL(cases);
}

static void test_bad_small_layers(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {NET "[maxpool]\nstride=0\n", "t.cfg: layer 0 [maxpool], line 6: stride=0, at least 1 is needed"},
        {NET "[maxpool]\nsize=0\n", "t.cfg: layer 0 [maxpool], line 6: size=0, at least 1 is needed"},
        {NET "[maxpool]\nsize=7\npadding=0\n",
         "t.cfg: layer 0 [maxpool], line 6: size=7, the input of 8x6 with 0 pixels of padding has room for 6"},
        {NET "[maxpool]\nsize=2\nstride=2\npadding=4\n",
         "t.cfg: layer 0 [maxpool], line 8: padding=4 puts a window of size=2 wholly outside the input of 8x6"},
        {NET "[maxpool]\nmaxpool_depth=1\nout_channels=5\n",
         "t.cfg: layer 0 [maxpool], line 7: out_channels=5 of an input of 4 channels"},
        {NET "[upsample]\nstride=-4\n", "t.cfg: layer 0 [upsample], line 6: stride=-4 does not divide the input of 8x6"},
        {NET "[upsample]\nscale=nan\n", "t.cfg: layer 0 [upsample], line 6: scale=nan is not a finite number"},
        {NET "[reorg]\nstride=4\n",
         "t.cfg: layer 0 [reorg], line 6: stride=4 does not divide the input of 8x6x4: width and height by the "
         "stride and channels by 16 are needed"},
        {NET "[reorg]\nstride=3\nreverse=1\n",
         "t.cfg: layer 0 [reorg], line 6: stride=3 does not divide the input of 8x6x4: channels by 9 are needed"},
        {NET "[reorg]\nextra=1\nflatten=1\n",
         "t.cfg: layer 0 [reorg], line 6: extra=1 cannot go with flatten or reverse"},
        {NET "[activation]\nactivation=ReLU\n",
         "t.cfg: layer 0 [activation], line 6: activation=ReLU is none of Darknet's, did you mean relu?"},
        {NET CONV "[dropout]\nprobability=1\n",
         "t.cfg: layer 1 [dropout], line 12: probability=1, at least 0 and below 1 is needed"},
        {NET "[crop]\ncrop_height=7\ncrop_width=8\n",
         "t.cfg: layer 0 [crop], line 6: crop_height=7, 1 to 6 is allowed"},
        {NET CONV "[softmax]\ngroups=5\n",
         "t.cfg: layer 1 [softmax], line 12: groups=5 must divide the 192 values of the input"},
        {NET CONV "[softmax]\ngroups=0\n", "t.cfg: layer 1 [softmax], line 12: groups=0, at least 1 is needed"},
        {NET CONV "[softmax]\ntemperature=0\n",
         "t.cfg: layer 1 [softmax], line 12: temperature=0, more than 0 is needed"},
        {NET CONV "[softmax]\nspatial=1\n",
         "t.cfg: layer 1 [softmax], line 12: spatial=1 is not supported: Darknet honours it only on a GPU"},
        {NET CONV "[softmax]\ntree=data/9k.tree\n",
         "t.cfg: layer 1 [softmax], line 12: tree=data/9k.tree: tree: cannot open data/9k.tree: No such file or directory"},
    };
    EXPECT_ALL(cases);
}

static void test_bad_detector_heads(void **state)
{
    (void)state;
#define CONV14 "[conv]\nfilters=14\nsize=1\n" /* 2 anchors of 2 classes; 3 lines */
    static const bad_cfg cases[] = {
        {NET CONV14 "[yolo]\nclasses=3\nnum=2\n",
         "t.cfg: layer 1 [yolo], line 9: the layer before gives 14 channels, (classes+5)*num needs 16"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=4\nmask=1,2,3\n",
         "t.cfg: layer 1 [yolo], line 9: the layer before gives 14 channels, (classes+5)*masks needs 21"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=4\nmask=1,4\n",
         "t.cfg: layer 1 [yolo], line 11: mask names anchor 4, 0 to 3 is allowed (num=4)"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=4\nmask=-1,2\n",
         "t.cfg: layer 1 [yolo], line 11: mask names anchor -1, 0 to 3 is allowed (num=4)"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=2\nanchors=1,2,3\n",
         "t.cfg: layer 1 [yolo], line 11: anchors has 3 numbers, the mask needs 4"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,big\n",
         "t.cfg: layer 1 [yolo], line 11: anchors: item 4 of 4, 'big', is not a finite number"},
        {NET CONV14 "[yolo]\nclasses=0\nnum=2\n", "t.cfg: layer 1 [yolo], line 9: classes=0, at least 1 is needed"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=2147483647\nmask=0,1\n",
         "t.cfg: layer 1 [yolo], line 10: num=2147483647, at most 65536 is allowed"},
        {NET CONV14 "[yolo]\nclasses=2147483647\nnum=2147483647\n",
         "t.cfg: layer 1 [yolo], line 9: the layer before gives 14 channels, (classes+5)*num needs "
         "4611686024869838844"},
        {NET CONV14 "[yolo]\nclasses=2\nnum=2\n[yolo]\nclasses=2\nnum=2\n",
         "t.cfg: layer 2 [yolo], line 11: reads layer 1 [yolo], a head, whose output only [cost] may read"},
        {NET CONV14 "[region]\nclasses=3\nnum=2\n",
         "t.cfg: layer 1 [region], line 9: the layer before gives 14 channels, (classes+5)*num needs 16"},
        {NET CONV14 "[region]\nclasses=2\nnum=2\ncoords=5\n",
         "t.cfg: layer 1 [region], line 11: coords=5, only 4 is allowed"},
        {NET CONV14 "[region]\nclasses=2\nnum=2\nanchors=1,2,3,4,5,6\n",
         "t.cfg: layer 1 [region], line 11: anchors has 6 numbers, num needs 4"},
        {NET CONV14 "[region]\nclasses=2\nnum=2\nbackground=1\n",
         "t.cfg: layer 1 [region], line 11: background=1 is not supported: it has no class of its own"},
        {NET CONV14 "[region]\nclasses=2\nnum=2\ntree=x\n",
         "t.cfg: layer 1 [region], line 11: tree=x: tree: cannot open x: No such file or directory"},
        {NET "[conn]\noutput=49\n[detection]\nclasses=2\ncoords=4\nside=2\nnum=2\n",
         "t.cfg: layer 1 [detection], line 8: the layer before gives 49 values, side*side*(5*num+classes) needs 48"},
        {NET "[conn]\noutput=48\n[detection]\nclasses=2\nside=2\nnum=2\n",
         "t.cfg: layer 1 [detection], line 7: coords=1, only 4 is allowed"},
        {NET "[conn]\noutput=48\n[detection]\nclasses=2\ncoords=4\nside=0\nnum=2\n",
         "t.cfg: layer 1 [detection], line 10: side=0, at least 1 is needed"},
        {NET "[conn]\noutput=48\n[detection]\nclasses=2147483647\ncoords=4\nside=2147483647\nnum=2147483647\n",
         "t.cfg: layer 1 [detection], line 8: the layer before gives 48 values, side*side*(5*num+classes) needs "
         "9223372036854775807"},
    };
    EXPECT_ALL(cases);
}

static void test_memory(void **state)
{
    (void)state;
    cp_cfg_net *net;
    /* 2000x2000x32 outputs, twice, and 4 bytes each is 1.02 GB. */
    const char *big = "[net]\nwidth=2000\nheight=2000\nchannels=3\n[conv]\nfilters=32\nsize=1\n";
    assert_int_equal(check(big, 1000000000, &net), CP_ERESOURCE);
    assert_string_equal(cp_error(), "t.cfg: needs 3264 MB of memory, 2096 MB of it for the values of one image, the limit is 1000 MB");
    assert_int_equal(check(big, 3300000000, &net), CP_OK);
    /* Output and delta; input and truth, and a workspace of one image (1x1); weights, biases and their updates. */
    assert_int_equal(net->parse_bytes, 2 * 4000000UL * 32 * 4 + 3 * 4000000UL * 3 * 4 + 2 * 4 * (32 + 96));
    cp_cfg_net_free(net);
    /* Input, output, and three gradients: 524 million floats. */
    cp_cfg_set_run_memory((size_t)1990 << 20);
    assert_int_equal(check(big, 0, &net), CP_ERESOURCE);
    assert_string_equal(cp_error(), "-mem: 1990 MB is too little, one image of t.cfg needs 1999 MB");
    cp_cfg_set_run_memory((size_t)2000 << 20);
    assert_int_equal(check(big, 3300000000, &net), CP_OK);
    cp_cfg_set_run_memory(0);
    cp_cfg_net_free(net);
}

/* ---- good ones ---- */

static void expect_shape(const cp_cfg_layer *layer, int c, int h, int w, size_t inputs, size_t outputs)
{
    if (layer->out_c != c || layer->out_h != h || layer->out_w != w || layer->inputs != inputs ||
        layer->outputs != outputs)
        fail_msg("layer %zu [%s]: %dx%dx%d, %zu -> %zu values", layer->section - 1, cp_layer_type_name(layer->type),
                 layer->out_c, layer->out_h, layer->out_w, layer->inputs, layer->outputs);
}

static void test_shapes(void **state)
{
    (void)state;
    cp_cfg_net *net = accept("[net]\nwidth=11\nheight=9\nchannels=3\n"
                             "[crop]\ncrop_width=10\ncrop_height=8\nnoadjust=1\n"
                             "[conv]\nfilters=8\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=relu\n"
                             "[conv]\nfilters=6\nsize=4\npadding=2\ngroups=2\n"
                             "[max]\nsize=3\nstride=2\n"
                             "[deconv]\nfilters=2\nsize=2\nstride=2\npad=1\nbatch_normalize=1\n"
                             "[dropout]\n"
                             "[route]\nlayers=-2,-1\n"
                             "[upsample]\nstride=3\nscale=.5\n"
                             "[reorg]\nstride=2\nreverse=1\n"
                             "[local]\nfilters=2\nsize=3\nstride=4\npad=1\nactivation=linear\n"
                             "[shortcut]\nfrom=1\nactivation=relu\n"
                             "[route]\nlayers=10,0\n"
                             "[conn]\noutput=12\n"
                             "[conv]\nfilters=5\nsize=1\nactivation=linear\n"
                             "[avg]\n"
                             "[activation]\nactivation=selu\n"
                             "[reorg]\nextra=2\n"
                             "[softmax]\n"
                             "[cost]\n");
    static const struct {
        int c, h, w;
        size_t inputs, outputs;
    } expected[] = {
        {3, 8, 10, 297, 240},   /* crop */
        {8, 4, 5, 240, 160},    /* (8+2-3)/2+1, (10+2-3)/2+1 */
        {6, 5, 6, 160, 180},    /* 4+4-4+1, 5+4-4+1 */
        {6, 3, 3, 180, 54},     /* (5+2-3)/2+1, (6+2-3)/2+1 */
        {2, 4, 4, 54, 32},      /* 2*2+2-2 */
        {2, 4, 4, 32, 32},      /* dropout */
        {4, 4, 4, 64, 64},      /* 2+2 channels */
        {4, 12, 12, 64, 576},   /* upsample */
        {1, 24, 24, 576, 576},  /* channels/4, sides*2 */
        {2, 6, 6, 576, 72},     /* (24-1)/4+1 */
        {2, 6, 6, 72, 72},      /* shortcut keeps the layer before it */
        {0, 0, 0, 312, 312},    /* 72+240 values of different sizes */
        {12, 1, 1, 312, 12},    /* connected */
        {5, 1, 1, 12, 5},       /* convolution over the connected layer */
        {5, 1, 1, 5, 5},        /* avgpool */
        {5, 1, 1, 5, 5},        /* activation */
        {0, 0, 0, 5, 7},        /* reorg with two zeros */
        {0, 0, 0, 7, 7},        /* softmax */
        {0, 0, 0, 7, 7},        /* cost */
    };
    assert_int_equal(net->n_layers, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < net->n_layers; i++)
        expect_shape(&net->layers[i], expected[i].c, expected[i].h, expected[i].w, expected[i].inputs,
                     expected[i].outputs);
    assert_true(net->layers[0].noadjust);
    assert_int_equal(net->layers[1].pad, 1);
    assert_int_equal(net->layers[2].pad, 2);
    assert_int_equal(net->layers[3].pad, 2);
    assert_string_equal(net->layers[9].activation, "linear");
    assert_string_equal(net->layers[12].activation, "logistic");
    assert_null(net->layers[3].activation);
    /* Floats: biases, 3 of batch norm, weights. */
    assert_int_equal(net->layers[1].n_weights, 4 * 8 + 3 * 8 * 9);
    assert_int_equal(net->layers[2].n_weights, 6 + 8 / 2 * 6 * 16);
    assert_int_equal(net->layers[4].n_weights, 4 * 2 + 6 * 2 * 4);
    assert_int_equal(net->layers[9].n_weights, 72 + 1 * 2 * 9 * 36);
    assert_int_equal(net->layers[12].n_weights, 12 + 12 * 312);
    cp_cfg_net_free(net);
}

static void test_order_and_heads(void **state)
{
    (void)state;
    cp_cfg_net *net = accept(NET CONV "[shortcut]\nfrom=-1\n[conv]\nfilters=14\nsize=1\nactivation=linear\n"
                             "[yolo]\nclasses=2\nnum=3\nmask=0,2\nanchors=1,2,3,4,5,6.5\n"
                             "[route]\nlayers=-4,0\n[conv]\nfilters=7\nsize=1\n[region]\nclasses=2\nnum=1\n");
    assert_int_equal(net->n_layers, 7);
    const cp_cfg_layer *yolo = &net->layers[3], *route = &net->layers[4], *region = &net->layers[6];
    assert_true(cp_layer_type_is_head(yolo->type));
    assert_int_equal(yolo->n_mask, 2);
    assert_int_equal(yolo->mask[1], 2);
    assert_int_equal(yolo->num, 3);
    assert_true(yolo->anchors[5] == 6.5f);
    assert_int_equal(yolo->sources[0], 2);
    assert_int_equal(route->n_sources, 2);
    assert_int_equal(route->sources[0], 0);
    assert_int_equal(route->sources[1], 0);
    assert_int_equal(net->layers[0].sources[0], -1);
    assert_int_equal(net->layers[1].n_sources, 2);
    assert_true(region->anchors[0] == .5f && region->anchors[1] == .5f);
    assert_int_equal(region->n_mask, 1);
    cp_cfg_net_free(net);
}

static void test_weights_order(void **state)
{
    (void)state;
    cp_cfg_net *net = accept(NET "[conv]\nfilters=8\nsize=3\ngroups=2\npad=1\nbatch_normalize=1\n"
                                 "[conn]\noutput=10\nbatch_normalize=1\n[conn]\noutput=3\n[softmax]\n");
    static const struct {
        size_t layer;
        cp_array_kind kind;
        size_t n;
    } expected[] = {
        {0, CP_BIASES, 8},  {0, CP_SCALES, 8},          {0, CP_ROLLING_MEAN, 8}, {0, CP_ROLLING_VARIANCE, 8},
        {0, CP_WEIGHTS, 4 / 2 * 8 * 9},                 {1, CP_BIASES, 10},      {1, CP_WEIGHTS, 10 * 8 * 6 * 8},
        {1, CP_SCALES, 10}, {1, CP_ROLLING_MEAN, 10},   {1, CP_ROLLING_VARIANCE, 10},
        {2, CP_BIASES, 3},  {2, CP_WEIGHTS, 30},
    };
    size_t i = 0;
    for (size_t l = 0; l < net->n_layers; l++)
        for (size_t a = 0; a < net->layers[l].n_arrays; a++, i++) {
            assert_true(i < sizeof expected / sizeof *expected);
            assert_int_equal(expected[i].layer, l);
            assert_int_equal(expected[i].kind, net->layers[l].arrays[a].kind);
            assert_int_equal(expected[i].n, net->layers[l].arrays[a].n);
        }
    assert_int_equal(i, sizeof expected / sizeof *expected);
    assert_int_equal(net->n_weights, 8 * 4 + 144 + 40 + 3840 + 33);
    cp_cfg_net_free(net);
}

/* What cfgs in use have, and no Darknet reads any more, is no error and no warning. */
static void test_keys_of_old_cfgs(void **state)
{
    (void)state;
    cp_cfg_net *net = accept("[net]\nwidth=8\nheight=6\nchannels=3\nshow_receptive_field=1\n"
                             "[conv]\nfilters=14\nsize=1\n"
                             "[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,4\nuc_normalizer=0.07\nbeta1=0.6\n");
    assert_int_equal(net->n_warnings, 0);
    cp_cfg_net_free(net);
}

/* Sizes of batches, and doubled keys; keys that no Darknet has only when that is asked for. */
static void test_warnings(void **state)
{
    (void)state;
    cp_cfg_set_lenient(true);
    cp_cfg_net *net = accept("[net]\nwidth=8\nheight=6\nchannels=4\nbatch=2\nsubdivisions=4\nletterbox=1\n"
                             "[conv]\nfilters=14\nfilters=5\nsize=1 pixel\nstopbackward=1\nfiltres=3\n"
                             "[yolo]\nclasses=2\nnum=2\nanchors=1,2,3,4\n");
    cp_cfg_set_lenient(false);
    static const char *const expected[] = {
        "t.cfg: [net], line 5: batch=2 is smaller than subdivisions=4: Darknet itself cannot run this",
        "t.cfg: [net], line 7: Darknet does not use 'letterbox=1' here",
        "t.cfg: layer 0 [conv], line 10: a second filters, Darknet uses the first",
        "t.cfg: layer 0 [conv], line 13: Darknet does not use 'filtres=3' here",
        "t.cfg: layer 0 [conv], line 11: size=1pixel is read as 1, as Darknet does",
    };
    assert_int_equal(net->n_warnings, 5);
    for (size_t i = 0; i < 5; i++) assert_string_equal(net->warnings[i], expected[i]);
    cp_cfg_net_free(net);
}

static void test_unknown_keys(void **state)
{
    (void)state;
    static const bad_cfg cases[] = {
        {NET "letterbox=1\n" CONV, "t.cfg: [net], line 5: letterbox is no key of it, did you mean letter_box?"},
        {NET "[conv]\nfiltres=3\n", "t.cfg: layer 0 [conv], line 6: filtres is no key of it, did you mean filters?"},
        {NET CONV "[route]\nlayers=0\nfrom=0\n",
         "t.cfg: layer 1 [route], line 13: from is no key of it; -keys lenient ignores it"},
    };
    EXPECT_ALL(cases);
    /* Of other Darknets, and for training alone. */
    cp_cfg_net_free(accept(NET "mosaic=1\nmax_chart_loss=3\nletter_box=1\n[conv]\nassisted_excitation=4000\nangle=3\n"
                           "dont_update=1\n[dropout]\ndropblock=1\n[maxpool]\nmaxpool_zero_nonmax=1\n"));
}

/* All that is wrong, in one run: what a layer's keys and type say even behind a layer whose shape is not known. */
static void test_all_blames(void **state)
{
    (void)state;
    static const char *const text = NET "[conv]\nactivation=moosh\nfilters=3\n[conv]\nflipped=1\nactivation=mush\n"
                                    "[maxpool]\nsize=0\n[lrn]\n[conv]\nxnor=1\n" CONV;
    static const struct {
        size_t section;
        const char *part;
    } expected[] = {{1, "activation=moosh"}, {2, "flipped=1"}, {2, "activation=mush"}, {3, "size=0"}, {4, "[lrn]"},
                    {5, "xnor=1"}};
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    assert_int_equal(cp_cfg_parse("t.cfg", text, strlen(text), &cfg), CP_OK);
    assert_int_equal(cp_cfg_check_all(cfg, 0, &net), CP_OK);
    assert_int_equal(net->n_blames, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < net->n_blames; i++) {
        assert_int_equal(net->blames[i].section, expected[i].section);
        if (!strstr(net->blames[i].text, expected[i].part)) fail_msg("%s", net->blames[i].text);
    }
    assert_int_equal(net->n_shaped, 2);
    assert_int_equal(net->layers[1].out_c, 1);
    cp_cfg_net_free(net);
    cp_cfg_free(cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_of_the_table),
        cmocka_unit_test(test_bad_net),          cmocka_unit_test(test_bad_types),
        cmocka_unit_test(test_bad_convolutions), cmocka_unit_test(test_bad_references),
        cmocka_unit_test(test_bad_small_layers), cmocka_unit_test(test_bad_detector_heads),
        cmocka_unit_test(test_memory),           cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_order_and_heads),  cmocka_unit_test(test_weights_order),
        cmocka_unit_test(test_keys_of_old_cfgs), cmocka_unit_test(test_warnings),         cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_all_blames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
