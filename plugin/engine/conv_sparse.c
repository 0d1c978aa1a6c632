/* The data gradient when most deltas are zero, as they are off a sparse path: each delta that is not adds its filter's window
 * into the input, and nothing else is touched.
 *
 * The input's delta is gathered in (y,x,c) order, where a window's tap is one contiguous run of channels, and turned to
 * (c,y,x) at the end. A band of input rows belongs to one thread: deltas near its edges are visited by both neighbours, and
 * every element receives its terms in the same order whatever the number of threads. */
#include <omp.h>
#include <string.h>

#include "engine/conv.h"
#include "io/error.h"

enum { BAND_FLOATS = 1 << 16, LANES = 16 };

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

/* to (taps, C) = from (C, taps). */
CP_CLONES static void turn_filter(const float *restrict from, int taps, int channels, float *restrict to)
{
    for (int tap = 0; tap < taps; ++tap)
        for (int c = 0; c < channels; ++c) to[(size_t)tap * channels + c] = from[(size_t)c * taps + tap];
}

/* (groups, M, size*size, C) from (groups, M, C, size*size). */
cp_status cp_sparse_weights(const cp_window *g, const float *weights, float **turned)
{
    size_t window = (size_t)g->size * g->size, filters = (size_t)g->groups * g->m, count;
    if (!cp_mul(filters * g->c, window, &count)) return cp_fail(CP_ERESOURCE, "convolution: weights do not fit in memory");
    float *to = *turned = cp_alloc_dirty(count, sizeof *to, "turned weights");
    if (!to) return CP_ERESOURCE;
    for (size_t f = 0; f < filters; ++f) turn_filter(weights + f * window * g->c, (int)window, g->c, to + f * window * g->c);
    return CP_OK;
}

/* Every band turns the weights that it needs, if nobody did before: then there are two. */
static int band_rows(const cp_window *g, bool turned)
{
    int rows = BAND_FLOATS / (g->w * g->c);
    return turned ? max(1, min(rows, (g->h + 3) / 4)) : (g->h + 1) / 2;
}

size_t cp_sparse_scratch(const cp_window *g, bool turned)
{
    return (size_t)band_rows(g, turned) * g->w * g->c + (turned ? 0 : (size_t)g->size * g->size * g->c);
}

CP_CLONES static void add_scaled(float *restrict to, const float *restrict from, float factor, int n)
{
    for (int i = 0; i < n; ++i) to[i] += factor * from[i];
}

static bool any_nonzero(const float *x, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (x[i] != 0) return true;
    return false;
}

static bool all_zero(const float *x)
{
    uint32_t bits[LANES], any = 0;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < LANES; ++i) any |= bits[i] & 0x7fffffffu;
    return !any;
}

/* One filter's deltas of output rows oy0..oy1 into input rows y0..y1; weights (taps, C), sum (y1-y0, w, C). */
static void add_filter(const cp_window *g, const float *delta, const float *weights, int oy0, int oy1, int y0, int y1,
                       float *sum)
{
    for (int oy = oy0; oy < oy1; ++oy) {
        const float *row = delta + (size_t)oy * g->out_w;
        for (int ox = 0; ox < g->out_w; ++ox) {
            if (ox % LANES == 0 && ox + LANES <= g->out_w && all_zero(row + ox)) {
                ox += LANES - 1;
                continue;
            }
            float d = row[ox];
            if (d == 0) continue;
            int iy = oy * g->stride - g->pad, ix = ox * g->stride - g->pad;
            int ky1 = min(g->size, y1 - iy), kx0 = max(0, -ix), kx1 = min(g->size, g->w - ix);
            for (int ky = max(0, y0 - iy); ky < ky1; ++ky) {
                /* The taps of a row lie side by side in both arrays: one run. */
                float *to = sum + ((size_t)(iy + ky - y0) * g->w + ix + kx0) * g->c;
                add_scaled(to, weights + (size_t)(ky * g->size + kx0) * g->c, d, (kx1 - kx0) * g->c);
            }
        }
    }
}

CP_CLONES static void turn(const float *restrict sum, int c_count, int positions, size_t plane, bool fresh, float *restrict x)
{
    enum { TILE = 16 };
    for (int p0 = 0; p0 < positions; p0 += TILE)
        for (int c0 = 0; c0 < c_count; c0 += TILE) {
            int p1 = min(p0 + TILE, positions), c1 = min(c0 + TILE, c_count);
            for (int c = c0; c < c1; ++c)
                for (int p = p0; p < p1; ++p) {
                    float v = sum[(size_t)p * c_count + c];
                    x[c * plane + p] = fresh ? v : x[c * plane + p] + v;
                }
        }
}

void cp_sparse_backward(const cp_window *g, const float *weights, const float *turned, const float *delta, float *x,
                        bool fresh, const cp_scratch *scratch)
{
    size_t window = (size_t)g->size * g->size, plane = (size_t)g->h * g->w, out_plane = (size_t)g->out_h * g->out_w;
    int rows = band_rows(g, turned), bands = (g->h + rows - 1) / rows;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(cp_threads_for((double)g->groups * g->c * plane))
    for (int group = 0; group < g->groups; ++group)
        for (int band = 0; band < bands; ++band) {
            float *sum = scratch->thread + omp_get_thread_num() * scratch->per_thread;
            int y0 = band * rows, y1 = min(y0 + rows, g->h);
            int first = y0 + g->pad - g->size + 1;
            int oy0 = first <= 0 ? 0 : (first + g->stride - 1) / g->stride;
            int oy1 = min((y1 - 1 + g->pad) / g->stride + 1, g->out_h);
            memset(sum, 0, (size_t)(y1 - y0) * g->w * g->c * sizeof *sum);
            for (int m = 0; m < g->m; ++m) {
                size_t filter = (size_t)group * g->m + m, first_weight = filter * window * g->c;
                const float *own = turned ? turned + first_weight : NULL;
                if (!turned) {
                    float *taps = sum + (size_t)rows * g->w * g->c;
                    if (!any_nonzero(delta + filter * out_plane + (size_t)oy0 * g->out_w, (size_t)(oy1 - oy0) * g->out_w))
                        continue;
                    turn_filter(weights + first_weight, (int)window, g->c, taps);
                    own = taps;
                }
                add_filter(g, delta + filter * out_plane, own, oy0, oy1, y0, y1, sum);
            }
            turn(sum, g->c, (y1 - y0) * g->w, plane, fresh, x + (size_t)group * g->c * plane + (size_t)y0 * g->w);
        }
}
