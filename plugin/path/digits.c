/* The last score that a selection keeps, digit by digit (docs/methods.md 1.4): by how many are above it, or by how much of
 * the sum of all scores they hold. Shared by the CPU and GPUs, which only count. */
#include "path/select.h"

#define INFINITE_DIGIT 0x7f8u /* first digit of inf and NaN */

int cp_select_threads(size_t neurons) { return neurons < 1 << 19 ? 1 : cp_threads(); }

static double mass_of(uint64_t fraction, uint32_t bits)
{
    int exponent = (int)(bits >> 23);
    return ldexp((double)fraction, (exponent ? exponent : 1) - 150);
}

/* The digit that holds the last score kept. *above, *held: number and sum of the scores that lie above it. */
static uint32_t pick(const cp_digit_table *table, uint32_t digits, uint32_t prefix, int shift, const cp_select_goal *goal,
                     size_t *above, double *held)
{
    uint32_t lowest = 0, d = digits;
    size_t before = *above;
    double held_before = *held;
    while (d-- > 0) {
        double mass = mass_of(table->fraction[d], (prefix * digits + d) << shift);
        if (!table->count[d])
            continue;
        if (goal->mass > 0 ? *held + mass >= goal->mass * goal->total : *above + table->count[d] >= goal->k)
            return d;
        lowest = d;
        before = *above;
        held_before = *held;
        *above += table->count[d];
        *held += mass;
    }
    *above = before; /* all of them, rounding apart */
    *held = held_before;
    return lowest;
}

/* Of `equal` scores of that value, how many are kept. */
static size_t ties_of(const cp_select_goal *goal, double value, size_t equal, size_t above, double held)
{
    double missing = ceil((goal->mass * goal->total - held) / value);
    if (goal->mass <= 0)
        return goal->k - above;
    return missing < 1 ? 1 : missing < (double)equal ? (size_t)missing : equal;
}

cp_status cp_select_by_tables(cp_digit_table *table, size_t zeros, cp_count_digits next, void *user, cp_select_goal *goal)
{
    size_t positive = 0, above = 0;
    double held = 0, value;
    table->count[0] -= zeros;
    goal->total = goal->held = 0;
    goal->value = 0;
    goal->ties = goal->equal = 0;
    for (uint32_t d = 0; d < INFINITE_DIGIT; d++) {
        positive += table->count[d];
        goal->total += mass_of(table->fraction[d], d << CP_FIRST_SHIFT);
    }
    goal->k = goal->mass > 0 || goal->k > positive ? positive : goal->k;
    if (!goal->k)
        return CP_OK;
    uint32_t digits = pick(table, INFINITE_DIGIT, 0, CP_FIRST_SHIFT, goal, &above, &held);
    for (int shift = 10; shift >= 0; shift -= 10) {
        cp_status status = next(user, digits, shift, table);
        if (status)
            return status;
        if (digits == 0)
            table->count[0] -= zeros;
        digits = digits << 10 | pick(table, CP_NEXT_DIGITS, digits, shift, goal, &above, &held);
    }
    value = cp_score_value(digits);
    goal->value = digits;
    goal->equal = table->count[digits & (CP_NEXT_DIGITS - 1)];
    goal->ties = ties_of(goal, value, goal->equal, above, held);
    goal->k = above + goal->ties;
    goal->held = held + (double)goal->ties * value;
    return CP_OK;
}
