/* Top-1 accuracy over a list of pictures, as `classifier valid` measures it. */
#ifndef CP_CLI_ACCURACY_H
#define CP_CLI_ACCURACY_H

#include "io/lines.h"
#include "model/names.h"

/* Pictures and their classes. */
typedef struct {
    cp_names *labels; /* a picture is of the first whose text is in its path */
    cp_lines lines;   /* behind `pictures` */
    char **pictures;
    int *truth;
    bool *present;    /* by class: some picture is of it */
    size_t n;
} cp_valid_list;

/* `list`: one path per line; `data`: the .data file, whose labels are taken. CP_EINPUT: not there, empty, a picture
 * that is in none of the classes. Free with cp_valid_list_free. */
cp_status cp_valid_list_read(const char *list, const char *data, int classes, cp_valid_list *valid);
void cp_valid_list_free(cp_valid_list *valid);

/* Pictures whose largest logit is that of their class: of all classes, and of the classes that are in the list. */
typedef struct {
    size_t all, present;
} cp_right;

/* The pictures are cut to the square in their middle and scaled, as Darknet
 * does; `what` names the run in the progress line. CP_EINPUT: no classifier, a picture that cannot be read. */
cp_status cp_valid_list_measure(const cp_valid_list *valid, const cp_model *model, const char *what, bool quiet,
                                cp_right *right);

/* One picture so: input (C,H,W) of the model. */
cp_status cp_valid_picture_read(const cp_model *model, const char *path, float *input);

#endif
