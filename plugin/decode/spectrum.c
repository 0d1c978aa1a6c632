#include "decode/spectrum.h"

#include <fftw3.h>
#include <math.h>
#include <string.h>

#include "io/error.h"

struct cp_spectrum {
    size_t h, w, columns;
    float *plane;
    fftwf_complex *half;
    fftwf_plan there, back;
};

void cp_spectrum_free(cp_spectrum *s)
{
    if (!s)
        return;
    fftwf_destroy_plan(s->there);
    fftwf_destroy_plan(s->back);
    fftwf_free(s->plane);
    fftwf_free(s->half);
    cp_free(s);
}

/* FFTW_ESTIMATE: a plan that is measured could be another one, with other rounding, in every run. */
cp_status cp_spectrum_create(size_t h, size_t w, cp_spectrum **spectrum)
{
    cp_spectrum *s = cp_alloc(1, sizeof *s, "spectrum");
    *spectrum = NULL;
    if (!s)
        return CP_ERESOURCE;
    *s = (cp_spectrum){.h = h, .w = w, .columns = w / 2 + 1};
    s->plane = fftwf_malloc(h * w * sizeof *s->plane);
    s->half = fftwf_malloc(h * s->columns * sizeof *s->half);
    if (s->plane && s->half) {
        s->there = fftwf_plan_dft_r2c_2d((int)h, (int)w, s->plane, s->half, FFTW_ESTIMATE);
        s->back = fftwf_plan_dft_c2r_2d((int)h, (int)w, s->half, s->plane, FFTW_ESTIMATE);
    }
    if (!s->there || !s->back) {
        cp_spectrum_free(s);
        return cp_fail(CP_ERESOURCE, "spectrum: out of memory for a plane of %zu x %zu", w, h);
    }
    *spectrum = s;
    return CP_OK;
}

size_t cp_spectrum_columns(const cp_spectrum *s) { return s->columns; }

void cp_spectrum_of(cp_spectrum *s, const float *plane, float *half)
{
    memcpy(s->plane, plane, s->h * s->w * sizeof *plane);
    fftwf_execute(s->there);
    memcpy(half, s->half, s->h * s->columns * sizeof *s->half);
}

/* Whether a column holds each of its frequencies twice: at rows y and h-y, the one the conjugate of the other. */
static bool is_doubled(const cp_spectrum *s, size_t column) { return column == 0 || 2 * column == s->w; }

static void make_hermitian(cp_spectrum *s, size_t column)
{
    for (size_t y = 0; y <= s->h / 2; y++) {
        float *a = s->half[y * s->columns + column], *b = s->half[(s->h - y) % s->h * s->columns + column];
        float real = .5f * (a[0] + b[0]), imaginary = .5f * (a[1] - b[1]);
        a[0] = b[0] = real;
        a[1] = imaginary;
        b[1] = -imaginary;
    }
}

void cp_spectrum_to_plane(cp_spectrum *s, const float *half, float *plane)
{
    memcpy(s->half, half, s->h * s->columns * sizeof *s->half);
    for (size_t x = 0; x < s->columns; x++)
        if (is_doubled(s, x))
            make_hermitian(s, x);
    fftwf_execute(s->back);
    float scale = 1 / (float)(s->h * s->w);
    for (size_t i = 0; i < s->h * s->w; i++)
        plane[i] = scale * s->plane[i];
}

/* A value of the half spectrum stands for itself and its conjugate, but where both are in it. */
void cp_spectrum_adjoint(cp_spectrum *s, const float *plane, float *half)
{
    cp_spectrum_of(s, plane, half);
    float once = 1 / (float)(s->h * s->w);
    for (size_t y = 0; y < s->h; y++)
        for (size_t x = 0; x < s->columns; x++) {
            float *value = half + 2 * (y * s->columns + x), scale = is_doubled(s, x) ? once : 2 * once;
            value[0] *= scale;
            value[1] *= scale;
        }
}

double cp_spectrum_frequency(const cp_spectrum *s, size_t row, size_t column)
{
    double y = (double)(row <= s->h / 2 ? row : s->h - row) / (double)s->h, x = (double)column / (double)s->w;
    return sqrt(x * x + y * y);
}
