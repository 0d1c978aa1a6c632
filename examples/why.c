/* The library in one page: which class, which neurons, which pixels.
 *     gcc -Iplugin examples/why.c build/cmake/libcritpath.a build/darknet-src/libdarknet.a $(cat build/cmake/libraries) \
 *         -lm -o build/why
 *     build/why cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights build/data/dog.jpg
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "critpath.h"
#include "io/image.h" /* any other reader of pictures does as well */

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: why CFG WEIGHTS PICTURE (of a classifier)\n"), CP_EINPUT;
    cp_model *model = NULL;
    cp_frame *frame = NULL;
    cp_path *path = NULL;
    cp_picture photo = {0};
    float *input = NULL, *map = NULL;
    cp_response response;
    cp_selection selection;
    size_t c, h, w, pixel = 0;
    const double sparsity = .9;

    cp_status status = cp_model_open(argv[1], argv[2], &model);
    if (!status) status = cp_picture_read(argv[3], &photo);
    if (status) goto done;
    cp_model_input_shape(model, &c, &h, &w);
    input = malloc(c * h * w * sizeof *input);
    map = malloc(c * h * w * sizeof *map);
    if (!input || !map) status = CP_ERESOURCE;
    if (!status) status = cp_model_prepare(model, photo.rgb, photo.w, photo.h, true, input, NULL);
    if (!status) status = cp_frame_create(model, 1, &frame);
    if (!status) status = cp_frame_forward(frame, input, 1, NULL);
    if (!status) status = cp_response_class(model, 0, &response);
    if (status) goto done;

    const float *logits = cp_frame_output(frame, response.unit[0].layer, 0);
    int best = 0;
    for (int k = 1; k < cp_model_classes(model); ++k)
        if (logits[k] > logits[best]) best = k;
    status = cp_response_class(model, best, &response);
    if (!status) status = cp_path_create(model, &path);
    if (!status) status = cp_path_mct(frame, 0, &response, &sparsity, 1, &path, &selection);
    if (!status) status = cp_map_frozen(frame, 0, &response, (const cp_path *const *)&path, 1, map);
    if (status) goto done;

    for (size_t i = 0; i < c * h * w; ++i)
        if (fabsf(map[i]) > fabsf(map[pixel])) pixel = i;
    printf("class %d, logit %g\n", best, cp_frame_response(frame, 0, &response));
    printf("path: %zu of %zu neurons, contribution >= %g\n", selection.kept, cp_model_neuron_count(model),
           selection.threshold);
    printf("the pixel that counts most: x %zu, y %zu, channel %zu: %g\n", pixel % w, pixel / w % h, pixel / (w * h),
           map[pixel]);
done:
    if (status) fprintf(stderr, "why: %s\n", cp_error());
    free(input), free(map);
    cp_picture_free(&photo);
    cp_path_free(path);
    cp_frame_free(frame);
    cp_model_free(model);
    return status;
}
