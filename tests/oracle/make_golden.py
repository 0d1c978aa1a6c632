"""Makes the golden files: for every cfg in cfg/ random weights (NAME.weights) and, in NAME.npz, an input and what
darknet_torch.py computes from it in float64. test_golden.c and ctest compare critpath with them.

    /usr/bin/python3 make_golden.py [NAME ...]

Arrays of NAME.npz, float32 (what is bool is bool):
    input (C,H,W); response (n,3): layer, unit, weight; value: the response;
    logits.NNN: output of the layer in front of each head; sums (layers,2): sum and 2-norm of each layer's output;
    a.LAYER, g.LAYER: activation and gradient of each neuron layer, (C,H,W);
    path_90.LAYER, path_99.LAYER; gradient, frozen_90, frozen_99, zeroed_90, zeroed_99: maps (C,H,W);
    zeroed_value_90, zeroed_value_99: the response in the zeroed network.
Score and path are NeuronMCT's. Some files hold more (EXTRAS below):
    intgrad.LAYER: signed NeuronIntGrad, 50 midpoints; residual: per neuron layer, Phi(a) - Phi(a := 0) - sum;
    ablated: numbers in the network-wide order of a sample of neurons; ablation: |Phi - Phi(a_j := 0)| of each;
    dgr.LAYER: gates after 50 steps from 1 (rate .01, momentum .9, gamma .01); dgr_loss: before each step;
    distance.LAYER, distance_90.LAYER: |z| / ||grad z|| in the full network and frozen on path_90 (inf: no bound);
    pool_distance.NNN, pool_distance_90.NNN: the same for each window of a pool, the least of its losers.

Weights are random, with rolling statistics measured on the input, so that every layer has both active and inactive
units. Seeds are tried until nothing of the result hangs on rounding: no pre-activation near a kink, no two candidates
near each other in a pool window, no score near a threshold, and no empty map at 90%.
"""
import glob
import os
import struct
import sys

import numpy as np
import torch

import darknet_torch as oracle
import methods_torch as methods

EXTRAS = {"densenet": ("intgrad", "ablation"), "odd": ("intgrad", "ablation"), "yolov3": ("intgrad", "ablation"),
          "resnet": ("intgrad", "ablation", "dgr", "distances"), "vgg": ("intgrad", "dgr", "distances")}
HERE = os.path.dirname(os.path.abspath(__file__))
MARGIN = 2e-5
KINKS = {"relu": (0,), "leaky": (0,), "relie": (0,), "ramp": (0,), "hardtan": (-1, 1), "lhtan": (0, 1), "plse": (-4, 4)}


def single(array):
    """Rounded to float32, kept as float64."""
    return torch.from_numpy(np.asarray(array, np.float64).astype(np.float32).astype(np.float64))


def randomise(net, x, random):
    """Weights and batch norm of every layer; layers before are run first. Returns the smallest margin seen."""
    outputs, margin = {-1: net.tensor(x)}, np.inf
    for l in net.layers:
        if hasattr(l, "weight_shape"):
            fan = l.weight_shape[0] if l.type == "deconvolutional" else int(np.prod(l.weight_shape[1:]))
            if l.type == "local":
                fan = l.weight_shape[2]
            l.weights = single(random.normal(0, 1 / np.sqrt(fan), l.weight_shape))
            count = l.outputs if l.type == "local" else l.n
            l.biases = torch.zeros(count, dtype=torch.float64)
            if l.bn:
                l.scales, l.mean, l.variance = (single(v) for v in (np.ones(count), np.zeros(count), np.ones(count)))
            z = net.step(l, outputs).detach().numpy().reshape(l.n, -1)
            if l.bn:
                spread = z.var(1) + .2 * z.var() + 1e-3
                l.mean = single(z.mean(1) * (.5 if z.shape[1] == 1 else 1))
                l.variance = single(spread)
                l.scales = single(random.uniform(.6, 1.4, count))
            else:
                l.weights = single(l.weights.numpy() / (z.std() + 1e-3))
            l.biases = single(random.normal(.1, .3, count))
        z = net.step(l, outputs).detach()
        for kink in KINKS.get(l.activation, ()):
            distance = (z - kink).abs()
            margin = min(margin, float(distance[distance > 0].min()))  # exact: a sum of dead units
        if l.type == "maxpool":
            margin = min(margin, pool_margin(net, l, outputs[l.index - 1]))
        outputs[l.index] = oracle.Activate.apply(z, l.activation)
    return margin


def pool_margin(net, l, x):
    """Smallest distance of the two largest values of a window, exact ties (of zeros, say) left out."""
    image = x.reshape(1, l.c, l.h, l.w)
    before, wide = l.padding // 2, l.size + l.stride
    padded = torch.nn.functional.pad(image, (before, wide, before, wide), value=-np.inf)
    windows = padded.unfold(2, l.size, l.stride).unfold(3, l.size, l.stride)[:, :, :l.out_h, :l.out_w]
    top = windows.reshape(-1, l.size * l.size).sort(1, descending=True)[0]
    if top.shape[1] < 2:
        return np.inf
    gap = (top[:, 0] - top[:, 1]).numpy()
    gap = gap[gap > 0]
    return float(gap.min()) if gap.size else np.inf


def threshold_margin(scores, path):
    """Relative distance of the lowest kept score and the highest one left out."""
    flat = np.concatenate([scores[i] for i in sorted(scores)])
    keep = np.concatenate([path[i] for i in sorted(scores)])
    if not keep.any() or keep.all() or flat[~keep].max() == 0:
        return np.inf
    return float(1 - flat[~keep].max() / flat[keep].min())


def write_weights(net, path):
    with open(path, "wb") as file:
        file.write(struct.pack("<3iq", 0, 2, 0, 0))
        for l in net.layers:
            if not hasattr(l, "weight_shape"):
                continue
            batch_norm = [l.scales, l.mean, l.variance] if l.bn else []
            first = [l.biases, l.weights] if l.type == "connected" else [l.biases]
            for part in first + batch_norm + ([] if l.type == "connected" else [l.weights]):
                file.write(part.numpy().astype("<f4").tobytes())


def response_of(name, net, x):
    heads = [l.index for l in net.layers if l.type in ("yolo", "region")]
    if heads:
        return oracle.objectness_unit(net, x, heads[0])
    index = net.before_head()
    if name == "resnext":   # the difference of two logits
        out = net.forward(net.tensor(x))[index].detach().numpy()[0]
        first, second = np.argsort(-out, kind="stable")[:2]
        return [(index, int(first), 1.), (index, int(second), -1.)]
    return oracle.top_unit(net, x)


def golden(name, seed):
    cfg = os.path.join(HERE, "cfg", name + ".cfg")
    weights = os.path.join(HERE, name + ".weights")
    random = np.random.RandomState(seed)
    net = oracle.Network(cfg)
    x = random.rand(net.c, net.h, net.w).astype(np.float32)
    if randomise(net, x, random) < MARGIN:
        return None
    write_weights(net, weights)
    net = oracle.Network(cfg, weights)
    response = response_of(name, net, x)
    plain = oracle.Explanation(net, x, response)
    scores = oracle.mct(plain)
    arrays = {"input": x, "response": np.array(response, np.float32), "value": np.float32([plain.value]),
              "gradient": plain.map.astype(np.float32)}
    arrays["sums"] = np.array([(float(plain.outputs[l.index].sum()), float(plain.outputs[l.index].norm()))
                               for l in net.layers], np.float32)
    for l in net.layers:
        if l.type in oracle.HEADS and net.layers[l.index - 1].type not in oracle.HEADS:
            arrays["logits.%03d" % (l.index - 1)] = plain.outputs[l.index - 1].numpy()[0].astype(np.float32)
    for l in net.neuron_layers:
        arrays["a." + l.name] = plain.a[l.index].astype(np.float32).reshape(l.shape)
        arrays["g." + l.name] = plain.g[l.index].astype(np.float32).reshape(l.shape)
    for percent in (90, 99):
        path = oracle.select(scores, percent / 100)
        if threshold_margin(scores, path) < MARGIN:
            return None
        frozen = oracle.Explanation(net, x, response, path=path)
        zeroed = oracle.Explanation(net, x, response, zeroed=path)
        if percent == 90 and not frozen.map.any():
            return None
        arrays["frozen_%d" % percent] = frozen.map.astype(np.float32)
        arrays["zeroed_%d" % percent] = zeroed.map.astype(np.float32)
        arrays["zeroed_value_%d" % percent] = np.float32([zeroed.value])
        for l in net.neuron_layers:
            arrays["path_%d.%s" % (percent, l.name)] = path[l.index].reshape(l.shape)
    extras(name, net, x, response, arrays)
    np.savez_compressed(os.path.join(HERE, name + ".npz"), **arrays)
    return net, plain, arrays


def extras(name, net, x, response, arrays):
    wanted = EXTRAS.get(name, ())
    shapes = {l.index: (l.name, l.shape) for l in net.neuron_layers}

    def put(kind, per_layer):
        for index, values in per_layer.items():
            layer, shape = shapes[index]
            arrays["%s.%s" % (kind, layer)] = values.astype(np.float32).reshape(shape)

    if "intgrad" in wanted:
        scores, residuals = methods.intgrad(net, x, response)
        put("intgrad", scores)
        arrays["residual"] = np.array([residuals[index] for index in shapes], np.float32)
    if "ablation" in wanted:
        order = [(l.index, i) for l in net.neuron_layers for i in range(l.outputs)]
        numbers = np.arange(5, len(order), 37)
        arrays["ablated"] = numbers.astype(np.int32)
        arrays["ablation"] = methods.ablation(net, x, response, [order[i] for i in numbers]).astype(np.float32)
    if "dgr" in wanted:
        gates, _, losses = methods.dgr(net, x, net.before_head(), 50)
        put("dgr", gates)
        arrays["dgr_loss"] = losses.astype(np.float32)
    if "distances" in wanted:
        path = {l.index: arrays["path_90." + l.name].ravel() for l in net.neuron_layers}
        for suffix, restriction in (("", None), ("_90", path)):
            units, pools = methods.distances(net, x, restriction)
            put("distance" + suffix, units)
            for index, values in pools.items():
                arrays["pool_distance%s.%03d" % (suffix, index)] = \
                    values.astype(np.float32).reshape(net.layers[index].shape)


def main():
    cfgs = sorted(glob.glob(os.path.join(HERE, "cfg", "*.cfg")))
    names = sys.argv[1:] or [os.path.basename(path)[:-4] for path in cfgs]
    for name in names:
        for seed in range(2000):
            made = golden(name, seed)
            if made:
                break
        else:
            sys.exit("%s: no seed keeps clear of rounding" % name)
        net, plain, arrays = made
        active = np.mean(np.concatenate([plain.a[i] for i in plain.a]) > 0)
        print("%-12s seed %3d: %5d neurons, %2.0f%% active, response %.4f, map norms %.3g %.3g %.3g, %d + %d bytes"
              % (name, seed, net.neurons, 100 * active, plain.value, np.linalg.norm(arrays["gradient"]),
                 np.linalg.norm(arrays["frozen_90"]), np.linalg.norm(arrays["frozen_99"]),
                 os.path.getsize(os.path.join(HERE, name + ".npz")),
                 os.path.getsize(os.path.join(HERE, name + ".weights"))))


if __name__ == "__main__":
    main()
