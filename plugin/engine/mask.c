/* Paths applied to tensors. */
#include <string.h>

#include "engine/engine.h"

void cp_mask_apply(const uint64_t *words, size_t first, size_t count, float *x)
{
    for (size_t w = 0; w * 64 < count; ++w) {
        uint64_t bits = words[first / 64 + w];
        size_t in_word = count - w * 64 < 64 ? count - w * 64 : 64;
        float *d = x + w * 64;
        if (bits == UINT64_MAX) continue;
        if (!bits)
            memset(d, 0, in_word * sizeof *d);
        else
            for (size_t i = 0; i < in_word; ++i)
                if (!(bits >> i & 1)) d[i] = 0;
    }
}
