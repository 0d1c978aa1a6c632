/* Where a map lies on the photo, for people and for programs. */
#ifndef CP_CLI_WHERE_H
#define CP_CLI_WHERE_H

#include "cli/pathway.h"

#include <jansson.h>

/* The region that holds half of the heat, of the map that -map names, and the share of it in the box of the subject's
 * detection, if it has one. */
cp_status cp_where_find(const cp_session *session, const cp_item *item, const cp_subject *subject,
                        const cp_pathway *pathway, cp_heat_region *where);

/* "map: 61% of the heat in the box, ...", and a line for each large part. */
void cp_where_print(const cp_session *session, const cp_item *item, const cp_subject *subject,
                    const cp_heat_region *where, FILE *to);
/* Shares, the region and its parts with their rectangles in photo pixels; NULL: out of memory. */
json_t *cp_where_json(const cp_heat_region *where);

#endif
