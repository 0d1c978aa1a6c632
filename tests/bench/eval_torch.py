"""The peer of bench_eval.py: the same maps of the same photos by captum and pytorch-grad-cam, the same tests of them by Quantus.

    python3 eval_torch.py CFG WEIGHTS INPUTS.npy THREADS [BATCH]

INPUTS.npy: (n,c,h,w), as critpath prepares them, so that decoding is left out here. Prints one line: seconds for the maps,
seconds for all, processor seconds for all, steps, versions. Loading is not counted, and one photo runs before the clock starts."""
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

warnings.filterwarnings("ignore")
import captum.attr
import pytorch_grad_cam
import quantus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from torch_peer import Net

STEPS = COPIES = POINTS = 50


class Module(nn.Module):
    """An nn.Module of the network, with one at the layer that Grad-CAM hooks."""

    def __init__(self, cfg, weights):
        super().__init__()
        self.device_of = nn.Parameter(torch.zeros(1))  # pytorch-grad-cam asks for one
        self.peer = Net(cfg, weights)
        spatial = [l.index for l in self.peer.net.layers if l.type == "convolutional" and l.out_h * l.out_w > 1]
        self.at, self.last = spatial[-2], nn.Identity()

    def forward(self, x):
        outputs = {-1: x}
        for l in self.peer.net.layers:
            if l.type == "softmax":
                continue
            outputs[l.index] = self.peer.step(l, outputs)
            if l.index == self.at:
                outputs[l.index] = self.last(outputs[l.index])
        return outputs[max(outputs)].flatten(1)


def largest(maps):
    """The channel of the largest magnitude, by pixel: (n,h,w)."""
    return maps.detach().abs().amax(1)


def make_maps(module, x, classes):
    n = x.shape[0]
    cam = pytorch_grad_cam.GradCAM(model=module, target_layers=[module.last])
    found = {
        "gradient": largest(captum.attr.Saliency(module).attribute(x, target=classes, abs=False)),
        "inputmct": captum.attr.InputXGradient(module).attribute(x, target=classes).detach().sum(1).abs(),
        "inputintgrad": captum.attr.IntegratedGradients(module).attribute(
            x, target=classes, n_steps=STEPS, method="riemann_middle", internal_batch_size=64).detach().sum(1).abs(),
        "smoothgrad": largest(captum.attr.NoiseTunnel(captum.attr.Saliency(module)).attribute(
            x, target=classes, abs=False, nt_type="smoothgrad", nt_samples=COPIES, nt_samples_batch_size=max(1, 64 // n),
            stdevs=.15)),
        "gradcam": torch.from_numpy(cam(input_tensor=x.clone().requires_grad_(),
                                        targets=[ClassifierOutputTarget(int(k)) for k in classes])),
    }
    return {name: value.numpy()[:, None] for name, value in found.items()}


def measure(module, x, classes, maps):
    """Deletion over POINTS steps, Gini's index, entropy."""
    pixels = x.shape[2] * x.shape[3]
    tests = [
        quantus.PixelFlipping(features_in_step=pixels // POINTS, perturb_baseline="mean", return_auc_per_sample=True,
                              disable_warnings=True),
        quantus.Sparseness(disable_warnings=True),
        quantus.Complexity(disable_warnings=True),
    ]
    for test in tests:
        for a in maps.values():
            test(model=module, x_batch=x.numpy(), y_batch=classes.numpy(), a_batch=a, softmax=True, channel_first=True,
                 device="cpu", batch_size=64)


def steps_that_divide(side):
    """Quantus wants steps of equal size: the nearest number of pixels to a fiftieth that divides the photo's."""
    pixels = side[0] * side[1]
    return min((k for k in range(1, pixels) if pixels % k == 0), key=lambda k: abs(pixels / k - POINTS))


def run(module, x):
    with torch.no_grad():
        classes = module(x).argmax(1)
    times = []
    for step in range(3):
        times.append((time.perf_counter(), time.process_time()))
        if step == 0:
            maps = make_maps(module, x, classes)
        elif step == 1:
            measure(module, x, classes, maps)
    return np.diff(np.array(times), axis=0)


def main():
    cfg, weights, inputs, threads = sys.argv[1:5]
    batch = int(sys.argv[5]) if len(sys.argv) > 5 else 10
    torch.set_num_threads(int(threads))
    module = Module(cfg, weights).eval()
    x = torch.from_numpy(np.load(inputs))
    global POINTS
    POINTS = x.shape[2] * x.shape[3] // steps_that_divide(x.shape[2:])
    run(module, x[:1])
    total = np.zeros((2, 2))
    for first in range(0, len(x), batch):
        total += run(module, x[first:first + batch])
    print("%.6f %.6f %.6f %d torch-%s captum-%s grad-cam-%s quantus-%s" %
          (total[0, 0], total[:, 0].sum(), total[:, 1].sum(), POINTS, torch.__version__, version("captum"), version("grad-cam"), version("quantus")))


main()
