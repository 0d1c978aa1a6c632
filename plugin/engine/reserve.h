/* What libraries take of the address space behind our back. */
#ifndef CP_ENGINE_RESERVE_H
#define CP_ENGINE_RESERVE_H

#include "critpath.h"

/* Makes OpenBLAS take the work areas of `threads` threads now. It answers a failed mmap by asking for ever, so where the address
 * space is limited (ulimit -v) the room is looked for first. Without it: CP_ERESOURCE, with the bytes that are missing. */
cp_status cp_blas_reserve(int threads);

#endif
