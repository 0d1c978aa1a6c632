/* What the engine computes, as arrays for compare.py:
 *
 *     oracle_dump prepare CFG WEIGHTS PHOTO LETTERBOX OUT.npy        the network input of a photo
 *     oracle_dump run CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz SPARSITY...
 *     oracle_dump intgrad CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz STEPS
 *     oracle_dump lrp CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz GAMMA
 *     oracle_dump dgr CFG WEIGHTS INPUT.npy STEPS SEED OUT.npz       gates of one round; SEED -: they start at 1
 *     oracle_dump gates ...                                          the same, trained by Darknet
 *     oracle_dump similarity A.npy B.npy                             ssim, rank, rank_abs, hog of two maps; of A gini and
 *                                                                    entropy of its positive part, entropy of its histogram
 *
 * OUT.npz, float32 unless bits: value; logits.NNN per head; a.LAYER, g.LAYER, score.LAYER of every neuron layer;
 * gradient; for each sparsity as text, path_S.LAYER, frozen_S, zeroed_S, zeroed_value_S, and of the contribution map
 * heat_S (fine planes) and heat_all_S. Of intgrad: intgrad.LAYER,
 * signed, and residual, one per neuron layer. Of lrp: lrp.LAYER, signed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "critpath.h"
#include "eval/attribution.h"
#include "eval/complexity.h"
#include "eval/similarity.h"
#include "io/error.h"
#include "io/image.h"
#include "io/npz.h"
#include "train/gates.h"

static void need(cp_status status)
{
    if (status == CP_OK)
        return;
    fprintf(stderr, "oracle_dump: %s\n", cp_error());
    exit(status);
}

static void *taken(void *memory)
{
    if (!memory)
        need(CP_ERESOURCE);
    return memory;
}

static int prepare(char **argument)
{
    cp_model *model;
    cp_picture photo;
    cp_placement placement;
    cp_array_type type = {.dtype = CP_FLOAT32, .rank = 3};
    need(cp_model_open(argument[0], argument[1], &model));
    need(cp_picture_read(argument[2], &photo));
    cp_model_input_shape(model, &type.shape[0], &type.shape[1], &type.shape[2]);
    float *input = taken(cp_alloc(type.shape[0] * type.shape[1] * type.shape[2], sizeof *input, "network input"));
    need(cp_model_prepare(model, photo.rgb, (size_t)photo.w, (size_t)photo.h, atoi(argument[3]), input, &placement));
    need(cp_npy_write(argument[4], &type, input));
    cp_free(input);
    cp_picture_free(&photo);
    cp_model_free(model);
    return 0;
}

/* ---------------------------------------------------------------- run */

enum { MAX_ARRAYS = 4096 };

typedef struct {
    cp_model *model;
    const cp_neuron_layer *layers;
    int n_layers;
    size_t neurons;
    size_t c, h, w;
    float *a, *g, *score;
    cp_npz_writer *writer;
    void *owned[MAX_ARRAYS]; /* borrowed by the writer until it commits */
    int n_owned;
} run_state;

static void *own(run_state *run, size_t n, size_t size)
{
    if (run->n_owned == MAX_ARRAYS)
        need(cp_fail(CP_EINTERNAL, "more than %d arrays", MAX_ARRAYS));
    return run->owned[run->n_owned++] = taken(cp_alloc(n, size, "array"));
}

static void add(run_state *run, const char *name, cp_dtype dtype, size_t c, size_t h, size_t w, const void *data)
{
    cp_array_type type = cp_array_chw(dtype, c, h, w);
    need(cp_npz_add(run->writer, name, &type, data));
}

static void add_layer(run_state *run, const char *kind, const cp_neuron_layer *layer, cp_dtype dtype, const void *data)
{
    char name[96];
    snprintf(name, sizeof name, "%.40s.%s", kind, layer->name);
    add(run, name, dtype, layer->c, layer->h, layer->w, data);
}

static void add_value(run_state *run, const char *name, double value)
{
    float *one = own(run, 1, sizeof *one);
    *one = (float)value;
    add(run, name, CP_FLOAT32, 1, 1, 1, one);
}

static void observe(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                    size_t count)
{
    run_state *run = user;
    (void)entry;
    memcpy(run->a + layer->offset + first, a, count * sizeof *a);
    memcpy(run->g + layer->offset + first, g, count * sizeof *g);
}

static void one_sparsity(run_state *run, cp_frame *frame, const float *input, const cp_response *response,
                         const char *sparsity)
{
    char name[96];
    cp_path *path;
    cp_selection selection;
    double value;
    float *frozen = own(run, run->c * run->h * run->w, sizeof *frozen);
    float *zeroed = own(run, run->c * run->h * run->w, sizeof *zeroed);
    float *heat = own(run, 4 * run->h * run->w, sizeof *heat), *all = heat + 2 * run->h * run->w;
    const cp_contribution_options every_plane = {.planes = CP_PLANES_ALL};
    unsigned char *bits = own(run, run->neurons, 1);
    need(cp_path_create(run->model, &path));
    need(cp_path_select(path, run->score, atof(sparsity), 0, &selection));
    for (size_t i = 0; i < run->neurons; ++i)
        bits[i] = cp_path_get(path, i);
    need(cp_map_frozen(frame, 0, response, (const cp_path *const *)&path, 1, frozen));
    need(cp_map_zeroed(run->model, input, response, (const cp_path *const *)&path, 1, zeroed, &value));
    need(cp_map_contribution(frame, 0, response, path, NULL, NULL, heat, NULL));
    need(cp_map_contribution(frame, 0, response, path, NULL, &every_plane, all, NULL));
    snprintf(name, sizeof name, "heat_%s", sparsity);
    add(run, name, CP_FLOAT32, 2, run->h, run->w, heat);
    snprintf(name, sizeof name, "heat_all_%s", sparsity);
    add(run, name, CP_FLOAT32, 2, run->h, run->w, all);
    snprintf(name, sizeof name, "frozen_%s", sparsity);
    add(run, name, CP_FLOAT32, run->c, run->h, run->w, frozen);
    snprintf(name, sizeof name, "zeroed_%s", sparsity);
    add(run, name, CP_FLOAT32, run->c, run->h, run->w, zeroed);
    snprintf(name, sizeof name, "zeroed_value_%s", sparsity);
    add_value(run, name, value);
    snprintf(name, sizeof name, "path_%s", sparsity);
    for (int k = 0; k < run->n_layers; ++k)
        add_layer(run, name, &run->layers[k], CP_BOOL, bits + run->layers[k].offset);
    cp_path_free(path);
}

static void add_logits(run_state *run, const cp_frame *frame)
{
    for (int i = 1; i < cp_model_layer_count(run->model); ++i) {
        const cp_layer_info *layer = cp_model_layer(run->model, i), *before = cp_model_layer(run->model, i - 1);
        char name[32];
        if (!layer->head || before->head)
            continue;
        snprintf(name, sizeof name, "logits.%03d", i - 1);
        add(run, name, CP_FLOAT32, before->outputs, 1, 1, cp_frame_output(frame, i - 1, 0));
    }
}

/* Model, forward run and response of the arguments CFG WEIGHTS INPUT.npy LAYER:INDEX. */
static void start(run_state *run, char **argument, void **input, cp_frame **frame, cp_response *response)
{
    int layer;
    size_t index;
    cp_array_type type;
    if (sscanf(argument[3], "%d:%zu", &layer, &index) != 2)
        need(cp_fail(CP_EINPUT, "response %s, needs LAYER:INDEX", argument[3]));
    need(cp_model_open(argument[0], argument[1], &run->model));
    cp_model_input_shape(run->model, &run->c, &run->h, &run->w);
    run->layers = cp_model_neuron_layers(run->model, &run->n_layers);
    run->neurons = cp_model_neuron_count(run->model);
    cp_array_type expected = cp_array_chw(CP_FLOAT32, run->c, run->h, run->w);
    need(cp_npy_read(argument[2], &expected, &type, input));
    need(cp_response_unit(run->model, layer, index, response));
    need(cp_frame_create(run->model, 1, frame));
    need(cp_frame_forward(*frame, *input, 1, NULL));
}

static void finish(run_state *run, void *input, cp_frame *frame)
{
    need(cp_npz_commit(&run->writer));
    for (int i = 0; i < run->n_owned; ++i)
        cp_free(run->owned[i]);
    cp_free(input);
    cp_frame_free(frame);
    cp_model_free(run->model);
}

static int run_intgrad(char **argument)
{
    run_state run = {0};
    cp_frame *frame;
    cp_response response;
    void *input;
    start(&run, argument, &input, &frame, &response);
    cp_intgrad_options options = {.run.signed_scores = true, .steps = atoi(argument[5])};
    cp_intgrad_layer *did = own(&run, (size_t)run.n_layers, sizeof *did);
    float *residual = own(&run, (size_t)run.n_layers, sizeof *residual);
    run.score = own(&run, run.neurons, sizeof(float));
    need(cp_score_intgrad(frame, 0, &response, &options, run.score, did));
    need(cp_npz_create(argument[4], false, &run.writer));
    for (int k = 0; k < run.n_layers; ++k) {
        add_layer(&run, "intgrad", &run.layers[k], CP_FLOAT32, run.score + run.layers[k].offset);
        residual[k] = (float)(did[k].full - did[k].zero - did[k].sum);
    }
    add(&run, "residual", CP_FLOAT32, (size_t)run.n_layers, 1, 1, residual);
    finish(&run, input, frame);
    return 0;
}

static int run_lrp(char **argument)
{
    run_state run = {0};
    cp_frame *frame;
    cp_response response;
    void *input;
    start(&run, argument, &input, &frame, &response);
    run.score = own(&run, run.neurons, sizeof(float));
    need(cp_score_lrp(frame, 0, &response, atof(argument[5]), true, run.score, NULL));
    need(cp_npz_create(argument[4], false, &run.writer));
    for (int k = 0; k < run.n_layers; ++k)
        add_layer(&run, "lrp", &run.layers[k], CP_FLOAT32, run.score + run.layers[k].offset);
    finish(&run, input, frame);
    return 0;
}

static int run_network(char **argument)
{
    run_state run = {0};
    cp_frame *frame;
    cp_response response;
    void *input;
    start(&run, argument, &input, &frame, &response);
    run.a = own(&run, run.neurons, sizeof(float));
    run.g = own(&run, run.neurons, sizeof(float));
    run.score = own(&run, run.neurons, sizeof(float));
    float *gradient = own(&run, run.c * run.h * run.w, sizeof *gradient);
    cp_entry entry = {.response = &response};
    cp_observer observer = {observe, &run};
    need(cp_frame_backward(frame, &entry, 1, &observer, gradient));
    need(cp_score_mct(frame, 0, &response, false, run.score));
    /* Dead layers are not visited: a comes from the forward run. */
    for (int k = 0; k < run.n_layers; ++k)
        memcpy(run.a + run.layers[k].offset, cp_frame_output(frame, run.layers[k].layer, 0),
               run.layers[k].count * sizeof(float));

    need(cp_npz_create(argument[4], false, &run.writer));
    add(&run, "gradient", CP_FLOAT32, run.c, run.h, run.w, gradient);
    add_value(&run, "value", cp_frame_response(frame, 0, &response));
    add_logits(&run, frame);
    for (int k = 0; k < run.n_layers; ++k) {
        add_layer(&run, "a", &run.layers[k], CP_FLOAT32, run.a + run.layers[k].offset);
        add_layer(&run, "g", &run.layers[k], CP_FLOAT32, run.g + run.layers[k].offset);
        add_layer(&run, "score", &run.layers[k], CP_FLOAT32, run.score + run.layers[k].offset);
    }
    for (char **sparsity = argument + 5; *sparsity; ++sparsity)
        one_sparsity(&run, frame, input, &response, *sparsity);
    finish(&run, input, frame);
    return 0;
}

static int run_dgr(char **argument, bool by_darknet)
{
    run_state run = {0};
    cp_array_type type;
    cp_dgr_report report;
    void *input;
    need(cp_model_open(argument[0], argument[1], &run.model));
    cp_model_input_shape(run.model, &run.c, &run.h, &run.w);
    run.layers = cp_model_neuron_layers(run.model, &run.n_layers);
    cp_array_type expected = cp_array_chw(CP_FLOAT32, run.c, run.h, run.w);
    need(cp_npy_read(argument[2], &expected, &type, &input));
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    options.rounds = 1;
    options.steps = atoi(argument[3]);
    options.random = strcmp(argument[4], "-") != 0;
    options.seed = options.random ? strtoull(argument[4], NULL, 10) : 0;
    float *gate = own(&run, cp_model_neuron_count(run.model), sizeof *gate);
    if (by_darknet) {
        cp_gates_report trained;
        need(cp_gates_train(run.model, input, 1, &options, 1, gate, &trained));
        report = trained.run;
    } else {
        need(cp_score_dgr(run.model, input, &options, gate, &report));
    }
    need(cp_npz_create(argument[5], false, &run.writer));
    for (int k = 0; k < run.n_layers; ++k)
        add_layer(&run, "gate", &run.layers[k], CP_FLOAT32, gate + run.layers[k].offset);
    add_value(&run, "step", report.step);
    add_value(&run, "kept", report.kept);
    add_value(&run, "loss", report.loss);
    need(cp_npz_commit(&run.writer));
    for (int i = 0; i < run.n_owned; ++i)
        cp_free(run.owned[i]);
    cp_free(input);
    cp_model_free(run.model);
    return 0;
}

/* Maps by name: CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz LAYER SAMPLES METHOD... */
static int run_maps(char **argument)
{
    run_state run = {0};
    cp_frame *frame;
    cp_response response;
    void *input;
    start(&run, argument, &input, &frame, &response);
    const cp_eval_target target = {.placement = {run.w, run.h, 0, 0, run.w, run.h}};
    const cp_attribution_call call = {.frame = frame, .response = &response, .target = &target, .seed = 1,
                                      .layer = atoi(argument[5]), .samples = atoi(argument[6])};
    need(cp_npz_create(argument[4], false, &run.writer));
    for (char **name = argument + 7; *name; ++name) {
        const cp_attribution *method = cp_attribution_find(*name);
        float *map = own(&run, run.h * run.w, sizeof *map);
        if (!method)
            need(cp_fail(CP_EINPUT, "no map %s", *name));
        need(method->run(&call, map));
        add(&run, *name, CP_FLOAT32, 1, run.h, run.w, map);
    }
    finish(&run, input, frame);
    return 0;
}

static int print_similarity(char **argument)
{
    cp_array_type type[2];
    void *map[2];
    cp_similarity similarity;
    cp_complexity complexity;
    double entropy;
    for (int i = 0; i < 2; i++)
        need(cp_npy_read(argument[i], i ? &type[0] : NULL, &type[i], &map[i]));
    if (type[0].dtype != CP_FLOAT32 || type[0].rank != 2)
        need(cp_fail(CP_EINPUT, "%s: no float32 map of two axes", argument[0]));
    size_t h = type[0].shape[0], w = type[0].shape[1];
    need(cp_similarity_of(map[0], map[1], h, w, true, &similarity));
    need(cp_complexity_of(map[0], w, &(cp_placement){w, h, 0, 0, w, h}, &complexity));
    need(cp_map_entropy(map[0], h * w, &entropy));
    printf("%.12g %.12g %.12g %.12g %.12g %.12g %.12g\n", similarity.ssim, similarity.rank, similarity.rank_abs, similarity.hog,
           complexity.gini, complexity.entropy, entropy);
    cp_free(map[0]);
    cp_free(map[1]);
    return 0;
}

int main(int argc, char **argv)
{
    /* darknet_torch.py computes what Debian's Darknet does, whatever keys a cfg has. */
    cp_set_lineage(CP_LINEAGE_DEBIAN);
    if (argc == 7 && !strcmp(argv[1], "prepare"))
        return prepare(argv + 2);
    if (argc == 4 && !strcmp(argv[1], "similarity"))
        return print_similarity(argv + 2);
    if (argc > 7 && !strcmp(argv[1], "run"))
        return run_network(argv + 2);
    if (argc == 8 && (!strcmp(argv[1], "dgr") || !strcmp(argv[1], "gates")))
        return run_dgr(argv + 2, !strcmp(argv[1], "gates"));
    if (argc == 8 && !strcmp(argv[1], "intgrad"))
        return run_intgrad(argv + 2);
    if (argc == 8 && !strcmp(argv[1], "lrp"))
        return run_lrp(argv + 2);
    if (argc > 9 && !strcmp(argv[1], "maps"))
        return run_maps(argv + 2);
    fprintf(stderr, "usage: oracle_dump prepare CFG WEIGHTS PHOTO LETTERBOX OUT.npy\n"
                    "       oracle_dump run CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz SPARSITY...\n"
                    "       oracle_dump maps CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz LAYER SAMPLES METHOD...\n"
                    "       oracle_dump similarity A.npy B.npy\n"
                    "       oracle_dump intgrad CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz STEPS\n"
                    "       oracle_dump lrp CFG WEIGHTS INPUT.npy LAYER:INDEX OUT.npz GAMMA\n"
                    "       oracle_dump dgr|gates CFG WEIGHTS INPUT.npy STEPS SEED|- OUT.npz\n");
    return 2;
}
