/* One peer of `make bench`: critpath's engine. Loads a network, then runs what is asked on stdin, once per line, and answers
 * with seconds:  forward | backward | explain SPARSITY | grad SPARSITY | sweep | mct | select SPARSITY | map |
 * default | default-gradient: what `explain` does by default, with and without the contribution map |
 * intgrad STEPS, on a GPU where CRITPATH_GPU names one,
 * or else with GFLOP/s: sgemm, megabytes: peak, 0: threads N */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef CP_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#include "critpath.h"
#include "io/clones.h"
#include "path/scores.h"
#include "peak.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void check(cp_status status)
{
    if (!status) return;
    fprintf(stderr, "bench: %s\n", cp_error());
    exit(status);
}

static const double sweep[] = {.9, .95, .98, .99, .999};
enum { SWEEP = sizeof sweep / sizeof *sweep };

typedef struct {
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    cp_path *path, *paths[SWEEP];
    float *input, *score, *map, *heat;
} bench;

static void select_path(bench *b, double sparsity)
{
    check(cp_path_select(b->path, b->score, sparsity, 0, NULL));
}

/* Five paths and their maps from scores that are there. */
static void run_sweep(bench *b)
{
    for (int i = 0; i < SWEEP; ++i) check(cp_path_select(b->paths[i], b->score, sweep[i], 0, NULL));
    check(cp_map_frozen(b->frame, 0, &b->response, (const cp_path *const *)b->paths, SWEEP, b->map));
}

/* What `explain` computes without options: the path that holds 80% of the score, its cut, and its maps. */
static void run_default(bench *b, bool contribution)
{
    const cp_path *path = b->path;
    cp_scores *scores;
    const float *score;
    cp_cut cut;
    check(cp_frame_forward(b->frame, b->input, 1, NULL));
    check(cp_scores_mct(b->frame, 0, &b->response, b->map, &scores));
    check(cp_scores_select_mass(scores, .8, 0, b->path, NULL));
    check(cp_scores_find_cut(scores, b->path, &b->response, &cut));
    check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
    if (contribution) {
        check(cp_scores_array(scores, &score));
        check(cp_map_contribution(b->frame, 0, &b->response, b->path, score, NULL, b->heat, NULL));
    }
    cp_scores_free(scores);
}

/* As "explain", by LRP with that gamma. */
static void run_lrp(bench *b, double gamma)
{
    const cp_path *path = b->path;
    check(cp_frame_forward(b->frame, b->input, 1, NULL));
    check(cp_score_lrp(b->frame, 0, &b->response, gamma, true, b->score, NULL));
    select_path(b, .9);
    check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
}

/* As "explain", by EAP-IG with that many steps. */
static void run_eapig(bench *b, int steps)
{
    const cp_eapig_options options = {.run.signed_scores = true, .steps = steps};
    const cp_path *path = b->path;
    check(cp_frame_forward(b->frame, b->input, 1, NULL));
    check(cp_score_eapig(b->frame, 0, &b->response, &options, b->score));
    select_path(b, .9);
    check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
}

static double run(bench *b, const char *what, double value)
{
    double start = now();
    cp_entry entry = {.response = &b->response};
    const cp_path *path = b->path;
    cp_scores *scores;
    if (!strcmp(what, "forward")) {
        check(cp_frame_forward(b->frame, b->input, 1, NULL));
    } else if (!strcmp(what, "backward")) {
        check(cp_frame_backward(b->frame, &entry, 1, NULL, b->map));
    } else if (!strcmp(what, "explain")) {
        check(cp_frame_forward(b->frame, b->input, 1, NULL));
        check(cp_scores_mct(b->frame, 0, &b->response, NULL, &scores)); /* as the command does */
        check(cp_scores_select(scores, value, 0, b->path, NULL));
        check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
        cp_scores_free(scores);
    } else if (!strcmp(what, "default")) {
        run_default(b, true);
    } else if (!strcmp(what, "default-gradient")) {
        run_default(b, false);
    } else if (!strcmp(what, "lrp")) {
        run_lrp(b, value);
    } else if (!strcmp(what, "eapig")) {
        run_eapig(b, (int)value);
    } else if (!strcmp(what, "intgrad")) {
        const cp_intgrad_options options = {.steps = (int)value};
        check(cp_score_intgrad(b->frame, 0, &b->response, &options, b->score, NULL));
    } else if (!strcmp(what, "grad")) {
        check(cp_score_mct(b->frame, 0, &b->response, false, b->score));
        select_path(b, value);
        start = now();
        check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
    } else if (!strcmp(what, "sweep")) {
        check(cp_score_mct(b->frame, 0, &b->response, false, b->score));
        start = now();
        run_sweep(b);
    } else if (!strcmp(what, "threads")) {
        cp_set_threads((int)value);
        return 0;
    } else if (!strcmp(what, "mct")) {
        check(cp_score_mct(b->frame, 0, &b->response, false, b->score));
    } else if (!strcmp(what, "select")) {
        select_path(b, value);
    } else if (!strcmp(what, "map")) {
        check(cp_map_frozen(b->frame, 0, &b->response, &path, 1, b->map));
    } else if (!strcmp(what, "sgemm")) { /* GFLOP/s of one thread, on a product that fits the second-level cache */
        enum { N = 1024 };
        float *a = b->score, *c = calloc(N * N, sizeof *c);
        a = calloc(N * N, sizeof *a);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, a, N, 0, c, N);
        start = now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, a, N, 0, c, N);
        double rate = 2e-9 * N * N * N / (now() - start);
        free(a), free(c);
        return rate;
    } else if (!strcmp(what, "peak")) {
        return peak_megabytes();
    } else {
        return NAN;
    }
    return now() - start;
}

/* Which instructions our own loops and oneDNN's use. */
static const char *own_isa(void) { return cp_has_avx512() ? "avx512" : cp_has_avx2() ? "avx2" : "baseline"; }

static const char *onednn_isa(void)
{
#ifdef CP_ONEDNN
    int isa = (int)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? "avx512"
           : (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2             ? "avx2"
                                                                          : "sse41";
#else
    return "none";
#endif
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: %s cfg weights threads\n", argv[0]), 2;
    bench b = {0};
    size_t c, h, w;
    openblas_set_num_threads(1);
    cp_set_threads(atoi(argv[3]));
    check(cp_model_open(argv[1], argv[2], &b.model));
    cp_model_input_shape(b.model, &c, &h, &w);
    b.input = malloc(c * h * w * sizeof *b.input);
    b.map = malloc(SWEEP * c * h * w * sizeof *b.map);
    b.heat = malloc(2 * h * w * sizeof *b.heat);
    b.score = malloc(cp_model_neuron_count(b.model) * sizeof *b.score);
    for (size_t i = 0; i < c * h * w; ++i) b.input[i] = (float)(i * 2654435761u % 1000) / 1000; /* grain, no flat areas */
    check(cp_frame_create(b.model, 1, &b.frame));
    check(cp_path_create(b.model, &b.path));
    for (int i = 0; i < SWEEP; ++i) check(cp_path_create(b.model, &b.paths[i]));
    check(cp_frame_forward(b.frame, b.input, 1, NULL));

    const int *heads;
    int layer = cp_model_heads(b.model, &heads) ? cp_model_logit_layer(b.model, heads[0]) : cp_model_layer_count(b.model) - 1;
    const float *z = cp_frame_output(b.frame, layer, 0);
    size_t best = 0;
    for (size_t i = 0; i < cp_model_layer(b.model, layer)->outputs; ++i)
        if (z[i] > z[best]) best = i;
    check(cp_response_unit(b.model, layer, best, &b.response));

    double macs = 0;
    for (int i = 0; i < cp_model_layer_count(b.model); ++i) macs += cp_model_layer(b.model, i)->macs;
    printf("%.17g %zu loops %s, oneDNN %s, OpenBLAS %s\n", macs, cp_model_neuron_count(b.model), own_isa(), onednn_isa(),
           openblas_get_corename());
    fflush(stdout);
    char line[64], what[32];
    double value;
    while (fgets(line, sizeof line, stdin)) {
        value = 0;
        if (sscanf(line, "%31s %lf", what, &value) < 1) continue;
        printf("%.9g\n", run(&b, what, value));
        fflush(stdout);
    }
    for (int i = 0; i < SWEEP; ++i) cp_path_free(b.paths[i]);
    cp_path_free(b.path);
    cp_frame_free(b.frame);
    cp_model_free(b.model);
    free(b.input), free(b.map), free(b.heat), free(b.score);
    return 0;
}
