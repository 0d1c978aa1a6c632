/* Text: DejaVu Sans, put into the program when it is built, drawn with stb_truetype. What it lacks, Chinese, Japanese and Korean
 * above all, comes from the system's fonts, where there are such. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/draw.h"

#ifndef CP_FONT
#define CP_FONT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
#endif
#if !__has_include(CP_FONT)
#error "DejaVuSans.ttf is missing: install the package fonts-dejavu-core, or compile with -DCP_FONT='\"/its/path\"'"
#endif
__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        "cp_font_data:\n"
        ".incbin \"" CP_FONT "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const unsigned char cp_font_data[] __attribute__((visibility("hidden")));

/* stb_truetype does not look at what it is given: memory for one glyph at a time comes from an area that is taken before. */
struct glyph_memory {
    size_t used;
    _Alignas(16) unsigned char bytes[1 << 18];
};

static void *glyph_allocate(size_t bytes, struct glyph_memory *memory)
{
    bytes = (bytes + 15) / 16 * 16;
    if (!memory || bytes > sizeof memory->bytes - memory->used) return malloc(bytes); /* a glyph as large as a photo */
    memory->used += bytes;
    return memory->bytes + memory->used - bytes;
}

static void glyph_free(void *block, struct glyph_memory *memory)
{
    uintptr_t at = (uintptr_t)block, from = (uintptr_t)memory;
    if (!memory || at < from || at >= from + sizeof *memory) free(block);
}

#define STBTT_malloc(bytes, user) glyph_allocate(bytes, user)
#define STBTT_free(block, user) glyph_free(block, user)
#define STB_TRUETYPE_IMPLEMENTATION
#define STBTT_STATIC
#pragma GCC diagnostic ignored "-Wunused-function" /* reported at the end of this file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <stb/stb_truetype.h>
#pragma GCC diagnostic pop

static stbtt_fontinfo shared_font;
static bool font_ready;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load_font(void) { font_ready = stbtt_InitFont(&shared_font, cp_font_data, 0) != 0; }

/* ---- fonts of the system ---- */

/* Where Debian's packages have them; CRITPATH_FONT names another file in their place. */
static const char *const other_files[] = {
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc", "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/arphic/uming.ttc", "/usr/share/fonts/opentype/ipafont-gothic/ipag.ttf",
    "/usr/share/fonts/truetype/nanum/NanumGothic.ttf",
};
enum { OTHERS = sizeof other_files / sizeof *other_files };

static stbtt_fontinfo others[OTHERS];
static int n_others;
static pthread_once_t others_once = PTHREAD_ONCE_INIT;

/* The file stays mapped as long as the program runs. */
static void open_other(const char *path)
{
    struct stat st;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *data = fstat(file, &st) || !S_ISREG(st.st_mode) || st.st_size < 1024
                     ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (data == MAP_FAILED) return;
    int at = stbtt_GetFontOffsetForIndex(data, 0);
    if (at >= 0 && stbtt_InitFont(&others[n_others], data, at)) ++n_others;
    else munmap(data, (size_t)st.st_size);
}

static void open_others(void)
{
    const char *asked = getenv("CRITPATH_FONT");
    if (asked) open_other(asked);
    for (int i = 0; i < OTHERS && !asked; i++) open_other(other_files[i]);
}

/* A character in the first font that has it. */
typedef struct {
    const stbtt_fontinfo *font; /* NULL: the end of the text */
    int glyph;                  /* 0: no font has it, and DejaVu's empty box stands for it */
} character;

static character find_character(int c)
{
    character found = {&shared_font, stbtt_FindGlyphIndex(&shared_font, c)};
    if (found.glyph) return found;
    pthread_once(&others_once, open_others);
    for (int i = 0; i < n_others; i++) {
        int glyph = stbtt_FindGlyphIndex(&others[i], c);
        if (glyph) return (character){&others[i], glyph};
    }
    return found;
}

/* The next character; bad UTF-8 gives U+FFFD and moves on by one byte, control characters give a blank. */
static int next_character(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    int n = 0;
    if (s[0] < 0x80) n = 1;
    else if (s[0] >= 0xc2 && s[0] < 0xe0) n = 2;
    else if ((s[0] & 0xf0) == 0xe0) n = 3;
    else if ((s[0] & 0xf8) == 0xf0) n = 4;
    int c = n == 1 ? s[0] : n ? s[0] & (0xff >> (n + 1)) : 0xfffd;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            c = 0xfffd;
            n = 0;
            break;
        }
        c = c << 6 | (s[i] & 0x3f);
    }
    *text += n ? n : 1;
    return c < ' ' || c == 0x7f ? ' ' : c;
}

static double scale_for(const stbtt_fontinfo *font, double size) { return stbtt_ScaleForPixelHeight(font, (float)size); }

static character next_of(const char **text) { return **text ? find_character(next_character(text)) : (character){0}; }

static double advance(double size, character c, character next)
{
    int width, bearing;
    stbtt_GetGlyphHMetrics(c.font, c.glyph, &width, &bearing);
    int kern = next.font == c.font ? stbtt_GetGlyphKernAdvance(c.font, c.glyph, next.glyph) : 0;
    return scale_for(c.font, size) * (width + kern);
}

bool cp_text_lacks(const char *text, char missing[5])
{
    pthread_once(&once, load_font);
    while (font_ready && *text) {
        const char *from = text;
        if (next_of(&text).glyph) continue;
        size_t n = (size_t)(text - from) < 4 ? (size_t)(text - from) : 4;
        memcpy(missing, from, n);
        missing[n] = 0;
        return true;
    }
    return false;
}

double cp_text_width(double size, const char *text)
{
    pthread_once(&once, load_font);
    if (!font_ready || !*text) return 0;
    double x = 0;
    for (character c = next_of(&text), next; c.font; c = next) {
        next = next_of(&text);
        x += advance(size, c, next);
    }
    return x;
}

/* One glyph with its origin at (x, baseline); `up` turns it by 90 degrees. */
static void draw_glyph(cp_picture *p, const stbtt_fontinfo *font, double x, double baseline, double scale, bool up, cp_colour c, int glyph)
{
    double along = up ? -baseline : x, across = up ? x : baseline;
    int whole = (int)floor(along), w = 0, h = 0, left, top;
    unsigned char *cover = stbtt_GetGlyphBitmapSubpixel(font, (float)scale, (float)scale, (float)(along - whole), 0,
                                                        glyph, &w, &h, &left, &top);
    if (!cover) { /* a blank, or no memory */
        p->failed |= !stbtt_IsGlyphEmpty(font, glyph) && w && h;
        return;
    }
    int base = (int)lrint(across);
    for (int j = 0; j < h; j++)
        for (int i = 0; i < w; i++) {
            int u = whole + left + i, v = base + top + j;
            int px = up ? v : u, py = up ? -u - 1 : v;
            if (px < 0 || py < 0 || px >= p->w || py >= p->h) continue;
            unsigned char *rgb = p->rgb + 3 * ((size_t)py * (size_t)p->w + (size_t)px);
            double alpha = cover[j * w + i] / 255.0;
            rgb[0] = (unsigned char)lrint(rgb[0] + alpha * (c.r - rgb[0]));
            rgb[1] = (unsigned char)lrint(rgb[1] + alpha * (c.g - rgb[1]));
            rgb[2] = (unsigned char)lrint(rgb[2] + alpha * (c.b - rgb[2]));
        }
    stbtt_FreeBitmap(cover, font->userdata);
}

static void draw_text(cp_picture *p, double x, double y, double size, bool up, cp_colour c, const char *text)
{
    pthread_once(&once, load_font);
    if (!font_ready || !*text || !isfinite(x) || !isfinite(y) || fabs(x) > 1e6 || fabs(y) > 1e6) return;
    struct glyph_memory *memory = malloc(sizeof *memory);
    if (!memory) {
        p->failed = true;
        return;
    }
    int ascent, descent, gap;
    stbtt_GetFontVMetrics(&shared_font, &ascent, &descent, &gap);
    if (up)
        x += scale_for(&shared_font, size) * ascent;
    else
        y += scale_for(&shared_font, size) * ascent;
    for (character at = next_of(&text), next; at.font; at = next) {
        stbtt_fontinfo font = *at.font;
        next = next_of(&text);
        font.userdata = memory;
        memory->used = 0;
        draw_glyph(p, &font, x, y, scale_for(at.font, size), up, c, at.glyph);
        double step = advance(size, at, next);
        if (up)
            y -= step;
        else
            x += step;
    }
    free(memory);
}

void cp_draw_text(cp_picture *p, double x, double y, double size, cp_colour c, const char *text)
{
    draw_text(p, x, y, size, false, c, text);
}

void cp_draw_text_up(cp_picture *p, double x, double y, double size, cp_colour c, const char *text)
{
    draw_text(p, x, y, size, true, c, text);
}

char *cp_text_fit(double size, const char *text, double width, char *out, size_t out_bytes)
{
    static const char dots[] = "\xe2\x80\xa6";
    size_t n = strlen(text);
    if (n < out_bytes) {
        memcpy(out, text, n + 1);
        if (cp_text_width(size, out) <= width) return out;
    }
    if (n > out_bytes - sizeof dots) n = out_bytes - sizeof dots;
    for (;;) {
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not inside a character */
        memcpy(out, text, n);
        memcpy(out + n, dots, sizeof dots);
        if (n == 0 || cp_text_width(size, out) <= width) return out;
        n--;
    }
}

/* How many bytes of text make the longest line of at most `width`, with a break at a blank; within a word only where
 * even the first one is too wide. At least one character. */
static size_t line_bytes(double size, const char *text, double width)
{
    char part[CP_TEXT_LINE];
    size_t best = 0, end = 0;
    for (size_t at = 0; text[at]; at = end + strspn(text + end, " ")) {
        end = at + strcspn(text + at, " ");
        if (end >= sizeof part)
            break;
        memcpy(part, text, end);
        part[end] = 0;
        if (cp_text_width(size, part) > width)
            break;
        best = end;
    }
    if (best)
        return best;
    end = 0;
    for (size_t at = 0; at < sizeof part - 5 && text[at]; end = at) {
        do
            at++;
        while (at < sizeof part - 1 && ((unsigned char)text[at] & 0xc0) == 0x80);
        memcpy(part, text, at);
        part[at] = 0;
        if (end && cp_text_width(size, part) > width)
            break;
    }
    return end;
}

void cp_text_wrap(double size, const char *text, double width, char (*lines)[CP_TEXT_LINE], size_t max, size_t *n)
{
    for (text += strspn(text, " "); *text && *n < max;) {
        size_t bytes = line_bytes(size, text, width), next = bytes + strspn(text + bytes, " ");
        char *line = lines[(*n)++];
        if (*n == max && text[next]) {
            cp_text_fit(size, text, width, line, CP_TEXT_LINE);
            return;
        }
        memcpy(line, text, bytes);
        line[bytes] = 0;
        text += next;
    }
}
