#include "io/content.h"

#include <ctype.h>
#include <string.h>

#include "io/error.h"
#include "io/formats.h"

/* ---------------------------------------------------------------- by fixed bytes */

typedef struct {
    const char *bytes;
    size_t n;
    cp_content is;
} magic;

static const magic magics[] = {
    {"\x89PNG", 4, {"a PNG picture", CP_CONTENT_PICTURE}},
    {"\xff\xd8\xff", 3, {"a JPEG picture", CP_CONTENT_PICTURE}},
    {"GIF8", 4, {"a GIF picture", CP_CONTENT_PICTURE}},
    {"8BPS", 4, {"a PSD picture", CP_CONTENT_PICTURE}},
    {"PK\3\4", 4, {"a zip archive (as .npz and .pt are)", CP_CONTENT_ZIP}},
    {"PK\5\6", 4, {"an empty zip archive", CP_CONTENT_ZIP}},
    {"\x93NUMPY", 6, {"a NumPy array (.npy)", CP_CONTENT_NPY}},
    {"\x7f" "ELF", 4, {"a program", CP_CONTENT_OTHER}},
    {"\x1f\x8b", 2, {"a gzip archive", CP_CONTENT_OTHER}},
    {"\xfd" "7zXZ", 5, {"an xz archive", CP_CONTENT_OTHER}},
    {"7z\xbc\xaf", 4, {"a 7z archive", CP_CONTENT_OTHER}},
    {"%PDF", 4, {"a PDF document", CP_CONTENT_OTHER}},
    {"\x89HDF", 4, {"an HDF5 file (as Keras writes)", CP_CONTENT_OTHER}},
    {"<!DOCTYPE", 9, {"a web page", CP_CONTENT_OTHER}},
    {"<!doctype", 9, {"a web page", CP_CONTENT_OTHER}},
    {"<html", 5, {"a web page", CP_CONTENT_OTHER}},
    {"version https://git-lfs", 23, {"a pointer of Git LFS, not the file that it stands for", CP_CONTENT_OTHER}},
};

/* ---------------------------------------------------------------- by a little more */

/* "BM", a length, and four bytes that are zero: a name may begin with BM. */
static bool is_bmp(const unsigned char *d, size_t n) { return n >= 14 && !memcmp(d, "BM", 2) && !memcmp(d + 6, "\0\0\0\0", 4); }

/* P1 to P6, a blank, and a number or a comment. */
static bool is_pnm(const unsigned char *d, size_t n)
{
    return n >= 4 && d[0] == 'P' && d[1] >= '1' && d[1] <= '6' && isspace(d[2]) && (isdigit(d[3]) || d[3] == '#');
}

/* Darknet's header: three small numbers, the version, of which not all are zero. */
static bool is_weights(const unsigned char *d, size_t n)
{
    if (n < 16) return false;
    for (int i = 0; i < 12; i++)
        if (d[i] > (i % 4 ? 0 : 9)) return false;
    return d[0] || d[4];
}

static bool is_text(const unsigned char *d, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((d[i] < 0x20 && !(d[i] >= '\t' && d[i] <= '\r')) || d[i] == 0x7f) return false;
    return true;
}

/* ---------------------------------------------------------------- texts */

/* The first line that says something, without blanks in front. *n: its bytes, as far as they are here. */
static const char *first_line(const char *text, size_t bytes, size_t *n)
{
    const char *end = text + bytes;
    if (bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) text += 3;
    for (;;) {
        while (text < end && isspace((unsigned char)*text)) text++;
        if (text == end || (*text != '#' && *text != ';')) break;
        while (text < end && *text != '\n') text++;
    }
    const char *stop = memchr(text, '\n', (size_t)(end - text));
    *n = (size_t)((stop ? stop : end) - text);
    return text;
}

static bool begins(const char *line, size_t n, const char *word)
{
    size_t m = strlen(word);
    return n >= m && !memcmp(line, word, m);
}

/* A key that only .data files have, and a =. */
static bool is_data_line(const char *line, size_t n)
{
    static const char *const keys[] = {"classes", "names", "labels", "train", "valid", "backup", "results", "eval", "top"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t m = strlen(keys[i]);
        if (!begins(line, n, keys[i])) continue;
        while (m < n && (line[m] == ' ' || line[m] == '\t')) m++;
        if (m < n && line[m] == '=') return true;
    }
    return false;
}

static const cp_content *text_of(const char *text, size_t bytes)
{
    static const cp_content cfg = {"a cfg", CP_CONTENT_CFG}, data = {"a .data file", CP_CONTENT_DATA},
                            json = {"a JSON file", CP_CONTENT_JSON}, other = {"text", CP_CONTENT_TEXT};
    size_t n;
    const char *line = first_line(text, bytes, &n);
    if (begins(line, n, "[net]") || begins(line, n, "[network]")) return &cfg;
    if (is_data_line(line, n)) return &data;
    return begins(line, n, "{") ? &json : &other;
}

const cp_content *cp_content_of(const void *head, size_t bytes)
{
    static const cp_content bmp = {"a BMP picture", CP_CONTENT_PICTURE}, pnm = {"a PNM picture", CP_CONTENT_PICTURE},
                            tiff = {"a TIFF picture", CP_CONTENT_PICTURE}, webp = {"a WebP picture", CP_CONTENT_PICTURE},
                            weights = {"a weights file of Darknet", CP_CONTENT_WEIGHTS};
    size_t n = bytes < CP_CONTENT_HEAD ? bytes : CP_CONTENT_HEAD;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (n >= magics[i].n && !memcmp(head, magics[i].bytes, magics[i].n)) return &magics[i].is;
    const cp_picture_format *format = cp_picture_format_of(head, n);
    if (format) return strcmp(format->name, "TIFF") ? &webp : &tiff;
    if (is_bmp(head, n)) return &bmp;
    if (is_pnm(head, n)) return &pnm;
    if (is_weights(head, n)) return &weights;
    return n && is_text(head, n) ? text_of(head, n) : NULL;
}

/* ---------------------------------------------------------------- what is needed */

cp_status cp_content_check(const char *kind, const char *name, const void *head, size_t bytes)
{
    static const struct {
        const char *kind;
        int right;
        const char *needed;
    } rows[] = {
        /* A broken cfg or .data file is text: its reader knows the line. */
        {"cfg", CP_CONTENT_CFG | CP_CONTENT_TEXT, "a cfg is"},
        {".data file", CP_CONTENT_DATA | CP_CONTENT_TEXT, "a .data file is"},
        {"names", CP_CONTENT_TEXT, "a list of class names is"},
        {"weights", CP_CONTENT_WEIGHTS, "weights that Darknet has written are"},
        {"picture", CP_CONTENT_PICTURE, "a picture (or, on stdin, a list of pictures) is"},
        {"npz file", CP_CONTENT_ZIP, "an .npz file is"},
        {"array", CP_CONTENT_NPY, "an .npy array is"},
        {"log", CP_CONTENT_JSON, "a log of a training is"},
        {"label file", CP_CONTENT_TEXT, "a label file is"},
        {"results", CP_CONTENT_JSON, "results of an earlier run are"},
        {"list", CP_CONTENT_TEXT, "a list of pictures is"},
        {"list of images", CP_CONTENT_TEXT, "a list of pictures is"},
        {"list of pictures", CP_CONTENT_TEXT, "a list of pictures is"},
        {"list of probes", CP_CONTENT_TEXT, "a list of pictures is"},
    };
    const cp_content *is = cp_content_of(head, bytes);
    for (size_t i = 0; is && i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(kind, rows[i].kind) || is->content & rows[i].right) continue;
        return cp_fail(CP_EINPUT, "%s: %s is %s, %s needed", kind, name, is->name, rows[i].needed);
    }
    return CP_OK;
}
