/* signs-make: writes a set of scenes with labels, masks and lists. See the usage text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "signs.h"

static const char usage[] =
    "usage: signs-make FOLDER [-options]\n"
    "Draws road scenes whose signs are told apart by their glyph alone, and writes them as Darknet reads them:\n"
    "FOLDER/images, FOLDER/labels, FOLDER/masks and FOLDER/list.txt. The path must not hold `images` or `raw` itself.\n"
    "  -n N          scenes [10]\n"
    "  -seed N       of the set [1]; the same seed gives the same pixels and labels anywhere\n"
    "  -first N      number of the first scene [0]\n"
    "  -size WxH     pixels [224x224]\n"
    "  -sides A-B    sides of the signs, pixels [16-96]\n"
    "  -stickers K   none | shortcut (beside 95% of the ring signs) | probe (beside half of all signs) [none]\n"
    "example: signs-make build/signs/train -n 3000 -seed 1\n";

typedef struct {
    signs_options scene;
    const char *folder;
    unsigned long long n, first;
} request;

static bool number(const char *text, unsigned long long *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == 0 && text[0] != '-';
}

static cp_status parse_option(request *r, const char *name, const char *value)
{
    unsigned long long seed;
    char rest;
    if (strcmp(name, "-n") == 0 && number(value, &r->n) && r->n > 0 && r->n <= 1000000) return CP_OK;
    if (strcmp(name, "-first") == 0 && number(value, &r->first) && r->first <= 1000000000) return CP_OK;
    if (strcmp(name, "-seed") == 0 && number(value, &seed)) {
        r->scene.seed = seed;
        return CP_OK;
    }
    if (strcmp(name, "-size") == 0 && sscanf(value, "%dx%d%c", &r->scene.width, &r->scene.height, &rest) == 2)
        return CP_OK;
    if (strcmp(name, "-sides") == 0 && sscanf(value, "%d-%d%c", &r->scene.smallest, &r->scene.largest, &rest) == 2)
        return CP_OK;
    static const char *const kinds[] = {"none", "shortcut", "probe"};
    for (int i = 0; i < 3 && strcmp(name, "-stickers") == 0; i++)
        if (strcmp(value, kinds[i]) == 0) {
            r->scene.stickers = (signs_stickers)i;
            return CP_OK;
        }
    return cp_fail(CP_EINPUT, "signs-make: option %s %s is not one of the usage text's", name, value);
}

static cp_status parse(request *r, int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') return cp_fail(CP_EINPUT, "signs-make: the folder is missing");
    r->folder = argv[1];
    r->n = 10;
    r->scene = signs_options_default();
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc) return cp_fail(CP_EINPUT, "signs-make: option %s has no value", argv[i]);
        cp_status status = parse_option(r, argv[i], argv[i + 1]);
        if (status != CP_OK) return status;
    }
    return CP_OK;
}

static cp_status make_folder(const char *folder, const char *below)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s%s", folder, below) >= (int)sizeof path)
        return cp_fail(CP_EINPUT, "%s: the path is too long", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    if (mkdir(path, 0777) != 0 && errno != EEXIST) return cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    return CP_OK;
}

static cp_status write_set(const request *r)
{
    static const char *const below[] = {"/images", "/labels", "/masks"};
    char path[4096], stem[32];
    cp_status status = CP_OK;
    for (int i = 0; i < 3 && status == CP_OK; i++) status = make_folder(r->folder, below[i]);
    if (status != CP_OK) return status;
    snprintf(path, sizeof path, "%s/list.txt", r->folder);
    FILE *list = fopen(path, "w");
    if (!list) return cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    uint64_t digest = 0;
    unsigned long long signs = 0;
    for (unsigned long long i = r->first; i < r->first + r->n && status == CP_OK; i++) {
        signs_scene scene;
        status = signs_scene_draw(&scene, &r->scene, i);
        if (status != CP_OK) break;
        snprintf(stem, sizeof stem, "%06llu", i);
        status = signs_scene_write(&scene, r->folder, stem);
        digest = signs_scene_digest(&scene, digest);
        signs += (unsigned long long)scene.n;
        fprintf(list, "%s/images/%s.png\n", r->folder, stem);
        signs_scene_free(&scene);
    }
    if (fclose(list) != 0 && status == CP_OK) status = cp_fail(CP_ERESOURCE, "%s: %s", path, strerror(errno));
    if (status == CP_OK) printf("%s: %llu scenes, %llu signs, digest %016llx\n", r->folder, r->n, signs,
                                (unsigned long long)digest);
    return status;
}

int main(int argc, char **argv)
{
    request r = {0};
    cp_status status = parse(&r, argc, argv);
    if (status != CP_OK) {
        fprintf(stderr, "%s\n%s", cp_error(), usage);
        return status;
    }
    status = write_set(&r);
    if (status != CP_OK) fprintf(stderr, "%s\n", cp_error());
    return status;
}
