/* Whole commands over images. */
#ifndef CP_CLI_RUN_IMAGES_H
#define CP_CLI_RUN_IMAGES_H

#include "cli/output_path.h"
#include "cli/subject.h"

/* A whole command over images: opens the session, reads the request, calls `visit` with the request for each image, closes. */
cp_status cp_run_on_images(const cp_command *command, const cp_options *options, cp_visit visit);
cp_status cp_run_on_images_together(const cp_command *command, const cp_options *options, cp_visit visit);

/* Predicts and calls `visit` with each response the request means; in a list the image's path is printed before them. */
typedef cp_status (*cp_subject_visit)(cp_session *session, cp_item *item, const cp_subject *subject);
cp_status cp_each_subject(cp_session *session, cp_item *item, const cp_request *request, cp_subject_visit visit);

/* The same without a word on stdout: `visit` gets `user` too. *n: how many there are; 0 where a detector finds nothing of what is
 * meant, which the caller says in its own way. */
typedef cp_status (*cp_response_visit)(cp_session *session, cp_item *item, const cp_subject *subject, void *user);
cp_status cp_each_response(cp_session *session, cp_item *item, const cp_request *request, cp_response_visit visit, void *user,
                           int *n);

#endif
