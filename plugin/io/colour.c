/* Colour scales, computed in OKLab (Björn Ottosson, 2020): equal steps look equal, lightness is one coordinate. */
#include <math.h>
#include <string.h>

#include "io/draw.h"
#include "io/error.h"

static unsigned char to_byte(double linear)
{
    double v = linear <= 0 ? 0 : linear >= 1 ? 1 : linear;
    v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
    return (unsigned char)lrint(255 * v);
}

/* Lightness 0..1, chroma, hue in degrees; clipped to what a screen shows. */
static cp_colour from_oklch(double lightness, double chroma, double hue)
{
    double a = chroma * cos(hue * M_PI / 180), b = chroma * sin(hue * M_PI / 180);
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    l = l * l * l;
    m = m * m * m;
    s = s * s * s;
    return (cp_colour){to_byte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
                       to_byte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
                       to_byte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

static const cp_colour no_value = {160, 160, 160};

/* Blue and orange stay apart for every kind of colour blindness; lightness depends on |t| alone. */
cp_colour cp_colour_signed(double t)
{
    if (isnan(t)) return no_value;
    double m = fmin(fabs(t), 1);
    return from_oklch(0.97 - 0.37 * m, 0.185 * pow(m, 0.8), t < 0 ? 256 : 46);
}

/* Dark violet over red to light yellow; lightness rises evenly. */
cp_colour cp_colour_unsigned(double t)
{
    if (isnan(t)) return no_value;
    t = fmax(0, fmin(t, 1));
    return from_oklch(0.18 + 0.75 * t, 0.04 + 0.16 * sin(M_PI * (0.08 + 0.80 * t)), -60 + 165 * t);
}

cp_colour cp_colour_series(size_t k)
{
    static const cp_colour colours[8] = {{0, 114, 178}, {213, 94, 0},    {0, 158, 115}, {204, 121, 167},
                                         {86, 180, 233}, {230, 159, 0}, {60, 60, 60},  {180, 170, 20}};
    return colours[k % 8];
}

/* Straight lines between 17 knots, fitted to the scales of matplotlib (van der Walt, Smith; Nuñez et al. 2018) to
 * 4/255, of cividis to 10/255. */
enum { KNOTS = 17 };
static const struct {
    const char *name;
    cp_colour knot[KNOTS];
} colour_maps[] = {
    {"inferno", {{0, 0, 2},      {10, 7, 35},   {32, 13, 75},   {61, 8, 103},   {87, 15, 110},  {112, 25, 110},
                 {137, 34, 106}, {163, 43, 98}, {187, 54, 85},  {209, 69, 69},  {228, 89, 50},  {241, 113, 31},
                 {250, 141, 7},  {252, 171, 12}, {250, 202, 49}, {240, 233, 100}, {249, 255, 166}}},
    {"viridis", {{68, 1, 84},    {72, 24, 107},  {71, 45, 124},  {66, 64, 134},  {59, 82, 139},  {51, 99, 142},
                 {44, 114, 142}, {38, 129, 142}, {32, 144, 141}, {30, 159, 137}, {38, 174, 129}, {61, 188, 116},
                 {92, 201, 99},  {129, 212, 77}, {171, 220, 50}, {213, 226, 23}, {254, 231, 33}}},
    {"cividis", {{2, 35, 76},     {0, 46, 108},    {25, 56, 113},   {51, 67, 108},   {67, 78, 108},   {83, 89, 109},
                 {97, 100, 111},  {111, 112, 115}, {124, 123, 120}, {139, 135, 120}, {155, 147, 119}, {171, 160, 115},
                 {187, 173, 109}, {204, 186, 100}, {221, 201, 89},  {239, 215, 71},  {255, 231, 50}}},
    {"grey", {{0, 0, 0},       {16, 16, 16},    {32, 32, 32},    {48, 48, 48},    {64, 64, 64},    {80, 80, 80},
              {96, 96, 96},    {112, 112, 112}, {128, 128, 128}, {143, 143, 143}, {159, 159, 159}, {175, 175, 175},
              {191, 191, 191}, {207, 207, 207}, {223, 223, 223}, {239, 239, 239}, {255, 255, 255}}},
};

/* a + (b - a) * part / 255, rounded. */
static unsigned char between(unsigned char a, unsigned char b, int part)
{
    return (unsigned char)((a * (255 - part) + b * part + 127) / 255);
}

cp_status cp_colour_map_find(const char *name, cp_colour_map *map)
{
    for (size_t m = 0; m < sizeof colour_maps / sizeof *colour_maps; m++) {
        if (strcmp(colour_maps[m].name, name))
            continue;
        for (int i = 0; i < 256; i++) {
            int at = i * (KNOTS - 1), left = at / 255 < KNOTS - 2 ? at / 255 : KNOTS - 2, part = at - 255 * left;
            cp_colour a = colour_maps[m].knot[left], b = colour_maps[m].knot[left + 1];
            map->at[i] = (cp_colour){between(a.r, b.r, part), between(a.g, b.g, part), between(a.b, b.b, part)};
        }
        return CP_OK;
    }
    return cp_fail(CP_EINPUT, "colours: unknown scale \"%.40s\", allowed is " CP_COLOUR_MAPS, name);
}
