/* What a sparsity asks for (docs/methods.md 1.4). */
#include <math.h>

#include "io/error.h"
#include "path/path.h"

cp_status cp_path_check_sparsity(double sparsity)
{
    if (!(sparsity >= 0 && sparsity < 1))
        return cp_fail(CP_EINPUT, "sparsity: %g found, at least 0 and below 1 allowed", sparsity);
    return CP_OK;
}

size_t cp_path_keep_count(size_t neurons, double sparsity) { return (size_t)round((1 - sparsity) * (double)neurons); }
