/* From a map and the photo to the picture that -picture asks for. */
#ifndef CP_CLI_DRAWING_H
#define CP_CLI_DRAWING_H

#include "cli/options.h"
#include "io/image.h"

#include <jansson.h>

/* Why a contribution map of a path that is not cut can be empty. */
#define CP_NO_HEAT "no neuron of the path, in the layers that the map is of (-planes), speaks for it"

enum { CP_DRAWN_TEXT = 512 };

/* What a picture shows beside the photo and the array: all that `critpath picture` needs to draw it again. */
typedef struct {
    char title[CP_DRAWN_TEXT]; /* "dog 57%", or the response */
    bool has_box;
    cp_photo_box box;          /* of the detection, in photo pixels */
    bool has_truth;            /* of `errors` alone, whose pictures `critpath picture` does not draw again */
    cp_photo_box truth;        /* the object that the detection is compared with */
    char truth_label[CP_DRAWN_TEXT];
    char path[CP_DRAWN_TEXT];  /* the caption that says what was computed; "" when that is not known */
    char zero[CP_DRAWN_TEXT];  /* why the map is zero everywhere; "" where it is not */
} cp_drawn;

/* An array over the network input, and where the photo lies in it. `values` of a heat: shape (1,h,w), else a gradient
 * (c,h,w). */
typedef struct {
    const float *values;
    bool heat;
    size_t c, h, w;
    cp_placement placement;
} cp_drawn_map;

/* What -picture asks for, a CP_PICTURE_ value; -no-picture counts as none. */
int cp_picture_wanted(const cp_options *options);
/* The Gaussian's sigma as a share of the photo's longer side: -blur, or what suits the map. */
double cp_blur_of(const cp_options *options, bool heat);

/* One plane of heat, shape (h,w): that of the map, or the sum over channels of a gradient's magnitudes. Free with
 * cp_free. */
cp_status cp_heat_of(const cp_drawn_map *map, float **heat);

/* Writes the picture that the options ask for. region: of cp_heat_of(map) with cp_blur_of, where it is at hand, or
 * NULL. */
cp_status cp_draw_map(const cp_options *options, const cp_picture *photo, const cp_drawn_map *map,
                      const cp_drawn *drawn, const cp_heat_region *region, const char *png);

/* `drawn` as JSON, for the files of `arrays` (n paths, of which the names are kept); NULL: out of memory. */
json_t *cp_drawn_json(const cp_drawn *drawn, const char *const *arrays, int n);
/* The reverse: looks through the whole of `json` for what belongs to the array of that path. False: nothing does. */
bool cp_drawn_find(const json_t *json, const char *array, cp_drawn *drawn);

#endif
