/* GEN-CNP: the quantiser against its formula, every gradient of the generator against central differences, distillation's seed,
 * learning on a small network, checkpoints of others. */
#include "score_net.h"

#include "gen/gen_file.h"
#include "gen/quantise.h"
#include "io/npz.h"
#include "io/random.h"

static void near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: %.9g found, %.9g expected", what, found, expected);
}

static void quantiser(void **state)
{
    (void)state;
    for (int i = 0; i <= 20; i++) {
        double x = i / 20., nearest = x >= .5;
        double k1 = exp(-pow(1 - nearest, 2)), k0 = exp(-pow(nearest, 2)), s1 = exp(-fabs(x - 1)) * k1, s0 = exp(-x) * k0, t = 2;
        double slope = exp(t) / (exp(2 * t) - 1) * (t / fabs(s0 - s1)) * (k1 * exp(x - 1) + k0 * exp(-x));
        near(cp_quantise((float)x), nearest, 0, "quantised");
        near(cp_quantise_slope((float)x), slope, 1e-6 * slope, "slope");
    }
}

static void open_net(pair *p)
{
    const ref_layer layers[] = {CONV(5, 3, 1, 1, REF_RELU), CONV(4, 3, 2, 1, REF_LEAKY), CONV(6, 3, 1, 1, REF_RELU), FULL(3, REF_LINEAR),
                                SOFTMAX};
    pair_open(p, 3, 8, 8, layers, 5, 61, true);
}

static double loss_of(const float *importance, const float *head, const float *wi, const float *wh, size_t gates, size_t classes, int n)
{
    double sum = 0;
    for (size_t i = 0; i < gates * (size_t)n; i++)
        sum += (double)importance[i] * wi[i];
    for (size_t i = 0; i < classes * (size_t)n; i++)
        sum += (double)head[i] * wh[i];
    return sum;
}

static void generator_gradients(void **state)
{
    (void)state;
    enum { N = 3 };
    pair p;
    open_net(&p);
    cp_generator *g;
    cp_gen_pass *pass;
    check(cp_generator_create(p.model, 7, 1, &g));
    size_t gates = cp_generator_gates(g), count;
    assert_int_equal(gates, 15);
    float *parameter = cp_generator_parameters(g, &count), features[N * 30], wi[N * 15], wh[N * 3];
    const int class_id[N] = {2, 0, 2};
    uint64_t random = 5;
    for (size_t i = 0; i < N * 30; i++)
        features[i] = (float)cp_random_uniform(&random) * 2 - 1;
    for (size_t i = 0; i < N * 15; i++)
        wi[i] = (float)cp_random_uniform(&random) - .5f;
    for (size_t i = 0; i < N * 3; i++)
        wh[i] = (float)cp_random_uniform(&random) - .5f;
    for (size_t i = 0; i < count; i++)
        parameter[i] += .2f * ((float)cp_random_uniform(&random) - .5f);
    cp_generator_standardise(g, features, N);
    check(cp_gen_pass_create(g, N + 1, &pass)); /* with a row to spare */
    const float *importance, *head;
    float *gradient = calloc(count, sizeof *gradient);
    cp_gen_forward(g, pass, features, class_id, N, &importance, &head);
    cp_gen_backward(g, pass, wi, wh, gradient);
    size_t moved = 0;
    for (size_t i = 0; i < count; i++) {
        const float step = 3e-3f, kept = parameter[i];
        parameter[i] = kept + step;
        cp_gen_forward(g, pass, features, class_id, N, &importance, &head);
        double up = loss_of(importance, head, wi, wh, gates, 3, N);
        parameter[i] = kept - step;
        cp_gen_forward(g, pass, features, class_id, N, &importance, &head);
        double down = loss_of(importance, head, wi, wh, gates, 3, N);
        parameter[i] = kept;
        double expected = (up - down) / (2 * step);
        moved += expected != 0;
        near(gradient[i], expected, 5e-4 * (1 + fabs(expected)), "gradient of a parameter");
    }
    assert_true(moved > count / 2);
    free(gradient);
    cp_gen_pass_free(pass);
    cp_generator_free(g);
    pair_close(&p);
}

static void alike_gradient(void **state)
{
    (void)state;
    enum { N = 4, GATES = 6 };
    float s[N * GATES], d[N * GATES] = {0};
    const int class_id[N] = {1, 1, 0, 1};
    uint64_t random = 9;
    size_t pairs;
    for (int i = 0; i < N * GATES; i++)
        s[i] = (float)cp_random_uniform(&random);
    cp_gen_alike(s, class_id, N, GATES, 2, d, &pairs);
    assert_int_equal(pairs, 3);
    for (int i = 0; i < N * GATES; i++) {
        float kept = s[i], step = 1e-3f;
        s[i] = kept + step;
        double up = cp_gen_alike(s, class_id, N, GATES, 0, NULL, &pairs);
        s[i] = kept - step;
        double down = cp_gen_alike(s, class_id, N, GATES, 0, NULL, &pairs);
        s[i] = kept;
        near(d[i], -2 * (up - down) / (2 * step) / 3, 1e-3, "gradient of likeness");
    }
}

static void seeds_of_distillation(void **state)
{
    (void)state;
    size_t unit[] = {4, 0, 2};
    for (int softmax = 0; softmax < 2; softmax++) {
        cp_gen_answer a = {.layer = 0, .n = 3, .unit = unit, .softmax = softmax, .class_id = 1};
        float whole[] = {1, 2.5f, -1}, gated[] = {.5f, 1, .25f}, seed[6];
        cp_gen_match match, up, down;
        cp_gen_answer_match(&a, whole, gated, &match);
        cp_gen_answer_seed(&a, whole, gated, 1, 6, seed);
        assert_true(match.kl > 0 && match.kept && match.whole > match.gated);
        for (int k = 0; k < 3; k++) {
            float kept = gated[k];
            gated[k] = kept + 1e-2f;
            cp_gen_answer_match(&a, whole, gated, &up);
            gated[k] = kept - 1e-2f;
            cp_gen_answer_match(&a, whole, gated, &down);
            gated[k] = kept;
            near(seed[unit[k]], (up.kl - down.kl) / 2e-2, 1e-3, "seed");
        }
        assert_true(seed[1] == 0 && seed[3] == 0 && seed[5] == 0);
        cp_gen_answer_match(&a, whole, whole, &match);
        near(match.kl, 0, 1e-12, "KL of an answer with itself");
    }
}

/* Distillation's gradient over the gates: with the quantiser's slope taken off, that of the engine's gated network. */
static void gates_of_the_network(void **state)
{
    (void)state;
    pair p;
    open_net(&p);
    cp_generator *g;
    cp_gated_runs *runs;
    cp_gen_answer answer;
    float whole[3], importance[15], d[15], input[192];
    check(cp_generator_create(p.model, 4, 1, &g));
    check(cp_gen_answer_of(p.model, NULL, 1, &answer));
    cp_gen_answer_read(&answer, p.frame, 0, whole);
    memcpy(input, cp_frame_output(p.frame, -1, 0), sizeof input);
    for (int i = 0; i < 15; i++)
        importance[i] = .9f;
    importance[3] = .1f;
    check(cp_gated_runs_create(g, 1, 0, &runs));
    const cp_gen_answer *answers[] = {&answer};
    const float *wholes[] = {whole};
    cp_gen_match match;
    check(cp_gated_runs_do(runs, input, importance, answers, wholes, 1, 1, &match, d));
    assert_true(match.kl > 0);
    /* Gate k at 1 +- step, by hand, in a gated network of our own. */
    float *factors = calloc(p.neurons, sizeof *factors), logits[3];
    int gated;
    const cp_gated_layer *layers = cp_generator_layers(g, &gated);
    for (int k = 0; k < 15; k++) {
        double kl[2];
        int l = gated - 1;
        while (layers[l].first > (size_t)k)
            l--;
        const cp_neuron_layer *layer = &p.layers[layers[l].position];
        size_t plane = layer->h * layer->w, first = layer->offset + ((size_t)k - layers[l].first) * plane;
        for (int side = 0; side < 2; side++) {
            cp_gen_factors(g, importance, factors);
            for (size_t i = first; i < first + plane; i++)
                factors[i] += side ? 5e-3f : -5e-3f;
            cp_restriction restriction = {.kind = CP_GATED, .gates = factors};
            check(cp_frame_forward(cp_gated_runs_frame(runs), input, 1, &restriction));
            cp_gen_answer_read(&answer, cp_gated_runs_frame(runs), 0, logits);
            cp_gen_answer_match(&answer, whole, logits, &match);
            kl[side] = match.kl;
        }
        near(d[k] / cp_quantise_slope(importance[k]), (kl[1] - kl[0]) / 1e-2, 2e-3 * (1 + fabs(d[k])), "gradient of a gate");
    }
    free(factors);
    cp_gated_runs_free(runs);
    cp_gen_answer_free(&answer);
    cp_generator_free(g);
    pair_close(&p);
}

/* ---------------------------------------------------------------- learning */

enum { PICTURES = 48, SIZE = 3 * 8 * 8 };
static float pictures[PICTURES][SIZE];

static cp_status give(void *user, size_t picture, float *input)
{
    (void)user;
    memcpy(input, pictures[picture], sizeof pictures[picture]);
    return CP_OK;
}

static cp_gen_epoch last;
static void remember(void *user, const cp_gen_epoch *epoch)
{
    (void)user;
    last = *epoch;
}

static void learn(const pair *p, const cp_gen_losses *losses, cp_generator **g)
{
    cp_gen_sample samples[PICTURES];
    float logits[3];
    uint64_t random = 3;
    for (size_t i = 0; i < PICTURES; i++) {
        for (size_t k = 0; k < SIZE; k++)
            pictures[i][k] = (float)cp_random_uniform(&random) * (i % 2 ? 1.5f : .5f);
        check(cp_frame_forward(p->frame, pictures[i], 1, NULL));
        samples[i].picture = i;
        check(cp_gen_answer_of(p->model, NULL, 0, &samples[i].answer));
        cp_gen_answer_read(&samples[i].answer, p->frame, 0, logits);
        for (int k = 1; k < 3; k++)
            if (logits[k] > logits[samples[i].answer.class_id])
                samples[i].answer.class_id = k;
    }
    cp_gen_training training = {.losses = *losses, .input = give, .epoch = remember};
    check(cp_generator_create(p->model, 16, 1, g));
    check(cp_gen_train(*g, samples, PICTURES, &training));
    for (size_t i = 0; i < PICTURES; i++)
        cp_gen_answer_free(&samples[i].answer);
}

static void learns_sparse_gates(void **state)
{
    (void)state;
    pair p;
    open_net(&p);
    cp_gen_losses losses = cp_gen_defaults();
    losses.batch = 8;
    losses.epochs = 60;
    losses.rate = 5e-3;
    cp_generator *g, *again, *dense;
    cp_set_threads(1);
    learn(&p, &losses, &g);
    cp_gen_epoch sparse = last;
    assert_true(sparse.kept >= .75);
    assert_true(sparse.sparsity >= .4);
    cp_set_threads(2);
    learn(&p, &losses, &again);
    cp_set_threads(0);
    size_t count;
    const float *one = cp_generator_parameters(g, &count), *other = cp_generator_parameters(again, &count);
    assert_memory_equal(one, other, sizeof *one * count);
    losses.sparsity = 0; /* nothing then closes a gate */
    learn(&p, &losses, &dense);
    assert_true(last.sparsity < .5 * sparse.sparsity);
    cp_generator_free(dense);
    cp_generator_free(again);
    cp_generator_free(g);
    pair_close(&p);
}

static void checkpoints(void **state)
{
    (void)state;
    pair p;
    open_net(&p);
    char file[] = "/tmp/critpath-gen-XXXXXX";
    int descriptor = mkstemp(file);
    assert_true(descriptor >= 0);
    close(descriptor);
    cp_generator *g, *read, *none;
    size_t count;
    cp_gen_losses losses = cp_gen_defaults();
    check(cp_generator_create(p.model, 9, 4, &g));
    check(cp_generator_write(file, g, &losses, &(cp_gen_epoch){0}));
    check(cp_generator_read(file, p.model, &read));
    const float *a = cp_generator_parameters(g, &count), *b = cp_generator_parameters(read, &count);
    assert_memory_equal(a, b, count * sizeof *a);
    cp_generator_free(read);
    const ref_layer layers[] = {CONV(5, 3, 1, 1, REF_RELU), FULL(3, REF_LINEAR), SOFTMAX};
    pair other;
    pair_open(&other, 3, 8, 8, layers, 3, 62, true);
    assert_int_equal(cp_generator_read(file, other.model, &none), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "made with another cfg"));
    cp_generator_parameters(g, &count)[3] = NAN;
    check(cp_generator_write(file, g, &losses, &(cp_gen_epoch){0}));
    assert_int_equal(cp_generator_read(file, p.model, &none), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "finite"));
    float *score = calloc(p.neurons, sizeof *score);
    free(score);
    FILE *short_file = fopen(file, "wb");
    fwrite("PK", 1, 2, short_file);
    fclose(short_file);
    assert_int_equal(cp_generator_read(file, p.model, &none), CP_EINPUT);
    unlink(file);
    cp_generator_free(g);
    pair_close(&other);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(quantiser), cmocka_unit_test(generator_gradients),
                                       cmocka_unit_test(alike_gradient), cmocka_unit_test(seeds_of_distillation),
                                       cmocka_unit_test(gates_of_the_network), cmocka_unit_test(learns_sparse_gates),
                                       cmocka_unit_test(checkpoints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
