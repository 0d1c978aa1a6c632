"""make bench: one table of ratios from one run. Peers load once and then take turns, so that a machine whose speed drifts
drifts for all of them; each figure is the least of several turns."""
import argparse
import json
import os
import platform
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    def __init__(self, command, env):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                        stderr=subprocess.DEVNULL)
        hello = self.process.stdout.readline().split()
        if len(hello) < 3:
            raise RuntimeError("%s does not start" % command[0])
        self.macs, self.neurons, self.name = float(hello[0]), int(hello[1]), " ".join(hello[2:])

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def environment(threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
    env.pop("OPENBLAS_CORETYPE", None)  # not to be inherited by accident: the table says which kernels run
    return env


def measure(args, name, cfg, weights, threads):
    env = environment(threads)
    peers = {"ours": Peer([args.engine, cfg, weights, str(threads)], env)}
    if args.stock and threads == 1:
        peers["stock"] = Peer([args.stock, cfg, weights], env)
    if args.torch:
        peers["torch"] = Peer([sys.executable, os.path.join(HERE, "torch_peer.py"), cfg, weights, str(threads)], env)
    questions = {"ours": ["forward", "backward", "explain .9", "explain .99", "grad .9", "grad .99", "grad .999"],
                 "stock": ["forward", "backward"], "torch": ["forward", "backward"]}
    best = {}
    for turn in range(args.turns):
        for who, peer in peers.items():
            for question in questions[who]:
                if who == "stock" and turn >= 2:
                    continue
                seconds = peer.ask(question)
                best[who, question] = min(seconds, best.get((who, question), seconds))
        rate = peers["ours"].ask("sgemm")
        best["sgemm"] = max(rate, best.get("sgemm", rate))
    f = best["ours", "forward"]
    row = {"network": name, "threads": threads, "kernels": peers["ours"].name, "neurons": peers["ours"].neurons,
           "forward_ms": f * 1e3, "backward": best["ours", "backward"] / f,
           "explain_90": best["ours", "explain .9"] / f, "explain_99": best["ours", "explain .99"] / f,
           "grad_99_of_dense": best["ours", "grad .99"] / best["ours", "backward"],
           "grad_999_of_dense": best["ours", "grad .999"] / best["ours", "backward"],
           "sgemm_share": 2e-9 * peers["ours"].macs / f / (best["sgemm"] * threads),
           "peak_mb": peers["ours"].ask("peak")}
    for who in ("stock", "torch"):
        if who in peers:
            row[who + "_forward"] = best[who, "forward"] / f
            row[who + "_backward"] = best[who, "backward"] / best["ours", "backward"]
            row[who + "_peak_mb"] = peers[who].ask("peak")
            row[who + "_name"] = peers[who].name
    for peer in peers.values():
        peer.close()
    return row


def show(rows):
    columns = [("network", "network", "%s"), ("threads", "thr", "%d"), ("forward_ms", "F ms", "%.1f"),
               ("backward", "back/F", "%.2f"), ("explain_90", "explain 90%/F", "%.2f"),
               ("explain_99", "99%/F", "%.2f"), ("grad_99_of_dense", "grad 99%/back", "%.2f"),
               ("grad_999_of_dense", "99.9%", "%.2f"), ("sgemm_share", "of sgemm", "%.2f"), ("peak_mb", "peak MB", "%.0f"),
               ("stock_forward", "stock fwd/F", "%.1f"), ("stock_backward", "stock back", "%.1f"),
               ("torch_forward", "torch fwd/F", "%.2f"), ("torch_backward", "torch back", "%.2f")]
    table = [[title for _, title, _ in columns]]
    for row in rows:
        table.append([form % row[key] if key in row else "-" for key, _, form in columns])
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        print("  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths))))


def has_torch():
    try:
        import torch
        return torch is not None
    except ImportError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--stock")
    parser.add_argument("--cfg-dir", required=True, help="Darknet's stock cfgs")
    parser.add_argument("--data", help="folder with squeezenet.cfg and the other real weights")
    parser.add_argument("--work", required=True, help="folder for random weights and bench.json")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--networks", default="vgg-16,squeezenet,yolov3-tiny")
    args = parser.parse_args()
    args.torch = has_torch()
    os.makedirs(args.work, exist_ok=True)
    if not args.torch:
        print("PyTorch (python3-torch) is not installed: its columns are missing")
    rows = []
    for name in args.networks.split(","):
        cfg, weights = os.path.join(args.cfg_dir, name + ".cfg"), os.path.join(args.work, name + ".weights")
        real = args.data and os.path.join(args.data, name + ".cfg")
        if real and os.path.exists(real):
            cfg, weights = real, real[:-4] + ".weights"
        elif not os.path.exists(cfg):
            print("%s: skipped, %s is not there" % (name, real or cfg))
            continue
        elif not os.path.exists(weights):
            subprocess.check_call([sys.executable, os.path.join(HERE, "random_weights.py"), cfg, weights])
        for threads in args.threads.split(","):
            rows.append(measure(args, name, cfg, weights, int(threads)))
            print("measured %s, %s thread(s)" % (name, threads), file=sys.stderr)
    print("machine: %s, %d cores, OpenBLAS kernels %s" % (platform.machine(), os.cpu_count(), rows[0]["kernels"] if rows else "-"))
    print("F: one forward pass. back: the data gradient, dense. explain: forward + NeuronMCT + selection + pathway gradient.")
    print("stock, torch: their time over ours (above 1: ours is faster); stock's backward also computes weight gradients.")
    show(rows)
    with open(os.path.join(args.work, "bench.json"), "w") as file:
        json.dump(rows, file, indent=1)


main()
