#include "cli/baseline_option.h"
#include "io/error.h"
#include "io/image.h"
#include "io/lines.h"
#include "model/cfg.h"

#include <string.h>

enum { MOST_PICTURES = 1000000 };

/* One picture more in the means: of the neurons, and of the input. */
static cp_status add_picture(cp_session *s, const char *file, size_t seen)
{
    cp_picture photo = {0};
    cp_placement placement;
    size_t inputs = s->c * s->h * s->w;
    cp_status status = cp_picture_read(file, &photo);
    if (!status)
        status = cp_model_prepare_alpha(s->model, photo.rgb, photo.alpha, (size_t)photo.w, (size_t)photo.h,
                                        (cp_fit)s->options->letterbox, s->input, &placement);
    if (!status)
        status = cp_frame_forward(s->frame, s->input, 1, NULL);
    cp_picture_free(&photo);
    if (status)
        return status;
    cp_baseline_take(s->frame, 0, seen, s->baseline);
    for (size_t i = 0; i < inputs; i++)
        s->baseline_input[i] += (s->input[i] - s->baseline_input[i]) / (float)(seen + 1);
    return CP_OK;
}

static cp_status add_list(cp_session *s, const char *list)
{
    cp_lines lines = {0};
    cp_status status = cp_lines_read(list, "list", CP_CFG_MAX_BYTES, MOST_PICTURES, &lines);
    for (size_t i = 0; i < lines.n && !status; i++)
        status = add_picture(s, lines.line[i], i);
    if (!status && !lines.n)
        status = cp_fail(CP_EINPUT, "-baseline: %s names no picture", list);
    cp_lines_free(&lines);
    return status;
}

cp_status cp_baseline_open(cp_session *s)
{
    const char *asked = s->options->baseline;
    if (!asked || !strcmp(asked, "zero"))
        return CP_OK;
    bool mean = !strncmp(asked, "mean=", 5), image = !strncmp(asked, "image=", 6);
    if (!mean && !image)
        return cp_fail(CP_EINPUT, "-baseline: \"%.60s\" is not zero, mean=LIST or image=FILE", asked);
    s->baseline = cp_alloc(cp_model_neuron_count(s->model), sizeof *s->baseline, "baseline");
    s->baseline_input = cp_alloc(s->c * s->h * s->w, sizeof *s->baseline_input, "baseline");
    if (!s->baseline || !s->baseline_input)
        return CP_ERESOURCE;
    return mean ? add_list(s, asked + 5) : add_picture(s, asked + 6, 0);
}

void cp_baseline_close(cp_session *s)
{
    cp_free(s->baseline);
    cp_free(s->baseline_input);
    s->baseline = s->baseline_input = NULL;
}
