"""Layers and activations of AlexeyAB's Darknet in PyTorch, in float64, against critpath: logits and input gradients.

    later_torch.py ORACLE_DUMP

The networks are tests/oracle/cfg/alexey.cfg and those written below; autograd does the derivatives. No code is shared with
Darknet or with the plugin."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from harness import ORACLE, SKIP, FolderTest

try:
    import numpy as np
    import torch
    import torch.nn.functional as F

    import darknet_torch as oracle
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(SKIP)

DUMP = sys.argv.pop(1)
ACTIVATIONS = {
    "linear": lambda z: z, "logistic": torch.sigmoid, "leaky": lambda z: F.leaky_relu(z, .1), "relu": F.relu,
    "mish": lambda z: z * torch.tanh(F.softplus(z)), "swish": lambda z: z * torch.sigmoid(z), "relu6": lambda z: z.clamp(0, 6),
    "hard_mish": lambda z: torch.where(z > 0, z, torch.where(z > -2, z * z / 2 + z, 0 * z)),
    "gelu": lambda z: .5 * z * (1 + torch.tanh(.797885 * z + .035677 * z ** 3)),
    "normalize_channels": lambda z: part_of_channels(F.relu(z)),
    "normalize_channels_softmax": lambda z: part_of_channels(torch.exp(z)),
    "normalize_channels_softmax_maxval": lambda z: part_of_channels(torch.exp(z - z.detach().max(1, keepdim=True).values))}


def part_of_channels(p):
    return p / (1e-4 + p.sum(1, keepdim=True))


def blurred(x, size, stride):
    """antialiasing: 1 2 1 by 1 2 1 sixteenths with a border of zeros, or means of 2x2."""
    line = torch.tensor([1., 1.] if size == 2 else [1., 2., 1.], dtype=x.dtype)
    kernel = torch.outer(line, line) / line.sum() ** 2
    return F.conv2d(x, kernel.expand(x.shape[1], 1, -1, -1), None, stride, 0 if size == 2 else 1, 1, x.shape[1])


class Later:
    """A network whose layers are (1,C,H,W) tensors; weights are drawn, and written as the weights file has them."""

    def __init__(self, text, seed):
        self.random, self.floats, self.shared, self.layers = np.random.default_rng(seed), [], {}, []
        self.text = text

    def draw(self, *shape, scale=1.0, about=0.0):
        values = (about + scale * self.random.standard_normal(shape)).astype("<f4")
        self.floats.append(values.tobytes())
        return torch.from_numpy(values.astype(np.float64))

    def sections(self, path):
        with open(path, "w") as file:
            file.write(self.text)
        return oracle.read_cfg(path)[1:]

    def norm(self, n):
        """Scales, means and variances of a batch norm, as a factor and what is added before the biases."""
        scales, mean = self.draw(n, scale=.1, about=1), self.draw(n, scale=.1)
        variance = self.draw(n, scale=.05, about=.8)
        factor = scales / (variance + 1e-5).sqrt()
        return factor[:, None, None], (mean * factor)[:, None, None]

    def convolutional(self, o, x):
        get = lambda key, other: int(o.get(key, other))
        size, stride = get("size", 1), get("stride", 1)
        pad, dilation = size // 2 if get("pad", 0) else get("padding", 0), 1 if size == 1 else get("dilation", 1)
        filters, groups, c = get("filters", 1), get("groups", 1), x.shape[1]
        if "share_index" in o:
            index = get("share_index", 0)
            weights, bias = self.shared[index if index >= 0 else len(self.layers) + index]
        else:
            bias = self.draw(filters, scale=.1)[:, None, None]
            factor, less = self.norm(filters) if get("batch_normalize", 0) or get("cbn", 0) else (1, 0)
            weights = self.draw(filters, c // groups, size, size, scale=(2 / (size * size * c // groups)) ** .5)
            weights, bias = weights * (factor[..., None] if torch.is_tensor(factor) else factor), bias - less
        self.shared[len(self.layers)] = weights, bias
        strides = get("stride_y", stride), get("stride_x", stride)
        return F.conv2d(x, weights, None, strides, pad * dilation, dilation, groups) + bias

    def windows(self, o, x, mean):
        size, stride = int(o.get("size", o.get("stride", 1))), int(o.get("stride", 1))
        step = int(o.get("stride_y", stride)), int(o.get("stride_x", stride))
        padding = int(o.get("padding", size - 1))
        before, after = padding // 2, padding - padding // 2
        fill = lambda t, value: F.pad(t, (before, after, before, after), value=value)
        cut = [(n + padding - size) // s + 1 for n, s in zip(x.shape[2:], step)]
        if not mean:
            return F.max_pool2d(fill(x, -float("inf")), size, step)[:, :, :cut[0], :cut[1]]
        count = F.avg_pool2d(fill(torch.ones_like(x), 0), size, step)
        return (F.avg_pool2d(fill(x, 0), size, step) / count)[:, :, :cut[0], :cut[1]]

    def shortcut(self, o, x):
        others = [self.at(int(text)) for text in o["from"].split(",")]
        channels, kind = x.shape[1], o.get("weights_type", "none")
        factors = torch.ones(len(others) + 1, channels, dtype=torch.float64)
        if kind != "none":
            w = self.draw(len(others) + 1, channels if kind == "per_channel" else 1, scale=.3, about=.5).expand(-1, channels)
            m = (w - w.max(0).values).exp() if o["weights_normalization"] == "softmax" else w.clamp(min=.001)
            factors = m / (1e-4 + m.sum(0))
        y = x * factors[0][:, None, None]
        for k, other in enumerate(others):
            c = min(channels, other.shape[1])
            y = y + F.pad(other[:, :c] * factors[k + 1, :c, None, None], (0, 0, 0, 0, 0, channels - c))
        return y

    def at(self, index):
        return self.layers[index if index >= 0 else len(self.layers) + index]

    def step(self, kind, o, x):
        if kind == "convolutional":
            return self.convolutional(o, x)
        if kind == "route":
            groups, part = int(o.get("groups", 1)), int(o.get("group_id", 0))
            return torch.cat([self.at(int(text)).chunk(groups, 1)[part] for text in o["layers"].split(",")], 1)
        if kind == "maxpool" and int(o.get("maxpool_depth", 0)):
            n = int(o.get("out_channels", 1))
            return torch.cat([x[:, k::n].max(1, keepdim=True).values for k in range(n)], 1)
        if kind in ("maxpool", "local_avgpool"):
            return self.windows(o, x, kind != "maxpool")
        if kind == "avgpool":
            return x.mean((2, 3), keepdim=True)
        if kind == "shortcut":
            return self.shortcut(o, x)
        if kind in ("scale_channels", "sam"):
            return x * self.at(int(o["from"]))
        if kind == "upsample":
            stride, scale = int(o.get("stride", 2)), float(o.get("scale", 1))
            if stride < 0:
                return scale * stride * stride * F.avg_pool2d(x, -stride)
            return scale * F.interpolate(x, scale_factor=stride)
        if kind == "reorg3d":
            s = int(o["stride"])
            return torch.cat([x[:, :, k // s::s, k % s::s] for k in range(s * s)], 1)
        if kind == "batchnorm":
            bias = self.draw(x.shape[1], scale=.1)[:, None, None]
            factor, less = self.norm(x.shape[1])
            return x * factor + bias - less
        if kind == "implicit":
            return self.draw(1, int(o["filters"]), 1, 1)
        return x  # empty, dropout

    def run(self, path, x):
        """Stops in front of the head; returns the number of the layer before it."""
        for kind, o in self.sections(path):
            if kind in ("yolo", "softmax"):
                break
            blur, stride = int(o.get("antialiasing", 0)), int(o.get("stride", 1))
            o = dict(o, stride="1") if blur else o
            x = ACTIVATIONS[o.get("activation", "linear")](self.step(kind, o, x))
            self.layers.append(x)
            x = blurred(x, 2 if blur == 2 else 3, stride) if blur else x
        return len(self.layers) - 1


def conv(filters, size=3, activation="leaky", **keys):
    return f"[convolutional]\nfilters={filters}\nsize={size}\npad=1\nactivation={activation}\n" + "".join(
        f"{key}={value}\n" for key, value in keys.items())


NET = "[net]\nwidth=20\nheight=16\nchannels=3\n"
NETWORKS = {
    "activations": NET + conv(8, activation="mish", batch_normalize=1) + conv(8, 1, "swish") + conv(8, activation="hard_mish") +
    conv(8, activation="gelu", cbn=1) + conv(8, 1, "relu6", stride=2) + conv(4, 1, "linear") + "[softmax]\n",
    "blurs": NET + conv(6, stride=2, antialiasing=1) + conv(6, activation="mish", stride=2, antialiasing=2) +
    "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n" + conv(4, 1, "linear") + "[softmax]\n",
    "channels": NET + conv(6, activation="normalize_channels", batch_normalize=1) + conv(6, activation="normalize_channels_softmax") +
    conv(5, 1, "normalize_channels_softmax_maxval", stride=2) + conv(4, 1, "linear") + "[softmax]\n",
    "windows": NET + conv(9) + "[maxpool]\nsize=3\nstride_x=1\nstride_y=2\n" + conv(8, stride_x=2, stride_y=1) +
    "[maxpool]\nmaxpool_depth=1\nout_channels=6\n[local_avgpool]\nsize=3\nstride=2\n" + conv(6, dilation=2) +
    conv(6, share_index=-1) + "[upsample]\nstride=4\nscale=.5\n[upsample]\nstride=-2\n[reorg3d]\nstride=2\n" +
    conv(4, 1, "linear") + "[softmax]\n",
    "joins": NET + conv(6, activation="mish") + conv(6) + "[shortcut]\nfrom=-2,-1\nweights_type=per_channel\n"
    "weights_normalization=relu\nactivation=leaky\n" + conv(4) + "[shortcut]\nfrom=-3,0\nweights_type=per_feature\n"
    "weights_normalization=softmax\nactivation=swish\n[shortcut]\nfrom=0,1\nactivation=linear\n[route]\nlayers=-1,0\ngroups=2\n"
    "group_id=1\n[batchnorm]\n[empty]\n" + conv(1, 1, "logistic") + "[scale_channels]\nfrom=-2\nscale_wh=1\nactivation=relu\n"
    "[avgpool]\n[implicit]\nfilters=5\n[sam]\nfrom=-2\n" + conv(4, 1, "linear") + "[softmax]\n",
}


class LaterDarknets(FolderTest):
    def check(self, name, text):
        network = Later(text, 5)
        x = torch.from_numpy(np.random.default_rng(6).uniform(0, 1, (1, 3, 16, 20)).astype("<f4").astype(np.float64))
        x.requires_grad_()
        last = network.run(self.path("n.cfg"), x)
        logits = network.layers[last].flatten()
        unit = int(logits.abs().argmax())
        logits[unit].backward()
        with open(self.path("n.weights"), "wb") as file:
            file.write(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + b"".join(network.floats))
        np.save(self.path("x.npy"), x.detach().numpy()[0].astype("<f4"))
        done = subprocess.run([DUMP, "run", self.path("n.cfg"), self.path("n.weights"), self.path("x.npy"), f"{last}:{unit}",
                               self.path("o.npz"), ".9"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")
        ours = np.load(self.path("o.npz"))
        for what, mine, theirs in (("logits", ours[f"logits.{last:03d}"].flatten(), logits.detach().numpy()),
                                   ("gradient", ours["gradient"].flatten(), x.grad.numpy().flatten())):
            self.assertGreater(np.abs(theirs).max(), 1e-3, f"{name}: {what}")
            self.assertLess(np.abs(mine - theirs).max(), 1e-4 * np.abs(theirs).max(), f"{name}: {what}")

    def test_networks(self):
        for name, text in NETWORKS.items():
            with self.subTest(network=name):
                self.check(name, text)

    def test_that_of_the_other_tests(self):
        with open(os.path.join(ORACLE, "cfg", "alexey.cfg")) as file:
            self.check("alexey", file.read())


if __name__ == "__main__":
    unittest.main()
