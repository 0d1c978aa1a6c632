#include "eval/attack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "score/score.h"

double cp_energy(const float *logits, int n)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, (double)logits[i]);
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - most);
    // cppcheck-suppress invalidFunctionArg // the largest logit adds 1 to the sum
    return -(most + log(sum));
}

/* Gradient of the cross entropy of a class with respect to the input that the frame has run. seed: room for the logits. */
static cp_status loss_gradient(cp_frame *frame, int layer, int class_id, float *seed, float *gradient)
{
    const cp_model *model = cp_frame_model(frame);
    int n = cp_model_classes(model);
    const float *logits = cp_frame_output(frame, layer, 0);
    double energy = cp_energy(logits, n);
    for (int i = 0; i < n; i++)
        seed[i] = (float)(exp((double)logits[i] + energy) - (i == class_id));
    const cp_entry entry = {.seed = seed, .seed_layer = layer};
    return cp_frame_backward(frame, &entry, 1, NULL, gradient);
}

/* One step along the signs, within the ball and [0,1]. */
static void step(const float *x, const float *gradient, size_t n, float size, float epsilon, float *moved)
{
    for (size_t i = 0; i < n; i++) {
        float to = moved[i] + (gradient[i] > 0 ? size : gradient[i] < 0 ? -size : 0);
        float low = fmaxf(0, x[i] - epsilon), high = fminf(1, x[i] + epsilon);
        moved[i] = to < low ? low : to > high ? high : to;
    }
}

cp_status cp_attack_input(cp_frame *frame, const float *x, int class_id, double epsilon, int steps, float *moved)
{
    const cp_model *model = cp_frame_model(frame);
    size_t c, h, w;
    int layer;
    cp_status status = cp_model_get_kind(model) == CP_CLASSIFIER
                           ? cp_dgr_find_logits(model, &layer)
                           : cp_fail(CP_EINPUT, "attack: the network is no classifier");
    if (status)
        return status;
    if (class_id < 0 || class_id >= cp_model_classes(model))
        return cp_fail(CP_EINPUT, "attack: class %d, there are %d", class_id, cp_model_classes(model));
    if (!(epsilon > 0 && epsilon <= 1) || steps < 1)
        return cp_fail(CP_EINPUT, "attack: epsilon %g and %d steps, needed are (0, 1] and at least 1", epsilon, steps);
    cp_model_input_shape(model, &c, &h, &w);
    size_t n = c * h * w;
    float *gradient = cp_alloc(n, sizeof *gradient, "attack");
    float *seed = cp_alloc(cp_model_layer(model, layer)->outputs, sizeof *seed, "attack");
    status = gradient && seed ? CP_OK : CP_ERESOURCE;
    if (!status)
        memcpy(moved, x, n * sizeof *moved);
    for (int k = 0; k < steps && !status; k++) {
        status = cp_frame_forward(frame, moved, 1, NULL);
        if (!status)
            status = loss_gradient(frame, layer, class_id, seed, gradient);
        if (!status)
            step(x, gradient, n, (float)(steps == 1 ? epsilon : 2.5 * epsilon / steps), (float)epsilon, moved);
    }
    cp_free(gradient);
    cp_free(seed);
    return status;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double cp_roc_area(double *positive, size_t n, double *negative, size_t m)
{
    double wins = 0;
    qsort(positive, n, sizeof *positive, compare);
    qsort(negative, m, sizeof *negative, compare);
    for (size_t i = 0, below = 0, until = 0; i < n; i++) {
        while (below < m && negative[below] < positive[i])
            below++;
        while (until < m && negative[until] <= positive[i])
            until++;
        wins += .5 * (double)(below + until);
    }
    return n && m ? wins / ((double)n * (double)m) : NAN;
}
