/* The recorder in Darknet's training: it changes nothing there, and its numbers are those of an independent calculation:
 * Darknet's own predictions for what is dead, gradients by hand, and networks planted so that the answer is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "io_temp.h"
#include "train/log.h"
#include "train/recording.h"

enum { SIDE = 16, INPUTS = 3 * SIDE * SIDE, PROBES = 5, BATCH = 4, CLASSES = 3 };

static const char head[] = "[net]\nbatch=4\nsubdivisions=2\nwidth=16\nheight=16\nchannels=3\nmax_batches=100\n"
                           "momentum=.9\ndecay=.0005\npolicy=constant\nlearning_rate=";
static const char with_batch_norm[] =
    "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
    "[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=linear\n"
    "[shortcut]\nfrom=-2\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n[dropout]\nprobability=.5\n"
    "[convolutional]\nbatch_normalize=1\nfilters=12\nsize=3\nstride=1\npad=1\nactivation=relu\n"
    "[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n";
static const char without[] =
    "\n[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
    "[convolutional]\nfilters=6\nsize=3\nstride=2\npad=1\nactivation=relu\n"
    "[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n";

typedef struct {
    char cfg[16], list[16], log[16], option[80]; /* in the test's own folder */
    float probe[PROBES][INPUTS];
    float *x[BATCH], *y[BATCH];
    data d;
} setting;

static float uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (1 << 24);
}

static void write_text(const char *path, const char *a, const char *b, const char *c)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s%s%s", a, b, c);
    fclose(file);
}

static void batch_of(setting *s, size_t inputs, uint32_t seed)
{
    for (int i = 0; i < BATCH; i++) {
        s->x[i] = realloc(s->x[i], inputs * sizeof(float));
        s->y[i] = realloc(s->y[i], CLASSES * sizeof(float));
        for (size_t k = 0; k < inputs; k++) s->x[i][k] = uniform(&seed);
        for (int k = 0; k < CLASSES; k++) s->y[i][k] = k == i % CLASSES;
    }
    s->d.X = (matrix){.rows = BATCH, .cols = (int)inputs, .vals = s->x};
    s->d.y = (matrix){.rows = BATCH, .cols = CLASSES, .vals = s->y};
}

/* Probes are 8-bit pictures of the network's size: nothing is scaled. */
static void write_probes(setting *s)
{
    FILE *list = fopen(s->list, "w");
    uint32_t seed = 99;
    for (int p = 0; p < PROBES; p++) {
        char path[32];
        snprintf(path, sizeof path, "probe%d.ppm", p);
        FILE *file = fopen(path, "wb");
        fprintf(file, "P6\n%d %d\n255\n", SIDE, SIDE);
        for (int i = 0; i < SIDE * SIDE; i++)
            for (int c = 0; c < 3; c++) {
                unsigned char byte = (unsigned char)(uniform(&seed) * 256);
                fputc(byte, file);
                s->probe[p][c * SIDE * SIDE + i] = (float)byte / 255.f;
            }
        fclose(file);
        fprintf(list, "%s\n", path);
    }
    fclose(list);
}

static setting *open_setting(const char *rate, const char *layers, const char *more)
{
    setting *s = calloc(1, sizeof *s);
    strcpy(s->cfg, "net.cfg");
    strcpy(s->list, "list");
    strcpy(s->log, "log.jsonl");
    remove(s->log);
    write_text(s->cfg, head, rate, layers);
    write_probes(s);
    snprintf(s->option, sizeof s->option, "%s%s%s", s->log, more, strstr(more, "probe=") ? s->list : "");
    batch_of(s, INPUTS, 3);
    return s;
}

static void close_setting(setting *s)
{
    for (int i = 0; i < BATCH; i++) free(s->x[i]), free(s->y[i]);
    free(s);
}

static network *parse(const setting *s)
{
    srand(7);
    return parse_network_cfg((char *)s->cfg);
}

/* With what Darknet's own free_network leaves behind. */
static void release(network *net)
{
    for (int i = 0; i < net->n; i++) {
        layer *l = &net->layers[i];
        if (l->type == DROPOUT) l->output = l->delta = NULL; /* the previous layer's */
        free(l->cost), l->cost = NULL;
        free(l->loss), l->loss = NULL;
    }
    free(net->seen), free(net->t), free(net->cost), free(net->workspace);
    free_network(net);
}

/* The same, recorded. */
static network *start(setting *s)
{
    if (cp_recording_start(s->option, s->cfg)) fail_msg("%s", cp_error());
    return parse(s);
}

static cp_records read_log(const setting *s)
{
    cp_records records = {0};
    bool cut;
    if (cp_log_read(s->log, &records, &cut)) fail_msg("%s", cp_error());
    assert_false(cut);
    return records;
}

/* ---------------------------------------------------------------- nothing is disturbed */

static size_t collect(const network *net, float **all)
{
    size_t n = 0, room = 1 << 20;
    *all = malloc(room * sizeof **all);
    for (int i = 0; i < net->n; i++) {
        const layer *l = &net->layers[i];
        size_t weights, biases;
        cp_host_array_sizes(l, &weights, &biases);
        const float *arrays[] = {l->weights, l->biases, l->weight_updates, l->rolling_mean, l->rolling_variance, l->scales};
        const size_t sizes[] = {weights, biases, weights, biases, biases, biases};
        for (int a = 0; a < 6 && weights; a++) {
            if (!arrays[a]) continue;
            memcpy(*all + n, arrays[a], sizes[a] * sizeof(float));
            n += sizes[a];
        }
    }
    assert_true(n < room);
    return n;
}

static void training_is_the_same(void **state)
{
    (void)state;
    float *all[3];
    size_t n[3];
    int drawn[3];
    float loss[3] = {0};
    const char *const options[] = {NULL, ",every=1", ",every=2,probe="};
    for (int k = 0; k < 3; k++) {
        setting *s = open_setting(".05", with_batch_norm, options[k] ? options[k] : "");
        network *net = options[k] ? start(s) : parse(s);
        for (int i = 0; i < 7; i++) loss[k] += train_network(net, s->d);
        drawn[k] = rand(); /* dropout has drawn too */
        n[k] = collect(net, &all[k]);
        for (int i = 0; i < net->n; i++) assert_true(net->layers[i].backward != NULL);
        cp_recording_stop();
        if (options[k]) {
            cp_records records = read_log(s);
            assert_int_equal(records.n, k == 1 ? 7 : 3);
            assert_int_equal(records.record[0].pictures, k == 1 ? BATCH : PROBES);
            assert_int_equal(records.record[0].iteration, k == 1 ? 1 : 2);
            assert_int_equal(records.record[records.n - 1].seen, k == 1 ? 28 : 24);
            assert_string_equal(records.record[0].fault, "");
            cp_records_free(&records);
        }
        release(net);
        close_setting(s);
    }
    for (int k = 1; k < 3; k++) {
        assert_int_equal(n[k], n[0]);
        assert_memory_equal(all[k], all[0], n[0] * sizeof(float));
        assert_int_equal(drawn[k], drawn[0]);
        assert_true(loss[k] == loss[0]);
    }
    for (int k = 0; k < 3; k++) free(all[k]);
}

/* ---------------------------------------------------------------- what is dead, against Darknet's predictions */

typedef struct {
    size_t units, dead, on;
    unsigned char *active; /* (PROBES, units) */
} counts;

static counts predict_layer(network *net, setting *s, int index)
{
    const layer *l = &net->layers[index];
    counts c = {.units = (size_t)l->outputs};
    c.active = calloc(PROBES * c.units, 1);
    float *x = calloc((size_t)net->batch * INPUTS, sizeof *x); /* Darknet runs whole batches */
    for (int p = 0; p < PROBES; p++) {
        memcpy(x, s->probe[p], sizeof s->probe[p]);
        network_predict(net, x);
        for (size_t i = 0; i < c.units; i++) c.active[p * c.units + i] = l->output[i] > 0;
    }
    free(x);
    for (size_t i = 0; i < c.units; i++) {
        int active = 0;
        for (int p = 0; p < PROBES; p++) active += c.active[p * c.units + i];
        c.dead += active == 0;
        c.on += active == PROBES;
    }
    return c;
}

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance)) fail_msg("%.9g and %.9g differ by more than %g", a, b, tolerance);
}

static void counts_are_those_of_darknets_predictions(void **state)
{
    (void)state;
    static const int index[] = {0, 2, 5};
    setting *s = open_setting(".2", with_batch_norm, ",every=1,probe=");
    network *net = start(s);
    counts found[6][3];
    for (int i = 0; i < 6; i++) {
        train_network(net, s->d);
        for (int l = 0; l < 3; l++) found[i][l] = predict_layer(net, s, index[l]);
    }
    cp_recording_stop();
    cp_records records = read_log(s);
    assert_int_equal(records.n, 6);
    size_t flips = 0;
    for (int i = 0; i < 6; i++) {
        const cp_record *r = &records.record[i];
        assert_int_equal(r->n_layers, 3);
        size_t dead = 0;
        for (int l = 0; l < 3; l++) {
            const counts *c = &found[i][l];
            assert_int_equal(r->layers[l].layer, index[l]);
            assert_int_equal(r->layers[l].units, c->units);
            /* Rounding may move a unit or two over zero: batch norm is folded here, and not there. */
            assert_near((double)r->layers[l].dead, (double)c->dead, 2);
            assert_near((double)r->layers[l].always_on, (double)c->on, 2);
            dead += r->layers[l].dead;
            assert_true(isnan(r->layers[l].flipped) == (i == 0));
            if (!i) continue;
            size_t changed = 0;
            for (size_t k = 0; k < PROBES * c->units; k++) changed += c->active[k] != found[i - 1][l].active[k];
            flips += changed;
            assert_near(r->layers[l].flipped * PROBES * (double)c->units, (double)changed, 4);
            assert_true(r->layers[l].overlap > 0 && r->layers[l].overlap <= 1);
        }
        assert_int_equal(r->network.dead, dead);
    }
    assert_true(flips > 100); /* there was something to count */
    for (int i = 0; i < 18; i++) free(found[i / 3][i % 3].active);
    cp_records_free(&records);
    release(net);
    close_setting(s);
}

/* ---------------------------------------------------------------- known answers */

static void a_dead_channel_and_a_rate_of_zero(void **state)
{
    (void)state;
    setting *s = open_setting("0", without, ",every=2,probe=");
    network *net = start(s);
    layer *first = &net->layers[0];
    memset(first->weights, 0, 2 * 27 * sizeof(float));
    first->biases[0] = -1; /* leaky: never above zero */
    first->biases[1] = 1;
    for (int i = 0; i < 6; i++) train_network(net, s->d);
    cp_recording_stop();
    cp_records records = read_log(s);
    assert_int_equal(records.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const cp_record_row *row = &records.record[i].layers[0];
        assert_true(row->dead >= SIDE * SIDE && row->always_on >= SIDE * SIDE);
        assert_true(row->dead < 4 * SIDE * SIDE);
        assert_int_equal(row->dead, records.record[0].layers[0].dead);
        if (!i) continue;
        assert_true(records.record[i].network.flipped == 0);
        assert_true(records.record[i].network.overlap == 1);
        assert_true(records.record[i].layers[1].overlap == 1);
        assert_int_equal(records.record[i].answers_changed, 0);
    }
    cp_records_free(&records);
    release(net);
    close_setting(s);
}

/* Two connected layers and a softmax, in double: dL/da and dL/dw with L = -log p of the right class. */
static void gradients_by_hand(void **state)
{
    (void)state;
    enum { IN = 12, HIDDEN = 5 };
    setting *s = open_setting("", "", ",every=1");
    write_text(s->cfg, "[net]\nbatch=4\nsubdivisions=2\nwidth=2\nheight=2\nchannels=3\nmax_batches=9\nmomentum=.9\n",
               "decay=.01\npolicy=constant\nlearning_rate=0\n[connected]\noutput=5\nactivation=relu\n",
               "[connected]\noutput=3\nactivation=linear\n[softmax]\n");
    network *net = start(s);
    batch_of(s, IN, 11);
    layer *one = &net->layers[0], *two = &net->layers[1];
    for (int i = 0; i < HIDDEN; i++) one->biases[i] = .2f; /* some on, some off */
    for (int i = 0; i < HIDDEN * CLASSES; i++) two->weights[i] *= 3;

    double activations = 0, weights = 0, dw[HIDDEN][IN] = {{0}};
    int on = 0;
    for (int b = 0; b < BATCH; b++) {
        double a[HIDDEN], z[CLASSES], sum = 0;
        for (int i = 0; i < HIDDEN; i++) {
            a[i] = one->biases[i];
            for (int k = 0; k < IN; k++) a[i] += (double)one->weights[i * IN + k] * s->x[b][k];
            a[i] = a[i] > 0 ? a[i] : 0;
            on += a[i] > 0;
        }
        for (int c = 0; c < CLASSES; c++) {
            z[c] = two->biases[c];
            for (int i = 0; i < HIDDEN; i++) z[c] += (double)two->weights[c * HIDDEN + i] * a[i];
            sum += exp(z[c]);
        }
        for (int i = 0; i < HIDDEN; i++) {
            double da = 0;
            for (int c = 0; c < CLASSES; c++)
                da += two->weights[c * HIDDEN + i] * (exp(z[c]) / sum - s->y[b][c]);
            activations += da * da;
            for (int k = 0; k < IN; k++) dw[i][k] += a[i] > 0 ? da * s->x[b][k] : 0;
        }
    }
    for (int i = 0; i < HIDDEN * IN; i++) weights += dw[i / IN][i % IN] * dw[i / IN][i % IN];
    activations = sqrt(activations / BATCH);
    weights = sqrt(weights) / BATCH;
    assert_true(on > 0 && on < BATCH * HIDDEN);

    for (int i = 0; i < 3; i++) train_network(net, s->d); /* momentum goes into Darknet's sums from the second on */
    cp_recording_stop();
    cp_records records = read_log(s);
    assert_int_equal(records.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(records.record[i].n_layers, 1);
        assert_near(records.record[i].layers[0].activation_gradient, activations, 1e-5 * activations);
        assert_near(records.record[i].layers[0].weight_gradient, weights, 1e-4 * weights);
        assert_true(isnan(records.record[i].network.flipped)); /* without probes */
    }
    cp_records_free(&records);
    release(net);
    close_setting(s);
}

/* ---------------------------------------------------------------- resized, astray, cut */

static void a_resized_network(void **state)
{
    (void)state;
    static const char layers[] = "\n[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
                                 "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[avgpool]\n";
    for (int probes = 0; probes < 2; probes++) {
        setting *s = open_setting("0", layers, probes ? ",every=1,probe=" : ",every=1");
        network *net = start(s);
        for (int side = 16; side <= 48; side += 16) {
            resize_network(net, side, side);
            batch_of(s, 3 * (size_t)side * side, 5);
            if (probes) /* so that the batch shows no difference */
                train_network(net, s->d);
            else {
                for (int b = 0; b < BATCH; b++)
                    for (int k = 0; k < 3 * side * side; k++) s->x[b][k] = .25f * (float)(b + 1);
                train_network(net, s->d);
            }
        }
        cp_recording_stop();
        cp_records records = read_log(s);
        assert_int_equal(records.n, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_string_equal(records.record[i].fault, "");
            assert_int_equal(records.record[i].network.units, 4 * SIDE * SIDE);
            /* One colour keeps it when it is resized, and the weights stay. */
            assert_int_equal(records.record[i].network.dead, records.record[0].network.dead);
            assert_int_equal(records.record[i].network.always_on, records.record[0].network.always_on);
            if (probes && i) assert_true(records.record[i].network.flipped == 0);
        }
        assert_true(records.record[0].network.dead + records.record[0].network.always_on > 0);
        cp_records_free(&records);
        release(net);
        close_setting(s);
    }
}

static void weights_that_are_not_finite(void **state)
{
    (void)state;
    setting *s = open_setting("0", without, ",every=1,probe=");
    network *net = start(s);
    float kept = net->layers[1].weights[3];
    train_network(net, s->d);
    net->layers[1].weights[3] = NAN;
    train_network(net, s->d);
    net->layers[1].weights[3] = kept;
    memset(net->layers[1].weight_updates, 0, 6 * 72 * sizeof(float));
    net->layers[1].weights[3] = kept;
    for (int i = 0; i < net->n; i++) { /* what NaN has left behind with a rate of 0: 0 * NaN */
        layer *l = &net->layers[i];
        size_t weights, biases;
        cp_host_array_sizes(l, &weights, &biases);
        for (size_t k = 0; k < weights; k++) l->weights[k] = .01f * (float)(k % 7) - .02f, l->weight_updates[k] = 0;
        for (size_t k = 0; k < biases; k++) l->biases[k] = .1f, l->bias_updates[k] = 0;
    }
    train_network(net, s->d);
    train_network(net, s->d);
    cp_recording_stop();
    cp_records records = read_log(s);
    assert_int_equal(records.n, 4);
    assert_string_equal(records.record[0].fault, "");
    assert_non_null(strstr(records.record[1].fault, "a finite number is needed"));
    assert_true(isnan(records.record[1].network.flipped));
    assert_string_equal(records.record[2].fault, "");
    assert_true(isnan(records.record[2].network.flipped)); /* the last one was no record to compare with */
    assert_true(records.record[3].network.flipped == 0);
    cp_records_free(&records);
    release(net);
    close_setting(s);
}

static long size_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

/* Said once, and training goes on. */
static void a_network_of_another_cfg(void **state)
{
    (void)state;
    setting *s = open_setting(".1", with_batch_norm, ",every=1,probe=");
    if (cp_recording_start(s->option, s->cfg)) fail_msg("%s", cp_error());
    write_text(s->cfg, head, ".1", without);
    network *net = parse(s);
    float before = net->layers[0].weights[0];
    for (int i = 0; i < 3; i++) train_network(net, s->d);
    assert_true(net->layers[0].weights[0] != before);
    cp_recording_stop();
    assert_int_equal(size_of(s->log), 0);
    release(net);
    close_setting(s);
}

static void a_log_that_was_cut_goes_on(void **state)
{
    (void)state;
    setting *s = open_setting("0", without, ",every=1,probe=");
    for (int turn = 0; turn < 2; turn++) {
        network *net = start(s);
        for (int i = 0; i < 2; i++) train_network(net, s->d);
        cp_recording_stop();
        release(net);
        if (turn == 0) { /* as if the second line had not been finished */
            assert_int_equal(truncate(s->log, size_of(s->log) - 40), 0);
            cp_records records = {0};
            bool cut;
            assert_int_equal(cp_log_read(s->log, &records, &cut), CP_OK);
            assert_true(cut);
            assert_int_equal(records.n, 1);
            cp_records_free(&records);
        }
    }
    cp_records records = read_log(s);
    assert_int_equal(records.n, 3);
    cp_records_free(&records);

    /* Another cfg, and a file that is no log: refused, and left as it is. */
    long before = size_of(s->log);
    write_text(s->cfg, head, ".1", with_batch_norm);
    assert_int_equal(cp_recording_start(s->option, s->cfg), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "another network"));
    assert_int_equal(size_of(s->log), before);
    assert_int_equal(cp_recording_start(s->cfg, s->cfg), CP_EINPUT);
    assert_int_equal(cp_recording_start(".", s->cfg), CP_EINPUT);
    assert_null(record_training);
    close_setting(s);
}

/* ---------------------------------------------------------------- the option */

static void options(void **state)
{
    (void)state;
    cp_recording_options o;
    assert_int_equal(cp_recording_parse("log.jsonl", &o), CP_OK);
    assert_string_equal(o.log, "log.jsonl");
    assert_string_equal(o.probe, "");
    assert_int_equal(o.every, 100);
    assert_int_equal(cp_recording_parse("a/b c.jsonl,probe=x=y.txt,every=7", &o), CP_OK);
    assert_string_equal(o.log, "a/b c.jsonl");
    assert_string_equal(o.probe, "x=y.txt");
    assert_int_equal(o.every, 7);
    static const char *const bad[][2] = {
        {"", "names no log"}, {",every=3", "names no log"}, {"every=3", "names no log"}, {"log,", "no key=value"},
        {"log,every", "no key=value"}, {"log,every=", "no key=value"}, {"log,=3", "unknown"}, {"log,,every=3", "no key="},
        {"log,every=0", "1 to 1000000000"}, {"log,every=-1", "1 to"}, {"log,every=3x", "1 to"}, {"log,every= 3", "1 to"},
        {"log,every=99999999999999999999", "1 to"}, {"log,every=3,every=4", "there twice"},
        {"log,probe=a,probe=b", "there twice"}, {"log,ever=3", "unknown"}, {"log,every=3,", "no key=value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (cp_recording_parse(bad[i][0], &o) != CP_EINPUT || !strstr(cp_error(), bad[i][1]) || strchr(cp_error(), '\n'))
            fail_msg("\"%s\": %s", bad[i][0], cp_error());
    }
    char *text = malloc(5000);
    memset(text, 'a', 4999);
    text[4999] = 0;
    assert_int_equal(cp_recording_parse(text, &o), CP_EINPUT);
    memcpy(text, "log,probe=", 10);
    assert_int_equal(cp_recording_parse(text, &o), CP_EINPUT);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_is_the_same),
        cmocka_unit_test(counts_are_those_of_darknets_predictions),
        cmocka_unit_test(a_dead_channel_and_a_rate_of_zero),
        cmocka_unit_test(gradients_by_hand),
        cmocka_unit_test(a_resized_network),
        cmocka_unit_test(weights_that_are_not_finite),
        cmocka_unit_test(a_network_of_another_cfg),
        cmocka_unit_test(a_log_that_was_cut_goes_on),
        cmocka_unit_test(options),
    };
    gpu_index = -1; /* Darknet's own arrays are read */
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
