/* The steps of `roar` by number: those with nothing removed, the trainings of each map, then ROAD of each map. */
#include "cli/command_roar.h"

const char *const cp_roar_parts[CP_ROAR_PARTS] = {"train", "valid"};

size_t cp_roar_step(const cp_roar *r, int map, int direction, int fraction, int repeat)
{
    if (fraction == 0)
        return (size_t)repeat;
    int removed = r->n_fractions - 1;
    return (size_t)r->repeats * (size_t)(1 + (map * r->directions + direction) * removed + fraction - 1) +
           (size_t)repeat;
}

size_t cp_roar_road_step(const cp_roar *r, int map) { return cp_roar_step(r, r->plan.n_maps, 0, 1, 0) + (size_t)map; }
