"""Writes a weights file for a cfg: He-normal weights, neutral batch norm, small biases; the same bytes every time."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle"))
import numpy as np
import darknet_torch as oracle


def main():
    cfg, path = sys.argv[1:3]
    random = np.random.default_rng(1)
    with open(path + ".part", "wb") as file:
        file.write(struct.pack("<3iQ", 0, 2, 0, 0))
        for l in oracle.Network(cfg).layers:
            if not hasattr(l, "weight_shape"):
                continue
            n = l.outputs if l.type == "local" else l.n
            fan_in = np.prod(l.weight_shape) / (l.n if l.type != "local" else l.n * l.out_w * l.out_h)
            weights = random.standard_normal(int(np.prod(l.weight_shape)), dtype=np.float32) * np.float32((2 / fan_in) ** .5)
            norm = np.concatenate([np.ones(n), np.zeros(n), np.ones(n)]).astype("<f4") if l.bn else np.zeros(0, "<f4")
            biases = (.01 * random.standard_normal(n)).astype("<f4")
            for part in (biases, weights, norm) if l.type == "connected" else (biases, norm, weights):
                file.write(part.astype("<f4").tobytes())
    os.rename(path + ".part", path)


main()
