/* What a method had to say besides its scores, as text and as JSON. */
#include "cli/scoring.h"

#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

static int layer_count(const cp_session *s)
{
    int n;
    cp_model_neuron_layers(s->model, &n);
    return n;
}

void cp_scoring_free(cp_scoring *scoring)
{
    cp_free(scoring->intgrad);
    cp_free(scoring->shapley);
    *scoring = (cp_scoring){0};
}

static void print_intgrad(const cp_session *s, const cp_intgrad_layer *report, bool table, FILE *to)
{
    int n, worst = -1, evaluations = 0, layers = 0;
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &n);
    if (table)
        fprintf(to, "  %-24s %11s %12s %12s %12s %9s\n", "layer", "evaluations", "Phi(a)-Phi(0)", "sum", "off by",
                "residual");
    for (int l = 0; l < n; l++) {
        const cp_intgrad_layer *r = &report[l];
        if (!r->depends)
            continue;
        layers++;
        evaluations += r->evaluations;
        if (worst < 0 || r->residual > report[worst].residual)
            worst = l;
        if (table)
            fprintf(to, "  %-24s %11d %13.5g %12.5g %12.2g %9.5f%s\n", layer[l].name + strlen("layer_"), r->evaluations,
                    r->full - r->zero, r->sum, r->sum - (r->full - r->zero), r->residual, r->capped ? " capped" : "");
    }
    if (worst >= 0)
        fprintf(to, "intgrad: steps %s, %d evaluations in %d layers, residual at most %.5f of the response (%s)\n",
                s->options->steps, evaluations, layers, report[worst].residual, layer[worst].name + strlen("layer_"));
}

static void print_shapley(const cp_session *s, const cp_shapley_layer *report, bool table, FILE *to)
{
    int n;
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &n);
    size_t evaluations = 0;
    char text[32];
    if (table)
        fprintf(to, "  %-24s %9s %12s %13s %12s %12s\n", "layer", "players", "evaluations", "Phi(a)-Phi(0)", "sum",
                "error");
    for (int l = 0; l < n; l++) {
        const cp_shapley_layer *r = &report[l];
        evaluations += r->evaluations;
        if (table && r->depends)
            fprintf(to, "  %-24s %9zu %12zu %13.5g %12.5g %12s\n", layer[l].name + strlen("layer_"), r->players,
                    r->evaluations, r->full - r->zero, r->sum,
                    r->exact ? "exact" : (snprintf(text, sizeof text, "%.2g", r->sum_error), text));
    }
    fprintf(to, "shapley: players are %s, %s evaluations\n", cp_by_channel(s->options) ? "channels" : "neurons",
            cp_grouped(evaluations, text));
}

void cp_scoring_print(const cp_session *s, const cp_scoring *scoring, bool layers, FILE *to)
{
    if (scoring->intgrad)
        print_intgrad(s, scoring->intgrad, layers, to);
    if (scoring->shapley)
        print_shapley(s, scoring->shapley, layers, to);
    if (scoring->sampled)
        fprintf(to, "ablation: %zu neurons sampled; rank correlation with mct %.3f, with intgrad %.3f\n",
                scoring->sampled, scoring->with_mct, scoring->with_intgrad);
}

static json_t *layer_json(const cp_session *s, const cp_scoring *scoring, int l)
{
    int n;
    json_t *row = json_object();
    int bad = cp_json_set(row, "layer", json_integer(cp_model_neuron_layers(s->model, &n)[l].layer));
    if (scoring->intgrad) {
        const cp_intgrad_layer *r = &scoring->intgrad[l];
        bad |= cp_json_set(row, "evaluations", json_integer(r->evaluations));
        bad |= cp_json_set(row, "full", cp_json_real(r->full));
        bad |= cp_json_set(row, "zero", cp_json_real(r->zero));
        bad |= cp_json_set(row, "sum", cp_json_real(r->sum));
        bad |= cp_json_set(row, "residual", cp_json_real(r->residual));
        bad |= cp_json_set(row, "capped", json_boolean(r->capped));
    } else {
        const cp_shapley_layer *r = &scoring->shapley[l];
        bad |= cp_json_set(row, "players", json_integer((json_int_t)r->players));
        bad |= cp_json_set(row, "evaluations", json_integer((json_int_t)r->evaluations));
        bad |= cp_json_set(row, "exact", json_boolean(r->exact));
        bad |= cp_json_set(row, "full", cp_json_real(r->full));
        bad |= cp_json_set(row, "zero", cp_json_real(r->zero));
        bad |= cp_json_set(row, "sum", cp_json_real(r->sum));
        bad |= cp_json_set(row, "sum_error", cp_json_real(r->sum_error));
    }
    return cp_json_finish(row, bad);
}

json_t *cp_scoring_json(const cp_session *s, const cp_scoring *scoring)
{
    json_t *object = json_object(), *layers = json_array();
    int bad = 0, n = layer_count(s);
    for (int l = 0; l < n && (scoring->intgrad || scoring->shapley); l++)
        if (scoring->intgrad ? scoring->intgrad[l].depends : scoring->shapley[l].depends)
            bad |= cp_json_append(layers, layer_json(s, scoring, l));
    if (scoring->intgrad) {
        bad |= cp_json_set(object, "steps", cp_json_text(s->options->steps));
        bad |= cp_json_set(object, "tolerance", cp_json_real(s->options->tolerance));
    }
    if (scoring->shapley) {
        bad |= cp_json_set(object, "permutations", json_integer(s->options->permutations));
        bad |= cp_json_set(object, "seed", json_integer(s->options->seed));
    }
    if (scoring->sampled) {
        bad |= cp_json_set(object, "sampled", json_integer((json_int_t)scoring->sampled));
        bad |= cp_json_set(object, "seed", json_integer(s->options->seed));
        bad |= cp_json_set(object, "rank_correlation_mct", cp_json_real(scoring->with_mct));
        bad |= cp_json_set(object, "rank_correlation_intgrad", cp_json_real(scoring->with_intgrad));
    }
    if (scoring->intgrad || scoring->shapley)
        bad |= cp_json_set(object, "layers", layers);
    else
        json_decref(layers);
    return cp_json_finish(object, bad);
}
