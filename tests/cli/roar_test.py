"""roar: the maps of all pictures, trainings with a fixed seed, a run that is killed at any time and goes on, what is wrong."""
import csv
import glob
import json
import os
import signal
import subprocess
import time
import unittest

import numpy

from harness import DARKNET, FolderTest, main, png, run, write

CFG = """[net]
batch=4
width=12
height=12
channels=3
learning_rate=0.02
momentum=0.9
max_batches=4
min_crop=10
max_crop=14
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=relu
[avgpool]
[convolutional]
filters=2
size=1
activation=linear
[softmax]
"""


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file.read().split("\n") if line]


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Roar(FolderTest):
    def setUp(self):
        super().setUp()
        for part in ("train", "test"):
            names = []
            for i in range(8):
                kind = ("cat", "dog")[i % 2]
                os.makedirs(self.path("set", part, kind), exist_ok=True)
                names.append(f"set/{part}/{kind}/{i}.png")
                write(self.path(names[-1]), png(12 + i % 3, 12))
            write(self.path(part + ".list"), "\n".join(names) + "\n")
        write(self.path("labels"), "/cat/\n/dog/\n")
        write(self.path("net.cfg"), CFG)
        write(self.path("set.data"), "classes=2\ntrain=train.list\nvalid=test.list\nlabels=labels\nbackup=.\n")
        self.train("-seed", "3")
        os.rename(self.path("net.weights"), self.path("w.weights"))
        self.command = ("roar", "set.data", "net.cfg", "w.weights", "-threads", "1")
        self.quick = ("-methods", "gradient", "-fractions", ".5", "-repeats", "1", "-road", "3")

    def train(self, *arguments):
        result = run("classifier", "train", "set.data", "net.cfg", "-nogpu", *arguments, folder=self.folder, OPENBLAS_NUM_THREADS="1")
        self.assertEqual(result.code, 0, result.err)

    def refused(self, *arguments):
        result = self.critpath(*arguments)
        self.assertEqual(result.code, 2, result.out)
        return result.err

    def test_the_seed_fixes_a_training(self):
        weights = []
        for seed in ("3", "3", "4"):
            self.train("-seed", seed)
            weights.append(read(self.path("net.weights")))
        self.assertEqual(weights[0], weights[1])
        self.assertNotEqual(weights[0], weights[2])

    def test_maps_pictures_and_steps(self):
        self.done(*self.command, "-methods", "gradient", "-fractions", ".25,.5", "-repeats", "2", "-kar", "-road", "3", "-out", "r")
        manifest, *steps = lines(self.path("r/roar.jsonl"))
        self.assertEqual([m["name"] for m in manifest["plan"]["maps"]], ["gradient", "centre", "random"])
        # 2 with nothing removed, 3 maps x 2 directions x 2 fractions x 2 repeats, ROAD of 3 maps
        self.assertEqual(sorted(s["index"] for s in steps), list(range(2 + 24 + 3)))
        self.assertEqual({s["removed"] for s in steps if s["step"] == "train"}, {"nothing", "highest", "lowest"})
        for step in steps:
            if step["step"] == "train":
                self.assertIn(step["accuracy"] * 8, range(9))
            else:
                self.assertEqual(len(step["probability"]), 3)
        with open(self.path("r/roar.csv"), encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 3 * 2 * 3 * 2)
        for row in rows:
            at = [s for s in steps if s.get("fraction") == float(row["fraction"]) and s["repeat"] == int(row["repeat"])
                  and (s["map"], s["removed"]) in ((row["map"], row["removed"]), (None, "nothing"))]
            self.assertEqual([s["accuracy"] for s in at], [float(row["accuracy"])])
        self.assertEqual(read(self.path("r/roar.png"))[:4], b"\x89PNG")
        maps = numpy.load(self.path("r/maps/gradient.train.npy"))
        self.assertEqual((maps.shape, maps.dtype), ((8, 12, 12), numpy.float32))
        noise = numpy.load(self.path("r/maps/random.train.npy"))
        self.assertFalse((noise[0] == noise[1]).all(), "each picture has a noise of its own")

    def test_a_share_of_the_pixels_has_the_mean_colour(self):
        self.done(*self.command, "-methods", "centre", "-fractions", ".5", "-repeats", "1", "-road", "0", "-out", "r")
        pictures = sorted(glob.glob(self.path("r/pictures/train/set/train/*/*.ppm")))
        self.assertEqual(len(pictures), 8)
        # The last pictures written are those of the row `random`: half of 144 pixels have one colour, scattered.
        planes = [numpy.frombuffer(read(p).split(b"\n", 3)[3], numpy.uint8).reshape(12, 12, 3) for p in pictures]
        maps = numpy.load(self.path("r/maps/random.train.npy"))
        order = {name: i for i, name in enumerate(read(self.path("train.list")).decode().split())}
        colours = set()
        for name, plane in zip(pictures, planes):
            source = os.path.relpath(name, self.path("r/pictures/train"))[:-len(".ppm")]
            ranked = maps[order[source]].ravel().argsort()[::-1][:72]
            colours |= {tuple(c) for c in plane.reshape(-1, 3)[ranked]}
            self.assertGreater(len({tuple(c) for c in plane.reshape(-1, 3)}), 10)
        self.assertEqual(len(colours), 1)

    def test_names_move_no_cursor(self):
        result = self.done(*self.command, *self.quick, "-out", "r\x1b[2J")
        self.assertIn("files: r\\x1b[2J/roar.jsonl", result.out)
        result = self.done(*self.command, *self.quick, "-road", "0", "-out", "no-road") # a column without values, not nan
        self.assertRegex(result.out, r"\n  gradient .* +-\n")
        self.assertNotIn("nan", result.out)
        self.assertNotIn("\x1b", result.out + result.err)
        # `watch` shows what a log and a folder of checkpoints hold.
        os.makedirs(self.path("checkpoints"))
        os.rename(self.path("w.weights"), self.path("checkpoints/net_\x1b[2J.weights"))
        result = self.done("watch", "checkpoints", "net.cfg", "-data", "set.data", "-no-picture", "-out", "w\x1b[2J")
        self.assertIn("net_\\x1b[2J.weights", result.out)
        self.assertIn("w\\x1b[2J.jsonl", result.out)
        self.assertNotIn("\x1b", result.out + result.err)
        log = read(self.path("w\x1b[2J.jsonl")).replace(b"convolutional", b"conv\\u001b[2J")
        self.assertIn(b"conv\\u001b", log)
        write(self.path("log.jsonl"), log)
        result = self.done("watch", "log.jsonl", "-layers", "-no-picture", "-out", "l")
        self.assertIn("conv?[2J", result.out) # which the log's reader leaves of it
        self.assertNotIn("\x1b", result.out + result.err)

    def test_killed_at_any_time_it_goes_on(self):
        run_of = (*self.command, *self.quick, "-repeats", "2")
        self.done(*run_of, "-out", "whole")
        for wait in (.05, .2, .5):
            child = subprocess.Popen([DARKNET, "critpath", *run_of, "-out", "part", "-resume"], cwd=self.folder,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(wait)
            child.send_signal(signal.SIGKILL)
            child.wait()
        self.done(*run_of, "-out", "part", "-resume")
        self.assertEqual(read(self.path("whole/roar.csv")), read(self.path("part/roar.csv")))
        for name in ("gradient.train", "gradient.valid", "random.train"):
            self.assertEqual(read(self.path(f"whole/maps/{name}.npy")), read(self.path(f"part/maps/{name}.npy")))

    def test_maps_cut_anywhere_are_gone_on_with(self):
        self.done(*self.command, *self.quick, "-out", "r")
        whole = read(self.path("r/maps/gradient.train.npy"))
        for size in (0, 50, len(whole) - 577, len(whole) - 3):
            os.truncate(self.path("r/maps/gradient.train.npy"), size)
            self.done(*self.command, *self.quick, "-out", "r", "-resume")
            self.assertEqual(read(self.path("r/maps/gradient.train.npy")), whole)

    def test_steps_that_are_done_are_not_done_again(self):
        self.done(*self.command, *self.quick, "-out", "r")
        before = read(self.path("r/roar.jsonl"))
        os.unlink(self.path("r/train.log"))
        result = self.done(*self.command, *self.quick, "-out", "r", "-resume")
        self.assertIn("goes on after 7 of 7 steps", result.err)
        self.assertEqual(before, read(self.path("r/roar.jsonl")))
        self.assertFalse(os.path.exists(self.path("r/train.log")))
        summary = json.loads(self.done(*self.command, *self.quick, "-out", "r", "-resume", "-json").out)
        self.assertEqual(list(summary["maps"]), ["gradient", "centre", "random"])

    def test_what_is_wrong_is_named(self):
        self.done(*self.command, *self.quick, "-out", "r")
        self.assertIn("seed", self.refused(*self.command, *self.quick, "-out", "r", "-resume", "-seed", "9"))
        self.assertIn("ascend", self.refused(*self.command, "-fractions", ".5,.3"))
        self.assertIn("ascend", self.refused(*self.command, "-fractions", "0,.3"))
        self.assertIn(".data file", self.refused("roar", "net.cfg", "w.weights"))
        self.assertIn("blanks", self.refused(*self.command, "-out", "a b"))
        self.assertIn("photo.png", self.refused(*self.command, "photo.png"))
        os.makedirs(self.path("x", "dog"))
        self.assertIn("2 of the labels", self.refused(*self.command, *self.quick, "-out", "x/dog/r"))
        write(self.path("wide.cfg"), CFG.replace("width=12", "width=16"))
        self.assertIn("16x12", self.refused("roar", "set.data", "wide.cfg", "w.weights"))
        write(self.path("half.data"), "classes=2\ntrain=train.list\nlabels=labels\n")
        self.assertIn("no valid=", self.refused("roar", "half.data", *self.command[2:]))


if __name__ == "__main__":
    main()
