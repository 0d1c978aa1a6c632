/* Activations and their derivatives, one branch-free loop per type. Values and conventions are Darknet's
 * (activations.h): the derivative is taken from the output y, and relu'(0) = 0. Where y does not tell it (mish, swish,
 * hard_mish, gelu are not monotone), it is taken from the input z. */
#include <math.h>
#include <string.h>

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

/* e^x to 2e-7 of itself, in steps that a compiler can do for many x at once: 2^k times a polynomial on [-ln 2/2, ln 2/2]
 * (the Taylor series to the 7th power). Below -87 it is e^-87, above 88 e^88. */
static inline float exponential(float x)
{
    static const float round = 12582912.f; /* 1.5 * 2^23: a float of that size has no fraction */
    x = x < -87.f ? -87.f : x > 88.f ? 88.f : x;
    float k = (x * 1.44269504f + round) - round;
    float r = (x - k * .693359375f) + k * 2.12194440e-4f;
    float p = 1 + r * (1 + r * (.5f + r * (1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720 + r / 5040))))));
    int32_t bits = ((int32_t)k + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float sigmoid(float z) { return 1 / (1 + exponential(-z)); }

/* tanh(log(1 + e^z)) = n / (n + 2) with n = e^z (e^z + 2); above 20 it is 1 in float. */
static inline float mish_factor(float z)
{
    float e = exponential(z < 20 ? z : 20), n = e * (e + 2);
    return n / (n + 2);
}

static inline float mish_slope(float z)
{
    float t = mish_factor(z);
    return t + z * (1 - t * t) * sigmoid(z);
}

static inline float swish_slope(float z)
{
    float s = sigmoid(z);
    return s + z * s * (1 - s);
}

static inline float hard_mish(float z) { return z > 0 ? z : z > -2 ? z * z / 2 + z : z * 0; }

static inline float hard_mish_slope(float z) { return z > 0 ? 1 : z > -2 ? z + 1 : 0; }

/* tanh(u) as Darknet's gelu has it, with its own digits. */
static inline float gelu_tanh(float z) { return 1 - 2 / (1 + exponential(2 * (.797885f * z + .035677f * z * z * z))); }

static inline float gelu_slope(float z)
{
    float t = gelu_tanh(z);
    return .5f * (1 + t) + .5f * z * (1 - t * t) * (.797885f + 3 * .035677f * z * z);
}


bool cp_activation_keeps_input(ACTIVATION activation)
{
    int a = (int)activation;
    return a == CP_MISH || a == CP_SWISH || a == CP_HARD_MISH || a == CP_GELU;
}

CP_CLONES void cp_activate_bias(float *v, size_t n, float bias, ACTIVATION activation)
{
    switch ((int)activation) {
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
    case CP_RELU6: LOOP(x < 0 ? x * 0 : x > 6 ? 6 : x);
    case CP_MISH: LOOP(x * mish_factor(x));
    case CP_SWISH: LOOP(x * sigmoid(x));
    case CP_HARD_MISH: LOOP(hard_mish(x));
    case CP_GELU: LOOP(.5f * x * (1 + gelu_tanh(x)));
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
    switch ((int)activation) {
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
    case CP_RELU6: LOOP(y > 0 && y < 6 ? 1.f : 0.f);
    /* Of these v is z. */
    case CP_MISH: LOOP(mish_slope(y));
    case CP_SWISH: LOOP(swish_slope(y));
    case CP_HARD_MISH: LOOP(hard_mish_slope(y));
    case CP_GELU: LOOP(gelu_slope(y));
    }
}
