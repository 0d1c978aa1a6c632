/* `sanity`: does a map depend on the network that it explains (Adebayo et al. 2018), and on the class? Layers get
 * random weights one after the other, in a copy of the network in memory, and what becomes of the maps is measured. */
#include "cli/sanity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/random.h"

/* ---------------------------------------------------------------- stages */

static cp_status add_stage(cp_sanity *s, cp_sanity_stage stage, const int *random, int n)
{
    stage.random = cp_alloc((size_t)n + 1, sizeof *stage.random, "stages");
    if (!stage.random)
        return CP_ERESOURCE;
    if (n)
        memcpy(stage.random, random, (size_t)n * sizeof *random);
    stage.n_random = n;
    s->stage[s->n_stages++] = stage;
    return CP_OK;
}

/* Whether step i of n is among `wanted` that lie evenly and have the last among them; 0: all are. */
static bool is_stage(int i, int n, int wanted)
{
    if (!wanted || wanted >= n)
        return true;
    return (long)(i + 1) * wanted / n > (long)i * wanted / n;
}

static cp_status plan_random(cp_sanity *s, const int *layers, int n)
{
    const cp_options *o = s->session->options;
    int *order = cp_alloc((size_t)n + 1, sizeof *order, "stages");
    cp_status status = order ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < n && !status; i++)
        order[i] = o->order == CP_ORDER_BOTTOM_UP ? layers[i] : layers[n - 1 - i];
    for (int i = 0; i < n && !status; i++) {
        bool alone = o->order == CP_ORDER_INDEPENDENT;
        const cp_sanity_stage stage = {.test = CP_SANITY_RANDOM, .layer = order[i], .all = !alone && i == n - 1};
        if (is_stage(i, n, o->stages))
            status = add_stage(s, stage, alone ? &order[i] : order, alone ? 1 : i + 1);
    }
    if (!status && o->order == CP_ORDER_INDEPENDENT)
        status = add_stage(s, (cp_sanity_stage){.test = CP_SANITY_RANDOM, .layer = -1, .all = true}, order, n);
    cp_free(order);
    return status;
}

/* Those with weights that some response reads, in order; *n of them. The others are kept apart. */
static void list_layers(cp_sanity *s, int *layers, int *n)
{
    const cp_model *model = s->session->model;
    for (int i = 0; i < cp_model_layer_count(model); i++) {
        bool read = false;
        if (!cp_model_layer(model, i)->parameters)
            continue;
        for (size_t k = 0; k < s->n && !read; k++)
            read = cp_sanity_reads(s, &s->subject[k].response, i);
        if (read)
            layers[(*n)++] = i;
        else
            s->unread[s->n_unread++] = i;
    }
}

static cp_status plan_stages(cp_sanity *s)
{
    int layers = cp_model_layer_count(s->session->model);
    int *read = cp_alloc((size_t)layers, sizeof *read, "stages");
    s->unread = cp_alloc((size_t)layers, sizeof *s->unread, "stages");
    s->stage = cp_alloc((size_t)layers + 3, sizeof *s->stage, "stages");
    cp_status status = read && s->unread && s->stage ? CP_OK : CP_ERESOURCE;
    int n = 0;
    if (!status)
        list_layers(s, read, &n);
    if (!status)
        status = plan_random(s, read, n);
    if (!status && cp_model_classes(s->session->model) > 1)
        status = add_stage(s, (cp_sanity_stage){.test = CP_SANITY_CLASS, .layer = -1}, NULL, 0);
    if (!status)
        status = add_stage(s, (cp_sanity_stage){.test = CP_SANITY_SHIFT, .layer = -1}, NULL, 0);
    cp_free(read);
    return status;
}

/* ---------------------------------------------------------------- responses */

static uint64_t seed_of(const cp_session *s, const cp_item *item, const cp_subject *subject)
{
    char digits[16] = "";
    snprintf(digits, sizeof digits, "%.15s", item->sha256);
    uint64_t state = strtoull(digits, NULL, 16) + (uint64_t)s->options->seed;
    return cp_random_next(&state) + subject->response.unit[0].index;
}

/* The part of the input that the response can read. */
static cp_status find_field(const cp_session *session, const cp_response *response, cp_rectangle *field)
{
    cp_status status = CP_OK;
    *field = (cp_rectangle){(int)session->w, (int)session->h, -1, -1};
    for (int k = 0; k < response->n && !status; k++) {
        const cp_layer_info *layer = cp_model_layer(session->model, response->unit[k].layer);
        size_t position = layer->h && layer->w ? response->unit[k].index % (layer->h * layer->w) : 0;
        size_t columns = layer->w ? layer->w : 1;
        cp_rectangle one;
        status = cp_receptive_field(session->net, response->unit[k].layer, (int)(position % columns),
                                    (int)(position / columns), &one);
        if (status)
            break;
        field->x0 = one.x0 < field->x0 ? one.x0 : field->x0;
        field->y0 = one.y0 < field->y0 ? one.y0 : field->y0;
        field->x1 = one.x1 > field->x1 ? one.x1 : field->x1;
        field->y1 = one.y1 > field->y1 ? one.y1 : field->y1;
    }
    return status;
}

static cp_status keep_subject(cp_sanity *s, const cp_session *session, const cp_item *item, const cp_subject *subject)
{
    size_t plane = session->h * session->w, maps = (size_t)s->plan.n_maps;
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 16;
        cp_sanity_subject *more = realloc(s->subject, room * sizeof *more);
        if (!more)
            return cp_fail(CP_ERESOURCE, "sanity: out of memory for %zu responses", room);
        s->subject = more;
        s->room = room;
    }
    cp_sanity_subject *k = &s->subject[s->n++];
    *k = (cp_sanity_subject){.path = strdup(item->path),
                             .response = subject->response,
                             .class_id = subject->class_id,
                             .detected = subject->detection != NULL,
                             .placement = item->placement,
                             .seed = seed_of(session, item, subject)};
    if (subject->detection) {
        k->detection = *subject->detection;
        k->detection.class_id = subject->class_id;
        k->box = cp_eval_box(session, item, subject->detection);
    }
    k->input = cp_alloc(session->c * plane, sizeof *k->input, "network input");
    k->maps = cp_alloc(maps * plane, sizeof *k->maps, "maps");
    k->made = cp_alloc(maps, sizeof *k->made, "maps");
    if (!k->path || !k->input || !k->maps || !k->made)
        return CP_ERESOURCE;
    memcpy(k->input, session->input, session->c * plane * sizeof *k->input);
    return find_field(session, &k->response, &k->field);
}

static cp_status take_subject(cp_session *session, cp_item *item, const cp_subject *subject, void *user)
{
    if (subject->class_id < 0 || session->options->target != CP_TARGET_CLASS)
        return cp_fail(CP_EINPUT, "%s: %s is no class; allowed are classes and detections' classes", item->path,
                       subject->response.text);
    return keep_subject(user, session, item, subject);
}

static cp_status take_image(cp_session *session, cp_item *item, void *user)
{
    cp_sanity *s = user;
    int n;
    cp_status status = cp_each_response(session, item, &s->request, take_subject, s, &n);
    s->images++;
    return status;
}

/* ---------------------------------------------------------------- the command */

static void free_sanity(cp_sanity *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->subject[i].path);
        cp_free(s->subject[i].input);
        cp_free(s->subject[i].maps);
        cp_free(s->subject[i].made);
    }
    for (int i = 0; i < s->n_stages; i++)
        cp_free(s->stage[i].random);
    free(s->subject);
    cp_free(s->stage);
    cp_free(s->unread);
    cp_free(s->value);
    cp_free(s->drift);
}

static cp_status choose_prefix(cp_session *s, cp_item *whole)
{
    bool list = s->list;
    s->list = false; /* one result for all images */
    cp_status status = cp_choose_prefix(s, whole);
    s->list = list;
    return status;
}

cp_status cp_run_sanity(const cp_command *command, const cp_options *options)
{
    cp_session session;
    cp_sanity s = {.session = &session};
    cp_item whole = {.path = "sanity.npz"};
    cp_status images = CP_OK;
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = cp_request_read(&session, &s.request);
    if (!status)
        status = cp_eval_plan_read(&session, &s.plan);
    for (int i = 0; i < s.plan.n_maps; i++)
        s.plan.map[i].keeps_sign = true;
    if (!status)
        status = choose_prefix(&session, &whole);
    if (!status)
        images = cp_session_each(&session, take_image, &s);
    if (!status && images && (images != CP_EINPUT || !session.list))
        status = images;
    if (!status && !s.n)
        status = images ? images : cp_fail(CP_EINPUT, "sanity: no image has a response to explain");
    if (!status)
        status = plan_stages(&s);
    if (!status)
        status = cp_sanity_measure(&s);
    if (!status)
        status = cp_sanity_report(&s, whole.prefix);
    free_sanity(&s);
    cp_session_close(&session);
    return status ? status : images;
}
