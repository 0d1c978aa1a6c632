/* Equal windows get equal outputs. A max-pool's winner among equal values is the first, and photographs have many: bars of one
 * colour, saturated skies. Direct sums come out equal where their windows are, but each place of a Winograd tile rounds in its
 * own way, and so do the last columns of sgemm: the winner of a flat area would be chance. So the positions that see what an
 * earlier one saw take its outputs.
 *
 * Pixels (all channels of a position) are sorted into classes by a hash table, then windows by the classes they see: exact
 * comparisons, hashes only find what to compare. */
#include <string.h>

#include "engine/cpu/conv.h"

enum { LANES = 16, CHUNK = 256, OUTSIDE = -1, FILTER = 4 /* bits for a slot of the table */ };

typedef uint32_t words __attribute__((vector_size(64), aligned(4), may_alias));
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

/* Parts of the work memory. */
typedef struct {
    const cp_window *g;
    const float *x;
    size_t pixels, slots;
    uint32_t *hash;  /* by pixel; 0 where all channels are */
    int32_t *class;  /* by pixel: the first that equals it; OUTSIDE where all channels are 0, like those beyond the border */
    uint8_t *shared; /* by pixel: another one is of its class */
    uint32_t *table; /* position + 1, or 0 */
    uint32_t *once, *twice; /* by FILTER*slots: a bit for the hashes that have come, and come again */
    uint32_t *pairs;
} job;

static size_t slots_for(size_t positions)
{
    size_t slots = 64;
    while (slots < 2 * positions) slots *= 2;
    return slots;
}

size_t cp_equal_windows_work(const cp_window *g)
{
    size_t pixels = (size_t)g->h * g->w, positions = (size_t)g->out_h * g->out_w;
    size_t slots = slots_for(pixels > positions ? pixels : positions);
    return 2 * positions + 2 * pixels + slots + 2 * (FILTER * slots / 32) + pixels / sizeof(uint32_t) + 1;
}

static job divide(const cp_window *g, const float *x, uint32_t *work)
{
    size_t pixels = (size_t)g->h * g->w, positions = (size_t)g->out_h * g->out_w;
    job j = {.g = g, .x = x, .pixels = pixels, .slots = slots_for(pixels > positions ? pixels : positions)};
    j.pairs = work;
    j.hash = j.pairs + 2 * positions;
    j.class = (int32_t *)(j.hash + pixels);
    j.table = j.hash + 2 * pixels;
    j.once = j.table + j.slots;
    j.twice = j.once + FILTER * j.slots / 32;
    j.shared = (uint8_t *)(j.twice + FILTER * j.slots / 32);
    return j;
}

static uint32_t stir(uint32_t hash, uint32_t value) { return (hash + value) * 0x9e3779b1u; }

/* hash[n] of n pixels, planes apart. */
CP_CLONES static void hash_pixels(const float *x, int channels, size_t plane, size_t n, uint32_t *hash)
{
    memset(hash, 0, n * sizeof *hash);
    for (int c = 0; c < channels; ++c, x += plane) {
        size_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            lanes v = *(const lanes *)(x + i) + 0.f; /* -0 becomes 0 */
            *(words *)(hash + i) = (*(words *)(hash + i) + (words)v) * 0x9e3779b1u;
        }
        for (; i < n; ++i) {
            float v = x[i] + 0.f;
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            hash[i] = stir(hash[i], bits);
        }
    }
}

static void hash_all(const job *j)
{
    int chunks = (int)((j->pixels + CHUNK - 1) / CHUNK);
#pragma omp parallel for num_threads(cp_threads_for((double)j->pixels * j->g->c))
    for (int k = 0; k < chunks; ++k) {
        size_t first = (size_t)k * CHUNK, n = j->pixels - first < CHUNK ? j->pixels - first : CHUNK;
        hash_pixels(j->x + first, j->g->c, j->pixels, n, j->hash + first);
    }
}

static bool same_pixel(const job *j, size_t a, size_t b)
{
    const float *x = j->x;
    for (int c = 0; c < j->g->c; ++c, x += j->pixels)
        if (!(x[a] == x[b])) return false;
    return true;
}

static bool is_zero(const job *j, size_t p)
{
    const float *x = j->x;
    for (int c = 0; c < j->g->c; ++c, x += j->pixels)
        if (x[p] != 0) return false;
    return true;
}

static size_t slot_of(const job *j, uint32_t hash) { return (hash ^ hash >> 15) & (j->slots - 1); }

static size_t filter_bit(const job *j, size_t p) { return (j->hash[p] ^ j->hash[p] >> 15) & (FILTER * j->slots - 1); }

/* Most pixels have no equal, and a bit in the nearest cache says so of nine in ten. */
static void filter(const job *j)
{
    memset(j->once, 0, 2 * (FILTER * j->slots / 8)); /* and twice */
    for (size_t p = 0; p < j->pixels; ++p) {
        size_t bit = filter_bit(j, p);
        uint32_t set = 1u << bit % 32, *once = &j->once[bit / 32];
        j->twice[bit / 32] |= *once & set;
        *once |= set;
    }
}

static bool may_have_equal(const job *j, size_t p)
{
    size_t bit = filter_bit(j, p);
    return j->twice[bit / 32] >> bit % 32 & 1;
}

/* Fills class and shared. Returns whether any two pixels that are not 0 are equal. */
static bool find_classes(const job *j)
{
    bool any = false;
    memset(j->table, 0, j->slots * sizeof *j->table);
    memset(j->shared, 0, j->pixels);
    filter(j);
    for (size_t p = 0; p < j->pixels; ++p) {
        if (!j->hash[p] && is_zero(j, p)) {
            j->class[p] = OUTSIDE;
            continue;
        }
        j->class[p] = (int32_t)p;
        if (!may_have_equal(j, p)) continue;
        size_t slot = slot_of(j, j->hash[p]);
        for (; j->table[slot]; slot = (slot + 1) & (j->slots - 1)) {
            size_t q = j->table[slot] - 1;
            if (j->hash[q] != j->hash[p] || !same_pixel(j, q, p)) continue;
            j->class[p] = (int32_t)q;
            j->shared[q] = 1;
            any = true;
            break;
        }
        if (!j->table[slot]) j->table[slot] = (uint32_t)p + 1;
    }
    return any;
}

/* Of the pixel that a tap of output position p reads. */
static int32_t class_at(const job *j, size_t p, int tap)
{
    const cp_window *g = j->g;
    int y = (int)(p / g->out_w) * g->stride_y - g->pad + tap / g->size * g->dilation;
    int x = (int)(p % g->out_w) * g->stride - g->pad + tap % g->size * g->dilation;
    return y < 0 || y >= g->h || x < 0 || x >= g->w ? OUTSIDE : j->class[(size_t)y * g->w + x];
}

/* false: the window is 0, or no other one can equal it. */
static bool hash_window(const job *j, size_t p, uint32_t *hash)
{
    bool zero = true;
    *hash = 0;
    for (int tap = 0; tap < j->g->size * j->g->size; ++tap) {
        int32_t class = class_at(j, p, tap);
        if (class != OUTSIDE && !j->shared[class]) return false;
        zero &= class == OUTSIDE;
        *hash = stir(*hash ^ *hash >> 15, (uint32_t)class + 1);
    }
    return !zero;
}

static bool same_window(const job *j, size_t a, size_t b)
{
    for (int tap = 0; tap < j->g->size * j->g->size; ++tap)
        if (class_at(j, a, tap) != class_at(j, b, tap)) return false;
    return true;
}

static size_t find_pairs(const job *j)
{
    size_t n = 0, positions = (size_t)j->g->out_h * j->g->out_w;
    memset(j->table, 0, j->slots * sizeof *j->table);
    for (size_t p = 0; p < positions; ++p) {
        uint32_t hash;
        if (!hash_window(j, p, &hash)) continue;
        size_t slot = slot_of(j, hash);
        while (j->table[slot] && !same_window(j, j->table[slot] - 1, p)) slot = (slot + 1) & (j->slots - 1);
        if (j->table[slot]) {
            j->pairs[2 * n] = (uint32_t)p;
            j->pairs[2 * n++ + 1] = j->table[slot] - 1;
        } else {
            j->table[slot] = (uint32_t)p + 1;
        }
    }
    return n;
}

static void copy_pairs(const job *j, size_t n, float *y)
{
    size_t plane = (size_t)j->g->out_h * j->g->out_w;
#pragma omp parallel for num_threads(cp_threads_for((double)n * j->g->m))
    for (int m = 0; m < j->g->m; ++m)
        for (size_t k = 0; k < n; ++k) y[m * plane + j->pairs[2 * k]] = y[m * plane + j->pairs[2 * k + 1]];
}

void cp_equal_windows(const cp_window *g, int n, cp_batch x, cp_batch y, uint32_t *work)
{
    size_t in = (size_t)g->c * g->h * g->w, out = (size_t)g->m * g->out_h * g->out_w;
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group) {
            job j = divide(g, cp_at(x, b) + group * in, work);
            hash_all(&j);
            if (find_classes(&j)) copy_pairs(&j, find_pairs(&j), cp_at(y, b) + group * out);
        }
}
