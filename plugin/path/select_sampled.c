/* Selection in one pass over the scores. 1 score in 64 is looked at first, whole cache lines at places that do not
 * follow any layer's rows. Their histogram gives two values between which the k-th largest almost certainly lies. The
 * pass then sets the bits of all scores from the lower one on and collects the few below the upper one, which hold the
 * k-th largest and are sorted out by their digits. Whether it does lie there is counted, so that the result is exact. */
#include "path/select.h"

#include <math.h>

#include "io/clones.h"
#include "io/error.h"

enum {
    LINE = 16, LINE_EVERY = 64,         /* scores of a line; of so many lines one is sampled */
    BIN_SHIFT = 16, BINS = 1 << 15,     /* of the sample: as fine as 1 part in 128 */
    CANDIDATES_PER = 8, CANDIDATES = 4096, /* of so many scores one may lie in the bracket, and as many more per block:
                                              a small layer near the response may lie in it as a whole */
    DIGIT = 11,                         /* bits by which candidates are told apart at a time */
    BLOCK_WORDS = CP_SELECT_BLOCK / 64
};

/* A score inside the bracket. */
typedef struct {
    uint32_t bits, index; /* of the block */
} candidate;

/* What the pass found in one block. */
typedef struct {
    candidate *candidates;
    size_t n, room; /* n may be larger than room: those above are lost */
    size_t above;   /* scores above the bracket */
    uint32_t largest;
} scan;

static inline uint32_t bits_of(const float *score)
{
    uint32_t bits;
    memcpy(&bits, score, sizeof bits);
    return bits;
}

/* Histogram of the sample; returns its size. */
static size_t sample(const cp_select_block *blocks, size_t n, uint32_t *bin)
{
    size_t taken = 0;
    uint32_t random = 1;
    for (size_t b = 0; b < n; b++)
        for (size_t first = 0; first + LINE <= blocks[b].count; first += LINE * LINE_EVERY) {
            random = random * 1664525u + 1013904223u;
            size_t at = first + (random >> 26) * LINE;
            if (at + LINE > blocks[b].count)
                at = first;
            for (size_t i = 0; i < LINE; i++)
                bin[bits_of(&blocks[b].score[at + i]) >> BIN_SHIFT & (BINS - 1)]++;
            taken += LINE;
        }
    return taken;
}

/* Bits *low <= those of the k-th largest < *high, in all likelihood. false: it may be zero. */
static bool find_bracket(const cp_select_block *blocks, size_t n, size_t neurons, size_t k, uint32_t *low,
                         uint32_t *high)
{
    uint32_t *bin = cp_alloc(BINS, sizeof *bin, "selection");
    bool found = false;
    if (!bin)
        return false;
    double taken = (double)sample(blocks, n, bin), share = (double)k / (double)neurons;
    /* Neighbours resemble each other: a line of 16 tells as much as 4 drawn singly, hence twice the deviation. */
    double rank = share * taken, margin = 10 * sqrt(rank * (1 - share)) + 4 * LINE, seen = 0;
    int d = BINS - 1;
    *high = 0x7f800000u;
    for (; d > 0; d--) {
        if (seen + bin[d] > rank - margin) /* the lowest bin with fewer above it than that */
            break;
        seen += bin[d];
    }
    if (seen > 0)
        *high = (uint32_t)(d + 1) << BIN_SHIFT;
    for (; d > 0 && seen < rank + margin; d--)
        seen += bin[d];
    *low = (uint32_t)(d + 1) << BIN_SHIFT;
    found = d > 0 && *low < *high;
    cp_free(bin);
    return found;
}

/* Eight bytes of 0 or 1 as the bits of one: the product moves byte i to bit 56 + i. */
static inline uint64_t pack(const uint8_t *flag)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t eight;
        memcpy(&eight, flag + 8 * i, sizeof eight);
        word |= (eight * 0x0102040810204080u >> 56) << 8 * i;
    }
    return word;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pack reads the first flag as the lowest byte");

/* Words of the scores >= low and of those >= high, as signed numbers: whatever has a sign is below. Returns the largest
 * as an unsigned number. `count` is a multiple of 64. */
CP_CLONES static uint32_t compare(const float *score, size_t count, int32_t low, int32_t high, uint64_t *from_low,
                                  uint64_t *from_high)
{
    uint32_t largest = 0;
    for (size_t w = 0; w < count / 64; w++) {
        uint8_t lower[64], upper[64];
        for (size_t i = 0; i < 64; i++) {
            uint32_t bits = bits_of(&score[w * 64 + i]);
            largest = bits > largest ? bits : largest;
            lower[i] = (int32_t)bits >= low;
            upper[i] = (int32_t)bits >= high;
        }
        from_low[w] = pack(lower);
        from_high[w] = pack(upper);
    }
    return largest;
}

CP_CLONES static void scan_block(const cp_select_block *block, uint32_t low, uint32_t high, scan *found)
{
    uint64_t from_high[BLOCK_WORDS];
    float tail[64] = {0};
    size_t whole = block->count / 64, words = (block->count + 63) / 64;
    found->largest = compare(block->score, whole * 64, (int32_t)low, (int32_t)high, block->words, from_high);
    if (words > whole) {
        memcpy(tail, block->score + whole * 64, (block->count - whole * 64) * sizeof *tail);
        uint32_t largest = compare(tail, 64, (int32_t)low, (int32_t)high, block->words + whole, from_high + whole);
        found->largest = largest > found->largest ? largest : found->largest;
    }
    for (size_t w = 0; w < words; w++) {
        found->above += (size_t)__builtin_popcountll(from_high[w]);
        for (uint64_t inside = block->words[w] & ~from_high[w]; inside; inside &= inside - 1) {
            uint32_t index = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(inside));
            if (found->n < found->room)
                found->candidates[found->n] = (candidate){bits_of(&block->score[index]), index};
            found->n++;
        }
    }
}

/* Bits of the *k-th largest candidate (from 1); *k becomes its rank among its equals, *equal how many they are. */
static uint32_t kth_candidate(const scan *scans, size_t n, uint32_t low, uint32_t high, size_t *k, size_t *equal)
{
    uint32_t value = 0; /* digits found so far, of bits - low */
    int shift = 0;
    while ((uint64_t)(high - low - 1) >> shift >> DIGIT)
        shift += DIGIT;
    for (;; shift -= DIGIT) {
        uint32_t count[1 << DIGIT] = {0}, d = (1 << DIGIT) - 1;
        for (size_t b = 0; b < n; b++)
            for (size_t i = 0; i < scans[b].n; i++) {
                uint32_t above = (scans[b].candidates[i].bits - low) >> shift;
                if (above >> DIGIT == value)
                    count[above & ((1 << DIGIT) - 1)]++;
            }
        while (count[d] < *k)
            *k -= count[d--];
        value = value << DIGIT | d;
        *equal = count[d];
        if (!shift)
            return low + value;
    }
}

/* Clears the bits of the candidates below `value`, and of those equal to it but the first `ties`. */
static void clear_losers(const cp_select_block *blocks, const scan *scans, size_t n, uint32_t value, size_t ties)
{
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < scans[b].n; i++) {
            candidate c = scans[b].candidates[i];
            bool keep = c.bits > value || (c.bits == value && ties);
            if (c.bits == value && ties)
                ties--;
            blocks[b].words[c.index / 64] &= ~((uint64_t)!keep << c.index % 64);
        }
}

static size_t room_for(const cp_select_block *block)
{
    size_t room = block->count / CANDIDATES_PER + CANDIDATES;
    return room < block->count ? room : block->count;
}

cp_select_outcome cp_select_sampled(const cp_select_block *blocks, size_t n, size_t k, uint32_t *value)
{
    cp_select_outcome outcome = CP_NOT_SELECTED;
    size_t neurons = 0, room = 0, all = 0, above = 0, inside = 0, equal;
    uint32_t low, high, largest = 0;
    candidate *candidates = NULL;
    scan *scans = NULL;
    bool lost = false;
    for (size_t b = 0; b < n; b++) {
        neurons += blocks[b].count;
        all += room_for(&blocks[b]);
    }
    if (k > neurons || !find_bracket(blocks, n, neurons, k, &low, &high))
        return outcome;
    candidates = cp_alloc_dirty(all, sizeof *candidates, "selection");
    scans = cp_alloc(n, sizeof *scans, "selection");
    if (!candidates || !scans)
        goto done;
    for (size_t b = 0; b < n; b++) {
        scans[b].candidates = candidates + room;
        room += scans[b].room = room_for(&blocks[b]);
    }
#pragma omp parallel for schedule(dynamic) num_threads(cp_select_threads(neurons))
    for (size_t b = 0; b < n; b++)
        scan_block(&blocks[b], low, high, &scans[b]);
    for (size_t b = 0; b < n; b++) {
        largest = scans[b].largest > largest ? scans[b].largest : largest;
        above += scans[b].above;
        inside += scans[b].n;
        lost |= scans[b].n > scans[b].room;
    }
    if (largest > CP_LARGEST_SCORE) {
        outcome = CP_SUSPICIOUS_SCORES;
    } else if (!lost && above < k && k <= above + inside) {
        size_t rank = k - above;
        *value = kth_candidate(scans, n, low, high, &rank, &equal);
        clear_losers(blocks, scans, n, *value, rank);
        outcome = CP_SELECTED;
    }
done:
    cp_free(candidates);
    cp_free(scans);
    return outcome;
}
