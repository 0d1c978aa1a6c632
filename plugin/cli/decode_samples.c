/* `decode -samples`: of a list, the pictures that each top channel of the path contributes most in, cropped to what the channel's
 * best neuron there can read. One pass over the list; each picture is a line of PREFIX.samples.jsonl, which holds the shares of all
 * channels, so that another photo's path reads it again (-resume). */
#include "cli/commands.h"
#include "cli/decoding.h"
#include "cli/output_path.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "decode/samples.h"
#include "io/atomic.h"
#include "io/contact_sheet.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/ledger.h"
#include "io/lines.h"
#include "io/progress.h"
#include "io/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 128, MOST_CHANNELS = 64, MOST_CROPS = 64, MOST_LIST = 1 << 26 };
static const double LEAST_SHARE = .002; /* of what its layer gives to an answer: less is not written down */

/* A channel of the path, and the pictures it contributes most in. */
typedef struct {
    size_t channel;
    double share;   /* of the photo's score, by its neurons on the path */
    double in_layer; /* of what its layer holds of that */
    int layer, rank; /* position among the neuron layers; 0 is the best channel of the layer */
    size_t pictures; /* of the list in which it has at least LEAST_SHARE */
    cp_sample best[MOST_CROPS];
    size_t n;
} top_channel;

typedef struct {
    cp_decoding *decoding;
    cp_request request; /* of the answers in the list: all, or with -same those of the photo's class or unit */
    cp_lines list;
    cp_ledger *ledger;
    double *share;      /* (channels) */
    size_t *best;
    top_channel top[MOST_CHANNELS];
    int n_top;
    size_t unreadable;  /* pictures of the list */
} job;

/* ---------------------------------------------------------------- the path's channels */

static int by_layer(const void *a, const void *b)
{
    const top_channel *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? 1 : -1;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return x->channel < y->channel ? -1 : x->channel > y->channel;
}

/* The best channel of every layer first, then the second best; of equal rank those next to the response. */
static int by_rank(const void *a, const void *b)
{
    const top_channel *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return by_layer(a, b);
}

/* Ranks sorted channels within their layer, and says what share of it they hold. */
static void rank_in_layers(top_channel *all, size_t n)
{
    for (size_t first = 0, end; first < n; first = end) {
        double sum = 0;
        for (end = first; end < n && all[end].layer == all[first].layer; end++)
            sum += all[end].share;
        for (size_t k = first; k < end; k++) {
            all[k].rank = (int)(k - first);
            all[k].in_layer = sum > 0 ? all[k].share / sum : 0;
        }
    }
}

/* "6:127" of -channel, which names a layer too; NULL: none. */
static cp_status read_channel(const char *text, int *layer, long *channel)
{
    char rest;
    int in_layer;
    if (!text)
        return CP_OK;
    if (sscanf(text, "%d:%d%c", layer, &in_layer, &rest) != 2 || *layer < 0 || in_layer < 0)
        return cp_fail(CP_EINPUT, "-channel: \"%.40s\" is not LAYER:CHANNEL, such as 6:127", text);
    *channel = in_layer;
    return CP_OK;
}

/* A channel that is asked for by name need not be on the path. */
static bool is_chosen(const cp_model *model, const top_channel *top, int only, long wanted)
{
    size_t first = only < 0 ? 0 : cp_model_channel_offset(model, only);
    if (wanted >= 0)
        return top->layer == only && top->channel - first == (size_t)wanted;
    return top->share > 0 && (only < 0 || top->layer == only);
}

/* By the score that their neurons on the path hold: the best channel of each layer, from the response back, since over the whole
 * network the first layers with their large planes would come before all others. With -layer those of that layer. */
static cp_status choose_channels(job *j)
{
    const cp_decoding *d = j->decoding;
    const cp_model *model = d->session->model;
    int asked = d->session->options->layer, only = -1;
    long wanted = -1; /* channel of -channel, in its layer */
    size_t n = cp_model_neuron_count(model), channels = cp_model_channel_count(model), in_layer;
    float *on_path = cp_alloc(n, sizeof *on_path, "scores"), *sum = cp_alloc(channels, sizeof *sum, "channels");
    top_channel *all = cp_alloc(channels, sizeof *all, "channels");
    double total = 0;
    cp_status status = on_path && sum && all ? CP_OK : CP_ERESOURCE;
    if (!status)
        status = read_channel(d->session->options->channel, &asked, &wanted);
    if (!status && asked >= cp_model_layer_count(model))
        status = cp_fail(CP_EINPUT, "-layer: %d, the network has layers 0 to %d", asked, cp_model_layer_count(model) - 1);
    if (!status && asked >= 0 && (only = cp_model_neuron_position(model, asked)) < 0)
        status = cp_fail(CP_EINPUT, "-layer: layer %d has no neurons", asked);
    for (size_t i = 0; i < n && !status; i++) {
        total += fabs((double)d->score[i]);
        on_path[i] = cp_path_get(d->path, i) ? d->score[i] : 0;
    }
    if (!status)
        cp_score_to_channels(model, on_path, sum);
    for (size_t k = 0; k < channels && !status; k++) {
        all[k] = (top_channel){.channel = k, .share = total > 0 ? (double)sum[k] / total : 0};
        cp_channel_place(model, k, &all[k].layer, &in_layer);
    }
    if (!status) {
        qsort(all, channels, sizeof *all, by_layer);
        rank_in_layers(all, channels);
        qsort(all, channels, sizeof *all, by_rank);
    }
    for (size_t k = 0; k < channels && j->n_top < d->session->options->channels && !status; k++)
        if (is_chosen(model, &all[k], only, wanted))
            j->top[j->n_top++] = all[k];
    qsort(j->top, (size_t)j->n_top, sizeof *j->top, by_layer);
    if (!status && !j->n_top)
        status = cp_fail(CP_EINPUT, "%s: %s", d->item->path, wanted >= 0 ? "-channel: the layer has fewer channels"
                                                                               : only >= 0 ? "no channel of the path in -layer has a score"
                                                                                           : "no channel of the path has a score");
    cp_free(on_path);
    cp_free(sum);
    cp_free(all);
    return status;
}

/* ---------------------------------------------------------------- the pass over the list */

static json_t *answer_json(const job *j, const cp_subject *subject)
{
    json_t *object = json_object(), *channels = json_array();
    int bad = cp_json_set(object, "label", cp_json_text(subject->label));
    bad |= cp_json_set(object, "class", json_integer(subject->class_id));
    for (size_t k = 0; k < cp_model_channel_count(j->decoding->session->model) && !bad; k++)
        if (j->share[k] >= LEAST_SHARE)
            bad |= cp_json_append(channels, json_pack("[I,f,I]", (json_int_t)k, j->share[k], (json_int_t)j->best[k]));
    bad |= cp_json_set(object, "channels", channels);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

/* What the visits of a picture's answers need. */
typedef struct {
    job *j;
    float *score;  /* (N), room */
    json_t *found; /* the answers so far */
} answers;

static cp_status score_answer(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    answers *a = user;
    (void)item;
    cp_status status = cp_score_mct(s->frame, 0, &subject->response, true, a->score);
    if (status)
        return status;
    cp_channel_shares(s->model, a->score, a->j->share, a->j->best);
    return cp_json_append(a->found, answer_json(a->j, subject));
}

static cp_status score_answers(job *j, cp_item *item, json_t *found)
{
    cp_session *s = j->decoding->session;
    answers a = {j, cp_alloc(cp_model_neuron_count(s->model), sizeof *a.score, "scores"), found};
    int n;
    cp_status status = a.score ? cp_each_response(s, item, &j->request, score_answer, &a, &n) : CP_ERESOURCE;
    cp_free(a.score);
    return status;
}

/* A picture that cannot be read gets a line too, with its reason, so that a run that goes on does not try it again. */
static cp_status take_picture(job *j, size_t line)
{
    cp_session *s = j->decoding->session;
    const char *path = j->list.line[line];
    cp_item item = {0};
    json_t *record = json_object(), *answers = json_array();
    cp_status status = record && answers ? cp_item_load(s, path, &item, s->input) : CP_ERESOURCE;
    int bad = cp_json_set(record, "image", cp_json_text(path));
    if (status == CP_EINPUT) {
        fprintf(cp_stderr(), "critpath: %s\n", cp_error());
        bad |= cp_json_set(record, "error", cp_json_text(cp_error()));
        status = CP_OK;
    } else if (!status) {
        status = cp_item_forward(s, &item);
        if (!status)
            status = score_answers(j, &item, answers);
    }
    bad |= cp_json_set(record, "answers", json_incref(answers));
    if (!status)
        status = bad ? CP_ERESOURCE : cp_ledger_add(j->ledger, line, json_incref(record));
    json_decref(answers);
    json_decref(record);
    cp_picture_free(&item.photo);
    return status;
}

static json_t *manifest_of(const job *j)
{
    const cp_session *s = j->decoding->session;
    const cp_options *o = s->options;
    json_t *m = json_object();
    int bad = cp_json_set(m, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(m, "command", cp_json_text("decode -samples"));
    bad |= cp_json_set(m, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(m, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(m, "list", cp_json_text(o->samples));
    bad |= cp_json_set(m, "class", json_integer(j->request.class_id));
    bad |= cp_json_set(m, "unit", cp_json_text(o->same ? o->unit : NULL));
    bad |= cp_json_set(m, "thresh", cp_json_real(o->thresh));
    bad |= cp_json_set(m, "nms", cp_json_real(o->nms));
    bad |= cp_json_set(m, "letterbox", json_integer(o->letterbox));
    if (!bad)
        return m;
    json_decref(m);
    return NULL;
}

static cp_status pass_over_list(job *j)
{
    cp_session *s = j->decoding->session;
    char path[4096];
    cp_status status = cp_lines_read(s->options->samples, "list of pictures", MOST_LIST, 0, &j->list);
    if (!status && !j->list.n)
        status = cp_fail(CP_EINPUT, "-samples: %s names no picture", s->options->samples);
    if (!status)
        status = cp_remember_inputs(s, (const char *const *)j->list.line, j->list.n);
    if (!status)
        status = cp_output_path(s, j->decoding->item, "", ".samples.jsonl", path);
    if (!status)
        status = cp_ledger_open(path, manifest_of(j), s->options->resume, &j->ledger);
    cp_progress *progress = cp_progress_start_list("samples", (int)j->list.n, s->options->quiet);
    for (size_t i = 0; i < j->list.n && !status; i++) {
        if (!cp_ledger_has(j->ledger, i))
            status = take_picture(j, i);
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    return status;
}

/* ---------------------------------------------------------------- the best of each channel */

/* The answer of a picture in which the channel has its largest share. */
static void rank_answer(job *j, size_t line, size_t answer, const json_t *channels, cp_sample best[MOST_CHANNELS])
{
    for (size_t i = 0; i < json_array_size(channels); i++) {
        const json_t *row = json_array_get(channels, i);
        size_t channel = (size_t)json_integer_value(json_array_get(row, 0));
        double share = json_real_value(json_array_get(row, 1));
        for (int k = 0; k < j->n_top; k++)
            if (j->top[k].channel == channel && share > best[k].share)
                best[k] = (cp_sample){share, line, answer, (size_t)json_integer_value(json_array_get(row, 2))};
    }
}

/* What is read from a file is checked: a neuron out of the network would be drawn from nowhere. */
static cp_status rank_line(job *j, size_t line, const json_t *record)
{
    size_t neurons = cp_model_neuron_count(j->decoding->session->model);
    const json_t *answers = json_object_get(record, "answers");
    j->unreadable += json_object_get(record, "error") != NULL;
    cp_sample best[MOST_CHANNELS] = {{0}};
    for (size_t i = 0; i < json_array_size(answers); i++) {
        const json_t *channels = json_object_get(json_array_get(answers, i), "channels");
        for (size_t k = 0; k < json_array_size(channels); k++) {
            json_int_t neuron = json_integer_value(json_array_get(json_array_get(channels, k), 2));
            if (neuron < 0 || (size_t)neuron >= neurons)
                return cp_fail(CP_EINPUT, "samples: line of picture %zu: neuron %lld, the network has %zu", line + 1,
                               (long long)neuron, neurons);
        }
        rank_answer(j, line, i, channels, best);
    }
    for (int k = 0; k < j->n_top; k++)
        if (best[k].share > 0) {
            cp_sample_insert(j->top[k].best, (size_t)j->decoding->session->options->crops, &j->top[k].n, best[k]);
            j->top[k].pictures++;
        }
    return CP_OK;
}

/* ---------------------------------------------------------------- crops */

/* Layer, channel and place of a neuron by its number. */
static const cp_neuron_layer *place_of(const cp_model *model, size_t neuron, size_t *x, size_t *y)
{
    int n, l = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    while (l + 1 < n && neuron >= layers[l + 1].offset)
        l++;
    size_t at = (neuron - layers[l].offset) % (layers[l].h * layers[l].w);
    *x = at % layers[l].w;
    *y = at / layers[l].w;
    return &layers[l];
}

static cp_status cut(const job *j, const cp_sample *sample, cp_picture *crop, double field[4])
{
    const cp_session *s = j->decoding->session;
    size_t x, y;
    bool has_field;
    const cp_neuron_layer *layer = place_of(s->model, sample->neuron, &x, &y);
    cp_item item = {0};
    float *input = cp_alloc(s->c * s->h * s->w, sizeof *input, "network input");
    cp_status status = input ? cp_item_load(s, j->list.line[sample->line], &item, input) : CP_ERESOURCE;
    if (!status)
        status = cp_photo_field(s, &item, layer->layer, x, y, &has_field, field);
    if (!status) {
        cp_photo_box part = {field[0], field[1], field[2], field[3]};
        if (!has_field)
            part = (cp_photo_box){0, 0, item.photo.w, item.photo.h};
        double longer = part.w > part.h ? part.w : part.h;
        int w = (int)(SIDE * part.w / longer + .5), h = (int)(SIDE * part.h / longer + .5);
        status = cp_resample_picture(&item.photo, &part, w > 0 ? w : 1, h > 0 ? h : 1, crop);
    }
    cp_picture_free(&item.photo);
    cp_free(input);
    return status;
}

/* "dog 57.1%" */
static const char *label_of(const job *j, const cp_sample *sample)
{
    const json_t *answers = json_object_get(cp_ledger_of(j->ledger, sample->line), "answers");
    const char *label = json_string_value(json_object_get(json_array_get(answers, sample->answer), "label"));
    return label ? label : "";
}

typedef struct {
    cp_contact_row row[MOST_CHANNELS];
    cp_contact contact[MOST_CHANNELS][MOST_CROPS];
    cp_picture crop[MOST_CHANNELS][MOST_CROPS];
} sheet;

static cp_status fill_row(const job *j, int k, sheet *out, json_t *channels)
{
    const top_channel *top = &j->top[k];
    const cp_decoding *d = j->decoding;
    int neuron_layer, n;
    size_t in_layer;
    const cp_neuron_layer *layers = cp_model_neuron_layers(d->session->model, &n);
    cp_channel_place(d->session->model, top->channel, &neuron_layer, &in_layer);
    cp_contact_row *row = &out->row[k];
    snprintf(row->heading, sizeof row->heading, "layer %d, channel %zu: %.2g%% of its layer's score; contributes in %zu of %zu pictures",
             layers[neuron_layer].layer, in_layer, 100 * top->in_layer, top->pictures, j->list.n - j->unreadable);
    row->contact = out->contact[k];
    row->n = top->n;
    json_t *object = json_object(), *samples = json_array();
    int bad = cp_json_set(object, "layer", json_integer(layers[neuron_layer].layer));
    bad |= cp_json_set(object, "channel", json_integer((json_int_t)in_layer));
    bad |= cp_json_set(object, "share", cp_json_real(top->share));
    bad |= cp_json_set(object, "share_in_layer", cp_json_real(top->in_layer));
    bad |= cp_json_set(object, "pictures", json_integer((json_int_t)top->pictures));
    cp_status status = CP_OK;
    for (size_t i = 0; i < top->n && !status; i++) {
        double field[4];
        const cp_sample *sample = &top->best[i];
        status = cut(j, sample, &out->crop[k][i], field);
        if (status)
            break;
        out->contact[k][i].picture = &out->crop[k][i];
        snprintf(out->contact[k][i].caption, sizeof out->contact[k][i].caption, "%.2g%%, %.60s %.60s", 100 * sample->share,
                 label_of(j, sample), cp_file_name(j->list.line[sample->line]));
        json_t *one = json_object();
        bad |= cp_json_set(one, "image", cp_json_text(j->list.line[sample->line]));
        bad |= cp_json_set(one, "answer", cp_json_text(label_of(j, sample)));
        bad |= cp_json_set(one, "share", cp_json_real(sample->share));
        bad |= cp_json_set(one, "field", json_pack("[f,f,f,f]", field[0], field[1], field[2], field[3]));
        bad |= cp_json_append(samples, one);
    }
    if (!d->session->options->json && !status)
        fprintf(d->session->out, "%s\n", row->heading);
    bad |= cp_json_set(object, "samples", samples);
    bad |= cp_json_append(channels, object);
    return bad && !status ? CP_ERESOURCE : status;
}

static cp_status write_sheet(const job *j)
{
    const cp_decoding *d = j->decoding;
    sheet *out = cp_alloc(1, sizeof *out, "contact sheet");
    json_t *channels = json_array();
    char png[4096], title[256];
    cp_picture drawn;
    cp_status status = out && channels ? cp_output_path(d->session, d->item, ".samples", ".png", png) : CP_ERESOURCE;
    for (int k = 0; k < j->n_top && !status; k++)
        status = fill_row(j, k, out, channels);
    if (!status)
        status = cp_json_set(d->json, "samples", json_incref(channels));
    snprintf(title, sizeof title, "%.60s: where its channels contribute most, in %zu pictures", d->subject->label,
             j->list.n - j->unreadable);
    if (!status)
        status = cp_contact_sheet_draw(title, out->row, (size_t)j->n_top, SIDE, &drawn);
    if (!status) {
        status = cp_picture_write_png(&drawn, png);
        cp_picture_free(&drawn);
    }
    if (!status && !d->session->options->json)
        cp_print_files(d->session->out, png, NULL, NULL, NULL);
    for (int k = 0; k < j->n_top && out; k++)
        for (size_t i = 0; i < j->top[k].n; i++)
            cp_picture_free(&out->crop[k][i]);
    json_decref(channels);
    cp_free(out);
    return status;
}

cp_status cp_decode_samples(cp_decoding *d)
{
    cp_session *s = d->session;
    size_t channels = cp_model_channel_count(s->model);
    job *j = cp_alloc(1, sizeof *j, "samples");
    if (!j)
        return CP_ERESOURCE;
    j->decoding = d;
    j->share = cp_alloc(channels, sizeof *j->share, "channels");
    j->best = cp_alloc(channels, sizeof *j->best, "channels");
    cp_status status = j->share && j->best ? cp_request_read(s, &j->request) : CP_ERESOURCE;
    cp_request any = {.class_id = -1, .versus = -1, .box = -1, .target = CP_TARGET_CLASS, .unit_layer = -1};
    if (s->options->same) {
        any.class_id = d->subject->class_id;
        any.unit_layer = j->request.unit_layer;
        any.unit_index = j->request.unit_index;
    }
    j->request = any;
    if (!status)
        status = choose_channels(j);
    if (!status)
        status = pass_over_list(j);
    for (size_t k = 0; !status && k < cp_ledger_count(j->ledger); k++) {
        const json_t *record;
        status = cp_ledger_read(j->ledger, k, &record);
        if (!status && cp_ledger_index(j->ledger, k) < j->list.n)
            status = rank_line(j, cp_ledger_index(j->ledger, k), record);
    }
    if (!status)
        status = write_sheet(j);
    if (!status && j->unreadable == j->list.n)
        status = cp_fail(CP_EINPUT, "-samples: none of the %zu pictures of %s can be read", j->list.n, s->options->samples);
    if (!status)
        d->unreadable = j->unreadable;
    cp_ledger_close(j->ledger);
    cp_lines_free(&j->list);
    cp_free(j->share);
    cp_free(j->best);
    cp_free(j);
    return status;
}
