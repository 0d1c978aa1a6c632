#include "eval/sufficiency.h"

#include <math.h>

#include "eval/degrade.h"
#include "eval/zeroed.h"
#include "io/error.h"

enum { SIZES = 10 };
static const double shares[SIZES] = {.001, .002, .005, .01, .02, .05, .1, .2, .5, 1};

/* Queues the network without any neuron, whose answer is f's 0. */
static cp_status start(const cp_frame *frame, int image, const cp_response *response, const cp_run_options *run, int wanted,
                       cp_answer *empty, cp_zeroed **zeroed)
{
    cp_status status = cp_zeroed_create(frame, image, response, NULL, NULL, run, wanted, zeroed);
    if (status)
        return status;
    cp_path_fill(cp_zeroed_next(*zeroed), false);
    return cp_zeroed_add(*zeroed, empty);
}

static double share_of(const cp_answer *answer, double full, const cp_answer *empty)
{
    return cp_faithful_share(answer->measure.response, full, empty->measure.response);
}

cp_status cp_sufficiency_of(const cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                            const cp_run_options *run, cp_sufficiency *found)
{
    cp_answer empty, answer[2];
    cp_zeroed *zeroed;
    *found = (cp_sufficiency){NAN, NAN};
    cp_status status = start(frame, image, response, run, 3, &empty, &zeroed);
    for (int without = 0; without < 2 && !status; without++) {
        cp_path *next = cp_zeroed_next(zeroed);
        cp_path_fill(next, false);
        status = cp_path_or(next, path);
        if (without)
            cp_path_not(next);
        if (!status)
            status = cp_zeroed_add(zeroed, &answer[without]);
    }
    if (!status)
        status = cp_zeroed_flush(zeroed);
    cp_zeroed_free(zeroed);
    if (status)
        return status;
    double full = cp_frame_response(frame, image, response);
    *found = (cp_sufficiency){share_of(&answer[0], full, &empty), 1 - share_of(&answer[1], full, &empty)};
    return CP_OK;
}

static cp_status run_sizes(const cp_frame *frame, cp_scores *scores, cp_zeroed *zeroed, cp_answer *answer)
{
    double neurons = (double)cp_model_neuron_count(cp_frame_model(frame));
    cp_status status = CP_OK;
    for (int i = 0; i < SIZES - 1 && !status; i++) { /* all neurons are the network itself */
        status = cp_best_path(cp_zeroed_next(zeroed), scores, (size_t)llround(shares[i] * neurons));
        if (!status)
            status = cp_zeroed_add(zeroed, &answer[i]);
    }
    return status ? status : cp_zeroed_flush(zeroed);
}

cp_status cp_ranking_faithfulness_of(const cp_frame *frame, int image, const cp_response *response, const float *score,
                                     const cp_run_options *run, cp_ranking_faithfulness *found)
{
    cp_answer empty, answer[SIZES - 1];
    double f[SIZES], distance[SIZES];
    cp_scores *scores = NULL;
    cp_zeroed *zeroed = NULL;
    size_t positive;
    *found = (cp_ranking_faithfulness){NAN, NAN};
    cp_status status = cp_scores_borrow(score, &scores);
    if (!status)
        status = cp_positive_scores(cp_frame_model(frame), scores, &positive);
    if (!status)
        status = start(frame, image, response, run, SIZES, &empty, &zeroed);
    if (!status)
        status = run_sizes(frame, scores, zeroed, answer);
    double full = cp_frame_response(frame, image, response);
    for (int i = 0; i < SIZES && !status; i++) {
        f[i] = i < SIZES - 1 ? share_of(&answer[i], full, &empty) : 1;
        distance[i] = fabs(1 - f[i]);
    }
    if (!status)
        *found = (cp_ranking_faithfulness){cp_curve_area(shares, f, SIZES), cp_curve_area(shares, distance, SIZES)};
    cp_zeroed_free(zeroed);
    cp_scores_free(scores);
    return status;
}
