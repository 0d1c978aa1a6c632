/* Max-pools of a network restricted to a path that look at entries on the path alone (CP_KEPT, docs/methods.md 0). A
 * zero off the path would beat a winner below zero, of which leaky networks have many, and then the path of every
 * neuron that scores does not keep the answer. What is off the path enters a window as padding does: as -FLT_MAX. */
#include "engine/kept.h"

#include <float.h>
#include <string.h>

#include "engine/backend.h"
#include "io/error.h"

bool cp_pools_by_maximum(const cp_op *op) { return op->has_index && !op->inner; }

static void fill_bits(const cp_path *path, int position, size_t count, float *on)
{
    const uint64_t *words = cp_path_words(path, position);
    for (size_t i = 0; i < count; i++)
        on[i] = (float)(words[i / 64] >> i % 64 & 1);
}

/* on[outputs]: 1 where the value of `layer` (-1 the input) is on the path or is no neuron's, else 0. A pool is on the
 * path where anything in its window is. */
static cp_status find_kept(cp_frame *frame, int layer, const cp_path *path, float *on)
{
    const cp_model *model = frame->model;
    const cp_op *op = layer < 0 ? NULL : &frame->engine->op[layer];
    size_t count = layer < 0 ? (size_t)model->net->inputs : model->layer[layer].outputs;
    if (layer >= 0 && model->neuron_position[layer] >= 0) {
        fill_bits(path, model->neuron_position[layer], count, on);
        return CP_OK;
    }
    if (!op || !op->type || !op->type->moves) {
        for (size_t i = 0; i < count; i++)
            on[i] = 1;
        return CP_OK;
    }
    cp_batch in[CP_MAX_SOURCES] = {{0}};
    uint16_t *index = cp_alloc(count, sizeof *index, "kept pool");
    cp_status status = index ? CP_OK : CP_ERESOURCE;
    for (int s = 0; s < op->n_sources && !status; s++) {
        in[s].base = cp_alloc(op->source_outputs[s], sizeof(float), "kept pool");
        status = in[s].base ? find_kept(frame, op->source[s], path, in[s].base) : CP_ERESOURCE;
    }
    if (!status)
        op->type->forward(op, 1, in, (cp_batch){on, 0}, index, true, &frame->scratch);
    for (size_t i = 0; i < count && !status; i++)
        on[i] = on[i] > 0; /* upsampling scales */
    for (int s = 0; s < op->n_sources; s++)
        cp_free(in[s].base);
    cp_free(index);
    return status;
}

cp_status cp_kept_pool(cp_frame *frame, int layer, int image, const cp_path *path)
{
    const cp_op *op = &frame->engine->op[layer];
    size_t inputs = op->source_outputs[0], outputs = op->info->outputs;
    const float *from = cp_at(cp_frame_batch(frame, op->source[0]), image);
    float *out = cp_at(cp_frame_batch(frame, layer), image);
    uint16_t *index = frame->index[layer] + (size_t)image * outputs;
    float *seen = cp_alloc(inputs, sizeof *seen, "kept pool");
    cp_status status = seen ? find_kept(frame, op->source[0], path, seen) : CP_ERESOURCE;
    if (!status) {
        for (size_t i = 0; i < inputs; i++)
            seen[i] = seen[i] > 0 ? from[i] : -FLT_MAX;
        op->type->forward(op, 1, &(cp_batch){seen, 0}, (cp_batch){out, 0}, index, false, &frame->scratch);
        for (size_t i = 0; i < outputs; i++)
            out[i] = out[i] == -FLT_MAX ? 0 : out[i];
    }
    cp_free(seen);
    return status;
}

cp_status cp_kept_check(const cp_frame *frame, int images, const cp_restriction *restrictions)
{
    for (int b = 0; b < images && restrictions && !cp_has(frame, CP_HAS_KEPT); b++)
        if (restrictions[b].kind == CP_KEPT || restrictions[b].values)
            return cp_fail(CP_EINPUT, "frame: image %d is restricted to a path with %s; that has no %s code, -nogpu "
                           "computes it on the CPU", b, restrictions[b].kind == CP_KEPT ? "max-pools that see the path alone"
                                                                               : "values other than 0 off it",
                           frame->backend->name);
    return CP_OK;
}
