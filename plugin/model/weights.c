#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/file.h"
#include "io/hash.h"

enum { CHUNK = 1 << 16 }; /* floats read at a time: checked, hashed and flushed while in cache */

static const float tiny_variance = 1e-30f; /* negative ones closer to 0 than this stand for 0 */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_finite(uint32_t bits) { return (bits & 0x7f800000) != 0x7f800000; }

static bool is_negative(uint32_t bits) { return bits > 0x80000000; /* -0 is not */ }

struct cp_weights_file {
    const char *path, *cfg_name;
    const cp_cfg_net *net;
    FILE *file;
    unsigned char header[20];
    cp_sha256 *hash; /* NULL: not asked for */
    cp_weights_info info;
};

static cp_status read_bytes(const cp_weights_file *f, void *into, size_t bytes)
{
    if (fread(into, 1, bytes, f->file) == bytes) return f->hash ? cp_sha256_add(f->hash, into, bytes) : CP_OK;
    if (ferror(f->file)) return cp_fail(CP_ERESOURCE, "weights: cannot read %s", f->path);
    return cp_fail(CP_EINPUT, "weights: %s ended while it was read", f->path);
}

void cp_weights_flush(float *x, size_t n)
{
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits = bits_of(x[i]);
        if (!(bits & 0x7f800000u)) bits = 0;
        memcpy(&x[i], &bits, sizeof bits);
    }
}

/* Checks floats `first`.. of an array: the `n` of the chunk. */
static cp_status check_chunk(cp_weights_file *f, const cp_cfg_layer *layer, const cp_cfg_array *array, const float *chunk,
                             size_t first, size_t n)
{
    bool odd = false;
    bool variance = array->kind == CP_ROLLING_VARIANCE;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(chunk[i]);
        odd |= (!is_finite(bits)) | (variance & is_negative(bits));
    }
    for (size_t i = 0; odd && i < n; i++) {
        uint32_t bits = bits_of(chunk[i]);
        const char *allowed = NULL;
        if (!is_finite(bits)) {
            allowed = "a finite number";
        } else if (variance && is_negative(bits)) {
            if ((bits & 0x7fffffff) < bits_of(tiny_variance)) f->info.tiny_negative_variances++;
            else allowed = "at least 0";
        }
        if (!allowed) continue;
        char value[32];
        if (is_finite(bits)) snprintf(value, sizeof value, "%g", (double)chunk[i]);
        else snprintf(value, sizeof value, "%s%s", bits >> 31 ? "-" : "", bits & 0x7fffff ? "NaN" : "infinity");
        return cp_fail(CP_EINPUT, "weights: %s: layer %zu [%s]: %s %zu of %zu is %s, %s is needed", f->path,
                       layer->section - 1, cp_layer_type_name(layer->type), cp_array_name(array->kind), first + i,
                       array->n, value, allowed);
    }
    return CP_OK;
}

static cp_status read_header(cp_weights_file *f)
{
    cp_weights_info *info = &f->info;
    int32_t version[3];
    if (info->bytes < sizeof version) return CP_OK; /* too short for any network: told with its size */
    cp_status status = read_bytes(f, f->header, sizeof version);
    if (status != CP_OK) return status;
    memcpy(version, f->header, sizeof version);
    info->major = version[0];
    info->minor = version[1];
    info->revision = version[2];
    info->transposed = info->major > 1000 || info->minor > 1000;
    bool wide = 10L * info->major + info->minor >= 2 && info->major < 1000 && info->minor < 1000;
    info->header_bytes = wide ? 20 : 16;
    if (info->bytes < info->header_bytes) return CP_OK;
    status = read_bytes(f, f->header + sizeof version, info->header_bytes - sizeof version);
    uint32_t narrow_seen;
    memcpy(&info->seen, f->header + sizeof version, sizeof info->seen);
    memcpy(&narrow_seen, f->header + sizeof version, sizeof narrow_seen);
    if (!wide) info->seen = narrow_seen;
    return status;
}

size_t cp_weights_bytes(const cp_cfg_net *net) { return 20 + net->n_weights * sizeof(float); }

cp_status cp_weights_open(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_file **file)
{
    uint64_t bytes = 0;
    cp_weights_file *f = *file = cp_alloc(1, sizeof *f, "weights");
    if (!f) return CP_ERESOURCE;
    *f = (cp_weights_file){.path = path, .cfg_name = cfg_name, .net = net};
    cp_status status = cp_file_open(path, "weights", UINT64_MAX, &f->file, &bytes);
    f->info = (cp_weights_info){.minor = 2, .header_bytes = 20, .bytes = bytes};
    if (!status) status = read_header(f);
    size_t needed = f->info.header_bytes + net->n_weights * sizeof(float);
    if (!status && bytes != needed)
        status = cp_fail(CP_EINPUT, "weights: %s has %" PRIu64 " bytes, %s needs %zu", path, bytes, cfg_name, needed);
    if (!status && (f->info.major < 0 || f->info.minor < 0))
        status = cp_fail(CP_EINPUT, "weights: %s has version %d.%d in its header, 0.0 or later is needed", path,
                         f->info.major, f->info.minor);
    if (status) {
        cp_weights_close(f);
        *file = NULL;
    }
    return status;
}

void cp_weights_close(cp_weights_file *f)
{
    if (!f) return;
    if (f->file) fclose(f->file);
    if (f->hash) cp_sha256_end(&f->hash, NULL);
    cp_free(f);
}

static cp_status read_array(cp_weights_file *f, const cp_cfg_layer *layer, const cp_cfg_array *array, float *chunk, float *to)
{
    cp_status status = CP_OK;
    for (size_t first = 0; first < array->n && !status; first += CHUNK) {
        size_t left = array->n - first, n = left < CHUNK ? left : CHUNK;
        float *part = to ? to + first : chunk;
        status = read_bytes(f, part, n * sizeof *part);
        if (!status) status = check_chunk(f, layer, array, part, first, n);
        if (to) cp_weights_flush(part, n);
    }
    return status;
}

cp_status cp_weights_read(cp_weights_file *f, cp_weights_place place, void *user, char *sha256, cp_weights_info *info)
{
    float *chunk = NULL;
    cp_status status = CP_OK;
    if (!place && !(chunk = cp_alloc(CHUNK, sizeof *chunk, "weights"))) return CP_ERESOURCE;
    if (sha256) status = cp_sha256_begin(&f->hash);
    if (sha256 && !status) status = cp_sha256_add(f->hash, f->header, f->info.header_bytes);
    for (size_t l = 0; l < f->net->n_layers; l++) {
        const cp_cfg_layer *layer = &f->net->layers[l];
        for (size_t a = 0; a < layer->n_arrays && !status; a++)
            status = read_array(f, layer, &layer->arrays[a], chunk, place ? place(user, l, layer->arrays[a].kind) : NULL);
    }
    if (sha256 && !status) status = cp_sha256_end(&f->hash, sha256);
    if (info && !status) *info = f->info;
    cp_free(chunk);
    return status;
}

cp_status cp_weights_check(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_info *info)
{
    cp_weights_file *file;
    cp_status status = cp_weights_open(path, net, cfg_name, &file);
    if (!status) status = cp_weights_read(file, NULL, NULL, NULL, info);
    cp_weights_close(file);
    return status;
}
