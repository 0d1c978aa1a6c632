#include "model/class_tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/lines.h"
#include "model/names.h"

enum { MAX_BYTES = 16 << 20 };

void cp_class_tree_free(cp_class_tree *tree)
{
    if (!tree) return;
    cp_free(tree->parent), cp_free(tree->group), cp_free(tree->child), cp_free(tree->leaf);
    cp_free(tree->offset), cp_free(tree->size);
    cp_free(tree);
}

/* The number behind the name. */
static cp_status read_parent(const char *path, const cp_lines *lines, int i, int *parent)
{
    const char *line = lines->line[i], *number = line + strcspn(line, " \t");
    char *end;
    long value = strtol(number, &end, 10);
    if (end == number || *(end + strspn(end, " \t")))
        return cp_fail(CP_EINPUT, "tree: %s: line %d, '%.60s', is no name and parent", path, i + 1, line);
    if (value < -1 || value >= i)
        return cp_fail(CP_EINPUT, "tree: %s: line %d has the parent %ld, -1 to %d is allowed", path, i + 1, value, i - 1);
    *parent = (int)value;
    return CP_OK;
}

/* A class begins a group where its parent is another than that of the class before. */
static cp_status add_class(cp_class_tree *t, const char *path, int i, int parent)
{
    t->parent[i] = parent;
    t->child[i] = -1;
    t->leaf[i] = 1;
    if (!i || parent != t->parent[i - 1]) {
        if (parent < 0 ? i > 0 : t->child[parent] >= 0)
            return cp_fail(CP_EINPUT, "tree: %s: line %d has the parent %d as an earlier line that is not next to it: the children "
                           "of a class must stand together", path, i + 1, parent);
        if (parent >= 0) t->child[parent] = t->groups, t->leaf[parent] = 0;
        t->offset[t->groups++] = i;
    }
    t->group[i] = t->groups - 1;
    t->size[t->groups - 1]++;
    return CP_OK;
}

static cp_status fill(cp_class_tree *t, const char *path, const cp_lines *lines)
{
    size_t n = lines->n;
    if (n > MAX_BYTES) return cp_fail(CP_EINPUT, "tree: %s: %zu classes", path, n);
    t->n = (int)n;
    t->parent = cp_alloc(n, sizeof(int), "tree"), t->group = cp_alloc(n, sizeof(int), "tree");
    t->child = cp_alloc(n, sizeof(int), "tree"), t->leaf = cp_alloc(n, sizeof(int), "tree");
    t->offset = cp_alloc(n, sizeof(int), "tree"), t->size = cp_alloc(n, sizeof(int), "tree");
    if (!t->parent || !t->group || !t->child || !t->leaf || !t->offset || !t->size) return CP_ERESOURCE;
    cp_status status = n ? CP_OK : cp_fail(CP_EINPUT, "tree: %s has no line", path);
    for (int i = 0, parent = -1; i < t->n && !status; i++) {
        status = read_parent(path, lines, i, &parent);
        if (!status) status = add_class(t, path, i, parent);
    }
    return status;
}

cp_status cp_class_tree_read(const char *written, const char *beside, cp_class_tree **out)
{
    char *path = NULL;
    cp_lines lines = {0};
    cp_class_tree *tree = cp_alloc(1, sizeof *tree, "tree");
    *out = NULL;
    cp_status status = tree ? cp_path_beside(beside, written, &path) : CP_ERESOURCE;
    if (!status) status = cp_lines_read(path, "tree", MAX_BYTES, 0, &lines);
    if (!status) status = fill(tree, path, &lines);
    if (status) cp_class_tree_free(tree);
    else *out = tree;
    cp_lines_free(&lines);
    cp_free(path);
    return status;
}

void cp_class_tree_softmax(const cp_class_tree *t, const float *x, size_t stride, float temperature, float *p)
{
    for (int g = 0; g < t->groups; g++) {
        size_t first = (size_t)t->offset[g], end = first + (size_t)t->size[g];
        float most = -INFINITY, sum = 0;
        for (size_t c = first; c < end; c++) most = fmaxf(most, x[c * stride]);
        for (size_t c = first; c < end; c++) sum += p[c * stride] = expf(x[c * stride] / temperature - most / temperature);
        for (size_t c = first; c < end; c++) p[c * stride] /= sum;
    }
}

float cp_class_tree_probability(const cp_class_tree *t, const float *p, size_t stride, int class_id)
{
    float product = 1;
    for (int c = class_id; c >= 0; c = t->parent[c]) product *= p[(size_t)c * stride];
    return product;
}
