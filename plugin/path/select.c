/* Network-wide selection of the K largest magnitudes (docs/methods.md 1.4), or of the fewest that hold a share of the sum of
 * all, average and worst case O(N).
 *
 * The bits of a magnitude as an integer are in the order of its value. The last one kept is found digit by digit: a
 * histogram of the upper 11 bits (exponent, 3 bits of the fraction), then of the next 10 among those that share the first
 * digit with it, then of the last 10 (digits.c). Counts are integers and blocks are fixed, so the result does not depend
 * on the number of threads; integers also keep denormals apart from zero where the processor flushes them.
 *
 * Large networks are first tried with a sample (select_sampled.c), which mostly saves three of the four passes. */
#include "path/select.h"

#include <math.h>
#include <string.h>

#include "io/error.h"

enum { SAMPLED_FROM = 1 << 16 }; /* neurons; fewer are selected at once from a few cache lines */

typedef cp_select_block block;

cp_status cp_path_check_scores(const cp_neuron_layer *layer, const float *score)
{
    for (size_t i = 0; i < layer->count; i++)
        if (cp_score_bits(&score[layer->offset + i]) > CP_LARGEST_SCORE)
            return cp_fail(CP_EINTERNAL, "score: %s, neuron %zu is %g, allowed are finite numbers", layer->name, i,
                           (double)score[layer->offset + i]);
    return CP_OK;
}

/* Blocks of layers [from, to); *n of them. */
static block *make_blocks(cp_path *path, const float *score, const cp_score_piece *pieces, int from, int to, size_t *n)
{
    *n = 0;
    for (int l = from; l < to; l++)
        *n += (path->layers[l].count + CP_SELECT_BLOCK - 1) / CP_SELECT_BLOCK;
    block *blocks = cp_alloc(*n, sizeof *blocks, "selection");
    size_t k = 0;
    for (int l = from; blocks && l < to; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        for (size_t i = 0; i < layer->count; i += CP_SELECT_BLOCK, k++) {
            size_t left = layer->count - i;
            size_t word = path->first[l] + i / CP_SCORE_PIECE;
            blocks[k] = (block){score + layer->offset + i, path->words + word,
                                left < CP_SELECT_BLOCK ? left : CP_SELECT_BLOCK, pieces + word};
        }
    }
    return blocks;
}

cp_score_piece *cp_find_pieces(const cp_path *path, const float *score)
{
    cp_score_piece *pieces = cp_alloc_dirty(path->first[path->n_layers] + 1, sizeof *pieces, "selection");
    if (!pieces)
        return NULL;
#pragma omp parallel for schedule(dynamic) num_threads(cp_select_threads(path->neurons))
    for (int l = 0; l < path->n_layers; l++)
        cp_score_find_pieces(score + path->layers[l].offset, path->layers[l].count, pieces + path->first[l]);
    return pieces;
}

static size_t neurons_of(const block *blocks, size_t n)
{
    size_t neurons = 0;
    for (size_t b = 0; b < n; b++)
        neurons += blocks[b].count;
    return neurons;
}

static int threads_for(const block *blocks, size_t n) { return cp_select_threads(neurons_of(blocks, n)); }

/* Histogram of the first digit, and the number of zeros, which share their digit with the smallest denormals. Two
 * tables in turn: scores are full of zeros, and adding to one counter over and over waits for each store. */
static void count_first(const block *blocks, size_t n, cp_digit_table *total, size_t *zeros)
{
    size_t all_zeros = 0;
#pragma omp parallel num_threads(threads_for(blocks, n))
    {
        uint32_t count[2][CP_FIRST_DIGITS];
        uint64_t fraction[2][CP_FIRST_DIGITS];
#pragma omp for schedule(dynamic) reduction(+ : all_zeros)
        for (size_t b = 0; b < n; b++) {
            memset(count, 0, sizeof count);
            memset(fraction, 0, sizeof fraction);
            for (size_t i = 0; i < blocks[b].count; i++) {
                uint32_t bits = cp_score_bits(&blocks[b].score[i]);
                count[i & 1][bits >> CP_FIRST_SHIFT]++;
                fraction[i & 1][bits >> CP_FIRST_SHIFT] += cp_score_fraction(bits);
                all_zeros += bits == 0;
            }
#pragma omp critical(cp_select_count)
            for (int d = 0; d < CP_FIRST_DIGITS; d++) {
                total->count[d] += (size_t)count[0][d] + count[1][d];
                total->fraction[d] += fraction[0][d] + fraction[1][d];
            }
        }
    }
    *zeros = all_zeros;
}

typedef struct {
    const block *blocks;
    size_t n;
} block_list;

/* Histogram of the 10 bits above `shift` among scores whose bits above those equal `prefix`. */
static cp_status count_next(void *user, uint32_t prefix, int shift, cp_digit_table *total)
{
    const block *blocks = ((block_list *)user)->blocks;
    size_t n = ((block_list *)user)->n;
    memset(total, 0, sizeof *total);
#pragma omp parallel num_threads(threads_for(blocks, n))
    {
        uint32_t count[CP_NEXT_DIGITS];
        uint64_t fraction[CP_NEXT_DIGITS];
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < n; b++) {
            bool any = false;
            memset(count, 0, sizeof count);
            memset(fraction, 0, sizeof fraction);
            for (size_t i = 0; i < blocks[b].count; i++) {
                uint32_t bits = cp_score_bits(&blocks[b].score[i]), digit = bits >> shift & (CP_NEXT_DIGITS - 1);
                if (bits >> (shift + 10) == prefix) {
                    count[digit]++;
                    fraction[digit] += cp_score_fraction(bits);
                    any = true;
                }
            }
            if (!any)
                continue;
#pragma omp critical(cp_select_count)
            for (int d = 0; d < CP_NEXT_DIGITS; d++) {
                total->count[d] += count[d];
                total->fraction[d] += fraction[d];
            }
        }
    }
    return CP_OK;
}

/* Sets the bit of every score of at least `lowest` and clears the others. */
static void fill_bits(const block *blocks, size_t n, uint32_t lowest)
{
#pragma omp parallel for schedule(dynamic) num_threads(threads_for(blocks, n))
    for (size_t b = 0; b < n; b++) {
        const float *score = blocks[b].score;
        size_t count = blocks[b].count;
        for (size_t w = 0; w * 64 < count; w++) {
            size_t in_word = count - w * 64 < 64 ? count - w * 64 : 64;
            uint64_t word = 0;
            for (size_t i = 0; i < in_word; i++)
                word |= (uint64_t)(cp_score_bits(&score[w * 64 + i]) >= lowest) << i;
            blocks[b].words[w] = word;
        }
    }
}

/* Sets the bits of the first `ties` scores equal to `value`. */
static void fill_ties(const block *blocks, size_t n, uint32_t value, size_t ties)
{
    for (size_t b = 0; ties && b < n; b++)
        for (size_t i = 0; ties && i < blocks[b].count; i++)
            if (cp_score_bits(&blocks[b].score[i]) == value) {
                blocks[b].words[i / 64] |= (uint64_t)1 << i % 64;
                ties--;
            }
}

/* Overwrites the words with what the goal asks for. */
static cp_status select_by_digits(const cp_path *path, const float *score, int from, int to, const block *blocks,
                                  size_t n, cp_select_goal *goal)
{
    cp_status status = CP_OK;
    size_t zeros;
    bool suspicious = false;
    block_list list = {blocks, n};
    cp_digit_table *table = cp_alloc(1, sizeof *table, "selection");
    if (!table)
        return CP_ERESOURCE;
    count_first(blocks, n, table, &zeros);
    for (uint32_t d = CP_LARGEST_SCORE >> CP_FIRST_SHIFT; ++d < CP_FIRST_DIGITS;)
        suspicious |= table->count[d] != 0;
    for (int l = from; suspicious && l < to && !status; l++)
        status = cp_path_check_scores(&path->layers[l], score);
    if (!status)
        status = cp_select_by_tables(table, zeros, count_next, &list, goal);
    if (!status && goal->k)
        fill_bits(blocks, n, goal->ties == goal->equal ? goal->value : goal->value + 1);
    if (!status && goal->ties < goal->equal)
        fill_ties(blocks, n, goal->value, goal->ties);
    for (size_t b = 0; b < n && !goal->k; b++)
        memset(blocks[b].words, 0, (blocks[b].count + 63) / 64 * sizeof *blocks[b].words);
    cp_free(table);
    return status;
}

/* Overwrites the words of layers [from, to) with the largest positive scores that the goal asks for. */
static cp_status select_layers(cp_path *path, const float *score, const cp_score_piece *pieces, int from, int to,
                               cp_select_goal *goal)
{
    cp_status status = CP_OK;
    size_t n;
    block *blocks = make_blocks(path, score, pieces, from, to, &n);
    if (!blocks)
        return CP_ERESOURCE;
    if ((!goal->k && !(goal->mass > 0)) || neurons_of(blocks, n) < SAMPLED_FROM ||
        cp_select_sampled(blocks, n, goal) != CP_SELECTED)
        status = select_by_digits(path, score, from, to, blocks, n, goal);
    cp_free(blocks);
    return status;
}

static float threshold_of(const cp_select_goal *goal)
{
    float threshold;
    memcpy(&threshold, &goal->value, sizeof threshold);
    return threshold;
}

/* The sum of the magnitudes of the neurons on the path, layer by layer. */
static double held_by(const cp_path *path, const float *score)
{
    double held = 0;
    for (int l = 0; l < path->n_layers; l++) {
        const uint64_t *words = cp_path_words(path, l);
        const float *s = score + path->layers[l].offset;
        for (size_t w = 0; w * 64 < path->layers[l].count; w++)
            for (uint64_t bits = words[w]; bits; bits &= bits - 1)
                held += cp_score_value(cp_score_bits(&s[w * 64 + (size_t)__builtin_ctzll(bits)]));
    }
    return held;
}

/* Keeps the best of every layer first, then the best of what is left, until as many as the goal asks for are kept or the
 * floor alone is more. */
static cp_status select_with_floor(cp_path *path, const float *score, const cp_score_piece *pieces, double floor,
                                   cp_select_goal *goal, cp_selection *selection)
{
    cp_status status = CP_OK;
    size_t floor_kept = 0;
    float lowest = INFINITY;
    cp_path *best = NULL;
    float *rest = cp_alloc(path->neurons, sizeof *rest, "selection");
    cp_score_piece *of_rest = NULL;
    if (!rest || cp_path_copy(path, &best)) {
        status = CP_ERESOURCE;
        goto done;
    }
    if ((status = select_layers(path, score, pieces, 0, path->n_layers, goal))) /* how many that is, and the sum of all */
        goto done;
    if (goal->mass > 0)
        selection->asked = goal->k;
    memcpy(rest, score, path->neurons * sizeof *rest);
    for (int l = 0; l < path->n_layers; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        cp_select_goal share = {.k = (size_t)ceil(floor * (double)layer->count * (1 - 1e-12))}; /* .1 of 30 is 3, not 4 */
        if ((status = select_layers(best, score, pieces, l, l + 1, &share)))
            goto done;
        floor_kept += share.k;
        lowest = share.k ? fminf(lowest, threshold_of(&share)) : lowest;
        const uint64_t *words = cp_path_words(best, l);
        for (size_t i = 0; i < layer->count; i++)
            if (words[i / 64] >> i % 64 & 1)
                rest[layer->offset + i] = 0;
    }
    selection->asked = selection->asked > floor_kept ? selection->asked : floor_kept;
    cp_select_goal others = {.k = selection->asked - floor_kept};
    status = (of_rest = cp_find_pieces(path, rest)) ? select_layers(path, rest, of_rest, 0, path->n_layers, &others)
                                                    : CP_ERESOURCE;
    if (!status)
        status = cp_path_or(path, best);
    lowest = others.k ? fminf(lowest, threshold_of(&others)) : lowest;
    selection->kept = floor_kept + others.k;
    selection->threshold = selection->kept ? lowest : 0;
    goal->held = held_by(path, score);
done:
    cp_free(rest);
    cp_free(of_rest);
    cp_path_free(best);
    return status;
}

void cp_selection_fill(const cp_path *path, const cp_select_goal *goal, cp_selection *selection)
{
    selection->kept = goal->k;
    selection->threshold = threshold_of(goal);
    selection->sparsity = path->neurons ? 1 - (double)goal->k / (double)path->neurons : 0;
    selection->mass = goal->total > 0 ? fmin(1, goal->held / goal->total) : NAN;
}

cp_status cp_select(cp_path *path, const float *score, const cp_score_piece *pieces, double floor, cp_select_goal *goal,
                    cp_selection *selection)
{
    if (!(floor >= 0 && floor <= 1))
        return cp_fail(CP_EINPUT, "floor: %g found, 0 to 1 allowed", floor);
    if (floor > 0) {
        cp_status status = select_with_floor(path, score, pieces, floor, goal, selection);
        selection->sparsity = path->neurons ? 1 - (double)selection->kept / (double)path->neurons : 0;
        selection->mass = goal->total > 0 ? fmin(1, goal->held / goal->total) : NAN;
        return status;
    }
    cp_status status = select_layers(path, score, pieces, 0, path->n_layers, goal);
    if (!status)
        cp_selection_fill(path, goal, selection);
    return status;
}

static cp_status select_from_array(cp_path *path, const float *score, double floor, cp_select_goal *goal,
                                   cp_selection *selection)
{
    cp_score_piece *pieces = cp_find_pieces(path, score);
    cp_status status = pieces ? cp_select(path, score, pieces, floor, goal, selection) : CP_ERESOURCE;
    cp_free(pieces);
    return status;
}

cp_status cp_path_select(cp_path *path, const float *score, double sparsity, double floor, cp_selection *selection)
{
    cp_selection unused;
    if (!selection)
        selection = &unused;
    memset(selection, 0, sizeof *selection);
    cp_status status = cp_path_check_sparsity(sparsity);
    if (status)
        return status;
    selection->asked = cp_path_keep_count(path->neurons, sparsity);
    cp_select_goal goal = {.k = selection->asked};
    return select_from_array(path, score, floor, &goal, selection);
}

cp_status cp_path_check_mass(double mass)
{
    return mass > 0 && mass <= 1 ? CP_OK : cp_fail(CP_EINPUT, "mass: %g found, above 0 to 1 allowed", mass);
}

cp_status cp_path_select_mass(cp_path *path, const float *score, double mass, double floor, cp_selection *selection)
{
    cp_selection unused;
    if (!selection)
        selection = &unused;
    memset(selection, 0, sizeof *selection);
    cp_status status = cp_path_check_mass(mass);
    if (status)
        return status;
    cp_select_goal goal = {.mass = mass};
    status = select_from_array(path, score, floor, &goal, selection);
    if (!floor)
        selection->asked = selection->kept;
    return status;
}
