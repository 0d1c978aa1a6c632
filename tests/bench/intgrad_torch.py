"""The other peers of bench_intgrad.py: NeuronIntGrad in PyTorch, the network as a PyTorch user would write it (torch_peer.py).
Same protocol and clock as intgrad.c, with the way and the batch besides:  full POSITION STEPS | suffix POSITION STEPS BATCH | peak

full: the authors' way. One alpha at a time the whole network runs forward, the layer scaled, and backward, with
gradients of the parameters, as they are there by default.
suffix: the best that was found. The layers before run once, alphas are batch entries, only what depends on the layer runs,
parameters take no gradients."""
import resource
import sys
import time

import torch

import torch_peer


def grain(net):
    first = net.layers[0]
    index = torch.arange(first.c * first.h * first.w, dtype=torch.int64)
    return ((index * 2654435761 % 2 ** 32) % 1000).float().div(1000).reshape(1, first.c, first.h, first.w)


class IntGrad(torch_peer.Net):
    def __init__(self, cfg, weights):
        super().__init__(cfg, weights)
        self.parameters = [t for l in self.net.layers if hasattr(l, "fast_weights") for t in (l.fast_weights, l.fast_bias)]

    def train(self, on):
        for p in self.parameters:
            p.requires_grad_(on)
            p.grad = None

    def run(self, outputs, layers):
        for l in layers:
            if l.type not in torch_peer.oracle.HEADS:
                outputs[l.index] = self.step(l, outputs)
        return outputs

    def full(self, x, at, response, steps):
        self.train(True)
        layers = self.net.layers
        with torch.no_grad():
            a = self.run({-1: x}, layers)[at].clone()
        total = torch.zeros_like(a)
        for k in range(steps):
            outputs = self.run({-1: x}, layers[:at + 1])
            scaled = outputs[at] * ((k + .5) / steps)
            scaled.retain_grad()
            outputs[at] = scaled
            out = self.run(outputs, layers[at + 1:])[response[0]].flatten(1)[0, response[1]]
            for p in self.parameters:
                p.grad = None
            out.backward()
            total += scaled.grad
        return a * total / steps

    def suffix(self, base, at, response, steps, batch):
        self.train(False)
        moving = self.net.dependents(at)
        layers = [l for l in self.net.layers if l.index in moving and l.index <= response[0]]
        a = base[at]
        total = torch.zeros_like(a)
        for first in range(0, steps, batch):
            alphas = (torch.arange(first, min(first + batch, steps)) + .5) / steps
            scaled = (alphas.reshape(-1, 1, 1, 1) * a).requires_grad_() if a.dim() == 4 else \
                (alphas.reshape(-1, 1) * a).requires_grad_()
            outputs = {i: out.expand(len(alphas), *out.shape[1:]) for i, out in base.items() if i not in moving}
            outputs[at] = scaled * 1  # in-place activations must not touch the leaf
            out = self.run(outputs, layers)[response[0]].flatten(1)[:, response[1]].sum()
            gradient, = torch.autograd.grad(out, scaled)
            total += gradient.sum(0, keepdim=True)
        return a * total / steps


def main():
    cfg, weights, threads, logits, unit = sys.argv[1:6]
    torch.set_num_threads(int(threads))
    net = IntGrad(cfg, weights)
    response = (int(logits), int(unit))
    x = grain(net.net)
    with torch.no_grad():
        base = {i: out.clone() for i, out in net.run({-1: x}, net.net.layers).items()}
    clock = time.process_time if threads == "1" else time.perf_counter
    positions = [l.index for l in net.net.neuron_layers]
    capability = torch.__config__.show().split("CPU capability usage: ")[-1].split()[0]
    print("torch-" + torch.__version__ + " " + capability, flush=True)
    for line in sys.stdin:
        words = line.split()
        start = clock()
        if words[0] == "peak":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0, flush=True)
            continue
        at, steps = positions[int(words[1])], int(words[2])
        scores = net.full(x, at, response, steps) if words[0] == "full" else \
            net.suffix(base, at, response, steps, int(words[3]))
        print(clock() - start, float(scores.abs().sum()), flush=True)


if __name__ == "__main__":
    main()
