"""`prune`: what it writes is the network it reports, Darknet runs it, and bad input leaves nothing behind."""
import json
import os
import re
import struct
import zipfile

from harness import FolderTest, ROOT, main, network, png, run, write

RESNET = network("resnet")
SIGNS = [os.path.join(ROOT, *path) for path in
         (("cfg", "tiny-yolo-signs.data"), ("cfg", "tiny-yolo-signs.cfg"), ("weights", "tiny-yolo-signs.weights"))]
SCENE = os.path.join(ROOT, "examples", "signs-two.png")
YOLO = network("yolov3")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def filters(cfg):
    return [int(n) for n in re.findall(rb"(?:filters|output)=(\d+)", read(cfg))]


class Prune(FolderTest):
    def prune(self, *arguments, **options):
        return json.loads(self.done("prune", *arguments, "-json", "-quiet", **options).out)

    def make_path(self, name="photo", model=RESNET, *options):
        self.done("path", *model, "photo.png", "-sparsity", ".9", "-quiet", "-out", name, *options)
        return name + ".path.npz"

    def make_ones(self):
        """A path of all neurons, as anybody may write it: no meta.json."""
        layers = json.loads(self.done("layers", RESNET[0], "-json").out)["layers"]
        with zipfile.ZipFile(self.path("ones.npz"), "w") as archive:
            for layer in layers:
                if layer["neuron_layer"]:
                    header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {tuple(layer['output_chw'])}, }}"
                    header = header.ljust(117) + "\n"
                    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                    name = f"layer_{layer['layer']:03}_{layer['type']}.npy"
                    archive.writestr(name, content + b"\1" * layer["outputs"])
        return "ones.npz"

    def test_writes_what_it_says(self):
        report = self.prune(*RESNET, self.make_path(), "-keep", ".5", "-out", "small.cfg")
        self.assertEqual(self.files(), ["photo.path.npz", "photo.png", "small.cfg", "small.weights"])
        self.assertEqual((report["cfg"], report["weights"], report["paths"]), ("small.cfg", "small.weights", 1))
        self.assertEqual(os.path.getsize(self.path("small.weights")), 20 + 4 * report["parameters"])
        self.assertEqual(os.path.getsize(RESNET[1]), 20 + 4 * report["parameters_before"])
        self.assertEqual([layer["filters"] for layer in report["layers"]], filters(self.path("small.cfg")))
        self.assertEqual([layer["filters_before"] for layer in report["layers"]], filters(RESNET[0]))
        self.assertLessEqual(report["groups_kept"], round(.5 * report["groups_cuttable"]))
        layers = json.loads(self.done("layers", "small.cfg", "-json").out)
        self.assertEqual(sum(layer["macs"] for layer in layers["layers"]), report["macs"])
        last = report["layers"][-1]
        self.assertEqual(last["filters"], last["filters_before"])
        self.assertRegex(last["cannot_be_cut"][0]["reason"], r"read by layer \d+ \[softmax\]")

    def test_layers_that_are_all_but_gone_are_said(self):
        bare = self.critpath("prune", *SIGNS, SCENE, "-class", "ring", "-keep", ".03", "-out", "b")
        self.assertEqual(bare.code, 0, bare.err)
        self.assertRegex(bare.err, r"layers? [\d, ]+ (is|are) all but gone")
        self.assertNotIn("all but gone", self.critpath("prune", *SIGNS, SCENE, "-keep", ".9", "-floor", ".5", "-out", "c").err)

    def test_darknet_runs_it(self):
        self.prune(*RESNET, self.make_path(), "-keep", ".5", "-out", "small")
        write(self.path("net.data"), "classes=10\nlabels=names\nnames=names\ntop=2\n")
        write(self.path("names"), "".join(f"thing{i}\n" for i in range(1000)))
        stock = run("classifier", "predict", "net.data", "small.cfg", "small.weights", "photo.png", folder=self.folder,
                    ASAN_OPTIONS="detect_leaks=0")
        self.assertEqual(stock.code, 0, stock.err)
        ours = self.done("explain", "net.data", "small.cfg", "small.weights", "photo.png", "-no-picture", "-quiet").out
        found = re.findall(r"[0-9.]+%: thing\d+", stock.out)
        self.assertEqual(found, [": ".join(row) for row in re.findall(r"([0-9.]+%)  (thing\d+)", ours)[:len(found)]])
        self.assertTrue(found)

    def test_images_and_files_say_the_same(self):
        write(self.path("other.png"), png(30, 40))
        self.make_path()
        self.done("path", *RESNET, "other.png", "-sparsity", ".9", "-quiet", "-out", "other")
        options = ("-keep", ".4", "-out")
        self.prune(*RESNET, "photo.path.npz", "other.path.npz", *options, "a")
        self.prune(*RESNET, "photo.png", "other.png", "-sparsity", ".9", *options, "b")
        self.prune(*RESNET, "-sparsity", ".9", *options, "c", stdin=b"photo.png\nother.png\n")
        self.prune(*RESNET, "photo.path.npz", "other.png", "-sparsity", ".9", *options, "d")
        for name in "bcd":
            for ending in (".cfg", ".weights"):
                self.assertEqual(read(self.path("a" + ending)), read(self.path(name + ending)), name + ending)

    def test_by_default_whatever_a_path_holds_stays(self):
        report = self.prune(*RESNET, self.make_ones(), "-out", "same")
        self.assertEqual(report["parameters"], report["parameters_before"])
        self.assertEqual(read(self.path("same.weights")), read(RESNET[1]))
        report = self.prune(*RESNET, self.make_path(), "-out", "less")
        self.assertLess(report["parameters"], report["parameters_before"])
        more = self.prune(*RESNET, self.make_path(), self.make_path("floor", RESNET, "-floor", ".3"), "-out", "more")
        self.assertGreater(more["parameters"], report["parameters"])

    def test_chance_keeps_as_many(self):
        path = self.make_path()
        chosen = self.prune(*RESNET, path, "-keep", ".5", "-out", "chosen")
        drawn = self.prune(*RESNET, path, "-keep", ".5", "-random", 1, "-out", "drawn")
        self.prune(*RESNET, path, "-keep", ".5", "-random", 1, "-out", "again")
        self.assertEqual(drawn["layers"], chosen["layers"])
        self.assertTrue(drawn["random"] and not chosen["random"])
        self.assertEqual(read(self.path("drawn.cfg")), read(self.path("chosen.cfg")))
        self.assertEqual(read(self.path("drawn.weights")), read(self.path("again.weights")))
        self.assertNotEqual(read(self.path("drawn.weights")), read(self.path("chosen.weights")))

    def test_means_of_what_goes(self):
        plain = self.prune(*RESNET, "photo.png", "-keep", ".5", "-out", "plain")
        moved = self.prune(*RESNET, "photo.png", "-keep", ".5", "-removed", "mean", "-out", "moved")
        self.assertEqual((plain["removed"], moved["removed"]), ("zero", "mean"))
        self.assertEqual(read(self.path("plain.cfg")), read(self.path("moved.cfg")))
        a, b = read(self.path("plain.weights")), read(self.path("moved.weights"))
        self.assertEqual(len(a), len(b))
        different = sum(a[i:i + 4] != b[i:i + 4] for i in range(20, len(a), 4))
        self.assertTrue(0 < different <= sum(layer["filters"] for layer in plain["layers"]), different)

    def test_detector(self):
        report = self.prune(*YOLO, "photo.png", "-box", "all", "-thresh", ".6", "-keep", ".6", "-out", "small")
        self.assertGreater(report["paths"], 1)
        self.assertLess(report["macs"], report["macs_before"])
        result = self.critpath("prune", *YOLO, "photo.png", "-thresh", "1", "-out", "none")
        self.assertEqual(result.code, 2)
        self.assertRegex(result.err, r"photo.png: no detection above -thresh 1; the best below is class \d .*; left out\n(?s:.*)critpath: no path")
        self.assertNotIn("none.cfg", self.files())
        reasons = [kept["reason"] for layer in report["layers"] for kept in layer["cannot_be_cut"]]
        self.assertTrue(any("[yolo]" in reason for reason in reasons), reasons)
        self.done("explain", "small.cfg", "small.weights", "photo.png", "-thresh", ".0001", "-quiet", "-no-picture")

    def test_accuracy(self):
        """What explain says of each picture, counted here."""
        classes = json.loads(self.done("explain", *RESNET, "photo.png", "-json", "-quiet", "-out", "e").out)
        top = classes["prediction"][0]["class"]
        pictures = []
        for i in range(6):
            folder = f"c{top if i % 2 else (top + 1) % 3}_"
            os.makedirs(self.path(folder), exist_ok=True)
            pictures.append(f"{folder}/{i}.png")
            write(self.path(pictures[-1]), png(24 + 3 * i, 24 + 3 * i))
        write(self.path("list"), "\n".join(pictures) + "\n")
        write(self.path("labels"), "".join(f"c{i}_\n" for i in range(1000)))
        write(self.path("net.data"), "classes=10\nlabels=labels\nnames=labels\n")
        report = self.prune("net.data", *RESNET, self.make_path(), "-keep", ".6", "-valid", "list", "-out", "small")
        for model, key in ((RESNET, "top1_before"), (("small.cfg", "small.weights"), "top1")):
            right = 0
            for picture in pictures:
                said = json.loads(self.done("explain", *model, picture, "-json", "-quiet", "-letterbox", "0",
                                            "-no-picture", "-out", "e").out)
                right += f"c{said['prediction'][0]['class']}_" == picture.split("/")[0]
            self.assertEqual((report[key]["pictures"], report[key]["right"]), (6, right))
            self.assertGreaterEqual(report[key]["right_among_present"], right)
        text = self.done("prune", "net.data", *RESNET, "photo.path.npz", "-keep", ".6", "-valid", "list", "-quiet",
                         "-out", "small").out
        self.assertRegex(text, r"(?m)^top-1 of 6 pictures: [0-9.]+%, before [0-9.]+%; among the classes in the list: ")
        self.assertRegex(text, r"(?m)^cannot be cut: \d+ filters of layer \d+ \[\w+\]: read by layer \d+ \[softmax\]$")


class BadInput(FolderTest):
    def refused(self, *arguments, says=(), stdin=b"", allowed=()):
        before = self.files()
        result = self.critpath("prune", *arguments, stdin=stdin)
        self.assertEqual(result.code, 2, result.err + result.out)
        self.assertEqual(result.out, "")
        self.assertRegex(result.err, r"\Acritpath: [^\n]+\n\Z")
        for word in says:
            self.assertIn(word, result.err)
        self.assertEqual(self.files(), before)

    def test_options(self):
        self.done("path", *RESNET, "photo.png", "-quiet", "-out", "photo")
        good = (*RESNET, "photo.path.npz")
        self.refused(*good, says=["-out is missing"])
        self.refused(*good, "-out", "small/", says=["small"])
        self.refused(*good, "-out", "none/small", says=["none", "does not exist"])
        os.mkdir(self.path("taken.cfg"))
        self.refused(*good, "-out", "taken", says=["taken.cfg", "no regular file"])
        for option, value in (("-keep", "0"), ("-keep", "1.5"), ("-keep", "half"), ("-random", "0"), ("-floor", "2")):
            self.refused(*good, "-out", "small", option, value, says=[option])
        self.refused(*good, "-out", "small", "-kep", ".5", says=["-kep", "-keep"])
        self.refused(*good, "-out", "small", "-sparsity", ".5,.9", says=["-sparsity", "2"])
        self.refused(*good, "-out", "small", "-valid", "list", says=["-valid", ".data"])
        self.refused(*good, "-out", "small", "-removed", "mean", says=["-removed mean", "images"])
        self.refused(RESNET[0], "-out", "small", says=["<weights>"])
        self.refused(*RESNET, "-out", "small", says=["no image"])
        write(self.path("own.cfg"), read(RESNET[0]))
        write(self.path("own.weights"), read(RESNET[1]))
        self.refused("own.cfg", "own.weights", "photo.path.npz", "-out", "own", says=["own.cfg", "overwrite"])

    def test_files(self):
        self.done("path", *YOLO, "photo.png", "-thresh", ".005", "-quiet", "-out", "yolo")
        self.refused(*RESNET, "yolo.path.npz", "-out", "small", says=["yolo.path.npz", "another cfg"])
        self.done("path", *RESNET, "photo.png", "-quiet", "-out", "photo")
        weights = bytearray(read(RESNET[1]))
        weights[-1] ^= 1
        write(self.path("other.weights"), bytes(weights))
        self.refused(RESNET[0], "other.weights", "photo.path.npz", "-out", "small", says=["another weights"])
        write(self.path("cut.npz"), read(self.path("photo.path.npz"))[:-200])
        self.refused(*RESNET, "cut.npz", "-out", "small", says=["cut.npz"])
        write(self.path("picture.npz"), png(8, 8))
        self.refused(*RESNET, "picture.npz", "-out", "small", says=["picture.npz"])
        self.refused(*RESNET, "none.npz", "-out", "small", says=["none.npz"])
        write(self.path("empty.npz"), b"")
        self.refused(*RESNET, "empty.npz", "-out", "small", says=["empty.npz"])
        self.refused(*RESNET, "none.png", "-out", "small", says=["none.png"])
        write(self.path("short.weights"), read(RESNET[1])[:-4])
        self.refused(RESNET[0], "short.weights", "photo.path.npz", "-out", "small", says=["short.weights", "bytes"])

    def test_valid_lists(self):
        self.done("path", *RESNET, "photo.png", "-quiet", "-out", "photo")
        write(self.path("labels"), "".join(f"c{i}_\n" for i in range(10)))
        write(self.path("net.data"), "classes=10\nlabels=labels\n")
        write(self.path("bare.data"), "classes=10\n")
        good = ("net.data", *RESNET, "photo.path.npz", "-out", "small", "-valid")
        self.refused(*good, "none", says=["none"])
        write(self.path("list"), "\n\n")
        self.refused(*good, "list", says=["list", "no picture"])
        write(self.path("list"), "photo.png\n")
        self.refused(*good, "list", says=["photo.png", "labels"])
        write(self.path("list"), "c1_none.png\n")
        self.refused(*good, "list", says=["c1_none.png"])
        write(self.path("list"), "c1_photo.png\n")
        self.refused("bare.data", *good[1:], "list", says=["bare.data", "labels"])

    def test_a_detector_has_no_top1(self):
        write(self.path("labels"), "".join(f"c{i}_\n" for i in range(1000)))
        write(self.path("net.data"), "classes=10\nlabels=labels\n")
        write(self.path("list"), "c1_photo.png\n")
        self.refused("net.data", *YOLO, "photo.png", "-thresh", ".005", "-quiet", "-out", "small", "-valid", "list",
                     says=["classifiers"])


if __name__ == "__main__":
    main()
