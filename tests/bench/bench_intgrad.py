"""NeuronIntGrad at a fixed number of steps: critpath against the authors' way and against the best suffix version in PyTorch.

    /usr/bin/python3 bench_intgrad.py --engine BENCH_INTGRAD CFG WEIGHTS [--layers 0,5,10] [--steps 50] [--turns 3]

Peers load once and take turns, layer by layer, so that a machine whose speed drifts drifts for all of them; each figure
is the least of its turns. The authors' way costs the same for every alpha: two are run and the time is scaled. The
sums of the scores are compared in passing."""
import argparse
import json
import os
import subprocess
import sys

from isa import environment

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES = (1, 5, 10, 25)
FULL_ALPHAS = 2


class Peer:
    def __init__(self, command, threads):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment(threads))
        self.hello = self.process.stdout.readline().split()
        if not self.hello:
            raise RuntimeError("%s does not start" % command[0])

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(ours, torch, layers, steps, turns):
    rows = []
    for position in layers:
        best, sums = {}, {}

        def take(name, peer, question, factor=1):
            seconds, sums[name] = peer.ask(question)
            best[name] = min(seconds * factor, best.get(name, 1e30))

        for turn in range(turns):
            take("ours", ours, "layer %d %d" % (position, steps))
            for batch in BATCHES if turn == 0 else (min(BATCHES, key=lambda b: best["suffix", b]),):
                take(("suffix", batch), torch, "suffix %d %d %d" % (position, steps, batch))
            take("full", torch, "full %d %d" % (position, FULL_ALPHAS), steps / FULL_ALPHAS)
        batch = min(BATCHES, key=lambda b: best["suffix", b])
        off = abs(sums["ours"] / sums["suffix", batch] - 1)
        rows.append({"layer": int(ours.hello[2 + position]), "ours": best["ours"], "full": best["full"],
                     "suffix": best["suffix", batch], "batch": batch, "sums_differ": off})
        print("  layer %3d: ours %8.2f s, authors' way %8.2f s (%5.1f times), suffix %8.2f s (%4.2f times, batch %d), sums "
              "differ by %.1e" % (rows[-1]["layer"], best["ours"], best["full"], best["full"] / best["ours"],
                                  best["suffix", batch], best["suffix", batch] / best["ours"], batch, off), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--layers", help="positions among the neuron layers (default: six, evenly spread)")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kernel-memory", type=int, default=0, metavar="MB",
                        help="for copies of the weights, as with -mem 4*MB; PyTorch takes what it wants")
    parser.add_argument("--json", help="write the rows to this file")
    args = parser.parse_args()
    ours = Peer([args.engine, args.cfg, args.weights, str(args.threads), str(args.kernel_memory)], args.threads)
    torch = Peer([sys.executable, os.path.join(HERE, "intgrad_torch.py"), args.cfg, args.weights, str(args.threads)] +
                 ours.hello[:2], args.threads)
    n = len(ours.hello) - 2
    layers = [int(l) for l in args.layers.split(",")] if args.layers else sorted({n * k // 6 for k in range(6)})
    print("%s: NeuronIntGrad, %d steps, %d of %d neuron layers, %d thread(s)"
          % (os.path.basename(args.cfg), args.steps, len(layers), n, args.threads), flush=True)
    rows = measure(ours, torch, layers, args.steps, args.turns)
    total = {key: sum(row[key] for row in rows) for key in ("ours", "full", "suffix")}
    print("  together: authors' way %.1f times ours, suffix in PyTorch %.2f times ours"
          % (total["full"] / total["ours"], total["suffix"] / total["ours"]))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"cfg": os.path.basename(args.cfg), "steps": args.steps, "rows": rows, "total": total}, file, indent=1)
    ours.close()
    torch.close()


if __name__ == "__main__":
    main()
