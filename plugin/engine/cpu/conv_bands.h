/* Convolution in bands of output rows, one thread each; our threads share the bands.
 *
 * What computes a band reads (channel block, row, column, channel in block); the engine's tensors are (channel, row, column).
 * A band is copied into a buffer that stays in cache, with the rows above and below it that the window reaches, and its
 * result copied back with bias and activation. Kernels are made for one band and one thread: a band's bytes depend on
 * nothing but its input. */
#ifndef CP_ENGINE_CONV_BANDS_H
#define CP_ENGINE_CONV_BANDS_H

#include "engine/cpu/conv.h"

enum { CP_BAND_LANES = 16, CP_BAND_ALIGN = 64 /* bytes */ };

typedef struct cp_band_kernel cp_band_kernel;

/* A product's own. */
typedef struct {
    const cp_band_kernel *kernel;
    cp_window window;           /* of the gather; one group, compact */
    int tile;                   /* outputs of a band come in multiples of tile x tile */
    int rows, bands, in_rows;   /* output rows of a band, and the input rows that they read */
    int x_block, y_block;       /* channels that lie together: 16, or all of them */
    int x_channels, y_channels; /* padded to whole blocks */
    size_t x_floats, y_floats, scratch_floats;
    float *weights;
    size_t weight_bytes;
} cp_bands;

/* One thread's. */
typedef struct {
    float *x, *y, *scratch;     /* aligned; x_floats, y_floats, scratch_floats */
    void *room[24];             /* the kernel's own, all 0 before `begin`: nothing is allocated in the middle of a run */
} cp_band;

struct cp_band_kernel {
    cp_status (*load)(cp_bands *b, const float *weights); /* (M,C,size,size), to b->weights, which is zeroed */
    void (*begin)(const cp_bands *b, cp_band *band);      /* fills band->room; NULL: needs none */
    bool (*run)(const cp_bands *b, cp_band *band);        /* y = the sums of x; false: no memory for it */
    void (*end)(cp_band *band);
};

/* b->window, tile, x_block and y_block are set; the rest but for weights and scratch becomes so, with about that many rows. */
void cp_bands_divide(cp_bands *b, int rows);
/* p->bytes, per_thread and cost, from b's and the multiply-adds that the kernel does in a nanosecond. */
void cp_bands_offer(const cp_bands *b, double rate, cp_product *p);

/* Of rows of the table whose `own` begins with cp_bands. */
cp_status cp_bands_load(cp_product *p);
void cp_bands_forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                      const cp_scratch *scratch);
void cp_bands_backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch);
void cp_bands_close(void *own);

#endif
