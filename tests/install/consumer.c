/* A program that knows nothing but the installed header and library: the class of a grey picture, and its path. */
#include <critpath.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    cp_model *model = NULL;
    cp_frame *frame = NULL;
    cp_path *path = NULL;
    cp_response response;
    cp_selection selection;
    size_t c, h, w;
    const double sparsity = .9;
    if (argc != 3)
        return fprintf(stderr, "usage: consumer CFG WEIGHTS\n"), 2;
    if (cp_model_open("missing.cfg", argv[2], &model) != CP_EINPUT)
        return fprintf(stderr, "a missing cfg was opened\n"), 1;
    printf("error: %s\n", cp_error());
    cp_status status = cp_model_open(argv[1], argv[2], &model);
    if (status)
        return fprintf(stderr, "%s\n", cp_error()), (int)status;
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    for (size_t i = 0; input && i < c * h * w; i++)
        input[i] = .5f;
    status = input ? cp_frame_create(model, 1, &frame) : CP_ERESOURCE;
    if (!status)
        status = cp_frame_forward(frame, input, 1, NULL);
    if (!status)
        status = cp_response_class(model, 0, &response);
    if (!status)
        status = cp_path_create(model, &path);
    if (!status)
        status = cp_path_mct(frame, 0, &response, &sparsity, 1, &path, &selection);
    if (!status)
        printf("critpath %s: %zu of %zu neurons, logit %.6g\n", CP_VERSION, selection.kept,
               cp_model_neuron_count(model), cp_frame_response(frame, 0, &response));
    else
        fprintf(stderr, "%s\n", cp_error());
    free(input);
    cp_path_free(path);
    cp_frame_free(frame);
    cp_model_free(model);
    return (int)status;
}
