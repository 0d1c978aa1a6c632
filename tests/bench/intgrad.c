/* One peer of bench_intgrad.py: NeuronIntGrad by critpath. Loads a network, prints its neuron layers' numbers in the
 * cfg, then answers on stdin, once per line:  layer POSITION STEPS -> seconds | auto -> seconds, evaluations | peak
 * -> MB */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "critpath.h"

static bool one_thread;

/* Of one thread the processor time: what else the machine does then counts less. */
static double now(void)
{
    struct timespec t;
    clock_gettime(one_thread ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void check(cp_status status)
{
    if (!status)
        return;
    fprintf(stderr, "bench: %s\n", cp_error());
    exit(status);
}

/* The same grain as the other peers' input. */
static float *make_input(const cp_model *model)
{
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    for (size_t i = 0; input && i < c * h * w; i++)
        input[i] = (float)((uint32_t)(i * 2654435761u) % 1000) / 1000;
    return input;
}

int main(int argc, char **argv)
{
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    char line[256];
    int n, position, steps, heads;
    const int *head;
    if (argc != 5)
        return 2;
    one_thread = atoi(argv[3]) == 1;
    cp_set_threads(atoi(argv[3]));
    cp_set_kernel_memory((size_t)atoi(argv[4]) << 20);
    check(cp_model_open(argv[1], argv[2], &model));
    float *input = make_input(model), *score = malloc(cp_model_neuron_count(model) * sizeof *score);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_intgrad_layer *report = calloc((size_t)n, sizeof *report);
    if (!input || !score || !report)
        return 3;
    check(cp_frame_create(model, 1, &frame));
    check(cp_frame_forward(frame, input, 1, NULL));
    heads = cp_model_heads(model, &head);
    int logits = cp_model_logit_layer(model, heads ? head[0] : -1);
    size_t best = 0;
    for (size_t i = 1; i < cp_model_layer(model, logits)->outputs; i++)
        if (cp_frame_output(frame, logits, 0)[i] > cp_frame_output(frame, logits, 0)[best])
            best = i;
    check(cp_response_unit(model, logits, best, &response));
    printf("%d %zu", logits, best);
    for (int l = 0; l < n; l++)
        printf(" %d", layers[l].layer);
    printf("\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        cp_intgrad_options options = {0};
        double start = now();
        if (sscanf(line, "layer %d %d", &position, &steps) == 2) {
            options.only = position + 1;
            options.steps = steps;
            check(cp_score_intgrad(frame, 0, &response, &options, score, report));
            double seconds = now() - start, sum = 0;
            for (size_t i = 0; i < layers[position].count; i++)
                sum += score[layers[position].offset + i];
            printf("%.6f %.6g\n", seconds, sum);
        } else if (!strncmp(line, "auto", 4)) {
            int evaluations = 0;
            check(cp_score_intgrad(frame, 0, &response, &options, score, report));
            for (int l = 0; l < n; l++)
                evaluations += report[l].evaluations;
            printf("%.6f %d\n", now() - start, evaluations);
        } else {
            struct rusage usage;
            getrusage(RUSAGE_SELF, &usage);
            printf("%.1f 0\n", (double)usage.ru_maxrss / 1024);
        }
        fflush(stdout);
    }
    free(input);
    free(score);
    free(report);
    cp_frame_free(frame);
    cp_model_free(model);
    return 0;
}
