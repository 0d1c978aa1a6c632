/* What kernels share: products, and weights turned for data gradients. */
#include <math.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

cp_status cp_product_open(const cp_kernel *kernel, const cp_product *of, cp_product *out)
{
    *out = (cp_product){.kernel = kernel, .window = of->window, .backward = of->backward, .activation = of->activation,
                        .weights = of->weights};
    bool fits = (of->backward ? kernel->backward != NULL : kernel->forward != NULL) && kernel->fits(out);
    cp_status status = fits ? kernel->open(out) : CP_OK;
    if (status || !fits || isinf(out->cost)) cp_product_close(out);
    return status;
}

void cp_product_close(cp_product *p)
{
    if (p->kernel && p->kernel->close && p->own) p->kernel->close(p->own);
    else cp_free(p->own);
    p->own = NULL;
    p->kernel = NULL;
}

bool cp_turns(const cp_window *g)
{
    return cp_is_pointwise(g) || (cp_is_compact(g) && g->stride == 1 && g->pad < g->size && g->m <= 2 * g->c);
}

cp_window cp_gather_window(const cp_product *p)
{
    cp_window g = p->window, back = g;
    if (!p->backward) return g;
    back.c = g.m, back.h = g.out_h, back.w = g.out_w;
    back.m = g.c, back.out_h = g.h, back.out_w = g.w;
    back.pad = g.size - 1 - g.pad;
    return back;
}

/* to (C, M, taps) = from (M, C, taps), taps turned. */
static void turn(const float *from, int m_count, int c_count, size_t taps, float *to)
{
    for (int m = 0; m < m_count; ++m)
        for (int c = 0; c < c_count; ++c) {
            const float *in = from + ((size_t)m * c_count + c) * taps;
            float *out = to + ((size_t)c * m_count + m) * taps;
            for (size_t i = 0; i < taps; ++i) out[i] = in[taps - 1 - i];
        }
}

cp_status cp_turned_weights(const cp_product *p, float **out)
{
    const cp_window *g = &p->window;
    size_t taps = (size_t)g->size * g->size, group_floats = (size_t)g->m * g->c * taps, count;
    if (!cp_mul((size_t)g->groups, group_floats, &count))
        return cp_fail(CP_ERESOURCE, "convolution: weights do not fit in memory");
    float *to = *out = cp_alloc_whole(count, sizeof *to, "turned weights");
    if (!to) return CP_ERESOURCE;
    for (int group = 0; group < g->groups; ++group)
        turn(p->weights + group * group_floats, g->m, g->c, taps, to + group * group_floats);
    return CP_OK;
}
