/* What `errors` found, for people and for programs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/errors.h"
#include "cli/mean_text.h"
#include "io/json.h"

/* The order of the tables. */
static const cp_found_type order[] = {CP_FOUND_RIGHT, CP_FOUND_CLS, CP_FOUND_LOC,   CP_FOUND_BOTH,
                                      CP_FOUND_DUPE,  CP_FOUND_BKG, CP_FOUND_MISSED};
enum { TYPES = sizeof order / sizeof *order, SHOWN_CLUSTERS = 8, SHOWN_CHANNELS = 3, SHOWN_CLASSES = 12 };

static const double TELLING = .2; /* a channel that so many more hold than of the right answers is named */

static const char *const meanings[CP_FOUND_TYPES] = {[CP_FOUND_RIGHT] = "right",
                                                     [CP_FOUND_CLS] = "wrong class",
                                                     [CP_FOUND_LOC] = "wrong place",
                                                     [CP_FOUND_BOTH] = "wrong class and place",
                                                     [CP_FOUND_DUPE] = "found twice",
                                                     [CP_FOUND_BKG] = "nothing is there",
                                                     [CP_FOUND_MISSED] = "an object that nothing found"};

static const char *name_of(const cp_errors *e, int class_id, char text[24])
{
    return class_id < 0 ? "-" : cp_session_class(e->session, class_id, text);
}

static const cp_precision_report *boxes_of(const cp_errors_found *f) { return f->confusion ? NULL : &f->precision; }

/* ---------------------------------------------------------------- JSON */

static json_t *mean_json(const cp_mean *mean)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "n", json_integer((json_int_t)mean->n));
    bad |= cp_json_set(object, "mean", cp_json_real(mean->mean));
    bad |= cp_json_set(object, "error", cp_json_real(mean->error));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *integer(size_t number) { return json_integer((json_int_t)number); }

static int set_precision(json_t *object, const cp_class_precision *one)
{
    int bad = cp_json_set(object, "objects", integer(one->objects));
    bad |= cp_json_set(object, "detections", integer(one->found));
    bad |= cp_json_set(object, "right", integer(one->type[CP_FOUND_RIGHT]));
    bad |= cp_json_set(object, "area", cp_json_real(one->area));
    bad |= cp_json_set(object, "points11", cp_json_real(one->points11));
    bad |= cp_json_set(object, "points101", cp_json_real(one->points101));
    bad |= cp_json_set(object, "tide", cp_json_real(one->tide));
    for (int k = 0; k < TYPES; k++)
        if (order[k] != CP_FOUND_RIGHT)
            bad |= cp_json_set(object, cp_found_type_name(order[k]), integer(one->type[order[k]]));
    return bad;
}

static json_t *precision_json(const cp_errors *e, const cp_precision_report *p)
{
    if (!p)
        return json_null();
    json_t *object = json_object(), *classes = json_array();
    char text[24];
    int bad = cp_json_set(object, "least_score", cp_json_real(CP_ERRORS_LEAST));
    bad |= set_precision(object, &p->all);
    bad |= cp_json_set(object, "classes_with_objects", integer(p->classes_with_objects));
    bad |= cp_json_set(object, "area_of_those", cp_json_real(p->area_of_those));
    bad |= cp_json_set(object, "gain_positives", cp_json_real(p->gain_positives));
    bad |= cp_json_set(object, "gain_negatives", cp_json_real(p->gain_negatives));
    bad |= cp_json_set(object, "classes", classes);
    for (int c = 0; c < cp_model_classes(e->session->model); c++) {
        json_t *one = json_object();
        if (!p->by_class[c].objects && !p->by_class[c].found) {
            json_decref(one);
            continue;
        }
        bad |= cp_json_append(classes, one);
        bad |= cp_json_set(one, "class", json_integer(c));
        bad |= cp_json_set(one, "name", cp_json_text(cp_session_class(e->session, c, text)));
        bad |= set_precision(one, &p->by_class[c]);
    }
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static int append_types(const cp_errors_found *f, json_t *array)
{
    int bad = 0;
    for (int k = 0; k < TYPES; k++) {
        cp_found_type t = order[k];
        json_t *one = json_object();
        bad |= cp_json_append(array, one);
        bad |= cp_json_set(one, "type", cp_json_text(cp_found_type_name(t)));
        bad |= cp_json_set(one, "shown", integer(f->type[t]));
        bad |= cp_json_set(one, "all", f->confusion ? integer(f->type[t]) : integer(f->precision.all.type[t]));
        bad |= cp_json_set(one, "gain",
                           f->confusion || t == CP_FOUND_RIGHT ? json_null() : cp_json_real(f->precision.gain[t]));
        bad |= cp_json_set(one, "inside", mean_json(&f->inside[t]));
        bad |= cp_json_set(one, "path_overlap", mean_json(&f->path_overlap[t]));
        bad |= cp_json_set(one, "path_inside", mean_json(&f->path_inside[t]));
    }
    return bad;
}

static int set_channel(const cp_errors *e, json_t *object, size_t channel)
{
    int layer;
    size_t in_layer;
    cp_errors_channel(e->session->model, channel, &layer, &in_layer);
    int bad = cp_json_set(object, "layer", json_integer(layer));
    return bad | cp_json_set(object, "channel", integer(in_layer));
}

static int append_clusters(const cp_errors *e, const cp_errors_found *f, json_t *array)
{
    int bad = 0;
    for (size_t i = 0; i < f->n_clusters; i++) {
        const cp_errors_cluster *c = &f->cluster[i];
        json_t *one = json_object(), *classes = json_array(), *shared = json_array();
        bad |= cp_json_append(array, one);
        bad |= cp_json_set(one, "type", cp_json_text(cp_found_type_name(c->type)));
        bad |= cp_json_set(one, "cluster", json_integer(c->number));
        bad |= cp_json_set(one, "members", integer(c->members));
        bad |= cp_json_set(one, "image", integer(cp_ledger_index(e->ledger, f->row[c->first].line)));
        bad |= cp_json_set(one, "classes", classes);
        bad |= cp_json_set(one, "shared", shared);
        for (int k = 0; k < cp_model_classes(e->session->model); k++) {
            if (!c->classes[k])
                continue;
            json_t *of = json_object();
            bad |= cp_json_append(classes, of);
            bad |= cp_json_set(of, "class", json_integer(k));
            bad |= cp_json_set(of, "members", json_integer(c->classes[k]));
        }
        for (size_t k = 0; k < c->n_shared; k++) {
            json_t *channel = json_object();
            bad |= cp_json_append(shared, channel);
            bad |= set_channel(e, channel, c->shared[k]);
            bad |= cp_json_set(channel, "held", cp_json_real(c->held[k]));
            bad |= cp_json_set(channel, "held_right", cp_json_real(c->held_right[k]));
        }
    }
    return bad;
}

static int append_enriched(const cp_errors *e, const cp_errors_found *f, json_t *array)
{
    int bad = 0;
    char text[24];
    for (size_t i = 0; i < f->n_enriched; i++) {
        const cp_errors_enriched *c = &f->enriched[i];
        json_t *one = json_object(), *channels = json_array();
        bad |= cp_json_append(array, one);
        bad |= cp_json_set(one, "class", json_integer(c->class_id));
        bad |= cp_json_set(one, "name", cp_json_text(cp_session_class(e->session, c->class_id, text)));
        bad |= cp_json_set(one, "wrong", integer(c->wrong));
        bad |= cp_json_set(one, "right", integer(c->right));
        bad |= cp_json_set(one, "channels", channels);
        for (size_t k = 0; k < c->n; k++) {
            json_t *channel = json_object();
            bad |= cp_json_append(channels, channel);
            bad |= set_channel(e, channel, c->found[k].channel);
            bad |= cp_json_set(channel, "wrong", integer(c->found[k].wrong));
            bad |= cp_json_set(channel, "right", integer(c->found[k].right));
            bad |= cp_json_set(channel, "log_odds", cp_json_real(c->found[k].log_odds));
            bad |= cp_json_set(channel, "p", cp_json_real(c->found[k].p));
            bad |= cp_json_set(channel, "p_adjusted", cp_json_real(c->found[k].adjusted));
        }
    }
    return bad;
}

static int append_pictures(const cp_errors *e, const cp_errors_found *f, const cp_errors_picture *pictures, size_t n,
                           json_t *array)
{
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        const cp_errors_row *row = &f->row[pictures[i].row];
        json_t *one = json_object();
        bad |= cp_json_append(array, one);
        bad |= cp_json_set(one, "type", cp_json_text(cp_found_type_name(row->type)));
        bad |= cp_json_set(one, "why", cp_json_text(pictures[i].worst ? "worst" : "typical"));
        bad |= cp_json_set(one, "image", integer(cp_ledger_index(e->ledger, row->line)));
        size_t index = cp_ledger_index(e->ledger, row->line);
        bad |= cp_json_set(one, "path", index < e->n ? cp_json_text(e->images[index]) : json_null());
        bad |= cp_json_set(one, "number", json_integer(row->number));
        bad |= cp_json_set(one, "picture", *pictures[i].name ? cp_json_text(pictures[i].name) : json_null());
    }
    return bad;
}

json_t *cp_errors_json(const cp_errors *e, const cp_errors_found *f, const cp_errors_picture *pictures, size_t n)
{
    json_t *object = json_object(), *types = json_array(), *clusters = json_array(), *enriched = json_array(),
           *drawn = json_array();
    int bad = cp_json_set(object, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(object, "command", cp_json_text("errors"));
    bad |= cp_json_set(object, "kind", cp_json_text(f->confusion ? "classifier" : "detector"));
    bad |= cp_json_set(object, "images", integer(f->images));
    bad |= cp_json_set(object, "unreadable", integer(f->unreadable));
    bad |= cp_json_set(object, "unlabelled", integer(f->unlabelled));
    bad |= cp_json_set(object, "ambiguous", integer(f->ambiguous));
    bad |= cp_json_set(object, "bad_label_files", integer(f->bad_label_files));
    bad |= cp_json_set(object, "thresh", f->confusion ? json_null() : cp_json_real(e->shown));
    bad |= cp_json_set(object, "precision", precision_json(e, boxes_of(f)));
    bad |= cp_json_set(object, "types", types);
    bad |= append_types(f, types);
    bad |= cp_json_set(object, "alike", cp_json_real(f->alike));
    bad |= cp_json_set(object, "clusters", clusters);
    bad |= append_clusters(e, f, clusters);
    bad |= cp_json_set(object, "permutations", json_integer(CP_ERRORS_PERMUTATIONS));
    bad |= cp_json_set(object, "over_represented", enriched);
    bad |= append_enriched(e, f, enriched);
    bad |= cp_json_set(object, "pictures", drawn);
    bad |= append_pictures(e, f, pictures, n, drawn);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

/* ---------------------------------------------------------------- text */

static void print_precision(const cp_errors *e, const cp_precision_report *p, FILE *to)
{
    fprintf(to, "mAP@0.5 %.2f%%, the area under the curve as `detector map` has it, over all %d classes; ",
            100 * p->all.area, cp_model_classes(e->session->model));
    if (p->classes_with_objects)
        fprintf(to, "%.2f%% over the %zu that have objects; ", 100 * p->area_of_those, p->classes_with_objects);
    else
        fprintf(to, "none of them has an object; ");
    fprintf(to, "11 points %.2f%%, 101 points %.2f%%\n", 100 * p->all.points11, 100 * p->all.points101);
    fprintf(to, "TIDE's AP %.2f%%; without any false positive %+.2f, without any false negative %+.2f\n",
            100 * p->all.tide, 100 * p->gain_positives, 100 * p->gain_negatives);
}

static void print_types(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    bool boxes = !f->confusion;
    fprintf(to, "%-8s%8s%10s%8s  %-*s%-18s%s\n", "type", "shown", boxes ? "all" : "", boxes ? "dAP" : "",
            boxes ? 18 : 2, boxes ? "map in the box" : "", "path as class", "meaning");
    for (int k = 0; k < TYPES; k++) {
        cp_found_type t = order[k];
        if (!boxes && t != CP_FOUND_RIGHT && t != CP_FOUND_CLS)
            continue;
        fprintf(to, "%-8s%8zu", cp_found_type_name(t), f->type[t]);
        if (boxes)
            fprintf(to, "%10zu", f->precision.all.type[t]);
        if (boxes && t != CP_FOUND_RIGHT)
            fprintf(to, "%8.2f", 100 * f->precision.gain[t]);
        else
            fprintf(to, "%*s", boxes ? 8 : 18, "");
        fprintf(to, "  ");
        if (boxes)
            cp_mean_print(&f->inside[t], to);
        fprintf(to, "  ");
        cp_mean_print(&f->path_overlap[t], to);
        fprintf(to, "  %s\n", meanings[t]);
    }
    if (boxes)
        fprintf(to, "shown: probability of at least %g, explained; all: at least %g, which AP and dAP count\n",
                e->shown, CP_ERRORS_LEAST);
}

static void print_channel(const cp_errors *e, size_t channel, FILE *to)
{
    int layer;
    size_t in_layer;
    cp_errors_channel(e->session->model, channel, &layer, &in_layer);
    fprintf(to, "layer %d channel %zu", layer, in_layer);
}

/* Those of three members and more. */
static void print_clusters(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    int shown = 0;
    for (size_t i = 0; i < f->n_clusters && shown < SHOWN_CLUSTERS; i++) {
        const cp_errors_cluster *c = &f->cluster[i];
        char text[24];
        int classes = 0;
        if (c->members < 3)
            continue;
        if (!shown++)
            fprintf(to, "errors that share one path (as alike as two right answers of one class: Jaccard %.2f)\n",
                    f->alike);
        fprintf(to, "  %zu of %zu %s errors:", c->members, f->sampled[c->type], cp_found_type_name(c->type));
        for (int k = 0; k < cp_model_classes(e->session->model); k++)
            if (c->classes[k] && classes++ < 4)
                fprintf(to, " %d %s", c->classes[k], name_of(e, k, text));
        fprintf(to, "%s", classes > 4 ? " ..." : "");
        for (size_t k = 0; k < c->n_shared && k < SHOWN_CHANNELS && c->held[k] - c->held_right[k] >= TELLING; k++) {
            fprintf(to, "%s", k ? ", " : "; ");
            print_channel(e, c->shared[k], to);
            fprintf(to, " (in %.0f%%, of right answers in %.0f%%)", 100 * c->held[k], 100 * c->held_right[k]);
        }
        fprintf(to, "\n");
    }
}

static void print_enriched(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    size_t tested = f->n_enriched, said = 0;
    for (size_t i = 0; i < f->n_enriched; i++) {
        const cp_errors_enriched *c = &f->enriched[i];
        char text[24];
        for (size_t k = 0; k < c->n && k < SHOWN_CHANNELS && said < SHOWN_CLASSES; k++) {
            if (c->found[k].adjusted > .05)
                break;
            if (!said++)
                fprintf(to, "channels that wrong answers of a class use and right ones do not\n");
            fprintf(to, "  %-16.60s", name_of(e, c->class_id, text));
            print_channel(e, c->found[k].channel, to);
            fprintf(to, ": %zu of %zu wrong, %zu of %zu right, log odds %.1f, p %.2g, over all channels %.2g\n",
                    c->found[k].wrong, c->wrong, c->found[k].right, c->right, c->found[k].log_odds, c->found[k].p,
                    c->found[k].adjusted);
        }
    }
    if (tested)
        fprintf(to,
                "%s%zu class%s had wrong and right answers to compare; p over all channels: by %d permutations, "
                "the smallest "
                "p of any channel (Westfall and Young); classes are not corrected for: "
                "of %zu, %.2g would fall below .05 by chance\n",
                said ? "" : "no channel is over-represented in wrong answers: ", tested, tested == 1 ? "" : "es",
                CP_ERRORS_PERMUTATIONS, tested, .05 * (double)tested);
}

static void print_confusion(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    int n = cp_model_classes(e->session->model), before = -1;
    fprintf(to, "top-1 %.2f%%\n", f->n_rows ? 100. * (double)f->type[CP_FOUND_RIGHT] / (double)f->n_rows : NAN);
    for (int shown = 0; shown < 10; shown++) {
        int worst = -1;
        char a[24], b[24];
        for (int i = 0; i < n * n; i++) {
            bool after = before < 0 || f->confusion[i] < f->confusion[before] ||
                         (i > before && f->confusion[i] == f->confusion[before]);
            if (i / n != i % n && f->confusion[i] && after && (worst < 0 || f->confusion[i] > f->confusion[worst]))
                worst = i;
        }
        if (worst < 0)
            break;
        if (!shown)
            fprintf(to, "most frequent confusions\n");
        fprintf(to, "  %4zu  %.60s called %.60s\n", f->confusion[worst], name_of(e, worst / n, a),
                name_of(e, worst % n, b));
        before = worst;
    }
}

/* Which images do not count, and why. */
static void print_left_out(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    const char *remedy = e->words ? " (a .data file with labels= says what to look for)" : "";
    if (f->unreadable)
        fprintf(to, "; %zu could not be read", f->unreadable);
    if (f->unlabelled && !f->confusion)
        fprintf(to, "; %zu have no label file and count as empty", f->unlabelled);
    else if (f->unlabelled)
        fprintf(to, "; %zu left out, with no label in the path%s", f->unlabelled, remedy);
    if (f->ambiguous)
        fprintf(to, "; %zu left out, with several labels in the path%s", f->ambiguous, remedy);
    if (f->bad_label_files)
        fprintf(to, "; %zu left out, with a bad line in the label file", f->bad_label_files);
}

void cp_errors_print(const cp_errors *e, const cp_errors_found *f, FILE *to)
{
    const cp_precision_report *p = boxes_of(f);
    fprintf(to, "%zu image%s", f->images, f->images == 1 ? "" : "s");
    if (p)
        fprintf(to, ", %zu objects, %zu detections of at least %g", p->all.objects, p->all.found, CP_ERRORS_LEAST);
    print_left_out(e, f, to);
    fprintf(to, "\n");
    if (p)
        print_precision(e, p, to);
    else
        print_confusion(e, f, to);
    print_types(e, f, to);
    print_clusters(e, f, to);
    print_enriched(e, f, to);
}
