#include "model/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.h"
#include "io/file.h"
#include "io/image.h"
#include "io/lines.h"

static void replace_at(char *text, size_t size, char *at, const char *from, const char *to)
{
    size_t length = strlen(text), gone = strlen(from), come = strlen(to);
    if (!at || length + come - gone >= size)
        return;
    memmove(at + come, at + gone, strlen(at + gone) + 1);
    memcpy(at, to, come);
}

/* Like Darknet's find_replace: the first occurrence. */
static void replace(char *text, size_t size, const char *from, const char *to)
{
    replace_at(text, size, strstr(text, from), from, to);
}

static void set_ending(char *path, const char *ending)
{
    char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (dot && (!slash || dot > slash))
        *dot = 0;
    memcpy(path + strlen(path), ending, strlen(ending) + 1);
}

/* The file of a photo in a folder beside images/. */
static char *path_beside(const char *photo, const char *folder, const char *ending)
{
    size_t size = strlen(photo) + 16;
    char *path = cp_alloc(size, 1, "name of a photo's file");
    if (!path)
        return NULL;
    memcpy(path, photo, strlen(photo));
    replace(path, size, "JPEGImages", folder);
    replace(path, size, "images", folder);
    set_ending(path, ending);
    return path;
}

char *cp_labels_path(const char *photo) { return path_beside(photo, "labels", ".txt"); }

char *cp_labels_path_last(const char *photo)
{
    static const char FOLDER[] = "images";
    size_t size = strlen(photo) + 16;
    char *path = cp_alloc(size, 1, "name of a photo's file"), *last = NULL;
    if (!path)
        return NULL;
    memcpy(path, photo, strlen(photo));
    for (char *at = strstr(path, FOLDER); at; at = strstr(at + 1, FOLDER))
        last = at;
    replace_at(path, size, last, FOLDER, "labels");
    set_ending(path, ".txt");
    return path;
}

const char *cp_labels_hint(const char *photo, char hint[700])
{
    char *path = cp_labels_path(photo), *last = cp_labels_path_last(photo);
    *hint = 0;
    if (path && last && strcmp(path, last) && !access(last, F_OK))
        snprintf(hint, 700, "; %.200s is there, but Darknet replaces the first \"images\" of a path: give paths that hold it once",
                 last);
    cp_free(path);
    cp_free(last);
    return hint;
}

char *cp_masks_path(const char *photo) { return path_beside(photo, "masks", ".png"); }

static cp_status take_mask(const char *path, const cp_picture *picture, size_t object, uint8_t *mask, size_t *pixels)
{
    for (size_t i = 0; i < (size_t)picture->w * (size_t)picture->h; i++) {
        const unsigned char *rgb = picture->rgb + 3 * i;
        if (object && (rgb[0] != rgb[1] || rgb[0] != rgb[2]))
            return cp_fail(CP_EINPUT, "%s: x %zu, y %zu has the colour %d,%d,%d; a mask of several objects has grey levels, k that "
                                      "of line k of the labels", path, i % (size_t)picture->w, i / (size_t)picture->w, rgb[0], rgb[1],
                           rgb[2]);
        mask[i] = object ? rgb[0] == object : (rgb[0] || rgb[1] || rgb[2]);
        *pixels += mask[i];
    }
    return CP_OK;
}

cp_status cp_mask_read(const char *path, size_t w, size_t h, size_t object, uint8_t **mask, size_t *pixels)
{
    cp_picture picture = {0};
    *mask = NULL;
    *pixels = 0;
    cp_status status = cp_picture_read(path, &picture);
    if (!status && ((size_t)picture.w != w || (size_t)picture.h != h))
        status = cp_fail(CP_EINPUT, "%s: a mask of %dx%d, its photo has %zux%zu", path, picture.w, picture.h, w, h);
    if (!status && !(*mask = cp_alloc(w * h, 1, "mask")))
        status = CP_ERESOURCE;
    if (!status)
        status = take_mask(path, &picture, object, *mask, pixels);
    if (status) {
        cp_free(*mask);
        *mask = NULL;
    }
    cp_picture_free(&picture);
    return status;
}

/* Programs that round a box leave the photo by a little; pixels are far outside. A box may reach beyond the photo, its centre not. */
static cp_status check_shares(const char *path, size_t number, const double share[4])
{
    static const char *const names[4] = {"x", "y", "width", "height"};
    static const double most[4] = {1.01, 1.01, 20, 20}, BEYOND = .01;
    for (int i = 0; i < 4; i++)
        if (share[i] < -BEYOND || share[i] > most[i])
            return cp_fail(CP_EINPUT, "%s, line %zu: %s is %g, allowed is 0 to %.0f%s", path, number, names[i], share[i], most[i],
                           share[i] > 1 ? "; are these pixels?" : "");
    return CP_OK;
}

static cp_status read_line(const char *path, size_t number, const char *text, int classes, cp_label *label)
{
    double value[5];
    char *at = (char *)text;
    for (int i = 0; i < 5; i++) {
        char *end;
        value[i] = strtod(at, &end);
        if (end == at || !isfinite(value[i]))
            return cp_fail(CP_EINPUT, "%s: line %zu: \"%.40s\" is not a class and four numbers", path, number, text);
        at = end;
    }
    if (value[0] != floor(value[0]) || value[0] < 0 || value[0] >= classes)
        return cp_fail(CP_EINPUT, "%s: line %zu: class %g, allowed is 0 to %d", path, number, value[0], classes - 1);
    if (!(value[3] > 0 && value[4] > 0))
        return cp_fail(CP_EINPUT, "%s: line %zu: a box of %g x %g has no area", path, number, value[3], value[4]);
    cp_status status = check_shares(path, number, value + 1);
    *label = (cp_label){(int)value[0], value[1], value[2], value[3], value[4]};
    return status;
}

cp_status cp_labels_read(const char *path, int classes, cp_label **labels, size_t *n)
{
    unsigned char *data = NULL;
    size_t bytes = 0, lines = 1, number = 0, at = 0;
    struct stat info;
    cp_line line;
    *labels = NULL, *n = 0;
    bool empty = !stat(path, &info) && S_ISREG(info.st_mode) && info.st_size == 0;
    cp_status status = empty ? CP_OK : cp_file_read(path, "label file", CP_LABELS_MAX_BYTES, &data, &bytes);
    if (!status)
        status = cp_text_begin("label file", path, data, bytes, &at);
    for (size_t i = 0; i < bytes; i++)
        lines += data[i] == '\n';
    if (!status && !(*labels = cp_alloc(lines, sizeof **labels, "labels")))
        status = CP_ERESOURCE;
    while (!status && cp_line_next(data, bytes, &at, &line)) {
        number++;
        char *text = (char *)data + (line.text - (char *)data);
        text[line.length] = 0;
        if (line.length && !(status = read_line(path, number, text, classes, &(*labels)[*n])))
            ++*n;
    }
    cp_free(data);
    if (status) {
        cp_free(*labels);
        *labels = NULL, *n = 0;
    }
    return status;
}

cp_status cp_labels_hash(const char *photo, char sha256[CP_SHA256_TEXT], bool *there)
{
    char *path = cp_labels_path(photo);
    *sha256 = 0;
    if (!path)
        return CP_ERESOURCE;
    *there = !access(path, F_OK);
    cp_status status = *there ? cp_sha256_file(path, sha256) : CP_OK;
    cp_free(path);
    return status;
}

static double shared(double a, double a_size, double b, double b_size)
{
    return fmax(fmin(a + a_size / 2, b + b_size / 2) - fmax(a - a_size / 2, b - b_size / 2), 0);
}

double cp_box_overlap(double ax, double ay, double aw, double ah, double bx, double by, double bw, double bh)
{
    double both = shared(ax, aw, bx, bw) * shared(ay, ah, by, bh), either = aw * ah + bw * bh - both;
    return either > 0 ? both / either : 0;
}
