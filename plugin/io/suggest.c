/* strcasestr */
#define _GNU_SOURCE
#include "io/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_NAME = 48, MOST_SUGGESTED = 6, LEAST_PART = 3 /* letters: shorter texts are part of too much */ };

static int min3(int a, int b, int c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

/* Optimal string alignment distance, without regard to case; texts longer than MAX_NAME are far from everything. */
static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[3][MAX_NAME + 1];
    if (n > MAX_NAME || m > MAX_NAME)
        return MAX_NAME;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *last = row[(i - 1) % 3], *before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *cp_nearest_name(const char *text, const char *const *names, int n)
{
    const char *best = NULL;
    int limit = (int)strlen(text) / 3 + 1, least = limit + 1;
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(text, names[i]);
        if (distance < least && distance < (int)strlen(names[i])) {
            least = distance;
            best = names[i];
        }
    }
    return best;
}

/* Whether `text` stands in `name`; as a whole word, when `word` says so. */
static bool contains(const char *name, const char *text, bool word)
{
    size_t length = strlen(text);
    for (const char *at = name; (at = strcasestr(at, text)); at++)
        if (!word || ((at == name || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[length])))
            return true;
    return false;
}

static void add_name(const char *name, int found, char *hint, size_t size)
{
    size_t used = strlen(hint);
    snprintf(hint + used, size - used, "%s\"%.60s\"", found ? ", " : "; did you mean ", name);
}

const char *cp_suggest(const char *text, const char *const *names, int n, char *hint, size_t size)
{
    int found = 0;
    *hint = 0;
    for (int word = 1; word >= 0 && !found && strlen(text) >= LEAST_PART; word--)
        for (int i = 0; i < n && found < MOST_SUGGESTED; i++)
            if (contains(names[i], text, word))
                add_name(names[i], found++, hint, size);
    const char *near = found ? NULL : cp_nearest_name(text, names, n);
    if (near)
        add_name(near, found++, hint, size);
    if (found)
        snprintf(hint + strlen(hint), size - strlen(hint), "?");
    return hint;
}
