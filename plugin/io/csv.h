/* Fields of comma-separated values (RFC 4180), for files that spreadsheets and pandas read. */
#ifndef CP_IO_CSV_H
#define CP_IO_CSV_H

#include <stdio.h>

/* In quotes where commas, quotes or line ends in it ask for them. */
void cp_csv_text(FILE *to, const char *text);
/* A comma, then the number with nine digits; nothing behind the comma for NaN. */
void cp_csv_number(FILE *to, double value);

#endif
