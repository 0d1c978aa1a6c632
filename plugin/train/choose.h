/* Which channels stay: by what paths, scores or gates say of them, or at random. */
#ifndef CP_TRAIN_CHOOSE_H
#define CP_TRAIN_CHOOSE_H

#include "train/channel_groups.h"

/* Sums over what was added. A channel that a file or a path says nothing of has no part in it. */
typedef struct {
    const cp_channels *channels; /* must outlive this */
    double *score;   /* by channel: path: share of its neurons on the path; score or gate: its mean */
    bool *scored;    /* by layer */
    double *mean;    /* by channel: its mean output, summed over the images added */
    size_t images;
    size_t n;        /* files and paths added */
} cp_channel_scores;

/* Nothing added yet. CP_ERESOURCE: out of memory. */
cp_status cp_channel_scores_create(const cp_channels *channels, cp_channel_scores *scores);
void cp_channel_scores_free(cp_channel_scores *scores);

/* Adds to each channel the share of its neurons that are on the path. */
cp_status cp_channel_scores_add_path(cp_channel_scores *scores, const cp_path *path);
/* The outputs of an unrestricted forward run, for cp_prune_weights. */
void cp_channel_scores_add_means(cp_channel_scores *scores, const cp_frame *frame, int image);
/* An .npz of arrays called as layers, bool or float32 (>= 0), (C,H,W) or (C,1,1): path files, gate files, score files.
 * A file of floats counts as much as any other: its values are divided by their mean. CP_EINPUT: made with another cfg
 * or other weights (weights_sha256, NULL: not compared), an array that fits no layer, nothing but zeros. */
cp_status cp_channel_scores_add_file(cp_channel_scores *scores, const cp_cfg *cfg, const char *weights_sha256,
                                     const char *file);

typedef struct {
    double keep;    /* share of the groups that can be cut, at most; NAN: every one with a score */
    double floor;   /* share of every layer's filters that stays at least, and one of them; in [0,1] */
    bool random;    /* as many of each layer, but drawn */
    uint64_t seed;  /* of the draw */
} cp_choice;

/* kept: one per group. The score of a group is the largest of its channels', so that it goes only when none of its
 * layers needs it. Groups that no layer scores are kept, and get a reason in `channels`. The best of every layer up to
 * `floor`, then the best of the network up to `keep`, of equals the earlier; there one whose score is 0 never.
 * CP_EINPUT: nothing was added, or keep is not in (0,1]. */
cp_status cp_channels_choose(cp_channels *channels, const cp_channel_scores *scores, const cp_choice *choice,
                             bool *kept);

#endif
