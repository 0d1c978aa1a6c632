"""A Darknet network in PyTorch, written from the format alone, to check critpath against.

Reads a cfg and a weights file itself and runs the network with inference semantics: batch norm with the rolling
statistics and the epsilon of the device that CRITPATH_GPU names for the engine ((x - mean) / (sqrt(var) + 1e-6) on the CPU,
(x - mean) / sqrt(var + 1e-5) on a GPU), dropout the identity, heads (softmax, logistic, cost, yolo, region, detection)
cut off. No code is shared with Darknet or with the plugin.

Words: a neuron layer is a convolutional, connected, local, deconvolutional, shortcut or activation layer with a
non-linear activation; a response is a list of (layer, index, weight); a path is one boolean array per neuron layer.

The network input is the array that Darknet's own network would get, (C,H,W) planar RGB in [0,1]; read it from a .npy,
so that picture decoders do not matter. Maps are gradients at that input, in front of a [crop] too.
"""
import argparse
import math
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

HEADS = {"softmax", "logistic", "cost", "yolo", "region", "detection"}
NAMES = {"conv": "convolutional", "deconv": "deconvolutional", "conn": "connected", "max": "maxpool",
         "avg": "avgpool", "soft": "softmax", "lrn": "normalization"}
ACTIVATED = {"convolutional", "connected", "local", "deconvolutional", "shortcut", "activation"}
DEFAULT_ACTIVATION = {"shortcut": "linear", "activation": "linear"}


def on_gpu():
    """Whether the engine computes on a GPU."""
    return int(os.environ.get("CRITPATH_GPU") or -1) >= 0


def deviation(variance):
    """What batch norm divides by, in Darknet's forward."""
    return (variance + 1e-5).sqrt() if on_gpu() else variance.sqrt() + 1e-6


# Activations: value from z, gradient from the output y, as the host defines them (0 at z = 0 for relu).

def _stair(z):
    n = torch.floor(z)
    return torch.where(n.remainder(2) == 0, torch.floor(z / 2), (z - n) + torch.floor(z / 2))


def _where(condition, yes, no, like):
    return torch.where(condition, torch.full_like(like, yes), torch.full_like(like, no))


ACTIVATIONS = {
    "linear": (lambda z: z, lambda y: torch.ones_like(y)),
    "logistic": (torch.sigmoid, lambda y: y * (1 - y)),
    "loggy": (lambda z: 2 * torch.sigmoid(z) - 1, lambda y: (1 - y * y) / 2),
    "relu": (lambda z: z * (z > 0), lambda y: _where(y > 0, 1., 0., y)),
    "elu": (lambda z: torch.where(z >= 0, z, torch.expm1(z)), lambda y: torch.where(y >= 0, torch.ones_like(y), y + 1)),
    "selu": (lambda z: 1.0507 * torch.where(z >= 0, z, 1.6732 * torch.expm1(z)),
             lambda y: torch.where(y >= 0, torch.full_like(y, 1.0507), y + 1.0507 * 1.6732)),
    "relie": (lambda z: torch.where(z > 0, z, .01 * z), lambda y: _where(y > 0, 1., .01, y)),
    "ramp": (lambda z: z * (z > 0) + .1 * z, lambda y: _where(y > 0, 1.1, .1, y)),
    "leaky": (lambda z: torch.where(z > 0, z, .1 * z), lambda y: _where(y > 0, 1., .1, y)),
    "tanh": (torch.tanh, lambda y: 1 - y * y),
    "plse": (lambda z: torch.where(z < -4, .01 * (z + 4), torch.where(z > 4, .01 * (z - 4) + 1, .125 * z + .5)),
             lambda y: _where((y < 0) | (y > 1), .01, .125, y)),
    "stair": (_stair, lambda y: _where(torch.floor(y) == y, 0., 1., y)),
    "hardtan": (lambda z: z.clamp(-1, 1), lambda y: _where((y > -1) & (y < 1), 1., 0., y)),
    "lhtan": (lambda z: torch.where(z < 0, .001 * z, torch.where(z > 1, .001 * (z - 1) + 1, z)),
              lambda y: _where((y > 0) & (y < 1), 1., .001, y)),
}


class Activate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, name):
        y = ACTIVATIONS[name][0](z)
        ctx.save_for_backward(y)
        ctx.name = name
        return y

    @staticmethod
    def backward(ctx, grad):
        y, = ctx.saved_tensors
        return grad * ACTIVATIONS[ctx.name][1](y), None


class Observe(torch.autograd.Function):
    """Identity; backward stores the gradient at a neuron layer, then multiplies it by the path's bits."""
    @staticmethod
    def forward(ctx, a, store, index, bits):
        ctx.store, ctx.index, ctx.bits = store, index, bits
        return a.view_as(a)

    @staticmethod
    def backward(ctx, grad):
        ctx.store[ctx.index] = grad.detach().clone()
        return (grad if ctx.bits is None else grad * ctx.bits), None, None, None


class GuidedObserve(Observe):
    """Guided backpropagation: also drops what is negative."""
    @staticmethod
    def backward(ctx, grad):
        ctx.store[ctx.index] = grad.detach().clone()
        return grad.clamp(min=0), None, None, None


class Layer:
    """One section. (c,h,w) in, (out_c,out_h,out_w) and `outputs` out; parameters as tensors."""

    def __init__(self, index, kind, options):
        self.index, self.type, self.options = index, kind, options
        self.activation = "linear"
        self.sources = []       # layers read besides, or instead of, the one before
        self.weights = self.biases = self.scales = self.mean = self.variance = None

    def int(self, key, default):
        return int(float(self.options.get(key, default)))

    def float(self, key, default):
        return float(self.options.get(key, default))

    @property
    def is_neuron_layer(self):
        return self.type in ACTIVATED and self.activation != "linear"

    @property
    def shape(self):
        return (self.out_c, self.out_h, self.out_w) if self.out_c * self.out_h * self.out_w == self.outputs \
            else (self.outputs, 1, 1)

    @property
    def name(self):
        return "layer_%03d_%s" % (self.index, self.type)


def read_cfg(path):
    """[(section, options)]; the first of two equal keys counts, blanks are dropped anywhere."""
    sections = []
    with open(path, encoding="latin-1") as file:
        for line in file:
            line = "".join(line.split())
            if not line or line[0] in "#;":
                continue
            if line[0] == "[":
                name = line[1:line.index("]")]
                sections.append((NAMES.get(name, name), {}))
            elif "=" in line:
                key, value = line.split("=", 1)
                sections[-1][1].setdefault(key, value)
    return sections


class Network:
    def __init__(self, cfg, weights=None, dtype=torch.float64):
        self.dtype = dtype
        sections = read_cfg(cfg)
        if sections[0][0] not in ("net", "network"):
            raise ValueError("%s: first section is [%s], needs [net]" % (cfg, sections[0][0]))
        net = sections[0][1]
        self.h, self.w, self.c = (int(net.get(key, 0)) for key in ("height", "width", "channels"))
        self.inputs = int(net.get("inputs", self.h * self.w * self.c))
        self.layers = []
        shape = (self.c, self.h, self.w, self.inputs)
        for index, (kind, options) in enumerate(sections[1:]):
            layer = Layer(index, kind, options)
            layer.c, layer.h, layer.w, layer.inputs = shape
            self._shape(layer)
            self.layers.append(layer)
            shape = (layer.out_c, layer.out_h, layer.out_w, layer.outputs)
        if weights is not None:
            self.load(weights)

    # Geometry

    def _shape(self, l):
        if l.type in ACTIVATED:
            l.activation = l.options.get("activation", DEFAULT_ACTIVATION.get(l.type, "logistic"))
            if l.activation not in ACTIVATIONS:
                raise ValueError("layer %d: unknown activation %s" % (l.index, l.activation))
        l.size, l.stride = l.int("size", 1), l.int("stride", 1)
        l.out_c, l.out_h, l.out_w = l.c, l.h, l.w
        shape = getattr(self, "_shape_" + l.type, None)
        if shape:
            shape(l)
        elif l.type not in HEADS and l.type not in ("dropout", "activation"):
            raise ValueError("layer %d: [%s] is not supported" % (l.index, l.type))
        if l.type not in ("route", "activation", "dropout") and l.type not in HEADS:
            l.outputs = l.out_c * l.out_h * l.out_w
        elif l.type != "route":
            l.outputs = l.inputs

    def _shape_convolutional(self, l):
        l.n, l.groups = l.int("filters", 1), l.int("groups", 1)
        l.pad = l.size // 2 if l.int("pad", 0) else l.int("padding", 0)
        l.bn = l.int("batch_normalize", 0)
        l.out_c = l.n
        l.out_h = (l.h + 2 * l.pad - l.size) // l.stride + 1
        l.out_w = (l.w + 2 * l.pad - l.size) // l.stride + 1
        l.weight_shape = (l.n, l.c // l.groups, l.size, l.size)

    def _shape_deconvolutional(self, l):
        l.n = l.int("filters", 1)
        l.pad = l.size // 2 if l.int("pad", 0) else l.int("padding", 0)
        l.bn = l.int("batch_normalize", 0)
        l.out_c = l.n
        l.out_h = (l.h - 1) * l.stride + l.size - 2 * l.pad
        l.out_w = (l.w - 1) * l.stride + l.size - 2 * l.pad
        l.weight_shape = (l.c, l.n, l.size, l.size)

    def _shape_connected(self, l):
        l.n, l.bn = l.int("output", 1), l.int("batch_normalize", 0)
        l.out_c, l.out_h, l.out_w = l.n, 1, 1
        l.weight_shape = (l.n, l.inputs)

    def _shape_local(self, l):
        l.n, l.pad, l.bn = l.int("filters", 1), l.int("pad", 0), 0
        l.out_c = l.n
        l.out_h, l.out_w = (((x - 1) if l.pad else (x - l.size)) // l.stride + 1 for x in (l.h, l.w))
        l.weight_shape = (l.out_h * l.out_w, l.n, l.c * l.size * l.size)

    def _shape_maxpool(self, l):
        l.size = l.int("size", l.stride)
        l.padding = l.int("padding", l.size - 1)
        l.out_h, l.out_w = ((x + l.padding - l.size) // l.stride + 1 for x in (l.h, l.w))

    def _shape_avgpool(self, l):
        l.out_h = l.out_w = 1

    def _shape_crop(self, l):
        l.out_h, l.out_w = l.int("crop_height", 1), l.int("crop_width", 1)

    def _shape_upsample(self, l):
        l.stride = l.int("stride", 2)
        if l.stride < 1:
            raise ValueError("layer %d: upsample by %d" % (l.index, l.stride))
        l.scale = l.float("scale", 1)
        l.out_h, l.out_w = l.h * l.stride, l.w * l.stride

    def _shape_reorg(self, l):
        s = l.stride
        if l.int("extra", 0):
            raise ValueError("layer %d: reorg extra= is not supported" % l.index)
        if l.int("reverse", 0):
            l.out_c, l.out_h, l.out_w = l.c // (s * s), l.h * s, l.w * s
        else:
            l.out_c, l.out_h, l.out_w = l.c * s * s, l.h // s, l.w // s
        l.gather = torch.from_numpy(self._reorg_gather(l))

    @staticmethod
    def _reorg_gather(l):
        """out[i] = in[gather[i]]. Both ways walk the INPUT's w, h, c and one formula, read forwards or backwards; so
        the ordinary way is not the space-to-depth of other programs: output cells run over the input as if it had
        c/s^2 channels of (h*s, w*s)."""
        c, h, w, s = l.c, l.h, l.w, l.stride
        if l.int("flatten", 0):
            chw = np.arange(c * h * w).reshape(c, h * w)
            return chw.T.ravel().copy() if not l.int("reverse", 0) else \
                np.arange(c * h * w).reshape(h * w, c).T.ravel().copy()
        if c % (s * s):
            raise ValueError("layer %d: reorg of %d channels by %d" % (l.index, c, s))
        out_c = c // (s * s)
        k, j, i = np.meshgrid(np.arange(c), np.arange(h), np.arange(w), indexing="ij")
        near = (i + w * (j + h * k)).ravel()
        offset = k // out_c
        w2, h2 = i * s + offset % s, j * s + offset // s
        far = (w2 + w * s * (h2 + h * s * (k % out_c))).ravel()
        gather = np.empty(c * h * w, np.int64)
        if l.int("reverse", 0):
            gather[far] = near
        else:
            gather[near] = far
        return gather

    def _index(self, l, text):
        index = int(text)
        index = index + l.index if index < 0 else index
        if not 0 <= index < l.index:
            raise ValueError("layer %d: refers to layer %d" % (l.index, index))
        return index

    def _shape_shortcut(self, l):
        l.sources = [self._index(l, l.options["from"])]
        l.alpha, l.beta = l.float("alpha", 1), l.float("beta", 1)

    def _shape_route(self, l):
        l.sources = [self._index(l, text) for text in l.options["layers"].split(",") if text]
        parts = [self.layers[index] for index in l.sources]
        l.groups, l.group_id = l.int("groups", 1), l.int("group_id", 0)
        l.outputs = sum(part.outputs // l.groups for part in parts)
        l.out_h, l.out_w = parts[0].out_h, parts[0].out_w
        l.out_c = sum(part.out_c // l.groups for part in parts)
        if any((part.out_h, part.out_w) != (l.out_h, l.out_w) for part in parts):
            l.out_c = l.out_h = l.out_w = 0

    # Weights

    def load(self, path):
        with open(path, "rb") as file:
            data = file.read()
        major, minor, _ = struct.unpack_from("<3i", data)
        at = 20 if major * 10 + minor >= 2 and major < 1000 and minor < 1000 else 16
        transpose = major > 1000 or minor > 1000
        floats = np.frombuffer(data, "<f4", offset=at)
        used = 0

        def take(*shape):
            nonlocal used
            n = int(np.prod(shape))
            if used + n > floats.size:
                raise ValueError("%s has %d bytes, too few" % (path, len(data)))
            part = floats[used:used + n]
            used += n
            return torch.from_numpy(part.reshape(shape).astype(np.float64))

        for l in self.layers:
            if not hasattr(l, "weight_shape"):
                continue
            l.biases = take(l.outputs if l.type == "local" else l.n)
            if l.type == "connected":
                l.weights = take(l.inputs, l.n).T.contiguous() if transpose else take(l.n, l.inputs)
            if l.bn:
                l.scales, l.mean, variance = take(l.n), take(l.n), take(l.n)
                # Denormals count as 0, and so do negatives of that size.
                l.variance = torch.where(variance.abs() < 1.1754944e-38, torch.zeros_like(variance), variance)
                if (l.variance < 0).any():
                    raise ValueError("layer %d: negative rolling variance" % l.index)
            if l.type != "connected":
                l.weights = take(*l.weight_shape)
                if l.int("flipped", 0):
                    flat = l.weights.numel() // l.n
                    l.weights = l.weights.reshape(flat, l.n).T.reshape(l.weight_shape).contiguous()
        if used != floats.size:
            raise ValueError("%s has %d floats, the cfg needs %d" % (path, floats.size, used))
        for l in self.layers:
            for name in ("weights", "biases", "scales", "mean", "variance"):
                value = getattr(l, name)
                if value is not None:
                    setattr(l, name, value.to(self.dtype))

    # Who is who

    @property
    def neuron_layers(self):
        return [l for l in self.layers if l.is_neuron_layer]

    @property
    def neurons(self):
        return sum(l.outputs for l in self.neuron_layers)

    def before_head(self, head=None):
        """Index of the layer that feeds `head` (default: the last head, or the last layer where there is none)."""
        index = len(self.layers) - 1 if head is None else head
        while self.layers[index].type in HEADS:
            index -= 1
        return index

    def needs(self, index):
        """Indices that layer `index` reads; -1 is the network input."""
        l = self.layers[index]
        if l.type == "route":
            return list(l.sources)
        return [index - 1] + l.sources

    def dependents(self, start):
        """Set of layers that change when layer `start` does, without itself."""
        moved = {start}
        for l in self.layers[start + 1:]:
            if any(index in moved for index in self.needs(l.index)):
                moved.add(l.index)
        moved.discard(start)
        return moved

    # Forward

    def tensor(self, array):
        x = torch.as_tensor(np.asarray(array)).to(self.dtype)
        return x.reshape(-1, self.inputs)

    def _batch_norm(self, l, x):
        if not l.bn:
            return x + l.biases[:, None]
        x = (x - l.mean[:, None]) / deviation(l.variance)[:, None]
        return x * l.scales[:, None] + l.biases[:, None]

    def step(self, l, outputs):
        """Output of layer l before its activation, (B, outputs), from the outputs so far (outputs[-1] is the input)."""
        x = outputs[l.index - 1] if l.index else outputs[-1]
        if l.type in HEADS or l.type in ("dropout", "activation"):
            return x
        if l.type == "route":
            return torch.cat([outputs[index].chunk(l.groups, 1)[l.group_id] for index in l.sources], 1)
        batch = x.shape[0]
        if l.type == "connected":
            return self._batch_norm(l, (x @ l.weights.T)[:, :, None]).reshape(batch, -1)
        if l.type == "reorg":
            return x[:, l.gather]
        image = x.reshape(batch, l.c, l.h, l.w)
        if l.type == "convolutional":
            if l.size == 1 and (l.stride > 1 or l.pad):
                raise ValueError("layer %d: 1x1 convolution with stride %d, padding %d" % (l.index, l.stride, l.pad))
            z = F.conv2d(image, l.weights, None, l.stride, l.pad, 1, l.groups)
            return self._batch_norm(l, z.reshape(batch, l.n, -1)).reshape(batch, -1)
        if l.type == "deconvolutional":
            z = F.conv_transpose2d(image, l.weights, None, l.stride, l.pad)
            return self._batch_norm(l, z.reshape(batch, l.n, -1)).reshape(batch, -1)
        if l.type == "local":
            columns = F.unfold(image, l.size, 1, l.pad, l.stride)
            return torch.einsum("lnk,bkl->bnl", l.weights, columns).reshape(batch, -1) + l.biases
        if l.type == "maxpool":
            before = l.padding // 2
            after = [max(0, (out - 1) * l.stride + l.size - before - size)
                     for out, size in ((l.out_w, l.w), (l.out_h, l.h))]
            padded = F.pad(image, (before, after[0], before, after[1]), value=-math.inf)
            return F.max_pool2d(padded, l.size, l.stride)[:, :, :l.out_h, :l.out_w].reshape(batch, -1)
        if l.type == "avgpool":
            return image.mean((2, 3))
        if l.type == "upsample":
            up = image.repeat_interleave(l.stride, 2).repeat_interleave(l.stride, 3)
            return (l.scale * up).reshape(batch, -1)
        if l.type == "crop":
            dh, dw = (l.h - l.out_h) // 2, (l.w - l.out_w) // 2
            part = image[:, :, dh:dh + l.out_h, dw:dw + l.out_w]
            return (part if l.int("noadjust", 0) else 2 * part - 1).reshape(batch, -1)
        if l.type == "shortcut":
            return self._shortcut(l, image, outputs[l.sources[0]])
        raise ValueError("layer %d: [%s] is not supported" % (l.index, l.type))

    def _shortcut(self, l, image, other):
        source = self.layers[l.sources[0]]
        batch = image.shape[0]
        stride, sample = max(1, source.out_w // l.w), max(1, l.w // source.out_w)
        c = min(l.c, source.out_c)
        h, w = min(l.h, source.out_h), min(l.w, source.out_w)
        add = other.reshape(batch, source.out_c, source.out_h, source.out_w)
        add = add[:, :c, 0:(h - 1) * stride + 1:stride, 0:(w - 1) * stride + 1:stride]
        rows, columns = slice(0, (h - 1) * sample + 1, sample), slice(0, (w - 1) * sample + 1, sample)
        out = image.clone()
        # Only the cells that meet the other layer are scaled by alpha; the rest stays as it is.
        out[:, :c, rows, columns] = l.alpha * image[:, :c, rows, columns] + l.beta * add
        return out.reshape(batch, -1)

    def forward(self, x, start=None, value=None, base=None, store=None, path=None, zeroed=None, observe=Observe,
                gates=None):
        """Outputs of all layers, {index: (B, outputs)}, with -1 the network input; ("free", index) is the output of a
        neuron layer before bits or gates touch it: what a response in that layer reads.

        start, value, base: recompute only what depends on layer `start`, whose output is `value` (B, outputs); the rest
        comes from `base` (one image). store: {} that backward fills with the gradients at the neuron layers; path: bits
        for that backward (frozen). zeroed: bits that multiply the activations. gates: factors that do the same."""
        if start is None:
            outputs, moving = {-1: x}, None
        else:
            outputs = {index: out if out.shape[0] == value.shape[0] else out.expand(value.shape[0], -1)
                       for index, out in base.items()}
            outputs[start] = outputs["free", start] = value
            moving = self.dependents(start)
        for l in self.layers:
            if moving is not None and l.index not in moving:
                continue
            z = self.step(l, outputs)
            if l.activation != "linear":
                z = Activate.apply(z, l.activation)
            if l.is_neuron_layer:
                outputs["free", l.index] = z
                if zeroed is not None:
                    z = z * zeroed[l.index]
                if gates is not None:
                    z = z * gates[l.index]
                if store is not None:
                    z = observe.apply(z, store, l.index, None if path is None else path[l.index])
            outputs[l.index] = z
        return outputs


# Methods

def response_value(outputs, response):
    return sum(weight * outputs.get(("free", layer), outputs[layer])[:, index] for layer, index, weight in response)


class Explanation:
    """One forward and one backward: outputs, value of the response, g per neuron layer (0 where the response does not
    depend on it, so also in the response's own layer), map = gradient at the network input, (C,H,W)."""

    def __init__(self, net, x, response, path=None, zeroed=None, observe=Observe):
        x = net.tensor(x).clone().requires_grad_(True)
        store = {}
        as_bits = lambda path: None if path is None else \
            {index: torch.as_tensor(np.asarray(bits)).reshape(1, -1).to(net.dtype) for index, bits in path.items()}
        self.outputs = net.forward(x, store=store, path=as_bits(path), zeroed=as_bits(zeroed), observe=observe)
        value = response_value(self.outputs, response).sum()
        gradient, = torch.autograd.grad(value, x)
        self.value = float(value.detach())
        self.map = gradient.numpy().reshape(net.c, net.h, net.w)
        self.outputs = {index: out.detach() for index, out in self.outputs.items()}
        self.g, self.a = {}, {}
        for l in net.neuron_layers:
            self.a[l.index] = self.outputs[l.index].numpy()[0]
            g = store.get(l.index)
            self.g[l.index] = np.zeros(l.outputs) if g is None else g.numpy()[0]


def mct(explanation):
    """NeuronMCT: |a * g| per neuron layer."""
    return {index: np.abs(a * explanation.g[index]) for index, a in explanation.a.items()}


def select(scores, kappa):
    """Network-wide: the K = round((1 - kappa) * N) largest; ties by (layer, index); a zero score is never kept."""
    flat = np.concatenate([scores[index] for index in sorted(scores)])
    k = int(math.floor((1 - kappa) * flat.size + .5))
    order = np.argsort(-flat, kind="stable")[:k]
    keep = np.zeros(flat.size, bool)
    keep[order[flat[order] > 0]] = True
    path, at = {}, 0
    for index in sorted(scores):
        path[index] = keep[at:at + scores[index].size]
        at += scores[index].size
    return path


def jaccard(one, other):
    union = sum(int((one[i] | other[i]).sum()) for i in one)
    return sum(int((one[i] & other[i]).sum()) for i in one) / union if union else 1.


def cosine(one, other):
    one, other = np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    norm = np.linalg.norm(one) * np.linalg.norm(other)
    if norm == 0:
        return 1. if np.linalg.norm(one) == np.linalg.norm(other) else 0.
    return float(one @ other / norm)


def top_unit(net, x, index=None):
    """[(layer before the last head, its largest unit, 1)]: the top-1 logit of a classifier."""
    index = net.before_head() if index is None else index
    with torch.no_grad():
        out = net.forward(net.tensor(x))[index][0]
    return [(index, int(out.argmax()), 1.)]


def objectness_unit(net, x, head):
    """[(layer, unit, 1)]: the largest objectness logit in front of the yolo or region layer `head`."""
    l = net.layers[head]
    classes, coords = l.int("classes", 20), l.int("coords", 4)
    anchors = len(l.options["mask"].split(",")) if "mask" in l.options else l.int("num", 1)
    index = net.before_head(head)
    with torch.no_grad():
        out = net.forward(net.tensor(x))[index][0]
    cells = l.h * l.w
    per_anchor = out.reshape(anchors, coords + 1 + classes, cells)[:, coords]
    n, cell = divmod(int(per_anchor.argmax()), cells)
    return [(index, n * (coords + 1 + classes) * cells + coords * cells + cell, 1.)]


def parse_response(text):
    """LAYER:INDEX[*WEIGHT][,...]"""
    response = []
    for part in text.split(","):
        unit, _, weight = part.partition("*")
        layer, index = unit.split(":")
        response.append((int(layer), int(index), float(weight or 1)))
    return response


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("input", help="network input, .npy, (C,H,W)")
    parser.add_argument("-response", help="LAYER:INDEX[*WEIGHT],... (default: largest unit before the last head)")
    parser.add_argument("-sparsity", type=float, nargs="+", default=[.9])
    parser.add_argument("-float32", action="store_true")
    parser.add_argument("-out", help="write a, g, scores, paths and maps to this .npz")
    args = parser.parse_args()
    net = Network(args.cfg, args.weights, torch.float32 if args.float32 else torch.float64)
    x = np.load(args.input)
    response = parse_response(args.response) if args.response else top_unit(net, x)
    plain = Explanation(net, x, response)
    scores = mct(plain)
    print("response %s = %.7g, %d neurons in %d layers"
          % (response, plain.value, net.neurons, len(net.neuron_layers)))
    arrays = {"gradient": plain.map}
    for l in net.neuron_layers:
        arrays["a." + l.name] = plain.a[l.index].reshape(l.shape)
        arrays["g." + l.name] = plain.g[l.index].reshape(l.shape)
        arrays["score." + l.name] = scores[l.index].reshape(l.shape)
    for kappa in args.sparsity:
        path = select(scores, kappa)
        frozen, zeroed = Explanation(net, x, response, path=path), Explanation(net, x, response, zeroed=path)
        print("sparsity %g: kept %d, frozen map norm %.6g, zeroed response %.7g, zeroed map norm %.6g"
              % (kappa, sum(bits.sum() for bits in path.values()), np.linalg.norm(frozen.map), zeroed.value,
                 np.linalg.norm(zeroed.map)))
        for l in net.neuron_layers:
            arrays["path_%g.%s" % (kappa, l.name)] = path[l.index].reshape(l.shape)
        arrays["frozen_%g" % kappa], arrays["zeroed_%g" % kappa] = frozen.map, zeroed.map
    if args.out:
        np.savez(args.out, **arrays)


if __name__ == "__main__":
    main()
