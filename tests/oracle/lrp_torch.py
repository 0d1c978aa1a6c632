"""LRP-gamma in PyTorch, term by term and apart from the engine's form of it in magnitudes: the positive and the negative parts of
inputs, weights and biases each have products of their own.
"""
import numpy as np
import torch
import torch.nn.functional as F

import darknet_torch as oracle

STRAIGHT = {"relu", "leaky", "relie", "ramp", "linear"}


class Rule(torch.autograd.Function):
    """product(x, w) + b; backward shares the relevance by the sign-aware gamma rule."""
    @staticmethod
    def forward(ctx, x, w, b, gamma, product):
        z = product(x, w) + b
        ctx.save_for_backward(x, w, b, z)
        ctx.gamma, ctx.product = gamma, product
        return z

    @staticmethod
    def backward(ctx, rho):
        x, w, b, z = ctx.saved_tensors
        product, gamma = ctx.product, ctx.gamma
        up, down = w.clamp(min=0), w.clamp(max=0)
        above, below = x.clamp(min=0), x.clamp(max=0)
        for_it = product(above, up) + product(below, down) + b.clamp(min=0)
        against = product(above, down) + product(below, up) + b.clamp(max=0)
        whole = z + gamma * torch.where(z < 0, against, for_it)
        d = rho * torch.where(whole == 0, torch.ones_like(z), z / torch.where(whole == 0, torch.ones_like(z), whole))
        positive, negative = torch.where(z < 0, torch.zeros_like(d), d), torch.where(z < 0, d, torch.zeros_like(d))

        def back(weights, values):
            with torch.enable_grad():
                inputs = torch.zeros_like(x).requires_grad_(True)
                return torch.autograd.grad(product(inputs, weights), inputs, values)[0]

        where_above = back(w + gamma * up, positive) + back(w + gamma * down, negative)
        where_below = back(w + gamma * down, positive) + back(w + gamma * up, negative)
        return torch.where(x < 0, where_below, where_above), None, None, None, None


class Ratio(torch.autograd.Function):
    """An activation that passes a/z; those that are straight on both sides of 0 pass their slope."""
    @staticmethod
    def forward(ctx, z, name):
        y = oracle.ACTIVATIONS[name][0](z)
        ctx.save_for_backward(z, y)
        ctx.name = name
        return y

    @staticmethod
    def backward(ctx, rho):
        z, y = ctx.saved_tensors
        if ctx.name in STRAIGHT:
            return rho * oracle.ACTIVATIONS[ctx.name][1](y), None
        return rho * torch.where(z == 0, torch.ones_like(z), y / torch.where(z == 0, torch.ones_like(z), z)), None


class Network(oracle.Network):
    """The same network, whose layers with weights follow the rule."""
    gamma = 0.

    def folded(self, l):
        """Weights (n, ...) and biases (n,) with batch norm in them."""
        if not getattr(l, "bn", 0):
            return l.weights, l.biases
        scale = l.scales / oracle.deviation(l.variance)
        axis = 1 if l.type == "deconvolutional" else 0
        shape = [1] * l.weights.dim()
        shape[axis] = -1
        return l.weights * scale.reshape(shape), l.biases - l.mean * scale

    def step(self, l, outputs):
        if l.type not in ("convolutional", "connected", "deconvolutional"):
            return super().step(l, outputs)
        x = outputs[l.index - 1] if l.index else outputs[-1]
        w, b = self.folded(l)
        if l.type == "connected":
            return Rule.apply(x, w, b, self.gamma, lambda x, w: x @ w.T)
        image = x.reshape(x.shape[0], l.c, l.h, l.w)
        if l.type == "convolutional":
            product = lambda x, w: F.conv2d(x, w, None, l.stride, l.pad, 1, l.groups)
        else:
            product = lambda x, w: F.conv_transpose2d(x, w, None, l.stride, l.pad)
        return Rule.apply(image, w, b[:, None, None], self.gamma, product).reshape(x.shape[0], -1)


def scores(cfg, weights, x, response, gamma):
    """{layer: a * rho} of every neuron layer, signed; 0 for the response's own units."""
    net, store = Network(cfg, weights), {}
    net.gamma = gamma
    plain, oracle.Activate = oracle.Activate, Ratio
    try:
        outputs = net.forward(net.tensor(x).requires_grad_(True), store=store)
        oracle.response_value(outputs, response).sum().backward()
    finally:
        oracle.Activate = plain
    found = {}
    for l in net.neuron_layers:
        rho = store.get(l.index)
        score = np.zeros(l.outputs) if rho is None else (outputs["free", l.index].detach() * rho)[0].numpy()
        for layer, index, *_ in response:
            if layer == l.index:
                score[index] = 0
        found[l.index] = score
    return found
