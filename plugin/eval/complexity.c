#include "eval/complexity.h"

#include <math.h>
#include <stdlib.h>

#include "io/error.h"

static int ascending(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;
    return p < q ? -1 : p > q;
}

cp_status cp_complexity_of(const float *map, size_t w, const cp_placement *at, cp_complexity *found)
{
    size_t n = 0;
    double sum = 0, weighted = 0, entropy = 0;
    *found = (cp_complexity){NAN, NAN};
    float *mass = cp_alloc(at->w * at->h, sizeof *mass, "complexity");
    if (!mass)
        return CP_ERESOURCE;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++)
            sum += mass[n++] = fmaxf(map[y * w + x], 0);
    qsort(mass, n, sizeof *mass, ascending);
    for (size_t i = 0; i < n && sum > 0; i++) {
        double share = mass[i] / sum;
        weighted += ((double)(n - i) - .5) * share;
        entropy -= share > 0 ? share * log2(share) : 0;
    }
    if (sum > 0)
        *found = (cp_complexity){1 - 2 * weighted / (double)n, entropy};
    cp_free(mass);
    return CP_OK;
}
