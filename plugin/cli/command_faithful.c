/* `faithful`: what the zeroed network answers over path size, and the sparsest path that keeps the prediction. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "eval/zeroed.h"
#include "io/atomic.h"
#include "io/chart.h"
#include "io/error.h"
#include "io/json.h"
#include "io/progress.h"
#include "path/statistics.h"

#include <math.h>
#include <string.h>

static const char *const curve_names[CP_FAITHFUL_CURVES] = {"keep", "remove", "keep_random", "remove_random"};
static const char *const curve_titles[CP_FAITHFUL_CURVES] = {"keep the path", "remove the path", "keep random",
                                                             "remove random"};
/* In tables each curve stands beside its chance level. */
static const int columns[CP_FAITHFUL_CURVES] = {CP_KEEP, CP_KEEP_RANDOM, CP_REMOVE, CP_REMOVE_RANDOM};

/* One response, measured. */
typedef struct {
    cp_session *session;
    cp_item *item;
    const cp_subject *subject;
    cp_faithful faithful;
    cp_sparsest sparsest;
    char csv[4096], png[4096], npz[4096]; /* "" where not written */
    double scoring, measuring, searching;
    bool sought;          /* the sparsest path was asked for */
    double *dead;         /* by point: share of the path's neurons that are dead; NAN of an empty path and of all neurons */
    bool *cut;            /* the path is cut */
    size_t windows, negative; /* of max-pools in the whole network; those whose winner is below zero */
} report;

/* How far f of all neurons that score may be from the whole network's 1 before the report says why. */
static const double NOTED_GAP = .05;

static double share_of(const report *r, const cp_faithful_point *point)
{
    return (double)point->kept / (double)cp_model_neuron_count(r->session->model);
}

static double response_f(const report *r, const cp_measure *m)
{
    return cp_faithful_share(m->response, r->faithful.full.response, r->faithful.empty.response);
}

static double probability_f(const report *r, const cp_measure *m)
{
    return cp_faithful_share(m->probability, r->faithful.full.probability, r->faithful.empty.probability);
}

/* ---------------------------------------------------------------- text */

static const char *cell(double value, int digits, char text[24])
{
    if (isnan(value))
        snprintf(text, 24, "-");
    else
        snprintf(text, 24, "%.*f", digits, value);
    return text;
}

static void print_curves(const report *r)
{
    FILE *to = r->session->out;
    const cp_faithful *f = &r->faithful;
    char kept[32], a[24], b[24];
    fprintf(to, "%12s %8s", "", "");
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        fprintf(to, "  %16s", curve_titles[columns[c]]);
    fprintf(to, "\n%12s %8s", "neurons", "share");
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        fprintf(to, "  %8s %7s", "f", "p");
    fprintf(to, "\n");
    for (int p = 0; p < f->n; p++) {
        const cp_faithful_point *point = &f->point[p];
        fprintf(to, "%12s %7.2f%%", cp_grouped(point->kept, kept), 100 * share_of(r, point));
        for (int c = 0; c < CP_FAITHFUL_CURVES; c++) {
            const cp_measure *m = &point->curve[columns[c]];
            fprintf(to, "  %8s %7s", cell(response_f(r, m), 3, a), cell(m->probability, 4, b));
        }
        fprintf(to, "\n");
    }
    fprintf(to, "%21s", "area under f");
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        fprintf(to, "  %8s %7s", cell(f->area[columns[c]].response, 3, a), "");
    fprintf(to, "\n%21s", "of the probability");
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        fprintf(to, "  %8s %7s", "", cell(f->area[columns[c]].probability, 3, a));
    fprintf(to, "\n");
}

/* A winner below zero has rivals further below, whose scores are 0. Off the path they count as zero, so one of them
 * wins. */
static void count_negative_windows(report *r)
{
    const cp_session *s = r->session;
    for (int i = 0; i < cp_model_layer_count(s->model); i++) {
        const cp_layer_info *info = cp_model_layer(s->model, i);
        const float *winner = strcmp(info->type, "maxpool") ? NULL : cp_frame_output(s->frame, i, 0);
        size_t n = winner ? info->c * info->h * info->w : 0;
        r->windows += n;
        for (size_t k = 0; k < n; k++)
            r->negative += winner[k] < 0;
    }
}

/* Why the path of all neurons that score is not the whole network, where max-pools are the reason. */
static void print_pools(const report *r)
{
    FILE *to = r->session->out;
    const cp_faithful *f = &r->faithful;
    double kept = NAN;
    char n[32], all[32];
    for (int p = 0; p < f->n; p++)
        if (f->point[p].kept == f->largest)
            kept = response_f(r, &f->point[p].curve[CP_KEEP]);
    if (!r->negative || !(fabs(kept - 1) > NOTED_GAP))
        return;
    fprintf(to, "all %s neurons that score give f = %.3f, not 1: in %s of %s max-pool windows (%.0f%%) the winner is "
            "below zero;\n  its rivals, off the path, count as zero there and win, so this zeroed network is another "
            "one\n",
            cp_grouped(f->largest, n), kept, cp_grouped(r->negative, all), cp_grouped(r->windows, (char[32]){0}),
            100. * (double)r->negative / (double)r->windows);
}

/* Dead share and cut of each size's path. */
static cp_status look_at_paths(report *r, cp_scores *scores)
{
    const cp_session *s = r->session;
    int n, points = r->faithful.n;
    cp_path *path = NULL;
    cp_cut cut;
    cp_model_neuron_layers(s->model, &n);
    cp_layer_statistics *rows = cp_alloc((size_t)n, sizeof *rows, "paths");
    r->dead = cp_alloc((size_t)points, sizeof *r->dead, "paths");
    r->cut = cp_alloc((size_t)points, sizeof *r->cut, "paths");
    cp_status status = rows && r->dead && r->cut ? cp_path_create(s->model, &path) : CP_ERESOURCE;
    for (int p = 0; p < points && !status; p++) {
        size_t kept = r->faithful.point[p].kept, dead = 0;
        r->dead[p] = NAN;
        if (!kept || kept > r->faithful.largest)
            continue;
        status = cp_best_path(path, scores, kept);
        if (status)
            break;
        cp_path_layer_statistics(path, s->frame, 0, NULL, rows);
        for (int l = 0; l < n; l++)
            dead += rows[l].kept_dead;
        r->dead[p] = (double)dead / (double)kept;
        status = cp_scores_find_cut(scores, path, &r->subject->response, &cut);
        r->cut[p] = cut.cut;
    }
    cp_path_free(path);
    cp_free(rows);
    return status;
}

/* "the class stays the largest, probability at least 0.5 times the original's" */
static void criterion(const cp_sparsest *s, char text[160])
{
    if (!isnan(s->box_least)) {
        snprintf(text, 160, "a box of the class overlaps it by an IoU of at least 0.5, with a probability of at least %.4g",
                 s->box_least);
        return;
    }
    snprintf(text, 160, "%s%s at least %g times the original's", s->argmax ? "the class stays the largest, " : "",
             isnan(s->full.probability) ? "response" : "probability", 1 - s->loss);
}

static void print_sparsest(const report *r)
{
    FILE *to = r->session->out;
    const cp_sparsest *s = &r->sparsest;
    size_t neurons = cp_model_neuron_count(r->session->model);
    char kept[32], all[32], asked[160], a[24];
    criterion(s, asked);
    if (!s->found) {
        fprintf(to, "sparsest path that keeps the prediction (%s): none, not even the largest; sizes tried: %d\n",
                asked, s->runs);
        return;
    }
    fprintf(to, "sparsest path that keeps the prediction (%s):\n  %s of %s neurons, sparsity %.6g; response %.6g, "
            "probability %s; sizes tried: %d", asked, cp_grouped(s->kept, kept), cp_grouped(neurons, all),
            1 - (double)s->kept / (double)neurons, s->measure.response, cell(s->measure.probability, 4, a), s->runs);
    if (!isnan(s->box))
        fprintf(to, "\n  the box's probability, objectness times class: %.4f of the path, %.4f of the whole network", s->box,
                s->box_full);
    if (!s->kept)
        fprintf(to, "\n  the biases alone keep it; a smaller -eps asks for more");
    if (s->bisected > s->kept)
        fprintf(to, "; bisection alone gives %s", cp_grouped(s->bisected, kept));
    fprintf(to, "\n");
}

static void print_report(const report *r)
{
    FILE *to = r->session->out;
    const cp_faithful *f = &r->faithful;
    char a[24], b[24];
    fprintf(to, "response: %s = %.6g, probability %s; all neurons zero: %.6g, probability %s\n",
            r->subject->response.text, f->full.response, cell(f->full.probability, 4, a), f->empty.response,
            cell(f->empty.probability, 4, b));
    fprintf(to, "%s; f = (response - that at zero) / (whole network's - that at zero); p: probability\n",
            r->faithful.kind == CP_KEPT ? "zeroed network whose max-pools look at the path alone" : "zeroed network");
    print_curves(r);
    print_pools(r);
    if (r->sought)
        print_sparsest(r);
    cp_print_files(to, r->csv, r->png, r->npz, NULL);
}

/* ---------------------------------------------------------------- JSON */

static json_t *measure_json(double response, double probability)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "response", cp_json_real(response));
    bad |= cp_json_set(object, "probability", cp_json_real(probability));
    if (bad) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *point_json(const report *r, int p)
{
    const cp_faithful_point *point = &r->faithful.point[p];
    json_t *object = json_object();
    int bad = cp_json_set(object, "kept", json_integer((json_int_t)point->kept));
    bad |= cp_json_set(object, "share", cp_json_real(share_of(r, point)));
    bad |= cp_json_set(object, "keeps", json_boolean(point->keeps));
    bad |= cp_json_set(object, "dead", cp_json_real(r->dead[p]));
    bad |= cp_json_set(object, "cut", isnan(r->dead[p]) ? json_null() : json_boolean(r->cut[p]));
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++) {
        const cp_measure *m = &point->curve[c], *s = &point->deviation[c];
        json_t *curve = measure_json(m->response, m->probability);
        bad |= !curve;
        bad |= curve && cp_json_set(curve, "f", measure_json(response_f(r, m), probability_f(r, m)));
        if (curve && c >= CP_KEEP_RANDOM)
            bad |= cp_json_set(curve, "deviation", measure_json(s->response, s->probability));
        bad |= cp_json_set(object, curve_names[c], curve);
    }
    if (bad) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *sparsest_json(const report *r)
{
    const cp_sparsest *s = &r->sparsest;
    double neurons = (double)cp_model_neuron_count(r->session->model);
    json_t *object = json_object();
    int bad = cp_json_set(object, "found", json_boolean(s->found));
    bad |= cp_json_set(object, "argmax", json_boolean(s->argmax));
    bad |= cp_json_set(object, "eps", cp_json_real(s->loss));
    bad |= cp_json_set(object, "box_full", cp_json_real(s->box_full));
    bad |= cp_json_set(object, "box", cp_json_real(s->box));
    bad |= cp_json_set(object, "box_least", cp_json_real(s->box_least));
    bad |= cp_json_set(object, "kept", s->found ? json_integer((json_int_t)s->kept) : json_null());
    bad |= cp_json_set(object, "sparsity", cp_json_real(s->found ? 1 - (double)s->kept / neurons : NAN));
    bad |= cp_json_set(object, "measure", measure_json(s->measure.response, s->measure.probability));
    bad |= cp_json_set(object, "bisected", json_integer((json_int_t)s->bisected));
    bad |= cp_json_set(object, "runs", json_integer(s->runs));
    if (bad) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int offpath_of(const report *r)
{
    return r->faithful.kind == CP_KEPT ? CP_OFFPATH_KEPT : CP_OFFPATH_ZEROED;
}

static cp_status write_json(const report *r)
{
    const cp_faithful *f = &r->faithful;
    json_t *object = cp_item_json(r->session, r->item), *line = json_object(), *points = json_array();
    json_t *areas = json_object();
    int bad = cp_json_set(line, "response", cp_json_text(r->subject->response.text));
    bad |= cp_json_set(line, "method", cp_json_text(r->session->options->method));
    bad |= cp_json_set(line, "offpath", cp_json_text(cp_choice_name("offpath", offpath_of(r))));
    bad |= cp_json_set(line, "rank", cp_json_text(cp_choice_name("rank", r->session->options->rank)));
    bad |= cp_json_set(line, "seed", json_integer(r->session->options->seed));
    bad |= cp_json_set(line, "draws", json_integer(r->session->options->draws));
    bad |= cp_json_set(line, "full", measure_json(f->full.response, f->full.probability));
    bad |= cp_json_set(line, "empty", measure_json(f->empty.response, f->empty.probability));
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        bad |= cp_json_set(areas, curve_names[c], measure_json(f->area[c].response, f->area[c].probability));
    bad |= cp_json_set(line, "largest", json_integer((json_int_t)f->largest));
    bad |= cp_json_set(line, "area", areas);
    for (int p = 0; p < f->n; p++)
        bad |= cp_json_append(points, point_json(r, p));
    bad |= cp_json_set(line, "points", points);
    bad |= cp_json_set(line, "pool_windows", json_integer((json_int_t)r->windows));
    bad |= cp_json_set(line, "pool_windows_below_zero", json_integer((json_int_t)r->negative));
    bad |= cp_json_set(line, "sparsest", r->sought ? sparsest_json(r) : json_null());
    bad |= cp_json_set(line, "csv", cp_json_text(r->csv));
    bad |= cp_json_set(line, "picture", *r->png ? cp_json_text(r->png) : json_null());
    bad |= cp_json_set(line, "path", *r->npz ? cp_json_text(r->npz) : json_null());
    bad |= cp_json_set(object, "faithful", line);
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, r->session->out);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------- files */

static cp_status write_csv(const report *r)
{
    cp_file *file = NULL;
    cp_status status = cp_file_begin(r->csv, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "kept,share");
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        fprintf(to, ",%s_response,%s_f,%s_probability,%s_probability_f", curve_names[c], curve_names[c],
                curve_names[c], curve_names[c]);
    fprintf(to, ",keep_random_response_deviation,remove_random_response_deviation\n");
    for (int p = 0; p < r->faithful.n; p++) {
        const cp_faithful_point *point = &r->faithful.point[p];
        fprintf(to, "%zu,%.9g", point->kept, share_of(r, point));
        for (int c = 0; c < CP_FAITHFUL_CURVES; c++) {
            const cp_measure *m = &point->curve[c];
            fprintf(to, ",%.9g,%.9g,%.9g,%.9g", m->response, response_f(r, m), m->probability, probability_f(r, m));
        }
        fprintf(to, ",%.9g,%.9g\n", point->deviation[CP_KEEP_RANDOM].response,
                point->deviation[CP_REMOVE_RANDOM].response);
    }
    return cp_file_commit(&file);
}

/* f of the response over the share of neurons, on a logarithmic axis: most happens below a tenth. */
static cp_status draw_curves(const report *r)
{
    const cp_faithful *f = &r->faithful;
    size_t n = 0; /* points but for the empty path and the whole network */
    while ((int)n + 1 < f->n && f->point[n + 1].kept <= f->largest)
        n++;
    double *x = cp_alloc(n * (1 + 2 * CP_FAITHFUL_CURVES), sizeof *x, "picture");
    cp_series series[CP_FAITHFUL_CURVES];
    cp_picture picture = {0};
    char title[200];
    if (!x)
        return CP_ERESOURCE;
    double range = fabs(f->full.response - f->empty.response);
    for (size_t p = 0; p < n; p++)
        x[p] = share_of(r, &f->point[p + 1]);
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++) {
        double *y = x + n * (size_t)(1 + 2 * c), *spread = y + n;
        for (size_t p = 0; p < n; p++) {
            y[p] = response_f(r, &f->point[p + 1].curve[c]);
            spread[p] = range > 0 ? f->point[p + 1].deviation[c].response / range : NAN;
        }
        bool drawn = c >= CP_KEEP_RANDOM && r->session->options->draws > 1;
        series[c] = (cp_series){.name = curve_titles[c], .y = y, .spread = drawn ? spread : NULL};
    }
    snprintf(title, sizeof title, "faithfulness of %.40s paths: %.120s", r->session->options->method,
             r->subject->label);
    cp_chart chart = {.title = title, .x_label = "share of the neurons on the path", .y_label = "f of the response",
                      .n_points = n, .n_series = CP_FAITHFUL_CURVES, .x = x, .series = series, .log_x = true};
    cp_status status = cp_chart_draw(&chart, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, r->png);
    cp_picture_free(&picture);
    cp_free(x);
    return status;
}

static cp_status write_files(report *r)
{
    cp_session *s = r->session;
    const char *tag = r->subject->tag;
    cp_status status = cp_output_path(s, r->item, tag, ".faithful.csv", r->csv);
    if (!status)
        status = write_csv(r);
    bool drawable = isfinite(r->faithful.area[CP_KEEP].response);
    if (!status && !s->options->no_picture && drawable) {
        status = cp_output_path(s, r->item, tag, ".faithful.png", r->png);
        if (!status)
            status = draw_curves(r);
    }
    if (status || !r->sparsest.found)
        return status;
    double sparsity = 1 - (double)r->sparsest.kept / (double)cp_model_neuron_count(s->model);
    cp_pathway pathway = {.path = r->sparsest.path, .asked = sparsity, .selection.kept = r->sparsest.kept};
    char name[64];
    snprintf(name, sizeof name, "%s.sparsest", tag);
    const cp_result result = {.item = r->item, .subject = r->subject, .pathway = &pathway, .tag = name};
    return cp_result_write(s, CP_RESULT_PATH, &result, r->npz);
}

/* ---------------------------------------------------------------- run */

static void show_progress(void *progress, double fraction) { cp_progress_update(progress, fraction); }

static cp_status measure(report *r, cp_scores *scores)
{
    const cp_options *o = r->session->options;
    double shares[CP_MAX_SPARSITIES];
    int n = 0;
    for (int i = 0; i < o->sparsity.n; i++)
        if (o->sparsity.value[i] > 0) /* all neurons: measured anyway */
            shares[n++] = 1 - o->sparsity.value[i];
    const cp_offpath offpath = {.kind = o->offpath == CP_OFFPATH_KEPT     ? CP_KEPT
                                        : o->offpath == CP_OFFPATH_ZEROED ? CP_ZEROED
                                                                          : CP_FULL,
                                .values = r->session->baseline};
    if (o->offpath == CP_OFFPATH_FROZEN)
        return cp_fail(CP_EINPUT, "faithful: in the frozen network nothing changes at the image; -offpath takes zeroed or kept");
    cp_progress *progress = cp_progress_start("faithful", 1, o->quiet || r->session->list);
    cp_run_options run = {.memory = o->mem, .progress = show_progress, .user = progress};
    cp_faithful_options curves = {.run = run, .shares = o->sparsity.n ? shares : NULL, .n_shares = n,
                                  .draws = o->draws ? o->draws : -1, .seed = (uint64_t)o->seed,
                                  .offpath = offpath, .detection = r->subject->detection,
                                  .placement = r->item->placement, .thresh = o->thresh};
    cp_sparsest_options sparsest = {.run = run, .offpath = offpath, .loss = o->eps, .checks = o->checks,
                                    .detection = r->subject->detection, .placement = r->item->placement,
                                    .thresh = o->thresh};
    const cp_response *response = &r->subject->response;
    double began = cp_seconds();
    cp_status status = cp_faithful_measure_by(r->session->frame, 0, response, scores, &curves, &r->faithful);
    cp_progress_end(&progress);
    r->measuring = cp_seconds() - began;
    began = cp_seconds();
    sparsest.run.progress = NULL;
    r->sought = o->checks > 0;
    if (!status && r->sought)
        status = cp_sparsest_find_by(r->session->frame, 0, response, scores, &sparsest, &r->sparsest);
    r->searching = cp_seconds() - began;
    return status;
}

static cp_status faithful_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    report r = {.session = s, .item = item, .subject = subject};
    cp_scoring scoring;
    cp_scores *scores;
    double began = cp_seconds();
    cp_status status =
        cp_method_scores(s, cp_method_find(s->options->method), &subject->response, NULL, &scores, &scoring);
    r.scoring = cp_seconds() - began;
    if (!status && scoring.least_share > 0)
        cp_note(s, "%s: %s puts no order on the best %.4g%% of the neurons: smaller paths take them as they come",
                item->path, s->options->method, 100 * scoring.least_share);
    cp_scoring_free(&scoring);
    count_negative_windows(&r);
    if (!status)
        status = measure(&r, scores);
    if (!status)
        status = look_at_paths(&r, scores);
    if (!status)
        status = write_files(&r);
    if (!status && s->options->json)
        status = write_json(&r);
    else if (!status)
        print_report(&r);
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f, curves %.3f, sparsest %.3f s; peak memory %zu MB",
                item->path, item->read, item->forward, r.scoring, r.measuring, r.searching, cp_peak_memory() >> 20);
    cp_faithful_free(&r.faithful);
    cp_sparsest_free(&r.sparsest);
    cp_scores_free(scores);
    cp_free(r.dead);
    cp_free(r.cut);
    return status;
}

static cp_status faithful_image(cp_session *s, cp_item *item, void *user)
{
    return cp_each_subject(s, item, user, faithful_subject);
}

cp_status cp_run_faithful(const cp_command *command, const cp_options *options) { return cp_run_on_images(command, options, faithful_image); }
