/* Bands of output rows: see conv_bands.h. */
#include "engine/cpu/conv_bands.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"

enum { LANES = CP_BAND_LANES };

static int min(int a, int b) { return a < b ? a : b; }
static int round_up(int a, int b) { return (a + b - 1) / b * b; }

/* In bands of equal height, so that the last one computes few rows in vain. */
void cp_bands_divide(cp_bands *b, int rows)
{
    const cp_window *g = &b->window;
    int bands = (g->out_h + rows - 1) / rows;
    b->rows = round_up((g->out_h + bands - 1) / bands, b->tile);
    b->bands = (g->out_h + b->rows - 1) / b->rows;
    b->in_rows = (b->rows - 1) * g->stride + g->size;
    b->x_channels = round_up(g->c, b->x_block);
    b->y_channels = round_up(g->m, b->y_block);
    b->x_floats = (size_t)round_up(b->x_channels * b->in_rows * g->w, LANES);
    b->y_floats = (size_t)round_up(b->y_channels * b->rows * g->out_w, LANES);
}

/* Time for the sums, for what is copied, and for each band. */
static double cost_of(const cp_bands *b, double rate)
{
    const cp_window *g = &b->window;
    double c = b->x_block == LANES ? b->x_channels : g->c, m = round_up(g->m, LANES);
    double positions = (double)b->bands * b->rows * round_up(g->out_w, b->tile);
    double moved = b->bands * (.25 * g->c * b->in_rows * g->w + .35 * g->m * b->rows * g->out_w);
    return c * m * g->size * g->size * positions / rate + moved + 4e3 * b->bands;
}

void cp_bands_offer(const cp_bands *b, double rate, cp_product *p)
{
    p->cost = cost_of(b, rate);
    p->bytes = b->weight_bytes;
    p->per_thread = b->x_floats + b->y_floats + b->scratch_floats + LANES; /* one line more to align the first buffer */
}

cp_status cp_bands_load(cp_product *p)
{
    cp_bands *b = p->own;
    float *turned = NULL;
    b->weights = aligned_alloc(CP_BAND_ALIGN, (b->weight_bytes + CP_BAND_ALIGN - 1) / CP_BAND_ALIGN * CP_BAND_ALIGN);
    if (!b->weights) return cp_fail(CP_ERESOURCE, "convolution: no memory for %zu bytes of weights", b->weight_bytes);
    memset(b->weights, 0, b->weight_bytes);
    cp_status status = p->backward ? cp_turned_weights(p, &turned) : CP_OK;
    if (!status) status = b->kernel->load(b, turned ? turned : p->weights);
    cp_free(turned);
    return status;
}

void cp_bands_close(void *own)
{
    free(((cp_bands *)own)->weights); /* aligned_alloc's */
    cp_free(own);
}

typedef float lanes __attribute__((vector_size(64), aligned(4)));

#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define LOW1(a, b) MIX(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH1(a, b) MIX(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW2(a, b) MIX(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH2(a, b) MIX(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define EVEN4(a, b) MIX(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define ODD4(a, b) MIX(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define EVEN8(a, b) MIX(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define ODD8(a, b) MIX(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)

static inline __attribute__((always_inline)) void transpose_full(const float *in, size_t in_stride, float *out,
                                                                 size_t out_stride, bool add)
{
    lanes r[LANES], s[LANES];
    for (int i = 0; i < LANES; ++i) r[i] = *(const lanes *)(in + i * in_stride);
    for (int i = 0; i < LANES; i += 2) s[i] = LOW1(r[i], r[i + 1]), s[i + 1] = HIGH1(r[i], r[i + 1]);
    for (int i = 0; i < LANES; i += 4) {
        r[i] = LOW2(s[i], s[i + 2]), r[i + 1] = HIGH2(s[i], s[i + 2]);
        r[i + 2] = LOW2(s[i + 1], s[i + 3]), r[i + 3] = HIGH2(s[i + 1], s[i + 3]);
    }
    for (int i = 0; i < LANES; i += 8)
        for (int j = 0; j < 4; ++j) s[i + j] = EVEN4(r[i + j], r[i + 4 + j]), s[i + 4 + j] = ODD4(r[i + j], r[i + 4 + j]);
    for (int j = 0; j < 8; ++j) r[j] = EVEN8(s[j], s[8 + j]), r[8 + j] = ODD8(s[j], s[8 + j]);
    for (int i = 0; i < LANES; ++i) {
        lanes *to = (lanes *)(out + i * out_stride);
        *to = add ? *to + r[i] : r[i];
    }
}

/* out[j*out_stride + i] (=, +=) in[i*in_stride + j], i < n, j < m. */
static inline __attribute__((always_inline)) void transpose(const float *in, size_t in_stride, int n, int m, float *out,
                                                            size_t out_stride, bool add)
{
    for (int i0 = 0; i0 < n; i0 += LANES)
        for (int j0 = 0; j0 < m; j0 += LANES) {
            const float *from = in + i0 * in_stride + j0;
            float *to = out + j0 * out_stride + i0;
            if (i0 + LANES <= n && j0 + LANES <= m) {
                transpose_full(from, in_stride, to, out_stride, add);
                continue;
            }
            for (int j = 0; j < min(LANES, m - j0); ++j)
                for (int i = 0; i < min(LANES, n - i0); ++i)
                    to[j * out_stride + i] = (add ? to[j * out_stride + i] : 0) + from[i * in_stride + j];
        }
}

/* Input rows y0.. of one image into a band's buffer; rows outside the image are 0. */
CP_CLONES static void copy_in(const cp_bands *o, const float *x, int y0, float *band)
{
    const cp_window *g = &o->window;
    size_t plane = (size_t)g->h * g->w;
    int first = y0 < 0 ? -y0 : 0, last = min(o->in_rows, g->h - y0);
    if (last < first) last = first;
    for (int c = 0; c < o->x_channels; c += o->x_block) {
        float *to = band + (size_t)c * o->in_rows * g->w;
        size_t row = (size_t)g->w * o->x_block;
        int channels = min(o->x_block, g->c - c);
        memset(to, 0, first * row * sizeof *to);
        if (channels < o->x_block) memset(to + first * row, 0, (last - first) * row * sizeof *to);
        /* Whole rows lie together in both: one long row. */
        if (last > first)
            transpose(x + c * plane + (size_t)(y0 + first) * g->w, plane, channels, (last - first) * g->w, to + first * row,
                      o->x_block, false);
        memset(to + last * row, 0, (o->in_rows - last) * row * sizeof *to);
    }
}

CP_CLONES static void copy_out(const cp_bands *o, const float *band, int y0, float *y, bool accumulate)
{
    const cp_window *g = &o->window;
    size_t plane = (size_t)g->out_h * g->out_w;
    int count = min(o->rows, g->out_h - y0) * g->out_w;
    for (int m = 0; m < o->y_channels; m += o->y_block) {
        const float *from = band + (size_t)m * o->rows * g->out_w;
        float *to = y + m * plane + (size_t)y0 * g->out_w;
        int channels = min(o->y_block, g->m - m);
        if (accumulate) transpose(from, o->y_block, count, channels, to, plane, true);
        else transpose(from, o->y_block, count, channels, to, plane, false);
    }
}

static void begin(const cp_bands *b, float *scratch, cp_band *band)
{
    float *at = (float *)(((uintptr_t)scratch + CP_BAND_ALIGN - 1) / CP_BAND_ALIGN * CP_BAND_ALIGN);
    *band = (cp_band){.x = at, .y = at + b->x_floats, .scratch = at + b->x_floats + b->y_floats};
    if (b->kernel->begin) b->kernel->begin(b, band);
}

/* band->y: the sums. Where all inputs are 0 they are, and false is returned where they need not be added. */
static bool sum_band(const cp_bands *b, cp_band *band, const float *x, int in_y0, bool accumulate)
{
    if (cp_zero_rows(&b->window, x, in_y0, in_y0 + b->in_rows)) {
        if (accumulate) return false;
        memset(band->y, 0, b->y_floats * sizeof *band->y);
        return true;
    }
    copy_in(b, x, in_y0, band->x);
    if (b->kernel->run(b, band)) return true;
    for (size_t i = 0; i < b->y_floats; ++i) band->y[i] = NAN; /* the engine refuses what is not finite */
    return true;
}

static void gather(const cp_bands *b, int n, cp_batch x, cp_batch y, bool accumulate, const float *bias,
                   ACTIVATION activation, const cp_scratch *scratch)
{
    const cp_window *g = &b->window;
    size_t plane = (size_t)g->out_h * g->out_w;
#pragma omp parallel num_threads(cp_threads_for(n * cp_window_macs(g)))
    {
        omp_set_num_threads(1); /* of a library's own loops */
        cp_band band;
        begin(b, scratch->thread + omp_get_thread_num() * scratch->per_thread, &band);
#pragma omp for collapse(2) schedule(dynamic)
        for (int e = 0; e < n; ++e)
            for (int k = 0; k < b->bands; ++k) {
                int y0 = k * b->rows, count = min(b->rows, g->out_h - y0) * g->out_w;
                if (!sum_band(b, &band, cp_at(x, e), y0 * g->stride - g->pad, accumulate)) continue;
                copy_out(b, band.y, y0, cp_at(y, e), accumulate);
                if (accumulate || (!bias && activation == LINEAR)) continue;
                for (int m = 0; m < g->m; ++m)
                    cp_activate_bias(cp_at(y, e) + m * plane + (size_t)y0 * g->out_w, count, bias ? bias[m] : 0, activation);
            }
        if (b->kernel->end) b->kernel->end(&band);
    }
}

void cp_bands_forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                      const cp_scratch *scratch)
{
    gather(p->own, n, x, y, false, bias, activation, scratch);
}

void cp_bands_backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    gather(p->own, n, y, x, !fresh, NULL, LINEAR, scratch);
}
