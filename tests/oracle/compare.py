"""critpath's engine against PyTorch on real networks, whole: logits, gradients, paths, maps.

    /usr/bin/python3 compare.py DUMP [-own | -data FOLDER] [-float32] [-only NAME] [-intgrad NAME]

DUMP is the program built from dump.c. FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds weights/ and
images/. -own: the networks of this repository on its pictures, which are always there. Both sides get the same network input: the dump program prepares it once from the photo. Exit status: 0, 1
where a limit is missed, 77 (with a line that says why) where PyTorch or the data are missing.

Limits: logits 1e-4 relative; gradients at each neuron layer, where the unit is active, and maps cosine 0.9999; paths
Jaccard 0.999. Pools over flat areas tie, and rounding decides who wins, which moves a few units of SqueezeNet's and
Tiny Darknet's paths: 0.998 there; with letterbox bars 0.96, and 0.998 for the cosines. In the face detector's 8x8
pool every tenth winner leads by less than 1e-5: 0.98 and 0.998. On a GPU, whose winners are other ones, 0.9995 for Tiny
Darknet's cosines. Where rounding puts units on the other side of zero (at most 1e-6 of the layer's largest activation),
0.96 and 0.998 as well, and the line counts them. (PyTorch in float32 against PyTorch in float64: Tiny Darknet, gradient 0.99987, a layer 0.99982, with
bars 0.99923 and 0.99911; face detector, gradient 0.99977, path 0.9947.)
"""
import argparse
import os
import subprocess
import sys
import tarfile
import tempfile

try:
    import numpy as np
    import torch
    import contribution_torch as contribution
    import darknet_torch as oracle
    import lrp_torch as lrp
    import methods_torch as methods
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(77)

SPARSITIES = ("0.9", "0.99")
ON_GPU = oracle.on_gpu()

# Network, archive, its members (name endings, or how many), letterbox, least Jaccard, least cosine.
CASES = [
    ("squeezenet", "imagenet-sample-256.tar", ("Gordon_setter.JPEG",), 0, .998, .9999),
    ("squeezenet", "imagenet-sample-256.tar", ("drum.JPEG",), 1, .96, .998),
    ("tiny", "imagenet-sample-256.tar", ("green_mamba.JPEG",), 0, .998, .9995 if ON_GPU else .9999),
    ("tiny", "imagenet-sample-256.tar", ("drum.JPEG",), 1, .96, .998),
    ("resnet20-cifar10", "cifar10-lossless.tar.xz", 3, 1, .999, .9999),
    ("yolo-fastest-1.1-xl", "coco128.tar", 1, 0, .999, .9999),
    ("yoloface-50k", "coco128.tar", 2, 0, .98, .998),
    ("yoloface-50k", "coco128.tar", 1, 1, .98, .998),
]
OWN_CASES = [
    ("resnet8-cifar", None, ("examples/signs-two.png", "examples/signs-bare.png"), 0, .999, .9999),
    ("tiny-yolo-signs", None, ("examples/signs-two.png",), 1, .999, .9999),
]


def files_of(args, name, archive):
    """cfg and weights: this repository's, or beside the archives of pictures."""
    if archive is None:
        return [os.path.join("cfg", name + ".cfg"), os.path.join("weights", name + ".weights")]
    return [os.path.join(args.data, "weights", name + ending) for ending in (".cfg", ".weights")]


def archive_of(args, name):
    return name and os.path.join(args.data, "images", name)


def photos(archive, which, folder):
    """Files taken out of an archive: those with the given endings, or the first few pictures. Without one, those named."""
    if archive is None:
        return which
    found = []
    with tarfile.open(archive) as tar:
        for member in tar:
            name = os.path.basename(member.name)
            if not member.isfile() or not name.lower().endswith((".jpg", ".jpeg", ".png")):
                continue
            if isinstance(which, tuple) and not name.endswith(which):
                continue
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(tar.extractfile(member).read())
            found.append(path)
            if len(found) == (which if isinstance(which, int) else len(which)):
                break
    return found


class Report:
    def __init__(self, title):
        self.title, self.failures, self.parts = title, [], []

    def least(self, what, value, limit):
        self.parts.append("%s %.6f" % (what, value))
        if not value >= limit:
            self.failures.append("%s is %.6f, needs %g" % (what, value, limit))

    def most(self, what, value, limit):
        self.parts.append("%s %.1e" % (what, value))
        if not value <= limit:
            self.failures.append("%s is %.3g, at most %g allowed" % (what, value, limit))

    def print(self):
        print("%s: %s%s" % (self.title, ", ".join(self.parts), "".join("\n  FAILED: " + f for f in self.failures)),
              flush=True)
        return not self.failures


def relative(found, expected):
    found, expected = np.asarray(found, np.float64).ravel(), np.asarray(expected, np.float64).ravel()
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def on_kinks(net, expected, found, report):
    """Units that are on in one program and off in the other. All of them must be zero up to rounding."""
    kinks = 0
    for l in net.neuron_layers:
        a, b = found["a." + l.name].ravel(), np.asarray(expected.a[l.index]).ravel()
        other = (a > 0) != (b > 0)
        if l.activation == "relu" and other.any():
            kinks += int(other.sum())
            report.most("sides of " + l.name, np.abs(np.where(other, np.maximum(a, b), 0)).max() / np.abs(b).max(), 1e-6)
    return kinks


def compare(net, response, x, found, least_jaccard, least_cosine, report):
    expected = oracle.Explanation(net, x, response)
    scores = oracle.mct(expected)
    logits = [name for name in found.files if name.startswith("logits.")]
    report.most("logits", max(relative(found[name], expected.outputs[int(name[7:])]) for name in logits), 1e-4)
    kinks = on_kinks(net, expected, found, report)
    if kinks: # whichever side of zero rounding puts them on, both gradients are right
        report.parts.append("%d units on their kink" % kinks)
        least_jaccard, least_cosine = min(least_jaccard, .96), min(least_cosine, .998)
    cosines, places = [], []
    for l in net.neuron_layers:
        a, g = (found["%s.%s" % (kind, l.name)].ravel() for kind in "ag")
        active = expected.a[l.index] > 0 if l.activation == "relu" else slice(None)
        if l.index != response[0][0]:
            cosines.append(oracle.cosine(g[active], expected.g[l.index][active]))
            places.append(l.name)
        cosines.append(oracle.cosine(a, expected.a[l.index]))
        places.append("a of " + l.name)
    worst = int(np.argmin(cosines))
    report.least("worst layer (%s)" % places[worst], cosines[worst], least_cosine)
    report.least("gradient", oracle.cosine(found["gradient"], expected.map), least_cosine)
    for sparsity in SPARSITIES:
        path = oracle.select(scores, float(sparsity))
        ours = {l.index: found["path_%s.%s" % (sparsity, l.name)].ravel() for l in net.neuron_layers}
        report.least("path " + sparsity, oracle.jaccard(ours, path), least_jaccard)
        # The maps of OUR path on both sides: what is compared is the map, not the path once more.
        frozen = oracle.Explanation(net, x, response, path=ours)
        report.least("frozen " + sparsity, oracle.cosine(found["frozen_" + sparsity], frozen.map), least_cosine)
        for planes, name in (("fine", "heat_"), ("all", "heat_all_")):
            heat = contribution.heat(net, expected, response, ours, planes)
            for side, part in enumerate(("heat", "counter-evidence")):
                if heat[side].any():
                    cosine = oracle.cosine(found[name + sparsity][side].ravel(), heat[side].ravel())
                    report.least("%s, %s planes, %s" % (part, planes, sparsity), cosine, least_cosine)
        zeroed = oracle.Explanation(net, x, response, zeroed=ours)
        report.least("zeroed " + sparsity, oracle.cosine(found["zeroed_" + sparsity], zeroed.map), least_cosine)
        value = float(found["zeroed_value_" + sparsity].ravel()[0])
        report.most("its response", abs(value - zeroed.value) / max(abs(expected.value), 1), 1e-4)


def run_case(args, case, folder):
    name, archive, which, letterbox, least_jaccard, least_cosine = case
    model = files_of(args, name, archive)
    net = oracle.Network(*model, torch.float32 if args.float32 else torch.float64)
    heads = [l.index for l in net.layers if l.type in ("yolo", "region")]
    good = True
    for number, photo in enumerate(photos(archive_of(args, archive), which, folder)):
        npy, npz = os.path.join(folder, "input.npy"), os.path.join(folder, "found.npz")
        subprocess.run([args.dump, "prepare"] + model + [photo, str(letterbox), npy], check=True)
        x = np.load(npy)
        response = oracle.objectness_unit(net, x, heads[number % len(heads)]) if heads else oracle.top_unit(net, x)
        unit = "%d:%d" % response[0][:2]
        subprocess.run([args.dump, "run"] + model + [npy, unit, npz] + list(SPARSITIES), check=True)
        report = Report("%s, %s%s, unit %s" % (name, os.path.basename(photo), ", letterbox" if letterbox else "", unit))
        with np.load(npz) as found:
            compare(net, response, x, found, least_jaccard, least_cosine, report)
        good = report.print() and good
    return good


def compare_intgrad(args, name, folder, every=4, steps=50):
    """NeuronIntGrad by the fixed rule on one photo, at every few neuron layers from the last: scores and residuals."""
    case = next(case for case in CASES + OWN_CASES if case[0] == name)
    model = files_of(args, name, case[1])
    npy, npz = os.path.join(folder, "input.npy"), os.path.join(folder, "found.npz")
    photo = photos(archive_of(args, case[1]), case[2] if isinstance(case[2], tuple) else 1, folder)[0]
    subprocess.run([args.dump, "prepare"] + model + [photo, "0", npy], check=True)
    net = oracle.Network(*model, torch.float32 if args.float32 else torch.float64)
    x = np.load(npy)
    response = oracle.top_unit(net, x)
    unit = "%d:%d" % response[0][:2]
    subprocess.run([args.dump, "intgrad"] + model + [npy, unit, npz, str(steps)], check=True)
    chosen = net.neuron_layers[::-1][::every]
    scores, residuals = methods.intgrad(net, x, response, steps, {l.index for l in chosen})
    value = float(oracle.response_value(methods.base_run(net, x), response))
    report = Report("%s, %s, unit %s, NeuronIntGrad of %d layers" % (name, os.path.basename(photo), unit, len(chosen)))
    with np.load(npz) as found:
        rest = dict(zip((l.index for l in net.neuron_layers), found["residual"].ravel()))
        cosines = [oracle.cosine(found["intgrad." + l.name], scores[l.index]) for l in chosen]
        report.least("worst layer", min(cosines), .9999)
        report.most("residuals differ by", max(abs(rest[i] - r) for i, r in residuals.items()) / abs(value), 1e-3)
        report.parts.append("largest residual %.3f of the response" % (max(map(abs, residuals.values())) / abs(value)))
    return report.print()


def compare_lrp(args, case, folder, gamma=.25):
    """LRP-gamma on a case's first photo, at every neuron layer."""
    name, archive, which, letterbox, _, least_cosine = case
    model = files_of(args, name, archive)
    npy, npz = os.path.join(folder, "input.npy"), os.path.join(folder, "found.npz")
    photo = photos(archive_of(args, archive), which, folder)[0]
    subprocess.run([args.dump, "prepare"] + model + [photo, str(letterbox), npy], check=True)
    net = oracle.Network(*model)
    x = np.load(npy)
    response = oracle.top_unit(net, x)
    subprocess.run([args.dump, "lrp"] + model + [npy, "%d:%d" % response[0][:2], npz, str(gamma)], check=True)
    expected = lrp.scores(*model, x, response, gamma)
    report = Report("%s, %s, LRP with gamma %g" % (name, os.path.basename(photo), gamma))
    with np.load(npz) as found:
        layers = [l for l in net.neuron_layers if np.any(expected[l.index])]
        cosines = [oracle.cosine(found["lrp." + l.name].ravel(), expected[l.index]) for l in layers]
    # Close winners of Tiny Darknet's max-pools are rounding's choice, and relevance goes to winners alone.
    report.least("worst of %d layers" % len(layers), min(cosines), .9995 if name == "tiny" and least_cosine > .9995 else
                 least_cosine)
    return report.print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("-data", default=os.environ.get("CRITPATH_DATA", os.path.join("..", "shared", "data")))
    parser.add_argument("-own", action="store_true", help="this repository's networks and pictures")
    parser.add_argument("-float32", action="store_true", help="PyTorch in float32 instead of float64")
    parser.add_argument("-only", help="one network")
    parser.add_argument("-intgrad", help="network whose NeuronIntGrad is compared, or none; default: a ResNet of CIFAR-10")
    args = parser.parse_args()
    args.intgrad = args.intgrad or ("resnet8-cifar" if args.own else "resnet20-cifar10")
    cases = [case for case in (OWN_CASES if args.own else CASES) if args.only in (None, case[0])]
    needed = [path for case in cases for path in files_of(args, *case[:2]) + [archive_of(args, case[1])] if path]
    missing = [path for path in needed if not os.path.exists(path)]
    if missing:
        print("skipped: no %s" % missing[0])
        return 77
    torch.set_num_threads(1)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a YOLO's arrays are 160 MB
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        good = [run_case(args, case, folder) for case in cases]
        if not ON_GPU:  # the rule has no GPU code
            good += [compare_lrp(args, case, folder) for case in cases]
        if args.intgrad != "none":
            good.append(compare_intgrad(args, args.intgrad, folder))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
