/* Attacks stay in their ball and lower the class; the area under the ROC curve by definition; energy. */
#include "score_net.h"

#include "eval/attack.h"

static const ref_layer layers[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), CONV(8, 3, 2, 1, REF_LEAKY), FULL(5, REF_LINEAR), SOFTMAX,
};
#define COUNT(layers) ((int)(sizeof layers / sizeof *layers))

static double probability(cp_frame *frame, const float *x, int class_id)
{
    check(cp_frame_forward(frame, x, 1, NULL));
    const float *logits = cp_frame_output(frame, 2, 0);
    return exp((double)logits[class_id] + cp_energy(logits, 5));
}

static void attacks(void **state)
{
    enum { INPUTS = 3 * 8 * 8 };
    float x[INPUTS], moved[INPUTS];
    int worse = 0, better = 0;
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++) {
        pair p;
        pair_open(&p, 3, 8, 8, layers, COUNT(layers), seed, true);
        memcpy(x, cp_frame_output(p.frame, -1, 0), sizeof x);
        for (int class_id = 0; class_id < 5; class_id++) {
            double last = probability(p.frame, x, class_id), fgsm = 0;
            for (int steps = 1; steps <= 10; steps += 9) {
                check(cp_attack_input(p.frame, x, class_id, 8 / 255., steps, moved));
                size_t at_edge = 0;
                for (int i = 0; i < INPUTS; i++) {
                    assert_true(fabsf(moved[i] - x[i]) <= 8 / 255.f + 1e-6f);
                    assert_true(moved[i] >= 0 && moved[i] <= 1);
                    at_edge += fabsf(moved[i] - x[i]) > 7.9f / 255;
                }
                double now = probability(p.frame, moved, class_id);
                assert_true(now < last);
                if (steps == 1) {
                    fgsm = now;
                    assert_true(at_edge > INPUTS / 2);
                } else {
                    better += now <= fgsm + 1e-9;
                    worse += now > fgsm + 1e-9;
                }
            }
        }
        assert_int_equal(cp_attack_input(p.frame, x, 5, .1, 1, moved), CP_EINPUT);
        assert_int_equal(cp_attack_input(p.frame, x, 0, 0, 1, moved), CP_EINPUT);
        assert_int_equal(cp_attack_input(p.frame, x, 0, .1, 0, moved), CP_EINPUT);
        pair_close(&p);
    }
    assert_true(better > 3 * worse); /* ten steps are rarely worse than one */
}

static void areas(void **state)
{
    enum { N = 37, M = 23 };
    double a[N], b[M], wins = 0;
    uint64_t random = 1;
    (void)state;
    for (int i = 0; i < N; i++)
        a[i] = floor(8 * ref_random(&random)) + 1;
    for (int k = 0; k < M; k++)
        b[k] = floor(8 * ref_random(&random));
    for (int i = 0; i < N; i++)
        for (int k = 0; k < M; k++)
            wins += a[i] > b[k] ? 1 : a[i] == b[k] ? .5 : 0;
    assert_float_equal(cp_roc_area(a, N, b, M), wins / (N * M), 1e-12);
    assert_true(isnan(cp_roc_area(a, 0, b, M)));
    assert_true(isnan(cp_roc_area(a, N, b, 0)));
}

static void energies(void **state)
{
    (void)state;
    assert_float_equal(cp_energy((const float[]){0, 0}, 2), -log(2), 1e-9);
    assert_float_equal(cp_energy((const float[]){1000, 990}, 2), -1000 - log1p(exp(-10)), 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attacks), cmocka_unit_test(areas), cmocka_unit_test(energies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
