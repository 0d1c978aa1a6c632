#include "model/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/error.h"
#include "io/file.h"
#include "io/lines.h"

/* Like Darknet's find_replace: the first occurrence. */
static void replace(char *text, size_t size, const char *from, const char *to)
{
    char *at = strstr(text, from);
    size_t length = strlen(text), gone = strlen(from), come = strlen(to);
    if (!at || length + come - gone >= size)
        return;
    memmove(at + come, at + gone, strlen(at + gone) + 1);
    memcpy(at, to, come);
}

char *cp_labels_path(const char *photo)
{
    size_t size = strlen(photo) + 16;
    char *path = cp_alloc(size, 1, "label file's name");
    if (!path)
        return NULL;
    memcpy(path, photo, strlen(photo));
    replace(path, size, "JPEGImages", "labels");
    replace(path, size, "images", "labels");
    char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (dot && (!slash || dot > slash))
        *dot = 0;
    memcpy(path + strlen(path), ".txt", sizeof ".txt");
    return path;
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
    *label = (cp_label){(int)value[0], value[1], value[2], value[3], value[4]};
    return CP_OK;
}

cp_status cp_labels_read(const char *path, int classes, cp_label **labels, size_t *n)
{
    unsigned char *data = NULL;
    size_t bytes = 0, lines = 1, number = 0, at = 0;
    struct stat there;
    cp_line line;
    *labels = NULL, *n = 0;
    bool empty = !stat(path, &there) && S_ISREG(there.st_mode) && there.st_size == 0;
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

static double shared(double a, double a_size, double b, double b_size)
{
    return fmax(fmin(a + a_size / 2, b + b_size / 2) - fmax(a - a_size / 2, b - b_size / 2), 0);
}

double cp_box_overlap(double ax, double ay, double aw, double ah, double bx, double by, double bw, double bh)
{
    double both = shared(ax, aw, bx, bw) * shared(ay, ah, by, bh), either = aw * ah + bw * bh - both;
    return either > 0 ? both / either : 0;
}
