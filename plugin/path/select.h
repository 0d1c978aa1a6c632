/* Inside selection: the pieces of a network's scores that threads work on, and the fast way to the K-th largest. */
#ifndef CP_PATH_SELECT_H
#define CP_PATH_SELECT_H

#include "path/path.h"

enum { CP_SELECT_BLOCK = 1 << 16 }; /* neurons of a block at most, a multiple of 64 */

/* Consecutive neurons of one layer, and their bits of the path. */
typedef struct {
    const float *score;
    uint64_t *words;
    size_t count;
} cp_select_block;

/* Threads for a pass over that many neurons: waking them costs more than a small network's selection. */
int cp_select_threads(size_t neurons);

/* Of counts by digit, the digit that holds the *k-th largest (from 1); *k becomes its rank within that digit. */
static inline uint32_t cp_pick_digit(const size_t *total, uint32_t digits, size_t *k)
{
    uint32_t d = digits - 1;
    while (total[d] < *k)
        *k -= total[d--];
    return d;
}

typedef enum { CP_SELECTED, CP_NOT_SELECTED, CP_SUSPICIOUS_SCORES } cp_select_outcome;

/* Sets the bits of the k largest scores, of equal ones the first, and clears the others, in one pass over the scores: a
 * sample brackets the k-th largest, and those inside the bracket are sorted out afterwards. *value: the bits of the
 * k-th largest. CP_NOT_SELECTED where the bracket does not hold (fewer than k positive scores, or most of them equal or
 * nearly so), CP_SUSPICIOUS_SCORES where something is infinite, NaN or has a sign: the words are then undefined. The
 * outcome and the bits depend on the scores alone. 1 <= k. */
cp_select_outcome cp_select_sampled(const cp_select_block *blocks, size_t n, size_t k, uint32_t *value);

#endif
