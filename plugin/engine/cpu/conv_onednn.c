/* oneDNN's direct kernels, band by band (conv_bands.h). A build without CP_ONEDNN has none. */
#include <math.h>

#include "engine/cpu/conv_bands.h"

static bool fits(const cp_product *p)
{
    const cp_window *g = &p->window;
    return g->groups == 1 && cp_is_compact(g) && g->out_w >= 1 && g->out_h >= 1 && (!p->backward || cp_turns(g));
}

#ifdef CP_ONEDNN
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/onednn.h"
#include "io/error.h"

typedef struct {
    cp_bands bands;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    onednn_layout x_layout, y_layout, weights_layout, scratch_layout; /* desc's */
} direct;

static int max(int a, int b) { return a > b ? a : b; }

static dnnl_engine_t engine;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static void engine_make(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

static dnnl_status_t make_desc(direct *o)
{
    const cp_window *g = &o->bands.window;
    dnnl_format_tag_t tag = dnnl_nhwc;
    int right = max(0, (g->out_w - 1) * g->stride + g->size - g->pad - g->w);
    onednn_convolution_shape shape = {
        .x = {{1, g->c, o->bands.in_rows, g->w}, tag},
        .weights = {{g->m, g->c, g->size, g->size}, dnnl_format_tag_any},
        .y = {{1, g->m, o->bands.rows, g->out_w}, tag},
        .strides = {g->stride, g->stride},
        .before = {0, g->pad},
        .after = {0, right},
    };
    dnnl_primitive_attr_t attributes;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status) return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (!status) status = onednn_convolution_desc(&o->desc, engine, &shape, attributes);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

static void release(void *own)
{
    direct *o = own;
    if (o->primitive) dnnl_primitive_destroy(o->primitive);
    if (o->desc) dnnl_primitive_desc_destroy(o->desc);
    cp_bands_close(own);
}

/* Made for one thread: how a kernel splits its work, and with it the order of its sums, depends on that number. Returns
 * whether there is one other than oneDNN's matrix products and plain loops. */
static bool make_kernel(direct *o)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_status_t status = make_desc(o);
    omp_set_num_threads(threads);
    const char *name = "";
    if (!status) dnnl_primitive_desc_query(o->desc, dnnl_query_impl_info_str, 0, &name);
    return !status && (strstr(name, "jit") || strstr(name, "brg"));
}

/* The weights as Darknet keeps them, (M,C,size,size), in the layout of the kernel. */
static dnnl_status_t reorder_weights(const direct *o, const float *weights)
{
    const cp_window *g = &o->bands.window;
    onednn_tensor plain = {{g->m, g->c, g->size, g->size}, dnnl_oihw};
    onednn_layout plain_layout;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t status = onednn_tensor_memory(&from, engine, &plain, (void *)weights);
    if (!status) status = dnnl_memory_get_memory_desc(from, &plain_layout);
    if (!status) status = dnnl_memory_create(&to, o->weights_layout, engine, o->bands.weights);
    if (!status) status = dnnl_reorder_primitive_desc_create(&desc, plain_layout, engine, o->weights_layout, engine, NULL);
    if (!status) status = dnnl_primitive_create(&primitive, desc);
    if (!status) status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (!status) status = dnnl_primitive_execute(primitive, stream, 2, args);
    if (!status) status = dnnl_stream_wait(stream);
    if (stream) dnnl_stream_destroy(stream);
    if (primitive) dnnl_primitive_destroy(primitive);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (to) dnnl_memory_destroy(to);
    if (from) dnnl_memory_destroy(from);
    return status;
}

static cp_status load_direct(cp_bands *b, const float *weights)
{
    direct *o = (direct *)b;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_status_t status = reorder_weights(o, weights);
    if (!status) status = dnnl_primitive_create(&o->primitive, o->desc);
    omp_set_num_threads(threads);
    return status ? cp_fail(CP_ERESOURCE, "convolution: oneDNN's kernel could not be made (status %d)", (int)status) : CP_OK;
}

/* What one thread needs to run the primitive on its buffers. */
typedef struct {
    dnnl_status_t status;
    dnnl_stream_t stream;
    dnnl_memory_t memory[4];
    dnnl_exec_arg_t args[4];
} runner;
_Static_assert(sizeof(runner) <= sizeof((cp_band){0}.room), "a band has room for its runner");

static void begin(const cp_bands *b, cp_band *band)
{
    const direct *o = (const direct *)b;
    onednn_layout layouts[] = {o->x_layout, o->weights_layout, o->y_layout, o->scratch_layout};
    float *data[] = {band->x, b->weights, band->y, band->scratch};
    const int names[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    runner *r = (runner *)band->room;
    r->status = dnnl_stream_create(&r->stream, engine, dnnl_stream_default_flags);
    for (int i = 0; i < 4 && !r->status; ++i) {
        r->status = dnnl_memory_create(&r->memory[i], layouts[i], engine, data[i]);
        r->args[i] = (dnnl_exec_arg_t){names[i], r->memory[i]};
    }
}

static void end(cp_band *band)
{
    runner *r = (runner *)band->room;
    for (int i = 0; i < 4; ++i)
        if (r->memory[i]) dnnl_memory_destroy(r->memory[i]);
    if (r->stream) dnnl_stream_destroy(r->stream);
}

static bool run(const cp_bands *b, cp_band *band)
{
    runner *r = (runner *)band->room;
    if (r->status) return false;
    r->status = dnnl_primitive_execute(((const direct *)b)->primitive, r->stream, 4, r->args);
    if (!r->status) r->status = dnnl_stream_wait(r->stream);
    return !r->status;
}

static const cp_band_kernel kernel = {.load = load_direct, .begin = begin, .run = run, .end = end};

static cp_status offer(cp_product *p)
{
    pthread_once(&engine_once, engine_make);
    p->cost = INFINITY;
    if (!engine) return CP_OK;
    direct *o = p->own = cp_alloc(1, sizeof *o, "convolution");
    if (!o) return CP_ERESOURCE;
    cp_bands *b = &o->bands;
    cp_window g = b->window = cp_gather_window(p);
    bool large = (double)g.c * g.size * g.size * g.out_w > 1 << 17;
    b->kernel = &kernel;
    b->tile = 1, b->x_block = g.c, b->y_block = g.m;
    cp_bands_divide(b, large ? 4 : 16); /* measured best on VGG-16 */
    if (!make_kernel(o)) return CP_OK;
    o->x_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_src_md, 0);
    o->y_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_dst_md, 0);
    o->weights_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_weights_md, 0);
    o->scratch_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_scratchpad_md, 0);
    b->weight_bytes = dnnl_memory_desc_get_size(o->weights_layout);
    b->scratch_floats = dnnl_memory_desc_get_size(o->scratch_layout) / sizeof(float) + 1;
    cp_bands_offer(b, 57, p);
    return CP_OK;
}
#else
static cp_status offer(cp_product *p)
{
    p->cost = INFINITY;
    return CP_OK;
}
static void release(void *own) { cp_bands_close(own); }
#endif

const cp_kernel cp_conv_direct = {.name = "direct", .even = true, .fits = fits, .open = offer, .load = cp_bands_load,
                                    .forward = cp_bands_forward, .backward = cp_bands_backward, .close = release};
