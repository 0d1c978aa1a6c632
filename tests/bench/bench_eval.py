"""`critpath eval` against captum, pytorch-grad-cam and Quantus (PyPI) on the same work: the same photos and network, five maps,
deletion over some fifty steps, Gini's index and entropy of each. One line with the ratio; as JSON where asked for.

    python3 bench_eval.py --darknet DARKNET --dump ORACLE_DUMP CFG WEIGHTS [--images 100] [--threads 1] [--json FILE]

EVAL_PYTHON: a Python that has these packages; without it there is nothing to compare with. Ours is what more photos cost, with
reading them and the rows centre and random, so that opening the network does not count; the peer's photos are decoded before
and its batches hold ten. Each runs `--turns` times in turn, and the least counts; where others use the
machine, the ratio of the processor times is the one to look at. Exit status 1 where the ratio is below 2."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

import isa

HERE = os.path.dirname(os.path.abspath(__file__))
METHODS = "gradient,inputmct,inputintgrad,smoothgrad,gradcam"
FIRST = 1  # photos of the run that is taken off
LEAST = 2


def environment(threads):
    env = isa.environment(threads)
    del env["OMP_NUM_THREADS"], env["OMP_WAIT_POLICY"]
    return env


def run_ours(args, photos, points, out):
    began, used = time.time(), os.times()
    subprocess.run([args.darknet, "critpath", "eval", args.cfg, args.weights, "-methods", METHODS, "-metrics",
                    "deletion,gini,entropy", "-points", str(points), "-threads", str(args.threads), "-no-picture", "-quiet",
                    "-out", out], input="\n".join(photos), text=True, check=True, stdout=subprocess.DEVNULL,
                   env=environment(args.threads))
    now = os.times()
    return np.array([time.time() - began, now.children_user + now.children_system - used.children_user - used.children_system])


def write_photos(folder, count):
    """PNGs of waves and grain; no two alike."""
    from bench_pictures import write_picture
    photos = [os.path.join(folder, "photo%03d.png" % i) for i in range(count)]
    for i, photo in enumerate(photos):
        write_picture(photo, i)
    return photos


def prepare(args, photos, folder):
    inputs = []
    for photo in photos:
        path = os.path.join(folder, "input.npy")
        subprocess.check_call([args.dump, "prepare", args.cfg, args.weights, photo, "0", path])
        inputs.append(np.load(path))
    path = os.path.join(folder, "inputs.npy")
    np.save(path, np.stack(inputs))
    return path


def run_peer(args, inputs):
    text = subprocess.check_output([args.python, os.path.join(HERE, "eval_torch.py"), args.cfg, args.weights, inputs,
                                    str(args.threads)], text=True, env=environment(args.threads), stderr=subprocess.DEVNULL)
    maps, seconds, processor, points, names = text.strip().splitlines()[-1].split(" ", 4)
    return np.array([float(seconds), float(processor)]), float(maps), int(points), names


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("cfg")
    parser.add_argument("weights")
    parser.add_argument("--darknet", required=True)
    parser.add_argument("--dump", required=True, help="oracle_dump, which prepares the peer's inputs")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--json")
    args = parser.parse_args()
    args.python = os.environ.get("EVAL_PYTHON")
    return args


def main():
    args = arguments()
    name = os.path.basename(args.cfg)[:-len(".cfg")]
    if not args.python:
        print("eval: %s: nothing to compare with; EVAL_PYTHON names a Python with torch, captum, grad-cam and quantus" % name)
        return 0
    folder = tempfile.mkdtemp(prefix="bench-eval-")
    try:
        photos = write_photos(folder, args.images + FIRST)
        inputs, out = prepare(args, photos[FIRST:], folder), os.path.join(folder, "out")
        ours, peers = [], []
        for _ in range(args.turns):
            peers.append(run_peer(args, inputs))
            points = peers[-1][2]
            ours.append(run_ours(args, photos, points, out) - run_ours(args, photos[:FIRST], points, out))
    finally:
        shutil.rmtree(folder)
    mine, peer = np.min(ours, axis=0), np.min([p[0] for p in peers], axis=0)
    row = {"network": name, "images": args.images, "threads": args.threads, "points": points, "ours_s": mine[0],
           "peer_s": peer[0], "peer_maps_s": min(p[1] for p in peers), "peer": peers[0][3], "ratio": peer[0] / mine[0],
           "ours_processor_s": mine[1], "peer_processor_s": peer[1], "processor_ratio": peer[1] / mine[1]}
    print("eval: %s, %d images, 5 maps, deletion of %d steps, Gini, entropy; %d thread(s): ours %.2f s, %s %.2f s (maps %.2f): "
          "%.1f times ours; processor time %.2f and %.2f s, %.1f times" %
          (name, args.images, points, args.threads, mine[0], row["peer"], peer[0], row["peer_maps_s"], row["ratio"], mine[1],
           peer[1], row["processor_ratio"]))
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(row, file, indent=1)
    return int(row["ratio"] < LEAST)


sys.exit(main())
