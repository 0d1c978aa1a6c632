/* The part of oneDNN's C interface that differs between its versions 2 and 3, for conv_onednn.c alone.
 *
 * In version 2 a memory descriptor is a struct of the caller's and an operation has a descriptor of its own; in version 3
 * memory descriptors are objects of the library and an operation is described by its arguments alone. What the library
 * returns is a pointer to a constant descriptor in both, and every other call that the plugin makes reads the same. */
#ifndef CP_ENGINE_ONEDNN_H
#define CP_ENGINE_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR == 2
typedef const dnnl_memory_desc_t *onednn_layout;
#elif DNNL_VERSION_MAJOR == 3
typedef const_dnnl_memory_desc_t onednn_layout;
#else
#error "written for oneDNN 2 and 3; build with ONEDNN=0"
#endif

/* A float tensor of four dimensions, e.g. (N,C,H,W), laid out as `tag` says; dnnl_format_tag_any leaves the layout to the
 * primitive. */
typedef struct {
    dnnl_dims_t dims;
    dnnl_format_tag_t tag;
} onednn_tensor;

/* A direct convolution without bias, for inference. Row and column: `strides`, zeros `before` and `after` the image. */
typedef struct {
    onednn_tensor x, weights, y;
    dnnl_dims_t strides, before, after;
} onednn_convolution_shape;

#if DNNL_VERSION_MAJOR == 2

static inline dnnl_status_t onednn_layout_init(dnnl_memory_desc_t *layout, const onednn_tensor *t)
{
    return dnnl_memory_desc_init_by_tag(layout, 4, t->dims, dnnl_f32, t->tag);
}

/* Memory over `data`, which stays the caller's. */
static inline dnnl_status_t onednn_tensor_memory(dnnl_memory_t *memory, dnnl_engine_t engine, const onednn_tensor *t,
                                                 void *data)
{
    dnnl_memory_desc_t layout;
    dnnl_status_t status = onednn_layout_init(&layout, t);
    return status ? status : dnnl_memory_create(memory, &layout, engine, data);
}

static inline dnnl_status_t onednn_convolution_desc(dnnl_primitive_desc_t *desc, dnnl_engine_t engine,
                                                    const onednn_convolution_shape *c,
                                                    const_dnnl_primitive_attr_t attributes)
{
    dnnl_memory_desc_t x, weights, y;
    dnnl_convolution_desc_t operation;
    dnnl_status_t status = onednn_layout_init(&x, &c->x);
    if (!status) status = onednn_layout_init(&weights, &c->weights);
    if (!status) status = onednn_layout_init(&y, &c->y);
    if (!status)
        status = dnnl_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct, &x,
                                                    &weights, NULL, &y, c->strides, c->before, c->after);
    return status ? status : dnnl_primitive_desc_create(desc, &operation, attributes, engine, NULL);
}

#else

/* The caller destroys *layout, which is NULL after a failure. */
static inline dnnl_status_t onednn_layout_create(dnnl_memory_desc_t *layout, const onednn_tensor *t)
{
    *layout = NULL;
    return dnnl_memory_desc_create_with_tag(layout, 4, t->dims, dnnl_f32, t->tag);
}

/* Memory over `data`, which stays the caller's. */
static inline dnnl_status_t onednn_tensor_memory(dnnl_memory_t *memory, dnnl_engine_t engine, const onednn_tensor *t,
                                                 void *data)
{
    dnnl_memory_desc_t layout;
    dnnl_status_t status = onednn_layout_create(&layout, t);
    if (!status) status = dnnl_memory_create(memory, layout, engine, data);
    if (layout) dnnl_memory_desc_destroy(layout);
    return status;
}

static inline dnnl_status_t onednn_convolution_desc(dnnl_primitive_desc_t *desc, dnnl_engine_t engine,
                                                    const onednn_convolution_shape *c,
                                                    const_dnnl_primitive_attr_t attributes)
{
    const onednn_tensor *tensors[] = {&c->x, &c->weights, &c->y};
    dnnl_memory_desc_t layouts[3] = {NULL};
    dnnl_dims_t dense = {0, 0}; /* no holes between the rows and columns of a kernel */
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < 3 && !status; ++i) status = onednn_layout_create(&layouts[i], tensors[i]);
    if (!status)
        status = dnnl_convolution_forward_primitive_desc_create(desc, engine, dnnl_forward_inference,
                                                                dnnl_convolution_direct, layouts[0], layouts[1],
                                                                NULL, layouts[2], c->strides, dense, c->before,
                                                                c->after, attributes);
    for (int i = 0; i < 3; ++i)
        if (layouts[i]) dnnl_memory_desc_destroy(layouts[i]);
    return status;
}

#endif
#endif
