/* Inside selection: the pieces of a network's scores that threads work on, and the fast way to the K-th largest. */
#ifndef CP_PATH_SELECT_H
#define CP_PATH_SELECT_H

#include "engine/frame_scores.h"
#include "path/path.h"
#include "score/score.h"

enum { CP_SELECT_BLOCK = 1 << 16 }; /* neurons of a block at most, a multiple of a piece */

/* Consecutive neurons of one layer, and their bits of the path. */
typedef struct {
    const float *score;
    uint64_t *words;
    size_t count;
    const cp_score_piece *pieces;
} cp_select_block;

/* The pieces of all layers, in the order of the path's words, which the caller frees. NULL with the message set when memory is
 * out. Several threads; the same for any number. */
cp_score_piece *cp_find_pieces(const cp_path *path, const float *score);

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
} cp_select_goal;

/* Fills `table` with the next digit, above `shift`, of the scores whose bits above that are `prefix`. */
typedef cp_status (*cp_count_digits)(void *user, uint32_t prefix, int shift, cp_digit_table *table);

/* Overwrites the path with what the goal asks for; floor as cp_path_select. */
cp_status cp_select(cp_path *path, const float *score, const cp_score_piece *pieces, double floor, cp_select_goal *goal,
                    cp_selection *selection);

/* cp_path_find_cut where the pieces are known. */
cp_status cp_path_find_cut_by_pieces(const cp_path *path, const float *score, const cp_score_piece *pieces,
                                     const cp_response *response, cp_cut *cut);

/* What was kept, but `asked`. */
void cp_selection_fill(const cp_path *path, const cp_select_goal *goal, cp_selection *selection);

/* Answers the goal from the first digit's table, `zeros` of whose scores are 0 and counted with digit 0. */
cp_status cp_select_by_tables(cp_digit_table *table, size_t zeros, cp_count_digits next, void *user, cp_select_goal *goal);

typedef enum { CP_SELECTED, CP_NOT_SELECTED, CP_SUSPICIOUS_SCORES } cp_select_outcome;

/* Sets the bits of the largest scores that the goal asks for, of equal ones the first, and clears the others, in one pass
 * over the pieces that have such scores: a sample brackets the last of them, and those inside the bracket are sorted out
 * afterwards.
 * CP_NOT_SELECTED where the bracket does not hold (fewer than k positive scores, or most of them equal or nearly so),
 * CP_SUSPICIOUS_SCORES where something is infinite or NaN: the words are then undefined, the goal is as it was. The outcome
 * and the bits depend on the scores alone. 1 <= k, or mass > 0. */
cp_select_outcome cp_select_sampled(const cp_select_block *blocks, size_t n, cp_select_goal *goal);

#endif
