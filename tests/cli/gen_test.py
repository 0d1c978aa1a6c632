"""`gen`: a generator is learned, predicts path files that other commands take, and is measured; wrong files are refused."""
import json
import os
import random
import unittest

import numpy

from harness import ROOT, FolderTest, main, network, png, write

SIGNS = [os.path.join(ROOT, *path) for path in
         (("cfg", "tiny-yolo-signs.data"), ("cfg", "tiny-yolo-signs.cfg"), ("weights", "tiny-yolo-signs.weights"))]
PHOTOS = [os.path.join(ROOT, "examples", f"signs-{name}.png") for name in ("two", "bare", "sticker")]
CIFAR = [os.path.join(ROOT, *path) for path in
         (("cfg", "cifar10.data"), ("cfg", "resnet8-cifar.cfg"), ("weights", "resnet8-cifar.weights"))]


def picture(seed):
    """32 x 32 pixels of two colours and noise."""
    draw = random.Random(seed)
    a, b = ([draw.randrange(256) for _ in range(3)] for _ in range(2))
    rows = b"".join(b"\0" + bytes(max(0, min(255, c + draw.randrange(-20, 20))) for x in range(32)
                                  for c in (a if (x // 8 + y // 8) % 2 else b)) for y in range(32))
    return png(32, 32, rows=rows)


class Gen(FolderTest):
    def pictures(self, n):
        for k in range(n):
            write(self.path(f"{k}.png"), picture(k))
        write(self.path("list"), "".join(f"{k}.png\n" for k in range(n)) + "missing.png\n")

    def bytes(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def facts(self):
        return json.loads(self.bytes("e.json"))

    def test_classifier(self):
        """train, path, and what takes the path; the same bytes at any number of threads; eval's table."""
        self.pictures(24)
        options = ["-list", "list", "-epochs", 2, "-batch", 8, "-width", 16, "-rate", ".01", "-weight", 2]
        done = self.done("gen", "train", *CIFAR, *options, "-out", "a", "-threads", 1)
        self.assertIn("24 answers of 24 pictures; 960 channels have gates", done.out)
        self.assertIn("missing.png", done.err)
        self.assertEqual(done.out.count("epoch "), 2)
        self.done("gen", "train", *CIFAR, *options, "-out", "b", "-threads", 2)
        self.assertEqual(self.bytes("a.gen.npz"), self.bytes("b.gen.npz"))
        done = self.done("gen", "path", *CIFAR, "3.png", "-generator", "a.gen.npz", "-out", "p")
        self.assertRegex(done.out, r"path: gen, [\d,]+ of 294,912 neurons; alone it (keeps|loses) the answer")
        path = numpy.load(self.path("p.path.npz"))
        for name in path.files:
            if name.startswith("layer_"): # channels are on or off as a whole
                planes = path[name].reshape(path[name].shape[0], -1)
                self.assertTrue((planes.all(1) | ~planes.any(1)).all(), name)
        self.done("grad", *CIFAR, "3.png", "-path", "p.path.npz", "-out", "g")
        self.done("path", *CIFAR, "3.png", "-out", "q")
        self.done("compare", *CIFAR, "p.path.npz", "q.path.npz")
        done = self.done("gen", "eval", *CIFAR, "-generator", "a.gen.npz", "-list", "list", "-selectors", "mct,random", "-out", "e")
        facts = self.facts()
        self.assertEqual([m["method"] for m in facts["methods"]], ["gen", "mct", "random"])
        self.assertEqual(len({m["sparsity"] for m in facts["methods"]}), 1)
        for method in facts["methods"]:
            self.assertTrue(0 <= method["kept"] <= 1 and method["kl"] >= 0 and 0 <= method["cross_class_iou"] <= 1, method)

    def test_detector(self):
        write(self.path("list"), "\n".join(PHOTOS) + "\n")
        self.done("gen", "train", *SIGNS, "-list", "list", "-epochs", 1, "-out", "a", "-without", "alike")
        done = self.done("gen", "path", *SIGNS, PHOTOS[0], "-class", "cross", "-generator", "a.gen.npz", "-json", "-out", "p")
        facts = json.loads(done.out)
        none = self.done("gen", "path", *SIGNS, PHOTOS[0], "-class", "plus", "-generator", "a.gen.npz", "-out", "none")
        self.assertRegex(none.err, "no detection of plus above -thresh 0.5; the best below is .*; no path")
        self.assertTrue(facts["keeps"] and facts["probability"] > .9)

    def test_constant_gates_show_in_the_cross_class_column(self):
        """A generator that has learned nothing opens everything: IoU within and across classes is 1 alike."""
        self.pictures(6)
        self.done("gen", "train", *CIFAR, "-list", "list", "-epochs", 1, "-without", "sparsity", "-out", "a")
        self.done("gen", "eval", *CIFAR, "-generator", "a.gen.npz", "-list", "list", "-selectors", "random", "-out", "e")
        gen = self.facts()["methods"][0]
        self.assertGreater(gen["cross_class_iou"], .99)

    def test_refusals(self):
        self.pictures(2)
        self.done("gen", "train", *CIFAR, "-list", "list", "-epochs", 1, "-width", 4, "-out", "a")
        self.done("path", *CIFAR, "1.png", "-out", "p")
        write(self.path("none"), "missing.png\n")
        good = self.bytes("a.gen.npz")
        write(self.path("short.npz"), good[:len(good) // 2])
        for words, message in ((["train", *CIFAR], "-list"), (["train", *CIFAR, "-list", "none"], "none of 1 pictures"),
                               (["learn", *CIFAR], "train, path or eval"), ([], "train, path or eval"),
                               (["path", *CIFAR, "1.png"], "-generator"), (["eval", *CIFAR, "-generator", "a.gen.npz"], "-list"),
                               (["path", *SIGNS, PHOTOS[0], "-generator", "a.gen.npz"], "made with another cfg"),
                               (["path", *CIFAR, "1.png", "-generator", "p.path.npz"], "a critpath generator is needed"),
                               (["path", *CIFAR, "1.png", "-generator", "short.npz"], "short.npz"),
                               (["train", *CIFAR, "1.png", "-list", "list"], "pictures come from -list"),
                               (["path", *CIFAR, "1.png", "-generator", "a.gen.npz", "-unit", "3:5"], "paths of classes")):
            done = self.critpath("gen", *words)
            self.assertEqual(done.code, 2, (words, done.err))
            self.assertIn(message, done.err, words)


if __name__ == "__main__":
    main()
