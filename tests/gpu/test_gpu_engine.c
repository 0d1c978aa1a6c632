/* The engine on the device against the engine on the CPU, on the same inputs, for every small network of the tests or,
 * with arguments, for `cfg weights` pairs: values of all layers, paths, selections bit by bit, maps, IntGrad, tangents,
 * gates.
 *
 *     test_gpu_engine [-probe | -table] [cfg weights ...]
 *
 * -probe only says which device it is, -table prints one row per network. Exit 1 when one differs by more than is
 * allowed, 77 without a device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "critpath.h"

enum { IMAGES = 2, STEPS = 3 };
/* In a large network rounding always turns some kink: the gradients of given ones may be that far apart. */
static const double value_tolerance = 1e-4, least_jaccard = .999, loose_tolerance = 1e-3, kink_tolerance = 2e-2;

static const char *const oracle[] = {"activations", "alexey", "deconv", "densenet", "depthwise", "odd",    "resnet",
                                     "resnext",     "vgg",    "yolov1",   "yolov2",    "yolov3", "yolov3-tiny"};

/* One network on one device. */
typedef struct {
    cp_model *model;
    cp_frame *frame;
    size_t inputs, neurons;
    float *score;
    cp_path *path; /* at .9 */
} side;

typedef struct {
    double values, logits, jaccard, map, zeroed, intgrad, tangent, gated;
    bool same_bits; /* selection on the device and on the CPU from the same scores */
    size_t neurons;
} result;

static void check(cp_status status)
{
    if (!status) return;
    fprintf(stderr, "%s\n", cp_error());
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (!memory) exit(3);
    return memory;
}

static float uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (1 << 24);
}

/* Largest difference in units of the largest value. */
static double off(const float *one, const float *other, size_t n)
{
    double difference = 0, largest = 0;
    for (size_t i = 0; i < n; ++i) {
        double d = fabs((double)one[i] - other[i]);
        if (!(d <= difference)) difference = isnan(d) ? INFINITY : d;
        largest = fmax(largest, fabs(other[i]));
    }
    return difference == 0 ? 0 : difference / largest;
}

/* ||one - other|| / ||other||, for gradients: where rounding turns a max-pool's winner or a ReLU, single values differ. */
static double apart(const float *one, const float *other, size_t n)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        difference += ((double)one[i] - other[i]) * ((double)one[i] - other[i]);
        size += (double)other[i] * other[i];
    }
    return difference == 0 ? 0 : sqrt(difference / size);
}

static int logit_layer(const cp_model *model)
{
    const int *heads;
    return cp_model_heads(model, &heads) ? cp_model_logit_layer(model, heads[0]) : cp_model_layer_count(model) - 1;
}

static side open_side(const char *cfg, const char *weights, int device, const float *input)
{
    side s = {0};
    size_t c, h, w;
    check(cp_set_device(0)); /* the device's epsilon for both */
    check(cp_model_open(cfg, weights, &s.model));
    check(cp_set_device(device));
    cp_model_input_shape(s.model, &c, &h, &w);
    s.inputs = c * h * w;
    s.neurons = cp_model_neuron_count(s.model);
    s.score = room(s.neurons, sizeof *s.score);
    check(cp_frame_create(s.model, IMAGES, &s.frame));
    check(cp_frame_forward(s.frame, input, IMAGES, NULL));
    check(cp_path_create(s.model, &s.path));
    return s;
}

static void close_side(side *s)
{
    cp_path_free(s->path);
    cp_frame_free(s->frame);
    cp_model_free(s->model);
    free(s->score);
}

static double compare_values(const side *cpu, const side *gpu)
{
    double worst = 0;
    for (int i = -1; i < cp_model_layer_count(cpu->model); ++i)
        for (int b = 0; b < IMAGES; ++b) {
            const float *a = cp_frame_output(cpu->frame, i, b);
            size_t n = i < 0 ? cpu->inputs : cp_model_layer(cpu->model, i)->outputs;
            if (a) worst = fmax(worst, off(cp_frame_output(gpu->frame, i, b), a, n));
        }
    return worst;
}

/* Selection by the device's digits against the CPU's, from the device's own scores. */
static bool compare_selection(side *gpu, const cp_response *response)
{
    static const double sparsity[] = {0, .5, .9, .99, .9995};
    enum { N = sizeof sparsity / sizeof *sparsity };
    cp_path *path[N], *expected;
    cp_selection found[N], wanted;
    bool same = true;
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(gpu->model, &n);
    for (int i = 0; i < N; ++i) check(cp_path_create(gpu->model, &path[i]));
    check(cp_path_create(gpu->model, &expected));
    check(cp_path_mct(gpu->frame, 0, response, sparsity, N, path, found));
    check(cp_score_mct(gpu->frame, 0, response, false, gpu->score));
    for (int i = 0; i < N; ++i) {
        check(cp_path_select(expected, gpu->score, sparsity[i], 0, &wanted));
        same &= found[i].kept == wanted.kept && found[i].asked == wanted.asked &&
                !memcmp(&found[i].threshold, &wanted.threshold, sizeof wanted.threshold);
        for (int l = 0; l < n; ++l)
            same &= !memcmp(cp_path_words(path[i], l), cp_path_words(expected, l), (layers[l].count + 63) / 64 * 8);
        cp_path_free(path[i]);
    }
    cp_path_free(expected);
    return same;
}

static double jaccard(const cp_path *a, const cp_path *b)
{
    size_t both, either;
    check(cp_path_overlap(a, b, -1, &both, &either));
    return either ? (double)both / (double)either : 1;
}

/* The path of the one is put on the other's model: the two have the same shape. */
static cp_path *path_on(const cp_model *model, const cp_path *path)
{
    cp_path *copy;
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    check(cp_path_create(model, &copy));
    for (int l = 0; l < n; ++l)
        memcpy(cp_path_words_mutable(copy, l), cp_path_words(path, l), (layers[l].count + 63) / 64 * 8);
    return copy;
}

static void compare_maps(const side *cpu, const side *gpu, const float *input, const cp_response *response, result *r)
{
    float *one = room(2 * cpu->inputs, sizeof *one), *other = room(2 * cpu->inputs, sizeof *other);
    const cp_path *paths[2] = {cpu->path, NULL}, *theirs[2] = {path_on(gpu->model, cpu->path), NULL};
    check(cp_set_device(-1));
    check(cp_map_frozen(cpu->frame, 1, response, paths, 2, one));
    check(cp_map_frozen(gpu->frame, 1, response, theirs, 2, other));
    r->map = fmax(apart(other, one, cpu->inputs), apart(other + cpu->inputs, one + cpu->inputs, cpu->inputs));
    check(cp_map_zeroed(cpu->model, input, response, paths, 2, one, NULL));
    check(cp_set_device(0));
    check(cp_map_zeroed(gpu->model, input, response, theirs, 2, other, NULL));
    r->zeroed = fmax(apart(other, one, cpu->inputs), apart(other + cpu->inputs, one + cpu->inputs, cpu->inputs));
    cp_path_free((cp_path *)theirs[0]);
    free(one), free(other);
}

static void compare_intgrad(side *cpu, side *gpu, const cp_response *response, result *r)
{
    int n;
    cp_model_neuron_layers(cpu->model, &n);
    const cp_intgrad_options options = {.steps = STEPS, .only = n / 2 + 1, .run.signed_scores = true};
    check(cp_score_intgrad(cpu->frame, 0, response, &options, cpu->score, NULL));
    check(cp_score_intgrad(gpu->frame, 0, response, &options, gpu->score, NULL));
    r->intgrad = apart(gpu->score, cpu->score, cpu->neurons);
}

typedef struct {
    int layer;
    float *da;
} keep;

static void keep_output(void *user, int layer, int entry, const float *da, size_t count)
{
    keep *k = user;
    (void)entry;
    if (layer == k->layer) memcpy(k->da, da, count * sizeof *da);
}

static void compare_tangents(const side *cpu, const side *gpu, const float *direction, result *r)
{
    int layer = logit_layer(cpu->model);
    size_t n = cp_model_layer(cpu->model, layer)->outputs;
    keep one = {layer, room(n, sizeof(float))}, other = {layer, room(n, sizeof(float))};
    cp_path *path = path_on(gpu->model, cpu->path);
    for (int masked = 0; masked < 2; ++masked) { /* a path may be cut, its tangents zero */
        const cp_tangent_observer to_one = {.output = keep_output, .user = &one};
        const cp_tangent_observer to_other = {.output = keep_output, .user = &other};
        check(cp_frame_tangent(cpu->frame, 0, direction, 1, masked ? cpu->path : NULL, &to_one));
        check(cp_frame_tangent(gpu->frame, 0, direction, 1, masked ? path : NULL, &to_other));
        r->tangent = fmax(r->tangent, apart(other.da, one.da, n));
    }
    cp_path_free(path);
    free(one.da), free(other.da);
}

/* Forward and backward with a gate per neuron. */
static void compare_gates(const side *cpu, const side *gpu, const float *input, const cp_response *response, result *r)
{
    float *gates = room(cpu->neurons, sizeof *gates), *map[2];
    const side *sides[] = {cpu, gpu};
    uint32_t seed = 9;
    for (size_t i = 0; i < cpu->neurons; ++i) gates[i] = .5f + uniform(&seed);
    for (int k = 0; k < 2; ++k) {
        const cp_restriction restriction = {.kind = CP_GATED, .gates = gates};
        const cp_entry entry = {.response = response, .gates = gates};
        cp_frame *frame;
        map[k] = room(cpu->inputs, sizeof(float));
        check(cp_set_device(k ? 0 : -1));
        check(cp_frame_create(sides[k]->model, 1, &frame));
        check(cp_frame_forward(frame, input, 1, &restriction));
        check(cp_frame_backward(frame, &entry, 1, NULL, map[k]));
        cp_frame_free(frame);
    }
    r->gated = apart(map[1], map[0], cpu->inputs);
    free(map[0]), free(map[1]), free(gates);
}

/* flat: one colour, where many scores are equal. */
static void fill(float *input, size_t inputs, bool flat)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < IMAGES * inputs; ++i) input[i] = flat ? .5f : uniform(&seed);
}

static result compare(const char *cfg, const char *weights, bool flat)
{
    result r = {0};
    cp_model *shape;
    size_t c, h, w;
    check(cp_set_device(-1));
    check(cp_model_open(cfg, weights, &shape));
    cp_model_input_shape(shape, &c, &h, &w);
    cp_model_free(shape);
    float *input = room(IMAGES * c * h * w, sizeof *input);
    fill(input, c * h * w, flat);
    side cpu = open_side(cfg, weights, -1, input), gpu = open_side(cfg, weights, 0, input);
    int layer = logit_layer(cpu.model);
    size_t logits = cp_model_layer(cpu.model, layer)->outputs, best = 0;
    const float *z = cp_frame_output(cpu.frame, layer, 0);
    for (size_t i = 0; i < logits; ++i)
        if (fabsf(z[i]) > fabsf(z[best])) best = i;
    cp_response response;
    check(cp_response_unit(cpu.model, layer, best, &response));
    r.neurons = cpu.neurons;
    r.values = compare_values(&cpu, &gpu);
    r.logits = off(cp_frame_output(gpu.frame, layer, 0), z, logits);
    r.same_bits = compare_selection(&gpu, &response);
    check(cp_score_mct(cpu.frame, 0, &response, false, cpu.score));
    check(cp_path_select(cpu.path, cpu.score, .9, 0, NULL));
    check(cp_path_select(gpu.path, gpu.score, .9, 0, NULL));
    r.jaccard = jaccard(gpu.path, cpu.path);
    if (!flat) { /* a flat picture's ties make winners and gradients a matter of rounding */
        compare_maps(&cpu, &gpu, input, &response, &r);
        compare_intgrad(&cpu, &gpu, &response, &r);
        compare_tangents(&cpu, &gpu, input + cpu.inputs, &r);
        compare_gates(&cpu, &gpu, input, &response, &r);
    }
    close_side(&cpu), close_side(&gpu);
    free(input);
    return r;
}

static bool good(const result *r, bool flat, bool given)
{
    double gradient = given ? kink_tolerance : value_tolerance, integral = given ? kink_tolerance : loose_tolerance;
    return r->values <= value_tolerance && r->logits <= value_tolerance && r->same_bits &&
           (flat || (r->jaccard >= least_jaccard && r->map <= gradient && r->zeroed <= gradient &&
                     r->intgrad <= integral && r->tangent <= gradient && r->gated <= gradient));
}

static bool run(const char *cfg, const char *weights, bool table, bool given)
{
    const char *name = strrchr(cfg, '/') ? strrchr(cfg, '/') + 1 : cfg;
    result r = compare(cfg, weights, false), flat = compare(cfg, weights, true);
    bool same_bits = r.same_bits && flat.same_bits, fine = good(&r, false, given) && good(&flat, true, given);
    if (table || !fine)
        printf("%-22.*s %10zu %8.1e %8.1e %8.5f %9s %8.1e %8.1e %8.1e %8.1e %8.1e  %s\n", (int)strcspn(name, "."), name,
               r.neurons, fmax(r.values, flat.values), fmax(r.logits, flat.logits), r.jaccard,
               same_bits ? "same" : "DIFFER", r.map, r.zeroed, r.intgrad, r.tangent, r.gated, fine ? "ok" : "TOO FAR");
    fflush(stdout);
    return fine;
}

#define CONV(filters, size, stride, activation) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride \
    "\npad=1\nactivation=" #activation "\n"

/* What other Darknets have and tests/oracle/cfg/alexey.cfg has not; with random weights. */
static bool run_the_rest(bool table)
{
    static const char text[] =
        "[net]\nwidth=20\nheight=16\nchannels=3\n" CONV(12, 3, 1, hard_mish) "[maxpool]\nsize=3\nstride_x=1\nstride_y=2\n"
        CONV(12, 3, 1, gelu) "[maxpool]\nmaxpool_depth=1\nout_channels=5\n" "[local_avgpool]\nsize=3\nstride=2\n"
        CONV(8, 1, 1, relu6) "[reorg3d]\nstride=2\n" CONV(12, 1, 1, mish) "[batchnorm]\n" "[route]\nlayers=-1,-2\ngroups=3\n"
        "group_id=1\n" CONV(6, 1, 2, swish) "[upsample]\nstride=2\n" CONV(1, 1, 1, logistic)
        "[scale_channels]\nfrom=-2\nscale_wh=1\nactivation=relu\n" "[upsample]\nstride=-2\n" "[avgpool]\n" "[implicit]\nfilters=6\n"
        "[shortcut]\nfrom=-2\nactivation=leaky\n" "[empty]\n" "[connected]\noutput=4\nactivation=linear\n[softmax]\n";
    char path[] = "/tmp/cp-gpu-XXXXXX";
    int file = mkstemp(path);
    if (file < 0 || write(file, text, sizeof text - 1) != (ssize_t)sizeof text - 1) exit(3);
    close(file);
    bool fine = run(path, NULL, table, false);
    unlink(path);
    return fine;
}

int main(int argc, char **argv)
{
    bool table = argc > 1 && !strcmp(argv[1], "-table"), fine = true;
    int first = 1 + table;
    setenv("CRITPATH_CONVOLUTION", "gemm", 0); /* the CPU's most exact products */
    if (cp_set_device(0)) {
        printf("skipped: %s\n", cp_error());
        return 77;
    }
    if (argc > 1 && !strcmp(argv[1], "-probe")) {
        char name[300];
        check(cp_device_name(0, name));
        printf("%s\n", name);
        return 0;
    }
    if (table)
        printf("%-22s %10s %8s %8s %8s %9s %8s %8s %8s %8s %8s\n", "network", "neurons", "values", "logits", "jaccard",
               "selection", "map", "zeroed", "intgrad", "tangent", "gated");
    for (int i = first; i + 1 < argc; i += 2) fine &= run(argv[i], argv[i + 1], table, true);
    if (argc > first) return !fine;
    for (size_t i = 0; i < sizeof oracle / sizeof *oracle; ++i) {
        char cfg[200], weights[200];
        snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", oracle[i]);
        snprintf(weights, sizeof weights, "tests/oracle/%s.weights", oracle[i]);
        fine &= run(cfg, weights, table, false);
    }
    fine &= run("cfg/resnet8-cifar.cfg", "weights/resnet8-cifar.weights", table, false);
    fine &= run("cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights", table, false);
    fine &= run_the_rest(table);
    return !fine;
}
