/* The engine part of a model: one prepared op per layer, made at first use. */
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "engine/cpu/conv.h"
#include "io/error.h"

static void engine_free(void *memory)
{
    cp_engine *engine = memory;
    for (int i = 0; engine->op && i < engine->n; ++i) {
        cp_free(engine->op[i].permutation);
        cp_free(engine->op[i].factor);
        cp_conv_free(engine->op[i].conv);
    }
    if (engine->part) engine->part_free(engine->part);
    cp_free(engine->op);
    cp_free(engine);
}

static cp_status prepare_op(const cp_model *model, int i, cp_op *op)
{
    const layer *l = op->l = &model->net->layers[i];
    const cp_layer_info *info = op->info = &model->layer[i];
    op->layers = model->shapes->layers;
    op->cfg = &model->shapes->layers[i];
    if (info->head || info->value != i) return CP_OK;
    op->type = cp_op_type_find(l, op->cfg);
    if (!op->type) return cp_fail(CP_EINPUT, "layer %d: %s is not supported", i, info->type);
    if (info->n_sources > CP_MAX_SOURCES)
        return cp_fail(CP_EINPUT, "layer %d: route of %d layers, at most %d are supported", i, info->n_sources,
                       CP_MAX_SOURCES);
    op->activation = info->neuron ? l->activation : LINEAR;
    op->keeps_z = cp_activation_keeps_input(op->activation);
    op->n_sources = info->n_sources;
    for (int s = 0; s < info->n_sources; ++s) {
        int source = info->sources[s];
        if (source >= 0 && model->layer[source].head)
            return cp_fail(CP_EINPUT, "layer %d: reads layer %d, a %s head that ends the differentiable part", i, source,
                           model->layer[source].type);
        op->source[s] = source < 0 ? -1 : model->layer[source].value;
        op->source_outputs[s] = source < 0 ? (size_t)model->net->inputs : model->layer[source].outputs;
    }
    cp_status status = op->type->prepare ? op->type->prepare(op) : CP_OK;
    op->type = cp_op_type_around(op, &op->inner);
    return status;
}

static cp_status engine_create(const cp_model *model, cp_engine **out)
{
    cp_engine *engine = cp_alloc(1, sizeof *engine, "engine");
    if (!engine) return CP_ERESOURCE;
    engine->n = model->layers;
    engine->op = cp_alloc(engine->n, sizeof *engine->op, "engine");
    cp_status status = engine->op ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < engine->n && !status; ++i) status = prepare_op(model, i, &engine->op[i]);
    if (!status) status = cp_conv_plan(engine->op, engine->n);
    for (int i = 0; i < engine->n && !status; ++i) {
        if (engine->op[i].inner) engine->op[i].shared += cp_op_around_floats(&engine->op[i]);
        if (engine->op[i].per_thread > engine->per_thread) engine->per_thread = engine->op[i].per_thread;
        if (engine->op[i].shared > engine->shared) engine->shared = engine->op[i].shared;
    }
    if (status) {
        engine_free(engine);
        return status;
    }
    engine->per_thread = (engine->per_thread + 15) / 16 * 16; /* no two threads on one cache line */
#ifdef __GLIBC__
    malloc_trim(0); /* holes that turned weights left, too small for what comes */
#endif
    *out = engine;
    return CP_OK;
}

cp_status cp_engine_get(const cp_model *model, const cp_engine **engine)
{
    cp_model *m = (cp_model *)model; /* the engine part is a cache, guarded by its lock */
    cp_status status = CP_OK;
    pthread_mutex_lock(&m->engine_lock);
    if (!m->engine) {
        cp_engine *made = NULL;
        status = engine_create(model, &made);
        m->engine = made;
        m->engine_free = engine_free;
    }
    *engine = m->engine;
    pthread_mutex_unlock(&m->engine_lock);
    return status;
}
