/* The true class of a photo that a classifier is asked about, as its path says it. */
#include <stdlib.h>
#include <string.h>

#include "cli/errors.h"
#include "io/error.h"
#include "io/hash.h"
#include "io/json.h"

/* Letters and digits of ASCII, and all bytes of other letters. */
static bool is_letter(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* " tiger shark " of "Tiger_shark": small letters, one blank for all that lies between words, and one at both ends, so
 * that whole words are found by strstr. " " where there is no word. Free with cp_free. */
static char *words_of(const char *text)
{
    char *words = cp_alloc(strlen(text) + 3, 1, "a label");
    size_t n = 0;
    if (!words)
        return NULL;
    words[n++] = ' ';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (is_letter(c))
            words[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        else if (words[n - 1] != ' ')
            words[n++] = ' ';
    }
    if (words[n - 1] != ' ')
        words[n++] = ' ';
    return words;
}

cp_status cp_errors_truth_open(cp_errors *e, const char *path, bool whole_words)
{
    cp_status status = cp_names_read(path, cp_model_classes(e->session->model), &e->labels);
    size_t n = status ? 0 : (size_t)cp_model_classes(e->session->model);
    if (!status && whole_words && !(e->words = cp_alloc(n, sizeof *e->words, "labels")))
        status = CP_ERESOURCE;
    for (size_t c = 0; c < n && e->words && !status; c++)
        if (!(e->words[c] = words_of(e->labels->names[c])))
            status = CP_ERESOURCE;
    return status;
}

void cp_errors_truth_close(cp_errors *e)
{
    for (int c = 0; e->words && c < cp_model_classes(e->session->model); c++)
        cp_free(e->words[c]);
    cp_free(e->words);
    cp_names_free(e->labels);
}

cp_status cp_errors_truth_hash(const cp_errors *e, char sha256[CP_SHA256_TEXT])
{
    cp_sha256 *hash;
    cp_status status = cp_sha256_begin(&hash);
    for (int c = 0; c < cp_model_classes(e->session->model) && !status; c++) {
        const char *text = e->words ? e->words[c] : e->labels->names[c];
        status = cp_sha256_add(hash, text, strlen(text) + 1);
    }
    cp_status ended = cp_sha256_end(&hash, sha256);
    return status ? status : ended;
}

/* What is looked for; NULL: a class without a label. */
static const char *label_of(const cp_errors *e, int class_id)
{
    const char *text = e->words ? e->words[class_id] : e->labels->names[class_id];
    return *text && strcmp(text, " ") ? text : NULL;
}

/* Whether the label of one class holds that of every class whose label is in the path: a tiger shark is no tiger. */
static bool holds_all(const cp_errors *e, const char *path, int class_id)
{
    for (int c = 0; c < cp_model_classes(e->session->model); c++) {
        const char *other = label_of(e, c);
        if (c == class_id || !other || !strstr(path, other))
            continue;
        if (!strstr(label_of(e, class_id), other) || !strcmp(label_of(e, class_id), other))
            return false;
    }
    return true;
}

cp_status cp_errors_truth_find(const cp_errors *e, const char *path, cp_errors_truth *truth)
{
    char *words = e->words ? words_of(path) : NULL;
    const char *in = words ? words : path;
    if (e->words && !words)
        return CP_ERESOURCE;
    *truth = (cp_errors_truth){.class_id = -1};
    for (int c = 0; c < cp_model_classes(e->session->model); c++) {
        const char *label = label_of(e, c);
        if (!label || !strstr(in, label))
            continue;
        if (truth->n < sizeof truth->first / sizeof *truth->first)
            truth->first[truth->n] = c;
        truth->n++;
        if (truth->class_id < 0 && holds_all(e, in, c))
            truth->class_id = c;
    }
    cp_free(words);
    return CP_OK;
}

cp_status cp_errors_truth_say(const cp_errors *e, const char *path, const cp_errors_truth *truth)
{
    const char *const *names = (const char *const *)e->labels->names;
    const char *remedy = e->words ? "; a .data file with labels= says what to look for" : "";
    if (!truth->n)
        return cp_fail(CP_EINPUT, "%s: left out: none of the %d labels is in its path%s", path,
                       cp_model_classes(e->session->model), remedy);
    return cp_fail(CP_EINPUT, "%s: left out: %zu labels in its path: %.60s, %.60s%s%s", path, truth->n,
                   names[truth->first[0]], names[truth->first[1]], truth->n > 2 ? ", ..." : "", remedy);
}
