#include "decode/adam.h"

#include <math.h>

#include "io/error.h"

static const double MEAN_KEPT = .9, SQUARES_KEPT = .999, LITTLE = 1e-8;

cp_status cp_adam_create(size_t count, cp_adam *adam)
{
    *adam = (cp_adam){.count = count, .mean = cp_alloc(count, sizeof *adam->mean, "optimiser"),
                      .squares = cp_alloc(count, sizeof *adam->squares, "optimiser")};
    return adam->mean && adam->squares ? CP_OK : CP_ERESOURCE;
}

void cp_adam_free(cp_adam *adam)
{
    cp_free(adam->mean);
    cp_free(adam->squares);
    *adam = (cp_adam){0};
}

void cp_adam_step(cp_adam *a, const float *gradient, double rate, bool nesterov, float *value)
{
    a->steps++;
    double now = 1 - pow(MEAN_KEPT, a->steps), next = 1 - pow(MEAN_KEPT, a->steps + 1), second = 1 - pow(SQUARES_KEPT, a->steps);
    for (size_t i = 0; i < a->count; i++) {
        double g = gradient[i];
        a->mean[i] = (float)(MEAN_KEPT * a->mean[i] + (1 - MEAN_KEPT) * g);
        a->squares[i] = (float)(SQUARES_KEPT * a->squares[i] + (1 - SQUARES_KEPT) * g * g);
        double along = nesterov ? MEAN_KEPT * a->mean[i] / next + (1 - MEAN_KEPT) * g / now : a->mean[i] / now;
        value[i] += (float)(rate * along / (sqrt(a->squares[i] / second) + LITTLE));
    }
}
