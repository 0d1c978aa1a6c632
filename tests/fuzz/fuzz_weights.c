/* Any bytes as the weights of a network with every kind of array: taken, with finite weights and variances of at least 0, or
 * refused. */
#include "fuzz_file.h"

#include <math.h>

#include "model/cfg.h"
#include "model/weights.h"

static const char text[] = "[net]\nwidth=4\nheight=4\nchannels=1\n[convolutional]\nbatch_normalize=1\nfilters=2\nsize=1\nactivation=relu\n"
                           "[connected]\noutput=2\nbatch_normalize=1\nactivation=leaky\n[softmax]\n";

static float arrays[64];

static float *place(void *user, size_t layer, cp_array_kind kind)
{
    (void)user, (void)layer, (void)kind;
    return arrays;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static cp_cfg_net *net;
    cp_cfg *cfg;
    if (!net) {
        require(!cp_cfg_parse("fuzz", text, sizeof text - 1, &cfg) && !cp_cfg_check(cfg, SIZE_MAX, &net), "the cfg");
        cp_cfg_free(cfg);
    }
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_weights_file *weights = NULL;
    cp_weights_info info;
    char sha256[65];
    cp_status status = cp_weights_open(file.path, net, "fuzz", &weights);
    require_reason(status);
    require(!status == !!weights, "a file that is refused and open");
    if (!status) {
        status = cp_weights_read(weights, place, NULL, sha256, &info);
        require_reason(status);
        for (size_t i = 0; !status && i < sizeof arrays / sizeof *arrays; i++) require(isfinite(arrays[i]), "not finite");
        require(status || (strlen(sha256) == 64 && info.bytes == bytes), "what is known of the file");
    }
    cp_weights_close(weights);
    close(file.fd);
    return 0;
}
