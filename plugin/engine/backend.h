/* What computes. A backend owns the buffers of the frames made on it, and a table of functions that work on them; the files
 * of this folder follow the graph, say in which order what happens, and do not know which backend they call.
 *
 * Pointers into a frame's buffers (value, index, before_gate, arena) belong to the backend, and only a backend with
 * CP_IN_PLACE lets others read them. A backend may work later than it is called: between begin and end calls are put in
 * order, the first fault is kept, and end waits and tells it. Everything else that is passed is the host's.
 *
 * engine/cpu is the reference. What a backend lacks (`has`) is refused by name or done in the general way.
 */
#ifndef CP_ENGINE_BACKEND_H
#define CP_ENGINE_BACKEND_H

#include "engine/branch.h"
#include "engine/engine.h"
#include "engine/frame_scores.h"

/* What a backend has beyond the functions that it must have. */
enum {
    CP_IN_PLACE = 1,       /* its buffers are the host's memory; parts of a buffer may be another layer's (a route's sources) */
    CP_HAS_GUIDED = 2,     /* guided backpropagation */
    CP_HAS_KEPT = 4,       /* CP_KEPT, and restrictions to values other than 0 */
    CP_HAS_GAMMA_RULE = 8, /* relevance: engine/relevance.h */
    CP_HAS_SPARSE = 16,    /* deltas of few neurons as lists: engine/points.h */
    CP_HAS_LINES = 32      /* branches along a ray layer by layer: engine/ray.h */
};

/* Where a backward run leaves a * g of every neuron layer it reaches, in the backend's memory: product[N], cleared, and
 * *not_finite. */
typedef struct {
    float *product;
    unsigned *not_finite;
    bool magnitude; /* |a * g| */
} cp_products;

/* A neuron layer's turn in a backward run of n entries. expose: the deltas are dPhi/da; they are shown to the observer or
 * make products, then multiplied by the entry's path or gates. descend: then by the activation's derivative. */
typedef struct {
    int layer, position, n; /* position: of the neuron layer */
    const cp_entry *entries;
    const cp_observer *observer; /* or NULL */
    const cp_products *products; /* or NULL */
    bool expose, descend;
    float *delta;    /* (n, count) */
    size_t *nonzero; /* by entry: where it descends, how many are then not 0; CP_HAS_SPARSE alone */
} cp_through;

/* The same in a forward-mode run: dz is shown, multiplied by the activation's derivative, and 0 off the path. */
typedef struct {
    int layer, position, n;
    const int *image; /* by direction */
    const cp_path *path;
    const cp_tangent_observer *observer;
    float *tangent; /* (n, count) */
} cp_tangent_through;

struct cp_backend {
    const char *name; /* in messages: "GPU" */
    unsigned has;
    int most_entries; /* of a batch; 0: as many as the caller finds best */

    /* ---- devices */
    cp_status (*check)(int index); /* CP_EINPUT, naming what is there, unless device `index` can be used */
    cp_status (*describe)(int index, char name[300]);
    size_t (*memory)(const cp_frame *base, size_t asked, size_t otherwise); /* cp_frame_memory */
    size_t (*run_bytes)(const cp_frame *frame);                             /* cp_frame_run_bytes */
    bool (*was_short)(void);                                                /* cp_device_was_short */

    /* ---- frames */
    /* Buffers of a new frame, which has all but these; owned, by layer + 1: those that it computes or holds itself.
     * A frame whose opening failed is closed. */
    cp_status (*open)(cp_frame *frame, const bool *owned);
    void (*close)(cp_frame *frame);
    cp_status (*grow_arena)(cp_frame *frame, size_t floats);
    float *(*alloc)(const cp_frame *frame, size_t count, const char *what); /* NULL with the message set */
    void (*free)(const cp_frame *frame, void *memory);
    cp_status (*begin)(cp_frame *frame);
    cp_status (*end)(cp_frame *frame); /* whatever has begun ends */

    /* ---- values, to and from the host */
    /* The host's view of one image's output of a layer (-1: the input) that the frame owns; what is written there is
     * taken up by push. */
    float *(*pull)(cp_frame *frame, int layer, int image);
    float (*pull_unit)(const cp_frame *frame, int layer, int image, size_t index);
    /* Before a forward run: takes up `input`, or where that is NULL what the caller wrote into the view of layer `after`;
     * views of what depends on it are out of date, and with `restricted` the layer's own. */
    void (*push)(cp_frame *frame, int after, const float *input, int images, bool restricted);
    /* The host's view of `count` floats of a buffer, until the next call or the end of the run. */
    const float *(*look)(cp_frame *frame, const float *from, size_t count);
    void (*download)(cp_frame *frame, const float *from, float *to, size_t count);
    /* Memory for a copy of `count` floats of the host's, or theirs where it need not be copied; filled by upload. */
    float *(*borrow)(cp_frame *frame, const float *host, size_t count, const char *what);
    void (*upload)(cp_frame *frame, const float *host, float *to, size_t count);
    void (*give_back)(cp_frame *frame, const float *host, float *memory);

    /* ---- branches: engine/branch.h */
    void (*branch_start)(cp_frame *branch, int entry, cp_origin from);
    cp_status (*branch_put)(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from);
    void (*responses)(const cp_frame *frame, int n, const cp_response *response, double *phi);

    /* ---- layers */
    /* Values of n images; activation: LINEAR in place of the layer's own where the caller wants none. */
    void (*forward)(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, ACTIVATION activation);
    void (*backward)(cp_frame *frame, int layer, const cp_backward *call);
    bool (*takes_fresh)(const cp_op *op); /* backward writes deltas that nobody has cleared */
    void (*tangent)(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const int *image);

    /* ---- neurons */
    /* Off the path a becomes `constant` (of the backend's memory where `frozen`, else the host's), or 0 where it is NULL. */
    void (*restrict_to)(cp_frame *frame, int position, const cp_path *path, const float *constant, float *a);
    void (*gate)(cp_frame *frame, size_t count, const float *gates, float *before, float *a); /* before = a, a *= gates */
    void (*through)(cp_frame *frame, const cp_through *call);
    void (*tangent_through)(cp_frame *frame, const cp_tangent_through *call);

    /* ---- deltas */
    void (*clear)(cp_frame *frame, cp_batch x, int n, size_t count);
    void (*add)(cp_frame *frame, const float *host, float *x, size_t count); /* x += host */
    void (*add_at)(cp_frame *frame, float *x, float value);
    /* nonzero[n]: how many of each entry's `count` deltas are not 0; CP_HAS_SPARSE alone. */
    void (*count_nonzero)(cp_frame *frame, const float *delta, int n, size_t count, size_t *nonzero);

    /* ---- rays: engine/ray.h */
    /* Entry e of the branch's layer = activation(factor[e] * u + v). Without CP_HAS_LINES: of the branch's own layer, u its
     * base's output, v = 0 and no activation. */
    void (*fill_line)(cp_frame *branch, int layer, int n, const double *factor, const float *u, const float *v,
                      ACTIVATION activation);
    /* sum (outputs) += weight * the deltas of n entries. */
    void (*add_deltas)(cp_frame *frame, const float *delta, size_t outputs, int n, double weight, double *sum);

    const cp_held_scores *scores; /* NULL: scores are arrays of the host */
};

/* backward.c: the run of one entry that leaves products; input_gradient (C,H,W), on the host, or NULL. */
cp_status cp_backward_products(cp_frame *frame, const cp_entry *entry, const cp_products *to, float *input_gradient);

extern const cp_backend cp_cpu_backend;

/* The backend for devices that this build has, or NULL. */
const cp_backend *cp_backend_of_devices(void);
/* The backend of new frames: by cp_device(). */
const cp_backend *cp_backend_chosen(void);

static inline bool cp_has(const cp_frame *frame, unsigned what) { return (frame->backend->has & what) == what; }

#endif
