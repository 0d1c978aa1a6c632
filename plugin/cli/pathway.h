/* From a response to its paths and maps: what `explain`, `score`, `path` and `grad` share. */
#ifndef CP_CLI_PATHWAY_H
#define CP_CLI_PATHWAY_H

#include "cli/subject.h"
#include "cli/scoring.h"
#include "path/scores.h"

/* One way to score neurons; -method chooses among them. */
typedef struct {
    const char *name;
    /* score[N] for image 0 of the session's frame; `scoring` comes empty */
    cp_status (*score)(cp_session *session, const cp_response *response, float *score, cp_scoring *scoring);
    /* Or, of a method that needs no options: score[N] of an image of a frame, by the response's gradient or activations. */
    cp_status (*of_frame)(cp_frame *frame, int image, const cp_response *response, float *score);
    /* The same, left where they are computed, and the plain gradient (C,H,W) unless that is NULL. Without it: an array. */
    cp_status (*leave)(cp_frame *frame, int image, const cp_response *response, float *gradient, cp_scores **scores);
    bool contributes; /* scores are contributions to the response, with their signs; the others only order the neurons */
} cp_method;

/* -preset, and what the user changed of it; gates start at random when `random` or -init say so. */
cp_dgr_options cp_dgr_read_options(const cp_options *options, bool random);

/* NULL when there is none of that name. */
const cp_method *cp_method_find(const char *name);
/* Runs it: magnitudes. The scoring is to be freed in any case. */
cp_status cp_method_score(cp_session *session, const cp_method *method, const cp_response *response, float *score,
                          cp_scoring *scoring);
/* The same with their signs, where the method has signs. */
cp_status cp_method_signed_score(cp_session *session, const cp_method *method, const cp_response *response, float *score,
                                 cp_scoring *scoring);
/* "; did you mean ...?" for a name that is no method's, or "". */
const char *cp_method_suggest(const char *name, char *hint, size_t size);

/* The same with their signs, left where they are computed where the method can. gradient: the plain one (C,H,W), or
 * NULL. */
cp_status cp_method_scores(cp_session *session, const cp_method *method, const cp_response *response, float *gradient,
                           cp_scores **scores, cp_scoring *scoring);

/* One path of a sweep over sparsities. */
typedef struct {
    double asked;           /* NAN: chosen by the mass of the score */
    char text[32];          /* the sparsity as the user wrote it, or "auto"; "0.8731" when it was lowered */
    char tag[40];           /* "-0.99" in file names when there are several, else "" */
    bool channels;          /* whole channels were selected; `asked` is a share of those */
    double mass_asked;      /* share of the score that was to be held; NAN where a sparsity was asked for */
    bool lowered;           /* the default would have been cut; this is the sparsest that is not */
    bool everything;        /* fewer score above zero than were asked for: all of those are on the path */
    double gradient_share;  /* L1 of the map over that of the plain gradient; NAN before cp_pathways_map or where unknown */
    cp_path *path;
    cp_selection selection; /* kept, threshold: of the selection that made it, or of the path file */
    cp_cut cut;
    float *map;             /* (c,h,w), in cp_pathways.maps; NULL before cp_pathways_map */
    float *heat;            /* (2,h,w), in cp_pathways.heats: heat, counter-evidence; NULL before cp_pathways_map */
    cp_contribution contribution; /* what the heat is made of */
    cp_planes planes;       /* of these */
    double zeroed_response; /* Phi of the zeroed network; NAN in the frozen one, where it does not change */
} cp_pathway;

typedef struct {
    cp_scores *scores;      /* NULL when the path came from a file */
    double gradient;        /* L1 of the plain gradient; NAN: not known */
    cp_scoring report;      /* of the method */
    cp_pathway *pathway;
    int n;
    float *maps;            /* (n,c,h,w) */
    float *heats;           /* (n,2,h,w) */
    double scoring, selecting, mapping; /* seconds */
} cp_pathways;

/* Scores by -method, then selects at each -sparsity with -floor: by default the fewest neurons that hold -mass of the
 * score, or CP_DEFAULT_SPARSITY where scores are no contributions; lowered when cut. A cut path is said on stderr. maps:
 * cp_pathways_map will follow, and wants the plain gradient's size. */
cp_status cp_pathways_find(cp_session *session, const cp_item *item, const cp_response *response, bool maps,
                           cp_pathways *pathways);
/* The selection alone, from pathways->scores; `source` is named in messages. */
cp_status cp_pathways_select(cp_session *session, const char *source, const cp_response *response,
                             cp_pathways *pathways);
/* The pathway gradients, -offpath frozen or zeroed, as many at a time as -mem allows, and the contribution maps. A zero
 * map is said on stderr. */
cp_status cp_pathways_map(cp_session *session, const cp_item *item, const cp_subject *subject, cp_pathways *pathways);
void cp_pathways_free(cp_pathways *pathways);

/* One selection by -granularity and -floor, no sparser than least_share allows; in `selection` neurons are counted. cut
 * may be NULL. mass above 0: by that share of the score, in the place of the sparsity. */
cp_status cp_select_path(const cp_session *session, const float *score, double least_share, double sparsity,
                         double mass, const cp_response *response, cp_path *path, cp_selection *selection, cp_cut *cut);

/* Why a map is zero everywhere, one line; NULL when it is not. `pathway` NULL: the plain gradient. */
const char *cp_zero_map_reason(const cp_session *session, const float *map, const cp_subject *subject,
                               const cp_pathway *pathway, char text[300]);
/* "sparsity 0.9", and what was asked where another one was reached. */
const char *cp_reached_text(const cp_session *session, const cp_pathway *pathway, char text[120]);
/* "; the sparsest that is not: -sparsity 0.98" */
const char *cp_cut_advice(const cp_cut *cut, char text[80]);
/* "layer 7 convolutional keeps no neuron" */
const char *cp_cut_text(const cp_session *session, const cp_cut *cut, char text[200]);

#endif
