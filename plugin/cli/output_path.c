#include "cli/output_path.h"

#include "io/error.h"
#include "io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

static bool is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* The last folder of "a/b/c", without its slash: "a/b"; "" of "c", "/" of "/c". */
static void folder_of(const char *path, char folder[MAX_PATH])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, MAX_PATH, "%.*s", !slash ? 0 : slash == path ? 1 : (int)(slash - path), path);
}

static bool ends_in_slash(const char *path) { return *path && path[strlen(path) - 1] == '/'; }

/* That results can be written is found before any work is done. A folder named by "-out folder/" is made with the first
 * of them, where one of those above it is there and allows it. */
cp_status cp_check_output_folder(const cp_session *s)
{
    const char *out = s->options->out;
    char folder[MAX_PATH], above[MAX_PATH];
    if (!out)
        return CP_OK;
    if (strlen(out) >= MAX_PATH - 300)
        return cp_fail(CP_EINPUT, "-out: the prefix has %zu bytes, allowed are %d", strlen(out), MAX_PATH - 300);
    folder_of(out, folder);
    while (ends_in_slash(out) && *folder && access(folder, F_OK)) {
        folder_of(folder, above);
        memcpy(folder, above, sizeof folder);
    }
    if (!*folder && ends_in_slash(out))
        strcpy(folder, ".");
    if (!*folder)
        return CP_OK;
    if (!is_folder(folder))
        return cp_fail(CP_EINPUT, "-out: \"%.300s\" %s", folder,
                       access(folder, F_OK) ? "does not exist; only \"-out folder/\" makes a folder" : "is no folder");
    if (access(folder, W_OK | X_OK))
        return cp_fail(CP_EINPUT, "-out: folder \"%.300s\" cannot be written: %s", folder, strerror(errno));
    return CP_OK;
}

/* "a/b/" and the folders above it, those that are missing. */
static cp_status make_folders(const char *out)
{
    char folder[MAX_PATH];
    for (const char *slash = out + strspn(out, "/"); (slash = strchr(slash, '/')); slash++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - out), out);
        if (mkdir(folder, 0777) && errno != EEXIST)
            return cp_fail(CP_EINPUT, "-out: folder \"%.300s\" cannot be made: %s", folder, strerror(errno));
    }
    return CP_OK;
}

/* Length of a file's stem: without ".score.npz" or ".path.npz", else without the last ending. */
static int stem_length(const char *name, bool *is_npz)
{
    static const char *const endings[] = {".score.npz", ".path.npz", ".npz"};
    const char *dot = strrchr(name, '.');
    *is_npz = true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (cp_ends_with(name, endings[i]) && strlen(name) > strlen(endings[i]))
            return (int)(strlen(name) - strlen(endings[i]));
    *is_npz = false;
    return dot && dot > name ? (int)(dot - name) : (int)strlen(name);
}

/* Remembers a prefix of a list, and changes it until it is new. */
static cp_status claim_prefix(cp_session *s, cp_item *item, const char *base)
{
    for (int copy = 2, i = 0; i < s->n_prefixes; i++)
        if (!strcmp(s->prefixes[i], item->prefix)) {
            snprintf(item->prefix, sizeof item->prefix, "%.4000s-%d", base, copy++);
            i = -1;
        }
    char **grown = realloc(s->prefixes, (size_t)(s->n_prefixes + 1) * sizeof *grown);
    if (grown)
        s->prefixes = grown;
    if (!grown || !(s->prefixes[s->n_prefixes] = strdup(item->prefix)))
        return cp_fail(CP_ERESOURCE, "list of images: out of memory");
    s->n_prefixes++;
    return CP_OK;
}

/* Of "-out dog.png" the prefix is "dog": its length. */
static int prefix_length(const char *out)
{
    static const char *const endings[] = {".path.npz", ".score.npz", ".gates.npz", ".heat.npy", ".npz", ".npy", ".json",
                                          ".jsonl", ".csv", ".png", ".jpg", ".jpeg"};
    size_t n = strlen(out);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t m = strlen(endings[i]);
        if (n > m && cp_ends_with(out, endings[i]) && out[n - m - 1] != '/')
            return (int)(n - m);
    }
    return (int)n;
}

/* Reads -out once: a folder is made, an ending is taken off and said. */
static cp_status open_output(cp_session *s)
{
    const char *out = s->options->out;
    if (!out || s->out_is_open)
        return CP_OK;
    s->out_is_open = true;
    if (ends_in_slash(out))
        return make_folders(out);
    int length = prefix_length(out);
    if (out[length] && !is_folder(out))
        cp_note(s, "-out: \"%s\" is taken for the prefix \"%.*s\", to which every result adds its own ending", out,
                length, out);
    return CP_OK;
}

cp_status cp_choose_prefix(cp_session *s, cp_item *item)
{
    const char *out = s->options->out, *slash = strrchr(item->path, '/'), *name = slash ? slash + 1 : item->path;
    bool is_npz;
    int length = stem_length(name, &is_npz);
    char base[MAX_PATH];
    cp_status status = open_output(s);
    if (status)
        return status;
    if (length > 200)
        return cp_fail(CP_EINPUT, "%.100s...: the file's name has %d bytes, allowed are 200", item->path, length);
    if (!out) /* "dog.critpath", so that dog.png stays what it is */
        snprintf(base, sizeof base, "%.*s%s", length, name, is_npz ? "" : ".critpath");
    else if (ends_in_slash(out) || is_folder(out))
        snprintf(base, sizeof base, "%s%s%.*s", out, ends_in_slash(out) ? "" : "/", length, name);
    else if (s->list)
        snprintf(base, sizeof base, "%.*s-%.*s", prefix_length(out), out, length, name);
    else
        snprintf(base, sizeof base, "%.*s", prefix_length(out), out);
    snprintf(item->prefix, sizeof item->prefix, "%s", base);
    return s->list ? claim_prefix(s, item, base) : CP_OK;
}

bool cp_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return b && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

cp_status cp_output_path(const cp_session *s, const cp_item *item, const char *tag, const char *ending, char out[4096])
{
    if (snprintf(out, MAX_PATH, "%s%s%s", item->prefix, tag, ending) >= MAX_PATH)
        return cp_fail(CP_EINPUT, "-out: the path of a result is longer than %d bytes", MAX_PATH - 1);
    const char *inputs[] = {item->path, s->cfg_path, s->weights_path, s->options->score, s->options->path};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (cp_same_file(out, inputs[i]))
            return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run; choose another prefix",
                           out);
    return CP_OK;
}
