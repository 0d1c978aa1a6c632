#include "io/csv.h"

#include <math.h>
#include <string.h>

void cp_csv_text(FILE *to, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

void cp_csv_number(FILE *to, double value)
{
    fputc(',', to);
    if (!isnan(value))
        fprintf(to, "%.9g", value);
}
