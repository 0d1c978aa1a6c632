/* The gates that PyTorch learned (tests/oracle/make_golden.py): what both ways to train gates are compared with. */
#ifndef GOLDEN_GATES_H
#define GOLDEN_GATES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "critpath.h"
#include "io/npz.h"

static float *golden_array(cp_npz *npz, const char *name, size_t floats)
{
    size_t index, bytes;
    cp_array_type type;
    assert_true(cp_npz_find(npz, name, &index));
    assert_int_equal(cp_npz_type(npz, index, &type), CP_OK);
    assert_true(cp_array_bytes(&type, &bytes) && bytes == floats * sizeof(float));
    float *data = malloc(bytes);
    assert_int_equal(cp_npz_read(npz, index, &type, data), CP_OK);
    return data;
}

/* gate: N. */
static void check_golden_gates(const char *net, const cp_model *model, cp_npz *npz, const float *gate)
{
    char name[64];
    double worst = 0, moved = 0;
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        snprintf(name, sizeof name, "dgr.%s", layers[l].name);
        float *expected = golden_array(npz, name, layers[l].count);
        for (size_t i = 0; i < layers[l].count; i++) {
            worst = fmax(worst, fabs(expected[i] - gate[layers[l].offset + i]));
            moved = fmax(moved, fabs(expected[i] - 1));
        }
        free(expected);
    }
    if (!(worst < 1e-3 && moved > .01))
        fail_msg("%s: gates differ by up to %g, they moved by up to %g", net, worst, moved);
}

#endif
