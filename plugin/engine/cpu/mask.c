/* Paths applied to tensors. */
#include <string.h>

#include "engine/engine.h"

/* The low 32 bits say which of `count` <= 32 values stay. Without a branch per bit: at 90% sparsity they would be
 * mispredicted all the time. */
static inline float masked(uint32_t bits, size_t i, float x)
{
    uint32_t value;
    memcpy(&value, &x, sizeof value);
    value &= -(bits >> i & 1);
    memcpy(&x, &value, sizeof value);
    return x;
}

CP_CLONES static void apply_word(uint64_t bits, size_t count, float *x)
{
    for (size_t half = 0; half < count; half += 32) {
        uint32_t part = (uint32_t)(bits >> half);
        size_t n = count - half < 32 ? count - half : 32;
        for (size_t i = 0; i < n; ++i) x[half + i] = masked(part, i, x[half + i]);
    }
}

void cp_mask_apply(const uint64_t *words, size_t first, size_t count, float *x)
{
    for (size_t w = 0; w * 64 < count; ++w) {
        uint64_t bits = words[first / 64 + w];
        size_t in_word = count - w * 64 < 64 ? count - w * 64 : 64;
        float *part = x + w * 64;
        if (bits == UINT64_MAX) continue;
        if (!bits)
            memset(part, 0, in_word * sizeof *part);
        else
            apply_word(bits, in_word, part);
    }
}

CP_CLONES static size_t count_nonzero(const float *x, size_t n)
{
    uint32_t count = 0; /* as wide as the floats, so that they stay in step */
    for (size_t i = 0; i < n; ++i) count += x[i] != 0;
    return count;
}

/* delta *= a > 0 ? 1 : slope, where the path's bits are on. */
CP_CLONES static size_t descend_sloped(const float *restrict a, size_t n, float slope, float *restrict delta)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; ++i) {
        float d = delta[i] * (a[i] > 0 ? 1.f : slope);
        delta[i] = d;
        count += d != 0;
    }
    return count;
}

/* Up to 32 of them. With a number that is known the loop becomes a few vectors. */
static inline __attribute__((always_inline)) uint32_t descend_half(uint32_t bits, const float *restrict a, size_t n,
                                                                    float slope, float *restrict delta)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; ++i) {
        float d = masked(bits, i, delta[i]) * (a[i] > 0 ? 1.f : slope);
        delta[i] = d;
        count += d != 0;
    }
    return count;
}

/* Without a branch on what a word holds: how full words are changes from one to the next, and a branch that is predicted
 * wrongly costs more than the arithmetic on a whole word. */
CP_CLONES static size_t descend_masked(const uint64_t *words, const float *restrict a, size_t n, float slope,
                                       float *restrict delta)
{
    uint32_t total = 0;
    size_t whole = n / 64, at = whole * 64;
    for (size_t w = 0; w < whole; ++w) {
        total += descend_half((uint32_t)words[w], a + w * 64, 32, slope, delta + w * 64);
        total += descend_half((uint32_t)(words[w] >> 32), a + w * 64 + 32, 32, slope, delta + w * 64 + 32);
    }
    for (; at < n; at += 32)
        total += descend_half((uint32_t)(words[whole] >> at % 64), a + at, n - at < 32 ? n - at : 32, slope, delta + at);
    return total;
}

size_t cp_mask_descend(const uint64_t *words, size_t first, const float *a, size_t n, ACTIVATION activation,
                       float *delta)
{
    float slope = activation == LINEAR ? 1 : activation == RELU ? 0 : activation == LEAKY ? .1f : .01f;
    if (activation == LINEAR || activation == RELU || activation == LEAKY || activation == RELIE)
        return words ? descend_masked(words + first / 64, a, n, slope, delta) : descend_sloped(a, n, slope, delta);
    if (words) cp_mask_apply(words, first, n, delta);
    cp_activation_gradient(a, n, activation, delta);
    return count_nonzero(delta, n);
}

size_t cp_count_nonzero(const float *x, size_t n) { return count_nonzero(x, n); }
