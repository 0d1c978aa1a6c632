#include "cli/accuracy.h"

#include <string.h>

#include "engine/memory.h"
#include "io/error.h"
#include "io/image.h"
#include "io/progress.h"

enum { BATCH = 8 };
static const uint64_t MAX_LIST_BYTES = (uint64_t)1 << 30;

/* ---- the list ---- */

static cp_status add_picture(cp_valid_list *v, const char *list, int classes, char *path)
{
    int k = 0;
    while (k < classes && !strstr(path, v->labels->names[k])) k++;
    if (k == classes)
        return cp_fail(CP_EINPUT, "%s: \"%.200s\" has none of the %d labels in its path", list, path, k);
    v->pictures[v->n] = path;
    v->truth[v->n++] = k;
    v->present[k] = true;
    return CP_OK;
}

cp_status cp_valid_list_read(const char *list, const char *data_path, int classes, cp_valid_list *v)
{
    cp_data *data = NULL;
    *v = (cp_valid_list){0};
    cp_status status = cp_data_read(data_path, &data);
    if (!status && !data->labels)
        status = cp_fail(CP_EINPUT, "%s: has no labels=, which say a picture's class", data_path);
    if (!status) status = cp_names_read(data->labels, classes, &v->labels);
    if (!status) status = cp_lines_read(list, "list of pictures", MAX_LIST_BYTES, 0, &v->lines);
    if (status) goto done;
    v->pictures = cp_alloc(v->lines.n, sizeof *v->pictures, "list of pictures");
    v->truth = cp_alloc(v->lines.n, sizeof *v->truth, "list of pictures");
    v->present = cp_alloc((size_t)classes, sizeof *v->present, "list of pictures");
    if (!v->pictures || !v->truth || !v->present) status = CP_ERESOURCE;
    for (size_t i = 0; !status && i < v->lines.n; i++) status = add_picture(v, list, classes, v->lines.line[i]);
    if (!status && !v->n) status = cp_fail(CP_EINPUT, "%s: names no picture", list);
done:
    cp_data_free(data);
    if (status) cp_valid_list_free(v);
    return status;
}

void cp_valid_list_free(cp_valid_list *v)
{
    cp_names_free(v->labels);
    cp_free(v->pictures);
    cp_free(v->truth);
    cp_free(v->present);
    cp_lines_free(&v->lines);
    *v = (cp_valid_list){0};
}

/* ---- the measure ---- */

cp_status cp_valid_picture_read(const cp_model *model, const char *path, float *input)
{
    cp_picture photo, square = {0};
    cp_placement placement;
    cp_status status = cp_picture_read(path, &photo);
    if (status) return status;
    int side = photo.w < photo.h ? photo.w : photo.h, x = (photo.w - side) / 2, y = (photo.h - side) / 2;
    status = cp_picture_new(side, side, &square);
    for (int row = 0; !status && row < side; row++)
        memcpy(square.rgb + 3 * (size_t)row * (size_t)side,
               photo.rgb + 3 * ((size_t)(y + row) * (size_t)photo.w + (size_t)x), 3 * (size_t)side);
    if (!status && photo.alpha && !(square.alpha = cp_alloc((size_t)side * (size_t)side, 1, "picture")))
        status = CP_ERESOURCE;
    for (int row = 0; !status && square.alpha && row < side; row++)
        memcpy(square.alpha + (size_t)row * (size_t)side,
               photo.alpha + (size_t)(y + row) * (size_t)photo.w + (size_t)x, (size_t)side);
    if (!status)
        status = cp_model_prepare_alpha(model, square.rgb, square.alpha, (size_t)side, (size_t)side, CP_FIT_STRETCH, input, &placement);
    cp_picture_free(&square);
    cp_picture_free(&photo);
    return status;
}

/* The first of the largest, among those of `among` where that is given. */
static int largest(const float *logits, int n, const bool *among)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if ((!among || among[i]) && (best < 0 || logits[i] > logits[best])) best = i;
    return best;
}

cp_status cp_valid_list_measure(const cp_valid_list *v, const cp_model *model, const char *what, bool quiet,
                                cp_right *right)
{
    size_t c, h, w;
    cp_frame *frame = NULL;
    *right = (cp_right){0};
    if (cp_model_get_kind(model) != CP_CLASSIFIER)
        return cp_fail(CP_EINPUT, "top-1 is measured of classifiers; this network is none");
    cp_model_input_shape(model, &c, &h, &w);
    cp_response any;
    cp_status status = cp_response_class(model, 0, &any);
    if (status) return status;
    int logits = any.unit[0].layer, classes = cp_model_classes(model);
    int batch = cp_most_entries(NULL, BATCH);
    while (batch > 1 && cp_frame_bytes(model, batch, 0) > cp_frame_memory(NULL, 0, SIZE_MAX))
        batch--;
    do
        status = cp_frame_create(model, batch, &frame);
    while (cp_halve_batch(status, &batch));
    float *input = cp_alloc((size_t)batch * c * h * w, sizeof *input, "network input");
    cp_progress *progress = cp_progress_start(what, (double)v->n, quiet);
    if (!status && !input)
        status = CP_ERESOURCE;
    for (size_t first = 0; !status && first < v->n; first += (size_t)batch) {
        size_t n = v->n - first < (size_t)batch ? v->n - first : (size_t)batch;
        for (size_t i = 0; !status && i < n; i++)
            status = cp_valid_picture_read(model, v->pictures[first + i], input + i * c * h * w);
        if (!status) status = cp_frame_forward(frame, input, (int)n, NULL);
        for (size_t i = 0; !status && i < n; i++) {
            const float *found = cp_frame_output(frame, logits, (int)i);
            right->all += largest(found, classes, NULL) == v->truth[first + i];
            right->present += largest(found, classes, v->present) == v->truth[first + i];
        }
        cp_progress_update(progress, (double)(first + n));
    }
    cp_progress_end(&progress);
    cp_frame_free(frame);
    cp_free(input);
    return status;
}
