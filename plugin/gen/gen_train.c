#include "gen/gen_train.h"

#include <math.h>
#include <string.h>

#include "decode/adam.h"
#include "gen/quantise.h"
#include "io/error.h"
#include "io/random.h"

enum { MOST_BATCH = 4096 };

cp_gen_losses cp_gen_defaults(void)
{
    return (cp_gen_losses){.temperature = 2, .sparsity = .5, .alike = .1, .head = .1, .distil = 1, .allowed = .05, .rate = 1e-3,
                           .batch = 32, .epochs = 4};
}

typedef struct {
    cp_generator *generator;
    const cp_gen_sample *samples;
    size_t n, gates, input_size, count;
    const cp_gen_training *training;
    cp_gated_runs *runs;
    cp_gen_pass *pass;
    float *features;  /* (n, 2 * gates) */
    float *whole;     /* (n, classes): logits of the whole network */
    float *inputs;    /* (runs' batch, input) */
    float *rows;      /* (batch, 2 * gates): features of a batch */
    int *class_id;    /* (batch) */
    float *d_importance, *d_head, *gradient;
    cp_adam adam;
    size_t *order;
    uint64_t state;
    cp_gen_epoch sum; /* of the epoch so far; kl, kept, ... are sums */
    size_t pairs;
} job;

/* ---------------------------------------------------------------- what the whole network says */

static cp_status look_at_pictures(job *j)
{
    int batch = cp_gated_runs_batch(j->runs);
    size_t classes = (size_t)cp_model_classes(cp_generator_model(j->generator));
    cp_frame *frame = cp_gated_runs_frame(j->runs);
    cp_status status = CP_OK;
    for (size_t first = 0; first < j->n && !status; first += (size_t)batch) {
        int some = j->n - first < (size_t)batch ? (int)(j->n - first) : batch;
        for (int i = 0; i < some && !status; i++)
            status = j->training->input(j->training->user, j->samples[first + (size_t)i].picture, j->inputs + (size_t)i * j->input_size);
        if (!status)
            status = cp_frame_forward(frame, j->inputs, some, NULL);
        for (int i = 0; i < some && !status; i++) {
            size_t k = first + (size_t)i;
            cp_generator_features(j->generator, frame, i, j->features + k * 2 * j->gates);
            cp_gen_answer_read(&j->samples[k].answer, frame, i, j->whole + k * classes);
        }
    }
    return status;
}

/* ---------------------------------------------------------------- losses */

double cp_gen_alike(const float *importance, const int *class_id, int n, size_t gates, double weight, float *d_importance,
                    size_t *pairs)
{
    double total = 0;
    *pairs = 0;
    for (int pass = 0; pass < (d_importance ? 2 : 1); pass++)
        for (int i = 0; i < n; i++)
            for (int k = i + 1; k < n; k++) {
                const float *a = importance + (size_t)i * gates, *b = importance + (size_t)k * gates;
                double both = 0, either = 0;
                if (class_id[i] != class_id[k])
                    continue;
                for (size_t g = 0; g < gates; g++) {
                    both += a[g] < b[g] ? a[g] : b[g];
                    either += a[g] < b[g] ? b[g] : a[g];
                }
                if (!pass) {
                    total += either > 0 ? both / either : 1;
                    ++*pairs;
                    continue;
                }
                if (!(either > 0))
                    continue;
                float smaller = (float)(-weight / (double)*pairs / either), larger = (float)(weight / (double)*pairs * both / (either * either));
                for (size_t g = 0; g < gates; g++) {
                    bool below = a[g] < b[g];
                    d_importance[(size_t)i * gates + g] += below ? smaller : larger;
                    d_importance[(size_t)k * gates + g] += below ? larger : smaller;
                }
            }
    return total;
}

/* Cross-entropy of the auxiliary head; how many it has right. */
static int head_gradient(const float *head, const int *class_id, int n, int classes, double weight, float *d_head)
{
    int right = 0;
    for (int i = 0; i < n; i++) {
        const float *z = head + (size_t)i * (size_t)classes;
        int top = 0;
        double sum = 0;
        for (int k = 1; k < classes; k++)
            if (z[k] > z[top])
                top = k;
        for (int k = 0; k < classes; k++)
            sum += exp((double)z[k] - z[top]);
        for (int k = 0; k < classes; k++)
            d_head[i * classes + k] = (float)(weight / n * (exp((double)z[k] - z[top]) / sum - (k == class_id[i])));
        right += top == class_id[i];
    }
    return right;
}

/* ---------------------------------------------------------------- a batch */

static cp_status distil(job *j, const size_t *order, int n, const float *importance, cp_gen_match *matches)
{
    const cp_gen_answer *answers[MOST_BATCH];
    const float *whole[MOST_BATCH];
    int batch = cp_gated_runs_batch(j->runs);
    size_t classes = (size_t)cp_model_classes(cp_generator_model(j->generator));
    cp_status status = CP_OK;
    for (int first = 0; first < n && !status; first += batch) {
        int some = n - first < batch ? n - first : batch;
        for (int i = 0; i < some && !status; i++) {
            size_t k = order[first + i];
            answers[i] = &j->samples[k].answer;
            whole[i] = j->whole + k * classes;
            status = j->training->input(j->training->user, j->samples[k].picture, j->inputs + (size_t)i * j->input_size);
        }
        if (!status)
            status = cp_gated_runs_do(j->runs, j->inputs, importance + (size_t)first * j->gates, answers, whole, some,
                                      j->training->losses.temperature, matches + first,
                                      j->d_importance + (size_t)first * j->gates);
    }
    return status;
}

/* The rate falls to 0, so that gates come to rest. */
static void move(job *j)
{
    const cp_gen_losses *o = &j->training->losses;
    size_t count, batch = (size_t)o->batch, all = (j->n + batch - 1) / batch * (size_t)o->epochs;
    cp_adam_step(&j->adam, j->gradient, -o->rate * (1 - (double)j->adam.steps / (double)all), false,
                 cp_generator_parameters(j->generator, &count));
}

static void add_sparsity(job *j, const float *importance, const cp_gen_match *match, int i, int n)
{
    const cp_gen_losses *o = &j->training->losses;
    float *d = j->d_importance + (size_t)i * j->gates, weight = (float)(o->distil / n);
    bool allowed = match->kl <= o->allowed && match->kept;
    float push = allowed ? (float)(o->sparsity / ((double)j->gates * n)) : 0;
    double open = 0;
    for (size_t g = 0; g < j->gates; g++) {
        d[g] = weight * d[g] + push;
        open += cp_quantise(importance[(size_t)i * j->gates + g]);
    }
    j->sum.kl += match->kl;
    j->sum.kept += match->kept;
    j->sum.sparsity += 1 - open / (double)j->gates;
}

static cp_status train_batch(job *j, const size_t *order, int n)
{
    const cp_gen_losses *o = &j->training->losses;
    const float *importance, *head;
    cp_gen_match matches[MOST_BATCH];
    int classes = cp_model_classes(cp_generator_model(j->generator));
    size_t pairs;
    for (int i = 0; i < n; i++) {
        memcpy(j->rows + (size_t)i * 2 * j->gates, j->features + order[i] * 2 * j->gates, 2 * j->gates * sizeof *j->rows);
        j->class_id[i] = j->samples[order[i]].answer.class_id;
    }
    cp_gen_forward(j->generator, j->pass, j->rows, j->class_id, n, &importance, &head);
    cp_status status = distil(j, order, n, importance, matches);
    if (status)
        return status;
    for (int i = 0; i < n; i++) {
        if (!isfinite(matches[i].kl))
            return cp_fail(CP_EINPUT, "gen: the gated network's answer is not finite: -rate %g is too large, or the weights are", o->rate);
        add_sparsity(j, importance, &matches[i], i, n);
    }
    j->sum.alike += cp_gen_alike(importance, j->class_id, n, j->gates, o->alike, j->d_importance, &pairs);
    j->pairs += pairs;
    j->sum.head += head_gradient(head, j->class_id, n, classes, o->head, j->d_head);
    cp_gen_backward(j->generator, j->pass, j->d_importance, j->d_head, j->gradient);
    move(j);
    return CP_OK;
}

/* ---------------------------------------------------------------- epochs */

static void shuffle(size_t *order, size_t n, uint64_t *state)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)cp_random_below(state, i), kept = order[i - 1];
        order[i - 1] = order[k];
        order[k] = kept;
    }
}

/* Shuffled, with two answers of one class beside each other where there are two, so that batches hold pairs. */
static void draw_order(job *j, size_t *spare)
{
    size_t used = 0;
    shuffle(j->order, j->n, &j->state);
    memcpy(spare, j->order, j->n * sizeof *spare);
    for (size_t i = 0; i < j->n; i++) {
        if (spare[i] == SIZE_MAX)
            continue;
        size_t own = spare[i], last = i + 1 + 64 * (size_t)j->training->losses.batch; /* not through all of a long list */
        j->order[used++] = own;
        for (size_t k = i + 1; k < j->n && k < last; k++)
            if (spare[k] != SIZE_MAX && j->samples[spare[k]].answer.class_id == j->samples[own].answer.class_id) {
                j->order[used++] = spare[k];
                spare[k] = SIZE_MAX;
                break;
            }
    }
}

static cp_status run_epoch(job *j, int epoch)
{
    const cp_gen_losses *o = &j->training->losses;
    size_t *spare = cp_alloc(j->n, sizeof *spare, "order of samples");
    cp_status status = spare ? CP_OK : CP_ERESOURCE;
    j->sum = (cp_gen_epoch){.epoch = epoch + 1};
    j->pairs = 0;
    if (!status)
        draw_order(j, spare);
    for (size_t first = 0; first < j->n && !status; first += (size_t)o->batch) {
        int some = j->n - first < (size_t)o->batch ? (int)(j->n - first) : o->batch;
        status = train_batch(j, j->order + first, some);
        if (!status && j->training->run.progress)
            j->training->run.progress(j->training->run.user, (epoch + (double)(first + (size_t)some) / (double)j->n) / o->epochs);
    }
    cp_free(spare);
    if (status || !j->training->epoch)
        return status;
    cp_gen_epoch mean = {epoch + 1, j->sum.kl / (double)j->n, j->sum.kept / (double)j->n, j->sum.sparsity / (double)j->n,
                         j->pairs ? j->sum.alike / (double)j->pairs : NAN, j->sum.head / (double)j->n};
    j->training->epoch(j->training->user, &mean);
    return CP_OK;
}

static cp_status start(job *j)
{
    const cp_gen_losses *o = &j->training->losses;
    const cp_model *model = cp_generator_model(j->generator);
    size_t c, h, w, classes = (size_t)cp_model_classes(model), batch = (size_t)o->batch;
    if (!j->n)
        return cp_fail(CP_EINPUT, "gen: there is no answer to learn from");
    if (o->batch < 1 || o->batch > MOST_BATCH || o->epochs < 1 || !(o->rate > 0) || !(o->temperature > 0))
        return cp_fail(CP_EINPUT, "gen: batch %d, epochs %d, rate %g, temperature %g; allowed are batches of 1 to %d, and all above 0",
                       o->batch, o->epochs, o->rate, o->temperature, MOST_BATCH);
    cp_model_input_shape(model, &c, &h, &w);
    j->input_size = c * h * w;
    j->gates = cp_generator_gates(j->generator);
    cp_generator_parameters(j->generator, &j->count);
    cp_status status = cp_gated_runs_create(j->generator, o->batch, j->training->run.memory, &j->runs);
    if (!status)
        status = cp_gen_pass_create(j->generator, o->batch, &j->pass);
    if (status)
        return status;
    j->features = cp_alloc(j->n * 2 * j->gates, sizeof *j->features, "features");
    j->whole = cp_alloc(j->n * classes, sizeof *j->whole, "logits");
    j->inputs = cp_alloc((size_t)cp_gated_runs_batch(j->runs) * j->input_size, sizeof *j->inputs, "network input");
    j->rows = cp_alloc(batch * 2 * j->gates, sizeof *j->rows, "features");
    j->class_id = cp_alloc(batch, sizeof *j->class_id, "classes");
    j->d_importance = cp_alloc(batch * j->gates, sizeof *j->d_importance, "gradient");
    j->d_head = cp_alloc(batch * classes, sizeof *j->d_head, "gradient");
    j->gradient = cp_alloc(j->count, sizeof *j->gradient, "gradient");
    status = cp_adam_create(j->count, &j->adam);
    j->order = cp_alloc(j->n, sizeof *j->order, "order of samples");
    bool there = j->features && j->whole && j->inputs && j->rows && j->class_id && j->d_importance && j->d_head && j->gradient &&
                 j->order;
    for (size_t i = 0; i < j->n && there; i++)
        j->order[i] = i;
    return there ? status : CP_ERESOURCE;
}

static void stop(job *j)
{
    float *const rooms[] = {j->features, j->whole, j->inputs, j->rows, j->d_importance, j->d_head, j->gradient};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        cp_free(rooms[i]);
    cp_adam_free(&j->adam);
    cp_free(j->class_id);
    cp_free(j->order);
    cp_gen_pass_free(j->pass);
    cp_gated_runs_free(j->runs);
}

cp_status cp_gen_train(cp_generator *generator, const cp_gen_sample *samples, size_t n, const cp_gen_training *training)
{
    job j = {.generator = generator, .samples = samples, .n = n, .training = training, .state = training->losses.seed};
    cp_status status = start(&j);
    if (!status)
        status = look_at_pictures(&j);
    if (!status)
        cp_generator_standardise(generator, j.features, n);
    for (int epoch = 0; epoch < training->losses.epochs && !status; epoch++)
        status = run_epoch(&j, epoch);
    stop(&j);
    return status;
}
