/* Colour scales, computed in OKLab (Björn Ottosson, 2020): equal steps look equal, lightness is one coordinate. */
#include <math.h>

#include "io/draw.h"

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
