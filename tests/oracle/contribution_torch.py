"""The signed path contribution map from PyTorch's activations and gradients, independent of the engine.

Where a layer's cells lie is followed through the network as coordinates: every layer maps the centres of its source's cells,
a straight line, to those of its own, as the mean of what a window reads. Planes are spread to the input by PyTorch's
transposed interpolation: a matrix of hat functions for each axis, whose columns sum to 1.
"""
import numpy as np
import torch

FINE = 12  # input pixels between cells


def through(layer, line, size_in, size_out):
    """(first centre, distance) of the layer's cells along one axis, from those of its source."""
    first, step = line
    at = lambda index: first + step * index
    if layer.type in ("convolutional", "local"):
        pad = layer.pad if layer.type == "convolutional" else (layer.size // 2 if layer.pad else 0)
        taps = lambda out: np.mean([at(out * layer.stride - pad + k) for k in range(layer.size)])
    elif layer.type == "maxpool":
        taps = lambda out: np.mean([at(out * layer.stride - layer.padding // 2 + k) for k in range(layer.size)])
    elif layer.type == "deconvolutional":  # the middle tap of input i falls on i*stride - pad + (size-1)/2
        taps = lambda out: at((out + layer.pad - (layer.size - 1) / 2) / layer.stride)
    else:  # the input's area in equal parts
        taps = lambda out: at((out + .5) * size_in / size_out - .5)
    return taps(0), taps(1) - taps(0)


def grids(net):
    """By layer index, -1 the input: ((first y, distance), (first x, distance)), or None where there is no plane."""
    found = {-1: ((0., 1.), (0., 1.))}
    sizes = {-1: (net.layers[0].h, net.layers[0].w)}
    for l in net.layers:
        source = l.sources[0] if l.type == "route" else l.index - 1
        source = source if source >= 0 else -1
        sizes[l.index] = (max(getattr(l, "out_h", 1) or 1, 1), max(getattr(l, "out_w", 1) or 1, 1))
        if found[source] is None or l.type == "connected":
            found[l.index] = None
            continue
        found[l.index] = tuple(through(l, found[source][axis], sizes[source][axis], sizes[l.index][axis])
                               for axis in range(2))
    return found


def hats(line, cells, pixels):
    """(pixels, cells): how the mass of each cell is divided among the pixels."""
    first, step = line
    centre = first + step * torch.arange(cells, dtype=torch.float64)
    near = 1 - (torch.arange(pixels, dtype=torch.float64)[:, None] - centre).abs() / max(step, 1.)
    near = near.clamp(min=0)
    return near / near.sum(0)


def heat(net, explanation, response, path, planes="fine"):
    """(2,H,W) of the path's bits by layer index: heat and counter-evidence."""
    h, w = net.layers[0].h, net.layers[0].w
    total = torch.zeros(2, h, w, dtype=torch.float64)
    where = grids(net)
    for l in net.neuron_layers:
        grid = where[l.index]
        if grid is None or l.out_h * l.out_w < 2 or (planes == "fine" and max(grid[0][1], grid[1][1]) >= FINE):
            continue
        score = np.asarray(explanation.a[l.index], np.float64) * np.asarray(explanation.g[l.index], np.float64)
        for layer, index, *_ in response:
            if layer == l.index:
                score[index] = 0
        score = np.where(path[l.index], score, 0)
        plane = torch.from_numpy(score.reshape(-1, l.out_h, l.out_w)).sum(0)
        down, across = hats(grid[0], l.out_h, h), hats(grid[1], l.out_w, w)
        for side, part in enumerate((plane.clamp(min=0), (-plane).clamp(min=0))):
            if part.sum() > 0:
                total[side] += down @ (part / part.sum()) @ across.T
    return total.numpy()
