/* One peer of `make bench`: Darknet as Debian ships it, no patch of ours. Same protocol as engine.c: forward | backward (its
 * own, with the weight gradients that it cannot leave out) | peak */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "darknet.h"

#include "peak.h"

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: %s cfg weights\n", argv[0]), 2;
    network *net = load_network(argv[1], argv[2], 0);
    set_batch_network(net, 1);
    float *input = calloc(net->inputs, sizeof *input);
    for (int i = 0; i < net->inputs; ++i) input[i] = (float)(i * 2654435761u % 1000) / 1000;
    network_predict(net, input);
    int last = net->n - 1;
    while (last > 0 && (!net->layers[last].delta || net->layers[last].type == COST || net->layers[last].type == SOFTMAX)) --last;
    printf("0 0 stock\n");
    fflush(stdout);
    char what[32];
    while (scanf("%31s", what) == 1) {
        double start = what_time_is_it_now(), answer;
        if (!strcmp(what, "forward")) {
            network_predict(net, input);
        } else if (!strcmp(what, "backward")) {
            network run = *net;
            run.input = input;
            run.train = 0;
            run.truth = run.delta = NULL;
            net->layers[last].delta[0] = 1;
            backward_network(&run);
        }
        answer = what_time_is_it_now() - start;
        if (!strcmp(what, "peak")) answer = peak_megabytes();
        printf("%.9g\n", answer);
        fflush(stdout);
    }
    return 0;
}
