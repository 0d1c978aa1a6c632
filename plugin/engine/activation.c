/* Activations and their derivatives, one branch-free loop per type. Values and conventions are Darknet's
 * (activations.h): the derivative is taken from the output y, and relu'(0) = 0. */
#include <math.h>

#include "engine/engine.h"

#define LOOP(expression)                                                                                               \
    for (size_t i = 0; i < n; ++i) {                                                                                   \
        float x = v[i] + bias;                                                                                         \
        v[i] = (float)(expression);                                                                                    \
    }                                                                                                                  \
    return

static float stair(float x)
{
    int n = (int)floor(x);
    if (n % 2 == 0) return (float)floor(x / 2.);
    return (float)((x - n) + floor(x / 2.));
}

static float plse(float x)
{
    if (x < -4) return .01f * (x + 4);
    if (x > 4) return .01f * (x - 4) + 1;
    return .125f * x + .5f;
}

static float lhtan(float x)
{
    if (x < 0) return .001f * x;
    if (x > 1) return .001f * (x - 1) + 1;
    return x;
}

CP_CLONES void cp_activate_bias(float *v, size_t n, float bias, ACTIVATION activation)
{
    switch (activation) {
    case LINEAR:
        if (bias == 0) return;
        LOOP(x);
    case RELU: LOOP(x > 0 ? x : x * 0); /* x*0 keeps a NaN */
    case LEAKY: LOOP(x > 0 ? x : .1f * x);
    case RELIE: LOOP(x > 0 ? x : .01f * x);
    case RAMP: LOOP(x > 0 ? x + .1f * x : .1f * x);
    case LOGISTIC: LOOP(1. / (1. + exp(-(double)x)));
    case LOGGY: LOOP(2. / (1. + exp(-(double)x)) - 1);
    case ELU: LOOP(x >= 0 ? x : exp((double)x) - 1);
    case SELU: LOOP(x >= 0 ? 1.0507 * x : 1.0507 * 1.6732 * (exp((double)x) - 1));
    case TANH: LOOP((exp(2. * x) - 1) / (exp(2. * x) + 1));
    case HARDTAN: LOOP(x < -1 ? -1 : x > 1 ? 1 : x);
    case PLSE: LOOP(plse(x));
    case STAIR: LOOP(stair(x));
    case LHTAN: LOOP(lhtan(x));
    }
}

void cp_activate(float *x, size_t n, ACTIVATION activation) { cp_activate_bias(x, n, 0, activation); }

#undef LOOP
#define LOOP(expression)                                                                                               \
    for (size_t i = 0; i < n; ++i) {                                                                                   \
        float y = v[i];                                                                                                \
        delta[i] *= (float)(expression);                                                                               \
    }                                                                                                                  \
    return

CP_CLONES void cp_activation_gradient(const float *v, size_t n, ACTIVATION activation, float *delta)
{
    switch (activation) {
    case LINEAR: return;
    case RELU: LOOP(y > 0 ? 1.f : 0.f);
    case LEAKY: LOOP(y > 0 ? 1.f : .1f);
    case RELIE: LOOP(y > 0 ? 1.f : .01f);
    case RAMP: LOOP(y > 0 ? 1.1f : .1f);
    case LOGISTIC: LOOP((1 - y) * y);
    case LOGGY: LOOP(.5f * (1 - y) * (1 + y));
    case ELU: LOOP(y >= 0 ? 1.f : y + 1);
    case SELU: LOOP(y >= 0 ? 1.0507 : y + 1.0507 * 1.6732);
    case TANH: LOOP(1 - y * y);
    case HARDTAN: LOOP(y > -1 && y < 1 ? 1.f : 0.f);
    case PLSE: LOOP(y < 0 || y > 1 ? .01f : .125f);
    case STAIR: LOOP(floorf(y) == y ? 0.f : 1.f);
    case LHTAN: LOOP(y > 0 && y < 1 ? 1.f : .001f);
    }
}
