/* `insert` and `strip`: [pathmask] sections into a cfg and out of it. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/walk.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"
#include "train/insert.h"

#include <string.h>
#include <sys/stat.h>

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* -out, which names the cfg to write; none of the arguments. */
static cp_status check_out(const cp_options *o, const char *command)
{
    if (!o->out)
        return cp_fail(CP_EINPUT, "%s: -out is missing, the cfg to write", command);
    if (strlen(o->out) > 4000)
        return cp_fail(CP_EINPUT, "-out: the name has %zu bytes, allowed are 4000", strlen(o->out));
    for (int i = 0; i < o->n_arguments; i++)
        if (same_file(o->out, o->arguments[i]))
            return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run", o->out);
    return CP_OK;
}

/* OUT without .cfg, and the ending; -out is short enough. */
static const char *beside_out(const cp_options *o, const char *ending, char file[4096])
{
    size_t length = strlen(o->out), cfg = length > 4 && !strcmp(o->out + length - 4, ".cfg") ? 4 : 0;
    snprintf(file, 4096, "%.*s%s", (int)(length - cfg), o->out, ending);
    return file;
}

static void print_file(const char *what, const char *name)
{
    fputs(what, stdout);
    cp_print_name(stdout, name);
    putchar('\n');
}

static cp_status report(const cp_options *o, const char *command, size_t masks, const char *off, const char *save)
{
    if (!o->json) {
        printf("%s: %zu [pathmask] sections\n", command, masks);
        print_file("cfg: ", o->out);
        if (off)
            print_file("values off the path: ", off);
        if (save)
            print_file("trained gates will go to: ", save);
        return CP_OK;
    }
    json_t *object = cp_json_pack("{s:o,s:o,s:I,s:o,s:o,s:o}", "critpath", cp_json_text(CP_VERSION),
                                  "command", cp_json_text(command), "masks", (json_int_t)masks,
                                  "cfg", cp_json_text(o->out), "off", off ? cp_json_text(off) : json_null(),
                                  "save", save ? cp_json_text(save) : json_null());
    int bad = !object;
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, stdout);
    json_decref(object);
    return status;
}

typedef struct {
    const char *path; /* whose arrays say which layers */
    const char *off;  /* to write */
} constants_request;

/* The values of the original run, which the frozen network holds off the path. */
static cp_status write_constants(cp_session *s, cp_item *item, void *user)
{
    const constants_request *request = user;
    cp_npz *npz = NULL;
    cp_npz_writer *writer = NULL;
    (void)item;
    cp_status status = cp_npz_open(request->path, &npz);
    if (!status)
        status = cp_npz_create(request->off, false, &writer);
    for (size_t i = 0; !status && i < cp_npz_count(npz); i++) {
        const char *name = cp_npz_name(npz, i);
        int layer = cp_mask_layer(name);
        if (layer < 0 || layer >= cp_model_layer_count(s->model)) {
            status = cp_fail(CP_EINPUT, "%s: array '%.80s' is no layer of the cfg", request->path, name);
            break;
        }
        const cp_layer_info *info = cp_model_layer(s->model, layer);
        cp_array_type type = cp_array_chw(CP_FLOAT32, info->c, info->h, info->w);
        status = info->head ? cp_fail(CP_EINPUT, "%s: '%.80s' is a head", request->path, name)
                            : cp_npz_add(writer, name, &type, cp_frame_output(s->frame, layer, 0));
    }
    if (!status)
        status = cp_npz_commit(&writer);
    cp_npz_discard(&writer);
    cp_npz_close(npz);
    return status;
}

/* arguments: <cfg> <path.npz> <weights> <image>; the session takes them without the path. */
static cp_status make_constants(const cp_command *command, const cp_options *options, const char *off)
{
    char *arguments[] = {options->arguments[0], options->arguments[2], options->arguments[3]};
    cp_options o = *options;
    cp_session session;
    constants_request request = {options->arguments[1], off};
    o.arguments = arguments;
    o.n_arguments = 3;
    cp_status status = cp_session_open(command, &o, true, true, &session);
    if (!status)
        status = cp_session_each(&session, write_constants, &request);
    cp_session_close(&session);
    return status;
}

static cp_status check_insert(const cp_options *o)
{
    bool frozen = o->mode == CP_MODE_FROZEN;
    if (o->n_arguments != 2 && o->n_arguments != 4)
        return cp_fail(CP_EINPUT, "insert: %d arguments, needed are <cfg> <path.npz> [<weights> <image>]",
                       o->n_arguments);
    if (frozen && !o->off && o->n_arguments != 4)
        return cp_fail(CP_EINPUT, "insert: -mode frozen needs the values off the path: <weights> <image> to compute "
                       "them, or -off FILE");
    if (!frozen && (o->off || o->n_arguments == 4))
        return cp_fail(CP_EINPUT, "insert: -mode %s takes no %s, only frozen does", cp_choice_name("mode", o->mode),
                       o->off ? "-off" : "image");
    if (o->off && o->n_arguments == 4)
        return cp_fail(CP_EINPUT, "insert: values off the path come from -off or from the image, not both");
    return check_out(o, "insert");
}

cp_status cp_run_insert(const cp_command *command, const cp_options *o)
{
    cp_cfg *cfg = NULL;
    size_t masks;
    char made[4096];
    const char *off = o->off, *save = NULL;
    cp_status status = check_insert(o);
    if (!status && o->n_arguments == 4)
        off = beside_out(o, ".off.npz", made);
    if (!status && o->mode == CP_MODE_GATE)
        save = beside_out(o, ".gates.npz", made);
    if (!status)
        status = cp_cfg_read(o->arguments[0], &cfg);
    if (!status)
        status = cp_masks_insert(cfg, o->arguments[1], cp_choice_name("mode", o->mode), off, save, &masks);
    cp_files_begin();
    if (!status && o->n_arguments == 4)
        status = make_constants(command, o, off);
    if (!status)
        status = cp_cfg_write(cfg, o->out);
    status = cp_files_end(status);
    if (!status)
        status = report(o, "insert", masks, off, save);
    cp_cfg_free(cfg);
    return status;
}

cp_status cp_run_strip(const cp_command *command, const cp_options *o)
{
    (void)command;
    cp_cfg *cfg = NULL;
    size_t masks;
    cp_status status = CP_OK;
    if (o->n_arguments != 1)
        status = cp_fail(CP_EINPUT, "strip: %d arguments, needed is <cfg>", o->n_arguments);
    if (!status)
        status = check_out(o, "strip");
    if (!status)
        status = cp_cfg_read(o->arguments[0], &cfg);
    if (!status)
        status = cp_masks_strip(cfg, &masks);
    if (!status)
        status = cp_cfg_write(cfg, o->out);
    if (!status)
        status = report(o, "strip", masks, NULL, NULL);
    cp_cfg_free(cfg);
    return status;
}
