/* Memory of a run: which buffers may share a place, and clearing them. */
#include <string.h>

#include "engine/engine.h"

enum { CHUNK = 1 << 14 };

void cp_batch_clear(cp_batch batch, int n, size_t count)
{
    int chunks = (int)((count + CHUNK - 1) / CHUNK);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)count * n))
    for (int e = 0; e < n; ++e)
        for (int c = 0; c < chunks; ++c) {
            size_t first = (size_t)c * CHUNK, part = count - first < CHUNK ? count - first : CHUNK;
            memset(cp_at(batch, e) + first, 0, part * sizeof(float));
        }
}

size_t cp_plan_buffers(int n, const int *first, const int *last, const size_t *floats, size_t *offset)
{
    size_t total = 0;
    for (int k = 0; k < n; ++k) {
        size_t at = 0;
        for (bool moved = true; moved;) { /* past every planned buffer that lives at the same time and overlaps */
            moved = false;
            for (int j = 0; j < k; ++j) {
                bool together = first[j] <= last[k] && first[k] <= last[j];
                if (!together || at >= offset[j] + floats[j] || offset[j] >= at + floats[k]) continue;
                at = (offset[j] + floats[j] + 15) / 16 * 16;
                moved = true;
            }
        }
        offset[k] = at;
        if (at + floats[k] > total) total = at + floats[k];
    }
    return total;
}
