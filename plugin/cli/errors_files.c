/* The files of `errors`: tables for spreadsheets and pandas, boxes as COCO has them, and the manifest of the run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/errors.h"
#include "cli/output_path.h"
#include "io/atomic.h"
#include "io/csv.h"
#include "io/error.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/json.h"

enum { MAX_FILES = 8 };

/* ---------------------------------------------------------------- CSV */

static void write_class(const cp_errors *e, int class_id, FILE *to)
{
    char text[24];
    if (class_id >= 0)
        fprintf(to, ",%d,", class_id);
    else
        fprintf(to, ",,");
    if (class_id >= 0)
        cp_csv_text(to, cp_session_class(e->session, class_id, text));
}

static cp_status write_csv(cp_errors *e, const cp_errors_found *f, const char *path)
{
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "image,type,class,name,object_class,object_name,score,x,y,w,h,overlap,inside,lift,"
                "path_overlap,path_inside,typical,"
                "cluster,index,number\n");
    for (size_t i = 0; i < f->n_rows; i++) {
        const cp_errors_row *r = &f->row[i];
        const double number[] = {(double)r->score, r->box[0],      r->box[1],  r->box[2],
                                 r->box[3],        r->overlap,     r->inside,  r->lift,
                                 r->path_overlap,  r->path_inside, r->typical, r->cluster < 0 ? NAN : r->cluster};
        size_t index = cp_ledger_index(e->ledger, r->line);
        cp_csv_text(to, index < e->n ? e->images[index] : "");
        fprintf(to, ",%s", cp_found_type_name(r->type));
        write_class(e, r->class_id, to);
        write_class(e, r->object_class, to);
        for (size_t k = 0; k < sizeof number / sizeof *number; k++)
            cp_csv_number(to, number[k]);
        fprintf(to, ",%zu,%d\n", index, r->number);
    }
    return cp_file_commit(&file);
}

/* A row per true class, a column per class said. */
static cp_status write_confusion(const cp_errors *e, const cp_errors_found *f, const char *path)
{
    cp_file *file;
    char text[24];
    int n = cp_model_classes(e->session->model);
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "true");
    for (int c = 0; c < n; c++) {
        fprintf(to, ",");
        cp_csv_text(to, cp_session_class(e->session, c, text));
    }
    for (int truth = 0; truth < n; truth++) {
        fprintf(to, "\n");
        cp_csv_text(to, cp_session_class(e->session, truth, text));
        for (int said = 0; said < n; said++)
            fprintf(to, ",%zu", f->confusion[(size_t)truth * (size_t)n + (size_t)said]);
    }
    fprintf(to, "\n");
    return cp_file_commit(&file);
}

/* ---------------------------------------------------------------- COCO */

/* One element of an array, on a line of its own. `value` is taken over. */
static cp_status write_element(json_t *value, bool *first, FILE *to)
{
    char *text = NULL;
    size_t bytes;
    cp_status status = value ? cp_json_format(value, false, &text, &bytes) : CP_ERESOURCE;
    if (!status) {
        fprintf(to, "%s\n", *first ? "" : ",");
        fwrite(text, 1, bytes - (bytes && text[bytes - 1] == '\n'), to);
        *first = false;
    }
    cp_free(text);
    json_decref(value);
    return status;
}

static double area_of(const json_t *box)
{
    return json_number_value(json_array_get(box, 2)) * json_number_value(json_array_get(box, 3));
}

/* COCO's numbers begin at 1: image_id is the place in the list, category_id the class, both + 1. */
static json_t *coco_box(size_t index, const json_t *one)
{
    json_t *object = json_object();
    int bad = cp_json_set(object, "image_id", json_integer((json_int_t)index + 1));
    bad |= cp_json_set(object, "category_id", json_integer(json_integer_value(json_object_get(one, "class")) + 1));
    bad |= cp_json_set(object, "bbox", json_incref(json_object_get(one, "box")));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static cp_status write_detections(size_t index, const json_t *record, bool *first, FILE *to)
{
    const json_t *detections = json_object_get(record, "detections");
    cp_status status = CP_OK;
    for (size_t i = 0; i < json_array_size(detections) && !status; i++) {
        const json_t *one = json_array_get(detections, i);
        json_t *object = coco_box(index, one);
        cp_json_set(object, "score", json_incref(json_object_get(one, "score")));
        status = write_element(object, first, to);
    }
    return status;
}

/* *id: of the annotation written last; COCO's own reader takes 0 for none. */
static cp_status write_objects(size_t index, const json_t *record, size_t *id, bool *first, FILE *to)
{
    const json_t *objects = json_object_get(record, "objects");
    cp_status status = CP_OK;
    for (size_t i = 0; i < json_array_size(objects) && !status; i++) {
        const json_t *one = json_array_get(objects, i);
        json_t *object = coco_box(index, one);
        cp_json_set(object, "id", json_integer((json_int_t)++ * id));
        cp_json_set(object, "area", cp_json_real(area_of(json_object_get(one, "box"))));
        cp_json_set(object, "iscrowd", json_integer(0));
        status = write_element(object, first, to);
    }
    return status;
}

static cp_status write_image(size_t index, const json_t *record, bool *first, FILE *to)
{
    json_t *object = json_object();
    cp_json_set(object, "id", json_integer((json_int_t)index + 1));
    cp_json_set(object, "file_name", json_incref(json_object_get(record, "image")));
    cp_json_set(object, "width", json_incref(json_object_get(record, "width")));
    cp_json_set(object, "height", json_incref(json_object_get(record, "height")));
    return write_element(object, first, to);
}

typedef enum { DETECTIONS, IMAGES, OBJECTS } coco_part;

static cp_status write_part(cp_errors *e, coco_part part, FILE *to)
{
    bool first = true;
    size_t id = 0;
    cp_status status = CP_OK;
    fprintf(to, "[");
    for (size_t k = 0; k < cp_ledger_count(e->ledger) && !status; k++) {
        const json_t *record;
        size_t index = cp_ledger_index(e->ledger, k);
        status = cp_ledger_read(e->ledger, k, &record);
        if (status || json_is_true(json_object_get(record, "unreadable")) || json_object_get(record, "left_out"))
            continue;
        if (part == DETECTIONS)
            status = write_detections(index, record, &first, to);
        else if (part == IMAGES)
            status = write_image(index, record, &first, to);
        else
            status = write_objects(index, record, &id, &first, to);
    }
    fprintf(to, "\n]");
    return status;
}

static cp_status write_categories(const cp_errors *e, FILE *to)
{
    bool first = true;
    char text[24];
    cp_status status = CP_OK;
    fprintf(to, "[");
    for (int c = 0; c < cp_model_classes(e->session->model) && !status; c++) {
        json_t *object = json_object();
        cp_json_set(object, "id", json_integer(c + 1));
        cp_json_set(object, "name", cp_json_text(cp_session_class(e->session, c, text)));
        status = write_element(object, &first, to);
    }
    fprintf(to, "\n]");
    return status;
}

static cp_status write_results(cp_errors *e, const char *path)
{
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (!status)
        status = write_part(e, DETECTIONS, cp_file_stream(file));
    if (status)
        cp_file_abort(&file);
    else
        fprintf(cp_file_stream(file), "\n");
    return status ? status : cp_file_commit(&file);
}

static cp_status write_truth(cp_errors *e, const char *path)
{
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "{\"images\": ");
    status = write_part(e, IMAGES, to);
    fprintf(to, ",\n\"annotations\": ");
    if (!status)
        status = write_part(e, OBJECTS, to);
    fprintf(to, ",\n\"categories\": ");
    if (!status)
        status = write_categories(e, to);
    fprintf(to, "}\n");
    if (status)
        cp_file_abort(&file);
    return status ? status : cp_file_commit(&file);
}

/* ---------------------------------------------------------------- manifest */

static cp_status set_hash(json_t *object, const char *path)
{
    char sha256[CP_SHA256_TEXT];
    cp_status status = cp_sha256_file(path, sha256);
    return status ? status : cp_json_set(object, cp_file_name(path), cp_json_text(sha256));
}

static json_t *options_json(const cp_errors *e)
{
    const cp_options *o = e->session->options;
    json_t *object = json_object();
    int bad = cp_json_set(object, "thresh", cp_json_real(e->shown));
    bad |= cp_json_set(object, "nms", cp_json_real(o->nms));
    bad |= cp_json_set(object, "mass", cp_json_real(o->mass));
    bad |= cp_json_set(object, "fit", cp_json_text(cp_fit_name((cp_fit)o->letterbox)));
    bad |= cp_json_set(object, "seed", json_integer(o->seed));
    bad |= cp_json_set(object, "examples", json_integer(o->examples));
    bad |= cp_json_set(object, "threads", json_integer(cp_threads()));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

/* Which run made the files, and when they were all there. */
static cp_status write_manifest(const cp_errors *e, const cp_errors_found *f, char files[][4096], int n,
                                const cp_errors_picture *pictures, size_t n_pictures, double writing, const char *path)
{
    const cp_session *s = e->session;
    json_t *m = json_object(), *hashes = json_object(), *seconds = json_object();
    int bad = cp_json_set(m, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(m, "command", cp_json_text("errors"));
    bad |= cp_json_set(m, "data", cp_json_text(e->data));
    bad |= cp_json_set(m, "cfg", cp_json_text(s->cfg_path));
    bad |= cp_json_set(m, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(m, "weights", cp_json_text(s->weights_path));
    bad |= cp_json_set(m, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(m, "host", cp_json_text(cp_lineage_name(cp_model_semantics(s->model)->lineage)));
    bad |= cp_json_set(m, "images", json_integer((json_int_t)f->images));
    bad |= cp_json_set(m, "options", options_json(e));
    bad |= cp_json_set(seconds, "images", cp_json_real(e->measuring));
    bad |= cp_json_set(seconds, "report", cp_json_real(writing));
    bad |= cp_json_set(m, "seconds", seconds);
    bad |= cp_json_set(m, "memory_peak_bytes", json_integer((json_int_t)cp_peak_memory()));
    bad |= cp_json_set(m, "files", hashes);
    cp_status status = bad ? CP_ERESOURCE : CP_OK;
    for (int i = 0; i < n && !status; i++)
        status = set_hash(hashes, files[i]);
    for (size_t i = 0; i < n_pictures && !status; i++)
        if (*pictures[i].name)
            status = set_hash(hashes, pictures[i].name);
    if (!status)
        status = cp_json_write_file(m, path);
    json_decref(m);
    return status;
}

/* ---------------------------------------------------------------- all of them */

cp_status cp_errors_write(cp_errors *e, cp_item *whole, const cp_errors_found *f, const cp_errors_picture *pictures,
                          size_t n_pictures)
{
    cp_session *s = e->session;
    char files[MAX_FILES][4096], manifest[4096];
    int n = 0;
    double began = cp_seconds();
    json_t *object = cp_errors_json(e, f, pictures, n_pictures);
    cp_status status = object ? cp_output_path(s, whole, "", ".jsonl", files[n]) : CP_ERESOURCE;
    if (!status && !(status = cp_output_path(s, whole, "", ".csv", files[++n])))
        status = write_csv(e, f, files[n]);
    if (!status && !(status = cp_output_path(s, whole, "", ".json", files[++n])))
        status = cp_json_write_file(object, files[n]);
    if (!status && f->confusion && !(status = cp_output_path(s, whole, "", ".confusion.csv", files[++n])))
        status = write_confusion(e, f, files[n]);
    if (!status && !f->confusion && !(status = cp_output_path(s, whole, "", ".results.json", files[++n])))
        status = write_results(e, files[n]);
    if (!status && !f->confusion && !(status = cp_output_path(s, whole, "", ".truth.json", files[++n])))
        status = write_truth(e, files[n]);
    n += !status;
    if (!status)
        status = cp_output_path(s, whole, "", ".manifest.json", manifest);
    if (!status)
        status = write_manifest(e, f, files, n, pictures, n_pictures, cp_seconds() - began, manifest);
    if (!status && s->options->json)
        status = cp_json_write_stream(object, s->out);
    if (!status && !s->options->json) {
        cp_errors_print(e, f, s->out);
        fprintf(s->out, "files:");
        for (int i = 0; i < n; i++)
            fputc(' ', s->out), cp_print_name(s->out, files[i]);
        fprintf(s->out, " %s", manifest);
        if (n_pictures)
            fprintf(s->out, " and %zu picture%s %s-TYPE-*.png", n_pictures, n_pictures == 1 ? "" : "s", whole->prefix);
        fprintf(s->out, "\n");
    }
    json_decref(object);
    return status;
}
