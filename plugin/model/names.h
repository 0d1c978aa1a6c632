/* Class names and .data files. */
#ifndef CP_MODEL_NAMES_H
#define CP_MODEL_NAMES_H

#include "critpath.h"

enum {
    CP_NAMES_MAX_BYTES = 16 << 20, /* of a names file */
    CP_NAMES_MAX_LINE = 1024       /* bytes of one name */
};

typedef struct {
    /* One per line; blanks, tabs and carriage returns at both ends are taken off, control characters and bytes that are no
     * UTF-8 are replaced by '?'. */
    char **names;
    size_t n;
} cp_names;

/* Reads a names file. More names than `classes` are fine (ImageNet's lists have 21842); fewer are CP_EINPUT, as are a
 * missing file, an empty one, one over a limit and UTF-16. classes = 0 skips the count. Free with cp_names_free. */
cp_status cp_names_read(const char *path, int classes, cp_names **names);
void cp_names_free(cp_names *names);
/* How many names there are beyond those of the classes; empty lines at the end do not count. */
size_t cp_names_beyond(const cp_names *names, int classes);
/* Index of a name among the first `classes`: equal, else equal when case is ignored. CP_NAME_MISSING: none is.
 * CP_NAME_AMBIGUOUS: several are (ImageNet has two cranes). */
enum { CP_NAME_MISSING = -1, CP_NAME_AMBIGUOUS = -2 };
int cp_names_find(const cp_names *names, int classes, const char *name);

/* The path that opens of one that the file `beside` names: as written (from the current folder), else from the folder of
 * `beside`, else from the folder above that, else by its last name in the first. Nowhere: as written. Free with cp_free. */
cp_status cp_path_beside(const char *beside, const char *written, char **path);

/* A .data file; strings are NULL where the key is absent. */
typedef struct {
    int classes; /* 0 when absent */
    int top;     /* 0 when absent */
    /* `names`, else `labels`, as Darknet's predict does. The path that opens: as written (from the current folder),
     * else from the folder of the .data file, else from the folder above that. */
    char *names;
    char *labels;
    char *train, *valid; /* resolved the same way where such a file exists, else as written */
    char *eval;
} cp_data;

/* Blanks inside a value belong to it, unless only the path without them is there. A key that no Darknet reads, and a second
 * one of the same name, are said (cp_set_notice). CP_EINPUT: the file is not there or no list of key=value lines; classes
 * or top below 1. The files it names are not opened. Free with cp_data_free. */
cp_status cp_data_read(const char *path, cp_data **data);
void cp_data_free(cp_data *data);

#endif
