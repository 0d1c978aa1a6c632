#include "ref_net.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void refuse(int layer, const char *why)
{
    fprintf(stderr, "reference network, layer %d: %s\n", layer, why);
    abort();
}

/* Knuth's 64-bit LCG, upper half. */
double ref_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

static double as_float(double x)
{
    return (double)(float)x;
}

static double or_one(double x)
{
    return x == 0 ? 1 : x;
}

double ref_activate(ref_activation activation, double z)
{
    switch (activation) {
    case REF_LOGISTIC: return 1 / (1 + exp(-z));
    case REF_LOGGY: return 2 / (1 + exp(-z)) - 1;
    case REF_RELU: return z > 0 ? z : 0;
    case REF_ELU: return z >= 0 ? z : exp(z) - 1;
    case REF_SELU: return z >= 0 ? 1.0507 * z : 1.0507 * 1.6732 * (exp(z) - 1);
    case REF_RELIE: return z > 0 ? z : .01 * z;
    case REF_RAMP: return z > 0 ? 1.1 * z : .1 * z;
    case REF_LEAKY: return z > 0 ? z : .1 * z;
    case REF_TANH: return tanh(z);
    case REF_PLSE: return z < -4 ? .01 * (z + 4) : z > 4 ? .01 * (z - 4) + 1 : .125 * z + .5;
    case REF_STAIR: {
        int n = (int)floor(z);
        return n % 2 == 0 ? floor(z / 2) : z - n + floor(z / 2);
    }
    case REF_HARDTAN: return z < -1 ? -1 : z > 1 ? 1 : z;
    case REF_LHTAN: return z < 0 ? .001 * z : z > 1 ? .001 * (z - 1) + 1 : z;
    case REF_MISH: return z * tanh(log1p(exp(z)));
    case REF_SWISH: return z / (1 + exp(-z));
    case REF_HARD_MISH: return z > 0 ? z : z > -2 ? z * z / 2 + z : 0;
    case REF_RELU6: return z < 0 ? 0 : z > 6 ? 6 : z;
    case REF_GELU: return .5 * z * (1 + tanh(.797885 * z + .035677 * z * z * z));
    default: return z;
    }
}

/* ---------------------------------------------------------------- shapes */

static int has_weights(const ref_layer *l)
{
    return l->type == REF_CONVOLUTIONAL || l->type == REF_DECONVOLUTIONAL || l->type == REF_CONNECTED ||
           l->type == REF_LOCAL || l->type == REF_BATCHNORM;
}

static int is_sum(const ref_layer *l) { return l->type == REF_SHORTCUT && (l->n_sources > 1 || l->sum); }

static void image_shape(ref_layer *l, int c, int h, int w)
{
    l->out_c = c;
    l->out_h = h;
    l->out_w = w;
    l->outputs = c * h * w;
}

static void shape_route(ref_net *net, int index)
{
    ref_layer *l = &net->layer[index];
    const ref_layer *first = &net->layer[l->sources[0]];
    image_shape(l, 0, first->out_h, first->out_w);
    for (int i = 0; i < l->n_sources; ++i) {
        const ref_layer *part = &net->layer[l->sources[i]];
        if (l->sources[i] >= index || part->out_h != first->out_h || part->out_w != first->out_w)
            refuse(index, "route over layers that do not fit");
        l->out_c += part->out_c / l->groups;
    }
    l->outputs = l->out_c * l->out_h * l->out_w;
}

static int strided(int length, const ref_layer *l)
{
    return (length + 2 * l->padding - l->size) / l->stride + 1;
}

static int strided_down(int length, const ref_layer *l)
{
    return (length + 2 * l->padding - l->size) / l->stride_y + 1;
}

static void shape(ref_net *net, int index)
{
    ref_layer *l = &net->layer[index];
    const ref_layer *before = index ? &net->layer[index - 1] : NULL;
    l->c = before ? before->out_c : net->c;
    l->h = before ? (before->blur ? before->blur_h : before->out_h) : net->h;
    l->w = before ? (before->blur ? before->blur_w : before->out_w) : net->w;
    l->inputs = l->c * l->h * l->w;
    l->size = l->size ? l->size : 1;
    l->stride = l->stride ? l->stride : 1;
    l->groups = l->groups ? l->groups : 1;
    l->stride_y = l->stride_y ? l->stride_y : l->stride;
    l->dilation = l->dilation ? l->dilation : 1;
    if (l->blur) {
        l->blur_stride = l->stride, l->blur_stride_y = l->stride_y;
        l->stride = l->stride_y = 1;
    }
    l->alpha = or_one(l->alpha);
    l->beta = or_one(l->beta);
    l->scale = or_one(l->scale);
    int s = l->stride;
    switch (l->type) {
    case REF_CONVOLUTIONAL:
        image_shape(l, l->filters, strided_down(l->h, l), strided(l->w, l));
        l->n_weights = (size_t)l->filters * (l->c / l->groups) * l->size * l->size;
        break;
    case REF_DECONVOLUTIONAL:
        image_shape(l, l->filters, (l->h - 1) * s + l->size - 2 * l->padding,
                    (l->w - 1) * s + l->size - 2 * l->padding);
        l->n_weights = (size_t)l->filters * l->c * l->size * l->size;
        break;
    case REF_CONNECTED:
        image_shape(l, l->filters, 1, 1);
        l->n_weights = (size_t)l->filters * l->inputs;
        break;
    case REF_LOCAL:
        if (l->padding && !(l->padding == 1 && l->size == 3))
            refuse(index, "local padding other than 1 at size 3");
        image_shape(l, l->filters, strided(l->h, l), strided(l->w, l));
        l->n_weights = (size_t)l->outputs * l->c * l->size * l->size;
        break;
    case REF_LOCAL_AVERAGE:
    case REF_MAXPOOL: {
        int padding = l->padding < 0 ? l->size - 1 : l->padding;
        image_shape(l, l->c, (l->h + padding - l->size) / l->stride_y + 1, (l->w + padding - l->size) / s + 1);
        if (l->depth)
            image_shape(l, l->depth, l->h, l->w);
        break;
    }
    case REF_AVGPOOL: image_shape(l, l->c, 1, 1); break;
    case REF_ROUTE: shape_route(net, index); break;
    case REF_UPSAMPLE:
        image_shape(l, l->c, l->reverse ? l->h / s : l->h * s, l->reverse ? l->w / s : l->w * s);
        break;
    case REF_OWN:
        l->own->shape(l);
        l->outputs = l->out_c * l->out_h * l->out_w;
        break;
    case REF_SCALE_CHANNELS: {
        const ref_layer *from = &net->layer[l->sources[0]];
        image_shape(l, from->out_c, from->out_h, from->out_w);
        break;
    }
    case REF_SHORTCUT:
        image_shape(l, l->c, l->h, l->w);
        l->n_weights = l->sum ? (size_t)(l->n_sources + 1) * (size_t)(l->per_channel ? l->c : 1) : 0;
        break;
    case REF_BATCHNORM:
        image_shape(l, l->c, l->h, l->w);
        l->filters = l->c;
        l->batch_normalize = 1;
        break;
    case REF_IMPLICIT:
        image_shape(l, l->filters, 1, 1);
        l->n_weights = (size_t)l->filters;
        break;
    case REF_REORG:
        if (l->flatten)
            image_shape(l, l->c, l->h, l->w);
        else if (l->c % (s * s))
            refuse(index, "reorg of channels that do not divide");
        else if (l->reverse)
            image_shape(l, l->c / (s * s), l->h * s, l->w * s);
        else
            image_shape(l, l->c * s * s, l->h / s, l->w / s);
        break;
    case REF_CROP: image_shape(l, l->c, l->crop_h, l->crop_w); break;
    default: image_shape(l, l->c, l->h, l->w); break;
    }
    if (l->out_h < 1 || l->out_w < 1 || l->out_c < 1)
        refuse(index, "empty output");
    if (l->blur) {
        int more = l->blur == 2 ? -2 : -1; /* padding less size */
        l->blur_h = (l->out_h + more) / l->blur_stride_y + 1;
        l->blur_w = (l->out_w + more) / l->blur_stride + 1;
    }
    l->n_biases = !has_weights(l) ? 0 : l->type == REF_LOCAL ? l->outputs : l->filters;
}

/* ---------------------------------------------------------------- layers: z from x */

static double pixel(const double *x, int h, int w, int channel, int row, int column)
{
    if (row < 0 || column < 0 || row >= h || column >= w)
        return 0;
    return x[((size_t)channel * h + row) * w + column];
}

static void convolutional(const ref_layer *l, const double *x)
{
    int per = l->c / l->groups;
    for (int f = 0; f < l->filters; ++f)
        for (int i = 0; i < l->out_h; ++i)
            for (int j = 0; j < l->out_w; ++j) {
                int from = f / (l->filters / l->groups) * per;
                double sum = 0;
                for (int c = 0; c < per; ++c)
                    for (int m = 0; m < l->size; ++m)
                        for (int n = 0; n < l->size; ++n)
                            sum += l->weights[((size_t)(f * per + c) * l->size + m) * l->size + n] *
                                   pixel(x, l->h, l->w, from + c, i * l->stride_y + (m - l->padding) * l->dilation,
                                         j * l->stride + (n - l->padding) * l->dilation);
                l->z[((size_t)f * l->out_h + i) * l->out_w + j] = sum;
            }
}

static void local(const ref_layer *l, const double *x)
{
    int area = l->size * l->size, locations = l->out_h * l->out_w;
    for (int f = 0; f < l->filters; ++f)
        for (int at = 0; at < locations; ++at) {
            int row = at / l->out_w * l->stride - l->padding, column = at % l->out_w * l->stride - l->padding;
            const double *weights = l->weights + ((size_t)at * l->filters + f) * l->c * area;
            double sum = l->biases[f * locations + at];
            for (int k = 0; k < l->c * area; ++k)
                sum += weights[k] * pixel(x, l->h, l->w, k / area, row + k % area / l->size, column + k % l->size);
            l->z[f * locations + at] = sum;
        }
}

static void deconvolutional(const ref_layer *l, const double *x)
{
    for (int i = 0; i < l->outputs; ++i)
        l->z[i] = 0;
    for (int c = 0; c < l->c; ++c)
        for (int i = 0; i < l->h; ++i)
            for (int j = 0; j < l->w; ++j)
                for (int f = 0; f < l->filters; ++f)
                    for (int m = 0; m < l->size; ++m)
                        for (int n = 0; n < l->size; ++n) {
                            int row = i * l->stride + m - l->padding, column = j * l->stride + n - l->padding;
                            if (row >= 0 && column >= 0 && row < l->out_h && column < l->out_w)
                                l->z[((size_t)f * l->out_h + row) * l->out_w + column] +=
                                    l->weights[((size_t)(c * l->filters + f) * l->size + m) * l->size + n] *
                                    x[((size_t)c * l->h + i) * l->w + j];
                        }
}

static void connected(const ref_layer *l, const double *x)
{
    for (int i = 0; i < l->outputs; ++i) {
        double sum = 0;
        for (int j = 0; j < l->inputs; ++j)
            sum += l->weights[(size_t)i * l->inputs + j] * x[j];
        l->z[i] = sum;
    }
}

/* Best and second best of a window, the first of equals is the best; -inf where there is none. */
static void window(const ref_layer *l, const double *x, int c, int i, int j, double best[2])
{
    int before = (l->padding < 0 ? l->size - 1 : l->padding) / 2;
    best[0] = best[1] = -INFINITY;
    if (l->depth) {
        for (int k = c; k < l->c; k += l->depth) {
            double value = x[((size_t)k * l->h + i) * l->w + j];
            best[1] = fmax(best[1], fmin(best[0], value));
            best[0] = fmax(best[0], value);
        }
        return;
    }
    for (int m = 0; m < l->size; ++m)
        for (int n = 0; n < l->size; ++n) {
            int row = i * l->stride_y + m - before, column = j * l->stride + n - before;
            if (row < 0 || column < 0 || row >= l->h || column >= l->w)
                continue;
            double value = x[((size_t)c * l->h + row) * l->w + column];
            if (value > best[0]) {
                best[1] = best[0];
                best[0] = value;
            } else if (value > best[1]) {
                best[1] = value;
            }
        }
}

static void maxpool(const ref_layer *l, const double *x)
{
    double best[2];
    for (int c = 0; c < l->out_c; ++c)
        for (int i = 0; i < l->out_h; ++i)
            for (int j = 0; j < l->out_w; ++j) {
                window(l, x, c, i, j, best);
                l->z[((size_t)c * l->out_h + i) * l->out_w + j] = best[0];
            }
}

static void avgpool(const ref_layer *l, const double *x)
{
    int area = l->h * l->w;
    for (int c = 0; c < l->c; ++c) {
        double sum = 0;
        for (int i = 0; i < area; ++i)
            sum += x[(size_t)c * area + i];
        l->z[c] = sum / area;
    }
}

/* The mean of what of a window is inside. */
static void local_average(const ref_layer *l, const double *x)
{
    int before = (l->padding < 0 ? l->size - 1 : l->padding) / 2;
    for (int o = 0; o < l->outputs; ++o) {
        int c = o / (l->out_h * l->out_w), i = o / l->out_w % l->out_h, j = o % l->out_w, count = 0;
        double sum = 0;
        for (int row = i * l->stride_y - before; row < i * l->stride_y - before + l->size; ++row)
            for (int column = j * l->stride - before; column < j * l->stride - before + l->size; ++column)
                if (row >= 0 && column >= 0 && row < l->h && column < l->w) {
                    sum += pixel(x, l->h, l->w, c, row, column);
                    ++count;
                }
        l->z[o] = sum / count;
    }
}

/* Factors of the sources of a sum with weights, for one channel; the layer before is the first. */
static void factors(const ref_layer *l, int channel, double *factor)
{
    double sum = 0, most = -INFINITY;
    for (int s = 0; s <= l->n_sources; ++s) {
        factor[s] = l->sum ? l->weights[l->per_channel ? s * l->c + channel : s] : 1;
        most = fmax(most, factor[s]);
    }
    for (int s = 0; s <= l->n_sources && l->sum; ++s) {
        factor[s] = l->sum == REF_SUM_SOFTMAX ? exp(factor[s] - most) : fmax(factor[s], .001);
        sum += factor[s];
    }
    for (int s = 0; s <= l->n_sources && l->sum; ++s)
        factor[s] /= 1e-4 + sum;
}

static void sum_of_layers(const ref_net *net, const ref_layer *l, const double *x)
{
    int area = l->h * l->w;
    double factor[REF_MAX_SOURCES + 1];
    for (int i = 0; i < l->outputs; ++i) {
        factors(l, i / area, factor);
        l->z[i] = factor[0] * x[i];
        for (int s = 0; s < l->n_sources; ++s)
            if (i < net->layer[l->sources[s]].outputs)
                l->z[i] += factor[s + 1] * net->layer[l->sources[s]].output[i];
    }
}

/* scale_channels and sam: the layer before times another. */
static void product(const ref_net *net, const ref_layer *l, const double *x)
{
    const double *from = net->layer[l->sources[0]].output;
    int area = l->out_h * l->out_w;
    for (int i = 0; i < l->outputs; ++i)
        l->z[i] = from[i] * x[l->type == REF_SAM ? i : l->planes ? i % area : i / area];
}

/* Where the two layers meet, alpha*z + beta*other; elsewhere z is not scaled. */
static void shortcut(const ref_net *net, const ref_layer *l, const double *x)
{
    const ref_layer *from = &net->layer[l->sources[0]];
    int stride = from->out_w / l->w, sample = l->w / from->out_w;
    stride = stride < 1 ? 1 : stride;
    sample = sample < 1 ? 1 : sample;
    for (int i = 0; i < l->outputs; ++i)
        l->z[i] = x[i];
    for (int c = 0; c < l->c && c < from->out_c; ++c)
        for (int i = 0; i < l->h && i < from->out_h; ++i)
            for (int j = 0; j < l->w && j < from->out_w; ++j) {
                double *z = &l->z[((size_t)c * l->h + i * sample) * l->w + j * sample];
                *z = l->alpha * *z +
                     l->beta * from->output[((size_t)c * from->out_h + i * stride) * from->out_w + j * stride];
            }
}

static void route(const ref_net *net, const ref_layer *l)
{
    double *z = l->z;
    for (int i = 0; i < l->n_sources; ++i) {
        const ref_layer *part = &net->layer[l->sources[i]];
        int count = part->outputs / l->groups;
        for (int k = 0; k < count; ++k)
            *z++ = part->output[count * l->group_id + k];
    }
}

static void upsample(const ref_layer *l, const double *x)
{
    if (l->reverse) {
        for (int i = 0; i < l->outputs; ++i)
            l->z[i] = 0;
        for (int i = 0; i < l->inputs; ++i) {
            int c = i / (l->h * l->w), row = i / l->w % l->h / l->stride, column = i % l->w / l->stride;
            l->z[(c * l->out_h + row) * l->out_w + column] += l->scale * x[i];
        }
        return;
    }
    for (int c = 0; c < l->c; ++c)
        for (int i = 0; i < l->out_h; ++i)
            for (int j = 0; j < l->out_w; ++j)
                l->z[((size_t)c * l->out_h + i) * l->out_w + j] =
                    l->scale * x[((size_t)c * l->h + i / l->stride) * l->w + j / l->stride];
}

/* The host walks the INPUT's shape (c, h, w) as the near side in both directions; the far side has c/s^2 channels of
 * (h*s, w*s). Backwards it reads near to far, forwards far to near. */
static void reorg(const ref_layer *l, const double *x)
{
    int s = l->stride, few = l->c / (s * s), area = l->h * l->w;
    if (l->flatten) {
        for (int c = 0; c < l->c; ++c)
            for (int i = 0; i < area; ++i)
                if (l->reverse)
                    l->z[c * area + i] = x[i * l->c + c];
                else
                    l->z[i * l->c + c] = x[c * area + i];
        return;
    }
    for (int c = 0; c < l->c; ++c)
        for (int i = 0; i < l->h; ++i)
            for (int j = 0; j < l->w; ++j) {
                int part = c / few, near = (c * l->h + i) * l->w + j;
                int far = (c % few * l->h * s + i * s + part / s) * l->w * s + j * s + part % s;
                if (l->reverse)
                    l->z[far] = x[near];
                else
                    l->z[near] = x[far];
            }
}

static void crop(const ref_layer *l, const double *x)
{
    int top = (l->h - l->out_h) / 2, left = (l->w - l->out_w) / 2;
    for (int c = 0; c < l->c; ++c)
        for (int i = 0; i < l->out_h; ++i)
            for (int j = 0; j < l->out_w; ++j) {
                double value = x[((size_t)c * l->h + i + top) * l->w + j + left];
                l->z[((size_t)c * l->out_h + i) * l->out_w + j] = l->noadjust ? value : 2 * value - 1;
            }
}

/* What the layer after l reads: windows of 1 2 1 by 1 2 1 sixteenths round every stride-th value, or means of 2x2. */
static const double *read_of(const ref_layer *l)
{
    static const int three[] = {1, 2, 1}, two[] = {2, 2};
    const int *weight = l->blur == 2 ? two : three;
    int size = l->blur == 2 ? 2 : 3, before = l->blur == 2 ? 0 : 1;
    if (!l->blur)
        return l->output;
    for (int c = 0; c < l->out_c; ++c)
        for (int i = 0; i < l->blur_h; ++i)
            for (int j = 0; j < l->blur_w; ++j) {
                double sum = 0;
                for (int m = 0; m < size; ++m)
                    for (int n = 0; n < size; ++n)
                        sum += weight[m] * weight[n] / 16. *
                               pixel(l->output, l->out_h, l->out_w, c, i * l->blur_stride_y + m - before,
                                     j * l->blur_stride + n - before);
                l->blurred[(c * l->blur_h + i) * l->blur_w + j] = sum;
            }
    return l->blurred;
}

/* Over the channels of each pixel: parts of 1, or nearly, as 1e-4 stands in the sum. */
static void normalize(const ref_layer *l, double *y)
{
    int area = l->out_h * l->out_w;
    for (int i = 0; i < area; ++i) {
        double sum = 1e-4, most = -INFINITY;
        for (int c = 0; c < l->out_c; ++c)
            most = fmax(most, l->z[c * area + i]);
        for (int c = 0; c < l->out_c; ++c) {
            double z = l->z[c * area + i];
            y[c * area + i] = l->activation == REF_NORMALIZE ? (z > 0 ? z : 0)
                              : exp(z - (l->activation == REF_NORMALIZE_MAXVAL ? most : 0));
            sum += y[c * area + i];
        }
        for (int c = 0; c < l->out_c; ++c)
            y[c * area + i] /= sum;
    }
}

/* z without bias and batch norm, but for the local layer, whose biases are one per output. */
static void linear_part(const ref_net *net, int index)
{
    const ref_layer *l = &net->layer[index];
    const double *x = index ? read_of(&net->layer[index - 1]) : net->input;
    switch (l->type) {
    case REF_CONVOLUTIONAL: convolutional(l, x); break;
    case REF_DECONVOLUTIONAL: deconvolutional(l, x); break;
    case REF_CONNECTED: connected(l, x); break;
    case REF_LOCAL: local(l, x); break;
    case REF_MAXPOOL: maxpool(l, x); break;
    case REF_AVGPOOL: avgpool(l, x); break;
    case REF_SHORTCUT:
        if (is_sum(l))
            sum_of_layers(net, l, x);
        else
            shortcut(net, l, x);
        break;
    case REF_LOCAL_AVERAGE: local_average(l, x); break;
    case REF_SCALE_CHANNELS:
    case REF_SAM: product(net, l, x); break;
    case REF_OWN: l->own->run(net, l, x); break;
    case REF_IMPLICIT:
        for (int i = 0; i < l->outputs; ++i)
            l->z[i] = l->weights[i];
        break;
    case REF_ROUTE: route(net, l); break;
    case REF_UPSAMPLE: upsample(l, x); break;
    case REF_REORG: reorg(l, x); break;
    case REF_CROP: crop(l, x); break;
    default: /* activation; dropout and softmax are the identity */
        for (int i = 0; i < l->outputs; ++i)
            l->z[i] = x[i];
    }
}

static void run_layer(const ref_net *net, int index)
{
    const ref_layer *l = &net->layer[index];
    linear_part(net, index);
    int area = l->out_h * l->out_w;
    if (has_weights(l) && l->type != REF_LOCAL)
        for (int i = 0; i < l->outputs; ++i) {
            int f = i / area;
            if (l->batch_normalize)
                l->z[i] = (l->z[i] - l->mean[f]) / (sqrt(l->variance[f]) + 1e-6) * l->scales[f];
            l->z[i] += l->biases[f];
        }
    int ties = l->activation >= REF_NORMALIZE;
    if (ties)
        normalize(l, l->normalized);
    for (int i = 0; i < l->outputs; ++i) {
        if (l->frozen && l->frozen[i])
            continue;
        l->output[i] = (ties ? l->normalized[i] : ref_activate(l->activation, l->z[i])) * (l->gate ? l->gate[i] : 1);
    }
}

void ref_net_forward(ref_net *net, int first)
{
    for (int i = first; i < net->n; ++i)
        run_layer(net, i);
}

/* ---------------------------------------------------------------- building */

static double *doubles(size_t n)
{
    double *memory = calloc(n ? n : 1, sizeof *memory);
    if (!memory)
        abort();
    return memory;
}

static void moments(const double *z, int n, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
        sum += z[i];
        squares += z[i] * z[i];
    }
    *mean = sum / n;
    *variance = squares / n - *mean * *mean;
    *variance = *variance > 1e-3 ? *variance : 1e-3;
}

static double *copy_of(const double *from, size_t n)
{
    double *copy = doubles(n);
    for (size_t i = 0; i < n; ++i)
        copy[i] = from[i];
    return copy;
}

static void share_weights(ref_layer *l, const ref_layer *from)
{
    size_t n = (size_t)l->filters;
    l->weights = copy_of(from->weights, l->n_weights);
    l->biases = copy_of(from->biases, n);
    l->batch_normalize = from->batch_normalize;
    if (!l->batch_normalize)
        return;
    l->scales = copy_of(from->scales, n);
    l->mean = copy_of(from->mean, n);
    l->variance = copy_of(from->variance, n);
}

static void take_weights(ref_net *net, int index)
{
    ref_layer *l = &net->layer[index];
    int area = l->out_h * l->out_w;
    double mean, variance;
    if (l->share) {
        share_weights(l, &net->layer[l->share - 1]);
        return;
    }
    l->weights = doubles(l->n_weights);
    l->biases = doubles((size_t)l->n_biases);
    for (size_t i = 0; i < l->n_weights; ++i)
        l->weights[i] = as_float(ref_random(&net->random));
    if (l->batch_normalize) {
        l->scales = doubles((size_t)l->filters);
        l->mean = doubles((size_t)l->filters);
        l->variance = doubles((size_t)l->filters);
    }
    linear_part(net, index);
    moments(l->z, l->outputs, &mean, &variance);
    for (int f = 0; f < l->filters && l->batch_normalize; ++f) {
        if (area > 1)
            moments(l->z + (size_t)f * area, area, &mean, &variance);
        l->mean[f] = as_float(mean);
        l->variance[f] = as_float(variance);
        l->scales[f] = as_float(1 + .4 * ref_random(&net->random));
    }
    for (size_t i = 0; i < l->n_weights && !l->batch_normalize; ++i)
        l->weights[i] = as_float(l->weights[i] / sqrt(variance));
    for (int i = 0; i < l->n_biases; ++i)
        l->biases[i] = as_float(.2 + .5 * ref_random(&net->random));
}

void ref_net_build(ref_net *net, uint64_t seed)
{
    net->random = seed;
    for (int i = 0; i < 8; ++i)
        ref_random(&net->random);
    net->input = doubles((size_t)net->c * net->h * net->w);
    for (int i = 0; i < net->c * net->h * net->w; ++i)
        net->input[i] = as_float((ref_random(&net->random) + 1) / 2);
    for (int i = 0; i < net->n; ++i) {
        ref_layer *l = &net->layer[i];
        shape(net, i);
        l->z = doubles((size_t)l->outputs);
        l->output = doubles((size_t)l->outputs);
        l->blurred = l->blur ? doubles((size_t)(l->out_c * l->blur_h * l->blur_w)) : NULL;
        l->normalized = l->activation >= REF_NORMALIZE ? doubles((size_t)l->outputs) : NULL;
        if (has_weights(l))
            take_weights(net, i);
        else if (l->n_weights)
            l->weights = doubles(l->n_weights);
        for (size_t k = 0; k < l->n_weights && !has_weights(l); ++k)
            l->weights[k] = as_float(.3 + ref_random(&net->random));
        run_layer(net, i);
    }
}

void ref_net_free(ref_net *net)
{
    for (int i = 0; i < net->n; ++i) {
        ref_layer *l = &net->layer[i];
        double *owned[] = {l->weights, l->biases, l->scales, l->mean, l->variance, l->z, l->output, l->blurred, l->normalized};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; ++k)
            free(owned[k]);
    }
    free(net->input);
}

static double kink_distance(ref_activation activation, double z)
{
    switch (activation) {
    case REF_NORMALIZE: case REF_RELU: case REF_RELIE: case REF_RAMP: case REF_LEAKY: case REF_SELU: return fabs(z);
    case REF_HARDTAN: return fabs(fabs(z) - 1);
    case REF_LHTAN: return fmin(fabs(z), fabs(z - 1));
    case REF_PLSE: return fabs(fabs(z) - 4);
    case REF_STAIR: return fabs(z - round(z));
    case REF_HARD_MISH: return fabs(z + 2);
    case REF_RELU6: return fmin(fabs(z), fabs(z - 6));
    default: return INFINITY;
    }
}

double ref_net_margin(const ref_net *net, int first)
{
    double margin = INFINITY, best[2];
    for (int index = first; index < net->n; ++index) {
        const ref_layer *l = &net->layer[index];
        for (int i = 0; i < l->outputs; ++i)
            margin = fmin(margin, kink_distance(l->activation, l->z[i]));
        if (l->type != REF_MAXPOOL)
            continue;
        const double *x = index ? read_of(&net->layer[index - 1]) : net->input;
        for (int i = 0; i < l->outputs; ++i) {
            window(l, x, i / (l->out_h * l->out_w), i / l->out_w % l->out_h, i % l->out_w, best);
            if (best[0] > best[1])
                margin = fmin(margin, best[0] - best[1]);
        }
    }
    return margin;
}

/* ---------------------------------------------------------------- files */

static const char *type_name[] = {"convolutional", "deconvolutional", "connected", "local", "maxpool", "avgpool",
                                  "shortcut", "route", "upsample", "reorg", "activation", "dropout", "crop",
                                  "softmax", "local_avgpool", "scale_channels", "sam", "batchnorm", "empty",
                                  "implicit"};
static const char *activation_name[] = {"linear", "logistic", "loggy", "relu", "elu", "selu", "relie", "ramp", "leaky",
                                        "tanh", "plse", "stair", "hardtan", "lhtan", "mish", "swish", "hard_mish", "relu6", "gelu", "normalize_channels",
                                        "normalize_channels_softmax", "normalize_channels_softmax_maxval"};

static void write_section(FILE *file, const ref_layer *l)
{
    fprintf(file, "\n[%s]\n%s", l->own ? l->own->type : type_name[l->type], l->own ? l->own->keys : "");
    if (l->type == REF_BATCHNORM)
        return;
    if (has_weights(l) || l->type == REF_ACTIVATION || l->type == REF_SHORTCUT || l->type == REF_SCALE_CHANNELS ||
        l->type == REF_SAM)
        fprintf(file, "activation=%s\n", activation_name[l->activation]);
    if (l->batch_normalize && !l->share)
        fprintf(file, "batch_normalize=1\n");
    if (l->type == REF_CONNECTED)
        fprintf(file, "output=%d\n", l->filters);
    else if (has_weights(l))
        fprintf(file, "filters=%d\nsize=%d\nstride=%d\n%s=%d\n", l->filters, l->size, l->blur ? l->blur_stride : l->stride,
                l->type == REF_LOCAL ? "pad" : "padding", l->padding);
    int stride = l->blur ? l->blur_stride : l->stride, stride_y = l->blur ? l->blur_stride_y : l->stride_y;
    if (l->blur)
        fprintf(file, "antialiasing=%d\n", l->blur);
    if (l->type == REF_CONVOLUTIONAL && l->dilation > 1)
        fprintf(file, "dilation=%d\n", l->dilation);
    if (stride_y != stride)
        fprintf(file, "stride_y=%d\n", stride_y);
    if (l->share)
        fprintf(file, "share_index=%d\n", l->share - 1);
    if (l->depth)
        fprintf(file, "maxpool_depth=1\nout_channels=%d\n", l->depth);
    if (l->group_id)
        fprintf(file, "group_id=%d\n", l->group_id);
    if (l->planes)
        fprintf(file, "scale_wh=1\n");
    if (l->type == REF_IMPLICIT)
        fprintf(file, "filters=%d\n", l->filters);
    if (l->sum)
        fprintf(file, "weights_type=%s\nweights_normalization=%s\n", l->per_channel ? "per_channel" : "per_feature",
                l->sum == REF_SUM_RELU ? "relu" : "softmax");
    if (l->groups > 1)
        fprintf(file, "groups=%d\n", l->groups);
    if ((l->type == REF_MAXPOOL && !l->depth) || l->type == REF_LOCAL_AVERAGE) {
        fprintf(file, "size=%d\nstride=%d\n", l->size, stride);
        if (l->padding >= 0)
            fprintf(file, "padding=%d\n", l->padding);
    }
    if (l->type == REF_UPSAMPLE)
        fprintf(file, "stride=%d\nscale=%g\n", l->reverse ? -l->stride : l->stride, l->scale);
    if (l->type == REF_REORG)
        fprintf(file, "stride=%d\nreverse=%d\nflatten=%d\n", l->stride, l->reverse, l->flatten);
    if (l->type == REF_SHORTCUT && !is_sum(l))
        fprintf(file, "alpha=%g\nbeta=%g\n", l->alpha, l->beta);
    for (int i = 0; i < l->n_sources; ++i)
        fprintf(file, "%s%d%s", i ? "," : l->type == REF_ROUTE ? "layers=" : "from=", l->sources[i], i + 1 < l->n_sources ? "" : "\n");
    if (l->type == REF_DROPOUT)
        fprintf(file, "probability=.5\n");
    if (l->type == REF_CROP)
        fprintf(file, "crop_height=%d\ncrop_width=%d\nflip=0\nangle=0\nsaturation=1\nexposure=1\nnoadjust=%d\n",
                l->out_h, l->out_w, l->noadjust);
}

int ref_net_write_cfg(const ref_net *net, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    fprintf(file, "[net]\nbatch=1\nsubdivisions=1\nheight=%d\nwidth=%d\nchannels=%d\n", net->h, net->w, net->c);
    for (int i = 0; i < net->n; ++i)
        write_section(file, &net->layer[i]);
    return fclose(file);
}

static void write_floats(FILE *file, const double *values, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        float value = (float)values[i];
        fwrite(&value, sizeof value, 1, file);
    }
}

int ref_net_write_weights(const ref_net *net, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    int32_t version[3] = {0, 2, 0};
    uint64_t seen = 0;
    fwrite(version, sizeof version, 1, file);
    fwrite(&seen, sizeof seen, 1, file);
    for (int i = 0; i < net->n; ++i) {
        const ref_layer *l = &net->layer[i];
        const double *batch_norm[] = {l->scales, l->mean, l->variance};
        if (l->share)
            continue;
        write_floats(file, l->biases, (size_t)l->n_biases);
        if (l->type == REF_CONNECTED)
            write_floats(file, l->weights, l->n_weights);
        for (int k = 0; k < 3 && l->batch_normalize; ++k)
            write_floats(file, batch_norm[k], (size_t)l->filters);
        if (l->type != REF_CONNECTED)
            write_floats(file, l->weights, l->n_weights);
    }
    return fclose(file);
}
