/* Whatever the bytes: reading and checking a cfg ends without a crash, a leak or a large allocation; what is accepted
 * can be written, read again to the same network, and edited. Built with clang -fsanitize=fuzzer, or with a main that
 * replays files. */
#include "fuzz_file.h"

#include "model/cfg.h"

/* The names of sources are absolute, so equal networks have equal numbers everywhere. */
static void compare(const cp_cfg_net *a, const cp_cfg_net *b)
{
    require(a->n_layers == b->n_layers && a->inputs == b->inputs && a->n_weights == b->n_weights &&
                a->parse_bytes == b->parse_bytes, "written and read again: another network");
    for (size_t i = 0; i < a->n_layers; i++) {
        const cp_cfg_layer *p = &a->layers[i], *q = &b->layers[i];
        require(p->type == q->type && p->outputs == q->outputs && p->out_c == q->out_c, "another layer");
        require(p->n_sources == q->n_sources && !memcmp(p->sources, q->sources, p->n_sources * sizeof *p->sources),
                "other sources");
    }
}

/* An [activation] put behind a layer and taken out again changes nothing. */
static void edit(cp_cfg *cfg, const cp_cfg_net *net, size_t at)
{
    cp_cfg_net *edited = NULL;
    if (cp_layer_type_is_head(net->layers[at].type)) return;
    require(cp_cfg_insert_layer(cfg, at + 1, "activation", true) == CP_OK, "insert");
    cp_status status = cp_cfg_check(cfg, SIZE_MAX, &edited);
    /* The new layer moves heads and what reads them apart, and makes layer 0 of a dropout no more; nothing else may
     * fail. */
    if (status == CP_OK) require(edited->n_layers == net->n_layers + 1, "layers after the insertion");
    cp_cfg_net_free(edited);
    require(cp_cfg_remove_layer(cfg, at + 1) == CP_OK, "remove");
    require(cp_cfg_check(cfg, SIZE_MAX, &edited) == CP_OK, "check after insertion and removal");
    compare(net, edited);
    cp_cfg_net_free(edited);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cp_cfg *cfg = NULL, *again = NULL;
    cp_cfg_net *net = NULL, *net_again = NULL;
    char *text = NULL;
    size_t length = 0;
    if (cp_cfg_parse("fuzz", (const char *)data, size, &cfg) != CP_OK) return 0;
    require(cp_cfg_render(cfg, &text, &length) == CP_OK, "render");
    require(cp_cfg_parse("again", text, length, &again) == CP_OK, "parse again");
    if (cp_cfg_check(cfg, SIZE_MAX, &net) == CP_OK) {
        require(cp_cfg_check(again, SIZE_MAX, &net_again) == CP_OK, "check again");
        compare(net, net_again);
        edit(again, net, net->n_layers / 2);
        require(cp_cfg_prepare(cfg, 1, 0, 0) == CP_OK, "prepare");
    } else {
        require(cp_cfg_check(again, SIZE_MAX, &net_again) != CP_OK, "refused, then accepted");
    }
    cp_free(text);
    cp_cfg_net_free(net);
    cp_cfg_net_free(net_again);
    cp_cfg_free(again);
    cp_cfg_free(cfg);
    return 0;
}
