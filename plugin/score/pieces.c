/* Products of activations and gradients, and what selection wants to know of them, found while they are in cache. */
#include <string.h>

#include "io/clones.h"
#include "score/score.h"

enum { LANES = 16, QUARTER = LANES / 4, PART = 1 << 12 /* scores */ };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(sizeof(float)), may_alias));
typedef float half_lanes __attribute__((vector_size(LANES / 2 * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef double doubles __attribute__((vector_size(LANES / 2 * sizeof(double))));
typedef double few_doubles __attribute__((vector_size(QUARTER / 2 * sizeof(double))));
typedef int32_t few_integers __attribute__((vector_size(QUARTER * sizeof(int32_t))));

/* What was found of a piece, lane by lane. */
typedef union {
    doubles all;
    few_doubles quarter[4];
} lane_sums;

typedef union {
    integers all;
    few_integers quarter[4];
} lane_maxima;

/* Vectors are not passed by value: how that is done depends on the instruction set. */
#define LARGER(a, b) ((((a) > (b)) & (a)) | (~((a) > (b)) & (b)))

static inline __attribute__((always_inline)) void finish(const lane_sums *sums, const lane_maxima *maxima,
                                                         cp_score_piece *piece)
{
    few_doubles sum = (sums->quarter[0] + sums->quarter[1]) + (sums->quarter[2] + sums->quarter[3]);
    few_integers a = LARGER(maxima->quarter[0], maxima->quarter[1]), b = LARGER(maxima->quarter[2], maxima->quarter[3]);
    few_integers most = LARGER(a, b);
    int32_t left = most[0] > most[1] ? most[0] : most[1], right = most[2] > most[3] ? most[2] : most[3];
    piece->sum = sum[0] + sum[1];
    piece->largest = (uint32_t)(left > right ? left : right);
}

/* The scores of one piece from a and g, or, where g is NULL, those that `a` holds. drop: the bits that are cleared. Denormals
 * stay what they are even where the processor would not read them: maxima are of the bits. */
static inline __attribute__((always_inline)) void piece_of(const float *a, const float *g, int32_t drop, float *out,
                                                           cp_score_piece *piece)
{
    lane_sums sums = {.all = {0}};
    lane_maxima maxima = {.all = {0}};
    _Pragma("GCC unroll 4") for (int i = 0; i < CP_SCORE_PIECE; i += LANES)
    {
        lanes product = *(const lanes *)(a + i);
        if (g)
            product *= *(const lanes *)(g + i);
        integers bits = (integers)product;
        union {
            integers all;
            half_lanes half[2];
        } magnitude = {bits & 0x7fffffff};
        if (out)
            *(integers *)(out + i) = bits & ~drop;
        sums.all += __builtin_convertvector(magnitude.half[0], doubles);
        sums.all += __builtin_convertvector(magnitude.half[1], doubles);
        maxima.all = LARGER(magnitude.all, maxima.all);
    }
    finish(&sums, &maxima, piece);
}

/* The pieces of `count` products, the last of which may be shorter; returns the largest. */
static inline __attribute__((always_inline)) uint32_t all_pieces(const float *a, const float *g, size_t count, int32_t drop,
                                                                 float *out, cp_score_piece *pieces)
{
    float tail[3][CP_SCORE_PIECE] = {{0}};
    uint32_t largest = 0;
    size_t n = count / CP_SCORE_PIECE, rest = count % CP_SCORE_PIECE;
    for (size_t k = 0; k < n; k++) {
        size_t at = k * CP_SCORE_PIECE;
        piece_of(a + at, g ? g + at : NULL, drop, out ? out + at : NULL, &pieces[k]);
        largest = pieces[k].largest > largest ? pieces[k].largest : largest;
    }
    if (!rest)
        return largest;
    memcpy(tail[0], a + count - rest, rest * sizeof *a);
    if (g)
        memcpy(tail[1], g + count - rest, rest * sizeof *g);
    piece_of(tail[0], g ? tail[1] : NULL, drop, tail[2], &pieces[n]);
    if (out)
        memcpy(out + count - rest, tail[2], rest * sizeof *out);
    return pieces[n].largest > largest ? pieces[n].largest : largest;
}

CP_CLONES static uint32_t products_of(const float *a, const float *g, size_t count, int32_t drop, float *out,
                                      cp_score_piece *pieces)
{
    return all_pieces(a, g, count, drop, out, pieces);
}

CP_CLONES static void pieces_of(const float *score, size_t count, cp_score_piece *pieces)
{
    all_pieces(score, NULL, count, 0, NULL, pieces);
}

bool cp_score_products(const float *a, const float *g, size_t count, bool signed_scores, float *out,
                       cp_score_piece *pieces)
{
    cp_score_piece unasked[PART / CP_SCORE_PIECE];
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i += PART) {
        cp_score_piece *to = pieces ? pieces + i / CP_SCORE_PIECE : unasked;
        uint32_t of_part = products_of(a + i, g + i, count - i < PART ? count - i : PART, signed_scores ? 0 : INT32_MIN,
                                       out + i, to);
        largest = of_part > largest ? of_part : largest;
    }
    return largest < 0x7f800000u;
}

void cp_score_find_pieces(const float *score, size_t count, cp_score_piece *pieces) { pieces_of(score, count, pieces); }
