/* Convolution in bands of output rows: oneDNN's direct kernels, and the Winograd tiles of conv_winograd.c, one thread each; our
 * threads share the bands.
 *
 * Both read (channel block, row, column, channel in block); the engine's tensors are (channel, row, column). A band
 * is copied into a buffer that stays in cache, with the rows above and below it that the window reaches, and its result
 * copied back with bias and activation. Kernels are made for one band and one thread: a band's bytes depend on nothing
 * but its input. */
#ifdef CP_ONEDNN
#include <math.h>
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/cpu/onednn.h"
#include "io/error.h"

enum { LANES = 16, ALIGN = 64 };

struct cp_onednn {
    cp_window window;
    cp_kernel kernel;
    int rows, bands;          /* output rows of a band */
    int in_rows;              /* that they read */
    int tile;                 /* of conv_winograd.c; 0: a primitive of oneDNN's */
    int x_block, y_block;     /* channels that lie together: 16, or all of them */
    int x_channels, y_channels; /* padded to whole blocks */
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    onednn_layout x_layout, y_layout, weights_layout, scratch_layout; /* desc's */
    float *weights;
    size_t weight_bytes, x_floats, y_floats, scratch_floats;
};

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int round_up(int a, int b) { return (a + b - 1) / b * b; }

static dnnl_engine_t engine;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static void engine_make(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

static int tile_of(cp_kernel kernel)
{
    return kernel == CP_KERNEL_WINOGRAD_4X4 ? 4 : kernel == CP_KERNEL_WINOGRAD_2X2 ? 2 : 1;
}

/* Rows of a band: about `wanted`, in bands of equal height, so that the last one computes few rows in vain. */
static int band_rows(const cp_window *g, cp_kernel kernel, int wanted)
{
    int bands = (g->out_h + wanted - 1) / wanted;
    return round_up((g->out_h + bands - 1) / bands, tile_of(kernel));
}

static dnnl_status_t make_desc(cp_onednn *o)
{
    const cp_window *g = &o->window;
    dnnl_format_tag_t tag = dnnl_nhwc;
    int right = max(0, (g->out_w - 1) * g->stride + g->size - g->pad - g->w);
    onednn_convolution_shape shape = {
        .x = {{1, g->c, o->in_rows, g->w}, tag},
        .weights = {{g->m, g->c, g->size, g->size}, dnnl_format_tag_any},
        .y = {{1, g->m, o->rows, g->out_w}, tag},
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

static bool make_bands(cp_onednn *o, int rows)
{
    const cp_window *g = &o->window;
    o->rows = band_rows(g, o->kernel, rows);
    o->bands = (g->out_h + o->rows - 1) / o->rows;
    o->in_rows = (o->rows - 1) * g->stride + g->size;
    /* Made for one thread: how a kernel splits its work, and with it the order of its sums, depends on that number. */
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_status_t status = make_desc(o);
    omp_set_num_threads(threads);
    const char *name = "";
    if (!status) dnnl_primitive_desc_query(o->desc, dnnl_query_impl_info_str, 0, &name);
    if (!status && (strstr(name, "jit") || strstr(name, "brg"))) return true; /* not its gemm or its plain loop */
    if (!status) dnnl_primitive_desc_destroy(o->desc);
    o->desc = NULL;
    return false;
}

/* By conv_winograd.c: oneDNN 3 has no kernels of that kind, and those of oneDNN 2 take longer. */
static void make_tiles(cp_onednn *o, int rows)
{
    const cp_window *g = &o->window;
    o->tile = tile_of(o->kernel);
    o->rows = band_rows(g, o->kernel, rows);
    o->bands = (g->out_h + o->rows - 1) / o->rows;
    o->in_rows = o->rows + 2;
    o->weight_bytes = cp_winograd_weights(g, o->tile) * sizeof(float);
    o->x_floats = (size_t)round_up(o->x_channels * o->in_rows * g->w, LANES);
    o->y_floats = (size_t)round_up(o->y_channels * o->rows * g->out_w, LANES);
    o->scratch_floats = cp_winograd_scratch(g, o->tile, o->rows);
}

cp_status cp_onednn_offer(const cp_window *g, cp_kernel kernel, cp_onednn **out)
{
    *out = NULL;
    pthread_once(&engine_once, engine_make);
    if ((!engine && kernel == CP_KERNEL_DIRECT) || g->groups != 1 || g->out_w < 1 || g->out_h < 1) return CP_OK;
    if (kernel != CP_KERNEL_DIRECT && (g->size != 3 || g->stride != 1)) return CP_OK;
    cp_onednn *o = cp_alloc(1, sizeof *o, "convolution");
    if (!o) return CP_ERESOURCE;
    o->window = *g;
    o->kernel = kernel;
    bool winograd = kernel != CP_KERNEL_DIRECT, large = (double)g->c * g->size * g->size * g->out_w > 1 << 17;
    o->x_block = winograd ? LANES : g->c;
    o->y_block = winograd ? LANES : g->m;
    o->x_channels = round_up(g->c, o->x_block);
    o->y_channels = round_up(g->m, o->y_block);
    /* Measured best on VGG-16. */
    int rows = kernel == CP_KERNEL_WINOGRAD_4X4 ? 8 : kernel == CP_KERNEL_WINOGRAD_2X2 || large ? 4 : 16;
    if (winograd) {
        make_tiles(o, rows);
        *out = o;
        return CP_OK;
    }
    if (!make_bands(o, rows)) {
        cp_onednn_free(o);
        return CP_OK;
    }
    o->x_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_src_md, 0);
    o->y_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_dst_md, 0);
    o->weights_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_weights_md, 0);
    o->scratch_layout = dnnl_primitive_desc_query_md(o->desc, dnnl_query_scratchpad_md, 0);
    o->weight_bytes = dnnl_memory_desc_get_size(o->weights_layout);
    o->x_floats = (size_t)round_up(o->x_channels * o->in_rows * g->w, LANES);
    o->y_floats = (size_t)round_up(o->y_channels * o->rows * g->out_w, LANES);
    o->scratch_floats = (dnnl_memory_desc_get_size(o->scratch_layout) / sizeof(float) + LANES) / LANES * LANES;
    *out = o;
    return CP_OK;
}

size_t cp_onednn_weight_bytes(const cp_onednn *o) { return o->weight_bytes; }
int cp_onednn_band_rows(const cp_onednn *o) { return o->rows; }
cp_kernel cp_onednn_kernel(const cp_onednn *o) { return o->kernel; }
/* One line more to align the first buffer. */
size_t cp_onednn_scratch(const cp_onednn *o)
{
    return o->x_floats + o->y_floats + o->scratch_floats + LANES + cp_zero_windows_scratch(&o->window, o->rows);
}

void cp_onednn_free(cp_onednn *o)
{
    if (!o) return;
    if (o->primitive) dnnl_primitive_destroy(o->primitive);
    if (o->desc) dnnl_primitive_desc_destroy(o->desc);
    free(o->weights); /* aligned_alloc's */
    cp_free(o);
}

/* The weights as Darknet keeps them, (M,C,size,size), in the layout of the kernel. */
static dnnl_status_t reorder_weights(const cp_onednn *o, const float *weights)
{
    const cp_window *g = &o->window;
    onednn_tensor plain = {{g->m, g->c, g->size, g->size}, dnnl_oihw};
    onednn_layout plain_layout;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t status = onednn_tensor_memory(&from, engine, &plain, (void *)weights);
    if (!status) status = dnnl_memory_get_memory_desc(from, &plain_layout);
    if (!status) status = dnnl_memory_create(&to, o->weights_layout, engine, o->weights);
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

cp_status cp_onednn_load(cp_onednn *o, const float *weights)
{
    o->weights = aligned_alloc(ALIGN, (o->weight_bytes + ALIGN - 1) / ALIGN * ALIGN);
    if (!o->weights) return cp_fail(CP_ERESOURCE, "convolution: no memory for %zu bytes of weights", o->weight_bytes);
    memset(o->weights, 0, o->weight_bytes);
    if (o->tile) return cp_winograd_load(&o->window, o->tile, weights, o->weights), CP_OK;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_status_t status = reorder_weights(o, weights);
    if (!status) status = dnnl_primitive_create(&o->primitive, o->desc);
    omp_set_num_threads(threads);
    return status ? cp_fail(CP_ERESOURCE, "convolution: oneDNN's kernel could not be made (status %d)", (int)status) : CP_OK;
}

typedef float lanes __attribute__((vector_size(64), aligned(4)));

#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define LOW1(a, b) MIX(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH1(a, b) MIX(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW2(a, b) MIX(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH2(a, b) MIX(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define EVEN4(a, b) MIX(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
#define ODD4(a, b) MIX(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31)
#define EVEN8(a, b) MIX(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#define ODD8(a, b) MIX(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31)

static inline __attribute__((always_inline)) void transpose_full(const float *in, size_t in_stride, float *out,
                                                                 size_t out_stride, bool add)
{
    lanes r[LANES], s[LANES];
    for (int i = 0; i < LANES; ++i) r[i] = *(const lanes *)(in + i * in_stride);
    for (int i = 0; i < LANES; i += 2) s[i] = LOW1(r[i], r[i + 1]), s[i + 1] = HIGH1(r[i], r[i + 1]);
    for (int i = 0; i < LANES; i += 4) {
        r[i] = LOW2(s[i], s[i + 2]), r[i + 1] = HIGH2(s[i], s[i + 2]);
        r[i + 2] = LOW2(s[i + 1], s[i + 3]), r[i + 3] = HIGH2(s[i + 1], s[i + 3]);
    }
    for (int i = 0; i < LANES; i += 8)
        for (int j = 0; j < 4; ++j) s[i + j] = EVEN4(r[i + j], r[i + 4 + j]), s[i + 4 + j] = ODD4(r[i + j], r[i + 4 + j]);
    for (int j = 0; j < 8; ++j) r[j] = EVEN8(s[j], s[8 + j]), r[8 + j] = ODD8(s[j], s[8 + j]);
    for (int i = 0; i < LANES; ++i) {
        lanes *to = (lanes *)(out + i * out_stride);
        *to = add ? *to + r[i] : r[i];
    }
}

/* out[j*out_stride + i] (=, +=) in[i*in_stride + j], i < n, j < m. */
static inline __attribute__((always_inline)) void transpose(const float *in, size_t in_stride, int n, int m, float *out,
                                                            size_t out_stride, bool add)
{
    for (int i0 = 0; i0 < n; i0 += LANES)
        for (int j0 = 0; j0 < m; j0 += LANES) {
            const float *from = in + i0 * in_stride + j0;
            float *to = out + j0 * out_stride + i0;
            if (i0 + LANES <= n && j0 + LANES <= m) {
                transpose_full(from, in_stride, to, out_stride, add);
                continue;
            }
            for (int j = 0; j < min(LANES, m - j0); ++j)
                for (int i = 0; i < min(LANES, n - i0); ++i)
                    to[j * out_stride + i] = (add ? to[j * out_stride + i] : 0) + from[i * in_stride + j];
        }
}

/* Input rows y0.. of one image into a band's buffer; rows outside the image are 0. */
CP_CLONES static void copy_in(const cp_onednn *o, const float *x, int y0, float *band)
{
    const cp_window *g = &o->window;
    size_t plane = (size_t)g->h * g->w;
    int first = y0 < 0 ? -y0 : 0, last = min(o->in_rows, g->h - y0);
    if (last < first) last = first;
    for (int c = 0; c < o->x_channels; c += o->x_block) {
        float *to = band + (size_t)c * o->in_rows * g->w;
        size_t row = (size_t)g->w * o->x_block;
        int channels = min(o->x_block, g->c - c);
        memset(to, 0, first * row * sizeof *to);
        if (channels < o->x_block) memset(to + first * row, 0, (last - first) * row * sizeof *to);
        /* Whole rows lie together in both: one long row. */
        if (last > first)
            transpose(x + c * plane + (size_t)(y0 + first) * g->w, plane, channels, (last - first) * g->w, to + first * row,
                      o->x_block, false);
        memset(to + last * row, 0, (o->in_rows - last) * row * sizeof *to);
    }
}

CP_CLONES static void copy_out(const cp_onednn *o, const float *band, int y0, float *y, bool accumulate)
{
    const cp_window *g = &o->window;
    size_t plane = (size_t)g->out_h * g->out_w;
    int count = min(o->rows, g->out_h - y0) * g->out_w;
    for (int m = 0; m < o->y_channels; m += o->y_block) {
        const float *from = band + (size_t)m * o->rows * g->out_w;
        float *to = y + m * plane + (size_t)y0 * g->out_w;
        int channels = min(o->y_block, g->m - m);
        if (accumulate) transpose(from, o->y_block, count, channels, to, plane, true);
        else transpose(from, o->y_block, count, channels, to, plane, false);
    }
}

/* What one thread needs to run the kernel on its scratch. */
typedef struct {
    float *x, *y;
    dnnl_stream_t stream;
    float *zeros; /* work of cp_zero_windows */
    dnnl_memory_t memory[4];
    dnnl_exec_arg_t args[4];
} runner;

static dnnl_status_t runner_open(const cp_onednn *o, float *scratch, runner *r)
{
    float *at = (float *)(((uintptr_t)scratch + ALIGN - 1) / ALIGN * ALIGN);
    r->x = at, r->y = at + o->x_floats, r->zeros = r->y + o->y_floats + o->scratch_floats;
    if (o->tile) return dnnl_success;
    onednn_layout layouts[] = {o->x_layout, o->weights_layout, o->y_layout, o->scratch_layout};
    float *data[] = {r->x, o->weights, r->y, r->y + o->y_floats};
    const int names[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    dnnl_status_t status = dnnl_stream_create(&r->stream, engine, dnnl_stream_default_flags);
    for (int i = 0; i < 4 && !status; ++i) {
        status = dnnl_memory_create(&r->memory[i], layouts[i], engine, data[i]);
        r->args[i] = (dnnl_exec_arg_t){names[i], r->memory[i]};
    }
    return status;
}

static void runner_close(runner *r)
{
    for (int i = 0; i < 4; ++i)
        if (r->memory[i]) dnnl_memory_destroy(r->memory[i]);
    if (r->stream) dnnl_stream_destroy(r->stream);
}

/* r->y: the band's sums. */
static void run_band(const cp_onednn *o, runner *r, const float *x, int in_y0, dnnl_status_t *status)
{
    copy_in(o, x, in_y0, r->x);
    if (o->tile)
        cp_winograd_band(&o->window, o->tile, o->rows, o->weights, r->x, r->y, r->y + o->y_floats);
    else {
        if (!*status) *status = dnnl_primitive_execute(o->primitive, r->stream, 4, r->args);
        if (!*status) *status = dnnl_stream_wait(r->stream);
    }
    if (*status) /* no memory left for a few bytes; the engine refuses what is not finite */
        for (size_t i = 0; i < o->y_floats; ++i) r->y[i] = NAN;
    else if (o->kernel != CP_KERNEL_DIRECT)
        cp_zero_windows(&o->window, r->x, o->x_channels / LANES, o->rows, r->y, o->y_channels / LANES, r->zeros);
}

void cp_onednn_gather(const cp_onednn *o, int n, cp_batch x, cp_batch y, bool accumulate, const float *bias,
                      ACTIVATION activation, const cp_scratch *scratch)
{
    const cp_window *g = &o->window;
    size_t plane = (size_t)g->out_h * g->out_w;
    double work = (double)n * g->m * g->c * g->size * g->size * plane;
#pragma omp parallel num_threads(cp_threads_for(work))
    {
        omp_set_num_threads(1); /* of oneDNN's own loops */
        runner r = {0};
        dnnl_status_t status = runner_open(o, scratch->thread + omp_get_thread_num() * scratch->per_thread, &r);
#pragma omp for collapse(2) schedule(dynamic)
        for (int b = 0; b < n; ++b)
            for (int band = 0; band < o->bands; ++band) {
                int y0 = band * o->rows, count = min(o->rows, g->out_h - y0) * g->out_w, in_y0 = y0 * g->stride - g->pad;
                if (!cp_zero_rows(g, cp_at(x, b), in_y0, in_y0 + o->in_rows))
                    run_band(o, &r, cp_at(x, b), in_y0, &status);
                else if (accumulate)
                    continue;
                else
                    memset(r.y, 0, o->y_floats * sizeof *r.y);
                copy_out(o, r.y, y0, cp_at(y, b), accumulate);
                if (accumulate || (!bias && activation == LINEAR)) continue;
                for (int m = 0; m < g->m; ++m)
                    cp_activate_bias(cp_at(y, b) + m * plane + (size_t)y0 * g->out_w, count, bias ? bias[m] : 0, activation);
            }
        runner_close(&r);
    }
}
#else /* no offers, and nothing to do with them */
#include "engine/cpu/conv.h"

cp_status cp_onednn_offer(const cp_window *window, cp_kernel kernel, cp_onednn **out)
{
    (void)window, (void)kernel;
    *out = NULL;
    return CP_OK;
}
size_t cp_onednn_weight_bytes(const cp_onednn *gather) { return (void)gather, 0; }
size_t cp_onednn_scratch(const cp_onednn *gather) { return (void)gather, 0; }
int cp_onednn_band_rows(const cp_onednn *gather) { return (void)gather, 1; }
cp_kernel cp_onednn_kernel(const cp_onednn *gather) { return (void)gather, CP_KERNEL_DIRECT; }
cp_status cp_onednn_load(cp_onednn *gather, const float *weights) { return (void)gather, (void)weights, CP_OK; }
void cp_onednn_free(cp_onednn *gather) { (void)gather; }
void cp_onednn_gather(const cp_onednn *gather, int n, cp_batch x, cp_batch y, bool accumulate, const float *bias,
                      ACTIVATION activation, const cp_scratch *scratch)
{
    (void)gather, (void)n, (void)x, (void)y, (void)accumulate, (void)bias, (void)activation, (void)scratch;
}
#endif
