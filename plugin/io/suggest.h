/* What a misspelt name was meant to be. */
#ifndef CP_IO_SUGGEST_H
#define CP_IO_SUGGEST_H

#include <stddef.h>

/* Nearest of `names` (n of them) to `text` by edit distance (insert, delete, replace, swap of neighbours; case does not
 * count), or NULL when none is near enough to be what was meant. */
const char *cp_nearest_name(const char *text, const char *const *names, int n);

/* "; did you mean "tiger cat", "Egyptian cat"?": the names in which text is a whole word; without such those that contain
 * it; without such the nearest. "" when nothing fits. Case does not count. Returns `hint`. */
const char *cp_suggest(const char *text, const char *const *names, int n, char *hint, size_t size);

#endif
