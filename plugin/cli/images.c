#include "cli/images.h"

#include "cli/output_path.h"
#include "io/error.h"
#include "io/file.h"

cp_status cp_item_read(cp_session *s, const char *path, cp_item *item, float *input)
{
    cp_status status = cp_item_load(s, path, item, input);
    return status ? status : cp_choose_prefix(s, item);
}

cp_status cp_item_load(const cp_session *s, const char *path, cp_item *item, float *input)
{
    unsigned char *bytes = NULL;
    size_t n_bytes;
    *item = (cp_item){.path = path, .started = cp_seconds()};
    cp_status status = cp_file_read(path, "picture", CP_PICTURE_MAX_BYTES, &bytes, &n_bytes);
    if (!status)
        status = cp_picture_decode(bytes, n_bytes, path, &item->photo);
    if (!status)
        status = cp_sha256_memory(bytes, n_bytes, item->sha256);
    cp_free(bytes);
    if (!status && (status = cp_model_prepare_alpha(s->model, item->photo.rgb, item->photo.alpha, (size_t)item->photo.w,
                                                    (size_t)item->photo.h, (cp_fit)s->options->letterbox, input,
                                                    &item->placement)))
        cp_fail_prefix(status, "%s", path);
    if (!status)
        status = cp_sha256_memory(input, s->c * s->h * s->w * sizeof *input, item->input_sha256);
    item->read = cp_seconds() - item->started;
    return status;
}

/* What was done to the photo before anything else saw it. */
static void tell_photo(const cp_session *s, const cp_item *item)
{
    const cp_picture *photo = &item->photo;
    if (photo->orientation > 1 && cp_picture_obeys_orientation())
        cp_note(s, "%s: turned upright, as its EXIF orientation (%d) says and OpenCV builds of Darknet do; -exif 0 leaves it as "
                "stored", item->path, photo->orientation);
    else if (photo->orientation > 1)
        cp_note(s, "%s: left as stored, its EXIF orientation is %d", item->path, photo->orientation);
    if (s->c == 4 && !photo->alpha)
        cp_note(s, "%s: has no alpha, which the network reads as its fourth channel: taken as opaque", item->path);
    if (photo->largest)
        cp_note(s, "%s: 16 bits a channel, of which Darknet sees the upper 8; the largest value is %d of 65535%s", item->path,
                photo->largest, photo->largest < 32768 ? ", so it sees a dark photo" : "");
}

cp_status cp_item_forward(cp_session *s, cp_item *item)
{
    tell_photo(s, item);
    double ready = cp_seconds();
    cp_status status = cp_frame_forward(s->frame, s->input, 1, NULL);
    item->forward = cp_seconds() - ready;
    return status;
}
