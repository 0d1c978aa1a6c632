/* What a path stands for: an image that its network answers strongly, by gradient ascent (docs/methods.md 8). */
#ifndef CP_DECODE_ASCENT_H
#define CP_DECODE_ASCENT_H

#include "decode/parameters.h"
#include "decode/view.h"

/* What is maximised: a response, or (response NULL) the mean of `count` units of a layer from index `first`, a channel. */
typedef struct {
    const cp_response *response;
    int layer;
    size_t first, count;
} cp_objective;

/* The usual settings of a way to parameterise images. */
typedef struct {
    cp_parameterisation parameterisation;
    cp_views views;
    int per_step;   /* views of each step; their mean is maximised */
    int iters;
    double rate;    /* of Adam; of MACO Nadam's */
    double noise;   /* deviation of what is added to every view */
} cp_decode_settings;

/* pixels: 512 steps of .05, the image as it is (the paper). fourier: 128 steps of .05, one view. maco: 256 steps of 1, 8 crops
 * with noise .05. photo: 100 steps of .05, two views. placed: the response stands at one place of the input, as a
 * detection does, so that views move a little only. */
cp_decode_settings cp_decode_defaults(cp_parameterisation parameterisation, bool placed);

typedef struct {
    cp_run_options run;         /* progress is called after every step */
    cp_decode_settings settings;
    const float *given;         /* of PHOTO and MACO, see cp_parameters_create */
    double keep;                /* PHOTO: weight of mean((image - photo)^2), which is taken off the objective divided by its
                                   size at the start; 0: none */
    uint64_t seed;
    const cp_path *path;        /* the network is zeroed off it; the response's own units stay. NULL: the whole network */
    cp_status (*shown)(void *user, int step, const float *image); /* the image so far; NULL, or called after every step */
    void *user;
} cp_decode_options;

typedef struct {
    double first, last;         /* the objective of the image at the start and at the end, as it is (no view) */
    double rising;              /* share of the steps, in tenths of all, whose mean objective is above that of the tenth before */
} cp_decode_report;

/* image (C,H,W) of the network's input, in [0,1]. transparency (H,W), or NULL: the sum over steps and channels of |d objective / d
 * image|, where the image was told what to be. The same bytes for one seed, at any number of threads. CP_EINPUT: iters or per_step
 * below 1, rate not above 0. report may be NULL. */
cp_status cp_decode_image(const cp_model *model, const cp_objective *objective, const cp_decode_options *options,
                          float *image, float *transparency, cp_decode_report *report);

#endif
