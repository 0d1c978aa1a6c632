/* Network-wide selection of the K largest scores (docs/methods.md 1.4), average and worst case O(N).
 *
 * A score is >= 0, so its bits as an integer are in the order of its value. The K-th largest is found digit by digit:
 * a histogram of the upper 12 bits (sign, exponent, 3 bits of the fraction), then of the next 10 among those that share
 * the first digit with it, then of the last 10. Counts are integers and blocks are fixed, so the result does not depend
 * on the number of threads; integers also keep denormals apart from zero where the processor flushes them.
 *
 * Large networks are first tried with a sample (select_sampled.c), which mostly saves three of the four passes. */
#include "path/select.h"

#include <math.h>
#include <string.h>

#include "io/error.h"

enum { FIRST = 4096, NEXT = 1024 }; /* digits */
enum { SAMPLED_FROM = 1 << 16 };    /* neurons; fewer are selected at once from a few cache lines */

#define INFINITE_DIGIT 0x7f8u /* first digit of inf and NaN; negative numbers are above */

typedef cp_select_block block;

static inline uint32_t bits_of(const float *score)
{
    uint32_t bits;
    memcpy(&bits, score, sizeof bits);
    return bits;
}

cp_status cp_path_check_scores(const cp_neuron_layer *layer, const float *score)
{
    for (size_t i = 0; i < layer->count; i++)
        if (cp_score_bits(&score[layer->offset + i]) > CP_LARGEST_SCORE)
            return cp_fail(CP_EINTERNAL, "score: %s, neuron %zu is %g, allowed are finite numbers >= 0", layer->name, i,
                           (double)score[layer->offset + i]);
    return CP_OK;
}

/* Blocks of layers [from, to); *n of them. */
static block *make_blocks(cp_path *path, const float *score, int from, int to, size_t *n)
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
            blocks[k] = (block){score + layer->offset + i, path->words + path->first[l] + i / 64,
                                left < CP_SELECT_BLOCK ? left : CP_SELECT_BLOCK};
        }
    }
    return blocks;
}

int cp_select_threads(size_t neurons) { return neurons < 1 << 19 ? 1 : cp_threads(); }

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
static void count_first(const block *blocks, size_t n, size_t *total, size_t *zeros)
{
    size_t all_zeros = 0;
#pragma omp parallel num_threads(threads_for(blocks, n))
    {
        uint32_t tables[2][FIRST];
#pragma omp for schedule(dynamic) reduction(+ : all_zeros)
        for (size_t b = 0; b < n; b++) {
            const float *score = blocks[b].score;
            size_t count = blocks[b].count, i = 0;
            memset(tables, 0, sizeof tables);
            for (; i + 2 <= count; i += 2) {
                uint32_t even = bits_of(&score[i]), odd = bits_of(&score[i + 1]);
                tables[0][even >> 20]++;
                tables[1][odd >> 20]++;
                all_zeros += (size_t)(even == 0) + (odd == 0);
            }
            if (i < count) {
                tables[0][bits_of(&score[i]) >> 20]++;
                all_zeros += bits_of(&score[i]) == 0;
            }
#pragma omp critical(cp_select_count)
            for (int d = 0; d < FIRST; d++)
                total[d] += (size_t)tables[0][d] + tables[1][d];
        }
    }
    *zeros = all_zeros;
}

/* Histogram of the 10 bits above `shift` among scores whose bits above those equal `prefix`. */
static void count_next(const block *blocks, size_t n, uint32_t prefix, int shift, size_t *total)
{
#pragma omp parallel num_threads(threads_for(blocks, n))
    {
        uint32_t table[NEXT];
#pragma omp for schedule(dynamic)
        for (size_t b = 0; b < n; b++) {
            bool any = false;
            memset(table, 0, sizeof table);
            for (size_t i = 0; i < blocks[b].count; i++) {
                uint32_t bits = bits_of(&blocks[b].score[i]);
                if (bits >> (shift + 10) == prefix) {
                    table[bits >> shift & (NEXT - 1)]++;
                    any = true;
                }
            }
            if (!any)
                continue;
#pragma omp critical(cp_select_count)
            for (int d = 0; d < NEXT; d++)
                total[d] += table[d];
        }
    }
}

/* Sets the bit of every score of at least `lowest` and clears the others. Signed order: -0 is below everything. */
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
                word |= (uint64_t)((int32_t)bits_of(&score[w * 64 + i]) >= (int32_t)lowest) << i;
            blocks[b].words[w] = word;
        }
    }
}

/* Sets the bits of the first `ties` scores equal to `value`. */
static void fill_ties(const block *blocks, size_t n, uint32_t value, size_t ties)
{
    for (size_t b = 0; ties && b < n; b++)
        for (size_t i = 0; ties && i < blocks[b].count; i++)
            if (bits_of(&blocks[b].score[i]) == value) {
                blocks[b].words[i / 64] |= (uint64_t)1 << i % 64;
                ties--;
            }
}

/* Overwrites the words with the *k largest positive scores; *k becomes how many those are. *value: the bits of the
 * last. */
static cp_status select_by_digits(const cp_path *path, const float *score, int from, int to, const block *blocks,
                                  size_t n, size_t *k, uint32_t *value)
{
    cp_status status = CP_OK;
    size_t zeros, positive = 0, rank;
    bool suspicious = false; /* something negative, infinite or NaN, unless it is only -0 */
    size_t *first = cp_alloc(FIRST + 2 * NEXT, sizeof *first, "selection");
    if (!first)
        return CP_ERESOURCE;
    count_first(blocks, n, first, &zeros);
    size_t *middle = first + FIRST, *last = middle + NEXT;
    for (uint32_t d = 0; d < FIRST; d++) {
        if (d < INFINITE_DIGIT)
            positive += first[d];
        else
            suspicious |= first[d] != 0;
    }
    for (int l = from; suspicious && l < to; l++)
        if ((status = cp_path_check_scores(&path->layers[l], score)))
            goto done;
    positive -= zeros;
    first[0] -= zeros;
    memset(first + INFINITE_DIGIT, 0, (FIRST - INFINITE_DIGIT) * sizeof *first); /* negative zeros */
    if (*k > positive)
        *k = positive;
    *value = 0;
    if (!*k) {
        for (size_t b = 0; b < n; b++)
            memset(blocks[b].words, 0, (blocks[b].count + 63) / 64 * sizeof *blocks[b].words);
        goto done;
    }
    rank = *k;
    *value = cp_pick_digit(first, FIRST, &rank);
    count_next(blocks, n, *value, 10, middle);
    if (*value == 0)
        middle[0] -= zeros;
    *value = *value << 10 | cp_pick_digit(middle, NEXT, &rank);
    count_next(blocks, n, *value, 0, last);
    if (*value == 0)
        last[0] -= zeros;
    *value = *value << 10 | cp_pick_digit(last, NEXT, &rank);
    fill_bits(blocks, n, last[*value & (NEXT - 1)] == rank ? *value : *value + 1);
    if (last[*value & (NEXT - 1)] != rank)
        fill_ties(blocks, n, *value, rank);
done:
    cp_free(first);
    return status;
}

/* Overwrites the words of layers [from, to) with the K largest positive scores. */
static cp_status select_layers(cp_path *path, const float *score, int from, int to, size_t k, size_t *kept,
                               float *threshold)
{
    cp_status status = CP_OK;
    size_t n;
    uint32_t value = 0;
    block *blocks = make_blocks(path, score, from, to, &n);
    *kept = 0;
    *threshold = 0;
    if (!blocks)
        return CP_ERESOURCE;
    if (!k || neurons_of(blocks, n) < SAMPLED_FROM || cp_select_sampled(blocks, n, k, &value) != CP_SELECTED)
        status = select_by_digits(path, score, from, to, blocks, n, &k, &value);
    if (!status) {
        *kept = k;
        memcpy(threshold, &value, sizeof value);
    }
    cp_free(blocks);
    return status;
}

/* Keeps the best of every layer first, then the best of what is left, until `k` are kept or the floor alone is more. */
static cp_status select_with_floor(cp_path *path, const float *score, size_t k, double floor, cp_selection *selection)
{
    cp_status status = CP_OK;
    size_t kept, floor_kept = 0;
    float threshold, lowest = INFINITY;
    cp_path *best = NULL;
    float *rest = cp_alloc(path->neurons, sizeof *rest, "selection");
    if (!rest || cp_path_copy(path, &best)) {
        status = CP_ERESOURCE;
        goto done;
    }
    memcpy(rest, score, path->neurons * sizeof *rest);
    for (int l = 0; l < path->n_layers; l++) {
        const cp_neuron_layer *layer = &path->layers[l];
        size_t share = (size_t)ceil(floor * (double)layer->count * (1 - 1e-12)); /* .1 of 30 is 3, not 4 */
        status = select_layers(best, score, l, l + 1, share, &kept, &threshold);
        if (status)
            goto done;
        floor_kept += kept;
        if (kept && threshold < lowest)
            lowest = threshold;
        const uint64_t *words = cp_path_words(best, l);
        for (size_t i = 0; i < layer->count; i++)
            if (words[i / 64] >> i % 64 & 1)
                rest[layer->offset + i] = 0;
    }
    selection->asked = k > floor_kept ? k : floor_kept;
    status = select_layers(path, rest, 0, path->n_layers, selection->asked - floor_kept, &kept, &threshold);
    if (!status)
        status = cp_path_or(path, best);
    selection->kept = floor_kept + kept;
    if (kept && threshold < lowest)
        lowest = threshold;
    selection->threshold = selection->kept ? lowest : 0;
done:
    cp_free(rest);
    cp_path_free(best);
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
    if (!(floor >= 0 && floor <= 1))
        return cp_fail(CP_EINPUT, "floor: %g found, 0 to 1 allowed", floor);
    selection->asked = cp_path_keep_count(path->neurons, sparsity);
    if (floor > 0)
        status = select_with_floor(path, score, selection->asked, floor, selection);
    else
        status = select_layers(path, score, 0, path->n_layers, selection->asked, &selection->kept,
                               &selection->threshold);
    selection->sparsity = path->neurons ? 1 - (double)selection->kept / (double)path->neurons : 0;
    return status;
}
