"""One peer of `make bench`: the same network as a PyTorch user would write it (eager, batch norm folded into the
convolutions, in-place activations). Same protocol as engine.c: forward | backward (data gradient only) | threads N |
peak."""
import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import numpy as np
import torch
import torch.nn.functional as F

import darknet_torch as oracle

ACTIVATIONS = {"linear": lambda z: z, "relu": lambda z: F.relu(z, inplace=True), "logistic": torch.sigmoid,
               "leaky": lambda z: F.leaky_relu(z, .1, inplace=True), "tanh": torch.tanh}


class Net:
    def __init__(self, cfg, weights):
        self.net = oracle.Network(cfg, weights, torch.float32)
        for l in self.net.layers:
            if getattr(l, "weights", None) is None or l.type not in ("convolutional", "connected"):
                continue
            bias = l.biases
            if l.bn:
                factor = l.scales / oracle.deviation(l.variance)
                bias = l.biases - l.mean * factor
                l.weights = l.weights * factor.reshape([-1] + [1] * (l.weights.dim() - 1))
            l.fast_weights, l.fast_bias = l.weights.contiguous(), bias.contiguous()

    def forward(self, x):
        outputs = {-1: x}
        for l in self.net.layers:
            if l.type in oracle.HEADS:
                continue
            outputs[l.index] = self.step(l, outputs)
        last = max(outputs)
        return outputs[last].flatten(1)

    def step(self, l, outputs):
        x = outputs.get(l.index - 1)  # none behind a head: a route goes on from elsewhere
        if l.type == "convolutional":
            z = F.conv2d(x, l.fast_weights, l.fast_bias, l.stride, l.pad, 1, l.groups)
        elif l.type == "connected":
            z = F.linear(x.flatten(1), l.fast_weights, l.fast_bias)
        elif l.type == "maxpool":
            before = l.padding // 2
            after_h = max(0, (l.out_h - 1) * l.stride + l.size - before - l.h)
            after_w = max(0, (l.out_w - 1) * l.stride + l.size - before - l.w)
            if before or after_h or after_w:
                x = F.pad(x, (before, after_w, before, after_h), value=-float("inf"))
            return F.max_pool2d(x, l.size, l.stride)
        elif l.type == "route":
            parts = [outputs[index].chunk(l.groups, 1)[l.group_id] for index in l.sources]
            return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        elif l.type == "shortcut" and outputs[l.sources[0]].shape == x.shape:
            z = x + outputs[l.sources[0]]
        elif l.type == "avgpool":
            return x.mean((2, 3), keepdim=True)
        elif l.type == "upsample":
            return F.interpolate(x, scale_factor=float(l.stride))
        elif l.type == "dropout":
            return x
        else:  # rare ones: the oracle's
            flat = {index: value.flatten(1) for index, value in outputs.items()}
            z = self.net.step(l, flat).reshape(x.shape[0], l.out_c, l.out_h, l.out_w)
        return ACTIVATIONS[l.activation](z)


def main():
    cfg, weights, threads = sys.argv[1:4]
    torch.set_num_threads(int(threads))
    net = Net(cfg, weights)
    n = net.net
    count = n.layers[0].c * n.layers[0].h * n.layers[0].w
    grain = (np.arange(count, dtype=np.uint64) * 2654435761 % 2 ** 32 % 1000).astype(np.float32) / 1000
    x = torch.from_numpy(grain).reshape(1, n.layers[0].c, n.layers[0].h, n.layers[0].w)
    with torch.no_grad():
        net.forward(x)
    capability = torch.__config__.show().split("CPU capability usage: ")[-1].split()[0]
    print("0 0 torch-" + torch.__version__ + " " + capability, flush=True)
    for line in sys.stdin:
        what = line.split()[0]
        if what == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)
            continue
        if what == "threads":
            torch.set_num_threads(int(line.split()[1]))
            print(0, flush=True)
            continue
        if what == "forward":
            with torch.no_grad():
                start = time.perf_counter()
                net.forward(x)
                seconds = time.perf_counter() - start
        else:
            leaf = x.clone().requires_grad_()
            out = net.forward(leaf)[0]
            unit = out.max()
            start = time.perf_counter()
            unit.backward()
            seconds = time.perf_counter() - start
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
