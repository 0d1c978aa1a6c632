/* Class paths: for each class, on how many images' paths each neuron and each channel is. Whole numbers, so that the counts of a
 * list are the sums of those of its parts, however it is split. Qiu et al. 2019 call what any image uses the class path; counts let
 * that be decided later. docs/methods.md 2. */
#ifndef CP_PATH_CLASS_PATHS_H
#define CP_PATH_CLASS_PATHS_H

#include <jansson.h>

#include "critpath.h"
#include "path/effective.h"

typedef struct cp_class_paths cp_class_paths;

/* Of one class. */
typedef struct {
    int id;
    int32_t images;
    int32_t *neurons;  /* (N): images on whose path the neuron is */
    int32_t *channels; /* (cp_model_channel_count): on whose path any neuron of the channel is */
    int32_t **edges;   /* by layer, (c_out, c_in): whose effective path joins the two channels; NULL where there are none */
} cp_class_count;

/* Empty. settings: how paths are found, taken over; counts of other settings are not added. edges: count edges too. */
cp_status cp_class_paths_create(const cp_model *model, json_t *settings, bool edges, cp_class_paths **paths);
void cp_class_paths_free(cp_class_paths *paths);

/* Adds the path of one image. image: 64 hex digits that stand for it, and what tells its answers apart, if several are counted;
 * none may come twice for a class. name: what people call it. edges: of the effective path, or NULL unless they are counted. */
cp_status cp_class_paths_add(cp_class_paths *paths, int class_id, const char *image, const char *name, const cp_path *path,
                             const cp_effective_edges *edges);
/* to += from. CP_EINPUT: other settings; an image that both have counted; `to` is then as it was. */
cp_status cp_class_paths_merge(cp_class_paths *to, const cp_class_paths *from);

/* The name of an image that is counted for the class, "" where it is not known; NULL: it is not counted. */
const char *cp_class_paths_name(const cp_class_paths *paths, int class_id, const char *image);
/* An image that both have counted for a class, or NULL. */
const char *cp_class_paths_common(const cp_class_paths *a, const cp_class_paths *b, int *class_id);
/* Whether several answers of an image may be counted: counts are then of answers, not of images. */
bool cp_class_paths_by_answer(const cp_class_paths *paths);

/* Classes in ascending order; at(k) belongs to `paths`. */
int cp_class_paths_count(const cp_class_paths *paths);
const cp_class_count *cp_class_paths_at(const cp_class_paths *paths, int k);
/* NULL: no image of that class. */
const cp_class_count *cp_class_paths_find(const cp_class_paths *paths, int class_id);
const json_t *cp_class_paths_settings(const cp_class_paths *paths);
int32_t cp_class_paths_images(const cp_class_paths *paths);

/* The neurons that are on more than 0 and at least share * images of the class's paths. */
void cp_class_usual(const cp_class_count *count, double share, cp_path *path);

/* An .npz that NumPy reads: "classes" and "images" (K), int32; per neuron layer its name (K,C,H,W) and NAME.channels (K,C), int32;
 * per layer with edges layer_012_TYPE.edges (K,c_out,c_in); meta.json with settings, hashes, the images and their names. The same
 * counts give the same bytes. Errors as path/path_file.h. */
cp_status cp_class_paths_write(const cp_class_paths *paths, const char *file);
cp_status cp_class_paths_read(const char *file, const cp_model *model, cp_class_paths **paths);

#endif
