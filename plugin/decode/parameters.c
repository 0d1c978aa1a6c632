#include "decode/parameters.h"

#include <math.h>
#include <string.h>

#include "decode/spectrum.h"
#include "io/error.h"
#include "io/random.h"

/* Colours without correlation (rows) in red, green, blue: the root of ImageNet's colour covariance, scaled so that the longest
 * column is 1 (Olah et al. 2017). */
static const float colours[3][3] = {
    {.56282854f, .58447580f, .58447580f}, {.19482528f, 0, -.19482528f}, {.04329450f, -.10823626f, .06494176f}};
static const float LITTLE = 1e-4f;        /* added to the standard deviation of MACO's plane */
static const float DAMPED = .25f;         /* of the Fourier plane, so that the first image is grey */
static const float DARKEST = 1.f / 512;   /* of a photo: below it the sigmoid's inverse would run away */

struct cp_parameters {
    cp_parameterisation kind;
    size_t c, h, w, columns, count;
    float *value;     /* (count) */
    float *image;     /* (c,h,w), the last */
    float *plane;     /* (c,h,w): before colours and sigmoid */
    float *mixed;     /* (c,h,w): room for a gradient */
    float *base;      /* (c,h,w): sigmoid^-1 of the photo */
    float *scale;     /* (h,columns): of v */
    float *magnitude; /* (c,h,columns) */
    float *half;      /* (h,columns,2) */
    double mean, deviation; /* of MACO's plane, all channels */
    cp_spectrum *spectrum;
};

void cp_parameters_free(cp_parameters *p)
{
    if (!p)
        return;
    float *const rooms[] = {p->value, p->image, p->plane, p->mixed, p->base, p->scale, p->magnitude, p->half};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        cp_free(rooms[i]);
    cp_spectrum_free(p->spectrum);
    cp_free(p);
}

/* ---------------------------------------------------------------- start */

/* v is divided by the frequency, or a power of it, since that is how natural images are spread. Powers get one mean square, so that
 * a step of the optimiser moves the image as far with either. */
static void fill_scale(cp_parameters *p, double power)
{
    double least = 1. / (double)(p->h > p->w ? p->h : p->w), plain = 0, powered = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t y = 0; y < p->h; y++)
            for (size_t x = 0; x < p->columns; x++) {
                double f = fmax(cp_spectrum_frequency(p->spectrum, y, x), least);
                if (!pass) {
                    plain += pow(f, -2);
                    powered += pow(f, -2 * power);
                } else {
                    p->scale[y * p->columns + x] =
                        (float)(pow(f, -power) * sqrt(plain / powered * (double)(p->h * p->w)));
                }
            }
}

static void fill_normal(float *value, size_t n, double deviation, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < n; i += 2) {
        float pair[2];
        cp_random_normal(&state, pair);
        value[i] = (float)deviation * pair[0];
        if (i + 1 < n)
            value[i + 1] = (float)deviation * pair[1];
    }
}

static void fill_base(cp_parameters *p, const float *photo)
{
    for (size_t i = 0; i < p->c * p->h * p->w; i++) {
        float v = fminf(fmaxf(photo[i], DARKEST), 1 - DARKEST);
        p->base[i] = logf(v / (1 - v));
    }
}

static cp_status reserve(cp_parameters *p)
{
    size_t plane = p->h * p->w, halves = p->h * p->columns;
    const struct { float **room; size_t count; bool needed; } rooms[] = {
        {&p->value, p->count, true},
        {&p->image, p->c * plane, true},
        {&p->plane, p->c * plane, true},
        {&p->mixed, p->c * plane, true},
        {&p->half, 2 * halves, true},
        {&p->base, p->c * plane, p->kind == CP_PARAMETERS_PHOTO},
        {&p->scale, halves, p->kind == CP_PARAMETERS_PHOTO || p->kind == CP_PARAMETERS_FOURIER},
        {&p->magnitude, p->c * halves, p->kind == CP_PARAMETERS_MACO},
    };
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (rooms[i].needed && !(*rooms[i].room = cp_alloc(rooms[i].count, sizeof(float), "image parameters")))
            return CP_ERESOURCE;
    return CP_OK;
}

cp_status cp_parameters_create(cp_parameterisation kind, size_t c, size_t h, size_t w, const float *given, uint64_t seed,
                               cp_parameters **parameters)
{
    cp_parameters *p = cp_alloc(1, sizeof *p, "image parameters");
    *parameters = NULL;
    if (!p)
        return CP_ERESOURCE;
    *p = (cp_parameters){.kind = kind, .c = c, .h = h, .w = w, .columns = w / 2 + 1};
    size_t halves = h * p->columns;
    p->count = kind == CP_PARAMETERS_PIXELS ? c * h * w : kind == CP_PARAMETERS_MACO ? c * halves : 2 * c * halves;
    cp_status status = cp_spectrum_create(h, w, &p->spectrum);
    if (!status)
        status = reserve(p);
    if (status) {
        cp_parameters_free(p);
        return status;
    }
    if (p->scale)
        fill_scale(p, kind == CP_PARAMETERS_PHOTO ? 1.5 : 1);
    if (p->magnitude)
        memcpy(p->magnitude, given, c * halves * sizeof *given);
    if (p->base)
        fill_base(p, given);
    else
        fill_normal(p->value, p->count, kind == CP_PARAMETERS_MACO ? 1 : .01, seed);
    *parameters = p;
    return CP_OK;
}

size_t cp_parameters_count(const cp_parameters *p) { return p->count; }
float *cp_parameters_values(cp_parameters *p) { return p->value; }

/* ---------------------------------------------------------------- values to image */

/* In a column that holds each frequency twice the phase is half the difference of the two: then both say the same, and the
 * magnitude stays what it is. */
static float phase_at(const cp_parameters *p, const float *phase, size_t y, size_t x)
{
    float own = phase[y * p->columns + x];
    return x == 0 || 2 * x == p->w ? .5f * (own - phase[(p->h - y) % p->h * p->columns + x]) : own;
}

static void fill_half(cp_parameters *p, size_t k)
{
    size_t halves = p->h * p->columns;
    if (p->kind != CP_PARAMETERS_MACO) {
        const float *v = p->value + 2 * k * halves;
        for (size_t i = 0; i < halves; i++) {
            p->half[2 * i] = p->scale[i] * v[2 * i];
            p->half[2 * i + 1] = p->scale[i] * v[2 * i + 1];
        }
        return;
    }
    const float *phase = p->value + k * halves, *r = p->magnitude + k * halves;
    for (size_t y = 0; y < p->h; y++)
        for (size_t x = 0; x < p->columns; x++) {
            size_t i = y * p->columns + x;
            float angle = phase_at(p, phase, y, x);
            p->half[2 * i] = r[i] * cosf(angle);
            p->half[2 * i + 1] = r[i] * sinf(angle);
        }
}

static void standardise(cp_parameters *p)
{
    size_t n = p->c * p->h * p->w;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += p->plane[i];
    p->mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += pow(p->plane[i] - p->mean, 2);
    p->deviation = sqrt(squares / (double)n);
    for (size_t i = 0; i < n; i++)
        p->plane[i] = (float)((p->plane[i] - p->mean) / (p->deviation + LITTLE));
}

/* to_image: colours of what is at a pixel. Otherwise the adjoint of that. */
static void mix(const cp_parameters *p, const float *from, float *to, bool to_image)
{
    size_t plane = p->h * p->w;
    if (p->c != 3) {
        memmove(to, from, p->c * plane * sizeof *to);
        return;
    }
    for (size_t i = 0; i < plane; i++) {
        float in[3] = {from[i], from[plane + i], from[2 * plane + i]};
        for (size_t j = 0; j < 3; j++) {
            float sum = 0;
            for (size_t k = 0; k < 3; k++)
                sum += (to_image ? colours[k][j] : colours[j][k]) * in[k];
            to[j * plane + i] = sum;
        }
    }
}

const float *cp_parameters_image(cp_parameters *p)
{
    size_t plane = p->h * p->w, n = p->c * plane;
    if (p->kind == CP_PARAMETERS_PIXELS) {
        memcpy(p->image, p->value, n * sizeof *p->image);
    } else {
        for (size_t k = 0; k < p->c; k++) {
            fill_half(p, k);
            cp_spectrum_to_plane(p->spectrum, p->half, p->plane + k * plane);
        }
        if (p->kind == CP_PARAMETERS_MACO)
            standardise(p);
        mix(p, p->plane, p->image, true);
        float damped = p->kind == CP_PARAMETERS_MACO ? 1 : DAMPED;
        for (size_t i = 0; i < n; i++)
            p->image[i] = damped * p->image[i] + (p->base ? p->base[i] : 0);
    }
    for (size_t i = 0; i < n; i++)
        p->image[i] = 1 / (1 + expf(-p->image[i]));
    return p->image;
}

/* ---------------------------------------------------------------- gradient */

/* y = (x - mean) / (deviation + LITTLE); plane holds y. */
static void standardise_adjoint(const cp_parameters *p, float *gradient)
{
    size_t n = p->c * p->h * p->w;
    double s = p->deviation + LITTLE, mean = 0, along = 0;
    for (size_t i = 0; i < n; i++) {
        mean += gradient[i];
        along += (double)gradient[i] * p->plane[i];
    }
    mean /= (double)n;
    along *= p->deviation > 0 ? s / (p->deviation * (double)n) : 0;
    for (size_t i = 0; i < n; i++)
        gradient[i] = (float)((gradient[i] - mean - along * p->plane[i]) / s);
}

static void phase_gradient(cp_parameters *p, size_t k, float *gradient)
{
    size_t halves = p->h * p->columns;
    const float *phase = p->value + k * halves, *r = p->magnitude + k * halves;
    memset(gradient, 0, halves * sizeof *gradient);
    for (size_t y = 0; y < p->h; y++)
        for (size_t x = 0; x < p->columns; x++) {
            size_t i = y * p->columns + x;
            float angle = phase_at(p, phase, y, x);
            float slope = r[i] * (cosf(angle) * p->half[2 * i + 1] - sinf(angle) * p->half[2 * i]);
            if (x == 0 || 2 * x == p->w) {
                gradient[i] += .5f * slope;
                gradient[(p->h - y) % p->h * p->columns + x] -= .5f * slope;
            } else {
                gradient[i] = slope;
            }
        }
}

void cp_parameters_gradient(cp_parameters *p, const float *image_gradient, float *gradient)
{
    size_t plane = p->h * p->w, n = p->c * plane, halves = p->h * p->columns;
    float *out = p->kind == CP_PARAMETERS_PIXELS ? gradient : p->mixed;
    for (size_t i = 0; i < n; i++)
        out[i] = image_gradient[i] * p->image[i] * (1 - p->image[i]);
    if (p->kind == CP_PARAMETERS_PIXELS)
        return;
    mix(p, p->mixed, p->mixed, false);
    if (p->kind == CP_PARAMETERS_MACO)
        standardise_adjoint(p, p->mixed);
    for (size_t k = 0; k < p->c; k++) {
        cp_spectrum_adjoint(p->spectrum, p->mixed + k * plane, p->half);
        if (p->kind == CP_PARAMETERS_MACO) {
            phase_gradient(p, k, gradient + k * halves);
            continue;
        }
        float *g = gradient + 2 * k * halves;
        for (size_t i = 0; i < halves; i++) {
            g[2 * i] = DAMPED * p->scale[i] * p->half[2 * i];
            g[2 * i + 1] = DAMPED * p->scale[i] * p->half[2 * i + 1];
        }
    }
}

/* ---------------------------------------------------------------- magnitudes of a list */

/* The inverse of the matrix of colours, by its adjugate. */
static void unmix(const float rgb[3], double out[3])
{
    double m[3][3], determinant = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            int a = (j + 1) % 3, b = (j + 2) % 3, k = (i + 1) % 3, l = (i + 2) % 3;
            m[i][j] = (double)colours[k][a] * colours[l][b] - (double)colours[k][b] * colours[l][a];
        }
    for (int j = 0; j < 3; j++)
        determinant += colours[0][j] * m[0][j];
    for (int i = 0; i < 3; i++)
        out[i] = (m[i][0] * rgb[0] + m[i][1] * rgb[1] + m[i][2] * rgb[2]) / determinant;
}

cp_status cp_parameters_add_magnitudes(const float *image, size_t c, size_t h, size_t w, double *sum)
{
    cp_spectrum *spectrum;
    cp_status status = cp_spectrum_create(h, w, &spectrum);
    if (status)
        return status;
    size_t plane = h * w, halves = h * cp_spectrum_columns(spectrum);
    float *half = cp_alloc(2 * halves, sizeof *half, "spectrum"), *own = cp_alloc(c * plane, sizeof *own, "spectrum");
    if (!half || !own)
        status = CP_ERESOURCE;
    for (size_t i = 0; i < plane && !status; i++) {
        double mixed[3];
        const float rgb[3] = {image[i], c == 3 ? image[plane + i] : 0, c == 3 ? image[2 * plane + i] : 0};
        unmix(rgb, mixed);
        for (size_t k = 0; k < c; k++)
            own[k * plane + i] = c == 3 ? (float)mixed[k] : image[k * plane + i];
    }
    for (size_t k = 0; k < c && !status; k++) {
        cp_spectrum_of(spectrum, own + k * plane, half);
        for (size_t i = 0; i < halves; i++)
            sum[k * halves + i] += hypot(half[2 * i], half[2 * i + 1]);
    }
    cp_free(half);
    cp_free(own);
    cp_spectrum_free(spectrum);
    return status;
}
