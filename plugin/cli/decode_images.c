/* The images that `decode` makes, by gradient ascent. */
#include "cli/decoding.h"
#include "cli/commands.h"
#include "cli/drawing.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "decode/ascent.h"
#include "io/atomic.h"
#include "io/contact_sheet.h"
#include "io/error.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/progress.h"

#include <math.h>
#include <string.h>

enum { MOST_IMAGES = 16, SIDE = 224, MOST_LIST = 1 << 26 };
static const double SECONDS_BETWEEN = 10; /* pictures of an unfinished image */

/* One image of a sheet. */
typedef struct {
    char name[40];        /* in file names */
    char caption[160];
    cp_objective objective;
    cp_response response; /* where the objective is one */
    cp_path *path;        /* NULL: the whole network */
    cp_picture picture;
    cp_decode_report report;
} made;

typedef struct {
    cp_decoding *decoding;
    const char *what;     /* "synthesis": in file names and JSON */
    made image[MOST_IMAGES];
    int n;
    float *spectrum;      /* of MACO */
} gallery;

static void free_gallery(gallery *g)
{
    for (int i = 0; i < g->n; i++) {
        cp_path_free(g->image[i].path);
        cp_picture_free(&g->image[i].picture);
    }
    cp_free(g->spectrum);
}

/* ---------------------------------------------------------------- one image */

typedef struct {
    const cp_decoding *decoding;
    cp_progress *progress;
    char png[4096];
    double shown;
} watcher;

static void show_fraction(void *user, double fraction) { cp_progress_update(((watcher *)user)->progress, fraction); }

static cp_status write_picture(const cp_decoding *d, const float *image, const char *png, cp_picture *picture)
{
    size_t plane = d->session->h * d->session->w;
    cp_status status = CP_OK;
    if (d->session->c == 3)
        status = cp_picture_from_float(image, (int)d->session->w, (int)d->session->h, picture);
    else { /* grey, by the first channel */
        float *grey = cp_alloc(3 * plane, sizeof *grey, "picture");
        if (!grey)
            return CP_ERESOURCE;
        for (int k = 0; k < 3; k++)
            memcpy(grey + (size_t)k * plane, image, plane * sizeof *grey);
        status = cp_picture_from_float(grey, (int)d->session->w, (int)d->session->h, picture);
        cp_free(grey);
    }
    return status ? status : cp_picture_write_png(picture, png);
}

static cp_status write_array(const cp_decoding *d, const float *values, size_t planes, const char *tag, const char *kind)
{
    char npy[4096], whole[120];
    snprintf(whole, sizeof whole, "%s%s", tag, kind);
    const cp_result result = {.item = d->item, .map = values, .planes = planes, .tag = whole};
    return cp_result_write(d->session, CP_RESULT_MAP, &result, npy);
}

/* The picture so far, for whoever waits. */
static cp_status show_image(void *user, int step, const float *image)
{
    watcher *w = user;
    cp_picture picture;
    (void)step;
    if (cp_seconds() - w->shown < SECONDS_BETWEEN)
        return CP_OK;
    w->shown = cp_seconds();
    cp_status status = write_picture(w->decoding, image, w->png, &picture);
    if (!status)
        cp_picture_free(&picture);
    return status;
}

static cp_status maximise(gallery *g, made *m, const cp_decode_options *options)
{
    cp_decoding *d = g->decoding;
    cp_session *s = d->session;
    char tag[80];
    watcher w = {.decoding = d, .shown = cp_seconds()};
    cp_decode_options mine = *options;
    float *image = cp_alloc(s->c * s->h * s->w, sizeof *image, "image");
    float *clear = cp_alloc(s->h * s->w, sizeof *clear, "transparency");
    snprintf(tag, sizeof tag, "-%s", m->name);
    cp_status status = image && clear ? cp_output_path(s, d->item, tag, ".png", w.png) : CP_ERESOURCE;
    w.progress = cp_progress_start(m->name, 1, s->options->quiet);
    mine.run = (cp_run_options){.memory = s->options->mem, .progress = show_fraction, .user = &w};
    mine.shown = show_image;
    mine.user = &w;
    mine.path = m->path;
    if (m->objective.response)
        m->objective.response = &m->response;
    if (!status)
        status = cp_decode_image(s->model, &m->objective, &mine, image, clear, &m->report);
    cp_progress_end(&w.progress);
    cp_files_begin();
    if (!status)
        status = write_picture(d, image, w.png, &m->picture);
    if (!status)
        status = write_array(d, image, s->c, tag, "");
    if (!status)
        status = write_array(d, clear, 1, tag, ".transparency");
    status = cp_files_end(status);
    cp_free(image);
    cp_free(clear);
    return status;
}

/* ---------------------------------------------------------------- settings */

/* r of MACO: the mean of |rfft2| over the pictures of a list, as the network's input. */
static cp_status read_spectrum(gallery *g)
{
    cp_session *s = g->decoding->session;
    const char *list = s->options->spectrum ? s->options->spectrum : s->options->samples;
    size_t halves = s->c * s->h * (s->w / 2 + 1), seen = 0;
    cp_lines lines = {0};
    double *sum = cp_alloc(halves, sizeof *sum, "spectrum");
    float *input = cp_alloc(s->c * s->h * s->w, sizeof *input, "network input");
    g->spectrum = cp_alloc(halves, sizeof *g->spectrum, "spectrum");
    cp_status status = sum && input && g->spectrum ? cp_lines_read(list, "list of pictures", MOST_LIST, 0, &lines) : CP_ERESOURCE;
    cp_progress *progress = cp_progress_start_list("spectrum", (int)lines.n, s->options->quiet);
    for (size_t i = 0; i < lines.n && !status; i++) {
        cp_item item = {0};
        status = cp_item_load(s, lines.line[i], &item, input);
        cp_picture_free(&item.photo);
        if (status == CP_EINPUT) {
            fprintf(cp_stderr(), "critpath: %s\n", cp_error());
            status = CP_OK;
            continue;
        }
        if (!status)
            status = cp_parameters_add_magnitudes(input, s->c, s->h, s->w, sum);
        seen += !status;
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    if (!status && !seen)
        status = cp_fail(CP_EINPUT, "-spectrum: %s names no picture that can be read", list);
    for (size_t i = 0; i < halves && !status; i++)
        g->spectrum[i] = (float)(sum[i] / (double)seen);
    cp_lines_free(&lines);
    cp_free(sum);
    cp_free(input);
    return status;
}

static cp_parameterisation asked_parameterisation(const cp_decoding *d)
{
    static const cp_parameterisation kinds[] = {[CP_PARAMETERS_OF_PIXELS] = CP_PARAMETERS_PIXELS,
                                                [CP_PARAMETERS_OF_FOURIER] = CP_PARAMETERS_FOURIER,
                                                [CP_PARAMETERS_OF_MACO] = CP_PARAMETERS_MACO};
    return kinds[d->session->options->parameters];
}

static cp_status read_settings(gallery *g, cp_parameterisation parameterisation, bool placed, cp_decode_options *options)
{
    const cp_options *o = g->decoding->session->options;
    *options = (cp_decode_options){.settings = cp_decode_defaults(parameterisation, placed), .seed = (uint64_t)o->seed,
                                   .keep = o->near};
    if (o->iters)
        options->settings.iters = o->iters;
    if (o->rate > 0)
        options->settings.rate = o->rate;
    if (parameterisation != CP_PARAMETERS_MACO)
        return CP_OK;
    cp_status status = read_spectrum(g);
    options->given = g->spectrum;
    return status;
}

/* ---------------------------------------------------------------- the sheet */

static json_t *image_json(const made *m)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "name", cp_json_text(m->name));
    bad |= cp_json_set(object, "caption", cp_json_text(m->caption));
    bad |= cp_json_set(object, "kept", m->path ? json_integer((json_int_t)cp_path_count(m->path)) : json_null());
    bad |= cp_json_set(object, "first", cp_json_real(m->report.first));
    bad |= cp_json_set(object, "last", cp_json_real(m->report.last));
    bad |= cp_json_set(object, "rising", cp_json_real(m->report.rising));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static cp_status report(gallery *g, const char *title)
{
    cp_decoding *d = g->decoding;
    char tag[64], png[4096];
    cp_contact contacts[MOST_IMAGES + 1] = {{.picture = &d->item->photo, .caption = "the photo"}};
    json_t *images = json_array();
    int bad = images == NULL;
    for (int i = 0; i < g->n; i++) {
        made *m = &g->image[i];
        contacts[i + 1].picture = &m->picture;
        snprintf(contacts[i + 1].caption, sizeof contacts[i + 1].caption, "%s: %.3g to %.3g", m->caption, m->report.first,
                 m->report.last);
        bad |= cp_json_append(images, image_json(m));
    }
    bad |= cp_json_set(d->json, g->what, images);
    cp_contact_row row = {.contact = contacts, .n = (size_t)g->n + 1};
    cp_picture sheet;
    snprintf(tag, sizeof tag, "-%s", g->what);
    cp_status status = bad ? CP_ERESOURCE : cp_output_path(d->session, d->item, tag, ".png", png);
    if (!status)
        status = cp_contact_sheet_draw(title, &row, 1, SIDE, &sheet);
    if (!status) {
        status = cp_picture_write_png(&sheet, png);
        cp_picture_free(&sheet);
    }
    if (!status && !d->session->options->json)
        cp_print_files(d->session->out, png, NULL, NULL, NULL);
    return status;
}

static cp_status run_gallery(gallery *g, const cp_decode_options *options, const char *title)
{
    cp_status status = CP_OK;
    for (int i = 0; i < g->n && !status; i++) {
        made *m = &g->image[i];
        status = maximise(g, m, options);
        if (!status && !g->decoding->session->options->json)
            fprintf(g->decoding->session->out, "%s: %s: %.6g at the start, %.6g after the ascent\n", g->what, m->caption,
                    m->report.first, m->report.last);
        fflush(g->decoding->session->out);
    }
    return status ? status : report(g, title);
}

/* ---------------------------------------------------------------- selectors */

static made *add(gallery *g, const char *name)
{
    made *m = &g->image[g->n++];
    snprintf(m->name, sizeof m->name, "%s-%s", g->what, name);
    return m;
}

/* Scores and selects by one method of -selectors. */
static cp_status find_selector(const cp_decoding *d, const char *method, float **score, cp_path **path)
{
    cp_session *s = d->session;
    const cp_options *before = s->options;
    cp_options mine = *before;
    cp_pathways pathways = {0};
    const float *found;
    size_t n = cp_model_neuron_count(s->model);
    mine.method = method;
    mine.rate = 0; /* -rate is the ascent's */
    s->options = &mine;
    cp_status status = cp_pathways_find(s, d->item, &d->subject->response, false, &pathways);
    if (!status)
        status = cp_scores_array(pathways.scores, &found);
    if (!status && !(*score = cp_alloc(n, sizeof **score, "scores")))
        status = CP_ERESOURCE;
    if (!status)
        memcpy(*score, found, n * sizeof **score);
    if (!status)
        status = cp_path_copy(pathways.pathway[0].path, path);
    s->options = before;
    cp_pathways_free(&pathways);
    return status;
}

/* Takes a selector's scores and path into a gallery; it may keep the path, and then sets it to NULL. */
typedef cp_status (*selector_use)(gallery *g, const char *name, const float *score, cp_path **path);

typedef struct {
    gallery *g;
    selector_use use;
} selecting;

static cp_status use_selector(void *user, const char *name)
{
    const selecting *s = user;
    float *score = NULL;
    cp_path *path = NULL;
    if (s->g->n == MOST_IMAGES - 1)
        return cp_fail(CP_EINPUT, "-selectors: more than %d", MOST_IMAGES - 3);
    cp_status status = find_selector(s->g->decoding, name, &score, &path);
    if (!status)
        status = s->use(s->g, name, score, &path);
    cp_free(score);
    cp_path_free(path);
    return status;
}

/* Of -selectors each one; without them the path that was given or selected. */
static cp_status each_selector(gallery *g, selector_use use)
{
    const cp_decoding *d = g->decoding;
    const cp_options *o = d->session->options;
    selecting s = {g, use};
    cp_path *path = NULL;
    if (!o->path && o->selectors)
        return cp_each_method(d->session->command, "selectors", o->selectors, use_selector, &s);
    cp_status status = cp_path_copy(d->path, &path);
    if (!status)
        status = use(g, o->path ? "path" : o->method, d->score, &path);
    cp_path_free(path);
    return status;
}

/* ---------------------------------------------------------------- the three ways */

static void respond(gallery *g, made *m)
{
    m->response = g->decoding->subject->response;
    m->objective = (cp_objective){.response = &m->response};
}

static cp_status add_synthesis(gallery *g, const char *name, const float *score, cp_path **path)
{
    made *m = add(g, name);
    (void)score;
    respond(g, m);
    m->path = *path;
    *path = NULL;
    snprintf(m->caption, sizeof m->caption, "%s, %.3g%% of the neurons alone", name,
             100 * (double)cp_path_count(m->path) / (double)cp_model_neuron_count(g->decoding->session->model));
    return CP_OK;
}

cp_status cp_decode_synthesis(cp_decoding *d)
{
    gallery g = {.decoding = d, .what = "synthesis"};
    cp_decode_options options;
    cp_path *active = NULL;
    char title[240];
    cp_status status = read_settings(&g, asked_parameterisation(d), d->subject->box > 0, &options);
    if (!status)
        status = cp_path_create(d->session->model, &active);
    if (!status) {
        made *whole = add(&g, "whole");
        respond(&g, whole);
        snprintf(whole->caption, sizeof whole->caption, "whole network");
        cp_path_active(active, d->session->frame, 0);
        status = add_synthesis(&g, "active", NULL, &active);
    }
    if (!status)
        status = each_selector(&g, add_synthesis);
    snprintf(title, sizeof title, "What answers \"%.150s\" most strongly", d->subject->label);
    if (!status)
        status = run_gallery(&g, &options, title);
    cp_path_free(active);
    free_gallery(&g);
    return status;
}

cp_status cp_decode_accentuation(cp_decoding *d)
{
    gallery g = {.decoding = d, .what = "accentuation"};
    cp_decode_options options;
    char title[240];
    cp_path *path = NULL;
    cp_status status = read_settings(&g, CP_PARAMETERS_PHOTO, true, &options);
    options.given = cp_frame_output(d->session->frame, -1, 0);
    if (!status)
        status = cp_path_copy(d->path, &path);
    if (!status)
        status = add_synthesis(&g, d->session->options->path ? "path" : d->session->options->method, NULL, &path);
    snprintf(title, sizeof title, "What the path of \"%.150s\" wants more of", d->subject->label);
    if (!status)
        status = run_gallery(&g, &options, title);
    cp_path_free(path);
    free_gallery(&g);
    return status;
}

/* The last neuron layer before the response's own that has a plane of more than one position and a neuron on the path. */
static const cp_neuron_layer *last_plane(const cp_decoding *d, const float *score, const cp_path *path, size_t *top)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(d->session->model, &n);
    for (int l = n - 1; l >= 0; l--) {
        const cp_neuron_layer *layer = &layers[l];
        bool found = false;
        if (layer->h * layer->w < 2 || layer->layer == d->subject->response.unit[0].layer ||
            !cp_model_depends(d->session->model, d->subject->response.unit[0].layer, layer->layer))
            continue;
        for (size_t i = layer->offset; i < layer->offset + layer->count; i++)
            if (score[i] != 0 && cp_path_get(path, i) && (!found || fabsf(score[i]) > fabsf(score[*top]))) {
                *top = i;
                found = true;
            }
        if (found)
            return layer;
    }
    return NULL;
}

static cp_status add_neuron(gallery *g, const char *name, const float *score, cp_path **path)
{
    size_t top = 0;
    const cp_neuron_layer *layer = last_plane(g->decoding, score, *path, &top);
    if (!layer)
        return cp_fail(CP_EINPUT, "%s: no layer with a plane has a neuron on the path of %s", g->decoding->item->path, name);
    size_t plane = layer->h * layer->w, index = top - layer->offset, channel = index / plane;
    made *m = add(g, name);
    m->objective = (cp_objective){.layer = layer->layer, .first = channel * plane, .count = plane};
    snprintf(m->caption, sizeof m->caption, "%s: layer %d, channel %zu (top neuron at %zu,%zu)", name, layer->layer, channel,
             index % plane % layer->w, index % plane / layer->w);
    return CP_OK;
}

cp_status cp_decode_neurons(cp_decoding *d)
{
    gallery g = {.decoding = d, .what = "neuron"};
    cp_decode_options options;
    char title[240];
    cp_status status = read_settings(&g, asked_parameterisation(d), false, &options);
    if (!status)
        status = each_selector(&g, add_neuron);
    snprintf(title, sizeof title, "Channels of the top neurons on the paths of \"%.120s\"", d->subject->label);
    if (!status)
        status = run_gallery(&g, &options, title);
    free_gallery(&g);
    return status;
}
