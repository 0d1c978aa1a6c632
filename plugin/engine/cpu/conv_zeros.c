/* Zeros that a product of whole tiles does not keep. A Winograd tile transforms everything it reads, so an output whose own
 * window holds zeros alone gets what rounding leaves of its neighbours: 1e-9 instead of 0. */
#include <string.h>

#include "engine/cpu/conv.h"

enum { LANES = 16 };

/* Of LANES floats, as bits without the sign: -0 is 0. */
static inline __attribute__((always_inline)) uint32_t any_of(const float *x)
{
    uint32_t bits[LANES], any = 0;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < LANES; ++i) any |= bits[i] & 0x7fffffffu;
    return any;
}

CP_CLONES static bool all_zero(const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        if (any_of(x + i)) return false;
    for (; i < n; ++i)
        if (x[i] != 0) return false;
    return true;
}

bool cp_zero_rows(const cp_window *g, const float *x, int first, int last)
{
    size_t plane = (size_t)g->h * g->w;
    if (first < 0) first = 0;
    if (last > g->h) last = g->h;
    if (first >= last) return true;
    for (int c = 0; c < g->c; ++c)
        if (!all_zero(x + c * plane + (size_t)first * g->w, (size_t)(last - first) * g->w)) return false;
    return true;
}

size_t cp_zero_windows_scratch(const cp_window *g, int rows)
{
    return ((size_t)rows + g->size) * ((size_t)g->w + 2 * g->pad) / sizeof(float) + 1;
}

/* seen (rows, pad + w + pad): whether any channel of band (blocks, rows, w, LANES) is other than 0. Returns whether every
 * position is. */
CP_CLONES static bool mark_seen(const cp_window *g, const float *band, int blocks, int rows, uint8_t *seen)
{
    size_t line = (size_t)g->w + 2 * g->pad, block = (size_t)rows * g->w * LANES;
    bool everywhere = true;
    for (int y = 0; y < rows; ++y, seen += line) {
        memset(seen, 0, line);
        for (int x = 0; x < g->w; ++x) {
            const float *at = band + ((size_t)y * g->w + x) * LANES;
            bool here = false;
            for (int b = 0; b < blocks && !here; ++b) here = any_of(at + b * block) != 0;
            seen[g->pad + x] = here;
            everywhere &= here;
        }
    }
    return everywhere;
}

/* Of one output row: to[x] = whether anything in its window was seen. tall (line): work. Returns whether all are. */
static bool widen(const cp_window *g, const uint8_t *seen, uint8_t *tall)
{
    size_t line = (size_t)g->w + 2 * g->pad;
    bool everywhere = true;
    memcpy(tall, seen, line);
    for (int ky = 1; ky < g->size; ++ky)
        for (size_t i = 0; i < line; ++i) tall[i] |= seen[ky * line + i];
    for (int x = 0; x < g->out_w; ++x) {
        for (int kx = 1; kx < g->size; ++kx) tall[x] |= tall[x + kx];
        everywhere &= tall[x];
    }
    return everywhere;
}

void cp_zero_windows(const cp_window *g, const float *x_band, int x_blocks, int rows, float *y_band, int y_blocks, float *scratch)
{
    size_t line = (size_t)g->w + 2 * g->pad, row = (size_t)g->out_w * LANES;
    int in_rows = rows + g->size - 1;
    uint8_t *seen = (uint8_t *)scratch, *tall = seen + in_rows * line;
    if (mark_seen(g, x_band, x_blocks, in_rows, seen)) return;
    for (int y = 0; y < rows; ++y) {
        if (widen(g, seen + y * line, tall)) continue;
        for (int b = 0; b < y_blocks; ++b)
            for (int x = 0; x < g->out_w; ++x)
                if (!tall[x]) memset(y_band + ((size_t)b * rows + y) * row + (size_t)x * LANES, 0, LANES * sizeof *y_band);
    }
}
