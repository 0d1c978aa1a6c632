/* 3x3 convolutions at stride 1 in tiles of 2x2 or 4x4 outputs: Winograd's minimal filtering, as in Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks", CVPR 2016, equation 8: Y = A^T [(G g G^T) * (B^T d B)] A.
 *
 * A tile of n x n outputs reads (n+2) x (n+2) inputs and takes (n+2)^2 products per pair of channels in place of 9 n^2: 2.25
 * (n = 2) or 4 (n = 4) times fewer. The interpolation points are 0, 1, -1 and infinity, or 0, +-5/8, +-3/2 and infinity; the
 * latter round less than Lavin's 0, +-1, +-2, and every constant of B^T is exact.
 *
 * The input is transformed for all tiles of a band of rows; then, for 32 output channels at a time, the products over the
 * input channels, and the transform back. All is done in vectors of 16 channels, as they lie in the band. */
#include <string.h>

#include "engine/cpu/conv_bands.h"
#include "io/error.h"

enum { LANES = CP_BAND_LANES, PANEL = 2 * LANES, MOST_POINTS = 36 };

typedef float lanes __attribute__((vector_size(64), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

static const float A = .625f, B = 1.5f, A2 = .390625f, B2 = 2.25f;

static int points_of(int tile) { return (tile + 2) * (tile + 2); }
static int tiles_of(int length, int tile) { return (length + tile - 1) / tile; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/* ---- the three transforms, in one dimension; elements are `step` vectors apart ---- */

/* to (n+2) = B^T from (n+2) */
INLINE void input_points(int tile, const lanes *d, int step, lanes *to, int to_step)
{
    if (tile == 2) {
        to[0] = d[2 * step] - d[0];
        to[to_step] = d[2 * step] + d[step];
        to[2 * to_step] = d[2 * step] - d[step];
        to[3 * to_step] = d[3 * step] - d[step];
        return;
    }
    lanes even_a = d[4 * step] - B2 * d[2 * step], odd_a = A * (d[3 * step] - B2 * d[step]);
    lanes even_b = d[4 * step] - A2 * d[2 * step], odd_b = B * (d[3 * step] - A2 * d[step]);
    to[0] = d[4 * step] - (A2 + B2) * d[2 * step] + A2 * B2 * d[0];
    to[to_step] = even_a + odd_a;
    to[2 * to_step] = even_a - odd_a;
    to[3 * to_step] = even_b + odd_b;
    to[4 * to_step] = even_b - odd_b;
    to[5 * to_step] = d[5 * step] - (A2 + B2) * d[3 * step] + A2 * B2 * d[step];
}

/* to (n) = A^T from (n+2) */
INLINE void output_values(int tile, const lanes *y, int step, lanes *to, int to_step)
{
    lanes even_a = y[step] + y[2 * step], odd_a = y[step] - y[2 * step];
    if (tile == 2) {
        to[0] = y[0] + even_a;
        to[to_step] = odd_a + y[3 * step];
        return;
    }
    lanes even_b = y[3 * step] + y[4 * step], odd_b = y[3 * step] - y[4 * step];
    to[0] = y[0] + even_a + even_b;
    to[to_step] = A * odd_a + B * odd_b;
    to[2 * to_step] = A2 * even_a + B2 * even_b;
    to[3 * to_step] = A2 * A * odd_a + B2 * B * odd_b + y[5 * step];
}

/* to (n+2) = G from (3) */
INLINE void weight_points(int tile, const lanes *g, int step, lanes *to, int to_step)
{
    if (tile == 2) {
        to[0] = -g[0];
        to[to_step] = .5f * (g[0] + g[2 * step] + g[step]);
        to[2 * to_step] = .5f * (g[0] + g[2 * step] - g[step]);
        to[3 * to_step] = g[2 * step];
        return;
    }
    /* One over the product of a point's differences from the others. */
    const float at_0 = 1 / (A2 * B2), at_a = 1 / (2 * A2 * (A2 - B2)), at_b = 1 / (2 * B2 * (B2 - A2));
    lanes even_a = at_a * (g[0] + A2 * g[2 * step]), odd_a = at_a * A * g[step];
    lanes even_b = at_b * (g[0] + B2 * g[2 * step]), odd_b = at_b * B * g[step];
    to[0] = at_0 * g[0];
    to[to_step] = even_a + odd_a;
    to[2 * to_step] = even_a - odd_a;
    to[3 * to_step] = even_b + odd_b;
    to[4 * to_step] = even_b - odd_b;
    to[5 * to_step] = g[2 * step];
}

/* ---- weights: (panels of 32 output channels, points, C, 32) ---- */

static size_t weight_floats(const cp_window *g, int tile)
{
    return round_up(g->m, PANEL) * points_of(tile) * g->c;
}

/* Of channels m.. and c: u (points), `point_floats` apart. */
INLINE void transform_weights(const cp_window *g, int tile, const float *weights, int m, int c, float *u,
                              size_t point_floats)
{
    int side = tile + 2, count = g->m - m < LANES ? g->m - m : LANES;
    lanes taps[9], half[18], points[MOST_POINTS];
    memset(taps, 0, sizeof taps);
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < 9; ++k) taps[k][i] = weights[((size_t)(m + i) * g->c + c) * 9 + k];
    for (int k = 0; k < 3; ++k) weight_points(tile, taps + k, 3, half + k, 3);
    for (int k = 0; k < side; ++k) weight_points(tile, half + 3 * k, 1, points + side * k, 1);
    for (int p = 0; p < side * side; ++p) *(lanes *)(u + p * point_floats) = points[p];
}

CP_CLONES static void load_panel(const cp_window *g, int tile, const float *weights, int panel, float *u)
{
    size_t point_floats = (size_t)g->c * PANEL;
    u += (size_t)panel * points_of(tile) * point_floats;
    for (int c = 0; c < g->c; ++c)
        for (int half = 0; half < PANEL; half += LANES)
            if (tile == 2) transform_weights(g, 2, weights, panel * PANEL + half, c, u + c * PANEL + half, point_floats);
            else transform_weights(g, 4, weights, panel * PANEL + half, c, u + c * PANEL + half, point_floats);
}

static cp_status load(cp_bands *b, const float *weights)
{
    const cp_window *g = &b->window;
    int panels = (int)(round_up(g->m, PANEL) / PANEL);
#pragma omp parallel for schedule(dynamic)
    for (int panel = 0; panel < panels; ++panel) load_panel(g, b->tile, weights, panel, b->weights);
    return CP_OK;
}

/* ---- a band ---- */

static size_t band_tiles(const cp_window *g, int tile, int rows)
{
    return (size_t)tiles_of(rows, tile) * tiles_of(g->out_w, tile);
}

/* Of the transformed input, (points, tiles, channels): one vector more than the channels. What a product reads at a time
 * would lie a power of two apart otherwise, and little of it would stay in cache. */
static size_t tile_floats(const cp_window *g) { return round_up(g->c, LANES) + LANES; }
/* So too of the products of a panel, (points, tiles, 32). */
static size_t product_floats(size_t tiles) { return tiles * PANEL + LANES; }

static size_t tile_scratch(const cp_window *g, int tile, int rows)
{
    size_t tiles = band_tiles(g, tile, rows);
    return points_of(tile) * (tiles * tile_floats(g) + product_floats(tiles));
}

/* v: the points of one tile and block of channels; `x` is at its upper left corner, of which columns first <= j < last lie
 * in the image. */
INLINE void transform_tile(int tile, const float *x, size_t row_floats, int first, int last, float *v, size_t point_floats)
{
    int side = tile + 2;
    lanes d[MOST_POINTS], half[MOST_POINTS], points[MOST_POINTS];
    const lanes zero = {0};
    for (int i = 0; i < side; ++i)
        for (int j = 0; j < side; ++j)
            d[i * side + j] = j >= first && j < last ? *(const lanes *)(x + i * row_floats + j * LANES) : zero;
    for (int j = 0; j < side; ++j) input_points(tile, d + j, side, half + j, side);
    for (int i = 0; i < side; ++i) input_points(tile, half + i * side, 1, points + i * side, 1);
    for (int p = 0; p < side * side; ++p) *(lanes *)(v + p * point_floats) = points[p];
}

INLINE void transform_input(const cp_window *g, int tile, int rows, const float *x_band, float *v)
{
    int side = tile + 2, across = tiles_of(g->out_w, tile), down = tiles_of(rows, tile), in_rows = rows + 2;
    size_t channels = round_up(g->c, LANES), row_floats = (size_t)g->w * LANES;
    size_t point_floats = (size_t)across * down * tile_floats(g);
    for (size_t c = 0; c < channels; c += LANES, x_band += in_rows * row_floats)
        for (int ty = 0; ty < down; ++ty)
            for (int tx = 0; tx < across; ++tx) {
                int column = tx * tile - g->pad, first = column < 0 ? -column : 0, last = g->w - column;
                const float *x = x_band + ty * tile * row_floats + (ptrdiff_t)column * LANES;
                float *to = v + ((size_t)ty * across + tx) * tile_floats(g) + c;
                if (first == 0 && last >= side) transform_tile(tile, x, row_floats, 0, side, to, point_floats);
                else transform_tile(tile, x, row_floats, first, last, to, point_floats);
            }
}

/* y (tiles, 32) = v (tiles, C) u (C, 32), `vectors` of 16 columns; the sums stay in registers. */
INLINE void multiply(int tiles, int vectors, const float *v, size_t stride, const float *u, int c_count, float *y)
{
    lanes sum[14][2];
#pragma GCC unroll 14
    for (int t = 0; t < tiles; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < vectors; ++i) sum[t][i] = (lanes){0};
    for (int c = 0; c < c_count; ++c) {
        const lanes *weights = (const lanes *)(u + (size_t)c * PANEL);
#pragma GCC unroll 14
        for (int t = 0; t < tiles; ++t)
#pragma GCC unroll 2
            for (int i = 0; i < vectors; ++i) sum[t][i] += weights[i] * v[t * stride + c];
    }
#pragma GCC unroll 14
    for (int t = 0; t < tiles; ++t)
#pragma GCC unroll 2
        for (int i = 0; i < vectors; ++i) *(lanes *)(y + t * PANEL + i * LANES) = sum[t][i];
}

#define WHOLE(N) case N: multiply(N, 2, v, stride, u, c, y); break;
#define HALVES(N) \
    case N: \
        multiply(N, 1, v, stride, u, c, y); \
        multiply(N, 1, v, stride, u + LANES, c, y + LANES); \
        break;

/* How many tiles are multiplied at once: with AVX-512 sums of 14 tiles and 32 channels fill 28 of 32 registers, with AVX2
 * and the like those of 6 tiles and 16 channels 12 of 16. */
enum { WIDE_TILES = 14, NARROW_TILES = 6 };

INLINE void multiply_halves(int tiles, const float *v, size_t stride, const float *u, int c, float *y)
{
    switch (tiles) {
        HALVES(1) HALVES(2) HALVES(3) HALVES(4) HALVES(5) HALVES(6)
    }
}

static void multiply_plain(int tiles, const float *v, size_t stride, const float *u, int c, float *y)
{
    multiply_halves(tiles, v, stride, u, c, y);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void multiply_avx2(int tiles, const float *v, size_t stride, const float *u,
                                                              int c, float *y)
{
    multiply_halves(tiles, v, stride, u, c, y);
}

__attribute__((target("avx512f"))) static void multiply_avx512(int tiles, const float *v, size_t stride, const float *u,
                                                               int c, float *y)
{
    switch (tiles) {
        WHOLE(1) WHOLE(2) WHOLE(3) WHOLE(4) WHOLE(5) WHOLE(6) WHOLE(7)
        WHOLE(8) WHOLE(9) WHOLE(10) WHOLE(11) WHOLE(12) WHOLE(13) WHOLE(14)
    }
}
#endif

typedef struct {
    void (*multiply)(int tiles, const float *v, size_t stride, const float *u, int c, float *y);
    int most_tiles;
} kernel;

static kernel best_kernel(void)
{
#ifdef __x86_64__
    if (cp_has_avx512()) return (kernel){multiply_avx512, WIDE_TILES};
    if (cp_has_avx2()) return (kernel){multiply_avx2, NARROW_TILES};
#endif
    return (kernel){multiply_plain, NARROW_TILES};
}

/* Groups of tiles of about the same size, as large as the kernel takes. */
static void multiply_point(kernel k, int tiles, const float *v, size_t stride, const float *u, int c, float *y)
{
    int groups = tiles_of(tiles, k.most_tiles);
    for (int i = 0; i < groups; ++i) {
        int first = tiles * i / groups, count = tiles * (i + 1) / groups - first;
        k.multiply(count, v + first * stride, stride, u, c, y + (size_t)first * PANEL);
    }
}

/* One tile and block of channels; `columns` of its outputs lie in the image. */
INLINE void transform_back(int tile, const float *y, size_t point_floats, int columns, float *to, size_t row_floats)
{
    int side = tile + 2;
    lanes points[MOST_POINTS], half[24], values[16];
    for (int p = 0; p < side * side; ++p) points[p] = *(const lanes *)(y + p * point_floats);
    for (int j = 0; j < side; ++j) output_values(tile, points + j, side, half + j, side);
    for (int i = 0; i < tile; ++i) output_values(tile, half + i * side, 1, values + i * tile, 1);
    for (int i = 0; i < tile; ++i)
        for (int j = 0; j < columns; ++j) *(lanes *)(to + i * row_floats + j * LANES) = values[i * tile + j];
}

/* Of channels m.. m+15, from y (points, tiles, 32). */
INLINE void transform_output(const cp_window *g, int tile, int rows, const float *y, float *y_block)
{
    int across = tiles_of(g->out_w, tile), down = tiles_of(rows, tile);
    size_t row_floats = (size_t)g->out_w * LANES, point_floats = product_floats((size_t)across * down);
    for (int ty = 0; ty < down; ++ty)
        for (int tx = 0; tx < across; ++tx) {
            int columns = g->out_w - tx * tile;
            const float *from = y + ((size_t)ty * across + tx) * PANEL;
            float *to = y_block + ty * tile * row_floats + tx * tile * LANES;
            if (columns >= tile) transform_back(tile, from, point_floats, tile, to, row_floats);
            else transform_back(tile, from, point_floats, columns, to, row_floats);
        }
}

/* `tile` is a constant in each, and the loops over it are unrolled. */
CP_CLONES static void input_of(const cp_window *g, int tile, int rows, const float *x_band, float *v)
{
    if (tile == 2) transform_input(g, 2, rows, x_band, v);
    else transform_input(g, 4, rows, x_band, v);
}
CP_CLONES static void output_of(const cp_window *g, int tile, int rows, const float *y, float *y_block)
{
    if (tile == 2) transform_output(g, 2, rows, y, y_block);
    else transform_output(g, 4, rows, y, y_block);
}

/* x: (x_blocks, rows + 2, w, 16 channels), rows outside the image and channels beyond C 0; y: (y_blocks, rows, out_w,
 * 16 channels). */
static bool run(const cp_bands *b, cp_band *band)
{
    const cp_window *g = &b->window;
    int points = points_of(b->tile), tiles = (int)band_tiles(g, b->tile, b->rows);
    size_t stride = tile_floats(g), block = (size_t)b->rows * g->out_w * LANES;
    float *v = band->scratch, *sums = v + points * tiles * stride, *y = band->y;
    const float *weights = b->weights;
    kernel k = best_kernel();
    input_of(g, b->tile, b->rows, band->x, v);
    for (int m = 0; m < g->m; m += PANEL) {
        for (int p = 0; p < points; ++p, weights += (size_t)g->c * PANEL)
            multiply_point(k, tiles, v + p * tiles * stride, stride, weights, g->c, sums + p * product_floats(tiles));
        output_of(g, b->tile, b->rows, sums, y);
        if (m + LANES < g->m) output_of(g, b->tile, b->rows, sums + LANES, y + block);
        y += 2 * block;
    }
    cp_zero_windows(g, band->x, b->x_channels / LANES, b->rows, band->y, b->y_channels / LANES,
                    band->scratch + tile_scratch(g, b->tile, b->rows));
    return true;
}

/* ---- two rows of the table ---- */

static bool fits(const cp_product *p)
{
    const cp_window *g = &p->window;
    return g->groups == 1 && cp_is_compact(g) && g->size == 3 && g->stride == 1 && g->out_w >= 1 && g->out_h >= 1 &&
           (!p->backward || cp_turns(g));
}

static cp_status open_tiles(cp_product *p, int tile, int rows, double rate)
{
    static const cp_band_kernel kernel = {.load = load, .run = run};
    cp_bands *b = p->own = cp_alloc(1, sizeof *b, "convolution");
    if (!b) return CP_ERESOURCE;
    b->kernel = &kernel;
    b->window = cp_gather_window(p);
    b->tile = tile;
    b->x_block = b->y_block = LANES;
    cp_bands_divide(b, rows);
    b->weight_bytes = weight_floats(&b->window, tile) * sizeof(float);
    b->scratch_floats = tile_scratch(&b->window, tile, b->rows) + cp_zero_windows_scratch(&b->window, b->rows);
    cp_bands_offer(b, rate, p);
    return CP_OK;
}

/* Rows measured best on VGG-16. */
static cp_status open_2x2(cp_product *p) { return open_tiles(p, 2, 4, 130); }
static cp_status open_4x4(cp_product *p) { return open_tiles(p, 4, 8, 160); }

const cp_kernel cp_conv_winograd_2x2 = {.name = "winograd2x2", .fits = fits, .open = open_2x2, .load = cp_bands_load,
                                          .forward = cp_bands_forward, .backward = cp_bands_backward, .close = cp_bands_close};
const cp_kernel cp_conv_winograd_4x4 = {.name = "winograd4x4", .fits = fits, .open = open_4x4, .load = cp_bands_load,
                                          .forward = cp_bands_forward, .backward = cp_bands_backward, .close = cp_bands_close};
