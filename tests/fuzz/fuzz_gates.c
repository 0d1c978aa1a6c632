/* Any bytes as the checkpoint of a [pathmask] layer's gates, of one that learns or not: a layer with finite gates of at least 0, or a
 * refusal. */
#include "fuzz_file.h"

#include <math.h>

#include "option_list.h"
#include "train/pathmask.h"

static void make(const char *path, char *mode)
{
    list *options = make_list();
    layer made = {0};
    /* free_list frees neither keys nor values. */
    option_insert(options, "mode", mode);
    option_insert(options, "file", (char *)path);
    option_insert(options, "layer", "layer_000_convolutional");
    if (!strcmp(mode, "frozen")) option_insert(options, "off", (char *)path);
    cp_status status = cp_pathmask_make(options, 1, 2, 2, 2, 8, &made);
    require_reason(status);
    for (int i = 0; !status && i < made.n; i++) require(isfinite(made.scales[i]) && made.scales[i] >= 0, "a gate");
    if (!status) free_layer(made);
    for (node *at = options->front; at; at = at->next) free(at->val);
    free_list(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file file = fuzz_file_of(data, bytes);
    make(file.path, "gate");
    make(file.path, "zero");
    make(file.path, "frozen");
    close(file.fd);
    return 0;
}
