#include "engine/backend.h"

void cp_branch_start(cp_frame *branch, int entry, cp_origin from) { branch->backend->branch_start(branch, entry, from); }

cp_status cp_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    return branch->backend->branch_put(branch, entry, first, count, from);
}

void cp_frame_responses(const cp_frame *frame, int n, const cp_response *response, double *phi)
{
    frame->backend->responses(frame, n, response, phi);
}
