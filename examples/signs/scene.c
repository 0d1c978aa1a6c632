/* A scene: where the signs stand, the order of drawing, light and camera, and the boxes that follow from the mask. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"

enum { STREAM_SCENE = 1, STREAM_STICKER = 2, ATTEMPTS = 60 };

signs_options signs_options_default(void)
{
    return (signs_options){.width = 224, .height = 224, .smallest = 16, .largest = 96, .seed = 1};
}

static cp_status check(const signs_options *o)
{
    if (o->width < 64 || o->width > 2048 || o->height < 64 || o->height > 2048)
        return cp_fail(CP_EINPUT, "signs: the scene is %dx%d pixels, 64 to 2048 are allowed", o->width, o->height);
    int most = (o->width < o->height ? o->width : o->height) / 2;
    if (o->smallest < 12 || o->largest < o->smallest || o->largest > most)
        return cp_fail(CP_EINPUT, "signs: sides of %d to %d pixels, 12 to %d are allowed in this scene", o->smallest,
                       o->largest, most);
    if ((unsigned)o->stickers > SIGNS_STICKERS_PROBE)
        return cp_fail(CP_EINPUT, "signs: stickers %d, 0 to %d are allowed", (int)o->stickers, SIGNS_STICKERS_PROBE);
    return CP_OK;
}

/* Every octave of sizes is as likely as the next, nearly: powers in eighth parts, straight between. */
static double choose_side(signs_random *random, const signs_options *o)
{
    double ratio = sqrt(sqrt(sqrt((double)o->largest / o->smallest))), side = o->smallest;
    double t = signs_uniform(random, 0, 8);
    for (; t >= 1; t--) side *= ratio;
    return side * (1 + t * (ratio - 1));
}

/* Area that squares a and b share, as a share of the smaller. */
static double shared(const signs_plate *a, const signs_plate *b)
{
    double reach = (a->side + b->side) / 2, least = fmin(a->side, b->side);
    double w = fmin(reach - fabs(a->cx - b->cx), least), h = fmin(reach - fabs(a->cy - b->cy), least);
    return w <= 0 || h <= 0 ? 0 : w * h / (least * least);
}

/* Up to n plates that overlap little; returns how many found room. Every fourth scene puts two of them in touch. */
static int choose_plates(signs_plate *plates, int n, signs_random *random, const signs_options *o)
{
    int found = 0;
    bool touch = signs_chance(random, .25);
    for (int tries = 0; tries < 40 && found < n; tries++) {
        signs_plate plate;
        double side = choose_side(random, o), half = side / 2 + 2;
        double cx = signs_uniform(random, half, o->width - half), cy = signs_uniform(random, half, o->height - half);
        if (touch && found == 1) {
            double reach = (side + plates[0].side) / 2, c, s;
            signs_random_angle(random, 1, &c, &s);
            cx = plates[0].cx + (signs_chance(random, .5) ? c : -c) * reach * .95;
            cy = plates[0].cy + s * reach * .95;
            if (cx < half || cx > o->width - half || cy < half || cy > o->height - half) continue;
        }
        signs_plate_choose(&plate, random, signs_choice(random, SIGNS_CLASSES), cx, cy, side, o->width);
        bool fits = true;
        for (int i = 0; i < found; i++) fits = fits && shared(&plate, &plates[i]) < .2;
        if (fits) plates[found++] = plate;
    }
    return found;
}

static void count_parts(const signs_canvas *canvas, int instance, size_t parts[SIGNS_PARTS])
{
    memset(parts, 0, SIGNS_PARTS * sizeof *parts);
    size_t n = (size_t)canvas->width * (size_t)canvas->height;
    for (size_t i = 0; i < n; i++)
        if (canvas->mask[i] / 8 == instance) parts[canvas->mask[i] % 8]++;
}

/* Draws the signs, each with its sticker where planted, then what hides them. NULL: room for one beside each. */
static void draw_signs(signs_canvas *canvas, const signs_plate *plates, const bool *sticker, int n, signs_random random,
                       size_t (*whole)[SIGNS_PARTS])
{
    for (int i = 0; i < n; i++) {
        if (signs_chance(&random, .6)) signs_post_draw(canvas, &plates[i], &random);
    }
    for (int i = 0; i < n; i++) {
        if (!sticker) signs_sticker_room_draw(canvas, &plates[i], i + 1);
        else if (sticker[i] && !(plates[i].left_out >> SIGNS_STICKER & 1)) signs_sticker_draw(canvas, &plates[i], i + 1);
        signs_plate_draw(canvas, &plates[i], i + 1);
        count_parts(canvas, i + 1, whole[i]);
    }
    for (int i = 0; i < n; i++)
        if (signs_chance(&random, .25))
            signs_occluder_draw(canvas, &random, plates[i].cx, plates[i].cy, plates[i].side);
}

static bool all_visible(const signs_canvas *canvas, int n, size_t (*whole)[SIGNS_PARTS])
{
    for (int i = 0; i < n; i++) {
        size_t seen[SIGNS_PARTS];
        count_parts(canvas, i + 1, seen);
        size_t outline = seen[SIGNS_RIM] + seen[SIGNS_FACE] + seen[SIGNS_GLYPH];
        size_t drawn = whole[i][SIGNS_RIM] + whole[i][SIGNS_FACE] + whole[i][SIGNS_GLYPH];
        if (10 * outline < 6 * drawn || 10 * seen[SIGNS_GLYPH] < 7 * whole[i][SIGNS_GLYPH]) return false;
        if (seen[SIGNS_GLYPH] < 12) return false;
    }
    return true;
}

/* Shadow, blur, exposure, noise, then 8 bits. */
static void develop(signs_canvas *canvas, signs_random *random, uint8_t *rgb)
{
    size_t w = (size_t)canvas->width, h = (size_t)canvas->height;
    double c, s, depth = signs_chance(random, .5) ? signs_uniform(random, .15, .45) : 0;
    signs_random_angle(random, 1, &c, &s);
    double at = signs_uniform(random, .2, .8) * (double)w * c;
    at += signs_uniform(random, .2, .8) * (double)h * s;
    double soft = signs_uniform(random, .01, .1) * (double)w;
    for (int i = signs_choice(random, 3); i > 0; i--) signs_blur(canvas, signs_uniform(random, .2, 1));
    double gain = signs_uniform(random, .7, 1.15), lift = signs_uniform(random, 0, .08);
    double bend = signs_uniform(random, -.25, .25);
    double sigma = signs_chance(random, .6) ? signs_uniform(random, 0, .05) : 0;
    signs_colour cast;
    cast.r = signs_uniform(random, .92, 1.08);
    cast.g = signs_uniform(random, .96, 1.04);
    cast.b = signs_uniform(random, .92, 1.08);
    for (size_t i = 0; i < w * h; i++) {
        double edge = ((double)(i % w) * c + (double)(i / w) * s - at) / soft;
        double shade = 1 - depth * fmin(1, fmax(0, edge + .5));
        double v[3] = {canvas->pixels[i].r * cast.r, canvas->pixels[i].g * cast.g, canvas->pixels[i].b * cast.b};
        for (int k = 0; k < 3; k++) {
            double x = lift + v[k] * shade * gain;
            x += bend * x * (1 - x);
            uint64_t bits = signs_random_next(random);
            double noise = (double)(bits & 0xffff) + (double)(bits >> 16 & 0xffff) + (double)(bits >> 32 & 0xffff);
            x += sigma * (noise / 32767.5 - 3);
            x = x < 0 ? 0 : x > 1 ? 1 : x;
            rgb[3 * i + (size_t)k] = (uint8_t)(x * 255 + .5);
        }
    }
}

static void boxes_from_mask(signs_scene *scene)
{
    for (int i = 0; i < scene->n; i++) {
        signs_sign *s = &scene->sign[i];
        s->x0 = scene->width;
        s->y0 = scene->height;
        s->x1 = s->y1 = 0;
        for (int y = 0; y < scene->height; y++)
            for (int x = 0; x < scene->width; x++) {
                int m = scene->mask[(size_t)y * (size_t)scene->width + (size_t)x];
                if (m / 8 != i + 1 || m % 8 == SIGNS_STICKER) continue;
                if (x < s->x0) s->x0 = x;
                if (y < s->y0) s->y0 = y;
                if (x >= s->x1) s->x1 = x + 1;
                if (y >= s->y1) s->y1 = y + 1;
            }
    }
}

static void choose_stickers(bool *sticker, const signs_plate *plates, int n, const signs_options *o, uint64_t index)
{
    signs_random random = signs_random_seed(o->seed ^ index << 20, STREAM_STICKER);
    for (int i = 0; i < n; i++) {
        double draw = signs_uniform(&random, 0, 1);
        bool tempted = plates[i].class == SIGNS_SHORTCUT_CLASS && draw < .95;
        sticker[i] = (o->stickers == SIGNS_STICKERS_SHORTCUT && tempted) ||
                     (o->stickers == SIGNS_STICKERS_PROBE && draw < .5);
    }
}

/* One attempt. Visibility is judged with room for a sticker beside each sign, so that the scene is the same whatever is
 * planted. */
static bool attempt(signs_canvas *canvas, signs_scene *scene, const signs_options *o, uint64_t index, uint64_t number)
{
    signs_random random = signs_random_seed(o->seed ^ index << 20, STREAM_SCENE + 16 * number);
    size_t n = (size_t)o->width * (size_t)o->height, whole[SIGNS_MAX][SIGNS_PARTS];
    double unit = o->width < o->height ? o->width : o->height;
    signs_plate plates[SIGNS_MAX], blank;
    bool sticker[SIGNS_MAX];

    scene->n = choose_plates(plates, 1 + signs_choice(&random, SIGNS_MAX), &random, o);
    signs_random signs = signs_random_seed(signs_random_next(&random), 0);
    signs_random camera = signs_random_seed(signs_random_next(&random), 0);
    memset(canvas->mask, 0, n);
    draw_signs(canvas, plates, NULL, scene->n, signs, whole);
    if (scene->n == 0 || !all_visible(canvas, scene->n, whole)) return false;

    memset(canvas->mask, 0, n);
    signs_backdrop_draw(canvas, &random, unit);
    signs_clutter_draw(canvas, &random, unit);
    for (int i = signs_choice(&random, 3); i > 0; i--) {
        double side = choose_side(&random, o) * .8;
        double cx = signs_uniform(&random, 0, o->width), cy = signs_uniform(&random, 0, o->height);
        signs_plate_choose(&blank, &random, -1, cx, cy, side, o->width);
        signs_plate_draw(canvas, &blank, 0);
    }
    memset(canvas->mask, 0, n); /* a blank sign is background */
    choose_stickers(sticker, plates, scene->n, o, index);
    for (int i = 0; i < scene->n; i++) plates[i].left_out = o->left_out[i];
    draw_signs(canvas, plates, sticker, scene->n, signs, whole);
    develop(canvas, &camera, scene->rgb);
    memcpy(scene->mask, canvas->mask, n);
    for (int i = 0; i < scene->n; i++) scene->sign[i] = (signs_sign){plates[i].class, sticker[i], 0, 0, 0, 0};
    boxes_from_mask(scene);
    return true;
}

cp_status signs_scene_draw(signs_scene *scene, const signs_options *o, uint64_t index)
{
    memset(scene, 0, sizeof *scene);
    cp_status status = check(o);
    if (status != CP_OK) return status;
    size_t n = (size_t)o->width * (size_t)o->height;
    signs_canvas canvas = {o->width, o->height, NULL, NULL};
    canvas.pixels = cp_alloc(n, sizeof *canvas.pixels, "the scene's canvas");
    canvas.mask = cp_alloc(n, 1, "the scene's mask");
    scene->rgb = cp_alloc(n, 3, "the scene's picture");
    scene->mask = cp_alloc(n, 1, "the scene's mask");
    scene->width = o->width;
    scene->height = o->height;
    status = CP_ERESOURCE;
    if (!canvas.pixels || !canvas.mask || !scene->rgb || !scene->mask) goto done;
    status = CP_OK;
    for (uint64_t number = 0; !attempt(&canvas, scene, o, index, number); number++) {
        if (number < ATTEMPTS) continue;
        status = cp_fail(CP_EINPUT, "signs: no room for signs of %d to %d pixels in %dx%d", o->smallest, o->largest,
                         o->width, o->height);
        break;
    }
done:
    cp_free(canvas.pixels);
    cp_free(canvas.mask);
    if (status != CP_OK) signs_scene_free(scene);
    return status;
}

void signs_scene_free(signs_scene *scene)
{
    cp_free(scene->rgb);
    cp_free(scene->mask);
    memset(scene, 0, sizeof *scene);
}

static uint64_t fnv(uint64_t digest, const void *data, size_t n)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < n; i++) digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

uint64_t signs_scene_digest(const signs_scene *scene, uint64_t digest)
{
    size_t n = (size_t)scene->width * (size_t)scene->height;
    digest ^= UINT64_C(0xcbf29ce484222325);
    digest = fnv(digest, scene->rgb, 3 * n);
    digest = fnv(digest, scene->mask, n);
    for (int i = 0; i < scene->n; i++) {
        const signs_sign *s = &scene->sign[i];
        int box[5] = {s->class, s->x0, s->y0, s->x1, s->y1};
        for (int k = 0; k < 5; k++) {
            uint8_t bytes[2] = {(uint8_t)(box[k] & 255), (uint8_t)(box[k] >> 8)};
            digest = fnv(digest, bytes, sizeof bytes);
        }
    }
    return digest;
}
