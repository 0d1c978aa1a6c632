/* A generator as a file: an .npz with an array per weight matrix and meta.json, which names the network it belongs to. */
#ifndef CP_GEN_GEN_FILE_H
#define CP_GEN_GEN_FILE_H

#include "gen/gen_train.h"

/* last: of the training's last epoch. */
cp_status cp_generator_write(const char *file, cp_generator *generator, const cp_gen_losses *losses, const cp_gen_epoch *last);
/* Reads a generator of this model. CP_EINPUT, with file, thing and both values: another network's, another layout, a value that is not
 * finite, anything missing. */
cp_status cp_generator_read(const char *file, const cp_model *model, cp_generator **generator);

#endif
