/* Learning a generator (docs/methods.md 9): the gated network is to answer as the whole one does, with few gates open, and answers of
 * one class with the same ones. The network itself stays as it is. */
#ifndef CP_GEN_GEN_TRAIN_H
#define CP_GEN_GEN_TRAIN_H

#include "gen/answer.h"
#include "gen/generator.h"

/* One answer of one picture. */
typedef struct {
    size_t picture;
    cp_gen_answer answer;
} cp_gen_sample;

/* Weights of the losses; the defaults are the reconstruction's. A weight of 0 leaves its term out. */
typedef struct {
    double temperature;  /* 2 */
    double sparsity;     /* .5: on the mean importance, for samples whose KL is at most `allowed` and whose arg-max is kept */
    double alike;        /* .1: on 1 - soft IoU of pairs of one class */
    double head;         /* .1: on the auxiliary head's cross-entropy */
    double distil;       /* 1: on the KL */
    double allowed;      /* .05 */
    double rate;         /* 1e-3, Adam; falls to 0 over the training */
    int batch, epochs;   /* 32, 4 */
    uint64_t seed;
} cp_gen_losses;

cp_gen_losses cp_gen_defaults(void);

/* Means over an epoch. */
typedef struct {
    int epoch;           /* from 1 */
    double kl, kept, sparsity, alike, head; /* kept and head: shares of the samples; sparsity: of the gates; alike: soft IoU of pairs */
} cp_gen_epoch;

typedef struct {
    cp_run_options run;
    cp_gen_losses losses;
    /* Fills input (C,H,W) of a picture. */
    cp_status (*input)(void *user, size_t picture, float *input);
    void (*epoch)(void *user, const cp_gen_epoch *epoch); /* NULL, or called after each */
    void *user;
} cp_gen_training;

/* The same bytes for one seed, at any number of threads. CP_EINPUT: no samples, settings out of range, a loss that is not finite. */
cp_status cp_gen_train(cp_generator *generator, const cp_gen_sample *samples, size_t n, const cp_gen_training *training);

/* Sum of the soft IoUs of all pairs of one class among n rows of importance (n, gates); *pairs: how many. d_importance, or NULL:
 * weight times the gradient of the mean of 1 - soft IoU is added. */
double cp_gen_alike(const float *importance, const int *class_id, int n, size_t gates, double weight, float *d_importance,
                    size_t *pairs);

/* Runs the gated networks of some samples, whose inputs and importance are given, and compares; d_importance, or NULL: what
 * distillation gives, through the quantiser. */
typedef struct cp_gated_runs cp_gated_runs;
cp_status cp_gated_runs_create(const cp_generator *generator, int wanted, size_t memory, cp_gated_runs **runs);
void cp_gated_runs_free(cp_gated_runs *runs);
int cp_gated_runs_batch(const cp_gated_runs *runs);
cp_frame *cp_gated_runs_frame(cp_gated_runs *runs); /* of that batch, for other runs too */
cp_status cp_gated_runs_do(cp_gated_runs *runs, const float *inputs, const float *importance, const cp_gen_answer *const *answers,
                           const float *const *whole, int n, double temperature, cp_gen_match *matches, float *d_importance);

#endif
