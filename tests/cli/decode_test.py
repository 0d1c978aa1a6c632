"""`decode`: images that are made, samples of a list, and what goes wrong."""
import json

import os
import re
import unittest

import numpy

from harness import ROOT, FolderTest, critpath, main, png, write

SIGNS = [os.path.join(ROOT, *path) for path in
         (("cfg", "tiny-yolo-signs.data"), ("cfg", "tiny-yolo-signs.cfg"), ("weights", "tiny-yolo-signs.weights"))]
PHOTO = os.path.join(ROOT, "examples", "signs-two.png")
BARE = os.path.join(ROOT, "examples", "signs-bare.png")


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


class Decode(FolderTest):
    def decode(self, *options, photo=PHOTO, **more):
        return critpath("decode", *SIGNS, photo, *options, folder=self.folder, **more)

    def test_synthesis(self):
        """Whole network, active subnet and every selector's path; the same bytes at any number of threads."""
        done = self.decode("-class", "cross", "-iters", 12, "-selectors", "mct,random", "-sparsity", ".9", "-out", "a", "-threads", 1)
        self.assertEqual((done.code, done.err), (0, ""))
        again = self.decode("-class", "cross", "-iters", 12, "-selectors", "mct,random", "-sparsity", ".9", "-out", "b", "-threads", 2)
        self.assertEqual(again.code, 0, again.err)
        for name in "whole", "active", "mct", "random":
            for ending in ".png", ".npy", ".transparency.npy":
                self.assertEqual(read(self.folder, f"a-synthesis-{name}{ending}"), read(self.folder, f"b-synthesis-{name}{ending}"))
            image = numpy.load(os.path.join(self.folder, f"a-synthesis-{name}.npy"))
            self.assertEqual(image.shape, (3, 224, 224))
            self.assertTrue(image.min() >= 0 and image.max() <= 1)
        self.assertEqual(read(self.folder, "a-synthesis.png"), read(self.folder, "b-synthesis.png"))
        images = json.loads(read(self.folder, "a.json"))["synthesis"]
        self.assertEqual([i["name"] for i in images], [f"synthesis-{n}" for n in ("whole", "active", "mct", "random")])
        self.assertTrue(all(i["last"] > i["first"] for i in images[:3]), images)
        other = self.decode("-class", "cross", "-iters", 12, "-seed", 5, "-out", "c")
        self.assertEqual(other.code, 0, other.err)
        self.assertNotEqual(read(self.folder, "a-synthesis-whole.npy"), read(self.folder, "c-synthesis-whole.npy"))

    def test_other_parameters(self):
        write(os.path.join(self.folder, "list"), f"{PHOTO}\n{BARE}\n")
        for parameters in "pixels", "maco":
            done = self.decode("-parameters", parameters, "-spectrum", "list", "-iters", 6, "-out", parameters)
            self.assertEqual(done.code, 0, done.err)

    def test_accents_and_neurons(self):
        done = self.decode("-class", "cross", "-accentuate", "-neuron", "-iters", 10, "-out", "a")
        self.assertEqual((done.code, done.err), (0, ""))
        facts = json.loads(read(self.folder, "a.json"))
        self.assertNotIn("synthesis", facts)
        self.assertTrue(facts["accentuation"][0]["last"] > facts["accentuation"][0]["first"])
        self.assertRegex(facts["neuron"][0]["caption"], r"^mct: layer \d+, channel \d+ ")
        for name in "a-accentuation.png", "a-neuron.png", "a-accentuation-mct.npy", "a-neuron-mct.npy":
            self.assertTrue(os.path.exists(os.path.join(self.folder, name)), name)

    def test_samples(self):
        """Pictures with a sign come before a grey one; a run that goes on gives the same; unreadable ones are said."""
        grey = write(os.path.join(self.folder, "grey.png"), png(64, 64, rows=b"".join(b"\0" + b"\x80" * 192 for _ in range(64))))
        lines = [grey, PHOTO, os.path.join(self.folder, "missing.png"), BARE]
        write(os.path.join(self.folder, "list"), "\n".join(lines) + "\n")
        done = self.decode("-class", "cross", "-samples", "list", "-channels", 3, "-crops", 2, "-out", "a")
        self.assertEqual(done.code, 2, done.err) # the results are there all the same
        self.assertIn("critpath: ", done.err)
        self.assertIn("missing.png", done.err)
        self.assertIn("1 pictures could not be read", done.err)
        self.assertIn("of 3 pictures", done.out)
        channels = json.loads(read(self.folder, "a.json"))["samples"]
        self.assertEqual(len(channels), 3)
        for channel in channels:
            self.assertLessEqual(len(channel["samples"]), 2)
            self.assertNotIn(grey, [s["image"] for s in channel["samples"]])
            shares = [s["share"] for s in channel["samples"]]
            self.assertEqual(shares, sorted(shares, reverse=True))
        ledger = read(self.folder, "a.samples.jsonl")
        self.assertEqual(ledger.count(b"\n"), 5)
        sheet = read(self.folder, "a.samples.png")
        write(os.path.join(self.folder, "a.samples.jsonl"), b"\n".join(ledger.split(b"\n")[:3]) + b"\n{\"ind")
        done = self.decode("-class", "cross", "-samples", "list", "-channels", 3, "-crops", 2, "-out", "a", "-resume", "-quiet")
        self.assertEqual(done.code, 2, done.err)
        self.assertEqual(read(self.folder, "a.samples.jsonl"), ledger)
        self.assertEqual(read(self.folder, "a.samples.png"), sheet)
        one = self.decode("-class", "ring", "-samples", "list", "-layer", channels[0]["layer"], "-channels", 2, "-out", "a", "-resume")
        self.assertEqual(one.code, 2, one.err) # another answer reads the same lines
        one = self.decode("-class", "ring", "-samples", "list", "-channel", "4:11", "-out", "c")
        self.assertEqual([(c["layer"], c["channel"]) for c in json.loads(read(self.folder, "c.json"))["samples"]], [(4, 11)], one.err)
        self.assertEqual({c["layer"] for c in json.loads(read(self.folder, "a.json"))["samples"]}, {channels[0]["layer"]})
        write(os.path.join(self.folder, "a.samples.jsonl"), re.sub(rb"\[\[", b"[[1,0.5,99999999],[", ledger))
        bad = self.decode("-class", "cross", "-samples", "list", "-channels", 3, "-out", "a", "-resume")
        self.assertEqual(bad.code, 2)
        self.assertIn("99999999", bad.err)

    def test_path_file(self):
        done = critpath("path", *SIGNS, PHOTO, "-class", "cross", "-sparsity", ".9", "-out", "p", folder=self.folder)
        self.assertEqual(done.code, 0, done.err)
        done = self.decode("-class", "cross", "-path", "p.path.npz", "-iters", 3, "-out", "a")
        self.assertEqual(done.code, 0, done.err)
        self.assertIn("synthesis-path", json.loads(read(self.folder, "a.json"))["synthesis"][2]["name"])

    def test_refusals(self):
        write(os.path.join(self.folder, "empty"), "\n")
        write(os.path.join(self.folder, "list"), PHOTO + "\n")
        for options, words in ((["-thresh", "1"], "nothing to decode"), (["-box", "all", "-thresh", ".1"], "one answer at a time"),
                               (["-parameters", "maco"], "-spectrum"), (["-samples", "empty"], "names no picture"),
                               (["-samples", "absent"], "absent"), (["-selectors", "mcd"], "mct"), (["-layer", "4000", "-samples", "list"], "-layer"), (["-channel", "4", "-samples", "list"], "LAYER:CHANNEL"),
                               (["-channel", "4:90000", "-samples", "list"], "fewer channels"),
                               (["-sparsity", ".9,.99"], "one -sparsity"), (["-path", "x", "-sparsity", ".9"], "-path is a path")):
            done = self.decode(*options)
            self.assertEqual(done.code, 2, (options, done.err))
            self.assertIn(words, done.err, options)
            self.assertEqual(done.err.count("\n"), 1, done.err)
        done = self.decode(BARE)
        self.assertEqual(done.code, 2)
        self.assertIn("one photo at a time", done.err)


if __name__ == "__main__":
    main()
