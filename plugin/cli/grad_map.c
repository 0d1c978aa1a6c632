/* `grad -method gradcam` and the other maps by name: one plane, as `eval` measures it. */
#include <math.h>
#include <string.h>

#include "cli/eval.h"
#include "cli/grad_map.h"
#include "cli/list.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"
#include "io/npy.h"

const cp_attribution *cp_grad_map_find(const char *name)
{
    return cp_method_find(name) || !strcmp(name, "gradient") ? NULL : cp_attribution_find(name);
}

cp_status cp_grad_map_check(const cp_options *o)
{
    const cp_attribution *method = cp_grad_map_find(o->method);
    if (!method)
        return CP_OK;
    if (o->path)
        return cp_fail(CP_EINPUT, "grad: -path goes with the pathway gradient, not with -method %s", o->method);
    if (o->sparsity.n && !method->reads_path)
        return cp_fail(CP_EINPUT, "grad: -method %s has no path, it goes without -sparsity", o->method);
    if (o->offpath != CP_OFFPATH_FROZEN)
        return cp_fail(CP_EINPUT, "grad: -offpath goes with the pathway gradient, not with -method %s", o->method);
    return CP_OK;
}

/* What speaks against the response is no heat; of a gradient the sign says nothing of that. */
static cp_status draw_plane(const cp_session *s, const cp_item *item, const cp_attribution *method, const float *map,
                            const cp_drawn *drawn, const char *tag, char png[4096])
{
    int wanted = cp_picture_wanted(s->options);
    *png = 0;
    if (wanted == CP_PICTURE_NONE)
        return CP_OK;
    float *shown = cp_alloc(s->h * s->w, sizeof *shown, "picture");
    if (!shown)
        return CP_ERESOURCE;
    for (size_t i = 0; i < s->h * s->w; i++)
        shown[i] = wanted == CP_PICTURE_SIGNED ? map[i] : method->magnitude ? fabsf(map[i]) : fmaxf(map[i], 0);
    bool heat = wanted != CP_PICTURE_SIGNED && method->reads_path && !method->magnitude;
    const cp_drawn_map plane = {.values = shown, .heat = heat, .c = 1, .h = s->h, .w = s->w, .placement = item->placement};
    cp_status status = cp_output_path(s, item, tag, ".png", png);
    if (!status)
        status = cp_draw_map(s->options, &item->photo, &plane, drawn, NULL, png);
    cp_free(shown);
    return status;
}

static bool is_zero(const float *map, size_t n)
{
    size_t i = 0;
    while (i < n && map[i] == 0)
        i++;
    return i == n;
}

static cp_status report(cp_session *s, const cp_item *item, const cp_subject *subject, const cp_drawn *drawn,
                        const char *npy, const char *png)
{
    double value = cp_frame_response(s->frame, 0, &subject->response);
    if (!s->options->json) {
        fprintf(s->out, "response: %s = %.6g\nmap: %s%s%s\n", subject->response.text, value, drawn->path,
                *drawn->zero ? "; zero everywhere: " : "", drawn->zero);
        cp_print_files(s->out, png, npy, NULL, NULL);
        return CP_OK;
    }
    json_t *object = cp_item_json(s, item);
    json_t *line = cp_json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "response", cp_json_text(subject->response.text),
                                "value", cp_json_real(value), "method", cp_json_text(s->options->method),
                                "zero", *drawn->zero ? cp_json_text(drawn->zero) : json_null(),
                                "map", cp_json_text(npy),
                                "picture", *png ? cp_json_text(png) : json_null(),
                                "drawn", cp_drawn_json(drawn, (const char *[]){npy}, 1));
    int bad = !line;
    bad |= cp_json_set(object, "grad", line);
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

static cp_status run_one(cp_session *s, const cp_item *item, const cp_subject *subject, cp_eval_maker *maker,
                         const cp_eval_map *which, const char *sweep, float *map)
{
    char npy[4096], png[4096], tag[64], about[CP_DRAWN_TEXT];
    const cp_attribution *method = which->method;
    cp_drawn drawn;
    cp_status status = cp_eval_make_map(maker, which, map, NULL);
    if (status)
        return status;
    snprintf(tag, sizeof tag, "%s%s", subject->tag, sweep);
    if (method->reads_path)
        snprintf(about, sizeof about, "%s; path of %zu of %zu neurons", method->meaning, cp_path_count(maker->path),
                 cp_model_neuron_count(s->model));
    else
        snprintf(about, sizeof about, "%s", method->meaning);
    cp_drawn_make(s, item, subject, about, is_zero(map, s->h * s->w) ? "nothing speaks for the response" : NULL, &drawn);
    status = draw_plane(s, item, method, map, &drawn, tag, png);
    if (!status)
        status = cp_result_write(s, CP_RESULT_MAP, &(cp_result){.item = item, .map = map, .planes = 1, .tag = tag}, npy);
    return status ? status : report(s, item, subject, &drawn, npy, png);
}

cp_status cp_grad_map_run(cp_session *s, const cp_item *item, const cp_subject *subject)
{
    const cp_options *o = s->options;
    cp_eval_target target = {subject->class_id, subject->detection, item->placement};
    cp_map_box box;
    cp_eval_map which = {.method = cp_grad_map_find(o->method), .keeps_sign = true};
    cp_eval_maker maker;
    if (subject->detection)
        box = cp_eval_box(s, item, subject->detection);
    const cp_attribution_call call = {.frame = s->frame, .response = &subject->response, .target = &target,
                                      .box = subject->detection ? &box : NULL, .layer = o->layer,
                                      .seed = (uint64_t)o->seed, .run = {.memory = o->mem}};
    snprintf(which.name, sizeof which.name, "%s", o->method);
    which.scores = which.method->reads_path ? cp_method_find("mct") : NULL;
    float *map = cp_alloc(s->h * s->w, sizeof *map, "map");
    cp_status status = cp_eval_maker_open(s, &call, &maker);
    if (!status && !map)
        status = CP_ERESOURCE;
    for (int i = 0; i < (o->sparsity.n ? o->sparsity.n : 1) && !status; i++) {
        char sweep[40] = "";
        which.sparsity = o->sparsity.n ? o->sparsity.value[i] : NAN;
        if (o->sparsity.n > 1)
            snprintf(sweep, sizeof sweep, "-%s", o->sparsity.text[i]);
        status = run_one(s, item, subject, &maker, &which, sweep, map);
    }
    cp_eval_maker_free(&maker);
    cp_free(map);
    return status;
}
