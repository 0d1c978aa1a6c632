/* What a command opens before it runs: data, names, cfg and weights, and a frame for its images. */
#ifndef CP_CLI_SESSION_H
#define CP_CLI_SESSION_H

#include "cli/notes.h"
#include "cli/options.h"
#include "cli/shard.h"
#include "io/json.h"
#include "model/cfg.h"
#include "model/names.h"

#include <sys/types.h>

enum { CP_MOST_GPUS = 16 };

typedef struct {
    dev_t device;
    ino_t inode;
} cp_file_identity;

struct cp_session {
    const cp_options *options;
    const cp_command *command;
    const char *cfg_path, *weights_path; /* weights_path NULL: none given */
    const char *names_path; /* of -names or of the arguments; NULL: the .data file's, if any */
    cp_model *model;
    cp_options resolved;   /* `options` points here: what was not given is as the network's lineage has it */
    const cp_cfg_net *net; /* the model's layers as the cfg says them */
    cp_names *names;  /* NULL: none given */
    size_t c, h, w;   /* of the network input */
    cp_frame *frame;  /* batch 1, all images go through it */
    float *input;     /* (c,h,w) of the current image */
    cp_shard shard;   /* of -shard: which lines of the list are visited */
    char **images;    /* of the command line */
    int n_images;
    json_t *prefixes; /* in use already, so that two photos of one name do not overwrite each other; NULL: none yet */
    cp_file_identity *inputs; /* what the run reads, sorted: no result may take its place */
    size_t n_inputs;
    bool out_is_open; /* what -out says has been done: its folder is there */
    bool list;        /* more than one image may come */
    int gpus[CP_MOST_GPUS], n_gpus; /* -gpus; none: frames are where cp_device() says */
    float *baseline;  /* of -baseline: what neurons hold there, N floats; NULL: zero */
    float *baseline_input; /* the same of the input, (c,h,w) */
    struct cp_class_paths *typical; /* of -typical; NULL: not given */
    FILE *out, *err;  /* what visits write goes there: stdout and stderr, or memory while others run beside */
    struct cp_list *running; /* cli/list.h; NULL: nothing runs beside */
    struct cp_progress *progress; /* the list's line, of visits that run one after the other; NULL: there is none */
};

/* The part of cp_session_open that only looks at the arguments: cfg_path, weights_path, images, and the .data file's
 * name or NULL. session->options and command are set. */
cp_status cp_session_arguments(cp_session *session, bool needs_weights, const char **data);

/* Splits the arguments [data|names] <cfg> <weights> [image ...] and opens what they name. With `needs_weights` the
 * weights are obligatory. Threads are set. The frame is made only when images will run. */
cp_status cp_session_open(const cp_command *command, const cp_options *options, bool needs_weights, bool runs_images,
                          cp_session *session);
void cp_session_close(cp_session *session);

/* "dog", or "class 5" where there are no names. `text` has room for the latter. */
const char *cp_session_class(const cp_session *session, int class_id, char text[24]);

/* How many backward entries at a time fit into -mem (at least 1, at most `wanted`); CP_ERESOURCE when not even one. */
cp_status cp_session_entries(const cp_session *session, int wanted, int *entries);

#endif
