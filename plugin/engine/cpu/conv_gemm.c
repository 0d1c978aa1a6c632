/* Convolution as matrix products: im2col in strips that stay in cache, sgemm by OpenBLAS with one thread, our threads over
 * strips, row blocks and images. Every split depends on the shape alone. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"

enum {
    STRIP = 512,           /* output positions of a strip */
    COLUMN_BLOCK = 384,    /* rows of im2col that are multiplied at a time: 384*512 floats are 768 KB */
    SMALL_IMAGE = 512,     /* up to that many positions an image is one strip, shared by blocks of A's rows */
    ROW_BLOCK = 128,
    SHARED_FLOATS = 1 << 22
};

static int min(int a, int b) { return a < b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

/* col (channels*size*size, p1-p0): what the window sees at output positions p0..p1. */
static void im2col(const float *x, int channels, const cp_window *g, int p0, int p1, float *col)
{
    for (int c = 0; c < channels; ++c)
        for (int ky = 0; ky < g->size; ++ky)
            for (int kx = 0; kx < g->size; ++kx) {
                int oy = p0 / g->out_w, ox = p0 % g->out_w;
                for (int p = p0; p < p1; ++oy, ox = 0) {
                    int run = min(g->out_w - ox, p1 - p);
                    int iy = oy * g->stride_y + ky * g->dilation - g->pad, ix = ox * g->stride + kx * g->dilation - g->pad;
                    p += run;
                    if (iy < 0 || iy >= g->h) {
                        memset(col, 0, run * sizeof *col);
                        col += run;
                        continue;
                    }
                    const float *row = x + ((size_t)c * g->h + iy) * g->w;
                    if (g->stride == 1) {
                        int left = ix < 0 ? min(-ix, run) : 0;
                        int copy = min(run - left, g->w - (ix + left));
                        if (copy < 0) copy = 0;
                        memset(col, 0, left * sizeof *col);
                        memcpy(col + left, row + ix + left, copy * sizeof *col);
                        memset(col + left + copy, 0, (run - left - copy) * sizeof *col);
                        col += run;
                    } else {
                        for (int i = 0; i < run; ++i, ix += g->stride) *col++ = ix >= 0 && ix < g->w ? row[ix] : 0;
                    }
                }
            }
}

/* The reverse, added into rows y0..y1 of x. */
static void col2im(const float *col, int channels, const cp_window *g, int p0, int p1, int y0, int y1, float *x)
{
    for (int c = 0; c < channels; ++c)
        for (int ky = 0; ky < g->size; ++ky)
            for (int kx = 0; kx < g->size; ++kx) {
                int oy = p0 / g->out_w, ox = p0 % g->out_w;
                for (int p = p0; p < p1; ++oy, ox = 0) {
                    int run = min(g->out_w - ox, p1 - p);
                    int iy = oy * g->stride_y + ky * g->dilation - g->pad, ix = ox * g->stride + kx * g->dilation - g->pad;
                    p += run;
                    if (iy >= y0 && iy < y1) {
                        float *row = x + ((size_t)c * g->h + iy) * g->w;
                        if (g->stride == 1) {
                            int from = ix < 0 ? -ix : 0, to = min(run, g->w - ix);
                            for (int i = from; i < to; ++i) row[ix + i] += col[i];
                        } else {
                            for (int i = 0; i < run; ++i, ix += g->stride)
                                if (ix >= 0 && ix < g->w) row[ix] += col[i];
                        }
                    }
                    col += run;
                }
            }
}

static void finish(float *y, int rows, size_t row_stride, int columns, const float *bias, ACTIVATION activation)
{
    if (!bias && activation == LINEAR) return;
    for (int m = 0; m < rows; ++m) cp_activate_bias(y + m * row_stride, columns, bias ? bias[m] : 0, activation);
}

static double work_of(const cp_window *g, int n) { return n * cp_window_macs(g); }

static int strips_of(const cp_window *g) { return ceil_div(g->out_h * g->out_w, STRIP); }

static int channels_per_block(const cp_window *g)
{
    int channels = COLUMN_BLOCK / (g->size * g->size);
    return channels < 1 ? 1 : min(channels, g->c);
}

void cp_gather_scratch(const cp_window *g, size_t *per_thread, size_t *shared)
{
    int window = g->size * g->size, positions = g->out_h * g->out_w;
    *per_thread = *shared = 0;
    if (cp_is_pointwise(g)) return;
    if (positions <= SMALL_IMAGE) {
        size_t one = (size_t)g->c * g->groups * window * positions;
        *shared = one > SHARED_FLOATS ? one : SHARED_FLOATS;
    } else {
        *per_thread = (size_t)channels_per_block(g) * window * STRIP;
    }
}

/* One strip of one image and group: y (M, p1-p0). */
static void gather_strip(const cp_window *g, const float *a, const float *x, int p0, int p1, float *y, bool accumulate,
                         const float *bias, ACTIVATION activation, float *col)
{
    int window = g->size * g->size, k = g->c * window, positions = g->out_h * g->out_w, columns = p1 - p0;
    if (cp_is_pointwise(g)) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, g->m, columns, k, 1, a, k, x + p0, positions, accumulate,
                    y + p0, positions);
    } else {
        int step = channels_per_block(g);
        for (int c = 0; c < g->c; c += step) {
            int channels = min(step, g->c - c);
            im2col(x + (size_t)c * g->h * g->w, channels, g, p0, p1, col);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, g->m, columns, channels * window, 1, a + c * window, k,
                        col, columns, accumulate || c > 0, y + p0, positions);
        }
    }
    if (!accumulate) finish(y + p0, g->m, positions, columns, bias, activation);
}

static void gather_strips(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
                          const float *bias, ACTIVATION activation, const cp_scratch *scratch)
{
    int positions = g->out_h * g->out_w, strips = strips_of(g);
    size_t k = (size_t)g->c * g->size * g->size, plane = (size_t)g->h * g->w;
#pragma omp parallel for collapse(3) schedule(dynamic) num_threads(cp_threads_for(work_of(g, n)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group)
            for (int s = 0; s < strips; ++s) {
                float *col = scratch->thread + omp_get_thread_num() * scratch->per_thread;
                int p0 = (int)((long)positions * s / strips), p1 = (int)((long)positions * (s + 1) / strips);
                gather_strip(g, weights + group * g->m * k, cp_at(x, b) + group * g->c * plane, p0, p1,
                             cp_at(y, b) + (size_t)group * g->m * positions, accumulate, bias ? bias + group * g->m : NULL,
                             activation, col);
            }
}

/* Small images: im2col once for the whole image, in parallel over channels; then the product, in parallel over blocks of
 * A's rows. */
static void gather_small(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
                         const float *bias, ACTIVATION activation, const cp_scratch *scratch)
{
    int positions = g->out_h * g->out_w, window = g->size * g->size, k = g->c * window;
    size_t plane = (size_t)g->h * g->w, image = (size_t)k * g->groups * positions;
    bool pointwise = cp_is_pointwise(g);
    int chunk = pointwise ? n : (int)(SHARED_FLOATS / image);
    if (chunk < 1) chunk = 1;
    int rows = g->m >= 2 * ROW_BLOCK ? ROW_BLOCK : ceil_div(g->m, 2), blocks = ceil_div(g->m, rows);
    int channels = g->c * g->groups, threads = cp_threads_for(work_of(g, n));
    for (int b0 = 0; b0 < n; b0 += chunk) {
        int images = min(chunk, n - b0);
        if (!pointwise) {
#pragma omp parallel for collapse(2) num_threads(threads)
            for (int b = 0; b < images; ++b)
                for (int c = 0; c < channels; ++c)
                    im2col(cp_at(x, b0 + b) + c * plane, 1, g, 0, positions,
                           scratch->shared + b * image + (size_t)c * window * positions);
        }
#pragma omp parallel for collapse(3) schedule(dynamic) num_threads(threads)
        for (int b = 0; b < images; ++b)
            for (int group = 0; group < g->groups; ++group)
                for (int r = 0; r < blocks; ++r) {
                    int m0 = r * rows, m = min(rows, g->m - m0), row = group * g->m + m0;
                    const float *col = pointwise ? cp_at(x, b0 + b) + group * g->c * plane
                                                 : scratch->shared + b * image + (size_t)group * k * positions;
                    float *out = cp_at(y, b0 + b) + (size_t)row * positions;
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, positions, k, 1, weights + (size_t)row * k, k,
                                col, positions, accumulate, out, positions);
                    if (!accumulate) finish(out, m, positions, positions, bias ? bias + row : NULL, activation);
                }
    }
}

void cp_gather(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
               const float *bias, ACTIVATION activation, const cp_scratch *scratch)
{
    if (window->out_h * window->out_w <= SMALL_IMAGE)
        gather_small(window, weights, n, x, y, accumulate, bias, activation, scratch);
    else
        gather_strips(window, weights, n, x, y, accumulate, bias, activation, scratch);
}

size_t cp_scatter_scratch(const cp_window *g)
{
    return (size_t)channels_per_block(g) * g->size * g->size * STRIP;
}

/* Adds into channels c0.. and rows y0..y1 of one image and group; the columns that reach those rows are recomputed by each
 * band, so that bands do not share what they write. */
static void scatter_part(const cp_window *g, const float *a, const float *y, int c0, int channels, int y0, int y1, float *x,
                         float *col)
{
    int window = g->size * g->size, k = g->c * window, positions = g->out_h * g->out_w;
    int first = y0 + g->pad - (g->size - 1) * g->dilation, last = (y1 - 1 + g->pad) / g->stride_y;
    int oy0 = first <= 0 ? 0 : ceil_div(first, g->stride_y), oy1 = min(last + 1, g->out_h);
    float *out = x + (size_t)c0 * g->h * g->w;
    for (int p0 = oy0 * g->out_w, p1; p0 < oy1 * g->out_w; p0 = p1) {
        p1 = min(p0 + STRIP, oy1 * g->out_w);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, channels * window, p1 - p0, g->m, 1, a + c0 * window, k, y + p0,
                    positions, 0, col, p1 - p0);
        col2im(col, channels, g, p0, p1, y0, y1, out);
    }
}

static void scatter_pointwise(const cp_window *g, const float *weights, int n, cp_batch y, cp_batch x)
{
    int positions = g->out_h * g->out_w, strips = strips_of(g);
    int blocks = strips >= 4 ? 1 : ceil_div(g->c, g->c >= 2 * ROW_BLOCK ? ROW_BLOCK : ceil_div(g->c, 2));
    int rows = ceil_div(g->c, blocks);
#pragma omp parallel for collapse(4) schedule(dynamic) num_threads(cp_threads_for(work_of(g, n)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group)
            for (int s = 0; s < strips; ++s)
                for (int r = 0; r < blocks; ++r) {
                    int p0 = (int)((long)positions * s / strips), p1 = (int)((long)positions * (s + 1) / strips);
                    int c0 = r * rows, c = min(rows, g->c - c0);
                    if (c <= 0) continue;
                    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, c, p1 - p0, g->m, 1,
                                weights + (size_t)group * g->m * g->c + c0, g->c,
                                cp_at(y, b) + (size_t)group * g->m * positions + p0, positions, 1,
                                cp_at(x, b) + ((size_t)group * g->c + c0) * positions + p0, positions);
                }
}

void cp_scatter(const cp_window *g, const float *weights, int n, cp_batch y, cp_batch x, const cp_scratch *scratch)
{
    if (cp_is_pointwise(g)) {
        scatter_pointwise(g, weights, n, y, x);
        return;
    }
    int step = channels_per_block(g), blocks = ceil_div(g->c, step);
    int bands = blocks * g->groups >= 4 || g->h < 32 ? 1 : min(4, g->h / 16);
    size_t k = (size_t)g->c * g->size * g->size;
    size_t in = (size_t)g->c * g->h * g->w, out = (size_t)g->m * g->out_h * g->out_w;
#pragma omp parallel for collapse(4) schedule(dynamic) num_threads(cp_threads_for(work_of(g, n)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group)
            for (int block = 0; block < blocks; ++block)
                for (int band = 0; band < bands; ++band) {
                    float *col = scratch->thread + omp_get_thread_num() * scratch->per_thread;
                    int c0 = block * step;
                    scatter_part(g, weights + group * g->m * k, cp_at(y, b) + group * out, c0, min(step, g->c - c0),
                                 g->h * band / bands, g->h * (band + 1) / bands, cp_at(x, b) + group * in, col);
                }
}

/* ---------------------------------------------------------------- the row of the table */

enum {
    LARGE_WEIGHTS = 1 << 20, /* floats: no turned copy of more */
    FULL = 16,               /* rows and columns of matrices that sgemm is made for */
    FULL_SCATTER = 64        /* rows of those whose results col2im has yet to add */
};
static const double sgemm_rate = 46, pointwise_rate = 41;

/* On a core that multiplies and adds 50e9 times a second with sgemm; only ratios matter. The rates and the cost of moving
 * were measured on VGG-16, SqueezeNet and YOLOv3-tiny layers (AVX-512). The matrices of groups can be thin. */
double cp_gather_cost(const cp_window *g)
{
    double k = (double)g->c * g->size * g->size, positions = (double)g->groups * g->out_h * g->out_w;
    double thin = g->groups == 1 ? 1 : (double)min(g->m, FULL) * (k < FULL ? k : FULL) / (FULL * FULL);
    if (cp_is_pointwise(g)) /* cut into thin products */
        return k * g->m / (pointwise_rate * thin) * positions;
    return (k * g->m / (sgemm_rate * thin) + .4 * k) * positions;
}

static double scatter_cost(const cp_window *g)
{
    double k = (double)g->c * g->size * g->size;
    return cp_gather_cost(g) * (k < FULL_SCATTER ? FULL_SCATTER / k : 1);
}

static bool turns(const cp_product *p)
{
    const cp_window *g = &p->window;
    bool large = (double)g->groups * g->m * g->c * g->size * g->size > LARGE_WEIGHTS;
    return p->backward && cp_turns(g) && (g->size == 1 || !large);
}

static bool fits(const cp_product *p) { return (void)p, true; }

static cp_status offer(cp_product *p)
{
    const cp_window *g = &p->window;
    bool scatters = p->backward && !turns(p);
    cp_window gather = cp_gather_window(p);
    p->cost = p->backward && !cp_turns(g) ? scatter_cost(g) : cp_gather_cost(&gather);
    if (scatters) p->per_thread = cp_scatter_scratch(g);
    else cp_gather_scratch(&gather, &p->per_thread, &p->shared);
    if (turns(p)) p->bytes = sizeof(float) * g->groups * g->m * g->c * g->size * g->size;
    return CP_OK;
}

static cp_status load(cp_product *p) { return turns(p) ? cp_turned_weights(p, (float **)&p->own) : CP_OK; }

static void forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch)
{
    cp_gather(&p->window, p->weights, n, x, y, false, bias, activation, scratch);
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window *g = &p->window, gather = cp_gather_window(p);
    if (p->own) {
        cp_gather(&gather, p->own, n, y, x, !fresh, NULL, LINEAR, scratch);
        return;
    }
    if (fresh) cp_batch_clear(x, n, (size_t)g->groups * g->c * g->h * g->w);
    cp_scatter(g, p->weights, n, y, x, scratch);
}

const cp_kernel cp_conv_gemm = {.name = "gemm", .fits = fits, .open = offer, .load = load, .forward = forward,
                                  .backward = backward};
