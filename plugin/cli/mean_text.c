#include "cli/mean_text.h"

void cp_mean_print(const cp_mean *mean, FILE *to)
{
    if (!mean->n)
        fprintf(to, "  %14s", "-");
    else if (mean->n < 2)
        fprintf(to, "  %14.4f", mean->mean);
    else
        fprintf(to, "  %6.4f (%.4f)", mean->mean, mean->error);
}
