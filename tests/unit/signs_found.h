/* For tests of detections: the detector of road signs on examples/signs-two.png, and what it finds there. */
#ifndef SIGNS_FOUND_H
#define SIGNS_FOUND_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "critpath.h"
#include "io/image.h"

enum { SIGNS_SIDE = 224 };

typedef struct {
    cp_picture photo;
    cp_model *model;
    cp_frame *frame; /* holds the photo's run */
    cp_placement placement;
    cp_detection *found; /* at least one, of .5 and more, the most probable first */
    int n;
    cp_response response; /* the class logit of the first */
} signs_found;

static inline void signs_open(signs_found *s)
{
    static float input[3 * SIGNS_SIDE * SIGNS_SIDE];
    const float *logits[2];
    const int *heads;
    assert_int_equal(cp_model_open("cfg/tiny-yolo-signs.cfg", "weights/tiny-yolo-signs.weights", &s->model), CP_OK);
    assert_int_equal(cp_picture_read("examples/signs-two.png", &s->photo), CP_OK);
    assert_int_equal(cp_model_prepare(s->model, s->photo.rgb, (size_t)s->photo.w, (size_t)s->photo.h, CP_FIT_LETTERBOX, input,
                                      &s->placement), CP_OK);
    assert_int_equal(cp_frame_create(s->model, 1, &s->frame), CP_OK);
    assert_int_equal(cp_frame_forward(s->frame, input, 1, NULL), CP_OK);
    assert_int_equal(cp_model_heads(s->model, &heads), 2);
    for (int i = 0; i < 2; i++)
        logits[i] = cp_frame_output(s->frame, cp_model_logit_layer(s->model, heads[i]), 0);
    assert_int_equal(cp_model_detect(s->model, logits, SIGNS_SIDE, SIGNS_SIDE, .5f, .45f, &s->found, &s->n), CP_OK);
    assert_true(s->n > 0);
    assert_int_equal(cp_response_detection(s->model, &s->found[0], CP_TARGET_CLASS, &s->response), CP_OK);
}

static inline void signs_close(signs_found *s)
{
    cp_free_detections(s->found);
    cp_picture_free(&s->photo);
    cp_frame_free(s->frame);
    cp_model_free(s->model);
}

#endif
