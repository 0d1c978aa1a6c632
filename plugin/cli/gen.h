/* What the parts of `gen` share. */
#ifndef CP_CLI_GEN_H
#define CP_CLI_GEN_H

#include "cli/subject.h"
#include "gen/gen_train.h"

/* The answers of the pictures of -list: the top class of a classifier, the detections of a detector, at most CP_GEN_BOXES. */
enum { CP_GEN_BOXES = 8 };

typedef struct {
    cp_session *session;
    char **picture;      /* paths */
    size_t n_pictures, unreadable;
    cp_gen_sample *sample;
    size_t n, room;
} cp_gen_answers;

/* Runs every picture through the network. Unreadable ones are said and left out. CP_EINPUT: none has an answer. */
cp_status cp_gen_answers_read(cp_session *session, char **pictures, size_t n, cp_gen_answers *answers);
void cp_gen_answers_free(cp_gen_answers *answers);
/* Reads picture `picture` again, as cp_gen_training.input; user: the answers. */
cp_status cp_gen_answers_input(void *user, size_t picture, float *input);

/* `gen eval`: the generator's paths beside those of other methods with as many gates open. */
cp_status cp_gen_evaluate(cp_session *session, const cp_generator *generator, cp_gen_answers *answers);

#endif
