/* Which maps `eval` measures, and by which tests. */
#include "cli/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/json.h"
#include "io/suggest.h"

const cp_eval_metric_row cp_eval_metrics[CP_EVAL_METRICS] = {
    [CP_EVAL_DELETION] = {"deletion", "area under the probability while the highest pixels take the photo's mean colour", -1, true},
    [CP_EVAL_INSERTION] = {"insertion", "area under it while the highest pixels come back into the blurred photo", 1, true},
    [CP_EVAL_MORF] = {"morf", "area under |p0 - p| / p0 over the first tenth of the pixels, highest first, mean colour", 1, false},
    [CP_EVAL_LERF] = {"lerf", "the same, lowest first", -1, false},
    [CP_EVAL_ROAD_MORF] = {"road-morf", "ROAD: area under the probability, highest pixels imputed first", -1, false},
    [CP_EVAL_ROAD_LERF] = {"road-lerf", "the same, lowest first", 1, false},
    [CP_EVAL_ENERGY] = {"energy", "share of the map in the box or mask", 1, true},
    [CP_EVAL_LIFT] = {"lift", "that divided by the box's or mask's share of the photo", 1, false},
    [CP_EVAL_POINTING] = {"pointing", "share of photos whose highest pixel lies in the box or mask", 1, true},
    [CP_EVAL_RANKING] = {"ranking", "share of the box's or mask's pixels that are among as many highest ones", 1, false},
    [CP_EVAL_COMPACTNESS] = {"compactness", "spread around the highest pixel, in units of half the diagonal of the box or around the mask", -1, false},
    [CP_EVAL_CONFUSION] = {"odi", "of the map in any true box, the share in other objects' boxes", -1, false},
    [CP_EVAL_GINI] = {"gini", "sparseness: Gini's index of the map", 0, false},
    [CP_EVAL_ENTROPY] = {"entropy", "of the map as a distribution over the photo's pixels, in bits", 0, false},
    [CP_EVAL_SENSITIVITY] = {"sensitivity", "largest relative change of the map over ten inputs within .02 of the photo", -1, false},
    [CP_EVAL_SUFFICIENCY] = {"sufficiency", "share of the response that the map's path keeps alone", 1, false},
    [CP_EVAL_NECESSITY] = {"necessity", "share of the response that is lost without the path", 1, false},
    [CP_EVAL_CPR] = {"cpr", "area under the share of the response that the k best neurons keep, over k", 1, false},
    [CP_EVAL_CMD] = {"cmd", "area under the distance of that share from 1", -1, false},
    [CP_EVAL_SECONDS] = {"seconds", "time for the map, with the scores of a path", -1, true},
};

#define MAP_FORM "NAME[:SCORES][@SPARSITY][~BLUR]"

/* Told apart from a name that is no map's but a method's: its paths are wanted, by pathway:NAME. */
static cp_status unknown_map(const char *name)
{
    const char *names[CP_EVAL_MAPS];
    char list[600] = "", hint[200];
    int n = 0;
    for (const cp_attribution *a = cp_attributions; a->name && n < CP_EVAL_MAPS; a++) {
        names[n++] = a->name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "", a->name);
    }
    if (cp_method_find(name))
        return cp_fail(CP_EINPUT, "-methods: %s scores neurons; did you mean pathway:%s, the pathway gradient of its paths, or "
                                  "contribution:%s?", name, name, name);
    return cp_fail(CP_EINPUT, "-methods: unknown map \"%.60s\", allowed is a list of " MAP_FORM ", NAME one of %s%s", name, list,
                   cp_suggest(name, names, n, hint, sizeof hint));
}

/* Part of a map's name: what follows `mark`, up to the next mark. *there: the mark is. */
static cp_status take_part(const char *name, char mark, char part[64], bool *there)
{
    const char *at = strchr(name, mark);
    *there = at;
    snprintf(part, 64, "%.*s", at ? (int)strcspn(at + 1, ":@~") : 0, at ? at + 1 : "");
    if (at && !*part)
        return cp_fail(CP_EINPUT, "-methods: \"%.60s\" has nothing behind its %c", name, mark);
    return CP_OK;
}

/* Marks stand in the order of MAP_FORM, each once at most. */
static cp_status check_marks(const char *name)
{
    static const char marks[] = ":@~";
    const char *last = marks;
    for (const char *at = strpbrk(name, marks); at; at = strpbrk(at + 1, marks)) {
        const char *mark = strchr(marks, *at);
        if (at > strpbrk(name, marks) && mark <= last)
            return cp_fail(CP_EINPUT, "-methods: \"%.60s\": %c comes behind %c, allowed is " MAP_FORM, name, *at, *last);
        last = mark;
    }
    return CP_OK;
}

static cp_status read_number(const char *map, const char *text, double most, double *number)
{
    char *end;
    *number = strtod(text, &end);
    if (end == text || *end || !(*number >= 0 && *number < most))
        return cp_fail(CP_EINPUT, "-methods: \"%.60s\": \"%.20s\" is no number of at least 0 and below %g", map, text, most);
    return CP_OK;
}

/* NeuronMCT's unless others are named. */
static cp_status read_scores(const char *text, cp_eval_map *m)
{
    char hint[200];
    m->scores = cp_method_find(*text ? text : "mct");
    if (m->scores)
        return CP_OK;
    return cp_fail(CP_EINPUT, "-methods: \"%.60s\": unknown scores \"%.60s\", allowed are the methods of `explain -h`%s", m->name,
                   text, cp_method_suggest(text, hint, sizeof hint));
}

static cp_status read_parts(cp_eval_map *m)
{
    char scores[64], sparsity[64], blur[64];
    bool has_scores, has_sparsity, has_blur;
    cp_status status = check_marks(m->name);
    if (!status)
        status = take_part(m->name, ':', scores, &has_scores);
    if (!status)
        status = take_part(m->name, '@', sparsity, &has_sparsity);
    if (!status)
        status = take_part(m->name, '~', blur, &has_blur);
    if (!status && (has_scores || has_sparsity) && !m->method->reads_path)
        return cp_fail(CP_EINPUT, "-methods: %s reads no path and so has no %s", m->method->name,
                       has_scores ? "scores" : "sparsity");
    if (!status && m->method->reads_path)
        status = read_scores(scores, m);
    if (!status && has_sparsity && strcmp(sparsity, "auto"))
        status = read_number(m->name, sparsity, 1, &m->sparsity);
    if (!status && has_blur)
        status = read_number(m->name, blur, .5, &m->blur);
    return status;
}

static cp_status read_map(const cp_options *o, const char *text, size_t length, cp_eval_plan *plan)
{
    cp_eval_map *m = &plan->map[plan->n_maps];
    char name[64];
    if (plan->n_maps == CP_EVAL_MAPS)
        return cp_fail(CP_EINPUT, "-methods: more than %d maps", CP_EVAL_MAPS);
    if (!length || length >= sizeof m->name)
        return cp_fail(CP_EINPUT, "-methods: a map's name of %zu characters, allowed are 1 to %zu", length, sizeof m->name - 1);
    *m = (cp_eval_map){.sparsity = NAN, .blur = o->blur < 0 ? 0 : o->blur};
    snprintf(m->name, sizeof m->name, "%.*s", (int)length, text);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(m->name, ":@~"), m->name);
    m->method = cp_attribution_find(name);
    if (!m->method)
        return unknown_map(name);
    cp_status status = read_parts(m);
    for (int i = 0; i < plan->n_maps && !status; i++)
        if (!strcmp(plan->map[i].name, m->name))
            return cp_fail(CP_EINPUT, "-methods: %s is in the list twice", m->name);
    plan->n_maps++;
    return status;
}

static bool has_map(const cp_eval_plan *plan, const char *name)
{
    for (int i = 0; i < plan->n_maps; i++)
        if (!strcmp(plan->map[i].method->name, name))
            return true;
    return false;
}

/* No number stands without these. */
static cp_status add_blind_rows(const cp_session *s, cp_eval_plan *plan)
{
    static const char *const rows[] = {"box", "cell", "centre", "random"};
    bool detector = cp_model_get_kind(s->model) == CP_DETECTOR;
    cp_status status = CP_OK;
    for (int i = detector ? 0 : 2; i < 4 && !status; i++)
        if (!has_map(plan, rows[i]))
            status = read_map(s->options, rows[i], strlen(rows[i]), plan);
    return status;
}

static cp_status unknown_metric(const char *text, size_t length)
{
    const char *names[CP_EVAL_METRICS];
    char list[400] = "", name[41], hint[200];
    for (int k = 0; k < CP_EVAL_METRICS; k++) {
        names[k] = cp_eval_metrics[k].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), ", %s", names[k]);
    }
    snprintf(name, sizeof name, "%.*s", (int)(length < 40 ? length : 40), text);
    return cp_fail(CP_EINPUT, "-metrics: unknown test \"%s\", allowed is a list of all%s%s", name, list,
                   cp_suggest(name, names, CP_EVAL_METRICS, hint, sizeof hint));
}

static cp_status read_metrics(const char *list, cp_eval_plan *plan)
{
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        plan->metric[k] = !list && cp_eval_metrics[k].unasked;
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        size_t length = strcspn(at, ",");
        int found = -1;
        for (int k = 0; k < CP_EVAL_METRICS; k++)
            if (strlen(cp_eval_metrics[k].name) == length && !strncmp(cp_eval_metrics[k].name, at, length))
                found = k;
        bool all = length == 3 && !strncmp(at, "all", 3);
        for (int k = 0; k < CP_EVAL_METRICS; k++)
            plan->metric[k] |= all || k == found;
        if (found < 0 && !all)
            return unknown_metric(at, length);
        at += length;
    }
    return CP_OK;
}

cp_status cp_eval_plan_read(const cp_session *s, cp_eval_plan *plan)
{
    const cp_options *o = s->options;
    const char *list = o->methods ? o->methods : CP_DEFAULT_MAPS;
    cp_status status = CP_OK;
    *plan = (cp_eval_plan){.n_points = o->points + 1};
    for (int i = 0; i <= o->points; i++)
        plan->fraction[i] = (double)i / o->points;
    for (const char *at = list; at && !status; at = *at ? at + 1 : NULL) {
        size_t length = strcspn(at, ",");
        status = read_map(o, at, length, plan);
        at += length;
    }
    if (!status)
        status = add_blind_rows(s, plan);
    return status ? status : read_metrics(o->metrics, plan);
}

json_t *cp_eval_plan_json(const cp_eval_plan *plan)
{
    json_t *object = json_object(), *maps = json_array(), *tests = json_array();
    int bad = 0;
    for (int i = 0; i < plan->n_maps; i++) {
        const cp_eval_map *m = &plan->map[i];
        json_t *map = json_object();
        bad |= cp_json_set(map, "name", cp_json_text(m->name));
        bad |= cp_json_set(map, "read", cp_json_text(m->method->magnitude ? "magnitude" : "signed"));
        bad |= cp_json_set(map, "blur", cp_json_real(m->blur));
        bad |= cp_json_append(maps, map);
    }
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        if (plan->metric[k])
            bad |= cp_json_append(tests, cp_json_text(cp_eval_metrics[k].name));
    bad |= cp_json_set(object, "maps", maps);
    bad |= cp_json_set(object, "metrics", tests);
    bad |= cp_json_set(object, "points", json_integer(plan->n_points - 1));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}
