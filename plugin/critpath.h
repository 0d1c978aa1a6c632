/* critpath: critical pathways inside Darknet. The public C API.
 *
 * One direction: cfg + weights -> model -> frame -> score -> path -> map.
 * Every function that can fail returns a cp_status and leaves its message in cp_error().
 * The library never exits, never prints to stdout. */
#ifndef CRITPATH_H
#define CRITPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CP_VERSION "0.1.0"

/* The values are the exit codes of the command line. */
typedef enum {
    CP_OK = 0,
    CP_EINTERNAL = 1, /* a fault of ours */
    CP_EINPUT = 2,    /* bad input or usage */
    CP_ERESOURCE = 3  /* out of memory, disk or time */
} cp_status;

/* Message of the last failure in this thread: names the thing, the value found, the value allowed. Never NULL. */
const char *cp_error(void);

#ifdef __cplusplus
}
#endif
#endif
