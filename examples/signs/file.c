/* Scenes to and from files, in Darknet's layout. */
#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "signs.h"

enum { RED = 40, GREEN = 60, BLUE = 25 };

cp_status signs_path_of(char *path, size_t size, const char *image_path, const char *kind)
{
    const char *at = strstr(image_path, "images"), *dot = strrchr(image_path, '.');
    if (!at || !dot || dot < at)
        return cp_fail(CP_EINPUT, "%s: not the path of a scene, .../images/NAME.png", image_path);
    const char *end = strcmp(kind, "labels") == 0 ? ".txt" : ".png";
    int used = snprintf(path, size, "%.*s%s%.*s%s", (int)(at - image_path), image_path, kind, (int)(dot - at - 6),
                        at + 6, end);
    if (used < 0 || (size_t)used >= size) return cp_fail(CP_EINPUT, "%s: the path is too long", image_path);
    return CP_OK;
}

/* Temporary name, then rename: a scene is whole or absent. Not synced, as a set is drawn again from its seed. */
static cp_status write_png(const char *path, int width, int height, const uint8_t *rgb)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= (int)sizeof temporary)
        return cp_fail(CP_EINPUT, "%s: the path is too long", path);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height,
                       .format = PNG_FORMAT_RGB};
    if (!png_image_write_to_file(&image, temporary, 0, rgb, 0, NULL)) {
        unlink(temporary);
        return cp_fail(CP_ERESOURCE, "%s: %s", path, image.message);
    }
    if (rename(temporary, path) != 0) return cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    return CP_OK;
}

static cp_status write_labels(const signs_scene *scene, const char *path)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= (int)sizeof temporary)
        return cp_fail(CP_EINPUT, "%s: the path is too long", path);
    FILE *file = fopen(temporary, "w");
    if (!file) return cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    for (int i = 0; i < scene->n; i++) {
        const signs_sign *s = &scene->sign[i];
        fprintf(file, "%d %.6f %.6f %.6f %.6f\n", s->class, (s->x0 + s->x1) / 2.0 / scene->width,
                (s->y0 + s->y1) / 2.0 / scene->height, (double)(s->x1 - s->x0) / scene->width,
                (double)(s->y1 - s->y0) / scene->height);
    }
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    if (failed || rename(temporary, path) != 0) return cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    return CP_OK;
}

cp_status signs_scene_write(const signs_scene *scene, const char *folder, const char *stem)
{
    char image_path[4096], path[4096];
    if (snprintf(image_path, sizeof image_path, "%s/images/%s.png", folder, stem) >= (int)sizeof image_path)
        return cp_fail(CP_EINPUT, "%s: the path is too long", folder);
    cp_status status = write_png(image_path, scene->width, scene->height, scene->rgb);
    if (status != CP_OK) return status;
    snprintf(path, sizeof path, "%s/labels/%s.txt", folder, stem);
    status = write_labels(scene, path);
    if (status != CP_OK) return status;
    size_t n = (size_t)scene->width * (size_t)scene->height;
    uint8_t *rgb = cp_alloc(n, 3, "the mask's picture");
    if (!rgb) return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++) {
        int instance = scene->mask[i] / 8, part = scene->mask[i] % 8;
        rgb[3 * i] = (uint8_t)(RED * instance);
        rgb[3 * i + 1] = (uint8_t)(GREEN * part);
        rgb[3 * i + 2] = instance ? (uint8_t)(BLUE * (scene->sign[instance - 1].class + 1)) : 0;
    }
    snprintf(path, sizeof path, "%s/masks/%s.png", folder, stem);
    status = write_png(path, scene->width, scene->height, rgb);
    cp_free(rgb);
    return status;
}

static cp_status read_png(const char *path, int *width, int *height, uint8_t **rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_file(&image, path)) return cp_fail(CP_EINPUT, "%s: %s", path, image.message);
    cp_status status = CP_EINPUT;
    if (image.width < 64 || image.width > 2048 || image.height < 64 || image.height > 2048) {
        cp_fail(status, "%s: %ux%u pixels, 64 to 2048 are allowed", path, image.width, image.height);
        goto done;
    }
    image.format = PNG_FORMAT_RGB;
    *rgb = cp_alloc((size_t)image.width * image.height, 3, "a picture");
    if (!*rgb) status = CP_ERESOURCE;
    else if (!png_image_finish_read(&image, NULL, *rgb, 0, NULL)) cp_fail(status, "%s: %s", path, image.message);
    else status = CP_OK;
    *width = (int)image.width;
    *height = (int)image.height;
done:
    png_image_free(&image);
    return status;
}

/* The colours of one mask pixel, back to instance * 8 + part and the sign's class. */
static bool decode(const uint8_t *rgb, signs_scene *scene, uint8_t *mask)
{
    int instance = rgb[0] / RED, part = rgb[1] / GREEN, class = rgb[2] / BLUE - 1;
    if (rgb[0] % RED || rgb[1] % GREEN || rgb[2] % BLUE || instance > SIGNS_MAX || class >= SIGNS_CLASSES) return false;
    if ((instance == 0) != (part == 0) || (instance == 0) != (class < 0)) return false;
    *mask = (uint8_t)(instance * 8 + part);
    if (instance == 0) return true;
    signs_sign *sign = &scene->sign[instance - 1];
    if (sign->x1 && sign->class != class) return false;
    sign->class = class;
    sign->sticker = sign->sticker || part == SIGNS_STICKER;
    sign->x1 = 1; /* seen */
    if (instance > scene->n) scene->n = instance;
    return true;
}

static cp_status decode_mask(signs_scene *scene, const uint8_t *rgb, const char *path)
{
    int w = scene->width;
    size_t n = (size_t)w * (size_t)scene->height;
    for (size_t i = 0; i < n; i++)
        if (!decode(rgb + 3 * i, scene, scene->mask + i))
            return cp_fail(CP_EINPUT, "%s: pixel %zu is %u,%u,%u, no colour of a mask", path, i, rgb[3 * i],
                           rgb[3 * i + 1], rgb[3 * i + 2]);
    for (int i = 0; i < scene->n; i++) {
        scene->sign[i].x0 = w;
        scene->sign[i].y0 = scene->height;
        scene->sign[i].x1 = scene->sign[i].y1 = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (scene->mask[i] == 0 || scene->mask[i] % 8 == SIGNS_STICKER) continue;
        signs_sign *s = &scene->sign[scene->mask[i] / 8 - 1];
        int x = (int)(i % (size_t)w), y = (int)(i / (size_t)w);
        s->x0 = x < s->x0 ? x : s->x0;
        s->y0 = y < s->y0 ? y : s->y0;
        s->x1 = x >= s->x1 ? x + 1 : s->x1;
        s->y1 = y >= s->y1 ? y + 1 : s->y1;
    }
    return CP_OK;
}

cp_status signs_scene_read(signs_scene *scene, const char *image_path)
{
    char path[4096];
    uint8_t *colours = NULL;
    int width = 0, height = 0;
    memset(scene, 0, sizeof *scene);
    cp_status status = read_png(image_path, &scene->width, &scene->height, &scene->rgb);
    if (status == CP_OK) status = signs_path_of(path, sizeof path, image_path, "masks");
    if (status == CP_OK) status = read_png(path, &width, &height, &colours);
    if (status != CP_OK) goto done;
    if (width != scene->width || height != scene->height) {
        status = cp_fail(CP_EINPUT, "%s: the mask is %dx%d, its picture %dx%d", path, width, height, scene->width,
                         scene->height);
        goto done;
    }
    status = CP_ERESOURCE;
    scene->mask = cp_alloc((size_t)width * (size_t)height, 1, "a mask");
    if (!scene->mask) goto done;
    status = decode_mask(scene, colours, path);
done:
    cp_free(colours);
    if (status != CP_OK) signs_scene_free(scene);
    return status;
}
