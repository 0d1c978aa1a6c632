/* The name that a misspelt one was meant to be. */
#ifndef CP_IO_NEAREST_H
#define CP_IO_NEAREST_H

/* Nearest of `names` (n of them) to `text` by edit distance (insert, delete, replace, swap of neighbours; case does not
 * count), or NULL when none is near enough to be what was meant. Names above 64 bytes are near to nothing. */
const char *cp_nearest_name(const char *text, const char *const *names, int n);

#endif
