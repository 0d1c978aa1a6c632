"""Networks of AlexeyAB's kind against OpenCV's reader of cfg and weights: logits of every head, and boxes.

    opencv_test.py ORACLE_DUMP

The networks are built here like YOLOv4-tiny, YOLOv4, YOLOv7-tiny and EfficientNet, narrow and with random weights."""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from harness import SKIP, FolderTest, critpath, run, write

try:
    import cv2
    import numpy as np
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(SKIP)

DUMP = sys.argv.pop(1)


class Cfg:
    """The text of a cfg, and for each convolution what it needs of a weights file."""

    def __init__(self, size):
        self.text = [f"[net]\nwidth={size}\nheight={size}\nchannels=3\n"]
        self.size, self.n, self.channels, self.convolutions, self.heads = size, 0, [], [], []

    def add(self, kind, channels, **keys):
        self.text.append(f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()))
        self.channels.append(channels)
        self.n += 1
        return self.n - 1

    def of(self, layer):
        return self.channels[layer if layer >= 0 else self.n + layer] if self.n else 3

    def conv(self, filters, size, stride=1, activation="leaky", norm=True, groups=1):
        self.convolutions.append((filters, self.of(-1) // groups * size * size, norm))
        keys = {"batch_normalize": 1} if norm else {}
        if groups > 1:
            keys["groups"] = groups
        return self.add("convolutional", filters, filters=filters, size=size, stride=stride, pad=1, activation=activation, **keys)

    def route(self, *layers, groups=1, group_id=0):
        absolute = [l if l >= 0 else self.n + l for l in layers]
        part = {"groups": groups, "group_id": group_id} if groups > 1 else {}
        return self.add("route", sum(self.channels[l] for l in absolute) // groups, layers=",".join(map(str, layers)), **part)

    def keep(self, kind, **keys):
        return self.add(kind, self.of(-1), **keys)

    def yolo(self, mask, activation="linear", **keys):
        self.heads.append((self.conv(21, 1, activation=activation, norm=False), self.n))
        self.add("yolo", 21, mask=mask, anchors="10,14, 23,27, 37,58, 81,82, 135,169, 344,319", classes=2, num=6, **keys)

    def write(self, folder, name, random):
        cfg, weights = os.path.join(folder, name + ".cfg"), os.path.join(folder, name + ".weights")
        with open(cfg, "w") as file:
            file.write("\n".join(self.text))
        with open(weights, "wb") as file:
            file.write(struct.pack("<3iQ", 0, 2, 5, 0))
            for filters, taps, norm in self.convolutions:
                parts = [random.normal(0, .1, filters)]
                if norm:
                    parts += [random.uniform(.8, 1.2, filters), random.normal(0, .1, filters), random.uniform(.5, 1.5, filters)]
                parts.append(random.normal(0, (2 / taps) ** .5, filters * taps))
                for part in parts:
                    file.write(part.astype("<f4").tobytes())
        return cfg, weights


def yolov4_tiny():
    c = Cfg(96)
    c.conv(8, 3, 2), c.conv(16, 3, 2)
    for width in (16, 32, 64):
        c.conv(width, 3)
        c.route(-1, groups=2, group_id=1)
        c.conv(width // 2, 3), c.conv(width // 2, 3)
        c.route(-1, -2)
        stem = c.conv(width, 1)
        c.route(-6, -1)
        c.keep("maxpool", size=2, stride=2)
    c.conv(128, 3)
    neck = c.conv(64, 1)
    c.conv(128, 3)
    c.yolo("3,4,5", scale_x_y=1.05, nms_kind="greedynms", beta_nms=.6)
    c.route(neck)
    c.conv(32, 1)
    c.keep("upsample", stride=2)
    c.route(-1, stem)
    c.conv(64, 3)
    c.yolo("0,1,2", scale_x_y=1.05, nms_kind="greedynms", beta_nms=.6)
    return c


def yolov4():
    c = Cfg(96)
    c.conv(8, 3, activation="mish")
    for width, blocks in ((16, 1), (32, 2), (64, 2)):
        down = c.conv(width, 3, 2, "mish")
        c.conv(width // 2, 1, activation="mish")
        c.route(down)
        c.conv(width // 2, 1, activation="mish")
        for _ in range(blocks):
            c.conv(width // 2, 1, activation="mish"), c.conv(width // 2, 3, activation="mish")
            c.keep("shortcut", **{"from": -3}, activation="linear")
        c.conv(width // 2, 1, activation="mish")
        c.route(-1, down + 1)
        c.conv(width, 1, activation="mish")
    c.conv(32, 1)
    for k, size in enumerate((5, 9, 13)):
        c.keep("maxpool", stride=1, size=size)
        if k < 2:
            c.route(-2 - 2 * k)
    c.route(-1, -3, -5, -6)
    c.conv(32, 1)
    c.yolo("3,4,5", scale_x_y=1.2, nms_kind="greedynms", beta_nms=.6)
    return c


def yolov7_tiny():
    c = Cfg(64)
    c.conv(8, 3, 2), c.conv(16, 3, 2)
    c.conv(8, 1)
    c.route(-2)
    c.conv(8, 1)
    c.conv(8, 3), c.conv(8, 3)
    c.route(-1, -2, -3, -5)
    c.conv(16, 1)
    c.yolo("0,1,2", "logistic", scale_x_y=2.0, new_coords=1, nms_kind="greedynms", beta_nms=.6)
    return c


def efficientnet():
    c = Cfg(64)
    c.conv(8, 3, 2, "swish")
    for _ in range(2):
        before = c.conv(16, 1, activation="swish")
        wide = c.conv(16, 3, 1, "swish", groups=16)
        c.add("avgpool", 16)
        c.conv(4, 1, activation="swish", norm=False), c.conv(16, 1, activation="logistic", norm=False)
        c.add("scale_channels", 16, **{"from": wide})
        c.conv(8, 1, activation="linear")
        c.keep("dropout", probability=0)
        c.keep("shortcut", **{"from": before - 1}, activation="linear")
    c.yolo("0,1,2", scale_x_y=1.1)
    return c


def relative(box, size):
    """Centre and size as shares of the picture, of left, top, width, height in pixels."""
    x, y, w, h = box
    return (x + w / 2) / size, (y + h / 2) / size, w / size, h / size


def distance_iou(a, b):
    """The IoU less (D/C)^.6, as greedynms has it: D between the centres, C across the box around both, both squared."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    axes = ((ax, aw, bx, bw), (ay, ah, by, bh))
    starts = [(max(x - w / 2, u - v / 2), min(x - w / 2, u - v / 2)) for x, w, u, v in axes]
    ends = [(min(x + w / 2, u + v / 2), max(x + w / 2, u + v / 2)) for x, w, u, v in axes]
    inner = [max(0, ends[k][0] - starts[k][0]) for k in range(2)]
    outer = [ends[k][1] - starts[k][1] for k in range(2)]
    both = inner[0] * inner[1]
    distance = (ax - bx) ** 2 + (ay - by) ** 2
    return both / (aw * ah + bw * bh - both) - (distance / (outer[0] ** 2 + outer[1] ** 2)) ** .6


class OpenCV(FolderTest):
    def run_both(self, name, c):
        random = np.random.default_rng(7)
        cfg, weights = c.write(self.folder, name, random)
        photo = random.integers(0, 256, (c.size, c.size, 3), dtype=np.uint8)
        cv2.imwrite(self.path("photo.png"), photo[:, :, ::-1])
        x = photo.transpose(2, 0, 1)[None].astype(np.float32) / 255
        net = cv2.dnn.readNetFromDarknet(cfg, weights)
        net.setInput(x)
        names = [f"conv_{layer}" for layer, _ in c.heads] + [f"yolo_{head}" for _, head in c.heads]
        outputs = net.forward(names)
        np.save(self.path("x.npy"), x[0])
        done = subprocess.run([DUMP, "run", cfg, weights, self.path("x.npy"), f"{c.heads[0][0]}:0", self.path("o.npz"), ".9"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return cfg, weights, outputs[:len(c.heads)], outputs[len(c.heads):], np.load(self.path("o.npz"))

    def check(self, name, c):
        cfg, weights, logits, decoded, ours = self.run_both(name, c)
        for (layer, head), theirs in zip(c.heads, logits):
            mine = ours[f"logits.{layer:03d}"].reshape(theirs.shape)
            self.assertGreater(np.abs(theirs).max(), .1)
            self.assertLess(np.abs(mine - theirs).max(), 2e-4 * np.abs(theirs).max(), f"{name}: logits of layer {layer}")
        self.compare_boxes(cfg, weights, c, decoded)

    def compare_boxes(self, cfg, weights, c, decoded):
        """Every class of every predictor above the threshold, without merging. OpenCV leaves out what is not above .2."""
        result = critpath("explain", cfg, weights, "photo.png", "-thresh", ".25", "-nms", "0", "-no-picture", "-json",
                          "-layers", "-quiet", "-out", self.path("x"), folder=self.folder)
        self.assertEqual(result.code, 0, result.err)
        rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in decoded])
        theirs = sorted((float(row[5 + k]), k, *map(float, row[:4])) for row in rows for k in range(2) if row[5 + k] > .25)
        ours = sorted((d["probability"], d["class"], *relative(d["photo_xywh"], c.size)) for d in json.loads(result.out)["prediction"])
        self.assertGreater(len(ours), 10)
        self.assertEqual(len(ours), len(theirs))
        theirs = np.array(theirs)
        for box in ours: # each has a partner; the order of almost equal probabilities is chance
            error = np.abs(theirs - box) / np.maximum(1, np.abs(box))
            self.assertLess(error.max(axis=1).min(), 1e-3, box)

    def test_the_hosts_own_verb(self):
        """`detector test`, which letterboxes (the photo is square), decodes and merges by patches/0015."""
        for name, c in (("yolov4-tiny", yolov4_tiny()), ("yolov4", yolov4()), ("yolov7-tiny", yolov7_tiny())):
            with self.subTest(network=name):
                cfg, weights, _, decoded, _ = self.run_both(name, c)
                rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in decoded])
                theirs = []
                for k in range(2):
                    kept = []
                    for row in sorted((r for r in rows if r[5 + k] > .25), key=lambda r: -r[5 + k]):
                        if all(distance_iou(other[:4], row[:4]) <= .45 for other in kept):
                            kept.append(row)
                    theirs += [(f"c{k}", round(100 * float(row[5 + k]), 3)) for row in kept]
                write(self.path("names"), "c0\nc1\n")
                write(self.path("x.data"), "names=names\n")
                done = run("detector", "test", "x.data", cfg, weights, "photo.png", "-thresh", ".25", folder=self.folder,
                           ASAN_OPTIONS="detect_leaks=0")
                self.assertEqual(done.code, 0, done.err)
                ours = [line.split(": ") for line in done.out.splitlines() if line.endswith("%")]
                self.assertGreater(len(ours), 10)
                self.assertEqual(len(ours), len(theirs))
                for (a, percent), (b, expected) in zip(sorted(([a, float(p[:-1])] for a, p in ours)), sorted(theirs)):
                    self.assertEqual(a, b)
                    self.assertLess(abs(percent - expected), .51 + .05)

    def test_yolov4_tiny(self):
        self.check("yolov4-tiny", yolov4_tiny())

    def test_yolov4(self):
        self.check("yolov4", yolov4())

    def test_yolov7_tiny(self):
        self.check("yolov7-tiny", yolov7_tiny())

    def test_efficientnet(self):
        self.check("efficientnet", efficientnet())


if __name__ == "__main__":
    unittest.main(verbosity=1)
