#include "gen/answer.h"

#include <math.h>
#include <string.h>

#include "io/error.h"

cp_status cp_gen_answer_of(const cp_model *model, const cp_detection *detection, int class_id, cp_gen_answer *answer)
{
    cp_response response;
    *answer = (cp_gen_answer){.n = (size_t)cp_model_classes(model), .class_id = class_id};
    if (!(answer->unit = cp_alloc(answer->n, sizeof *answer->unit, "answer")))
        return CP_ERESOURCE;
    for (size_t k = 0; k < answer->n; k++) {
        cp_detection other = detection ? *detection : (cp_detection){0};
        other.class_id = (int)k;
        cp_status status = detection ? cp_response_detection(model, &other, CP_TARGET_CLASS, &response)
                                     : cp_response_class(model, (int)k, &response);
        if (status) {
            cp_gen_answer_free(answer);
            return status;
        }
        answer->layer = response.unit[0].layer;
        answer->unit[k] = response.unit[0].index;
    }
    const char *head = detection ? cp_model_layer(model, detection->head)->type : "softmax";
    answer->softmax = strstr(head, "yolo") == NULL;
    return CP_OK;
}

void cp_gen_answer_free(cp_gen_answer *answer)
{
    cp_free(answer->unit);
    answer->unit = NULL;
}

void cp_gen_answer_read(const cp_gen_answer *answer, const cp_frame *frame, int image, float *logits)
{
    const float *output = cp_frame_output(frame, answer->layer, image);
    for (size_t k = 0; k < answer->n; k++)
        logits[k] = output[answer->unit[k]];
}

static size_t top_of(const float *z, size_t n)
{
    size_t top = 0;
    for (size_t k = 1; k < n; k++)
        if (z[k] > z[top])
            top = k;
    return top;
}

/* log(1 + e^x) */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double logistic(double x) { return 1 / (1 + exp(-x)); }

static double log_sum(const float *z, size_t n, double t)
{
    double top = z[top_of(z, n)] / t, sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += exp(z[k] / t - top);
    return top + log(sum);
}

void cp_gen_answer_match(const cp_gen_answer *a, const float *whole, const float *gated, cp_gen_match *match)
{
    size_t own = (size_t)a->class_id;
    double of_whole = a->softmax ? log_sum(whole, a->n, 1) : 0, of_gated = a->softmax ? log_sum(gated, a->n, 1) : 0;
    *match = (cp_gen_match){.kept = top_of(whole, a->n) == top_of(gated, a->n)};
    for (size_t k = 0; k < a->n; k++) {
        double p, kl;
        if (a->softmax) {
            p = exp(whole[k] - of_whole);
            kl = p * (whole[k] - of_whole - gated[k] + of_gated);
        } else {
            p = logistic(whole[k]);
            kl = p * (softplus(-gated[k]) - softplus(-whole[k])) + (1 - p) * (softplus(gated[k]) - softplus(whole[k]));
        }
        match->kl += kl;
    }
    match->kl = match->kl > 0 ? match->kl : 0; /* rounding */
    match->whole = a->softmax ? exp(whole[own] - of_whole) : logistic(whole[own]);
    match->gated = a->softmax ? exp(gated[own] - of_gated) : logistic(gated[own]);
    if (!a->softmax)
        match->kept &= (match->whole >= .5) == (match->gated >= .5);
}

void cp_gen_answer_seed(const cp_gen_answer *a, const float *whole, const float *gated, double t, size_t outputs, float *seed)
{
    double of_whole = a->softmax ? log_sum(whole, a->n, t) : 0, of_gated = a->softmax ? log_sum(gated, a->n, t) : 0;
    memset(seed, 0, outputs * sizeof *seed);
    for (size_t k = 0; k < a->n; k++) {
        double p = a->softmax ? exp(whole[k] / t - of_whole) : logistic(whole[k] / t);
        double q = a->softmax ? exp(gated[k] / t - of_gated) : logistic(gated[k] / t);
        seed[a->unit[k]] += (float)(t * (q - p));
    }
}
