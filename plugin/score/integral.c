/* One layer's integral of NeuronIntGrad: its runs, and sums over them. */
#include "engine/memory.h"
#include "score/intgrad.h"

enum { LANES = 8 };

double cp_dot(const float *a, const float *g, size_t n)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += (double)a[i + k] * g[i + k];
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    for (; i < n; i++)
        sum += (double)a[i] * g[i];
    return sum;
}

void cp_accumulate(double *total, double weight, const float *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        total[i] += weight * g[i];
}

cp_status cp_intgrad_forward(cp_integral *integral, const double *alpha, int n, double *phi)
{
    cp_status status = cp_ray_forward(integral->ray, alpha, n);
    return status ? status : cp_suffix_responses(&integral->suffix, n, phi);
}

cp_status cp_intgrad_run(cp_integral *integral, const double *alpha, int n, double *phi, float *gradient)
{
    double unused[CP_DEVICE_BATCH];
    cp_status status = cp_intgrad_forward(integral, alpha, n, phi ? phi : unused);
    return status ? status : cp_suffix_backward(&integral->suffix, n, gradient);
}
