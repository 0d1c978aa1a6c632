/* Peak resident memory of this process in MB. Not getrusage's: that starts from the parent's at exec. */
#include <stdio.h>

static double peak_megabytes(void)
{
    char line[128];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) break;
    if (status) fclose(status);
    return kilobytes / 1024.;
}
