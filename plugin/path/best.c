/* The K best of scores that come in parts. A score is >= 0, so its bits are in the order of its value (select.c).
 *
 * A histogram of the upper bits of whatever was kept so far tells how many are known above each of its edges: the
 * highest edge with K or more above it is a lower bound of the K-th largest, and what is below can be forgotten at
 * once. The bound only rises, so counts above it stay exact. A backward run begins at the response, where few neurons
 * share the whole response and scores are large: the bound is near its end when the large layers come. In the end the
 * K-th largest lies in one known bin. Which scores are kept on the way depends on their order and the threads, the
 * result does not. */
#include "path/best.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "io/clones.h"
#include "io/error.h"

enum {
    SHIFT = 16, BINS = 1 << 15,       /* a bin is 1 part in 128 wide */
    PIECE = 2048, WORDS = PIECE / 64, /* scores at a time, in the nearest cache */
    LANES = 16,
    SPARE = 1 << 16,                  /* kept scores beyond twice the largest path */
    LARGE_SHARE = 16                  /* a path of more than one neuron in so many is selected from an array */
};

/* Kept scores and their neurons, which are counted in bits of the path's words. */
typedef struct {
    uint32_t *bits, *neuron;
    size_t n;
} list;

struct cp_best {
    const size_t *first;   /* the path's, by layer */
    size_t most, room;
    bool compresses;       /* the processor does: take_lanes */
    pthread_mutex_t lock;  /* of all below */
    atomic_uint low;       /* what is below is not kept; at least 1, as a zero is never selected */
    atomic_bool failed;
    list kept;
    size_t above;          /* those of at least `low` */
    uint32_t count[BINS];  /* of whatever was kept once; exact from `low` on */
};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

/* Appends what is at least `low` of the scores |a * g|; returns the largest. `count` is a multiple of LANES. Plain C
 * has no word for the instruction that this is made of. */
__attribute__((target("avx512f"))) static uint32_t take_lanes(const float *a, const float *g, size_t count,
                                                              uint32_t low, uint32_t neuron, list *to)
{
    __m512i largest = _mm512_setzero_si512(), lowest = _mm512_set1_epi32((int)low),
        sign = _mm512_set1_epi32(0x7fffffff);
    __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t n = to->n;
    for (size_t i = 0; i < count; i += LANES) {
        __m512i bits = _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(g + i)));
        bits = _mm512_and_si512(bits, sign);
        largest = _mm512_max_epu32(largest, bits);
        __mmask16 kept = _mm512_cmpge_epu32_mask(bits, lowest);
        if (!kept)
            continue;
        __m512i place = _mm512_add_epi32(index, _mm512_set1_epi32((int)(neuron + i)));
        _mm512_storeu_si512(to->bits + n, _mm512_maskz_compress_epi32(kept, bits));
        _mm512_storeu_si512(to->neuron + n, _mm512_maskz_compress_epi32(kept, place));
        n += (size_t)__builtin_popcount(kept);
    }
    to->n = n;
    return _mm512_reduce_max_epu32(largest);
}

static bool compresses(void) { return __builtin_cpu_supports("avx512f"); }
#else
static uint32_t take_lanes(const float *a, const float *g, size_t count, uint32_t low, uint32_t neuron, list *to)
{
    (void)a, (void)g, (void)count, (void)low, (void)neuron, (void)to;
    return 0;
}
static bool compresses(void) { return false; }
#endif

cp_status cp_best_create(const cp_path *path, size_t most, cp_best **out)
{
    *out = NULL;
    if (most > path->neurons / LARGE_SHARE || path->first[path->n_layers] > UINT32_MAX / 64)
        return CP_OK;
    cp_best *best = cp_alloc(1, sizeof *best, "selection");
    if (!best)
        return CP_ERESOURCE;
    best->first = path->first;
    best->most = most ? most : 1;
    best->low = 1;
    best->compresses = compresses();
    best->room = 2 * most + SPARE;
    best->kept.bits = cp_alloc_dirty(best->room, sizeof *best->kept.bits, "selection");
    best->kept.neuron = cp_alloc_dirty(best->room, sizeof *best->kept.neuron, "selection");
    if (!best->kept.bits || !best->kept.neuron || pthread_mutex_init(&best->lock, NULL)) {
        cp_free(best->kept.bits);
        cp_free(best->kept.neuron);
        cp_free(best);
        return cp_fail(CP_ERESOURCE, "selection: no memory for %zu neurons", most);
    }
    *out = best;
    return CP_OK;
}

void cp_best_in_plain_c(cp_best *best) { best->compresses = false; }

void cp_best_free(cp_best *best)
{
    if (!best)
        return;
    pthread_mutex_destroy(&best->lock);
    cp_free(best->kept.bits);
    cp_free(best->kept.neuron);
    cp_free(best);
}

/* bits: of |a * g|, as cp_score_mct computes it; top: the largest of each 64. `count` is a multiple of 64. */
CP_CLONES static void multiply(const float *restrict a, const float *restrict g, size_t count, uint32_t *restrict bits,
                               uint32_t *restrict top)
{
    for (size_t w = 0; w < count / 64; w++) {
        uint32_t largest = 0;
        for (size_t i = w * 64; i < w * 64 + 64; i++) {
            float product = a[i] * g[i];
            uint32_t b;
            memcpy(&b, &product, sizeof b);
            b &= 0x7fffffffu;
            bits[i] = b;
            largest = b > largest ? b : largest;
        }
        top[w] = largest;
    }
}

/* take_lanes for every processor. `count` is a multiple of 64, at most PIECE. */
static uint32_t take_words(const float *a, const float *g, size_t count, uint32_t low, uint32_t neuron, list *to)
{
    uint32_t bits[PIECE], top[WORDS], largest = 0;
    multiply(a, g, count, bits, top);
    for (size_t w = 0; w < count / 64; w++) {
        largest = top[w] > largest ? top[w] : largest;
        if (top[w] < low)
            continue;
        for (size_t i = w * 64; i < w * 64 + 64; i++) { /* without a branch per score */
            to->bits[to->n] = bits[i];
            to->neuron[to->n] = (uint32_t)(neuron + i);
            to->n += bits[i] >= low;
        }
    }
    return largest;
}

/* Forgets what is below the bound. */
static void compact(list *l, uint32_t low)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t bits = l->bits[i];
        l->bits[n] = bits;
        l->neuron[n] = l->neuron[i];
        n += bits >= low;
    }
    l->n = n;
}

static void keep(cp_best *best, const list *found)
{
    pthread_mutex_lock(&best->lock);
    uint32_t low = best->low;
    if (best->kept.n + found->n > best->room)
        compact(&best->kept, low);
    if (best->kept.n + found->n > best->room) {
        best->failed = true; /* so many equal or nearly so */
    } else {
        memcpy(best->kept.bits + best->kept.n, found->bits, found->n * sizeof *found->bits);
        memcpy(best->kept.neuron + best->kept.n, found->neuron, found->n * sizeof *found->neuron);
        best->kept.n += found->n;
        for (size_t i = 0; i < found->n; i++) {
            best->count[found->bits[i] >> SHIFT]++;
            best->above += found->bits[i] >= low;
        }
        /* A bin's edge passes below the K-th largest as long as K are left above it. */
        for (uint32_t bin = low >> SHIFT; best->above - best->count[bin] >= best->most; low = ++bin << SHIFT)
            best->above -= best->count[bin];
        best->low = low;
    }
    pthread_mutex_unlock(&best->lock);
}

static void drop(list *l, uint32_t neuron)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->neuron[i] == neuron) {
            l->bits[i] = l->bits[--l->n];
            l->neuron[i] = l->neuron[l->n];
        }
}

static void take_piece(cp_best *best, size_t neuron, const float *a, const float *g, size_t count, const size_t *except,
                       int n_except)
{
    uint32_t bits[PIECE + LANES], place[PIECE + LANES], low = atomic_load_explicit(&best->low, memory_order_relaxed);
    uint32_t (*take)(const float *, const float *, size_t, uint32_t, uint32_t, list *) = take_words;
    list found = {bits, place, 0};
    size_t whole = count / 64 * 64;
    if (best->compresses)
        take = take_lanes;
    uint32_t largest = take(a, g, whole, low, (uint32_t)neuron, &found);
    if (whole < count) {
        float tail[2][64] = {{0}};
        memcpy(tail[0], a + whole, (count - whole) * sizeof *a);
        memcpy(tail[1], g + whole, (count - whole) * sizeof *g);
        uint32_t largest_there = take(tail[0], tail[1], 64, low, (uint32_t)(neuron + whole), &found);
        largest = largest_there > largest ? largest_there : largest;
    }
    for (int i = 0; i < n_except; i++)
        drop(&found, (uint32_t)except[i]);
    if (largest > CP_LARGEST_SCORE)
        best->failed = true;
    else if (found.n)
        keep(best, &found);
}

void cp_best_take(cp_best *best, int layer, size_t first, const float *a, const float *g, size_t count,
                  const size_t *except, int n_except)
{
    size_t start = best->first[layer] * 64, places[CP_RESPONSE_UNITS];
    for (int i = 0; i < n_except; i++)
        places[i] = start + except[i];
    for (size_t i = 0; i < count && !best->failed; i += PIECE)
        take_piece(best, start + first + i, a + i, g + i, count - i < PIECE ? count - i : PIECE, places, n_except);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void set(cp_path *path, uint32_t neuron) { path->words[neuron / 64] |= (uint64_t)1 << neuron % 64; }

/* Of the scores of one bin, sets the `rank` largest (from 1); returns the bits of the last. */
static uint32_t select_in_bin(list *inside, size_t rank, cp_path *path)
{
    enum { DIGIT = SHIFT / 2, DIGITS = 1 << DIGIT };
    uint32_t count[DIGITS], value = 0;
    size_t equal = 0;
    for (int shift = DIGIT; shift >= 0; shift -= DIGIT) { /* digit by digit, as select.c */
        uint32_t d = DIGITS - 1;
        memset(count, 0, sizeof count);
        for (size_t i = 0; i < inside->n; i++)
            if (shift || (inside->bits[i] >> DIGIT & (DIGITS - 1)) == value)
                count[inside->bits[i] >> shift & (DIGITS - 1)]++;
        while (count[d] < rank)
            rank -= count[d--];
        value = value << DIGIT | d;
    }
    value |= inside->bits[0] >> SHIFT << SHIFT;
    for (size_t i = 0; i < inside->n; i++)
        if (inside->bits[i] > value)
            set(path, inside->neuron[i]);
        else if (inside->bits[i] == value)
            inside->neuron[equal++] = inside->neuron[i];
    if (equal > rank)
        qsort(inside->neuron, equal, sizeof *inside->neuron, by_number);
    for (size_t i = 0; i < rank; i++)
        set(path, inside->neuron[i]);
    return value;
}

bool cp_best_select(const cp_best *best, size_t k, cp_path *path, size_t *kept, float *threshold)
{
    size_t rank = k < best->above ? k : best->above; /* fewer where fewer are positive: the bound has not risen then */
    uint32_t bin = BINS - 1, value;
    *kept = rank, *threshold = 0;
    if (best->failed)
        return false;
    memset(path->words, 0, path->first[path->n_layers] * sizeof *path->words);
    if (!rank)
        return true;
    for (; best->count[bin] < rank; bin--)
        rank -= best->count[bin];
    uint32_t *memory = cp_alloc_dirty(best->count[bin], 2 * sizeof *memory, "selection");
    if (!memory)
        return false;
    list inside = {memory, memory + best->count[bin], 0};
    for (size_t i = 0; i < best->kept.n; i++) {
        uint32_t bits = best->kept.bits[i], neuron = best->kept.neuron[i];
        if (bits >> SHIFT > bin) {
            set(path, neuron);
        } else if (bits >> SHIFT == bin) {
            inside.bits[inside.n] = bits;
            inside.neuron[inside.n++] = neuron;
        }
    }
    value = select_in_bin(&inside, rank, path);
    memcpy(threshold, &value, sizeof value);
    cp_free(memory);
    return true;
}
