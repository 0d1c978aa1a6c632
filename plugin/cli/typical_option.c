#include "cli/typical_option.h"

#include "io/error.h"

json_t *cp_path_settings(const cp_options *o)
{
    json_t *m = json_object();
    int bad = cp_json_set(m, "method", cp_json_text(o->method));
    bad |= cp_json_set(m, "sparsity", cp_json_text(o->sparsity.n ? o->sparsity.text[0] : NULL));
    bad |= cp_json_set(m, "mass", cp_json_real(o->mass));
    bad |= cp_json_set(m, "floor", cp_json_real(o->floor));
    bad |= cp_json_set(m, "rank", cp_json_text(cp_choice_name("rank", o->rank)));
    bad |= cp_json_set(m, "channels", json_boolean(cp_by_channel(o)));
    bad |= cp_json_set(m, "keeps", cp_json_text(cp_choice_name("keeps", o->keeps)));
    bad |= cp_json_set(m, "theta", cp_json_real(o->theta));
    bad |= cp_json_set(m, "gamma", cp_json_real(o->gamma));
    bad |= cp_json_set(m, "steps", cp_json_text(o->steps));
    bad |= cp_json_set(m, "baseline", cp_json_text(o->baseline));
    bad |= cp_json_set(m, "seed", json_integer(o->seed));
    if (!bad)
        return m;
    json_decref(m);
    return NULL;
}

cp_status cp_typical_open(cp_session *s)
{
    if (!s->options->typical)
        return CP_OK;
    cp_status status = cp_class_paths_read(s->options->typical, s->model, &s->typical);
    json_t *own = status ? NULL : cp_path_settings(s->options);
    if (!status && !own)
        status = CP_ERESOURCE;
    if (!status && !json_equal(own, cp_class_paths_settings(s->typical))) {
        const char *method = json_string_value(json_object_get(cp_class_paths_settings(s->typical), "method"));
        cp_note(s, "-typical: %s was counted with other settings (method %s) than these: shares are not comparable",
                s->options->typical, method ? method : "unknown");
    }
    json_decref(own);
    return status;
}

void cp_typical_close(cp_session *s)
{
    cp_class_paths_free(s->typical);
    s->typical = NULL;
}
