#include "train/insert.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/hash.h"
#include "io/json.h"

#define META "meta.json"
#define MAX_META_BYTES ((size_t)8 << 20)
#define SECTION "pathmask"

int cp_mask_layer(const char *name)
{
    int layer, used = 0;
    char again[32];
    if (sscanf(name, "layer_%5d_%n", &layer, &used) != 1 || !used || layer < 0) return -1;
    snprintf(again, sizeof again, "layer_%03d_", layer); /* no blanks, signs or other spellings of the number */
    return strncmp(name, again, (size_t)used) || (int)strlen(again) != used ? -1 : layer;
}

/* `which` ("cfg", "weights") has the hash `here`, unless meta.json does not say. */
static cp_status check_hash(const json_t *root, const char *file, const char *where, const char *which,
                            const char *here, const char *name)
{
    char key[32];
    const char *made;
    snprintf(key, sizeof key, "%s_sha256", which);
    cp_status status = cp_json_get_text(root, key, where, &made);
    if (!status && strcmp(made, here))
        return cp_fail(CP_EINPUT, "%s: made with another %s: sha256 %.12s in the file, %.12s of %s", file, which, made,
                       here, name);
    return status;
}

/* A file without meta.json is taken by its names and shapes alone. */
static cp_status check_meta(cp_npz *npz, const char *file, const cp_cfg *cfg, const char *weights_sha256)
{
    char where[400], here[CP_SHA256_TEXT];
    unsigned char *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    if (!cp_npz_has_bytes(npz, META)) return CP_OK;
    snprintf(where, sizeof where, "%.380s: " META, file);
    cp_status status = cp_npz_read_bytes(npz, META, MAX_META_BYTES, &text, &bytes);
    if (!status) status = cp_json_parse(text, bytes, where, &root);
    if (!status) status = cp_sha256_file(cp_cfg_path(cfg), here);
    if (!status) status = check_hash(root, file, where, "cfg", here, cp_cfg_path(cfg));
    if (!status && weights_sha256) status = check_hash(root, file, where, "weights", weights_sha256, "the weights");
    json_decref(root);
    cp_free(text);
    return status;
}

cp_status cp_masks_open(const char *file, const cp_cfg *cfg, const char *weights_sha256, cp_npz **npz)
{
    cp_status status = cp_npz_open(file, npz);
    if (!status) status = check_meta(*npz, file, cfg, weights_sha256);
    if (!status && !cp_npz_count(*npz)) status = cp_fail(CP_EINPUT, "%s: has no arrays", file);
    if (!status) return CP_OK;
    cp_npz_close(*npz);
    *npz = NULL;
    return status;
}

cp_status cp_masks_array(cp_npz *npz, size_t index, const char *file, const cp_cfg_net *net, int *layer,
                         cp_array_type *type)
{
    const char *name = cp_npz_name(npz, index);
    char wanted[64], found[CP_ARRAY_TYPE_TEXT];
    *layer = cp_mask_layer(name);
    if (*layer < 0 || (size_t)*layer >= net->n_layers)
        return cp_fail(CP_EINPUT, "%s: array '%.80s' is no layer of the cfg, which has %zu", file, name, net->n_layers);
    const cp_cfg_layer *l = &net->layers[*layer];
    snprintf(wanted, sizeof wanted, "layer_%03d_%s", *layer, cp_layer_type_name(l->type));
    if (strcmp(name, wanted))
        return cp_fail(CP_EINPUT, "%s: array '%.80s' is called '%s' in the cfg", file, name, wanted);
    if (cp_layer_type_is_head(l->type) || !l->out_c)
        return cp_fail(CP_EINPUT, "%s: array '%.80s': no mask goes behind such a layer", file, name);
    cp_status status = cp_npz_type(npz, index, type);
    if (status) return status;
    cp_array_type whole = cp_array_chw(type->dtype, l->out_c, l->out_h, l->out_w);
    cp_array_type channels = cp_array_chw(type->dtype, l->out_c, 1, 1);
    if (!cp_array_type_equal(type, &whole) && !cp_array_type_equal(type, &channels))
        return cp_fail(CP_EINPUT, "%s: %s is %s, in the cfg (%d, %d, %d)", file, name, cp_array_type_text(type, found),
                       l->out_c, l->out_h, l->out_w);
    return CP_OK;
}

static cp_status check_array(cp_npz *npz, size_t index, const char *file, const char *mode, const cp_cfg_net *net,
                             int *layer)
{
    char found[CP_ARRAY_TYPE_TEXT];
    cp_array_type type;
    cp_status status = cp_masks_array(npz, index, file, net, layer, &type);
    if (!status && type.dtype != CP_BOOL && (strcmp(mode, "gate") || type.dtype != CP_FLOAT32))
        return cp_fail(CP_EINPUT, "%s: %s is %s, mode %s needs bool", file, cp_npz_name(npz, index),
                       cp_array_type_text(&type, found), mode);
    return status;
}

static cp_status put_mask(cp_cfg *cfg, int layer, const char *file, const char *name, const char *mode, const char *off,
                          const char *save)
{
    size_t section = (size_t)layer + 2;
    cp_status status = cp_cfg_insert_layer(cfg, (size_t)layer + 1, SECTION, true);
    if (!status) status = cp_cfg_set(cfg, section, "file", "%s", file);
    if (!status) status = cp_cfg_set(cfg, section, "layer", "%s", name);
    if (!status) status = cp_cfg_set(cfg, section, "mode", "%s", mode);
    if (!status && off) status = cp_cfg_set(cfg, section, "off", "%s", off);
    if (!status && save) status = cp_cfg_set(cfg, section, "save", "%s", save);
    return status;
}

/* Darknet drops blanks wherever they stand. */
static cp_status check_name(const char *name)
{
    if (*name && !strpbrk(name, " \t\r\n")) return CP_OK;
    return cp_fail(CP_EINPUT, "\"%.200s\" cannot stand in a cfg, where names have no blanks", name);
}

cp_status cp_masks_insert(cp_cfg *cfg, const char *file, const char *mode, const char *off, const char *save, size_t *n)
{
    cp_npz *npz = NULL;
    cp_cfg_net *net = NULL;
    const char **names = NULL; /* by layer, NULL: no mask */
    *n = 0;
    cp_status status = check_name(file);
    if (!status && off) status = check_name(off);
    if (!status && save) status = check_name(save);
    if (!status) status = cp_cfg_check(cfg, 0, &net);
    if (!status) status = cp_masks_open(file, cfg, NULL, &npz);
    if (!status && !(names = cp_alloc(net->n_layers, sizeof *names, "masks"))) status = CP_ERESOURCE;
    for (size_t i = 0; !status && i < cp_npz_count(npz); i++) {
        int layer;
        status = check_array(npz, i, file, mode, net, &layer);
        if (!status) names[layer] = cp_npz_name(npz, i);
    }
    /* From the end: the numbers of the layers still to come stay theirs. */
    for (size_t i = names && !status ? net->n_layers : 0; !status && i-- > 0;)
        if (names[i]) {
            status = put_mask(cfg, (int)i, file, names[i], mode, off, save);
            ++*n;
        }
    cp_free(names);
    cp_npz_close(npz);
    cp_cfg_net_free(net);
    return status;
}

cp_status cp_masks_strip(cp_cfg *cfg, size_t *n)
{
    cp_status status = CP_OK;
    *n = 0;
    for (size_t s = cp_cfg_sections(cfg); !status && s-- > 1;)
        if (!strcmp(cp_cfg_type(cfg, s), SECTION)) {
            status = cp_cfg_remove_layer(cfg, s - 1);
            ++*n;
        }
    return status;
}
