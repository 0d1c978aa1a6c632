/* The reference network opened by the library, through files that are gone again. For cmocka tests. */
#ifndef REF_MODEL_H
#define REF_MODEL_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "critpath.h"
#include "ref_net.h"

static inline cp_model *ref_model_open(const ref_net *net)
{
    const char *folder = getenv("TMPDIR");
    char cfg[512], weights[520];
    cp_model *model;
    snprintf(cfg, sizeof cfg, "%s/critpath-XXXXXX", folder && *folder ? folder : "/tmp");
    int fd = mkstemp(cfg);
    assert_true(fd >= 0);
    close(fd);
    snprintf(weights, sizeof weights, "%s.w", cfg);
    assert_int_equal(ref_net_write_cfg(net, cfg), 0);
    assert_int_equal(ref_net_write_weights(net, weights), 0);
    int device = cp_device();
    cp_status status = cp_set_device(-1); /* the reference has the CPU's epsilon */
    cp_set_lineage(CP_LINEAGE_DEBIAN); /* and that of Debian's Darknet, whatever layers there are */
    if (!status) status = cp_model_open(cfg, weights, &model);
    cp_set_lineage(CP_LINEAGE_AUTO);
    if (!status) status = cp_set_device(device);
    unlink(cfg);
    unlink(weights);
    if (status) fail_msg("%s", cp_error());
    return model;
}

#endif
