/* `layers`: what the network is made of, what it costs, and what of it is not supported. */
#include "cli/commands.h"
#include "cli/session.h"
#include "io/error.h"
#include "io/json.h"
#include "model/cfg.h"
#include "model/weights.h"

#include <stdlib.h>
#include <string.h>

/* One row; a layer whose shape could not be found has a type and perhaps a reason. */
typedef struct {
    int index;
    const char *type;
    const cp_cfg_layer *layer; /* NULL: not checked */
    char reason[512];          /* what is wrong with it; "" when nothing is, or when an earlier layer hides it */
} layer_row;

typedef struct {
    layer_row *row;
    size_t n, refused;
    double macs;
    size_t neurons, neuron_layers, outputs;
    cp_status status;          /* of the whole cfg; its message is in `error` */
    char error[1024];
} layer_table;

/* The message without the file and the layer, which the row names already: "line 14: not supported: ...". */
static void add_reason(layer_row *row, const char *text)
{
    const char *behind = strstr(text, "], ");
    size_t length = strlen(row->reason);
    snprintf(row->reason + length, sizeof row->reason - length, "%s%s", length ? "; " : "", behind ? behind + 3 : text);
}

/* All that is wrong, by layer. The status is that of the first fault, and counts the others. */
static void add_blames(const cp_cfg_net *net, layer_table *table)
{
    for (size_t i = 0; i < net->n_blames; i++) {
        const cp_cfg_blame *blame = &net->blames[i];
        if (!blame->section) continue; /* [net] has no row */
        layer_row *row = &table->row[blame->section - 1];
        table->refused += !row->reason[0];
        add_reason(row, blame->text);
    }
    if (!net->n_blames) return;
    table->status = CP_EINPUT;
    snprintf(table->error, sizeof table->error, "%s", net->blames[0].text);
    size_t length = strlen(table->error);
    if (net->n_blames > 1)
        snprintf(table->error + length, sizeof table->error - length, " (and %zu more)", net->n_blames - 1);
}

static cp_status fill_table(const cp_cfg *cfg, cp_cfg_net **net, layer_table *table)
{
    table->n = cp_cfg_sections(cfg) > 0 ? cp_cfg_sections(cfg) - 1 : 0;
    table->row = cp_alloc(table->n, sizeof *table->row, "layers");
    if (!table->row)
        return CP_ERESOURCE;
    for (size_t i = 0; i < table->n; i++)
        table->row[i] = (layer_row){.index = (int)i, .type = cp_cfg_type(cfg, i + 1)};
    table->status = cp_cfg_check_all(cfg, 0, net);
    if (table->status) {
        snprintf(table->error, sizeof table->error, "%s", cp_error());
        return CP_OK;
    }
    add_blames(*net, table);
    for (size_t i = 0; i < (*net)->n_shaped; i++) {
        const cp_cfg_layer *l = &(*net)->layers[i];
        table->row[i].layer = l;
        table->row[i].type = cp_layer_type_name(l->type);
        table->macs += cp_layer_macs(l);
        table->outputs += l->outputs;
        table->neuron_layers += cp_layer_is_neuron_layer(l);
        table->neurons += cp_layer_is_neuron_layer(l) ? l->outputs : 0;
    }
    return CP_OK;
}

/* ---------------------------------------------------------------- text */

/* 1234 -> "1.23 K"; exact below 1000. */
static const char *short_number(double number, char text[16])
{
    static const char *const units[] = {"", " K", " M", " G", " T", " P"};
    int unit = 0;
    for (; number >= 1000 && unit < 5; unit++)
        number /= 1000;
    snprintf(text, 16, unit ? "%.3g%s" : "%.0f%s", number, units[unit]);
    return text;
}

static void print_row(const layer_row *row)
{
    const cp_cfg_layer *l = row->layer;
    char shape[48], neurons[32] = "", parameters[32] = "", macs[16] = "", bytes[16];
    if (!l || row->reason[0]) {
        printf("%5d  %-15s %s\n", row->index, row->type, row->reason[0] ? row->reason : "not checked");
        return;
    }
    if (l->out_c)
        snprintf(shape, sizeof shape, "%d x %d x %d", l->out_c, l->out_h, l->out_w);
    else
        snprintf(shape, sizeof shape, "%zu", l->outputs);
    if (cp_layer_is_neuron_layer(l))
        cp_grouped(l->outputs, neurons);
    if (l->n_weights)
        cp_grouped(l->n_weights, parameters);
    if (cp_layer_macs(l) > 0)
        short_number(cp_layer_macs(l), macs);
    printf("%5d  %-15s %-10s %17s %12s %13s %8s %8s%s\n", row->index, row->type, l->activation ? l->activation : "",
           shape, neurons, parameters, macs, short_number(4. * (double)l->outputs, bytes),
           cp_layer_type_is_head(l->type) ? "  head" : cp_layer_is_neuron_layer(l) ? "  neuron layer" : "");
}

static void print_table(const layer_table *table, const cp_cfg_net *net)
{
    char a[32], b[32], c[32], macs[16], bytes[16], weights[16];
    printf("%5s  %-15s %-10s %17s %12s %13s %8s %8s\n", "layer", "type", "activation", "output (c,h,w)", "neurons",
           "parameters", "MAC", "bytes");
    for (size_t i = 0; i < table->n; i++)
        print_row(&table->row[i]);
    if (table->status) {
        printf("refused: %s of %s layers\n", cp_grouped(table->refused, a), cp_grouped(table->n, b));
        return;
    }
    printf("input %d x %d x %d; %s layers, %s of them neuron layers with %s neurons\n", net->c, net->h, net->w,
           cp_grouped(table->n, a), cp_grouped(table->neuron_layers, b), cp_grouped(table->neurons, c));
    printf("%s parameters (%sB); per image %s MAC and %sB of activations\n", cp_grouped(net->n_weights, a),
           short_number(4. * (double)net->n_weights, weights), short_number(table->macs, macs),
           short_number(4. * (double)table->outputs, bytes));
}

/* ---------------------------------------------------------------- JSON */

static json_t *row_json(const layer_row *row)
{
    json_t *object = json_object();
    const cp_cfg_layer *l = row->layer;
    int bad = cp_json_set(object, "layer", json_integer(row->index));
    bad |= cp_json_set(object, "type", cp_json_text(row->type));
    bad |= cp_json_set(object, "refused", row->reason[0] ? cp_json_text(row->reason) : json_null());
    bad |= cp_json_set(object, "checked", json_boolean(l != NULL));
    if (l) {
        json_t *sources = json_array();
        for (size_t i = 0; i < l->n_sources; i++)
            bad |= cp_json_append(sources, json_integer(l->sources[i]));
        bad |= cp_json_set(object, "activation", cp_json_text(l->activation));
        bad |= cp_json_set(object, "output_chw", json_pack("[i,i,i]", l->out_c, l->out_h, l->out_w));
        bad |= cp_json_set(object, "outputs", json_integer((json_int_t)l->outputs));
        bad |= cp_json_set(object, "neuron_layer", json_boolean(cp_layer_is_neuron_layer(l)));
        bad |= cp_json_set(object, "head", json_boolean(cp_layer_type_is_head(l->type)));
        bad |= cp_json_set(object, "parameters", json_integer((json_int_t)l->n_weights));
        bad |= cp_json_set(object, "macs", json_integer((json_int_t)cp_layer_macs(l)));
        bad |= cp_json_set(object, "bytes", json_integer((json_int_t)(4 * l->outputs)));
        bad |= cp_json_set(object, "sources", sources);
    }
    return cp_json_finish(object, bad);
}

static cp_status write_json(const cp_session *s, const layer_table *table, const cp_cfg_net *net)
{
    json_t *object = json_object(), *layers = json_array();
    int bad = 0;
    for (size_t i = 0; i < table->n; i++)
        bad |= cp_json_append(layers, row_json(&table->row[i]));
    bad |= cp_json_set(object, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(object, "command", cp_json_text("layers"));
    bad |= cp_json_set(object, "cfg", cp_json_text(s->cfg_path));
    bad |= cp_json_set(object, "refused", table->status ? cp_json_text(table->error) : json_null());
    bad |= cp_json_set(object, "layers", layers);
    if (!table->status) {
        bad |= cp_json_set(object, "input_chw", json_pack("[i,i,i]", net->c, net->h, net->w));
        bad |= cp_json_set(object, "neuron_layers", json_integer((json_int_t)table->neuron_layers));
        bad |= cp_json_set(object, "neurons", json_integer((json_int_t)table->neurons));
        bad |= cp_json_set(object, "parameters", json_integer((json_int_t)net->n_weights));
        bad |= cp_json_set(object, "macs", json_integer((json_int_t)table->macs));
        bad |= cp_json_set(object, "activation_bytes", json_integer((json_int_t)(4 * table->outputs)));
    }
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, stdout);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------- the command */

cp_status cp_run_layers(const cp_command *command, const cp_options *options)
{
    cp_session s = {.options = options, .command = command};
    layer_table table = {0};
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    const char *data;
    cp_status status = cp_session_arguments(&s, false, &data);
    if (!status && s.n_images)
        status = cp_fail(CP_EINPUT, "layers: takes no image, found \"%.200s\"", s.images[0]);
    if (!status)
        status = cp_cfg_read(s.cfg_path, &cfg);
    if (!status)
        status = fill_table(cfg, &net, &table);
    if (!status && !table.status && s.weights_path)
        status = cp_weights_check(s.weights_path, net, s.cfg_path, NULL);
    if (!status && options->json)
        status = write_json(&s, &table, net);
    else if (!status && table.n)
        print_table(&table, net);
    for (size_t i = 0; !status && !table.status && i < net->n_warnings; i++)
        cp_note(&s, "%s", net->warnings[i]);
    if (!status && table.status)
        status = cp_fail(table.status, "%s", table.error);
    cp_free(table.row);
    cp_cfg_net_free(net);
    cp_cfg_free(cfg);
    return status;
}
