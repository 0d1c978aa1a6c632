/* What there is to say where a detector finds nothing, or nothing of the class. */
#ifndef CP_CLI_NO_DETECTION_H
#define CP_CLI_NO_DETECTION_H

#include "cli/subject.h"

#include <jansson.h>

/* The most probable detection below the threshold, and a line that says so. */
typedef struct {
    bool any;
    cp_detection best; /* below the threshold; any: there is one */
    char text[300];    /* "no detection above -thresh 0.5; the best below is dog 43%, x 110..322  y 222..523" */
} cp_nothing;
cp_status cp_nothing_find(const cp_session *session, const cp_item *item, const cp_request *request, cp_nothing *nothing);
/* Members "no_response" and "best_below" (a detection or null) into `object`. */
cp_status cp_nothing_json(const cp_session *session, const cp_item *item, const cp_nothing *nothing, json_t *object);
/* A line of text, or the image's JSON object with an empty list of responses, on session->out. */
cp_status cp_nothing_report(const cp_session *session, const cp_item *item, const cp_request *request,
                            const cp_prediction *prediction);

#endif
