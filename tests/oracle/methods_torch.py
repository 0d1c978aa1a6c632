"""More of what critpath computes, in PyTorch, for the same networks as darknet_torch.py: NeuronIntGrad, ablation, gates
of distillation guided routing, and the distances that bound the region in which a network is linear."""
import numpy as np
import torch

import darknet_torch as oracle


def base_run(net, x):
    with torch.no_grad():
        return {index: out for index, out in net.forward(net.tensor(x)).items() if not isinstance(index, tuple)}


def intgrad(net, x, response, steps=50, layers=None, batch=10):
    """NeuronIntGrad by the midpoint rule: {layer: signed scores}, {layer: Phi(a) - Phi(a := 0) - sum of the scores}.

    The whole output of a layer is scaled by alpha, what depends on it recomputed."""
    base, scores, residuals = base_run(net, x), {}, {}
    own = {layer for layer, _, _ in response}
    alphas = (torch.arange(steps, dtype=net.dtype) + .5) / steps
    for l in net.neuron_layers:
        if layers is not None and l.index not in layers:
            continue
        scores[l.index], residuals[l.index] = np.zeros(l.outputs), 0.
        if l.index in own or not own & net.dependents(l.index):
            continue
        a, total = base[l.index], torch.zeros(l.outputs, dtype=net.dtype)
        for part in alphas.split(batch):
            value = (part[:, None] * a).requires_grad_(True)
            outputs = net.forward(None, l.index, value, base)
            gradient, = torch.autograd.grad(oracle.response_value(outputs, response).sum(), value)
            total += gradient.sum(0)
        scores[l.index] = (a[0] * total / steps).numpy()
        with torch.no_grad():
            zero = float(oracle.response_value(net.forward(None, l.index, 0 * a, base), response))
        full = float(oracle.response_value(base, response))
        residuals[l.index] = full - zero - float(scores[l.index].sum())
    return scores, residuals


def ablation(net, x, response, neurons, batch=32):
    """|Phi(x) - Phi(x; a_j := 0)| for each (layer, index) of `neurons`."""
    base, drops = base_run(net, x), {}
    full = float(oracle.response_value(base, response))
    for layer in sorted({layer for layer, _ in neurons}):
        indices = [index for where, index in neurons if where == layer]
        for start in range(0, len(indices), batch):
            part = indices[start:start + batch]
            value = base[layer].repeat(len(part), 1)
            value[torch.arange(len(part)), part] = 0
            with torch.no_grad():
                out = oracle.response_value(net.forward(None, layer, value, base), response)
            drops.update({(layer, index): abs(full - float(v)) for index, v in zip(part, out)})
    return np.array([drops[neuron] for neuron in neurons])


def dgr(net, x, logits, steps, init=1., rate=.01, momentum=.9, gamma=.01, top=100.):
    """Distillation guided routing, a gate per neuron: CE(softmax(original), softmax(gated)) + gamma * sum |gate|,
    minimised by SGD with momentum, gates clamped to [0, top] after each step.

    logits: index of the layer whose output goes through the softmax. init: a number, or {layer: gates}. Returns the
    gates after the last step, those of the lowest loss among iterates that keep the arg-max (None where none does), and
    the losses, each taken before its step."""
    x = net.tensor(x)
    with torch.no_grad():
        original = net.forward(x)[logits][0]
    target, winner = torch.softmax(original, 0), int(original.argmax())
    start = init if isinstance(init, dict) else {l.index: np.full(l.outputs, init) for l in net.neuron_layers}
    gates = {index: torch.tensor(np.asarray(v)).to(net.dtype).requires_grad_(True) for index, v in start.items()}
    optimiser = torch.optim.SGD(list(gates.values()), lr=rate, momentum=momentum)
    losses, best, lowest = [], None, np.inf
    for _ in range(steps):
        optimiser.zero_grad()
        out = net.forward(x, gates={index: gate[None] for index, gate in gates.items()})[logits][0]
        loss = -(target * torch.log_softmax(out, 0)).sum() + gamma * sum(gate.abs().sum() for gate in gates.values())
        loss.backward()
        losses.append(float(loss.detach()))
        if int(out.argmax()) == winner and losses[-1] < lowest:
            lowest, best = losses[-1], {index: gate.detach().numpy().copy() for index, gate in gates.items()}
        optimiser.step()
        with torch.no_grad():
            for gate in gates.values():
                gate.clamp_(0, top)
    return {index: gate.detach().numpy().copy() for index, gate in gates.items()}, best, np.array(losses)


# Linearity

def _windows(l, image):
    """(B, C, out_h, out_w, size*size), -inf beside the picture."""
    before, wide = l.padding // 2, l.size + l.stride
    padded = torch.nn.functional.pad(image, (before, wide, before, wide), value=-np.inf)
    parts = padded.unfold(2, l.size, l.stride).unfold(3, l.size, l.stride)[:, :, :l.out_h, :l.out_w]
    return parts.reshape(*parts.shape[:4], l.size * l.size)


class _Linearised:
    """The network's derivative at x, frozen on a path: tangents of all layers along any directions of the input."""

    def __init__(self, net, x, path=None):
        self.net, self.path, self.base = net, path, base_run(net, x)
        nothing = {index: torch.zeros_like(out) for index, out in self.base.items()}
        with torch.no_grad():
            # Every layer but a pool is affine before its activation: its derivative is step(t) - step(0).
            self.offset = {l.index: net.step(l, nothing) for l in net.layers if l.type != "maxpool"}
            self.z = {l.index: net.step(l, self.base) for l in net.neuron_layers}
        self.slope, self.winner = {}, {}
        for l in net.layers:
            if l.activation != "linear":
                self.slope[l.index] = oracle.ACTIVATIONS[l.activation][1](self.base[l.index])
                if path is not None:
                    self.slope[l.index] = self.slope[l.index] * torch.as_tensor(path[l.index]).to(net.dtype)
            if l.type == "maxpool":
                values = _windows(l, self._image(l, self.base))
                best = values.max(4, keepdim=True)[0] == values
                self.winner[l.index] = best.to(torch.uint8).argmax(4, keepdim=True)  # the first of equals

    def _image(self, l, outputs):
        out = outputs[l.index - 1]
        return out.reshape(out.shape[0], l.c, l.h, l.w)

    def run(self, directions, see_z, see_pool):
        tangents = {-1: directions}
        for l in self.net.layers:
            if l.type == "maxpool":
                parts = _windows(l, self._image(l, tangents))
                best = parts.gather(4, self.winner[l.index].expand(parts.shape[0], -1, -1, -1, -1))
                see_pool(l, parts - best)
                t = best.reshape(parts.shape[0], -1)
            else:
                t = self.net.step(l, tangents) - self.offset[l.index]
            if l.is_neuron_layer:
                see_z(l, t)
            tangents[l.index] = t * self.slope[l.index] if l.index in self.slope else t


def distances(net, x, path=None, chunk=48):
    """Exact, one forward-mode pass per input dimension.

    Units: {layer: |z_j| / ||grad z_j||}, infinite where the gradient is zero and, with a path, off it. Pools: {layer:
    the least over a window's losers k of (winner - k) / ||difference of their gradients||}, one per output. With a path
    everything is of the frozen network."""
    linear = _Linearised(net, x, path)
    units = {l.index: torch.zeros(l.outputs, dtype=net.dtype) for l in net.neuron_layers}
    pools = {}

    def see_z(l, t):
        units[l.index] += (t * t).sum(0)

    def see_pool(l, differences):
        # -inf - (-inf) cannot be: a window holds at least one pixel; beside the picture it is -inf, made 0 here.
        squares = torch.where(torch.isinf(differences), torch.zeros_like(differences), differences) ** 2
        pools[l.index] = pools.get(l.index, 0) + squares.sum(0)

    identity = torch.eye(net.inputs, dtype=net.dtype)
    with torch.no_grad():
        for part in identity.split(chunk):
            linear.run(part, see_z, see_pool)
    infinite = torch.tensor(np.inf, dtype=net.dtype)
    for l in net.neuron_layers:
        counts = units[l.index] > 0
        if path is not None:
            counts &= torch.as_tensor(path[l.index])
        units[l.index] = torch.where(counts, linear.z[l.index][0].abs() / units[l.index].sqrt(), infinite).numpy()
    for index in pools:
        l = net.layers[index]
        values = _windows(l, linear._image(l, linear.base))[0]
        gap = values.max(3, keepdim=True)[0] - values
        ratio = torch.where(pools[index] > 0, gap / pools[index].sqrt(), infinite)
        pools[index] = ratio.min(3)[0].reshape(-1).numpy()
    return units, pools
