"""DGR's gates on a ResNet of CIFAR-10, the engine's and Darknet's, against PyTorch's SGD, from 1 and from the same random start.

    /usr/bin/python3 compare_dgr.py DUMP [-own | -data FOLDER] [-steps 50]

DUMP is the program built from dump.c. FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds weights/ and
images/. -own: the ResNet-8 of this repository in place of the ResNet-20 there. Exit status: 0, 1 where a gate differs by more than 1e-3, 77 (with a line that says why) where PyTorch or the
data are missing.
"""
import argparse
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import compare
    import methods_torch as methods
    import darknet_torch as oracle
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(77)

LIMIT, SEED = 1e-3, 5


def splitmix(seed, n):
    """The first n outputs of SplitMix64, whose state only counts."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        return z ^ (z >> np.uint64(31))


def random_start(net):
    uniform = (splitmix(SEED, net.neurons) >> np.uint64(40)).astype(np.float64) / 2 ** 24
    start, at = {}, 0
    for l in net.neuron_layers:
        start[l.index] = uniform[at:at + l.outputs]
        at += l.outputs
    return start


def ours(args, by, model, npy, steps, seed, folder):
    npz = os.path.join(folder, "gates.npz")
    subprocess.run([args.dump, by] + model + [npy, str(steps), seed, npz], check=True)
    with np.load(npz) as found:
        return {name: found[name].ravel() for name in found.files}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("-data", default=os.environ.get("CRITPATH_DATA", os.path.join("..", "shared", "data")))
    parser.add_argument("-own", action="store_true", help="this repository's network and picture")
    parser.add_argument("-steps", type=int, default=50)
    args = parser.parse_args()
    name, archive, pictures, _, _, _ = next(case for case in compare.OWN_CASES + compare.CASES
                                            if case[0] == ("resnet8-cifar" if args.own else "resnet20-cifar10"))
    model, archive = compare.files_of(args, name, archive), compare.archive_of(args, archive)
    for needed in model + [archive]:
        if needed and not os.path.exists(needed):
            print("skipped: no %s" % needed)
            return 77
    torch.set_num_threads(1)
    net, good = oracle.Network(*model), True
    with tempfile.TemporaryDirectory() as folder:
        photo, npy = compare.photos(archive, pictures if args.own else 1, folder)[0], os.path.join(folder, "input.npy")
        subprocess.run([args.dump, "prepare"] + model + [photo, "1", npy], check=True)
        x = np.load(npy)
        for title, seed, start in (("from 1", "-", 1.), ("from U(0,1)", str(SEED), random_start(net))):
            # Ours are the gates of the best iterate; the iterate after n steps is the n+1st.
            _, kept, losses = methods.dgr(net, x, net.before_head(), args.steps + 1, start)
            last = None if kept else methods.dgr(net, x, net.before_head(), args.steps, start)[0]
            both = {by: ours(args, by, model, npy, args.steps + 1, seed, folder) for by in ("dgr", "gates")}
            for by, found in both.items():
                keeps = bool(found["kept"][0])
                if keeps != bool(kept):
                    print("%s, %s: either PyTorch's gates or ours never keep the prediction" % (title, by))
                    good = False
                    continue
                best = kept if keeps else last # then ours is the last iterate
                worst = max(np.abs(best[l.index] - found["gate." + l.name]).max() for l in net.neuron_layers)
                moved = max(np.abs(best[l.index] - (start if seed == "-" else start[l.index])).max()
                            for l in net.neuron_layers)
                print("%s, %s, %s, %d steps: gates moved by up to %.4f, differ by up to %.2e (limit %g); "
                      "loss %.6g to %.6g; %s" % (name, "engine" if by == "dgr" else "Darknet", title,
                                                 args.steps, moved, worst, LIMIT, losses[0], found["loss"][0],
                                                 "keeps the prediction" if keeps else "loses the prediction"),
                      flush=True)
                good = good and worst <= LIMIT
            apart = max(np.abs(both["dgr"]["gate." + l.name] - both["gates"]["gate." + l.name]).max()
                        for l in net.neuron_layers)
            print("%s, engine and Darknet, %s: gates differ by up to %.2e" % (name, title, apart), flush=True)
            good = good and apart <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
