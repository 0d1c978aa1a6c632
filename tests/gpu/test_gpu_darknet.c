/* Darknet's own layers on the device against the same layers on the CPU: values at inference, then training steps with
 * their losses, gradients and weights. The two differ by the epsilon of batch norm and by rounding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "twins.h"

#define NET "[net]\nbatch=3\nsubdivisions=1\nwidth=16\nheight=12\nchannels=3\nlearning_rate=.02\nmomentum=.9\n" \
            "decay=.001\npolicy=constant\nmax_batches=100\n"
#define CONV(filters, size, stride, rest) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\n" rest
#define BN "batch_normalize=1\n"
#define LEAKY "activation=leaky\n"
#define RELU "activation=relu\n"
#define LINEAR "activation=linear\n"
#define POOL "[maxpool]\nsize=2\nstride=2\n"

typedef struct {
    const char *name, *cfg;
} network_case;

static const network_case cases[] = {
    {"vgg", NET CONV(8, 3, 1, RELU) POOL CONV(8, 3, 1, RELU) "[connected]\noutput=20\nactivation=relu\n"
            "[dropout]\nprobability=0\n[connected]\noutput=5\n" LINEAR "[softmax]\n"},
    {"batch norm", NET CONV(8, 3, 1, BN LEAKY) POOL CONV(12, 3, 2, BN RELU) "[connected]\noutput=12\n" BN LEAKY
                   "[connected]\noutput=5\n" LINEAR "[softmax]\n"},
    {"batch norm without a kink", NET CONV(8, 3, 1, BN LINEAR) CONV(5, 3, 1, LINEAR) "[avgpool]\n[softmax]\n"},
    {"resnet", NET CONV(8, 3, 1, BN LEAKY) CONV(4, 1, 1, BN LEAKY) CONV(8, 3, 1, BN LINEAR)
               "[shortcut]\nfrom=-3\n" LEAKY CONV(16, 3, 2, BN LINEAR) "[shortcut]\nfrom=-2\n" LEAKY "[avgpool]\n"
               CONV(5, 1, 1, LINEAR) "[softmax]\n"},
    {"groups", NET CONV(8, 3, 1, BN LEAKY) CONV(8, 3, 1, "groups=8\n" BN LEAKY) CONV(12, 1, 1, "groups=4\n" LEAKY)
               CONV(5, 1, 1, LINEAR) "[avgpool]\n[softmax]\n"},
    {"routes", NET CONV(8, 3, 1, LEAKY) CONV(4, 1, 1, LEAKY) "[route]\nlayers=-1,-2\n" CONV(8, 3, 2, LEAKY)
               "[upsample]\nstride=2\n[route]\nlayers=-1,0\n[reorg]\nstride=2\n" CONV(5, 1, 1, LINEAR)
               "[avgpool]\n[softmax]\n"},
    {"reverse reorg", NET CONV(8, 3, 2, LEAKY) "[reorg]\nstride=2\nreverse=1\n" CONV(5, 3, 1, LINEAR)
                      "[avgpool]\n[softmax]\n"},
    {"activation layers", NET CONV(6, 3, 1, LINEAR) "[activation]\nactivation=elu\n" CONV(6, 3, 1, LINEAR)
                          "[activation]\nactivation=tanh\n" CONV(6, 3, 1, LINEAR) "[activation]\nactivation=logistic\n"
                          CONV(6, 3, 1, LINEAR) "[activation]\nactivation=leaky\n" CONV(5, 3, 1, LINEAR)
                          "[avgpool]\n[softmax]\n"},
    {"activations", NET CONV(6, 3, 1, "activation=elu\n") CONV(6, 3, 1, "activation=tanh\n")
                    CONV(6, 3, 1, "activation=logistic\n") CONV(6, 3, 1, "activation=ramp\n")
                    CONV(6, 3, 1, "activation=hardtan\n") CONV(6, 3, 1, "activation=selu\n")
                    CONV(6, 3, 1, "activation=plse\n") CONV(6, 3, 1, "activation=loggy\n")
                    CONV(6, 3, 1, "activation=relie\n") CONV(5, 3, 1, LINEAR) "[avgpool]\n[softmax]\n"},
    {"deconvolution", NET CONV(6, 3, 2, LEAKY) "[deconvolutional]\nfilters=5\nsize=2\nstride=2\n" LEAKY
                      "[deconvolutional]\nfilters=4\nsize=3\nstride=1\npad=1\n" BN LEAKY CONV(5, 3, 2, LINEAR)
                      "[avgpool]\n[softmax]\n"},
    {"local", NET CONV(6, 3, 2, LEAKY) "[local]\nfilters=4\nsize=3\nstride=1\npad=1\n" LEAKY
              "[connected]\noutput=5\n" LINEAR "[softmax]\n"},
    {"lrn", NET CONV(6, 3, 1, RELU) "[normalization]\nsize=5\nalpha=.1\nbeta=.75\nkappa=1\n" CONV(5, 3, 1, LINEAR)
            "[avgpool]\n[softmax]\n"},
    {"crop", NET "[crop]\ncrop_width=16\ncrop_height=12\nflip=0\nangle=0\nsaturation=1\nexposure=1\n"
             CONV(5, 3, 1, LINEAR) "[avgpool]\n[softmax]\n"},
    {"logistic", NET CONV(6, 3, 2, LEAKY) "[connected]\noutput=5\n" LINEAR "[logistic]\n"},
    {"yolov1", NET CONV(6, 3, 2, LEAKY) POOL "[connected]\noutput=48\n" LINEAR
               "[detection]\nclasses=2\ncoords=4\nrescore=1\nside=2\nnum=2\nsoftmax=0\nsqrt=1\njitter=.2\n"
               "object_scale=.3\nnoobject_scale=.2\nclass_scale=.3\ncoord_scale=.3\n"}, /* [connected] cuts more */
    {"yolov2", NET CONV(6, 3, 2, BN LEAKY) POOL CONV(14, 1, 1, LINEAR)
               "[region]\nanchors=1,1,2,2\nbias_match=1\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\nobject_scale=5\n"
               "noobject_scale=1\nclass_scale=1\ncoord_scale=1\nthresh=.6\nabsolute=1\nrandom=0\n"},
    {"yolov3", NET CONV(6, 3, 2, BN LEAKY) CONV(8, 3, 2, BN LEAKY) CONV(14, 1, 1, LINEAR)
               "[yolo]\nmask=2,3\nanchors=2,3,4,4,6,8,9,9\nclasses=2\nnum=4\nignore_thresh=.7\ntruth_thresh=1\n"
               "[route]\nlayers=-3\n" CONV(4, 1, 1, LEAKY) "[upsample]\nstride=2\n[route]\nlayers=-1,0\n"
               CONV(14, 1, 1, LINEAR) "[yolo]\nmask=0,1\nanchors=2,3,4,4,6,8,9,9\nclasses=2\nnum=4\n"
               "ignore_thresh=.7\ntruth_thresh=1\n"},
};

static void test_network(void **state)
{
    const network_case *net = *state;
    twins_now = net->name;
    twins t = twins_open(net->cfg);
    twins_infer(&t);
    twins_train(&t);
    twins_close(&t);
}

/* cuDNN's workspace follows the batch. */
static void test_another_batch(void **state)
{
    (void)state;
    twins_now = "another batch";
    twins t = twins_open(cases[2].cfg);
    for (int batch = 1; batch <= 3; batch += 2) {
        gpu_index = -1;
        set_batch_network(t.cpu, batch);
        gpu_index = 0;
        set_batch_network(t.gpu, batch);
        twins_infer(&t);
    }
    twins_train(&t);
    twins_close(&t);
}

int main(void)
{
    enum { N = sizeof cases / sizeof *cases };
    struct CMUnitTest tests[N + 1];
    if (!twins_devices()) return 77;
    for (int i = 0; i < N; ++i)
        tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_network,
                                       .initial_state = (void *)&cases[i]};
    tests[N] = (struct CMUnitTest)cmocka_unit_test(test_another_batch);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
