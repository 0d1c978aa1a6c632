"""Maps by name against captum and pytorch-grad-cam, on the same weights and inputs.

    python3 maps_captum.py DUMP          compares; exit status 0, 1 where a limit is missed, 77 where a part is missing
    python3 maps_captum.py -golden       writes maps.npz, which test_eval_golden.c compares with

Both packages are on PyPI; the versions that made maps.npz are captum 0.7.0 and grad-cam 1.5.4. DUMP is the program built
from dump.c. Networks: the small ones of this folder that maps.npz holds, resnet8-cifar on a drawn sign, and SqueezeNet on a
photo where CRITPATH_DATA (default: ../shared/data) has one. Limit: cosine .9999. SmoothGrad, of which
only the noise differs, is compared by test_eval_golden.c alone. Guided backpropagation is captum's where
every activation is ReLU, which is all that captum changes.

Names in maps.npz: NETWORK.METHOD, (H,W), but (C,H,W) for smoothgrad: which of two nearly equal channels is the largest hangs
on the noise, so that of the channels within a tenth of the largest the nearest one is compared. The input and the response are those of NETWORK.npz.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    import torch
    import captum.attr
    import pytorch_grad_cam
    from torch import nn
    import compare
    import darknet_torch as oracle
except ImportError as missing:
    print("skipped: %s (pip install captum grad-cam)" % missing)
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
LEAST = .9999
SMALL = ("vgg", "resnet")
STEPS = 50
COPIES = 20000  # SmoothGrad's: a mean of n copies is off by 1 / sqrt(n) of their spread


class Module(nn.Module):
    """The network as PyTorch's tools want it: images between the layers, a module for each activation and each output."""

    def __init__(self, net, layer):
        super().__init__()
        self.net, self.last = net, layer
        self.device = nn.Parameter(torch.zeros(1))  # pytorch-grad-cam asks for one
        self.relu = nn.ModuleDict({str(l.index): nn.ReLU() for l in net.layers if l.activation == "relu"})
        self.output = nn.ModuleDict({str(l.index): nn.Identity() for l in net.layers})

    def forward(self, x):
        outputs = {-1: x.reshape(x.shape[0], -1)}
        for l in self.net.layers[:self.last + 1]:
            z = self.net.step(l, outputs)
            if l.activation == "relu":
                z = self.relu[str(l.index)](z)
            elif l.activation != "linear":
                z = oracle.Activate.apply(z, l.activation)
            outputs[l.index] = self.output[str(l.index)](z.reshape(-1, *l.shape)).reshape(z.shape)
        return outputs[self.last]


def largest(image):
    """(C,H,W) to the value of each pixel's channel of the largest magnitude."""
    return np.take_along_axis(image, np.abs(image).argmax(0)[None], 0)[0]


def enlarge(plane, net):
    return captum.attr.LayerAttribution.interpolate(plane[None, None], (net.h, net.w), "bilinear")[0, 0]


def cam_layer(net, layer):
    """The last neuron layer in front of the response's with more than one position."""
    return [l for l in net.neuron_layers if l.index < layer and l.out_h * l.out_w > 1][-1]


def planes_of_grad_cam(kind, module, target, x, unit):
    """Before it is scaled and enlarged by OpenCV: (h,w)."""
    class Unit:
        def __call__(self, output):
            return output[unit]
    tool = kind(model=module, target_layers=[target])
    tool(input_tensor=x, targets=[Unit()])
    activations = tool.activations_and_grads.activations[0].cpu().data.numpy()
    gradients = [g.cpu().data.numpy() for g in tool.activations_and_grads.gradients]
    plane = tool.get_cam_image(x, target, [Unit()], activations, gradients[0] if gradients else None, False)
    tool.activations_and_grads.release()
    return activations, torch.from_numpy(np.asarray(plane[0], np.float64))


def expected_maps(net, x, layer, unit, copies=0):
    """{method: (H,W)}"""
    module, target = Module(net, layer), cam_layer(net, layer)
    spot = module.output[str(target.index)]
    x = torch.as_tensor(np.asarray(x, np.float64).reshape(1, net.c, net.h, net.w)).requires_grad_(True)
    attr, maps = captum.attr, {}
    maps["gradient"] = largest(attr.Saliency(module).attribute(x, target=unit, abs=False)[0].detach().numpy())
    maps["inputmct"] = attr.InputXGradient(module).attribute(x, target=unit)[0].sum(0).detach().numpy()
    maps["inputintgrad"] = attr.IntegratedGradients(module).attribute(
        x, 0, unit, n_steps=STEPS, method="riemann_middle", internal_batch_size=10)[0].sum(0).detach().numpy()
    grad_cam = attr.LayerGradCam(module, spot).attribute(x, target=unit, relu_attributions=True)[0, 0]
    maps["gradcam"] = enlarge(grad_cam, net).detach().numpy()
    if all(l.activation in ("relu", "linear") for l in net.layers[:layer + 1]):
        maps["gbp"] = largest(attr.GuidedBackprop(module).attribute(x, target=unit)[0].detach().numpy())
    _, plane = planes_of_grad_cam(pytorch_grad_cam.LayerCAM, module, spot, x, unit)
    maps["layercam"] = enlarge(plane.clamp(min=0), net).numpy()
    activations, plane = planes_of_grad_cam(pytorch_grad_cam.EigenCAM, module, spot, x, unit)
    # The sign of a principal component is nobody's choice: that of the mean activation.
    plane = plane if float((plane.numpy() * activations[0].sum(0)).sum()) >= 0 else -plane
    maps["eigencam"] = enlarge(plane.clamp(min=0), net).numpy()
    if copies:
        torch.manual_seed(1)
        maps["smoothgrad"] = attr.NoiseTunnel(attr.Saliency(module)).attribute(
            x, nt_type="smoothgrad", nt_samples=copies, nt_samples_batch_size=100, stdevs=.15, target=unit,
            abs=False)[0].detach().numpy()
    return target.index, maps


def small_case(name):
    net = oracle.Network(os.path.join(HERE, "cfg", name + ".cfg"), os.path.join(HERE, name + ".weights"))
    stored = np.load(os.path.join(HERE, name + ".npz"))
    (layer, unit, _), = stored["response"].reshape(-1, 3)
    return net, stored["input"], int(layer), int(unit)


def write_golden():
    arrays = {}
    for name in SMALL:
        target, maps = expected_maps(*small_case(name), COPIES)
        arrays[name + ".layer"] = np.float32([target])
        arrays.update({"%s.%s" % (name, method): map.astype(np.float32) for method, map in maps.items()})
    np.savez(os.path.join(HERE, "maps.npz"), **arrays)


def dumped(dump, cfg, weights, x, layer, unit, target, methods, folder):
    """{method: (H,W)} by critpath, LayerCAM of the one layer."""
    np.save(os.path.join(folder, "input.npy"), np.asarray(x, np.float32))
    out = os.path.join(folder, "maps.npz")
    subprocess.check_call([dump, "maps", cfg, weights, os.path.join(folder, "input.npy"), "%d:%d" % (layer, unit), out,
                           str(target), str(STEPS), *methods])
    found = np.load(out)
    return {method: found[method].reshape(found[method].shape[-2:]) for method in methods}


def compare_case(dump, title, cfg, weights, x, layer, unit, folder):
    net = oracle.Network(cfg, weights)
    target, expected = expected_maps(net, x, layer, unit)
    report = compare.Report(title)
    found = dumped(dump, cfg, weights, x, layer, unit, target, list(expected), folder)
    for method, map in expected.items():
        report.least(method, oracle.cosine(found[method], map), LEAST)
    return report.print()


def photo_cases(dump, folder):
    data = os.environ.get("CRITPATH_DATA", os.path.join(HERE, "..", "..", "..", "shared", "data"))
    cases = [("cfg/resnet8-cifar.cfg", "weights/resnet8-cifar.weights", "examples/signs-two.png")]
    archive = os.path.join(data, "images", "imagenet-sample-256.tar")
    if os.path.exists(archive):
        photo, = compare.photos(archive, ("Gordon_setter.JPEG",), folder)
        cases.append(tuple(os.path.join(data, "weights", "squeezenet" + end) for end in (".cfg", ".weights")) + (photo,))
    for cfg, weights, photo in cases:
        array = os.path.join(folder, "photo.npy")
        subprocess.check_call([dump, "prepare", cfg, weights, photo, "0", array])
        net, x = oracle.Network(cfg, weights), np.load(array)
        (layer, unit, _), = oracle.top_unit(net, x)
        yield os.path.basename(cfg), cfg, weights, x, layer, unit


def main():
    if sys.argv[1] == "-golden":
        return write_golden()
    good, dump = True, sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        for name in SMALL:
            _, x, layer, unit = small_case(name)
            files = os.path.join(HERE, "cfg", name + ".cfg"), os.path.join(HERE, name + ".weights")
            good &= compare_case(dump, name, *files, x, layer, unit, folder)
        for title, cfg, weights, x, layer, unit in photo_cases(dump, folder):
            good &= compare_case(dump, title, cfg, weights, x, layer, unit, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
