/* Paths applied to tensors. */
#include <string.h>

#include "engine/engine.h"

/* Without a branch per bit: at 90% sparsity they would be mispredicted all the time. */
CP_CLONES static void apply_word(uint64_t bits, size_t count, float *x)
{
    for (size_t i = 0; i < count; ++i) {
        uint32_t value;
        memcpy(&value, &x[i], sizeof value);
        value &= -(uint32_t)(bits >> i & 1);
        memcpy(&x[i], &value, sizeof value);
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
