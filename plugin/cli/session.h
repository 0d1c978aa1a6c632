/* What every subcommand does alike: open data, names, cfg and weights; walk over the images of the command line or of
 * stdin; prepare each; name its results. One line on stderr per failure, and the exit code that goes with it. */
#ifndef CP_CLI_SESSION_H
#define CP_CLI_SESSION_H

#include "cli/options.h"
#include "io/hash.h"
#include "io/image.h"
#include "model/cfg.h"
#include "model/names.h"

#include <stdarg.h>

enum { CP_MOST_GPUS = 16 };

typedef struct {
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
    char **images;    /* of the command line */
    int n_images;
    char **prefixes;  /* in use already, so that two photos of one name do not overwrite each other */
    int n_prefixes;
    bool out_is_open; /* what -out says has been done: its folder is there */
    bool list;        /* more than one image may come */
    int gpus[CP_MOST_GPUS], n_gpus; /* -gpus; none: frames are where cp_device() says */
    FILE *out, *err;  /* what visits write goes there: stdout and stderr, or memory while others run beside */
    struct cp_list *running; /* cli/list.h; NULL: nothing runs beside */
} cp_session;

/* One image on its way. */
typedef struct {
    const char *path;
    size_t index;       /* place in the list, from 0 */
    char prefix[4096];  /* results are PREFIX.png and so on */
    cp_picture photo;
    cp_placement placement;
    char sha256[CP_SHA256_TEXT];       /* of the file */
    char input_sha256[CP_SHA256_TEXT]; /* of the network input made of it, (c,h,w) floats */
    double started, read, forward; /* seconds: clock at the start; reading and preparing; the forward run */
} cp_item;

/* The part of cp_session_open that only looks at the arguments: cfg_path, weights_path, images, and the .data file's
 * name or NULL. session->options and command are set. */
cp_status cp_session_arguments(cp_session *session, bool needs_weights, const char **data);

/* Splits the arguments [data|names] <cfg> <weights> [image ...] and opens what they name. With `needs_weights` the
 * weights are obligatory. Threads are set. The frame is made only when images will run. */
cp_status cp_session_open(const cp_command *command, const cp_options *options, bool needs_weights, bool runs_images,
                          cp_session *session);
void cp_session_close(cp_session *session);

/* Calls `visit` with each image read, prepared and run forward: those of the command line, or one path per line on
 * stdin. In a list a bad image gets its line on stderr and the walk goes on; the result is the first failure. */
typedef cp_status (*cp_visit)(cp_session *session, cp_item *item, void *user);
cp_status cp_session_each(cp_session *session, cp_visit visit, void *user);
/* The same, several images at once (cli/list.h): `visit` writes to session->out and changes nothing of `user`. */
cp_status cp_session_each_together(cp_session *session, cp_visit visit, void *user);

/* The two steps before a visit. input: (c,h,w). One thread reads all images of a session. */
cp_status cp_item_read(cp_session *session, const char *path, cp_item *item, float *input);
cp_status cp_item_forward(cp_session *session, cp_item *item); /* of session->input, into session->frame */

/* "dog", or "class 5" where there are no names. `text` has room for the latter. */
const char *cp_session_class(const cp_session *session, int class_id, char text[24]);

/* PREFIX of the results of item->path, by -out: a prefix (of "dog.png" too: "dog") or a folder, which is made where it
 * ends in a slash; a second photo with the stem of an earlier one gets "-2". */
cp_status cp_choose_prefix(cp_session *session, cp_item *item);

/* PREFIX, the tag ("" or "-box2-0.9"), and the ending, e.g. ".png". CP_EINPUT when that is an input of this run. */
cp_status cp_output_path(const cp_session *session, const cp_item *item, const char *tag, const char *ending,
                         char out[4096]);

/* Whether both are names of one file that exists; b may be NULL. */
bool cp_same_file(const char *a, const char *b);

/* How many backward entries at a time fit into -mem (at least 1, at most `wanted`); CP_ERESOURCE when not even one. */
cp_status cp_session_entries(const cp_session *session, int wanted, int *entries);

double cp_seconds(void);                 /* a clock that only goes forward */
size_t cp_peak_memory(void);             /* bytes resident at most, of this process */
/* A warning or note on stderr, one line, unless -quiet. */
void cp_note(const cp_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "1,234,567" */
const char *cp_grouped(size_t number, char text[32]);

#endif
