/* `score`: contributions of all neurons, to an .npz. */
#include "cli/commands.h"
#include "cli/edges_file.h"
#include "cli/results.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"

/* Mean, least and greatest score above zero. */
static cp_status report(const cp_session *s, const cp_item *item, const cp_subject *subject, const float *score,
                        const cp_scoring *scoring, const char *file, const char *edges)
{
    size_t n = cp_model_neuron_count(s->model), positive = 0, best = 0;
    double sum = 0, response = cp_frame_response(s->frame, 0, &subject->response);
    char all[32], above[32];
    for (size_t i = 0; i < n; i++) {
        positive += score[i] > 0;
        sum += score[i];
        if (score[i] > score[best])
            best = i;
    }
    double greatest = n ? score[best] : 0;
    if (!s->options->json) {
        fprintf(s->out, "response: %s = %.6g\n", subject->response.text, response);
        fprintf(s->out, "score: %s, %s neurons, %s above zero, sum %.6g, greatest %.4g\nfile: %s%s%s\n",
                s->options->method,
               cp_grouped(n, all), cp_grouped(positive, above), sum, greatest, file,
                *edges ? " " : "", edges);
        cp_scoring_print(s, scoring, true, s->out);
        return CP_OK;
    }
    json_t *object = cp_item_json(s, item), *line = json_object();
    int bad = cp_json_set(line, "response", cp_json_text(subject->response.text));
    bad |= cp_json_set(line, "value", cp_json_real(response));
    bad |= cp_json_set(line, "method", cp_json_text(s->options->method));
    bad |= cp_json_set(line, "neurons", json_integer((json_int_t)n));
    bad |= cp_json_set(line, "above_zero", json_integer((json_int_t)positive));
    bad |= cp_json_set(line, "sum", cp_json_real(sum));
    bad |= cp_json_set(line, "greatest", cp_json_real(greatest));
    bad |= cp_json_set(line, "scoring", cp_scoring_json(s, scoring));
    bad |= cp_json_set(line, "file", cp_json_text(file));
    if (*edges)
        bad |= cp_json_set(line, "edges", cp_json_text(edges));
    bad |= cp_json_set(object, "score", line);
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

static cp_status score_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    char file[4096], edges[4096] = "";
    cp_scoring scoring;
    float *score = cp_alloc(cp_model_neuron_count(s->model), sizeof *score, "scores");
    if (!score)
        return CP_ERESOURCE;
    double began = cp_seconds();
    cp_status status = cp_method_score(s, cp_method_find(s->options->method), &subject->response, score, &scoring);
    double scored = cp_seconds() - began;
    const cp_result result = {.item = item, .subject = subject, .score = score, .tag = subject->tag};
    if (!status)
        status = cp_result_write(s, CP_RESULT_SCORE, &result, file);
    if (!status)
        status = s->options->edges ? cp_write_edges(s, item, subject, subject->tag, edges) : CP_OK;
    if (!status)
        status = report(s, item, subject, score, &scoring, file, edges);
    if (!status)
        cp_note(s, "%s: read %.3f, forward %.3f, score %.3f s; peak memory %zu MB", item->path, item->read, item->forward,
                scored, cp_peak_memory() >> 20);
    cp_scoring_free(&scoring);
    cp_free(score);
    return status;
}

static cp_status score_image(cp_session *s, cp_item *item, void *user)
{
    return cp_each_subject(s, item, user, score_subject);
}

cp_status cp_run_score(const cp_command *command, const cp_options *options) { return cp_run_on_images_together(command, options, score_image); }
