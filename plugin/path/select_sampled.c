/* Selection in one pass over the scores. 1 score in 64 is looked at first, whole cache lines at places that do not
 * follow any layer's rows. Their histogram gives two values between which the last score kept almost certainly lies. The
 * pass then sets the bits of all scores from the lower one on and collects the few below the upper one, which hold the
 * last one kept and are sorted out by their digits. Pieces without such a score are passed over. Whether the last one kept
 * does lie there is counted, so that the result is exact. */
#include "path/select.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "io/clones.h"
#include "io/error.h"

enum {
    LINE = 16, LINE_EVERY = 64,         /* scores of a line; of so many lines one is sampled */
    LINES_AHEAD = 16,
    BIN_SHIFT = 16, BINS = 1 << 15,     /* of the sample: as fine as 1 part in 128 */
    CANDIDATES_PER = 8, CANDIDATES = 4096, /* of so many scores one may lie in the bracket, and as many more per block:
                                              a small layer near the response may lie in it as a whole */
    DIGIT = 11,                         /* bits by which candidates are told apart at a time */
    LANES = 16,
    AHEAD = 24                          /* pieces between fetching one and looking at it */
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
    double total, held; /* sums of all, and of those above */
    uint32_t largest;
} scan;

static size_t count_line(const float *line, uint32_t *bin)
{
    for (size_t i = 0; i < LINE; i++)
        bin[cp_score_bits(&line[i]) >> BIN_SHIFT]++;
    return LINE;
}

/* Histogram of the sample; returns its size. A line is counted when LINES_AHEAD others have been asked for. */
static size_t sample(const cp_select_block *blocks, size_t n, uint32_t *bin)
{
    const float *line[LINES_AHEAD];
    size_t taken = 0, asked = 0;
    uint32_t random = 1;
    for (size_t b = 0; b < n; b++)
        for (size_t first = 0; first + LINE <= blocks[b].count; first += LINE * LINE_EVERY) {
            random = random * 1664525u + 1013904223u;
            size_t at = first + (random >> 26) * LINE;
            if (at + LINE > blocks[b].count)
                at = first;
            if (asked >= LINES_AHEAD)
                taken += count_line(line[asked % LINES_AHEAD], bin);
            line[asked++ % LINES_AHEAD] = blocks[b].score + at;
            __builtin_prefetch(blocks[b].score + at);
        }
    for (size_t k = asked < LINES_AHEAD ? 0 : asked - LINES_AHEAD; k < asked; k++)
        taken += count_line(line[k % LINES_AHEAD], bin);
    return taken;
}

static double middle_of(uint32_t d) { return cp_score_value(d << BIN_SHIFT | 1 << (BIN_SHIFT - 1)); }

/* What the sample says of the goal: the amount that is to be kept of it, in scores or in what they come to, and how far
 * that may be off. */
static void expect(const uint32_t *bin, double taken, size_t neurons, const cp_select_goal *goal, double *rank,
                   double *margin)
{
    double sum = 0, seen = 0, squares = 0;
    if (goal->mass <= 0) {
        double share = (double)goal->k / (double)neurons;
        *rank = share * taken;
        /* Neighbours resemble each other: a line of 16 tells as much as 4 drawn singly, hence twice the deviation. */
        *margin = 10 * sqrt(*rank * (1 - share)) + 4 * LINE;
        return;
    }
    for (uint32_t d = 0; d < BINS; d++)
        sum += bin[d] ? bin[d] * middle_of(d) : 0;
    *rank = goal->mass * sum;
    for (uint32_t d = BINS; d-- > 0;) { /* a score above the last one moves the share by what it does not take part in */
        double value = bin[d] ? middle_of(d) : 0, weight = value * (seen < *rank ? 1 - goal->mass : goal->mass);
        seen += bin[d] * value;
        squares += bin[d] * weight * weight;
    }
    *margin = 6 * sqrt(squares) + .005 * sum;
}

/* Bits *low <= those of the last score kept < *high, in all likelihood. false: it may be zero. */
static bool find_bracket(const cp_select_block *blocks, size_t n, size_t neurons, const cp_select_goal *goal,
                         uint32_t *low, uint32_t *high)
{
    uint32_t *bin = cp_alloc(BINS, sizeof *bin, "selection");
    bool found = false;
    if (!bin)
        return false;
    double taken = (double)sample(blocks, n, bin), rank, margin, seen = 0;
    expect(bin, taken, neurons, goal, &rank, &margin);
    int d = BINS - 1;
    *high = 0x7f800000u;
    for (; d > 0; d--) {
        double more = !bin[d] ? 0 : goal->mass > 0 ? bin[d] * middle_of((uint32_t)d) : bin[d];
        if (seen + more > rank - margin) /* the lowest bin with fewer above it than that */
            break;
        seen += more;
    }
    if (seen > 0)
        *high = (uint32_t)(d + 1) << BIN_SHIFT;
    for (; d > 0 && seen < rank + margin; d--)
        seen += !bin[d] ? 0 : goal->mass > 0 ? bin[d] * middle_of((uint32_t)d) : bin[d];
    *low = (uint32_t)(d + 1) << BIN_SHIFT;
    found = d > 0 && *low < *high;
    cp_free(bin);
    return found;
}

#ifdef __SSE2__
typedef int32_t four __attribute__((vector_size(16), aligned(4), may_alias));

/* Bits of the 64 scores that are at least `low`. */
static inline __attribute__((always_inline)) uint64_t scores_from(const float *score, int32_t low)
{
    uint64_t word = 0;
    for (int i = 0; i < 64; i += 16) {
        const four *s = (const four *)(score + i);
        four a = (s[0] & 0x7fffffff) >= low, b = (s[1] & 0x7fffffff) >= low;
        four c = (s[2] & 0x7fffffff) >= low, d = (s[3] & 0x7fffffff) >= low;
        __m128i lower = _mm_packs_epi32((__m128i)a, (__m128i)b), upper = _mm_packs_epi32((__m128i)c, (__m128i)d);
        word |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(lower, upper)) << i;
    }
    return word;
}
#else
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

static inline __attribute__((always_inline)) uint64_t scores_from(const float *score, int32_t low)
{
    uint8_t flag[64];
    for (size_t i = 0; i < 64; i++)
        flag[i] = (int32_t)cp_score_bits(&score[i]) >= low;
    return pack(flag);
}
#endif

typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(sizeof(float)), may_alias));

/* The pieces that are looked at lie here and there, where the processor does not expect them. */
static inline __attribute__((always_inline)) void fetch_piece(const float *score)
{
    for (int i = 0; i < CP_SCORE_PIECE; i += LINE)
        __builtin_prefetch(score + i);
}

/* held += the sum of the 64 scores' magnitudes that are at least `high`, lane by lane. */
static inline __attribute__((always_inline)) void hold(const float *score, int32_t high, double held[LANES])
{
    for (size_t i = 0; i < 64; i += LANES) {
        union {
            integers all;
            float lane[LANES];
        } kept = {*(const integers *)(score + i) & 0x7fffffff};
        kept.all &= kept.all >= high;
        for (size_t k = 0; k < LANES; k++)
            held[k] += (double)kept.lane[k];
    }
}

static void collect(uint64_t inside, const float *score, size_t first, scan *found)
{
    for (; inside; inside &= inside - 1) {
        size_t i = (size_t)__builtin_ctzll(inside);
        if (found->n < found->room)
            found->candidates[found->n] = (candidate){cp_score_bits(&score[i]), (uint32_t)(first + i)};
        found->n++;
    }
}

CP_CLONES static void scan_block(const cp_select_block *block, uint32_t low, uint32_t high, scan *found)
{
    double held[LANES] = {0};
    size_t words = (block->count + 63) / 64;
    for (size_t w = 0; w < words; w++) {
        const float *score = block->score + w * 64;
        float tail[64] = {0};
        cp_score_piece piece = block->pieces[w];
        if (w + AHEAD < words && block->pieces[w + AHEAD].largest >= low)
            fetch_piece(score + AHEAD * CP_SCORE_PIECE);
        found->total += piece.sum;
        found->largest = piece.largest > found->largest ? piece.largest : found->largest;
        block->words[w] = 0;
        if (piece.largest < low)
            continue;
        if (block->count - w * 64 < 64)
            score = memcpy(tail, score, (block->count - w * 64) * sizeof *tail);
        uint64_t from_low = block->words[w] = scores_from(score, (int32_t)low), from_high = 0;
        if (piece.largest >= high) {
            from_high = scores_from(score, (int32_t)high);
            found->above += (size_t)__builtin_popcountll(from_high);
            hold(score, (int32_t)high, held);
        }
        collect(from_low & ~from_high, score, w * 64, found);
    }
    for (int k = 0; k < LANES; k++)
        found->held += held[k];
}

/* Numbers and sums of the candidates by a digit. */
typedef struct {
    uint32_t count[1 << DIGIT];
    double sum[1 << DIGIT];
} digit_table;

static void add_candidate(digit_table *table, uint32_t bits, uint32_t digit)
{
    table->count[digit]++;
    table->sum[digit] += cp_score_value(bits);
}

/* The digit, among those of the table, that holds the last score kept; -1: none does. Those above it are added to *above and
 * goal->held. */
static int pick(const digit_table *table, cp_select_goal *goal, size_t *above)
{
    double need = goal->mass * goal->total;
    for (int d = (1 << DIGIT) - 1; d >= 0; d--) {
        bool by_mass = goal->mass > 0;
        if (table->count[d] && (by_mass ? goal->held + table->sum[d] >= need : *above + table->count[d] >= goal->k))
            return d;
        *above += table->count[d];
        goal->held += table->sum[d];
    }
    return -1;
}

/* The next `width` bits of the last score kept, those above `shift`, are added to *prefix. offset: bits of the *n candidates
 * that share the prefix with it, less `low`; those whose next bits are others are dropped. */
static bool narrow(uint32_t *offset, size_t *n, uint32_t low, int shift, int width, uint32_t *prefix, digit_table *table,
                   cp_select_goal *goal, size_t *above)
{
    size_t left = 0;
    memset(table, 0, sizeof *table);
    for (size_t i = 0; i < *n; i++)
        add_candidate(table, low + offset[i], (offset[i] >> shift) & ((1 << width) - 1));
    int d = pick(table, goal, above);
    if (d < 0) /* too few of them; or, below the first digit, rounding */
        return false;
    *prefix = *prefix << width | (uint32_t)d;
    goal->equal = table->count[d];
    for (size_t i = 0; i < *n; i++)
        if (offset[i] >> shift == *prefix)
            offset[left++] = offset[i];
    *n = left;
    return true;
}

/* The last score kept, among the candidates: `above` scores with a sum of goal->held are larger than all of these. false: it
 * is not among them. */
static bool last_candidate(const scan *scans, size_t n, uint32_t low, uint32_t high, size_t above, cp_select_goal *goal)
{
    uint32_t prefix = 0; /* digits found so far, of bits - low */
    int shift = 0;
    bool found = false;
    size_t left = 0, all = 0;
    for (size_t b = 0; b < n; b++)
        all += scans[b].n;
    digit_table *table = cp_alloc_dirty(1, sizeof *table, "selection");
    uint32_t *offset = cp_alloc_dirty(all + 1, sizeof *offset, "selection");
    if (!table || !offset)
        goto done;
    for (size_t b = 0; b < n; b++)
        for (size_t i = 0; i < scans[b].n; i++)
            offset[left++] = scans[b].candidates[i].bits - low;
    while ((high - low - 1) >> shift >> DIGIT)
        shift++; /* the first digit is as fine as it can be, and tells most of them apart */
    found = narrow(offset, &left, low, shift, DIGIT, &prefix, table, goal, &above);
    while (found && shift) {
        int width = shift < DIGIT ? shift : DIGIT;
        shift -= width;
        found = narrow(offset, &left, low, shift, width, &prefix, table, goal, &above);
    }
done:
    cp_free(table);
    cp_free(offset);
    if (!found)
        return false;
    goal->value = low + prefix;
    double value = cp_score_value(goal->value), missing = ceil((goal->mass * goal->total - goal->held) / value);
    goal->ties = !(goal->mass > 0) ? goal->k - above : missing < 1 ? 1 : missing < (double)goal->equal ? (size_t)missing
                                                                                                        : goal->equal;
    goal->k = above + goal->ties;
    goal->held += (double)goal->ties * value;
    return true;
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

cp_select_outcome cp_select_sampled(const cp_select_block *blocks, size_t n, cp_select_goal *goal)
{
    cp_select_outcome outcome = CP_NOT_SELECTED;
    cp_select_goal found = {.mass = goal->mass, .k = goal->k};
    size_t neurons = 0, room = 0, all = 0, above = 0;
    uint32_t low, high, largest = 0;
    candidate *candidates = NULL;
    scan *scans = NULL;
    bool lost = false;
    for (size_t b = 0; b < n; b++) {
        neurons += blocks[b].count;
        all += room_for(&blocks[b]);
    }
    if ((goal->mass <= 0 && goal->k > neurons) || !find_bracket(blocks, n, neurons, goal, &low, &high))
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
        found.total += scans[b].total;
        found.held += scans[b].held;
        lost |= scans[b].n > scans[b].room;
    }
    bool passed = goal->mass > 0 ? found.held >= goal->mass * found.total : above >= goal->k;
    if (largest > CP_LARGEST_SCORE) {
        outcome = CP_SUSPICIOUS_SCORES;
    } else if (!lost && !passed && last_candidate(scans, n, low, high, above, &found)) {
        clear_losers(blocks, scans, n, found.value, found.ties);
        *goal = found;
        outcome = CP_SELECTED;
    }
done:
    cp_free(candidates);
    cp_free(scans);
    return outcome;
}
