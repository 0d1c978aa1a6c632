/* Our shapes against Darknet's own parser: every stock cfg, real ones, and random small nets, of which Darknet must
 * also run every one that we accept. Each is parsed in a child, because Darknet leaks, exits and needs gigabytes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "darknet.h"
#include "io/error.h"
#include "model/cfg.h"

static const LAYER_TYPE darknet_types[CP_LAYER_TYPES] = {
    [CP_LAYER_CONVOLUTIONAL] = CONVOLUTIONAL, [CP_LAYER_DECONVOLUTIONAL] = DECONVOLUTIONAL,
    [CP_LAYER_LOCAL] = LOCAL,                 [CP_LAYER_CONNECTED] = CONNECTED,
    [CP_LAYER_MAXPOOL] = MAXPOOL,             [CP_LAYER_AVGPOOL] = AVGPOOL,
    [CP_LAYER_SHORTCUT] = SHORTCUT,           [CP_LAYER_ROUTE] = ROUTE,
    [CP_LAYER_UPSAMPLE] = UPSAMPLE,           [CP_LAYER_REORG] = REORG,
    [CP_LAYER_ACTIVATION] = ACTIVE,           [CP_LAYER_DROPOUT] = DROPOUT,
    [CP_LAYER_CROP] = CROP,                   [CP_LAYER_SOFTMAX] = SOFTMAX,
    [CP_LAYER_LOGISTIC] = LOGXENT,            [CP_LAYER_COST] = COST,
    [CP_LAYER_YOLO] = YOLO,                   [CP_LAYER_REGION] = REGION,
    [CP_LAYER_DETECTION] = DETECTION,
};

extern ACTIVATION get_activation(char *name);

static FILE *report; /* of a child; its stderr is Darknet's */

#define SAME(what, ours, theirs)                                                                         \
    do {                                                                                                 \
        if ((long)(ours) == (long)(theirs)) break;                                                       \
        fprintf(report, "%s layer %zu [%s]: " what " is %ld, Darknet says %ld\n", name, i,               \
                cp_layer_type_name(o->type), (long)(ours), (long)(theirs));                              \
        return false;                                                                                    \
    } while (0)

static size_t darknet_weights(const layer *l)
{
    size_t bn = l->batch_normalize ? 3 : 0;
    switch (l->type) {
    case CONVOLUTIONAL:
    case DECONVOLUTIONAL: return (1 + bn) * (size_t)l->n + (size_t)l->nweights;
    case CONNECTED: return (1 + bn) * (size_t)l->outputs + (size_t)l->outputs * (size_t)l->inputs;
    case LOCAL: return (size_t)l->outputs + (size_t)l->size * l->size * l->c * l->n * l->out_h * l->out_w;
    default: return 0;
    }
}

static bool same_layer(const char *name, size_t i, const cp_cfg_layer *o, const layer *l)
{
    SAME("type", darknet_types[o->type], l->type);
    SAME("out_c", o->out_c, l->out_c);
    SAME("out_h", o->out_h, l->out_h);
    SAME("out_w", o->out_w, l->out_w);
    SAME("outputs", o->outputs, l->outputs);
    SAME("inputs", o->inputs, l->inputs);
    SAME("floats", o->n_weights, darknet_weights(l));
    if (o->activation) SAME("activation", get_activation((char *)o->activation), l->activation);
    switch (o->type) {
    case CP_LAYER_CONVOLUTIONAL:
    case CP_LAYER_DECONVOLUTIONAL:
    case CP_LAYER_LOCAL:
        SAME("filters", o->n, l->n);
        SAME("batch_normalize", o->batch_normalize, l->batch_normalize);
        if (o->type == CP_LAYER_CONVOLUTIONAL) SAME("groups", o->groups, l->groups);
        /* fall through */
    case CP_LAYER_MAXPOOL:
        SAME("size", o->size, l->size);
        SAME("stride", o->stride, l->stride);
        SAME("pad", o->pad, l->pad);
        break;
    case CP_LAYER_SHORTCUT: SAME("from", o->sources[1], l->index); break;
    case CP_LAYER_ROUTE:
        SAME("layers", o->n_sources, l->n);
        for (int k = 0; k < l->n; k++) SAME("layers", o->sources[k], l->input_layers[k]);
        break;
    case CP_LAYER_YOLO:
        SAME("num", o->num, l->total);
        SAME("masks", o->n_mask, l->n);
        for (int k = 0; k < l->n; k++) SAME("mask", o->mask[k], l->mask[k]);
        /* fall through */
    case CP_LAYER_REGION:
        SAME("classes", o->classes, l->classes);
        for (int k = 0; k < 2 * o->num; k++) SAME("anchor * 1e6", o->anchors[k] * 1e6, l->biases[k] * 1e6);
        break;
    case CP_LAYER_DETECTION:
        SAME("classes", o->classes, l->classes);
        SAME("side", o->side, l->side);
        SAME("num", o->num, l->n);
        break;
    default: break;
    }
    return true;
}

/* In the child. `run` also makes a prediction. */
static bool darknet_agrees(const char *name, const cp_cfg *cfg, const cp_cfg_net *net, bool run)
{
    char *text, path[64];
    size_t length;
    if (cp_cfg_render(cfg, &text, &length) != CP_OK) return false;
    int fd = memfd_create("cfg", 0);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length) return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    random_weights = 0; /* they cost most of the parsing time */
    network *theirs = parse_network_cfg(path);
    size_t i = 0;
    const cp_cfg_layer *o = net->layers;
    SAME("number of layers", net->n_layers, theirs->n);
    SAME("inputs of the network", net->inputs, theirs->inputs);
    for (i = 0; i < net->n_layers; i++)
        if (!same_layer(name, i, &net->layers[i], &theirs->layers[i])) return false;
    if (!run) return true;
    float *input = calloc(net->inputs, sizeof *input);
    for (i = 0; i < net->inputs; i++) input[i] = (float)(i % 5) / 5;
    network_predict(theirs, input);
    return true;
}

/* Runs darknet_agrees in a child and fails with what it reports. */
static void expect_agreement(const char *name, const cp_cfg *cfg, const cp_cfg_net *net, bool run)
{
    int channel[2];
    assert_int_equal(pipe(channel), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        report = fdopen(channel[1], "w");
        int null = open("/dev/null", O_WRONLY);
        if (!getenv("CRITPATH_DARKNET_TALKS")) {
            dup2(null, 1);
            dup2(null, 2);
        }
        bool good = darknet_agrees(name, cfg, net, run);
        fflush(report);
        _exit(good ? 0 : 1);
    }
    close(channel[1]);
    char text[500] = "";
    ssize_t n = read(channel[0], text, sizeof text - 1);
    close(channel[0]);
    int state;
    assert_int_equal(waitpid(child, &state, 0), child);
    if (state == 0) return;
    char *rendered = NULL;
    size_t length;
    cp_cfg_render(cfg, &rendered, &length);
    fail_msg("%s: Darknet ended with state 0x%x: %s\n%s", name, state, n > 0 ? text : "", run ? rendered : "");
}

static bool is_foreign(const cp_cfg_net *net)
{
    for (size_t i = 0; i < net->n_layers; i++)
        if (cp_layer_is_foreign(&net->layers[i])) return true;
    return false;
}

static size_t compare_files(const char *pattern, size_t *refused)
{
    glob_t files;
    size_t compared = 0;
    if (glob(pattern, 0, NULL, &files)) return 0;
    for (size_t i = 0; i < files.gl_pathc; i++) {
        cp_cfg *cfg = NULL;
        cp_cfg_net *net = NULL;
        const char *path = files.gl_pathv[i];
        cp_status status = cp_cfg_read(path, &cfg);
        if (status == CP_OK) status = cp_cfg_prepare(cfg, 1, 0, 0);
        if (status == CP_OK) status = cp_cfg_check(cfg, 0, &net);
        if (status == CP_OK && is_foreign(net)) {
            fprintf(stderr, "%s has layers that this Darknet cannot read\n", path);
        } else if (status == CP_OK) {
            expect_agreement(path, cfg, net, false);
            compared++;
        } else {
            assert_int_equal(status, CP_EINPUT);
            (*refused)++;
        }
        cp_cfg_net_free(net);
        cp_cfg_free(cfg);
    }
    globfree(&files);
    return compared;
}

static void test_stock_cfgs(void **state)
{
    (void)state;
    size_t refused = 0, compared = compare_files(DARKNET_SRC "/cfg/*.cfg", &refused);
    if (!compared) {
        fprintf(stderr, "skipped: no cfgs in %s/cfg\n", DARKNET_SRC);
        skip();
    }
    /* Refused of Debian's 45: gru, rnn, rnn.train. A checkout may have others. */
    fprintf(stderr, "%zu stock cfgs agree, %zu are refused\n", compared, refused);
    assert_true(compared >= 40);
    assert_true(refused <= compared / 4);
}

static void test_real_cfgs(void **state)
{
    (void)state;
    char pattern[4096];
    const char *data = getenv("CRITPATH_DATA");
    size_t refused = 0;
    snprintf(pattern, sizeof pattern, "%s/weights/*.cfg", data ? data : "../shared/data");
    size_t compared = compare_files(pattern, &refused) + compare_files("cfg/*.cfg", &refused) +
                      compare_files("tests/oracle/cfg/*.cfg", &refused);
    assert_int_equal(refused, 0);
    if (!compared) skip();
}

/* ---- random nets ---- */

static uint32_t seed;

static int pick(int n)
{
    seed = seed * 1664525 + 1013904223;
    return (int)((seed >> 8) % (uint32_t)n);
}

static const char *activation(void)
{
    static const char *const names[] = {"relu", "leaky", "linear", "logistic", "elu"};
    return names[pick(5)];
}

static int random_layer(char *out, size_t room, int index)
{
    switch (pick(14)) {
    case 0:
    case 1:
    case 2:
        return snprintf(out, room, "[conv]\nfilters=%d\nsize=%d\nstride=%d\npad=%d\npadding=%d\ngroups=%d\n"
                        "batch_normalize=%d\nactivation=%s\n", 1 + pick(6), 1 + pick(4), 1 + pick(3), pick(2), pick(3),
                        1 + pick(2), pick(2), activation());
    case 3:
        return snprintf(out, room, "[max]\nsize=%d\nstride=%d\n%s", 1 + pick(4), 1 + pick(3),
                        pick(2) ? "padding=1\n" : "");
    case 4: return snprintf(out, room, "[max]\nsize=%d\nstride=%d\npadding=%d\n", 1 + pick(3), 1 + pick(3), pick(5));
    case 5:
    case 6: return snprintf(out, room, "[shortcut]\nfrom=%d\nactivation=%s\n", pick(8) - 6, activation());
    case 7: return snprintf(out, room, "[route]\nlayers=%d,%d\n", -1 - pick(3), pick(2) ? pick(index + 1) : -1);
    case 8: return snprintf(out, room, "[upsample]\nstride=%d\n", 1 + pick(3));
    case 9:
        return snprintf(out, room, "[reorg]\nstride=%d\nreverse=%d\nflatten=%d\nextra=%d\n", 1 + pick(3), pick(2),
                        pick(4) == 0, pick(5) == 0 ? 3 : 0);
    case 10: return snprintf(out, room, "[dropout]\nprobability=.3\n[activation]\nactivation=%s\n", activation());
    case 11:
        return snprintf(out, room, "[deconv]\nfilters=%d\nsize=%d\nstride=%d\npad=%d\nactivation=%s\n", 1 + pick(4),
                        1 + pick(4), 1 + pick(3), pick(2), activation());
    case 12:
        return snprintf(out, room, "[local]\nfilters=%d\nsize=%d\nstride=%d\npad=%d\n", 1 + pick(3), 1 + pick(4),
                        1 + pick(2), pick(2));
    default: return snprintf(out, room, pick(2) ? "[avg]\n" : "[conn]\noutput=%d\n", 1 + pick(9));
    }
}

/* Net after net grows by random layers; a layer that we refuse is dropped, what we accept Darknet must parse alike
 * and run. Its [local] asks for a quarter of the workspace it needs, so a wide convolution stands first where one is
 * in the net. */
static void test_random_nets(void **state)
{
    (void)state;
    int accepted = 0, refused = 0;
    for (int n = 0; n < 250; n++) {
        char text[8192];
        seed = 1000 + (uint32_t)n;
        int length = snprintf(text, sizeof text, "[net]\nwidth=%d\nheight=%d\nchannels=%d\n", 1 + pick(12),
                              1 + pick(12), 1 + pick(4));
        if (pick(3) == 0) length += snprintf(text + length, sizeof text - (size_t)length,
                                             "[crop]\ncrop_width=%d\ncrop_height=%d\n", 1 + pick(6), 1 + pick(6));
        length += snprintf(text + length, sizeof text - (size_t)length, "[conv]\nfilters=4\nsize=9\npad=1\n");
        cp_cfg *cfg = NULL;
        cp_cfg_net *net = NULL;
        for (int k = 0; k < 14; k++) {
            int more = random_layer(text + length, sizeof text - (size_t)length, k);
            cp_cfg *longer = NULL;
            cp_cfg_net *longer_net = NULL;
            assert_int_equal(cp_cfg_parse("random", text, (size_t)(length + more), &longer), CP_OK);
            cp_status status = cp_cfg_check(longer, 0, &longer_net);
            assert_true(status == CP_OK || status == CP_EINPUT);
            size_t last = status == CP_OK ? longer_net->n_layers - 1 : 0;
            if (status != CP_OK || longer_net->layers[last].outputs > 20000) {
                cp_cfg_net_free(longer_net);
                cp_cfg_free(longer);
                refused++;
                continue;
            }
            cp_cfg_net_free(net);
            cp_cfg_free(cfg);
            cfg = longer;
            net = longer_net;
            length += more;
            accepted++;
        }
        if (!cfg) continue;
        size_t local = 0, wide = 0;
        for (size_t i = 0; i < net->n_layers; i++) {
            const cp_cfg_layer *l = &net->layers[i];
            size_t columns = (size_t)l->out_h * (size_t)l->out_w * (size_t)l->size * (size_t)l->size * (size_t)l->c;
            if (l->type == CP_LAYER_LOCAL && columns > local) local = columns;
            columns /= (size_t)l->groups;
            if (l->type == CP_LAYER_CONVOLUTIONAL && columns > wide) wide = columns;
        }
        expect_agreement("random", cfg, net, local <= wide);
        cp_cfg_net_free(net);
        cp_cfg_free(cfg);
    }
    fprintf(stderr, "%d random layers accepted, %d refused\n", accepted, refused);
    assert_true(accepted > 500 && refused > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stock_cfgs),
        cmocka_unit_test(test_real_cfgs),
        cmocka_unit_test(test_random_nets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
