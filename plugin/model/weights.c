#include "model/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/file.h"

enum { CHUNK = 1 << 18 }; /* floats read at a time */

static const float tiny_variance = 1e-30f; /* negative ones closer to 0 than this stand for 0 */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_finite(uint32_t bits) { return (bits & 0x7f800000) != 0x7f800000; }

static bool is_negative(uint32_t bits) { return bits > 0x80000000; /* -0 is not */ }

typedef struct {
    const char *path;
    FILE *file;
    uint32_t *chunk;
    size_t tiny_negative_variances;
} reader;

static cp_status read_bytes(const reader *r, void *into, size_t bytes)
{
    if (fread(into, 1, bytes, r->file) == bytes) return CP_OK;
    if (ferror(r->file)) return cp_fail(CP_ERESOURCE, "weights: cannot read %s", r->path);
    return cp_fail(CP_EINPUT, "weights: %s ended while it was read", r->path);
}

/* Checks floats `first`.. of an array; `n` of them are in the chunk. */
static cp_status check_chunk(reader *r, const cp_cfg_layer *layer, const cp_cfg_array *array, size_t first, size_t n)
{
    bool odd = false;
    bool variance = array->kind == CP_ROLLING_VARIANCE;
    for (size_t i = 0; i < n; i++) odd |= !is_finite(r->chunk[i]) || (variance && is_negative(r->chunk[i]));
    for (size_t i = 0; odd && i < n; i++) {
        uint32_t bits = r->chunk[i];
        const char *allowed = NULL;
        if (!is_finite(bits)) {
            allowed = "a finite number";
        } else if (variance && is_negative(bits)) {
            if ((bits & 0x7fffffff) < bits_of(tiny_variance)) r->tiny_negative_variances++;
            else allowed = "at least 0";
        }
        if (!allowed) continue;
        char value[32];
        float number;
        memcpy(&number, &bits, sizeof number);
        if (is_finite(bits)) snprintf(value, sizeof value, "%g", (double)number);
        else snprintf(value, sizeof value, "%s%s", bits >> 31 ? "-" : "", bits & 0x7fffff ? "NaN" : "infinity");
        return cp_fail(CP_EINPUT, "weights: %s: layer %zu [%s]: %s %zu of %zu is %s, %s is needed", r->path,
                       layer->section - 1, cp_layer_type_name(layer->type), cp_array_name(array->kind), first + i,
                       array->n, value, allowed);
    }
    return CP_OK;
}

static cp_status read_header(const reader *r, uint64_t bytes, cp_weights_info *info)
{
    int32_t version[3];
    *info = (cp_weights_info){.minor = 2, .header_bytes = 20, .bytes = bytes};
    if (bytes < sizeof version) return CP_OK; /* too short for any network: told with its size */
    cp_status status = read_bytes(r, version, sizeof version);
    if (status != CP_OK) return status;
    info->major = version[0];
    info->minor = version[1];
    info->revision = version[2];
    info->transposed = info->major > 1000 || info->minor > 1000;
    bool wide = 10L * info->major + info->minor >= 2 && info->major < 1000 && info->minor < 1000;
    info->header_bytes = wide ? 20 : 16;
    if (bytes < info->header_bytes) return CP_OK;
    uint32_t narrow_seen;
    status = wide ? read_bytes(r, &info->seen, 8) : read_bytes(r, &narrow_seen, 4);
    if (!wide && status == CP_OK) info->seen = narrow_seen;
    return status;
}

size_t cp_weights_bytes(const cp_cfg_net *net) { return 20 + net->n_weights * sizeof(float); }

cp_status cp_weights_check(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_info *info)
{
    reader r = {.path = path};
    cp_weights_info found = {0};
    uint64_t bytes = 0;
    cp_status status = cp_file_open(path, "weights", UINT64_MAX, &r.file, &bytes);
    if (status != CP_OK) return status;
    r.chunk = cp_alloc(CHUNK, sizeof *r.chunk, "weights");
    status = r.chunk ? read_header(&r, bytes, &found) : CP_ERESOURCE;
    if (status != CP_OK) goto done;
    size_t needed = found.header_bytes + net->n_weights * sizeof(float);
    if (bytes != needed) {
        status = cp_fail(CP_EINPUT, "weights: %s has %" PRIu64 " bytes, %s needs %zu", path, bytes, cfg_name, needed);
        goto done;
    }
    if (found.major < 0 || found.minor < 0) {
        status = cp_fail(CP_EINPUT, "weights: %s has version %d.%d in its header, 0.0 or later is needed", path,
                         found.major, found.minor);
        goto done;
    }
    for (size_t l = 0; l < net->n_layers; l++) {
        const cp_cfg_layer *layer = &net->layers[l];
        for (size_t a = 0; a < layer->n_arrays; a++)
            for (size_t first = 0; first < layer->arrays[a].n; first += CHUNK) {
                size_t left = layer->arrays[a].n - first, n = left < CHUNK ? left : CHUNK;
                status = read_bytes(&r, r.chunk, n * sizeof *r.chunk);
                if (status == CP_OK) status = check_chunk(&r, layer, &layer->arrays[a], first, n);
                if (status != CP_OK) goto done;
            }
    }
    found.tiny_negative_variances = r.tiny_negative_variances;
    if (info) *info = found;
done:
    cp_free(r.chunk);
    fclose(r.file);
    return status;
}
