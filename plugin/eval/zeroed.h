/* Zeroed networks of many paths, as entries of one frame. */
#ifndef CP_EVAL_ZEROED_H
#define CP_EVAL_ZEROED_H

#include "critpath.h"
#include "eval/degrade.h"
#include "path/scores.h"

/* What one zeroed network answered. */
typedef struct {
    cp_measure measure;
    bool largest; /* cp_decoded.largest */
    double box;   /* the probability of the sought box; NAN where none is sought */
    bool keeps;   /* the sought box is there, or without one `largest` */
} cp_answer;

/* A detector's box that is sought in what zeroed networks answer. */
typedef struct {
    cp_eval_target target; /* detection NULL: none is */
    double thresh;         /* of its class's probability */
} cp_sought;

typedef struct cp_zeroed cp_zeroed;

/* What CP_FULL stands for with images of the frame: cp_offpath in critpath.h, at the tests of sufficiency. */
cp_restriction_kind cp_zeroed_kind(const cp_frame *frame, const cp_offpath *offpath);

/* The image in `frame`, which must outlive this. Up to `wanted` networks at a time, fewer by run->memory. offpath and
 * sought may be NULL: the kind that CP_FULL stands for, no box. */
cp_status cp_zeroed_create(const cp_frame *frame, int image, const cp_response *response, const cp_offpath *offpath,
                           const cp_sought *sought, const cp_run_options *run, int wanted, cp_zeroed **zeroed);
void cp_zeroed_free(cp_zeroed *zeroed);

/* The path of the next entry, to be written by the caller. */
cp_path *cp_zeroed_next(cp_zeroed *zeroed);
/* Queues that entry; *answer, which must stay in place, is filled at the latest by cp_zeroed_flush. */
cp_status cp_zeroed_add(cp_zeroed *zeroed, cp_answer *answer);
cp_status cp_zeroed_flush(cp_zeroed *zeroed);
int cp_zeroed_runs(const cp_zeroed *zeroed); /* entries run so far */

/* What an image of a frame answers. */
cp_status cp_answer_read(const cp_frame *frame, int image, const cp_response *response, cp_answer *answer);

/* The k best of the scores; k may be 0. */
cp_status cp_best_path(cp_path *path, cp_scores *scores, size_t k);
/* How many scores are above 0; CP_EINPUT when none is. */
cp_status cp_positive_scores(const cp_model *model, const cp_scores *scores, size_t *count);

/* cp_faithful_measure and cp_sparsest_find with scores that stay where they were computed. */
cp_status cp_faithful_measure_by(const cp_frame *frame, int image, const cp_response *response, cp_scores *scores,
                                 const cp_faithful_options *options, cp_faithful *out);
cp_status cp_sparsest_find_by(const cp_frame *frame, int image, const cp_response *response, cp_scores *scores,
                              const cp_sparsest_options *options, cp_sparsest *out);

#endif
