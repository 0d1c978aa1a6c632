/* Means in the cells of a table. */
#ifndef CP_CLI_MEAN_TEXT_H
#define CP_CLI_MEAN_TEXT_H

#include <stdio.h>

#include "eval/paired.h"

/* A cell of 16 characters: the mean with its standard error in brackets, alone where it is of one value, "-" of none. */
void cp_mean_print(const cp_mean *mean, FILE *to);

#endif
