/* How much may run at once. On a GPU a batch is as large as the card's memory lets it be; on the CPU it is small, as
 * what stays in the caches runs faster. */
#ifndef CP_ENGINE_MEMORY_H
#define CP_ENGINE_MEMORY_H

#include "critpath.h"

/* Bytes that branches of `base` may take or, where it is NULL, frames made now. On the CPU `asked`, or `otherwise`
 * where that is 0; on a GPU what is free there, less a reserve, and at most `asked` where that is not 0. At least 1. */
size_t cp_frame_memory(const cp_frame *base, size_t asked, size_t otherwise);

enum { CP_DEVICE_BATCH = 64 }; /* no backend takes more entries at once */
/* Entries of a batch of theirs at most: `on_cpu`, or as many as a GPU has work for at once. */
int cp_most_entries(const cp_frame *base, int on_cpu);
/* Of at most `most` entries of branches of `base`: on the CPU no more than `useful`, beyond which a batch runs no faster. */
int cp_worthwhile_entries(const cp_frame *base, double useful, int most);
/* Whether the frame can be restricted by CP_KEPT. */
bool cp_frame_has_kept(const cp_frame *frame);

/* After a batch that failed: true where it was for want of memory and half as many entries can be tried, *batch being
 * that half, and a notice is sent (cp_set_notice). */
bool cp_halve_batch(cp_status status, int *batch);

/* A frame of `wanted` entries, or of fewer, down to one, where `asked` bytes (0: 1 GiB on the CPU) or a GPU's memory hold no
 * more; backward: with room for as many backward entries. *batch: how many it has. */
cp_status cp_frame_create_fitting(const cp_model *model, int wanted, bool backward, size_t asked, int *batch,
                                  cp_frame **frame);

/* Bytes besides the frame that a run on its GPU takes: work memory, and what libraries keep for a stream. 0 on the CPU.
 */
size_t cp_frame_run_bytes(const cp_frame *frame);
/* Whether a GPU's memory has been short in this thread since the last call. */
bool cp_device_was_short(void);

#endif
