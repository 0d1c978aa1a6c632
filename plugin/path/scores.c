/* NeuronMCT and selection in one (docs/methods.md 1.1, 1.4). On a GPU the K-th largest score is found there, digit by
 * digit, as on the CPU (select.c): the same K, the same ties, the same bits for the same scores. */
#include <math.h>
#include <string.h>

#include "io/error.h"
#include "path/scores.h"
#include "path/select.h"
#include "path/statistics.h"
#include "score/score.h"

/* What all sparsities share. */
typedef struct {
    cp_digit_table table;
    size_t zeros, positive;
} histogram;

struct cp_scores {
    cp_frame *frame;
    int image;
    float *array;   /* NULL: on the frame's device alone */
    bool borrowed;  /* the array */
    bool is_signed; /* scores are contributions with their signs */
    histogram *all; /* of what is there */
    cp_score_piece *pieces; /* of an array; NULL: not yet asked for */
};

/* Of equal scores the first `ties`, in the order of the neurons. */
static cp_status keep_ties(cp_frame *frame, uint32_t value, size_t equal, size_t ties, cp_path *path)
{
    uint32_t *neuron = cp_alloc(equal, sizeof *neuron, "selection");
    cp_status status = neuron ? cp_frame_held_scores(frame)->find(frame, value, value, equal, neuron) : CP_ERESOURCE;
    for (size_t i = 0; i < ties && !status; i++)
        cp_path_set(path, neuron[i], true);
    cp_free(neuron);
    return status;
}

static cp_status count_next(void *frame, uint32_t prefix, int shift, cp_digit_table *table)
{
    return cp_frame_held_scores(frame)->next(frame, prefix, shift, table);
}

/* The last score that the goal keeps. */
static cp_status find_last(cp_frame *frame, const histogram *all, cp_select_goal *goal)
{
    cp_digit_table *table = cp_alloc_dirty(1, sizeof *table, "selection");
    if (!table)
        return CP_ERESOURCE;
    *table = all->table;
    cp_status status = cp_select_by_tables(table, all->zeros, count_next, frame, goal);
    cp_free(table);
    return status;
}

static cp_status select_on_device(cp_frame *frame, const histogram *all, cp_select_goal *goal, cp_path *path,
                                  cp_selection *selection)
{
    selection->asked = goal->k;
    cp_status status = find_last(frame, all, goal);
    if (status)
        return status;
    cp_selection_fill(path, goal, selection);
    if (goal->mass > 0)
        selection->asked = goal->k;
    if (!goal->k) {
        cp_path_fill(path, false);
        return CP_OK;
    }
    bool whole = goal->equal == goal->ties;
    status = cp_frame_held_scores(frame)->bits(frame, whole ? goal->value : goal->value + 1, path->first, path->words);
    return status || whole ? status : keep_ties(frame, goal->value, goal->equal, goal->ties, path);
}

static cp_status mct_on_device(cp_frame *frame, int image, const cp_response *response, float *gradient, histogram *all)
{
    const cp_entry entry = {.image = image, .response = response};
    bool finite;
    cp_status status = cp_frame_score_products(frame, &entry, false, &finite, gradient);
    if (!status && !finite) { /* the CPU's way names the neuron */
        float *score = cp_alloc(cp_model_neuron_count(cp_frame_model(frame)), sizeof *score, "scores");
        status = score ? cp_score_mct(frame, image, response, false, score) : CP_ERESOURCE;
        cp_free(score);
    }
    if (!status)
        status = cp_frame_held_scores(frame)->first(frame, &all->table, &all->zeros);
    all->positive = 0;
    for (uint32_t d = 0; d <= CP_LARGEST_SCORE >> CP_FIRST_SHIFT; d++)
        all->positive += all->table.count[d];
    all->positive -= all->zeros;
    return status;
}

/* ---------------------------------------------------------------- scores where they were computed */

static bool is_there(const cp_scores *scores) { return !scores->array && cp_frame_held_scores(scores->frame); }

cp_status cp_scores_take(cp_frame *frame, int image, float *array, bool is_signed, cp_scores **out)
{
    cp_scores *scores = *out = cp_alloc(1, sizeof *scores, "scores");
    if (!scores) {
        cp_free(array);
        return CP_ERESOURCE;
    }
    *scores = (cp_scores){.frame = frame, .image = image, .array = array, .is_signed = is_signed};
    return CP_OK;
}

void cp_scores_free(cp_scores *scores)
{
    if (!scores)
        return;
    if (!scores->borrowed)
        cp_free(scores->array);
    cp_free(scores->all);
    cp_free(scores->pieces);
    cp_free(scores);
}

cp_status cp_scores_borrow(const float *array, cp_scores **out)
{
    cp_scores *scores = *out = cp_alloc(1, sizeof *scores, "scores");
    if (scores)
        *scores = (cp_scores){.array = (float *)array, .borrowed = true};
    return scores ? CP_OK : CP_ERESOURCE;
}

static cp_score_piece *new_pieces(const cp_model *model)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    size_t count = 1;
    for (int l = 0; l < n; l++)
        count += (layers[l].count + CP_SCORE_PIECE - 1) / CP_SCORE_PIECE;
    return cp_alloc_dirty(count, sizeof(cp_score_piece), "scores");
}

cp_status cp_scores_mct(cp_frame *frame, int image, const cp_response *response, float *gradient, cp_scores **out)
{
    cp_scores *scores = cp_alloc(1, sizeof *scores, "scores");
    cp_status status = CP_ERESOURCE;
    *out = NULL;
    if (!scores)
        return status;
    *scores = (cp_scores){.frame = frame, .image = image, .borrowed = !cp_frame_held_scores(frame),
                           .is_signed = true};
    if (cp_frame_held_scores(frame)) {
        if ((scores->all = cp_alloc(1, sizeof *scores->all, "selection")))
            status = mct_on_device(frame, image, response, gradient, scores->all);
    } else if ((scores->array = cp_frame_scores(frame)) && (scores->pieces = new_pieces(cp_frame_model(frame)))) {
        status = cp_score_signed_in_pieces(frame, image, response, scores->array, scores->pieces, gradient);
    }
    if (status)
        cp_scores_free(scores);
    else
        *out = scores;
    return status;
}

cp_status cp_scores_array(cp_scores *scores, const float **array)
{
    cp_status status = CP_OK;
    if (is_there(scores)) {
        float *score = cp_alloc_whole(cp_model_neuron_count(cp_frame_model(scores->frame)), sizeof *score, "scores");
        status = score ? cp_frame_held_scores(scores->frame)->read(scores->frame, score) : CP_ERESOURCE;
        if (status)
            cp_free(score);
        else
            scores->array = score;
    }
    *array = scores->array;
    return status;
}

bool cp_scores_stay(const cp_scores *scores) { return is_there(scores); }

cp_status cp_scores_planes(cp_scores *scores, const cp_path *path, int n, const cp_score_plane *plane, double *sum)
{
    if (!is_there(scores))
        return cp_fail(CP_EINTERNAL, "scores: planes of scores that do not stay");
    return cp_frame_held_scores(scores->frame)->planes(scores->frame, path ? path->words : NULL, path ? path->first : NULL,
                                                       n, plane, sum);
}

bool cp_scores_signed(const cp_scores *scores) { return scores->is_signed; }

/* From the array. The goal is new. */
static cp_status select_here(cp_scores *scores, cp_select_goal *goal, double floor, cp_path *path, cp_selection *selection)
{
    const float *score;
    cp_status status = cp_scores_array(scores, &score);
    if (status)
        return status;
    if (!scores->pieces && !(scores->pieces = cp_find_pieces(path, score)))
        return CP_ERESOURCE;
    return cp_select(path, score, scores->pieces, floor, goal, selection);
}

static cp_status select_goal(cp_scores *scores, cp_select_goal *goal, double floor, cp_path *path,
                             cp_selection *selection)
{
    cp_selection unused;
    selection = selection ? selection : &unused;
    *selection = (cp_selection){.asked = goal->k};
    if (is_there(scores) && !(floor > 0))
        return select_on_device(scores->frame, scores->all, goal, path, selection);
    cp_status status = select_here(scores, goal, floor, path, selection);
    if (!status && goal->mass > 0 && !floor)
        selection->asked = selection->kept;
    return status;
}

cp_status cp_scores_select(cp_scores *scores, double sparsity, double floor, cp_path *path, cp_selection *selection)
{
    cp_status status = cp_path_check_sparsity(sparsity);
    cp_select_goal goal = {.k = status ? 0 : cp_path_keep_count(path->neurons, sparsity)};
    return status ? status : select_goal(scores, &goal, floor, path, selection);
}

cp_status cp_scores_select_mass(cp_scores *scores, double mass, double floor, cp_path *path, cp_selection *selection)
{
    cp_status status = cp_path_check_mass(mass);
    cp_select_goal goal = {.mass = mass};
    return status ? status : select_goal(scores, &goal, floor, path, selection);
}

size_t cp_scores_positive(const cp_scores *scores, const cp_model *model)
{
    size_t count = 0;
    if (is_there(scores))
        return scores->all->positive;
    for (size_t i = 0; i < cp_model_neuron_count(model); i++)
        count += cp_score_bits(&scores->array[i]) > 0;
    return count;
}

cp_status cp_scores_find_cut(cp_scores *scores, const cp_path *path, const cp_response *response, cp_cut *cut)
{
    if (is_there(scores))
        return cp_path_find_cut_there(path, scores->frame, response, cut);
    return cp_path_find_cut_by_pieces(path, scores->array, scores->pieces, response, cut);
}

/* ---------------------------------------------------------------- what a path consists of */

/* Keeps `top` sorted by descending score; of equals the first stays in front. */
static void rank_neuron(int most, cp_scored_neuron *top, int *n_top, cp_scored_neuron candidate)
{
    int at = *n_top;
    if (at == most && (!most || top[at - 1].score >= candidate.score))
        return;
    if (at == most)
        at--;
    else
        ++*n_top;
    for (; at > 0 && top[at - 1].score < candidate.score; at--)
        top[at] = top[at - 1];
    top[at] = candidate;
}

static void describe_layer(const cp_scores *scores, const cp_path *path, int l, cp_channel_sum *channel, int most,
                           cp_scored_neuron *top, int *n_top)
{
    const cp_neuron_layer *layer = &path->layers[l];
    const float *a = cp_frame_output(scores->frame, layer->layer, scores->image);
    const float *score = scores->array + layer->offset, dead = cp_dead_activation(path->model, layer->layer);
    const uint64_t *words = cp_path_words(path, l);
    size_t plane = layer->h * layer->w;
    for (size_t w = 0; w * 64 < layer->count; w++)
        for (uint64_t left = words[w]; left; left &= left - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(left);
            cp_channel_sum *sum = &channel[i / plane];
            sum->score += fabs((double)score[i]);
            sum->kept++;
            sum->dead += !(a[i] > dead);
            rank_neuron(most, top, n_top, (cp_scored_neuron){layer->offset + i, fabsf(score[i]), a[i]});
        }
}

/* The path holds the first neurons of the order in which selection takes them, so that its best are the network's. Not
 * so when it was selected otherwise: then *n_top is less than it could be. */
static cp_status top_there(cp_scores *scores, const cp_path *path, int most, cp_scored_neuron *top, int *n_top)
{
    size_t kept = cp_path_count(path), n = 0, rank = kept < (size_t)most ? kept : (size_t)most;
    uint32_t *neuron = NULL;
    float *seen = NULL;
    cp_select_goal goal = {.k = rank < scores->all->positive ? rank : scores->all->positive};
    if (!goal.k)
        return CP_OK;
    cp_status status = find_last(scores->frame, scores->all, &goal);
    if (!status)
        n = goal.k - goal.ties + goal.equal; /* more than asked for, where many are equal */
    if (!status && (n > INT32_MAX || !(neuron = cp_alloc(n, sizeof *neuron, "summary")) ||
                    !(seen = cp_alloc(2 * n, sizeof *seen, "summary"))))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_frame_held_scores(scores->frame)->find(scores->frame, goal.value, CP_LARGEST_SCORE, n, neuron);
    if (!status)
        status = cp_frame_held_scores(scores->frame)->look(scores->frame, scores->image, neuron, (int)n, seen);
    for (size_t i = 0; i < n && !status; i++)
        if (cp_path_get(path, neuron[i]))
            rank_neuron(most, top, n_top, (cp_scored_neuron){neuron[i], fabsf(seen[2 * i]), seen[2 * i + 1]});
    cp_free(neuron);
    cp_free(seen);
    return status;
}

static cp_status describe_there(cp_scores *scores, const cp_path *path, cp_channel_sum *channel)
{
    float *dead = cp_alloc((size_t)path->n_layers, sizeof *dead, "summary");
    if (!dead)
        return CP_ERESOURCE;
    for (int l = 0; l < path->n_layers; l++)
        dead[l] = cp_dead_activation(path->model, path->layers[l].layer);
    cp_status status = cp_frame_held_scores(scores->frame)->channels(scores->frame, scores->image, path->words,
                                                                     path->first, dead, channel);
    cp_free(dead);
    return status;
}

cp_status cp_scores_describe(cp_scores *scores, const cp_path *path, cp_channel_sum *channel, int most,
                             cp_scored_neuron *top, int *n_top)
{
    *n_top = 0;
    if (is_there(scores)) {
        cp_status status = describe_there(scores, path, channel);
        return status ? status : top_there(scores, path, most, top, n_top);
    }
    memset(channel, 0, cp_model_channel_count(path->model) * sizeof *channel);
    for (int l = 0; l < path->n_layers; l++)
        describe_layer(scores, path, l, channel + cp_model_channel_offset(path->model, l), most, top, n_top);
    return CP_OK;
}

/* ---------------------------------------------------------------- all in one */

cp_status cp_path_mct(cp_frame *frame, int image, const cp_response *response, const double *sparsities, int n,
                      cp_path *const *paths, cp_selection *selections)
{
    cp_scores *scores = NULL;
    cp_status status = CP_OK;
    for (int i = 0; i < n && !status; i++)
        status = cp_path_check_sparsity(sparsities[i]);
    if (!status)
        status = cp_scores_mct(frame, image, response, NULL, &scores);
    for (int i = 0; i < n && !status; i++)
        status = cp_scores_select(scores, sparsities[i], 0, paths[i], &selections[i]);
    cp_scores_free(scores);
    return status;
}
