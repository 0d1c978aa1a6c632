/* `picture`: the picture of a map again, from the array, the photo and what `explain` wrote beside them. */
#include "cli/commands.h"
#include "cli/drawing.h"
#include "cli/output_path.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/progress.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

/* One picture being made. */
struct job {
    const cp_options *options;
    const char *array, *photo_path;
    char json_path[MAX_PATH], out[MAX_PATH];
    cp_picture photo;
    void *values;
    cp_drawn_map map;
    cp_drawn drawn;
};

static void note(const cp_options *o, const char *text)
{
    if (!o->quiet)
        fprintf(cp_stderr(), "critpath: %s\n", text);
}

/* What speaks for the answer less what speaks against it. */
static void take_difference(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] -= values[n + i];
}

/* (H,W) and the first of (2,H,W) are heat, signed the difference of both; any other number of channels is a gradient. */
static cp_status read_array(struct job *j)
{
    cp_array_type type;
    char text[CP_ARRAY_TYPE_TEXT];
    cp_status status = cp_npy_read(j->array, NULL, &type, &j->values);
    if (status)
        return status;
    size_t rank = (size_t)type.rank, channels = rank == 3 ? type.shape[0] : 1;
    size_t h = rank >= 2 ? type.shape[rank - 2] : 0, w = rank >= 2 ? type.shape[rank - 1] : 0;
    if (type.dtype != CP_FLOAT32 || rank > 3 || !channels || !h || !w || h > CP_PICTURE_MAX_SIDE ||
        w > CP_PICTURE_MAX_SIDE)
        return cp_fail(CP_EINPUT,
                       "%s: %s is no map: float32 of shape (H,W), (2,H,W) or (C,H,W) is, with sides of 1 to %d",
                       j->array, cp_array_type_text(&type, text), CP_PICTURE_MAX_SIDE);
    if (rank == 3 && channels == 2 && cp_picture_wanted(j->options) == CP_PICTURE_SIGNED)
        take_difference(j->values, h * w);
    j->map.values = j->values;
    j->map.heat = rank == 2 || channels == 2;
    j->map.c = j->map.heat ? 1 : channels;
    j->map.h = h;
    j->map.w = w;
    return CP_OK;
}

/* PREFIX.json, where the array's name is PREFIX.npy or PREFIX.heat.npy, PREFIX followed by tags such as -box2-0.9. */
static bool find_json(struct job *j)
{
    const char *name = cp_file_name(j->array);
    size_t length = strlen(j->array) - (cp_ends_with(j->array, ".heat.npy") ? 9 : cp_ends_with(j->array, ".npy") ? 4 : 0);
    while (length > (size_t)(name - j->array)) {
        snprintf(j->json_path, MAX_PATH, "%.*s.json", (int)length, j->array);
        if (!access(j->json_path, R_OK))
            return true;
        while (length > (size_t)(name - j->array) && j->array[--length] != '-')
            ;
    }
    return false;
}

static bool read_size(const json_t *object, const char *key, size_t *value)
{
    json_t *number = json_object_get(object, key);
    *value = json_is_integer(number) && json_integer_value(number) >= 0 ? (size_t)json_integer_value(number) : 0;
    return *value > 0;
}

/* The photo's rectangle as the file has it; false when it has none for an array of this size. */
static bool read_placement(const json_t *json, struct job *j)
{
    const json_t *input = json_object_get(json, "input"), *photo = json_object_get(json, "photo");
    const json_t *rectangle = json_object_get(input, "photo_xywh");
    cp_placement *at = &j->map.placement;
    size_t w, h;
    json_int_t value[4];
    if (!read_size(photo, "width", &at->photo_w) || !read_size(photo, "height", &at->photo_h) ||
        !read_size(input, "width", &w) || !read_size(input, "height", &h) || w != j->map.w || h != j->map.h)
        return false;
    for (size_t i = 0; i < 4; i++) {
        value[i] = json_integer_value(json_array_get(rectangle, i));
        if (value[i] < (i < 2 ? -INT_MAX : 1) || value[i] > INT_MAX)
            return false;
    }
    at->x = value[0], at->y = value[1];
    at->w = (size_t)value[2], at->h = (size_t)value[3];
    cp_placement inside = cp_placement_inside(at, w, h);
    size_t pixels;
    return inside.w && inside.h && cp_mul(at->w, at->h, &pixels) && pixels <= INT_MAX;
}

/* The box was found on a photo of another size. */
static void scale_box(struct job *j)
{
    double sx = (double)j->photo.w / (double)j->map.placement.photo_w;
    double sy = (double)j->photo.h / (double)j->map.placement.photo_h;
    cp_photo_box *b = &j->drawn.box;
    *b = (cp_photo_box){b->x * sx, b->y * sy, b->w * sx, b->h * sy};
}

/* Title, box, caption and placement, from the file of `explain` where there is one. */
static cp_status read_drawn(struct job *j)
{
    json_t *json = NULL;
    cp_placement *at = &j->map.placement;
    bool placed = false;
    if (find_json(j)) {
        cp_status status = cp_json_read_file(j->json_path, &json);
        if (status)
            return status;
        if (!cp_drawn_find(json, j->array, &j->drawn))
            note(j->options, "the .json file beside the array does not speak of it: no title, box or caption");
        else if ((placed = read_placement(json, j))) {
            if ((int)at->photo_w != j->photo.w || (int)at->photo_h != j->photo.h)
                note(j->options, "the map was made for a photo of another size; box and map are stretched to this one");
            scale_box(j);
            at->photo_w = (size_t)j->photo.w;
            at->photo_h = (size_t)j->photo.h;
        }
        json_decref(json);
    }
    if (placed)
        return CP_OK;
    cp_fit fit = j->options->letterbox < 0 ? CP_FIT_LETTERBOX : (cp_fit)j->options->letterbox;
    return cp_place_photo((size_t)j->photo.w, (size_t)j->photo.h, j->map.w, j->map.h, fit, at);
}

/* Whether `explain` wrote the array beside a heat, of which PREFIX.png is then the picture. */
static bool is_gradient_beside_heat(const char *array)
{
    char heat[MAX_PATH];
    size_t length = strlen(array);
    if (!cp_ends_with(array, ".npy") || cp_ends_with(array, ".heat.npy"))
        return false;
    return snprintf(heat, MAX_PATH, "%.*s.heat.npy", (int)length - 4, array) < MAX_PATH && !access(heat, F_OK);
}

/* The array's own name, in the folder of -out. */
static cp_status choose_in_folder(struct job *j)
{
    const char *folder = j->options->out, *name = cp_file_name(j->array);
    size_t length = strlen(name) - (cp_ends_with(name, ".npy") ? 4 : 0);
    int n = snprintf(j->out, MAX_PATH, "%s%s%.*s.png", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", (int)length, name);
    return n < MAX_PATH ? CP_OK : cp_fail(CP_EINPUT, "-out: the path of the picture is longer than %d bytes", MAX_PATH - 1);
}

/* PREFIX.png of -out, or the array's name with another ending: .gradient.png where .png is the heat's. */
static cp_status choose_out(struct job *j)
{
    const char *out = j->options->out ? j->options->out : j->array, *end = j->options->out ? ".png" : ".npy";
    size_t length = strlen(out) - (cp_ends_with(out, end) ? strlen(end) : 0);
    const char *what = !j->options->out && is_gradient_beside_heat(j->array) ? ".gradient" : "";
    if (j->options->out && cp_is_folder(out)) {
        cp_status status = choose_in_folder(j);
        if (status)
            return status;
    } else if (snprintf(j->out, MAX_PATH, "%.*s%s.png", (int)length, out, what) >= MAX_PATH)
        return cp_fail(CP_EINPUT, "-out: the path of the picture is longer than %d bytes", MAX_PATH - 1);
    if (cp_same_file(j->out, j->photo_path) || cp_same_file(j->out, j->array))
        return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run; choose another prefix",
                       j->out);
    return CP_OK;
}

static cp_status report(const struct job *j)
{
    if (!j->options->json) {
        cp_print_files(stdout, j->out, NULL, NULL, NULL);
        return CP_OK;
    }
    json_t *object = json_object();
    int bad = cp_json_set(object, "array", cp_json_text(j->array));
    bad |= cp_json_set(object, "image", cp_json_text(j->photo_path));
    bad |= cp_json_set(object, "picture", cp_json_text(j->out));
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, stdout);
    json_decref(object);
    return status;
}

cp_status cp_run_picture(const cp_command *command, const cp_options *options)
{
    (void)command;
    struct job j = {.options = options};
    if (options->n_arguments != 2)
        return cp_fail(CP_EINPUT, "picture: needs <map.npy> <photo>, found %d arguments", options->n_arguments);
    if (options->picture == CP_PICTURE_NONE)
        return cp_fail(CP_EINPUT, "picture: -picture none leaves nothing to do");
    j.array = options->arguments[0];
    j.photo_path = options->arguments[1];
    if (strlen(j.array) > MAX_PATH - 16)
        return cp_fail(CP_EINPUT, "picture: the array's path is longer than %d bytes", MAX_PATH - 16);
    cp_status status = read_array(&j);
    if (!status)
        status = cp_picture_read(j.photo_path, &j.photo);
    if (!status)
        status = read_drawn(&j);
    if (!status)
        status = choose_out(&j);
    if (!status)
        status = cp_draw_map(options, &j.photo, &j.map, &j.drawn, NULL, j.out);
    if (!status)
        status = report(&j);
    cp_picture_free(&j.photo);
    cp_free(j.values);
    return status;
}
