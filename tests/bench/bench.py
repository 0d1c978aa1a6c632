"""make bench: one table of ratios from one run. Peers load once and then take turns, so that a machine whose speed
drifts drifts for all of them; each figure is the least of several turns. Then images per second over a list, and NeuronIntGrad
(bench_intgrad.py), and eval (bench_eval.py). All of it as JSON too, in bench.json of the work folder."""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

from isa import environment
from networks import CFGS

HERE = os.path.dirname(os.path.abspath(__file__))
QUESTIONS = {"ours": ["forward", "backward", "explain .9", "lrp .25", "eapig 5", "explain .99", "default",
                      "default-gradient", "grad .99", "grad .999", "sweep"],
             "stock": ["forward", "backward"], "torch": ["forward", "backward"], "new": ["forward", "backward"]}
LIST_IMAGES, LIST_FIRST = 40, 4


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


def start_peers(args, cfg, weights):
    commands = {"ours": [args.engine, cfg, weights, "1"]}
    if args.stock and os.path.basename(cfg)[:-4] not in CFGS:  # it knows no parts of routes
        commands["stock"] = [args.stock, cfg, weights]
    for who, python in (("torch", args.torch and sys.executable), ("new", args.new_torch)):
        if python:
            commands[who] = [python, os.path.join(HERE, "torch_peer.py"), cfg, weights, "1"]
    peers = {}
    for who, command in commands.items():
        try:
            peers[who] = Peer(command, environment(max(args.threads) if who in ("torch", "new") else 1))
        except RuntimeError as error:
            print("%s: %s: its columns are missing" % (os.path.basename(cfg), error))
    return peers


def peak_of_explanation(args, cfg, weights):
    """Megabytes of a process that opens the network and explains, no more."""
    peer = Peer([args.engine, cfg, weights, "1"], environment())
    peer.ask("explain .99")
    peak = peer.ask("peak")
    peer.close()
    return peak


def measure(args, name, peers, threads, known):
    """A row. known: the least of other rows, for stock, which has one thread."""
    best = {key: value for key, value in known.items() if key[0] == "stock"}
    for who in ("ours", "torch", "new"):
        if who in peers:
            peers[who].ask("threads %d" % threads)
    began, turn = time.time(), 0
    while turn < 2 or (turn < args.turns and time.time() - began < args.seconds):
        for who, peer in peers.items():
            if who == "stock" and (threads > 1 or turn > (best.get(("stock", "forward"), 0) < .5)):
                continue
            for question in QUESTIONS[who]:
                seconds = peer.ask(question)
                best[who, question] = min(seconds, best.get((who, question), seconds))
        best["sgemm"] = max(peers["ours"].ask("sgemm"), best.get("sgemm", 0))
        turn += 1
    f, back = best["ours", "forward"], best["ours", "backward"]
    row = {"network": name, "threads": threads, "turns": turn, "kernels": peers["ours"].name,
           "neurons": peers["ours"].neurons, "forward_ms": f * 1e3, "backward": back / f,
           "explain_90": best["ours", "explain .9"] / f, "explain_99": best["ours", "explain .99"] / f,
           "lrp_of_mct": best["ours", "lrp .25"] / best["ours", "explain .9"],
           "eapig_of_mct": best["ours", "eapig 5"] / best["ours", "explain .9"],
           "default": best["ours", "default"] / f, "default_gradient": best["ours", "default-gradient"] / f,
           "grad_99_of_dense": best["ours", "grad .99"] / back, "grad_999_of_dense": best["ours", "grad .999"] / back,
           "sweep_of_dense": best["ours", "sweep"] / back,
           "sgemm_share": 2e-9 * peers["ours"].macs / f / (best["sgemm"] * threads)}
    for who in ("stock", "torch", "new"):
        if who in peers and (who, "forward") in best:
            row[who + "_forward"] = best[who, "forward"] / f
            row[who + "_backward"] = best[who, "backward"] / back
            row[who + "_peak_mb"] = peers[who].ask("peak")
            row[who + "_name"] = peers[who].name
    known.update(best)
    return row


def show(rows):
    columns = [("network", "network", "%s"), ("threads", "thr", "%d"), ("forward_ms", "F ms", "%.1f"),
               ("backward", "back/F", "%.2f"), ("explain_90", "explain 90%/F", "%.2f"),
               ("explain_99", "99%/F", "%.2f"), ("default", "default/F", "%.2f"),
               ("default_gradient", "without heat", "%.2f"), ("lrp_of_mct", "lrp/explain", "%.2f"),
               ("eapig_of_mct", "eapig", "%.2f"),
               ("grad_99_of_dense", "grad 99%/back", "%.2f"),
               ("grad_999_of_dense", "99.9%", "%.2f"), ("sweep_of_dense", "sweep/back", "%.2f"),
               ("sgemm_share", "of sgemm", "%.2f"), ("peak_mb", "peak MB", "%.0f"),
               ("stock_forward", "stock fwd/F", "%.1f"), ("stock_backward", "back", "%.1f"),
               ("torch_forward", "torch fwd/F", "%.2f"), ("torch_backward", "back", "%.2f"),
               ("torch_peak_mb", "peak MB", "%.0f"), ("new_forward", "new torch fwd/F", "%.2f"),
               ("new_backward", "back", "%.2f")]
    columns = [column for column in columns if any(column[0] in row for row in rows)]
    table = [[title for _, title, _ in columns]]
    for row in rows:
        table.append([form % row[key] if key in row else "-" for key, _, form in columns])
    widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
    for line in table:
        cells = [cell.rjust(width) for cell, width in zip(line, widths)]
        print("  ".join([line[0].ljust(widths[0])] + cells[1:]))


def network_files(args, name):
    """cfg and weights: real ones of the data folder, else the stock cfg or one of networks.py, and random weights; None:
    none is there."""
    real = os.path.join(args.data, name + ".cfg") if args.data else ""
    if real and os.path.exists(real[:-4] + ".weights"):
        return real, real[:-4] + ".weights"
    cfg, weights = os.path.join(args.cfg_dir, name + ".cfg"), os.path.join(args.work, name + ".weights")
    if name in CFGS:
        cfg = os.path.join(args.work, name + ".cfg")
        with open(cfg, "w", encoding="ascii") as file:
            file.write(CFGS[name]())
    if not os.path.exists(cfg):
        print("%s: skipped, there is no %s" % (name, real or cfg))
        return None
    if not os.path.exists(weights):
        print("making random weights: %s" % weights, file=sys.stderr)
        subprocess.check_call([sys.executable, os.path.join(HERE, "random_weights.py"), cfg, weights])
    return cfg, weights


def run_list(args, cfg, weights, images, threads, out):
    env = environment(threads)
    del env["OMP_NUM_THREADS"]
    began = time.time()
    subprocess.run([args.darknet, "critpath", "explain", cfg, weights, "-sparsity", ".99", "-no-picture", "-quiet",
                    "-threads", str(threads), "-out", out + "/"], input="\n".join(images), text=True, env=env,
                   stdout=subprocess.DEVNULL, check=True)
    return time.time() - began


def measure_list(args):
    """Images per second of `explain -no-picture`: what more images cost, so that opening the network does not count."""
    files = network_files(args, "squeezenet")
    if not files:
        return []
    rows, folder = [], tempfile.mkdtemp(prefix="list-", dir=args.work)
    try:
        from bench_pictures import write_picture  # wants NumPy
        for i in range(8):
            write_picture(os.path.join(folder, "picture%d.png" % i), i)
        images = []
        for i in range(LIST_IMAGES):
            images.append(os.path.join(folder, "image%02d.png" % i))
            os.link(os.path.join(folder, "picture%d.png" % (i % 8)), images[-1])
        out = os.path.join(folder, "out")
        os.mkdir(out)
        for threads in args.threads:
            few = min(run_list(args, *files, images[:LIST_FIRST], threads, out) for _ in range(2))
            many = min(run_list(args, *files, images, threads, out) for _ in range(2))
            rows.append({"network": "squeezenet", "threads": threads,
                         "images_per_second": (LIST_IMAGES - LIST_FIRST) / (many - few), "started_s": few})
    finally:
        shutil.rmtree(folder)
    for row in rows:
        print("list: squeezenet, explain -no-picture, %d thread(s): %.1f images/s" %
              (row["threads"], row["images_per_second"]))
    return rows


def measure_intgrad(args):
    files = args.intgrad and network_files(args, "squeezenet")
    if not files:
        return None
    result = os.path.join(args.work, "intgrad.json")
    subprocess.check_call([sys.executable, os.path.join(HERE, "bench_intgrad.py"), "--engine", args.intgrad, *files,
                           "--json", result, "--turns", "1", "--steps", "20"])
    with open(result) as file:
        return json.load(file)


def measure_eval(args):
    """`eval` against captum, pytorch-grad-cam and Quantus, with the threads of the last row."""
    files = args.darknet and args.dump and network_files(args, "squeezenet")
    if not files:
        return None
    result = os.path.join(args.work, "eval.json")
    if os.path.exists(result):
        os.remove(result)
    status = subprocess.call([sys.executable, os.path.join(HERE, "bench_eval.py"), "--darknet", args.darknet, "--dump", args.dump,
                              *files, "--images", str(args.eval_images), "--threads", str(args.threads[-1]), "--json", result])
    if status:
        print("eval: failed, or less than 2 times as fast as the others")
    if not os.path.exists(result):
        return None
    with open(result) as file:
        return json.load(file)


def has_torch(python):
    return not subprocess.call([python, "-c", "import torch, numpy"], stderr=subprocess.DEVNULL)


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--intgrad", help="bench_intgrad, the program; without it that table is left out")
    parser.add_argument("--darknet", help="darknet with critpath; without it the list is left out")
    parser.add_argument("--dump", help="oracle_dump; without it eval is not compared")
    parser.add_argument("--eval-images", type=int, default=100, help="photos that eval and its peer measure")
    parser.add_argument("--stock")
    parser.add_argument("--cfg-dir", required=True, help="Darknet's stock cfgs")
    parser.add_argument("--data", help="folder with squeezenet.cfg and the other real weights")
    parser.add_argument("--work", required=True, help="folder for random weights and bench.json")
    parser.add_argument("--turns", type=int, default=12, help="at most")
    parser.add_argument("--seconds", type=float, default=6, help="of a row, after which no turn begins")
    parser.add_argument("--threads", default="1,2" if os.cpu_count() > 1 else "1")
    parser.add_argument("--networks", default="vgg-16,resnet50,squeezenet,darknet19,yolov3-tiny,yolov4-tiny,yolov7-tiny,yolo-fastest-1.1-xl,resnext50")
    args = parser.parse_args()
    args.threads = [int(threads) for threads in args.threads.split(",")]
    args.torch = has_torch(sys.executable)
    if not args.torch:
        print("PyTorch (python3-torch) is not installed: its columns are missing")
    args.new_torch = os.environ.get("TORCH_PYTHON")
    if args.new_torch and not has_torch(args.new_torch):
        print("TORCH_PYTHON=%s: no torch and numpy there: its columns are missing" % args.new_torch)
        args.new_torch = None
    return args


def main():
    args = arguments()
    os.makedirs(args.work, exist_ok=True)
    rows, began = [], time.time()
    for name in args.networks.split(","):
        files = network_files(args, name)
        if not files:
            continue
        peak, known, peers = peak_of_explanation(args, *files), {}, start_peers(args, *files)
        for threads in args.threads:
            rows.append(dict(measure(args, name, peers, threads, known), peak_mb=peak))
            print("measured %s, %d thread(s); %.0f s" % (name, threads, time.time() - began), file=sys.stderr)
        for peer in peers.values():
            peer.close()
    machine = {"processor": processor(), "machine": platform.machine(), "cores": os.cpu_count(),
               "kernels": rows[0]["kernels"] if rows else "-", "load": os.getloadavg()[1],
               "torch": next((row[who + "_name"] for row in rows for who in ("torch",) if who + "_name" in row), None),
               "new_torch": next((row["new_name"] for row in rows if "new_name" in row), None)}
    print("machine: %s (%s), %d cores, load %.1f in the last five minutes; %s; %s; stock: loops of the compiler's baseline" %
          (machine["processor"], machine["machine"], machine["cores"], machine["load"], machine["kernels"],
           ", ".join(filter(None, (machine["torch"], machine["new_torch"]))) or "no PyTorch"))
    print("F: one forward pass. back: the data gradient, dense. explain: forward + NeuronMCT + selection + pathway "
          "gradient; default: as the command explains without options, with its maps; without heat: less the contribution map; "
          "peak MB: of a process that does it once.")
    print("grad: the pathway gradient alone. sweep: paths and gradients at .9, .95, .98, .99, .999 in one run.")
    print("stock, torch: their time over ours (above 1: ours is faster); stock has one thread, and its backward also "
          "computes weight gradients.")
    if rows:
        show(rows)
    result = {"machine": machine, "rows": rows}
    if args.darknet:
        result["list"] = measure_list(args)
    if args.torch:
        result["intgrad"] = measure_intgrad(args)
    elif args.intgrad:
        print("NeuronIntGrad: its table needs PyTorch")
    result["eval"] = measure_eval(args)
    with open(os.path.join(args.work, "bench.json"), "w") as file:
        json.dump(result, file, indent=1)
    print("%.0f s; as JSON: %s" % (time.time() - began, os.path.join(args.work, "bench.json")))


main()
