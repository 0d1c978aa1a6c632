/* Damage to a file as it happens, the same in every run: for tests of readers without a fuzzer. */
#ifndef FUZZ_DAMAGE_H
#define FUZZ_DAMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A number below `limit` (xorshift, Marsaglia 2003). */
static inline size_t damage_next(size_t limit)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state >> 33) % limit;
}

/* Bytes changed, to telling values too, bits flipped, a piece copied over another, the end cut off: one to four of these. Returns
 * how many bytes are left. */
static inline size_t damage(unsigned char *data, size_t bytes)
{
    static const unsigned char telling[] = {0, 1, 0x7f, 0x80, 0xff};
    for (size_t n = 1 + damage_next(4); n > 0 && bytes > 1; n--) {
        size_t at = damage_next(bytes), from = damage_next(bytes), length = damage_next(16);
        size_t most = bytes - (at > from ? at : from);
        switch (damage_next(5)) {
        case 0: data[at] = (unsigned char)damage_next(256); break;
        case 1: data[at] = telling[damage_next(5)]; break;
        case 2: data[at] ^= (unsigned char)(1u << damage_next(8)); break;
        case 3: memmove(data + at, data + from, length < most ? length : most); break;
        default:
            if (damage_next(4) == 0) bytes = at + 1;
        }
    }
    return bytes;
}

#endif
