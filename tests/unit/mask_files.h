/* A folder of their own for tests that put masks into cfgs, and the names in it. */
#ifndef MASK_FILES_H
#define MASK_FILES_H

#include <stdio.h>
#include <stdlib.h>

#include "critpath.h"
#include "train/pathmask.h"

static char mask_folder[] = P_tmpdir "/masks_XXXXXX", plain_cfg[64], masked_cfg[64], path_npz[64], off_npz[64];

static int make_mask_folder(void **state)
{
    (void)state;
    parse_pathmask = cp_pathmask_parse;
    resize_pathmask = cp_pathmask_resize;
    if (!mkdtemp(mask_folder)) return 1;
    snprintf(plain_cfg, sizeof plain_cfg, "%s/plain.cfg", mask_folder);
    snprintf(masked_cfg, sizeof masked_cfg, "%s/masked.cfg", mask_folder);
    snprintf(path_npz, sizeof path_npz, "%s/path.npz", mask_folder);
    snprintf(off_npz, sizeof off_npz, "%s/off.npz", mask_folder);
    return 0;
}

static int remove_mask_folder(void **state)
{
    (void)state;
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", mask_folder);
    return system(command);
}

static void done(cp_status status)
{
    if (status) fail_msg("status %d: %s", status, cp_error());
}

#endif
