/* What the engine computes on the device against Darknet's own forward pass there, on the same input: the outputs of all
 * layers of the tests' small networks, of the project's two and, where the data is there, of real ones. Then the same from
 * a frame on the CPU of the same model, and from a model opened for the CPU against Darknet with -nogpu. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "twins.h"

#include "io/error.h"
#include "model/cfg.h"
#include "model/model.h"

/* In units of the largest value of a layer. Batch norm with the other device's epsilon is 4e-5 to 8e-3 off. */
static const double tolerance = 2e-5;

static void must(cp_status status)
{
    if (status) fail_msg("%s: %s", twins_now, cp_error());
}

/* Darknet's own, for one image. */
static network *open_host(const char *cfg_path, const char *weights, int device)
{
    cp_cfg *cfg = NULL;
    char *text = NULL;
    size_t length;
    network *net = NULL;
    must(cp_cfg_read(cfg_path, &cfg));
    must(cp_cfg_prepare(cfg, 1, 0, 0));
    must(cp_cfg_render(cfg, &text, &length));
    gpu_index = device;
    must(cp_host_parse(text, length, false, &net));
    cp_host_load_weights(net, weights);
    cp_free(text);
    cp_cfg_free(cfg);
    return net;
}

static double compare(const network *net, const cp_frame *frame)
{
    double worst = 0;
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        const float *ours = cp_frame_output((cp_frame *)frame, i, 0);
        if (!ours) continue; /* a head */
        float *theirs = net->gpu_index >= 0 ? twins_pull(l->output_gpu, l->outputs) : l->output;
        double largest = 1e-3, difference = 0;
        for (int k = 0; k < l->outputs; ++k) {
            double d = fabs((double)ours[k] - theirs[k]);
            if (!(d <= difference)) difference = isnan(d) ? INFINITY : d;
            largest = fmax(largest, fabs(theirs[k]));
        }
        worst = fmax(worst, difference / largest);
        if (net->gpu_index >= 0) free(theirs);
    }
    return worst;
}

static void same_as_host(const char *cfg, const char *weights, int device)
{
    cp_model *model;
    must(cp_set_device(device));
    must(cp_model_open(cfg, weights, &model));
    network *net = open_host(cfg, weights, device);
    float *input = malloc(net->inputs * sizeof *input);
    srand(7);
    for (int i = 0; i < net->inputs; ++i) input[i] = rand_uniform(0, 1);
    network_predict(net, input);
    for (int on = device; on >= -1; --on) {
        cp_frame *frame;
        must(cp_set_device(on));
        must(cp_frame_create(model, 1, &frame));
        must(cp_frame_forward(frame, input, 1, NULL));
        double worst = compare(net, frame);
        if (getenv("CRITPATH_SHOW"))
            printf("%-40s Darknet on %d, the engine on %d: %.1e\n", twins_now, device, on, worst);
        if (!(worst <= tolerance))
            fail_msg("%s: Darknet on device %d, the engine on %d: outputs differ by %g", twins_now, device, on, worst);
        cp_frame_free(frame);
    }
    free(input);
    cp_host_free(net);
    cp_model_free(model);
}

static void test_network(void **state)
{
    char weights[500];
    twins_now = *state;
    const char *dot = strrchr(twins_now, '.'), *slash = strrchr(twins_now, '/');
    int stem = (int)(dot - slash);
    if (!strncmp(twins_now, "tests/", 6)) snprintf(weights, sizeof weights, "tests/oracle%.*s.weights", stem, slash);
    else if (!strncmp(twins_now, "cfg/", 4)) snprintf(weights, sizeof weights, "weights%.*s.weights", stem, slash);
    else snprintf(weights, sizeof weights, "%.*s.weights", (int)(dot - twins_now), twins_now);
    if (access(twins_now, R_OK) || access(weights, R_OK)) {
        printf("no %s: not compared\n", weights);
        skip();
    }
    same_as_host(twins_now, weights, 0);
    same_as_host(twins_now, weights, -1);
}

int main(void)
{
    static const char *const here[] = {
        "tests/oracle/cfg/activations.cfg", "tests/oracle/cfg/deconv.cfg",      "tests/oracle/cfg/densenet.cfg",
        "tests/oracle/cfg/depthwise.cfg",   "tests/oracle/cfg/odd.cfg",         "tests/oracle/cfg/resnet.cfg",
        "tests/oracle/cfg/resnext.cfg",     "tests/oracle/cfg/vgg.cfg",         "tests/oracle/cfg/yolov1.cfg",
        "tests/oracle/cfg/yolov2.cfg",      "tests/oracle/cfg/yolov3.cfg",      "tests/oracle/cfg/yolov3-tiny.cfg",
        "cfg/resnet8-cifar.cfg",            "cfg/tiny-yolo-signs.cfg"};
    static const char *const real[] = {"resnet20-cifar10", "squeezenet", "tiny", "yolo-fastest-1.1-xl", "yoloface-50k"};
    enum { HERE = sizeof here / sizeof *here, REAL = sizeof real / sizeof *real };
    static char paths[REAL][500];
    struct CMUnitTest tests[HERE + REAL];
    const char *data = getenv("CRITPATH_DATA");
    if (!twins_devices()) return 77;
    cp_set_lineage(CP_LINEAGE_DEBIAN); /* the Darknet that is compared with */
    for (int i = 0; i < HERE + REAL; ++i) {
        const char *path = i < HERE ? here[i] : paths[i - HERE];
        if (i >= HERE)
            snprintf(paths[i - HERE], sizeof *paths, "%s/weights/%s.cfg", data ? data : "../shared/data", real[i - HERE]);
        tests[i] = (struct CMUnitTest){.name = path, .test_func = test_network, .initial_state = (void *)path};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
