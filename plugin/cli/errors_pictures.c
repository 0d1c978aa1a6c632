/* The worst and the most typical errors of each type, drawn as `explain` draws them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/errors.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "cli/where.h"
#include "io/error.h"
#include "io/file.h"

/* How a row ranks: the larger the sooner. Worst: what the network is surest of; of the missed, the largest. Most
 * typical: whose path is most like that of all errors of its type; of the missed, of the middle size. */
static double rank_of(const cp_errors_row *row, bool worst, double middle)
{
    double size = row->box[2] * row->box[3];
    if (row->type != CP_FOUND_MISSED)
        return worst ? (double)row->score : row->typical;
    return worst ? size : -fabs(log(size / middle));
}

typedef struct {
    double rank;
    size_t row;
} ranked;

static int descending(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    if (p->rank != q->rank)
        return p->rank < q->rank ? 1 : -1;
    return p->row < q->row ? -1 : p->row > q->row;
}

static double middle_size(const cp_errors_found *f)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < f->n_rows; i++)
        if (f->row[i].type == CP_FOUND_MISSED)
            sum += log(f->row[i].box[2] * f->row[i].box[3]), n++;
    return n ? exp(sum / (double)n) : NAN;
}

/* Appends the best `most` rows of a type that are not there yet. */
static cp_status choose(const cp_errors_found *f, cp_found_type type, bool worst, size_t most,
                        cp_errors_picture *pictures, size_t *n)
{
    ranked *order = cp_alloc(f->n_rows, sizeof *order, "examples");
    size_t rows = 0, taken = 0;
    double middle = middle_size(f);
    if (!order)
        return CP_ERESOURCE;
    for (size_t i = 0; i < f->n_rows; i++) {
        double rank = f->row[i].type == type ? rank_of(&f->row[i], worst, middle) : NAN;
        if (!isnan(rank))
            order[rows++] = (ranked){rank, i};
    }
    qsort(order, rows, sizeof *order, descending);
    for (size_t i = 0; i < rows && taken < most; i++) {
        bool there = false;
        for (size_t k = 0; k < *n; k++)
            there |= pictures[k].row == order[i].row;
        if (there)
            continue;
        pictures[(*n)++] = (cp_errors_picture){.row = order[i].row, .worst = worst};
        taken++;
    }
    cp_free(order);
    return CP_OK;
}

/* ---------------------------------------------------------------- one picture */

/* The detection of that number, or of a missed object the predictor that comes nearest to it. */
static cp_status subject_of(cp_errors *e, cp_item *item, const cp_errors_row *row, cp_prediction *p,
                            cp_detection *nearest, cp_subject **subject, int *n)
{
    cp_session *s = e->session;
    cp_request request = {.class_id = -1, .versus = -1, .unit_layer = -1, .box = row->number + 1};
    cp_status status = cp_predict(s, item, p);
    if (status || row->type != CP_FOUND_MISSED)
        return status ? status : cp_choose_subjects(s, item, &request, p, subject, n);
    double w = (double)item->placement.photo_w, h = (double)item->placement.photo_h;
    const cp_label label = {row->object_class, (row->box[0] + row->box[2] / 2) / w, (row->box[1] + row->box[3] / 2) / h,
                            row->box[2] / w, row->box[3] / h};
    bool there;
    status = cp_errors_nearest(s, item, &label, nearest, &there);
    if (status || !there)
        return status;
    if (!(*subject = cp_alloc(1, sizeof **subject, "responses")))
        return CP_ERESOURCE;
    **subject = (cp_subject){.detection = nearest,
                             .class_id = nearest->class_id,
                             .probability = nearest->probability,
                             .versus = -1};
    cp_label_detection(s, nearest->class_id, nearest->probability, (*subject)->label);
    *n = 1;
    return cp_response_detection(s->model, nearest, CP_TARGET_CLASS, &(*subject)->response);
}

/* "Cls error: a cat is there, overlap .82" */
static void say_error(const cp_errors *e, const cp_errors_row *row, char text[CP_DRAWN_TEXT])
{
    char number[24];
    const char *object = row->object_class < 0 ? "" : cp_session_class(e->session, row->object_class, number);
    switch (row->type) {
    case CP_FOUND_MISSED:
        snprintf(text, CP_DRAWN_TEXT, "missed %.60s, in the dashed box; the other is the nearest that the network has",
                 object);
        break;
    case CP_FOUND_BKG: snprintf(text, CP_DRAWN_TEXT, "background: nothing that is labelled is there"); break;
    case CP_FOUND_CLS: snprintf(text, CP_DRAWN_TEXT, "wrong class: it is %.60s", object); break;
    case CP_FOUND_DUPE: snprintf(text, CP_DRAWN_TEXT, "found twice: %.60s", object); break;
    case CP_FOUND_LOC:
        snprintf(text, CP_DRAWN_TEXT, "wrong place: overlap %.2f with %.60s", row->overlap, object);
        break;
    default: snprintf(text, CP_DRAWN_TEXT, "class and place are off: overlap %.2f with %.60s", row->overlap, object);
    }
}

/* The object's own box; where nothing is there, none. */
static void add_truth(const cp_errors *e, const cp_errors_row *row, cp_drawn *drawn)
{
    char number[24];
    const double *box = row->type == CP_FOUND_MISSED ? row->box : row->truth;
    drawn->has_truth = row->type != CP_FOUND_BKG && row->object_class >= 0 && box[2] > 0 && box[3] > 0;
    if (!drawn->has_truth)
        return;
    drawn->truth = (cp_photo_box){box[0], box[1], box[2], box[3]};
    snprintf(drawn->truth_label, sizeof drawn->truth_label, "true: %.60s",
             cp_session_class(e->session, row->object_class, number));
}

static cp_status draw_subject(cp_errors *e, cp_item *item, const cp_errors_row *row, const cp_subject *subject,
                              const char *tag, char png[4096])
{
    cp_session *s = e->session;
    cp_pathways paths = {0};
    cp_heat_region where;
    cp_drawn drawn;
    char error[CP_DRAWN_TEXT], kept[32], all[32], path[CP_DRAWN_TEXT], reason[300];
    cp_status status = cp_pathways_find(s, item, &subject->response, true, &paths);
    if (!status)
        status = cp_pathways_map(s, item, subject, &paths);
    if (!status)
        status = cp_where_find(s, item, subject, paths.pathway, &where);
    if (!status) {
        const cp_pathway *one = paths.pathway;
        say_error(e, row, error);
        snprintf(path, sizeof path, "%.120s: %.200s. path: %s of %s neurons", cp_file_name(item->path), error,
                 cp_grouped(one->selection.kept, kept),
                 cp_grouped(cp_model_neuron_count(s->model), all));
        cp_drawn_make(s, item, subject, path, cp_zero_map_reason(s, one->map, subject, one, reason), &drawn);
        add_truth(e, row, &drawn);
        const cp_result result = {.item = item,
                                  .subject = subject,
                                  .map = one->map,
                                  .planes = s->c,
                                  .heat = one->heat,
                                  .drawn = &drawn,
                                  .tag = tag};
        status = cp_result_write(s, CP_RESULT_PICTURE, &result, png);
    }
    cp_pathways_free(&paths);
    return status;
}

static cp_status draw_row(cp_errors *e, cp_item *whole, const cp_errors_row *row, const char *path, const char *tag,
                          char png[4096])
{
    cp_session *s = e->session;
    cp_item item = {0};
    cp_prediction prediction = {0};
    cp_detection nearest;
    cp_subject *subject = NULL;
    int n = 0;
    cp_status status = cp_item_read(s, path, &item, s->input);
    memcpy(item.prefix, whole->prefix, sizeof item.prefix);
    if (!status)
        status = cp_item_forward(s, &item);
    if (!status)
        status = subject_of(e, &item, row, &prediction, &nearest, &subject, &n);
    if (!status && n)
        status = draw_subject(e, &item, row, subject, tag, png);
    cp_free(subject);
    cp_prediction_free(&prediction);
    cp_picture_free(&item.photo);
    return status;
}

cp_status cp_errors_draw(cp_errors *e, cp_item *whole, const cp_errors_found *f, cp_errors_picture **pictures,
                         size_t *n)
{
    size_t most = (size_t)e->session->options->examples;
    cp_status status = CP_OK;
    *n = 0;
    if (!(*pictures = cp_alloc(2 * CP_FOUND_TYPES * most, sizeof **pictures, "examples")))
        return CP_ERESOURCE;
    for (int type = CP_FOUND_CLS; type < CP_FOUND_TYPES && !status; type++)
        for (int typical = 0; typical < 2 && !status; typical++)
            status = choose(f, (cp_found_type)type, !typical, most, *pictures, n);
    for (size_t k = 0, number = 0; k < *n && !status; k++) {
        cp_errors_picture *p = &(*pictures)[k];
        const cp_errors_row *row = &f->row[p->row];
        char tag[64];
        bool first = !k || f->row[p[-1].row].type != row->type || p[-1].worst != p->worst;
        number = first ? 1 : number + 1;
        snprintf(tag, sizeof tag, "-%s-%s%zu", cp_found_type_name(row->type), p->worst ? "worst" : "typical", number);
        size_t index = cp_ledger_index(e->ledger, row->line);
        status = index < e->n
                     ? draw_row(e, whole, row, e->images[index], tag, p->name)
                     : cp_fail(CP_EINPUT, "results: they have an image %zu, the list has %zu", index + 1, e->n);
    }
    return status;
}
