/* What the lines of the ledger come to. They are read twice, one at a time: paths of classes are known only behind
 * the last one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/errors.h"
#include "io/error.h"
#include "io/random.h"

/* A sample of at most `most` paths, each of those seen as likely as any other. */
typedef struct {
    cp_channel_set *set;
    size_t *row;
    size_t n, most, seen;
    uint64_t state;
} sample;

typedef struct {
    cp_errors *e;
    cp_errors_found *found;
    cp_precision *precision;
    int classes;
    size_t channels, room;
    cp_channel_counts *of_class; /* (classes) of right answers; without count: none yet */
    cp_channel_counts right;     /* of all of them */
    cp_channel_counts of_type[CP_FOUND_TYPES];
    sample of_errors[CP_FOUND_TYPES];
    sample *rights, *wrongs; /* (classes) */
    size_t at;               /* the row that the second reading comes to */
} gather;

/* ---------------------------------------------------------------- JSON */

static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* A number of at least 0 and below `most`, else -1. */
static int int_of(const json_t *object, const char *key, int most)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    return number >= 0 && number < most ? (int)number : -1;
}

/* Of a line that another program may have changed: what is no channel of the network is left out. Free with cp_free. */
static cp_status read_set(const json_t *object, size_t channels, cp_channel_set *set)
{
    const json_t *array = json_object_get(object, "channels");
    size_t n = json_array_size(array);
    *set = (cp_channel_set){.channel = cp_alloc(n, sizeof *set->channel, "path")};
    if (!set->channel)
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++) {
        json_int_t c = json_integer_value(json_array_get(array, i));
        if (c >= 0 && (size_t)c < channels && (!set->n || c > (json_int_t)set->channel[set->n - 1]))
            set->channel[set->n++] = (uint32_t)c;
    }
    return CP_OK;
}

/* ---------------------------------------------------------------- samples of paths */

static cp_status keep(sample *s, size_t most, uint64_t seed, const cp_channel_set *set, size_t row)
{
    if (!s->set) {
        *s = (sample){.most = most,
                      .state = seed,
                      .set = cp_alloc(most, sizeof *s->set, "paths"),
                      .row = cp_alloc(most, sizeof *s->row, "paths")};
        if (!s->set || !s->row)
            return CP_ERESOURCE;
    }
    size_t place = s->n < s->most ? s->n : (size_t)cp_random_below(&s->state, s->seen + 1);
    s->seen++;
    if (place >= s->most)
        return CP_OK;
    uint32_t *copy = cp_alloc(set->n, sizeof *copy, "paths");
    if (!copy)
        return CP_ERESOURCE;
    memcpy(copy, set->channel, set->n * sizeof *copy);
    cp_free(s->set[place].channel);
    s->set[place] = (cp_channel_set){copy, set->n};
    s->row[place] = row;
    s->n += place == s->n;
    return CP_OK;
}

static void free_sample(sample *s)
{
    for (size_t i = 0; i < s->n; i++)
        cp_free(s->set[i].channel);
    cp_free(s->set);
    cp_free(s->row);
}

/* An answer is wrong by its class: what Loc and Dupe errors see is the object itself. */
static bool wrong_class(cp_found_type type)
{
    return type == CP_FOUND_BKG || type == CP_FOUND_CLS || type == CP_FOUND_BOTH;
}

static cp_status count_path(gather *g, const json_t *object, size_t row)
{
    const cp_errors_row *r = &g->found->row[row];
    uint64_t seed = (uint64_t)g->e->session->options->seed;
    cp_channel_set set;
    cp_status status = read_set(object, g->channels, &set);
    cp_channel_counts *mine = &g->of_class[r->class_id];
    bool right = r->type == CP_FOUND_RIGHT;
    if (!status && right && !mine->count)
        status = cp_channel_counts_new(g->channels, mine);
    if (!status && right) {
        cp_channel_counts_add(mine, &set);
        cp_channel_counts_add(&g->right, &set);
        status = keep(&g->rights[r->class_id], CP_ERRORS_RIGHT_PATHS, seed, &set, row);
    } else if (!status) {
        cp_channel_counts_add(&g->of_type[r->type], &set);
        status = keep(&g->of_errors[r->type], CP_ERRORS_PATHS, seed, &set, row);
        if (!status && wrong_class(r->type))
            status = keep(&g->wrongs[r->class_id], CP_ERRORS_RIGHT_PATHS, seed, &set, row);
    }
    cp_free(set.channel);
    return status;
}

/* ---------------------------------------------------------------- the first reading */

static cp_status add_row(gather *g, const cp_errors_row *row)
{
    cp_errors_found *f = g->found;
    if (f->n_rows == g->room) {
        size_t room = g->room ? 2 * g->room : 256;
        cp_errors_row *grown = realloc(f->row, room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "errors: out of memory for %zu answers", room);
        f->row = grown;
        g->room = room;
    }
    f->row[f->n_rows++] = *row;
    f->type[row->type]++;
    return CP_OK;
}

static void read_box(const json_t *object, double box[4])
{
    for (size_t i = 0; i < 4; i++) {
        const json_t *value = json_array_get(json_object_get(object, "box"), i);
        box[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
}

static cp_status broken(const gather *g, size_t line)
{
    return cp_fail(CP_EINPUT, "results: the line of image %zu is not one of `errors`",
                   cp_ledger_index(g->e->ledger, line));
}

/* A row of which nothing is known yet. */
static cp_errors_row new_row(size_t line, int number)
{
    return (cp_errors_row){.line = line,
                           .number = number,
                           .class_id = -1,
                           .object_class = -1,
                           .overlap = NAN,
                           .inside = NAN,
                           .lift = NAN,
                           .path_overlap = NAN,
                           .path_inside = NAN,
                           .typical = NAN,
                           .cluster = -1};
}

static cp_status add_object(gather *g, size_t line, const json_t *object, int number)
{
    const cp_object became = {int_of(object, "found", INT32_MAX), int_of(object, "fixed", INT32_MAX)};
    int class_id = int_of(object, "class", g->classes);
    cp_errors_row row = new_row(line, number);
    row.type = CP_FOUND_MISSED;
    row.object_class = class_id;
    if (class_id < 0)
        return broken(g, line);
    cp_precision_add_object(g->precision, class_id, &became);
    if (!json_is_true(json_object_get(object, "missed")))
        return CP_OK;
    const json_t *nearest = json_object_get(object, "nearest");
    row.score = json_is_object(nearest) ? (float)real_of(nearest, "score") : 0;
    row.overlap = json_is_object(nearest) ? real_of(nearest, "overlap") : NAN;
    read_box(object, row.box);
    return add_row(g, &row);
}

static cp_status add_detection(gather *g, size_t line, const json_t *detection, int number, const json_t *objects)
{
    cp_verdict v = {.type = cp_found_type_of(json_string_value(json_object_get(detection, "type"))),
                    .object = int_of(detection, "object", (int)json_array_size(objects)),
                    .fixes = json_is_true(json_object_get(detection, "fixes")),
                    .same = int_of(detection, "same", (int)json_array_size(objects)),
                    .overlap = real_of(detection, "overlap")};
    int class_id = int_of(detection, "class", g->classes);
    int other = v.object < 0 ? -1 : int_of(json_array_get(objects, (size_t)v.object), "class", g->classes);
    float score = (float)real_of(detection, "score");
    if (v.type >= CP_FOUND_MISSED || class_id < 0 || isnan(score))
        return broken(g, line);
    cp_status status = cp_precision_add(g->precision, class_id, score, &v, other);
    if (status || !json_object_get(detection, "channels"))
        return status;
    cp_errors_row row = new_row(line, number);
    row.type = v.type;
    row.class_id = class_id;
    row.object_class = other;
    row.score = score;
    row.overlap = v.overlap;
    row.inside = real_of(detection, "inside");
    row.lift = real_of(detection, "lift");
    read_box(detection, row.box);
    if (v.object >= 0)
        read_box(json_array_get(objects, (size_t)v.object), row.truth);
    status = add_row(g, &row);
    return status ? status : count_path(g, detection, g->found->n_rows - 1);
}

static cp_status add_boxes(gather *g, size_t line, const json_t *record)
{
    const json_t *objects = json_object_get(record, "objects"), *detections = json_object_get(record, "detections");
    cp_status status = json_is_array(objects) && json_is_array(detections) ? CP_OK : broken(g, line);
    g->found->unlabelled += !json_is_true(json_object_get(record, "labelled"));
    for (size_t i = 0; i < json_array_size(objects) && !status; i++)
        status = add_object(g, line, json_array_get(objects, i), (int)i);
    for (size_t i = 0; i < json_array_size(detections) && !status; i++)
        status = add_detection(g, line, json_array_get(detections, i), (int)i, objects);
    cp_precision_end_image(g->precision);
    return status;
}

static cp_status add_class(gather *g, size_t line, const json_t *record)
{
    int truth = int_of(record, "class", g->classes), said = int_of(record, "said", g->classes);
    cp_errors_row row = new_row(line, 0);
    row.type = truth == said ? CP_FOUND_RIGHT : CP_FOUND_CLS;
    row.class_id = said;
    row.object_class = truth;
    row.score = (float)real_of(record, "score");
    for (int i = 0; i < 4; i++)
        row.box[i] = NAN;
    if (truth < 0 || said < 0)
        return broken(g, line);
    g->found->confusion[(size_t)truth * (size_t)g->classes + (size_t)said]++;
    cp_status status = add_row(g, &row);
    return status ? status : count_path(g, record, g->found->n_rows - 1);
}

/* Whether the line is of an image without results, counted as such. */
static bool is_left_out(cp_errors_found *f, const json_t *record)
{
    const char *why = json_string_value(json_object_get(record, "left_out"));
    bool unreadable = json_is_true(json_object_get(record, "unreadable"));
    f->unreadable += unreadable;
    if (unreadable || !why)
        return unreadable;
    f->unlabelled += !strcmp(why, cp_errors_left_out_name(CP_ERRORS_NO_LABEL));
    f->ambiguous += !strcmp(why, cp_errors_left_out_name(CP_ERRORS_LABELS));
    f->bad_label_files += !strcmp(why, cp_errors_left_out_name(CP_ERRORS_LABEL_FILE));
    f->left_out++;
    return true;
}

static cp_status first_reading(gather *g)
{
    cp_status status = CP_OK;
    for (size_t k = 0; k < cp_ledger_count(g->e->ledger) && !status; k++) {
        const json_t *record;
        status = cp_ledger_read(g->e->ledger, k, &record);
        if (status)
            break;
        g->found->images++;
        if (!is_left_out(g->found, record))
            status = g->found->confusion ? add_class(g, k, record) : add_boxes(g, k, record);
    }
    return status;
}

/* ---------------------------------------------------------------- the second reading */

static cp_status compare_path(gather *g, cp_errors_row *row, const json_t *object)
{
    double inside;
    cp_channel_set set;
    cp_status status = read_set(object, g->channels, &set);
    if (!status && g->of_class[row->class_id].count)
        row->path_overlap = cp_channel_counts_jaccard(&g->of_class[row->class_id], &set, row->type == CP_FOUND_RIGHT,
                                                      &row->path_inside);
    if (!status && row->type != CP_FOUND_RIGHT)
        row->typical = cp_channel_counts_jaccard(&g->of_type[row->type], &set, false, &inside);
    cp_free(set.channel);
    return status;
}

static cp_status second_reading(gather *g)
{
    cp_errors_found *f = g->found;
    cp_status status = CP_OK;
    while (g->at < f->n_rows && !status) {
        size_t line = f->row[g->at].line;
        const json_t *record;
        status = cp_ledger_read(g->e->ledger, line, &record);
        for (; g->at < f->n_rows && f->row[g->at].line == line && !status; g->at++) {
            cp_errors_row *row = &f->row[g->at];
            const json_t *object = f->confusion
                                       ? record
                                       : json_array_get(json_object_get(record, "detections"), (size_t)row->number);
            if (row->type != CP_FOUND_MISSED)
                status = compare_path(g, row, object);
        }
    }
    return status;
}

static cp_status mean_over(const cp_errors_found *f, cp_found_type type, size_t offset, cp_mean *mean)
{
    double *value = cp_alloc(f->n_rows, sizeof *value, "means");
    size_t n = 0;
    if (!value)
        return CP_ERESOURCE;
    for (size_t i = 0; i < f->n_rows; i++)
        if (f->row[i].type == type)
            memcpy(&value[n++], (const char *)&f->row[i] + offset, sizeof *value);
    *mean = cp_mean_of(value, n);
    cp_free(value);
    return CP_OK;
}

static cp_status fill_means(cp_errors_found *f)
{
    cp_status status = CP_OK;
    for (int t = 0; t < CP_FOUND_TYPES && !status; t++) {
        status = mean_over(f, (cp_found_type)t, offsetof(cp_errors_row, inside), &f->inside[t]);
        if (!status)
            status = mean_over(f, (cp_found_type)t, offsetof(cp_errors_row, path_overlap), &f->path_overlap[t]);
        if (!status)
            status = mean_over(f, (cp_found_type)t, offsetof(cp_errors_row, path_inside), &f->path_inside[t]);
    }
    return status;
}

/* ---------------------------------------------------------------- clusters */

/* The mean over pairs of right answers of one class: errors that are as alike go the same way. */
static double likeness(const gather *g)
{
    enum { MOST = 40 };
    double sum = 0;
    size_t pairs = 0;
    for (int c = 0; c < g->classes; c++)
        for (size_t i = 0; i < g->rights[c].n && i < MOST; i++)
            for (size_t j = 0; j < i; j++, pairs++)
                sum += cp_channel_sets_jaccard(&g->rights[c].set[i], &g->rights[c].set[j]);
    return pairs ? sum / (double)pairs : .5;
}

/* The channels that at least four of five members hold, those before others that right answers hold least. */
static cp_status find_shared(const gather *g, const sample *s, const int *number, cp_errors_cluster *c)
{
    cp_channel_counts counts;
    cp_status status = cp_channel_counts_new(g->channels, &counts);
    for (size_t i = 0; i < s->n && !status; i++)
        if (number[i] == c->number)
            cp_channel_counts_add(&counts, &s->set[i]);
    for (size_t k = 0; k < g->channels && !status; k++) {
        double held = (double)counts.count[k] / (double)counts.sets;
        double right = g->right.sets ? (double)g->right.count[k] / (double)g->right.sets : 0;
        if (5 * counts.count[k] < 4 * counts.sets)
            continue;
        size_t at = c->n_shared < CP_ERRORS_CHANNELS ? c->n_shared++ : CP_ERRORS_CHANNELS;
        for (; at > 0 && held - right > c->held[at - 1] - c->held_right[at - 1]; at--)
            if (at < CP_ERRORS_CHANNELS) {
                c->shared[at] = c->shared[at - 1];
                c->held[at] = c->held[at - 1];
                c->held_right[at] = c->held_right[at - 1];
            }
        if (at < CP_ERRORS_CHANNELS) {
            c->shared[at] = k;
            c->held[at] = held;
            c->held_right[at] = right;
        }
    }
    cp_channel_counts_free(&counts);
    return status;
}

static cp_status describe_cluster(const gather *g, cp_found_type type, const sample *s, const int *number, int k,
                                  cp_errors_cluster *c)
{
    *c = (cp_errors_cluster){.type = type,
                             .number = k,
                             .first = SIZE_MAX,
                             .classes = cp_alloc((size_t)g->classes, sizeof *c->classes, "clusters")};
    if (!c->classes)
        return CP_ERESOURCE;
    for (size_t i = 0; i < s->n; i++) {
        cp_errors_row *row = &g->found->row[s->row[i]];
        if (number[i] != k)
            continue;
        row->cluster = k;
        c->members++;
        c->classes[row->class_id]++;
        if (s->row[i] < c->first)
            c->first = s->row[i];
    }
    return find_shared(g, s, number, c);
}

static cp_status cluster_type(gather *g, cp_found_type type)
{
    const sample *s = &g->of_errors[type];
    cp_errors_found *f = g->found;
    size_t n, least = 2;
    int *number = cp_alloc(s->n, sizeof *number, "clusters");
    cp_status status = number ? cp_channel_sets_cluster(s->set, s->n, f->alike, number, &n) : CP_ERESOURCE;
    f->sampled[type] = s->n;
    for (size_t k = 0; !status && k < n; k++) {
        size_t members = 0;
        for (size_t i = 0; i < s->n; i++)
            members += number[i] == (int)k;
        if (members < least)
            break;
        cp_errors_cluster *grown = realloc(f->cluster, (f->n_clusters + 1) * sizeof *grown);
        if (!grown) {
            status = cp_fail(CP_ERESOURCE, "clusters: out of memory");
            break;
        }
        f->cluster = grown;
        status = describe_cluster(g, type, s, number, (int)k, &f->cluster[f->n_clusters++]);
    }
    cp_free(number);
    return status;
}

/* ---------------------------------------------------------------- over-represented channels */

static cp_status enrich(gather *g)
{
    cp_errors_found *f = g->found;
    cp_status status = (f->enriched = cp_alloc((size_t)g->classes, sizeof *f->enriched, "channels")) ? CP_OK
                                                                                                     : CP_ERESOURCE;
    for (int c = 0; c < g->classes && !status; c++) {
        const sample *wrong = &g->wrongs[c], *right = &g->rights[c];
        if (!wrong->n || !right->n)
            continue;
        cp_errors_enriched *one = &f->enriched[f->n_enriched++];
        *one = (cp_errors_enriched){.class_id = c, .wrong = wrong->n, .right = right->n};
        status = cp_enriched_find(wrong->set, wrong->n, right->set, right->n, g->channels, CP_ERRORS_PERMUTATIONS,
                                  (uint64_t)g->e->session->options->seed + (uint64_t)c, one->found, CP_ERRORS_CHANNELS,
                                  &one->n);
    }
    return status;
}

/* ---------------------------------------------------------------- all of it */

static cp_status start(gather *g)
{
    size_t classes = (size_t)g->classes;
    cp_status status = CP_OK;
    g->of_class = cp_alloc(classes, sizeof *g->of_class, "class paths");
    g->rights = cp_alloc(classes, sizeof *g->rights, "paths");
    g->wrongs = cp_alloc(classes, sizeof *g->wrongs, "paths");
    if (!g->of_class || !g->rights || !g->wrongs)
        return CP_ERESOURCE;
    if (cp_model_get_kind(g->e->session->model) == CP_CLASSIFIER)
        status = (g->found->confusion = cp_alloc(classes * classes, sizeof(size_t), "confusion")) ? CP_OK
                                                                                                  : CP_ERESOURCE;
    if (!status)
        status = cp_precision_new(g->classes, &g->precision);
    if (!status)
        status = cp_channel_counts_new(g->channels, &g->right);
    for (int t = 0; t < CP_FOUND_TYPES && !status; t++)
        status = cp_channel_counts_new(g->channels, &g->of_type[t]);
    return status;
}

static void end(gather *g)
{
    for (int c = 0; c < g->classes && g->of_class && g->rights && g->wrongs; c++) {
        cp_channel_counts_free(&g->of_class[c]);
        free_sample(&g->rights[c]);
        free_sample(&g->wrongs[c]);
    }
    for (int t = 0; t < CP_FOUND_TYPES; t++) {
        cp_channel_counts_free(&g->of_type[t]);
        free_sample(&g->of_errors[t]);
    }
    cp_channel_counts_free(&g->right);
    cp_free(g->of_class);
    cp_free(g->rights);
    cp_free(g->wrongs);
    cp_precision_free(g->precision);
}

cp_status cp_errors_gather(cp_errors *e, cp_errors_found *found)
{
    gather g = {.e = e,
                .found = found,
                .classes = cp_model_classes(e->session->model),
                .channels = cp_model_channel_count(e->session->model)};
    *found = (cp_errors_found){0};
    cp_status status = start(&g);
    if (!status)
        status = first_reading(&g);
    if (!status && found->unreadable == found->images)
        status = cp_fail(CP_EINPUT, "errors: none of the %zu images could be read", found->images);
    if (!status && found->unreadable + found->left_out == found->images)
        status = cp_fail(CP_EINPUT,
                         "errors: none of the %zu images counts: %zu could not be read, %zu are left out for their labels",
                         found->images, found->unreadable, found->left_out);
    if (!status)
        status = second_reading(&g);
    if (!status && !found->confusion)
        status = cp_precision_measure(g.precision, &found->precision);
    if (!status)
        status = fill_means(found);
    found->alike = status ? NAN : likeness(&g);
    for (int t = CP_FOUND_CLS; t < CP_FOUND_MISSED && !status; t++)
        status = cluster_type(&g, (cp_found_type)t);
    if (!status)
        status = enrich(&g);
    end(&g);
    return status;
}

void cp_errors_found_free(cp_errors_found *f)
{
    for (size_t i = 0; i < f->n_clusters; i++)
        cp_free(f->cluster[i].classes);
    free(f->cluster);
    free(f->row);
    cp_free(f->enriched);
    cp_free(f->confusion);
    cp_precision_report_free(&f->precision);
    *f = (cp_errors_found){0};
}

void cp_errors_channel(const cp_model *model, size_t channel, int *layer, size_t *in_layer)
{
    int n, l = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    while (l + 1 < n && cp_model_channel_offset(model, l + 1) <= channel)
        l++;
    *layer = layers[l].layer;
    *in_layer = channel - cp_model_channel_offset(model, l);
}
