#include "cli/output_path.h"

#include "io/error.h"
#include "io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

bool cp_is_folder(const char *path)
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
    if (!cp_is_folder(folder))
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

/* Remembers a prefix of a list, and changes it until it is new. s->prefixes: of each prefix the number that the next
 * photo of that stem tries, so that thousands of one name take as many steps. */
static cp_status claim_prefix(cp_session *s, cp_item *item, const char *base)
{
    if (!s->prefixes && !(s->prefixes = json_object()))
        return cp_fail(CP_ERESOURCE, "list of images: out of memory");
    const json_t *known = json_object_get(s->prefixes, base);
    json_int_t copy = known ? json_integer_value(known) : 2;
    for (bool taken = known; taken; taken = json_object_get(s->prefixes, item->prefix))
        snprintf(item->prefix, sizeof item->prefix, "%.4000s-%lld", base, (long long)copy++);
    /* Prefixes are bytes, not text: nobody checks that they are UTF-8. */
    if (json_object_set_new_nocheck(s->prefixes, base, json_integer(copy)) ||
        (strcmp(base, item->prefix) && json_object_set_new_nocheck(s->prefixes, item->prefix, json_integer(2))))
        return cp_fail(CP_ERESOURCE, "list of images: out of memory");
    return CP_OK;
}

/* Of "-out dog.png" the prefix is "dog": its length. */
static int prefix_length(const char *out)
{
    static const char *const endings[] = {".path.npz", ".score.npz", ".gates.npz", ".edges.npz", ".classpath.npz", ".graph.png", ".graph.svg", ".graph.dot", ".graph.json", ".heat.npy",
                                          ".npz", ".npy", ".json",
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
    if (out[length] && !cp_is_folder(out))
        cp_note(s, "-out: \"%s\" is taken for the prefix \"%.*s\", to which every result adds its own ending", out,
                length, out);
    return CP_OK;
}

cp_status cp_choose_prefix(cp_session *s, cp_item *item)
{
    const char *out = s->options->out, *name = cp_file_name(item->path);
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
    else if (ends_in_slash(out) || cp_is_folder(out))
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

/* ---------------------------------------------------------------- inputs */

static int compare_identities(const void *a, const void *b)
{
    const cp_file_identity *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

cp_status cp_remember_inputs(cp_session *s, const char *const *paths, size_t n)
{
    cp_file_identity *grown = realloc(s->inputs, (s->n_inputs + n + 1) * sizeof *grown);
    struct stat info;
    if (!grown)
        return cp_fail(CP_ERESOURCE, "inputs of the run: out of memory");
    s->inputs = grown;
    for (size_t i = 0; i < n; i++)
        if (paths[i] && !stat(paths[i], &info))
            s->inputs[s->n_inputs++] = (cp_file_identity){info.st_dev, info.st_ino};
    qsort(s->inputs, s->n_inputs, sizeof *s->inputs, compare_identities);
    return CP_OK;
}

static bool is_input(const cp_session *s, const char *path)
{
    struct stat info;
    if (stat(path, &info))
        return false;
    const cp_file_identity key = {info.st_dev, info.st_ino};
    return s->n_inputs && bsearch(&key, s->inputs, s->n_inputs, sizeof key, compare_identities);
}

cp_status cp_output_path(const cp_session *s, const cp_item *item, const char *tag, const char *ending, char out[4096])
{
    if (snprintf(out, MAX_PATH, "%s%s%s", item->prefix, tag, ending) >= MAX_PATH)
        return cp_fail(CP_EINPUT, "-out: the path of a result is longer than %d bytes", MAX_PATH - 1);
    if (cp_same_file(out, item->path) || is_input(s, out))
        return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run; choose another prefix", out);
    return CP_OK;
}
