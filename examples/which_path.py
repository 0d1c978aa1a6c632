"""Tables of examples/which-path.sh, from the JSON lines and score files of one network's folder.

Means over n pictures, with standard errors in brackets. keep: share of pictures whose network of the path alone
keeps the answer; CPR and CMD: areas under f and |1 - f| over the sizes .1% to 100% (Mueller et al. 2025); dead: of the path of
1%; cut: paths of 1% that are; rho: Spearman's rank correlation with the drop of the response when a neuron alone is set to
zero, over a sample of neurons.
"""
import glob
import json
import math
import os
import re
import sys

SIZES = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1.]
SHOWN = SIZES[:7]


def seconds(file):
    """Of the scores, from what the run said on stderr."""
    try:
        told = re.search(r"score ([\d.]+)", open(file[:-5] + ".err").read())
    except OSError:
        told = None
    return float(told.group(1)) if told else math.nan


def read(folder):
    """{picture: {(name, rank): record}}"""
    found = {}
    for file in sorted(glob.glob(folder + "/*.json")):
        stem, rank = os.path.basename(file)[:-5].rsplit(".", 1)
        if rank == "score":
            continue
        picture, name = stem.split(".", 1)
        lines = [json.loads(line) for line in open(file)]
        if lines and "faithful" in lines[0]:  # not of a photo without any box
            found.setdefault(picture, {})[name, rank] = dict(lines[0]["faithful"], seconds=seconds(file))
    return found


def at_size(record, size):
    """The point of a size; of sizes above the neurons that score, that of all those."""
    points = record["points"]
    neurons = points[-1]["kept"]
    return max((p for p in points if p["kept"] <= size * neurons + 1), key=lambda p: p["kept"])


def area(values):
    return sum((SIZES[i + 1] - SIZES[i]) * (values[i] + values[i + 1]) / 2 for i in range(len(SIZES) - 1)) / (1 - SIZES[0])


def mean(values):
    values = [v for v in values if v is not None and not math.isnan(v)]
    if not values:
        return math.nan, math.nan
    m = sum(values) / len(values)
    if len(values) < 2:
        return m, math.nan
    return m, math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1) / len(values))


def ranks(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    rank, i = [0.] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            rank[order[k]] = (i + j) / 2
        i = j + 1
    return rank


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b))
    below = math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))
    return top / below if below else math.nan


def agreement(folder, picture, name):
    """With the ablation of the sampled neurons whose drop is not 0; NaN where either file is missing."""
    try:
        import numpy
        files = [numpy.load("%s/%s.%s.score.npz" % (folder, picture, which)) for which in ("ablation", name)]
    except (ImportError, OSError):
        return math.nan
    drops, scores = [], []
    for layer in files[0].files:
        if layer.startswith("layer_"):
            drop, score = files[0][layer].ravel(), files[1][layer].ravel()
            at = drop.nonzero()[0]
            drops += list(drop[at])
            scores += list(abs(score[at]))
    return spearman(drops, scores) if len(drops) > 2 else math.nan


def row(folder, found, name, rank):
    records = {picture: of[name, rank] for picture, of in found.items() if (name, rank) in of}
    cells = ["%s%s" % (name, "" if rank == "network" else ", by layer"), "%d" % len(records)]
    for size in SHOWN:
        cells.append("%.2f" % mean([float(at_size(r, size)["keeps"]) for r in records.values()])[0])
    curves = [[at_size(r, size)["keep"]["f"]["response"] for size in SIZES] for r in records.values()]
    curves = [curve for curve in curves if None not in curve]
    for size in (.001, .01, .1):
        cells.append("%.2f" % mean([curve[SIZES.index(size)] for curve in curves])[0])
    for values in ([area(c) for c in curves], [area([abs(1 - f) for f in c]) for c in curves]):
        cells.append("%.3f (%.3f)" % mean(values))
    one = [at_size(r, .01) for r in records.values()]
    cells.append("%.1f%%" % (100 * mean([p["dead"] for p in one])[0]))
    cells.append("%.2f" % mean([None if p["cut"] is None else float(p["cut"]) for p in one])[0])
    rho = mean([agreement(folder, picture, name) for picture in records])
    cells.append("-" if math.isnan(rho[0]) or rank == "layer" else "%.2f (%.2f)" % rho)
    cells.append("%.3f" % mean([r["seconds"] for r in records.values()])[0])
    return cells


def main(folder):
    found = read(folder)
    rows = {row for of in found.values() for row in of}
    print("The standard error of a share kept of n pictures is at most .5 / sqrt(n).")
    print()
    print("| ranking | n | keep: " + " | ".join("%g%%" % (100 * s) for s in SHOWN) +
          " | f: .1% | 1% | 10% | CPR | CMD | dead | cut | rho | s |")
    print("|---" * (len(SHOWN) + 11) + "|")
    for name, rank in sorted(rows, key=lambda r: (r[0].startswith("random"), r[0], r[1] != "network")):
        print("| " + " | ".join(row(folder, found, name, rank)) + " |")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: which_path.py FOLDER")
    main(sys.argv[1])
