"""Pictures: what -picture, -colour, -alpha and -blur change, and `picture`, which draws them again from files."""
import json
import os
import struct
import unittest

import numpy

from harness import FolderTest, main, network, png, write

RESNET = network("resnet")
YOLO = network("yolov3")
BOXED = (*YOLO, "photo.png", "-thresh", ".2")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def size(path):
    return struct.unpack(">II", read(path)[16:24])


class Explained(FolderTest):
    def test_kinds(self):
        sizes, files = {}, {}
        for kind in ("sheet", "heat", "zoom", "signed"):
            self.done("explain", *BOXED, "-out", kind, "-picture", kind)
            sizes[kind], files[kind] = size(self.path(kind + ".png")), read(self.path(kind + ".png"))
        self.assertEqual(sizes["sheet"][0], 3 * 600 + 2 * 16 + 2 * 20)
        self.assertEqual(sizes["heat"][0], 800 + 2 * 20)
        self.assertEqual(sizes["heat"][0], sizes["zoom"][0])
        self.assertEqual(len(set(files.values())), 4)
        self.done("explain", *BOXED, "-out", "default")
        self.assertEqual(read(self.path("default.png")), files["sheet"])
        for way in (("-picture", "none"), ("-no-picture",)):
            result = self.done("explain", *BOXED, "-out", "none", *way)
            self.assertNotIn("none.png", result.out)
            self.assertFalse(os.path.exists(self.path("none.png")))

    def test_looks(self):
        seen = set()
        looks = ((), ("-colour", "viridis"), ("-colour", "cividis"), ("-colour", "grey"), ("-alpha", ".4"),
                 ("-blur", "0"), ("-blur", ".05"))
        for i, look in enumerate(looks):
            self.done("explain", *RESNET, "photo.png", "-out", f"p{i}", *look)
            seen.add(read(self.path(f"p{i}.png")))
        self.assertEqual(len(seen), 7)
        self.done("explain", *RESNET, "photo.png", "-out", "same", "-colour", "inferno", "-alpha", ".85", "-blur",
                  ".01")
        self.assertIn(read(self.path("same.png")), seen)

    def test_the_title_names_a_target_that_is_not_the_class(self):
        titles = [json.loads(self.done("explain", *BOXED, "-json", "-out", "t", "-picture", "none", *target).out)
                  ["responses"][0]["paths"][0]["drawn"]["title"] for target in ((), ("-target", "objectness"))]
        self.assertEqual(titles[1], titles[0] + ": objectness")

    def test_blur_moves_the_region_that_is_printed(self):
        regions = [json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-out", "b", "-blur", blur).out)
                   ["responses"][0]["paths"][0]["map"]["where"] for blur in ("0", ".1")]
        self.assertNotEqual(regions[0], regions[1])

    def test_refused(self):
        for option, value, message in (("-picture", "all", "sheet|heat|zoom|signed|none"),
                                       ("-colour", "jet", "inferno"), ("-alpha", "1.1", "0 to 1"),
                                       ("-blur", ".6", "0 to 0.5")):
            result = self.critpath("explain", *RESNET, "photo.png", option, value)
            self.assertEqual(result.code, 2)
            self.assertIn(message, result.err)


class Again(FolderTest):
    def test_the_same_bytes(self):
        self.done("explain", *YOLO, "photo.png", "-thresh", ".61", "-box", "all", "-sparsity", ".9,.95", "-out", "dog")
        drawn = [name for name in self.files() if name.endswith(".png") and name.startswith("dog")]
        self.assertGreaterEqual(len(drawn), 4)
        for name in drawn:
            result = self.done("picture", name[:-4] + ".heat.npy", "photo.png", "-out", "again")
            self.assertIn("file: again.png", result.out)
            self.assertEqual(read(self.path("again.png")), read(self.path(name)), name)

    def test_every_look_of_it(self):
        self.done("explain", *BOXED, "-out", "dog")
        for look in (("-picture", "heat"), ("-picture", "zoom"), ("-colour", "grey"), ("-alpha", ".5"),
                     ("-blur", ".03")):
            self.done("explain", *BOXED, "-out", "want", *look)
            self.done("picture", "dog.heat.npy", "photo.png", "-out", "again.png", *look)
            self.assertEqual(read(self.path("again.png")), read(self.path("want.png")), look)
        self.done("explain", *BOXED, "-out", "want", "-picture", "signed")
        kept = read(self.path("dog.png"))
        self.done("picture", "dog.npy", "photo.png", "-picture", "signed")
        self.assertEqual(read(self.path("dog.gradient.png")), read(self.path("want.png")))
        self.assertEqual(read(self.path("dog.png")), kept) # the heat's, which explain drew

    def test_signed_heat_is_for_less_against(self):
        rows = numpy.arange(24 * 32, dtype=numpy.float32).reshape(24, 32)
        numpy.save(self.path("both.npy"), numpy.stack([rows, rows[::-1]]))
        numpy.save(self.path("less.npy"), rows - rows[::-1])
        for name in ("both", "less"):
            self.done("picture", name + ".npy", "photo.png", "-picture", "signed")
        self.assertEqual(read(self.path("both.png")), read(self.path("less.png")))

    def test_of_grad(self):
        self.done("explain", *BOXED, "-out", "dog")
        self.done("grad", *BOXED, "-path", "dog.path.npz", "-out", "map")
        self.done("picture", "dog.npy", "photo.png", "-out", "again")
        self.assertNotEqual(read(self.path("map.png")), read(self.path("dog.png")))
        self.assertEqual(size(self.path("map.png"))[0], size(self.path("again.png"))[0])
        # grad writes no .json file: what it prints with -json will do.
        line = self.done("grad", *BOXED, "-path", "dog.path.npz", "-out", "map", "-json").out
        write(self.path("map.json"), line)
        self.done("picture", "map.npy", "photo.png", "-out", "again")
        self.assertEqual(read(self.path("again.png")), read(self.path("map.png")))

    def test_letterbox_and_stretch(self):
        for letterbox in "01":
            self.done("explain", *BOXED, "-letterbox", letterbox, "-out", "dog")
            self.done("picture", "dog.heat.npy", "photo.png", "-out", "again")
            self.assertEqual(read(self.path("again.png")), read(self.path("dog.png")))

    def test_arrays_of_anybody(self):
        rows = numpy.random.default_rng(1).random((24, 32), dtype=numpy.float32)
        numpy.save(self.path("any.npy"), rows)
        self.done("picture", "any.npy", "photo.png")
        numpy.save(self.path("two.npy"), numpy.stack([rows, -rows]))   # heat and counter-evidence: the first counts
        self.done("picture", "two.npy", "photo.png")
        self.assertEqual(read(self.path("any.png")), read(self.path("two.png")))
        numpy.save(self.path("three.npy"), numpy.stack([rows, -rows, rows]))  # a gradient
        self.done("picture", "three.npy", "photo.png")
        self.assertNotEqual(read(self.path("any.png")), read(self.path("three.png")))
        numpy.save(self.path("zero.npy"), 0 * rows)
        self.done("picture", "zero.npy", "photo.png")
        printed = json.loads(self.done("picture", "zero.npy", "photo.png", "-json").out)
        self.assertEqual(printed, {"array": "zero.npy", "image": "photo.png", "picture": "zero.png"})

    def test_a_photo_of_another_size(self):
        self.done("explain", *BOXED, "-out", "dog")
        write(self.path("large.png"), png(80, 60))
        result = self.done("picture", "dog.heat.npy", "large.png", "-out", "again")
        self.assertIn("another size", result.err)

    def test_refused(self):
        numpy.save(self.path("any.npy"), numpy.ones((24, 32), numpy.float32))
        numpy.save(self.path("wide.npy"), numpy.ones((2, 2, 24, 32), numpy.float32))
        numpy.save(self.path("bool.npy"), numpy.ones((24, 32), bool))
        write(self.path("any.json"), "{")
        numpy.save(self.path("photo.npy"), numpy.ones((24, 32), numpy.float32))
        for arguments, message in ((("any.npy",), "needs <map.npy> <photo>, found 1"),
                                   (("wide.npy", "photo.png"), "is no map"), (("bool.npy", "photo.png"), "is no map"),
                                   (("any.npy", "none.png"), "none.png"), (("none.npy", "photo.png"), "none.npy"),
                                   (("any.npy", "photo.png"), "any.json"),
                                   (("photo.npy", "photo.png"), "would overwrite an input"),
                                   (("photo.npy", "photo.png", "-picture", "none", "-out", "x"), "nothing to do")):
            result = self.critpath("picture", *arguments)
            self.assertEqual(result.code, 2, arguments)
            self.assertIn(message, result.err)


if __name__ == "__main__":
    main()
