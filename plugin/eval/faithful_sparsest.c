/* The sparsest path whose zeroed network keeps the prediction (docs/methods.md 5). */
#include <math.h>

#include "eval/zeroed.h"
#include "io/error.h"

enum { BATCH = 8, DEFAULT_CHECKS = 32, MAX_CHECKS = 4096 };
static const double DEFAULT_LOSS = .5;

typedef struct {
    cp_scores *scores;
    cp_zeroed *zeroed;
    cp_sparsest *out;
    cp_answer best;      /* of the smallest that keeps */
    cp_answer *answer;   /* of the linear check */
    int checks;
} search;

static bool keeps(const cp_sparsest *s, const cp_answer *answer)
{
    const cp_measure *m = &answer->measure;
    if (!isnan(s->box_least))
        return answer->box >= s->box_least;
    if (s->argmax && !answer->largest)
        return false;
    if (!isnan(s->full.probability))
        return m->probability >= (1 - s->loss) * s->full.probability;
    return m->response >= s->full.response - s->loss * fabs(s->full.response);
}

static cp_status try_size(search *s, size_t k, bool *kept)
{
    cp_answer answer;
    cp_status status = cp_best_path(cp_zeroed_next(s->zeroed), s->scores, k);
    if (!status)
        status = cp_zeroed_add(s->zeroed, &answer);
    if (!status)
        status = cp_zeroed_flush(s->zeroed);
    if (status)
        return status;
    *kept = keeps(s->out, &answer);
    if (*kept)
        s->best = answer;
    return CP_OK;
}

/* `high` keeps the prediction, `low` does not: narrows them to neighbours. */
static cp_status bisect(search *s, size_t low, size_t *high)
{
    while (*high - low > 1) {
        size_t middle = low + (*high - low) / 2;
        bool kept;
        cp_status status = try_size(s, middle, &kept);
        if (status)
            return status;
        if (kept)
            *high = middle;
        else
            low = middle;
    }
    return CP_OK;
}

/* The smallest of the sizes below `high` that keeps the prediction, and the one checked before it; *found false: none.
 */
static cp_status check_below(search *s, size_t high, size_t *low, size_t *size, bool *found)
{
    int n = high - 1 < (size_t)s->checks ? (int)(high - 1) : s->checks;
    cp_status status = CP_OK;
    *found = false;
    *low = 0;
    for (int i = 0; i < n && !status; i++) {
        size_t k = (size_t)((double)high * (i + 1) / (n + 1));
        status = cp_best_path(cp_zeroed_next(s->zeroed), s->scores, k);
        if (!status)
            status = cp_zeroed_add(s->zeroed, &s->answer[i]);
    }
    if (!status)
        status = cp_zeroed_flush(s->zeroed);
    for (int i = 0; i < n && !status && !*found; i++) {
        size_t k = (size_t)((double)high * (i + 1) / (n + 1));
        *found = keeps(s->out, &s->answer[i]);
        if (*found) {
            *size = k;
            s->best = s->answer[i];
        } else {
            *low = k;
        }
    }
    return status;
}

static cp_status find(search *s, size_t positive)
{
    cp_sparsest *out = s->out;
    size_t size = positive, low = 0;
    bool kept, again;
    cp_status status = try_size(s, 0, &kept);
    if (status)
        return status;
    if (kept) { /* the biases alone */
        out->found = true;
        return CP_OK;
    }
    if ((status = try_size(s, positive, &out->found)))
        return status;
    if (out->found && (status = bisect(s, 0, &size)))
        return status;
    out->bisected = out->found ? size : 0;
    while (size > 1) {
        status = check_below(s, out->found ? size : positive, &low, &size, &again);
        if (status || !again)
            break;
        out->found = true;
        if ((status = bisect(s, low, &size)))
            break;
    }
    out->kept = out->found ? size : 0;
    return status;
}

/* The detection that must stay, where it is one and the response has a probability. A box that is below -thresh already
 * has only the whole network's to keep up with. */
static cp_status find_sought(const cp_frame *frame, int image, const cp_sparsest_options *options, cp_sparsest *out,
                             cp_sought *sought)
{
    *sought = (cp_sought){.target = {.class_id = -1}};
    out->box_full = out->box = out->box_least = NAN;
    if (!options->detection || isnan(out->full.probability))
        return CP_OK;
    sought->target = (cp_eval_target){options->detection->class_id, options->detection, options->placement};
    cp_status status = cp_eval_probability(frame, image, &sought->target, &out->box_full);
    if (status)
        return status;
    out->box_least = (1 - out->loss) * out->box_full;
    if (out->box_full >= options->thresh)
        out->box_least = fmax(out->box_least, options->thresh);
    sought->thresh = out->box_least;
    out->argmax = false;
    return CP_OK;
}

cp_status cp_sparsest_find_by(const cp_frame *frame, int image, const cp_response *response, cp_scores *scores,
                              const cp_sparsest_options *options, cp_sparsest *out)
{
    const cp_model *model = cp_frame_model(frame);
    search s = {.scores = scores, .out = out};
    cp_answer full;
    cp_sought sought;
    size_t positive;
    *out = (cp_sparsest){0};
    s.checks = options->checks > 0 ? options->checks : DEFAULT_CHECKS;
    if (s.checks > MAX_CHECKS)
        return cp_fail(CP_EINPUT, "sparsest path: %d checks, at most %d allowed", s.checks, MAX_CHECKS);
    if (!isnan(options->loss) && !(options->loss >= 0 && options->loss <= 1))
        return cp_fail(CP_EINPUT, "sparsest path: loss %g, 0 to 1 allowed", options->loss);
    cp_status status = cp_positive_scores(model, scores, &positive);
    if (!status)
        status = cp_answer_read(frame, image, response, &full);
    if (status)
        return status;
    cp_decoded decoded;
    status = cp_response_decode(model, response, cp_frame_output(frame, response->unit[0].layer, image), &decoded);
    if (status)
        return status;
    out->full = full.measure;
    out->argmax = decoded.rivals > 1 && decoded.largest;
    out->loss = isnan(options->loss) ? DEFAULT_LOSS : options->loss;
    if ((status = find_sought(frame, image, options, out, &sought)))
        return status;
    s.answer = cp_alloc((size_t)s.checks, sizeof *s.answer, "sparsest path");
    status = s.answer ? cp_zeroed_create(frame, image, response, &options->offpath, &sought, &options->run, BATCH, &s.zeroed)
                      : CP_ERESOURCE;
    if (!status)
        status = find(&s, positive);
    if (!status && out->found)
        status = cp_path_create(model, &out->path);
    if (!status && out->found)
        status = cp_best_path(out->path, scores, out->kept);
    out->measure = out->found ? s.best.measure : (cp_measure){NAN, NAN};
    out->box = out->found ? s.best.box : NAN;
    out->runs = s.zeroed ? cp_zeroed_runs(s.zeroed) : 0;
    cp_zeroed_free(s.zeroed);
    cp_free(s.answer);
    if (status)
        cp_sparsest_free(out);
    return status;
}

cp_status cp_sparsest_find(const cp_frame *frame, int image, const cp_response *response, const float *score,
                           const cp_sparsest_options *options, cp_sparsest *out)
{
    cp_scores *scores;
    *out = (cp_sparsest){0};
    cp_status status = cp_scores_borrow(score, &scores);
    if (!status)
        status = cp_sparsest_find_by(frame, image, response, scores, options, out);
    cp_scores_free(scores);
    return status;
}

void cp_sparsest_free(cp_sparsest *sparsest)
{
    cp_path_free(sparsest->path);
    *sparsest = (cp_sparsest){0};
}
