/* Inside selection: the pieces of a network's scores that threads work on, and the fast way to the K-th largest. */
#ifndef CP_PATH_SELECT_H
#define CP_PATH_SELECT_H

#include "engine/frame_scores.h"
#include "path/path.h"

enum { CP_SELECT_BLOCK = 1 << 16,  /* neurons of a block at most, a multiple of a piece */
       CP_SELECT_PIECE = 1 << 10 }; /* neurons of a layer whose largest score is kept; a multiple of 64 */

/* Consecutive neurons of one layer, and their bits of the path. */
typedef struct {
    const float *score;
    uint64_t *words;
    size_t count;
    uint32_t *largest; /* by piece, or NULL */
} cp_select_block;

/* Pieces of neuron layer l are numbered from cp_first_piece(path, l); there are fewer numbers than cp_piece_count. */
static inline size_t cp_first_piece(const cp_path *path, int l)
{
    return path->first[l] / (CP_SELECT_PIECE / 64) + (size_t)l;
}

static inline size_t cp_piece_count(const cp_path *path) { return cp_first_piece(path, path->n_layers) + 1; }

/* largest: by piece the bits of its largest magnitude. Several threads; the same for any number. */
void cp_find_largest(const cp_path *path, const float *score, uint32_t *largest);

/* Threads for a pass over that many neurons: waking them costs more than a small network's selection. */
int cp_select_threads(size_t neurons);

/* What a selection is to keep, and what it kept. */
typedef struct {
    double mass;        /* above 0: the fewest of the largest scores that hold this share of the sum of all; 0: k of them */
    size_t k;           /* how many; as an answer, those that are positive */
    uint32_t value;     /* bits of the last one kept */
    size_t ties;        /* of the scores that equal it the first so many are kept; 0 when nothing is */
    size_t equal;       /* how many those are */
    double total, held; /* sums of all magnitudes, and of those kept */
    uint32_t *largest;  /* by piece the largest score, or NULL; filled, and has_largest set, where one pass serves both */
    bool has_largest;
} cp_select_goal;

/* Fills `table` with the next digit, above `shift`, of the scores whose bits above that are `prefix`. */
typedef cp_status (*cp_count_digits)(void *user, uint32_t prefix, int shift, cp_digit_table *table);

/* Overwrites the path with what the goal asks for; floor as cp_path_select. */
cp_status cp_select(cp_path *path, const float *score, double floor, cp_select_goal *goal, cp_selection *selection);

/* cp_path_find_cut where the largest scores by piece are known. */
cp_status cp_path_find_cut_by_pieces(const cp_path *path, const float *score, const uint32_t *largest,
                                     const cp_response *response, cp_cut *cut);

/* What was kept, but `asked`. */
void cp_selection_fill(const cp_path *path, const cp_select_goal *goal, cp_selection *selection);

/* Answers the goal from the first digit's table, `zeros` of whose scores are 0 and counted with digit 0. */
cp_status cp_select_by_tables(cp_digit_table *table, size_t zeros, cp_count_digits next, void *user, cp_select_goal *goal);

typedef enum { CP_SELECTED, CP_NOT_SELECTED, CP_SUSPICIOUS_SCORES } cp_select_outcome;

/* Sets the bits of the largest scores that the goal asks for, of equal ones the first, and clears the others, in one pass
 * over the scores: a sample brackets the last of them, and those inside the bracket are sorted out afterwards.
 * CP_NOT_SELECTED where the bracket does not hold (fewer than k positive scores, or most of them equal or nearly so),
 * CP_SUSPICIOUS_SCORES where something is infinite or NaN: the words are then undefined, the goal is as it was. The outcome
 * and the bits depend on the scores alone. 1 <= k, or mass > 0. */
cp_select_outcome cp_select_sampled(const cp_select_block *blocks, size_t n, cp_select_goal *goal);

#endif
