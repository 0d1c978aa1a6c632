/* The linear region: radii against brute force in the double-precision reference, which differentiates every neuron by
 * every input value; and runs just inside and just outside. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../reference/ref_pair.h"

static const double step = 1e-6;

/* Names of reference networks with activations that are linear on both sides of 0. */
static const char *const cases[] = {"convolution", "shortcut over a stride, from fewer channels",
                                    "dropout before connected layers with batch norm",
                                    "max-pool: default padding, overlap, none, stride 1",
                                    "spatial pyramid: pools on one input", "dense block: 1x1 after routes"};
enum { CASES = sizeof cases / sizeof *cases };

static void open_case(ref_pair *pair, const char *name)
{
    for (size_t i = 0; i < ref_case_count; ++i)
        if (!strcmp(ref_cases[i].name, name)) {
            ref_pair_open(pair, &ref_cases[i]);
            ref_pair_random_path(pair, .7, .7);
            return;
        }
    fail_msg("no reference network \"%s\"", name);
}

/* ---------------------------------------------------------------- brute force */

typedef struct {
    double unit, window;        /* distances */
    int unit_layer, window_layer;
    size_t unit_index, window_index, units, flat, rivals;
} nearest;

/* Derivatives of every layer's z (and output) by every input value, (inputs, all outputs). */
typedef struct {
    size_t total, start[REF_MAX_LAYERS + 1];
    double *z, *output;
} jacobian;

static void difference(ref_pair *pair, jacobian *j, size_t input, double sign)
{
    double was = pair->net.input[input];
    pair->net.input[input] = was + sign * step;
    ref_net_forward(&pair->net, 0);
    pair->net.input[input] = was;
    for (int i = 0; i < pair->net.n; ++i)
        for (int k = 0; k < pair->net.layer[i].outputs; ++k) {
            size_t at = input * j->total + j->start[i] + (size_t)k;
            j->z[at] += sign * pair->net.layer[i].z[k] / (2 * step);
            j->output[at] += sign * pair->net.layer[i].output[k] / (2 * step);
        }
}

static jacobian differentiate(ref_pair *pair)
{
    jacobian j = {0};
    for (int i = 0; i < pair->net.n; ++i) {
        j.start[i] = j.total;
        j.total += (size_t)pair->net.layer[i].outputs;
    }
    j.z = calloc(j.total * pair->inputs, sizeof *j.z);
    j.output = calloc(j.total * pair->inputs, sizeof *j.output);
    assert_true(j.z && j.output);
    for (size_t i = 0; i < pair->inputs; ++i) {
        difference(pair, &j, i, 1);
        difference(pair, &j, i, -1);
    }
    ref_net_forward(&pair->net, 0);
    return j;
}

/* Differences leave rounding where the gradient is zero. */
static double norm(const jacobian *j, size_t inputs, const double *of, size_t a, size_t b, bool two)
{
    double square = 0;
    for (size_t i = 0; i < inputs; ++i) {
        double d = of[i * j->total + a] - (two ? of[i * j->total + b] : 0);
        square += d * d;
    }
    return sqrt(square) < 1e-6 ? 0 : sqrt(square);
}

static void brute_units(const ref_pair *pair, const jacobian *j, bool frozen, nearest *found)
{
    for (int k = 0; k < pair->n_layers; ++k) {
        int layer = pair->layers[k].layer;
        for (size_t i = 0; i < pair->layers[k].count; ++i) {
            if (frozen && pair->off[pair->layers[k].offset + i])
                continue;
            double n = norm(j, pair->inputs, j->z, j->start[layer] + i, 0, false);
            double distance = fabs(pair->net.layer[layer].z[i]) / n;
            ++found->units;
            found->flat += n == 0;
            if (n > 0 && distance < found->unit)
                found->unit = distance, found->unit_layer = layer, found->unit_index = i;
        }
    }
}

static void brute_windows(const ref_pair *pair, const jacobian *j, nearest *found)
{
    for (int p = 0; p < pair->net.n; ++p) {
        const ref_layer *l = &pair->net.layer[p];
        if (l->type != REF_MAXPOOL)
            continue;
        const ref_layer *from = &pair->net.layer[p - 1];
        int source = p - 1;
        if (from->type == REF_ROUTE)
            source = from->sources[0];
        const double *x = from->output;
        int before = (l->padding < 0 ? l->size - 1 : 2 * l->padding) / 2;
        for (int o = 0; o < l->outputs; ++o) {
            int c = o / (l->out_h * l->out_w), oy = o / l->out_w % l->out_h, ox = o % l->out_w;
            int winner = -1;
            for (int pass = 0; pass < 2; ++pass) /* find the winner, then its rivals */
                for (int y = oy * l->stride - before; y < oy * l->stride - before + l->size; ++y)
                    for (int xx = ox * l->stride - before; xx < ox * l->stride - before + l->size; ++xx) {
                        if (y < 0 || xx < 0 || y >= l->h || xx >= l->w)
                            continue;
                        int u = (c * l->h + y) * l->w + xx;
                        if (!pass && (winner < 0 || x[u] > x[winner]))
                            winner = u;
                        if (!pass || u == winner)
                            continue;
                        double n = norm(j, pair->inputs, j->output, j->start[source] + (size_t)winner,
                                        j->start[source] + (size_t)u, true);
                        if (n == 0)
                            continue;
                        ++found->rivals;
                        if ((x[winner] - x[u]) / n < found->window) {
                            found->window = (x[winner] - x[u]) / n;
                            found->window_layer = p, found->window_index = (size_t)o;
                        }
                    }
        }
    }
}

static void close_to(double found, double expected, double tolerance, const char *net, const char *what)
{
    if (isinf(expected) ? isinf(found) : fabs(found - expected) <= tolerance * fabs(expected))
        return;
    fail_msg("%s, %s: %.9g found, %.9g expected", net, what, found, expected);
}

static cp_region find(ref_pair *pair, bool frozen, cp_region_options options)
{
    cp_region region;
    ref_check(cp_region_find(pair->frame, REF_IMAGE, &pair->response, frozen ? pair->path : NULL, &options, &region));
    return region;
}

static void exact_is_brute_force(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; ++k)
        for (int frozen = 0; frozen < 2; ++frozen) {
            ref_pair pair;
            open_case(&pair, cases[k]);
            ref_pair_restrict(&pair, frozen, NULL);
            jacobian j = differentiate(&pair);
            nearest expected = {.unit = INFINITY, .window = INFINITY};
            brute_units(&pair, &j, frozen, &expected);
            brute_windows(&pair, &j, &expected);
            cp_region region = find(&pair, frozen, (cp_region_options){.exactness = CP_EXACT_ALWAYS});
            assert_true(region.exact);
            assert_int_equal(region.passes, pair.inputs);
            double unit = region.unit.found ? region.unit.distance : INFINITY;
            double window = region.window.found ? region.window.distance : INFINITY;
            close_to(unit, expected.unit, 1e-3, pair.name, "nearest neuron");
            close_to(window, expected.window, 1e-3, pair.name, "nearest window");
            close_to(region.radius, fmin(expected.unit, expected.window), 1e-3, pair.name, "radius");
            assert_int_equal(region.units, expected.units);
            assert_int_equal(region.flat, expected.flat);
            assert_int_equal(region.windows, expected.rivals);
            assert_int_equal(region.unit.layer, expected.unit_layer);
            assert_int_equal(region.unit.index, expected.unit_index);
            if (region.window.found) {
                assert_int_equal(region.window.layer, expected.window_layer);
                assert_int_equal(region.window.index, expected.window_index);
            }
            size_t units = 0, windows = 0;
            for (int d = 0; d < CP_DECADES; ++d)
                units += region.unit_decade[d], windows += region.window_decade[d];
            assert_int_equal(units, region.units - region.flat);
            assert_int_equal(windows, region.windows - region.tied);
            assert_int_equal(region.tied, 0);
            free(j.z), free(j.output);
            cp_region_free(&region);
            ref_pair_close(&pair);
        }
}

/* ---------------------------------------------------------------- inside and outside */

enum { BATCH = 10, PERTURBATIONS = 1000 };

/* Frozen runs of the image moved along directions. */
typedef struct {
    ref_pair *pair;
    cp_frame *frame;
    cp_restriction restriction[BATCH];
    float *x; /* (BATCH, inputs) */
} mover;

static mover make_mover(ref_pair *pair, bool frozen)
{
    mover m = {.pair = pair, .x = malloc(BATCH * pair->inputs * sizeof *m.x)};
    ref_check(cp_frame_create(pair->model, BATCH, &m.frame));
    for (int b = 0; b < BATCH; ++b)
        m.restriction[b] = (cp_restriction){.kind = frozen ? CP_FROZEN : CP_FULL, .path = pair->path,
                                             .original = pair->frame, .original_image = REF_IMAGE};
    return m;
}

static void free_mover(mover *m)
{
    cp_frame_free(m->frame);
    free(m->x);
}

static void move(mover *m, int entry, const float *direction, double length)
{
    for (size_t i = 0; i < m->pair->inputs; ++i)
        m->x[(size_t)entry * m->pair->inputs + i] =
            (float)(m->pair->input[REF_IMAGE * m->pair->inputs + i] + length * direction[i]);
}

/* Counted neurons that changed sides; *named: `border`'s did. */
static int flipped_units(const mover *m, int entry, bool frozen, const cp_border *border, bool *named)
{
    int n = 0;
    const ref_pair *pair = m->pair;
    for (int k = 0; k < pair->n_layers; ++k) {
        const float *was = cp_frame_output(pair->frame, pair->layers[k].layer, REF_IMAGE);
        const float *is = cp_frame_output(m->frame, pair->layers[k].layer, entry);
        for (size_t i = 0; i < pair->layers[k].count; ++i) {
            if ((frozen && pair->off[pair->layers[k].offset + i]) || (was[i] > 0) == (is[i] > 0))
                continue;
            ++n;
            *named |= border && pair->layers[k].layer == border->layer && i == border->index;
        }
    }
    return n;
}

/* Windows whose output is no longer the value at the winner's place: by the pool's own output. */
static int flipped_windows(const mover *m, int entry, const cp_border *border, bool *named)
{
    int n = 0;
    for (int p = 0; p < m->pair->net.n; ++p) {
        const ref_layer *l = &m->pair->net.layer[p];
        if (l->type != REF_MAXPOOL)
            continue;
        const float *was = cp_frame_output(m->pair->frame, p - 1, REF_IMAGE);
        const float *top = cp_frame_output(m->pair->frame, p, REF_IMAGE);
        const float *is = cp_frame_output(m->frame, p - 1, entry), *out = cp_frame_output(m->frame, p, entry);
        int before = (l->padding < 0 ? l->size - 1 : 2 * l->padding) / 2;
        for (int o = 0; o < l->outputs; ++o) {
            int c = o / (l->out_h * l->out_w), oy = o / l->out_w % l->out_h, ox = o % l->out_w, winner = -1;
            for (int k = 0; k < l->size * l->size && winner < 0; ++k) {
                int y = oy * l->stride - before + k / l->size, x = ox * l->stride - before + k % l->size;
                int u = (c * l->h + y) * l->w + x;
                if (y >= 0 && x >= 0 && y < l->h && x < l->w && was[u] == top[o])
                    winner = u;
            }
            if (is[winner] == out[o])
                continue;
            ++n;
            *named |= border && border->layer == p && border->index == (size_t)o;
        }
    }
    return n;
}

static double response_of(const mover *m, int entry) { return cp_frame_response(m->frame, entry, &m->pair->response); }

/* 1000 directions at .99 of the radius: nothing flips and the response is linear. */
static void check_inside(mover *m, const cp_region *region, bool frozen, const float *map)
{
    size_t inputs = m->pair->inputs;
    float *directions = malloc(BATCH * inputs * sizeof *directions);
    double phi = cp_frame_response(m->pair->frame, REF_IMAGE, &m->pair->response), scale = 0;
    uint64_t state = 11;
    for (size_t i = 0; i < inputs; ++i)
        scale += (double)map[i] * map[i];
    scale = sqrt(scale) * region->radius + 1e-2 * (1 + fabs(phi)); /* float rounding of a response of size 1 */
    for (int done = 0; done < PERTURBATIONS; done += BATCH) {
        for (int b = 0; b < BATCH; ++b) {
            float *d = directions + (size_t)b * inputs;
            double square = 0;
            for (size_t i = 0; i < inputs; ++i)
                d[i] = (float)(ref_random(&state) + ref_random(&state)), square += (double)d[i] * d[i];
            for (size_t i = 0; i < inputs; ++i)
                d[i] /= (float)sqrt(square);
            move(m, b, d, .99 * region->radius);
        }
        ref_check(cp_frame_forward(m->frame, m->x, BATCH, m->restriction));
        for (int b = 0; b < BATCH; ++b) {
            bool named = false;
            double expected = phi;
            for (size_t i = 0; i < inputs; ++i)
                expected += (double)map[i] * (m->x[(size_t)b * inputs + i] - m->pair->input[REF_IMAGE * inputs + i]);
            assert_int_equal(flipped_units(m, b, frozen, NULL, &named), 0);
            assert_int_equal(flipped_windows(m, b, NULL, &named), 0);
            if (fabs(response_of(m, b) - expected) > 1e-3 * scale)
                fail_msg("%s: response %.9g, the map predicts %.9g", m->pair->name, response_of(m, b), expected);
        }
    }
    free(directions);
}

static void inside_and_outside(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; ++k)
        for (int frozen = 0; frozen < 2; ++frozen) {
            ref_pair pair;
            open_case(&pair, cases[k]);
            cp_region region = find(&pair, frozen, (cp_region_options){.exactness = CP_EXACT_ALWAYS});
            cp_entry entry = {.image = REF_IMAGE, .response = &pair.response, .path = frozen ? pair.path : NULL};
            ref_pair_backward(&pair, pair.frame, &entry);
            mover m = make_mover(&pair, frozen);
            check_inside(&m, &region, frozen, pair.map);
            move(&m, 0, region.direction, .99 * region.radius);
            move(&m, 1, region.direction, 1.01 * region.radius);
            move(&m, 2, region.direction, -1.01 * region.radius);
            ref_check(cp_frame_forward(m.frame, m.x, 3, m.restriction));
            bool named = false, unit = region.unit.found && region.unit.distance <= region.radius;
            assert_int_equal(flipped_units(&m, 0, frozen, NULL, &named) + flipped_windows(&m, 0, NULL, &named), 0);
            int flips = unit ? flipped_units(&m, 1, frozen, &region.unit, &named)
                             : flipped_windows(&m, 1, &region.window, &named);
            if (!flips || !named)
                fail_msg("%s: %d flips beyond the border of layer %d, not the one named", pair.name, flips,
                         unit ? region.unit.layer : region.window.layer);
            free_mover(&m);
            cp_region_free(&region);
            ref_pair_close(&pair);
        }
}

/* ---------------------------------------------------------------- parts */

static void before_activation(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; ++k) {
        ref_pair pair;
        open_case(&pair, cases[k]);
        float *z = malloc(4096 * sizeof *z), *map = malloc(pair.inputs * sizeof *map);
        ref_pair_restrict(&pair, true, NULL);
        jacobian j = differentiate(&pair);
        for (int i = 0; i < pair.n_layers; ++i) {
            int layer = pair.layers[i].layer;
            size_t count = pair.layers[i].count, dead = 0;
            assert_true(count <= 4096);
            ref_check(cp_frame_before_activation(pair.frame, layer, REF_IMAGE, z));
            for (size_t u = 0; u < count; ++u) {
                assert_true(fabs(z[u] - pair.net.layer[layer].z[u]) < 1e-4 * (1 + fabs(z[u])));
                if (z[u] <= 0 && !dead)
                    dead = u;
            }
            /* The gradient of a dead neuron's z, and of the first's; off the path above, not in its own layer. */
            for (int side = 0; side < 2; ++side) {
                size_t unit = side ? dead : 0;
                cp_response response;
                ref_check(cp_response_unit(pair.model, layer, unit, &response));
                cp_entry entry = {.image = REF_IMAGE, .response = &response, .path = pair.path,
                                  .before_activation = true};
                ref_check(cp_frame_backward(pair.frame, &entry, 1, NULL, map));
                ref_errors errors = {0};
                for (size_t x = 0; x < pair.inputs; ++x)
                    ref_compare(&errors, map[x], j.z[x * j.total + j.start[layer] + unit]);
                ref_judge(&errors, pair.name, "gradient of a pre-activation");
            }
        }
        free(z), free(map), free(j.z), free(j.output);
        ref_pair_close(&pair);
    }
}

/* Probes find the same nearest border; and what they say does not depend on memory or threads. */
static void estimates(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; ++k)
        for (int frozen = 0; frozen < 2; ++frozen) {
            ref_pair pair;
            open_case(&pair, cases[k]);
            cp_region exact = find(&pair, frozen, (cp_region_options){.exactness = CP_EXACT_ALWAYS});
            cp_region_options options = {.exactness = CP_EXACT_NEVER, .seed = 5};
            cp_region estimate = find(&pair, frozen, options);
            assert_false(estimate.exact);
            assert_int_equal(estimate.passes, 64);
            close_to(estimate.unit.distance, exact.unit.distance, .1, pair.name, "estimate for neurons");
            assert_true(estimate.unit.distance >= exact.unit.distance * (1 - 1e-5));
            assert_int_equal(estimate.window.found, exact.window.found);
            if (exact.window.found) {
                close_to(estimate.window.distance, exact.window.distance, .1, pair.name, "estimate for windows");
                assert_true(estimate.window.distance >= exact.window.distance * (1 - 1e-5));
            }
            options.run.memory = 1;
            cp_set_threads(3);
            cp_region again = find(&pair, frozen, options);
            cp_set_threads(0);
            assert_true(again.radius == estimate.radius);
            assert_memory_equal(again.unit_decade, estimate.unit_decade, sizeof again.unit_decade);
            assert_memory_equal(again.direction, estimate.direction, pair.inputs * sizeof(float));
            cp_region_free(&again);
            cp_region_free(&estimate);
            cp_region_free(&exact);
            ref_pair_close(&pair);
        }
}

static void windows_left_out(void **state)
{
    (void)state;
    ref_pair pair;
    open_case(&pair, "spatial pyramid: pools on one input");
    cp_region with = find(&pair, true, (cp_region_options){.exactness = CP_EXACT_ALWAYS});
    cp_region without = find(&pair, true, (cp_region_options){.exactness = CP_EXACT_ALWAYS, .without_windows = true});
    assert_true(with.window.found && with.windows > 0);
    assert_true(!without.window.found && without.windows == 0);
    assert_true(without.radius == without.unit.distance && without.unit.distance == with.unit.distance);
    cp_region_free(&with);
    cp_region_free(&without);
    ref_pair_close(&pair);
}

/* On an image of one colour, windows inside see equal values that move apart: the image is on the border. */
static void ties_are_reported_apart(void **state)
{
    (void)state;
    ref_pair pair;
    open_case(&pair, "max-pool: default padding, overlap, none, stride 1");
    for (size_t i = 0; i < REF_BATCH * pair.inputs; ++i)
        pair.input[i] = .5f;
    ref_check(cp_frame_forward(pair.frame, pair.input, REF_BATCH, NULL));
    cp_region region = find(&pair, false, (cp_region_options){.exactness = CP_EXACT_ALWAYS});
    assert_true(region.tied > 0 && region.radius == 0);
    assert_true(region.window.found && region.window.gap > 0 && region.unit.distance > 0);
    cp_region_free(&region);
    ref_pair_close(&pair);
}

static void smooth_activations_are_refused(void **state)
{
    (void)state;
    ref_pair pair;
    cp_region region;
    cp_region_options options = {0};
    open_case(&pair, "convolution, even size, stride 3");
    assert_int_equal(cp_region_find(pair.frame, REF_IMAGE, &pair.response, NULL, &options, &region), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "layer 1 has activation elu"));
    /* The frozen network of a path without that layer is piecewise linear. */
    for (size_t i = 0; i < pair.layers[1].count; ++i)
        cp_path_set(pair.path, pair.layers[1].offset + i, false);
    ref_check(cp_region_find(pair.frame, REF_IMAGE, &pair.response, pair.path, &options, &region));
    assert_int_equal(region.unit.layer, 0);
    cp_region_free(&region);
    ref_pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_activation),
        cmocka_unit_test(exact_is_brute_force),
        cmocka_unit_test(inside_and_outside),
        cmocka_unit_test(estimates),
        cmocka_unit_test(windows_left_out),
        cmocka_unit_test(ties_are_reported_apart),
        cmocka_unit_test(smooth_activations_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
